//! What holds for every state.

use std::collections::BTreeSet;
use std::sync::Arc;

use fairlead_endpoints::CAPACITY;
use fairlead_objects::{ContainerPort, Pod, Protocol, TargetPort, testing};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::{Cluster, Wrote, pod};

/// A Pod: ready, its named port (in one of three states), being deleted.
type Given = (bool, u8, bool);

fn cluster(pods: &[Given], named: bool, publish_not_ready: bool) -> Cluster {
    let mut cluster = Cluster::with_pods(0);
    cluster.service.publish_not_ready = publish_not_ready;
    if named {
        cluster.service.ports.push(testing::service_port("own", TargetPort::Name("own".into())));
    }
    cluster.pods = pods.iter().enumerate().map(|(n, given)| Arc::new(given_pod(n, *given))).collect();
    cluster
}

fn given_pod(n: usize, (ready, port, terminating): Given) -> Pod {
    let own = |number| ContainerPort { name: "own".into(), protocol: Protocol::Tcp, container_port: number };
    let ports = match port {
        0 => vec![],
        1 => vec![own(7000)],
        _ => vec![own(7001)],
    };
    Pod { ready, terminating, ports: Pod::share_ports(ports), ..pod(n) }
}

fn pods(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Given>> {
    prop::collection::vec((prop::bool::weighted(0.8), 0..3_u8, prop::bool::weighted(0.1)), count)
}

/// Few Pods mostly, and now and then as many as do not fit.
fn any_pods() -> impl Strategy<Value = Vec<Given>> {
    prop_oneof![4 => pods(0..40), 1 => pods(450..560), 1 => pods(950..1300)]
}

/// `Pod:port number:ready`, for every Pod and port, before anything is cut off.
fn wanted(cluster: &Cluster) -> BTreeSet<String> {
    let mut wanted = BTreeSet::new();
    let publish = cluster.service.publish_not_ready;
    for pod in cluster.pods.iter().filter(|pod| publish || !pod.terminating) {
        let numbers = cluster.service.ports.iter().filter_map(|port| match &port.target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Name(name) => {
                pod.ports.iter().find(|it| it.name == *name).map(|it| it.container_port)
            }
        });
        for number in numbers {
            wanted.insert(format!("{}:{number}:{}", pod.key.name, publish || pod.ready));
        }
    }
    wanted
}

/// The same of what is stored.
fn stored(cluster: &Cluster) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for subset in cluster.endpoints.iter().flat_map(|it| &it.subsets) {
        for (list, ready) in [(&subset.addresses, true), (&subset.not_ready, false)] {
            for address in list {
                let Some(fairlead_objects::TargetRef::Pod { name, .. }) = &address.target else {
                    panic!("{address:?} stands for no Pod")
                };
                for port in &subset.ports {
                    let is_new = found.insert(format!("{name}:{}:{ready}", port.port.expect("a number")));
                    assert!(is_new, "{name} has port {port:?} twice");
                }
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn there_are_never_more_than_a_thousand_and_below_that_nothing_is_missing(
        pods in any_pods(), named: bool, publish_not_ready: bool,
    ) {
        let mut cluster = cluster(&pods, named, publish_not_ready);
        let overflow = cluster.plan().overflow;
        cluster.sync();
        let (ready, not_ready) = cluster.counts();
        prop_assert!(ready + not_ready <= CAPACITY);
        let (wanted, stored) = (wanted(&cluster), stored(&cluster));
        match overflow {
            None => prop_assert_eq!(wanted, stored),
            Some(overflow) => {
                prop_assert!(overflow.wanted > CAPACITY && stored.is_subset(&wanted));
                prop_assert_eq!(ready + not_ready, CAPACITY);
                prop_assert_eq!(ready, overflow.ready.min(CAPACITY), "ready ones go first");
            }
        }
    }

    #[test]
    fn what_was_written_is_not_written_again(pods in any_pods(), named: bool, publish_not_ready: bool) {
        let mut cluster = cluster(&pods, named, publish_not_ready);
        prop_assert_eq!(cluster.sync(), Wrote::Created);
        prop_assert_eq!(cluster.sync(), Wrote::Nothing);
    }

    #[test]
    fn the_order_of_the_pods_makes_no_difference(
        pods in any_pods(), named: bool, swaps in prop::collection::vec(any::<(Index, Index)>(), 20),
    ) {
        let mut cluster = cluster(&pods, named, false);
        let mut shuffled = cluster.clone();
        for (a, b) in swaps {
            if !shuffled.pods.is_empty() {
                let count = shuffled.pods.len();
                shuffled.pods.swap(a.index(count), b.index(count));
            }
        }
        cluster.sync();
        shuffled.sync();
        prop_assert_eq!(cluster.endpoints.map(|it| it.subsets.clone()), shuffled.endpoints.map(|it| it.subsets.clone()));
    }

    #[test]
    fn the_order_of_what_is_stored_makes_no_difference(
        pods in any_pods(), named: bool, swaps in prop::collection::vec(any::<(Index, Index)>(), 5),
    ) {
        let mut cluster = cluster(&pods, named, false);
        cluster.sync();
        cluster.change_endpoints(|it| {
            it.subsets.reverse();
            for subset in &mut it.subsets {
                for list in [&mut subset.addresses, &mut subset.not_ready] {
                    for (a, b) in &swaps {
                        if !list.is_empty() {
                            list.swap(a.index(list.len()), b.index(list.len()));
                        }
                    }
                }
            }
        });
        prop_assert_eq!(cluster.sync(), Wrote::Nothing);
    }

    #[test]
    fn a_history_of_changes_always_settles(
        history in prop::collection::vec((any_pods(), any::<bool>(), any::<bool>()), 1..5),
    ) {
        let mut cluster = Cluster::with_pods(0);
        for (pods, named, publish_not_ready) in history {
            let next = self::cluster(&pods, named, publish_not_ready);
            cluster.service = next.service;
            cluster.pods = next.pods;
            cluster.sync();
            prop_assert_eq!(cluster.sync(), Wrote::Nothing);
            if cluster.plan().overflow.is_none() {
                prop_assert_eq!(wanted(&cluster), stored(&cluster));
            }
        }
    }
}
