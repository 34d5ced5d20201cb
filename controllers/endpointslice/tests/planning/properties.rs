//! What holds for every state.

use std::collections::BTreeSet;
use std::sync::Arc;

use fairlead_endpointslice::{Action, Plan};
use fairlead_objects::{AddressType, Family, Labels, Pod, Slice, TargetPort, Uid, testing};
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

use crate::model::{Before, Kind, upstream};
use crate::support::{Cluster, NOTHING, name_of, pod, pod_name, writes};

const PODS: usize = 40;

/// What there is before a sync: slices over Pods 0 to 39, some of which still exist.
#[derive(Clone, Debug)]
struct State {
    slices: Vec<Before>,
    wanted: BTreeSet<usize>,
    changed: BTreeSet<usize>,
    capacity: usize,
    dual: bool,
}

fn pods(count: impl Into<proptest::sample::SizeRange>) -> impl Strategy<Value = Vec<usize>> {
    subsequence((0..PODS).collect::<Vec<_>>(), count)
}

fn slice() -> impl Strategy<Value = Before> {
    let kind = prop_oneof![
        6 => Just(Kind::Right),
        1 => Just(Kind::Labels),
        1 => Just(Kind::Ports),
        1 => Just(Kind::Foreign),
    ];
    (pods(0..=15).prop_shuffle(), kind).prop_map(|(pods, kind)| Before { pods, kind })
}

fn state() -> impl Strategy<Value = State> {
    let slices = prop::collection::vec(slice(), 0..6);
    (slices, pods(0..=PODS), pods(0..=3), 1..=20_usize, any::<bool>()).prop_map(
        |(slices, wanted, changed, capacity, dual)| State {
            slices,
            wanted: wanted.into_iter().collect(),
            changed: changed.into_iter().collect(),
            capacity,
            dual,
        },
    )
}

/// Like `state`, but every Pod is in one slice at most, and all slices are the Service's and have its ports.
fn tidy_state() -> impl Strategy<Value = State> {
    let homes = prop::collection::vec(prop::option::of(0..6_usize), PODS);
    let kinds = prop::collection::vec(prop_oneof![3 => Just(Kind::Right), 1 => Just(Kind::Labels)], 6);
    (state(), homes, kinds).prop_map(|(state, homes, kinds)| {
        let of = |slice: usize| (0..PODS).filter(|pod| homes[*pod] == Some(slice)).collect();
        let slices = kinds.into_iter().enumerate().map(|(n, kind)| Before { pods: of(n), kind }).collect();
        State { slices, ..state }
    })
}

impl State {
    fn pods(&self) -> Vec<Arc<Pod>> {
        let with_readiness = |at: &usize| Arc::new(Pod { ready: !self.changed.contains(at), ..pod(*at) });
        self.wanted.iter().map(with_readiness).collect()
    }

    fn cluster(&self) -> Cluster {
        let mut cluster = Cluster::with_pods(PODS);
        cluster.capacity = self.capacity;
        // Made with all Pods, so that the ports are there even where no endpoint is.
        let all = cluster.pods.clone();
        let template = cluster.add_slice("web", Family::V4, &all).clone();
        cluster.slices.clear();
        for (n, before) in self.slices.iter().enumerate() {
            let mut slice = template.clone();
            slice.key.name = format!("web-{n}").into();
            slice.uid = Uid::from(format!("uid-{n}").as_str());
            slice.endpoints = before.pods.iter().map(|at| template.endpoints[*at].clone()).collect();
            match before.kind {
                Kind::Right => {}
                Kind::Labels => slice.labels = relabelled(&slice.labels),
                Kind::Ports => {
                    slice.ports = testing::decode(r#"[{"name": "gone", "port": 7, "protocol": "UDP"}]"#);
                }
                Kind::Foreign => {
                    let mut owner = slice.owners[0].clone();
                    owner.uid = Uid::from("former");
                    slice.owners = Slice::share_owners(vec![owner]);
                }
            }
            cluster.slices.push(Arc::new(slice));
        }
        cluster.pods = self.pods();
        if self.dual {
            cluster.service.ip_families.push(Family::V6);
        }
        cluster
    }

    fn wanted_names(&self) -> Vec<String> {
        self.wanted.iter().map(|at| pod_name(*at)).collect()
    }
}

fn relabelled(labels: &Labels) -> Labels {
    labels.iter().cloned().chain([("stale".into(), "x".into())]).collect()
}

/// Names of the Pods in the slices of one family, in order, with repetitions.
fn published(cluster: &Cluster, family: Family) -> Vec<String> {
    let of_family = cluster.slices.iter().filter(|slice| slice.address_type == AddressType::Ip(family));
    let mut names: Vec<_> =
        of_family.flat_map(|slice| &slice.endpoints).map(|it| name_of(it).to_owned()).collect();
    names.sort();
    names
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_endpoint_is_lost_or_doubled_and_every_family_has_a_slice(state in state()) {
        let mut cluster = state.cluster();
        cluster.sync();
        for family in cluster.service.ip_families.clone() {
            prop_assert_eq!(published(&cluster, family), state.wanted_names());
            let mut of_family = cluster.slices.iter().filter(|slice| slice.address_type == AddressType::Ip(family));
            prop_assert!(of_family.next().is_some());
        }
    }

    #[test]
    fn what_was_written_is_not_written_again(state in state()) {
        let mut cluster = state.cluster();
        cluster.sync();
        prop_assert_eq!(cluster.sync(), NOTHING);
    }

    #[test]
    fn slices_hold_no_more_than_the_capacity_unless_they_did_before(state in state()) {
        let mut cluster = state.cluster();
        let before = cluster.slices.clone();
        cluster.sync();
        for slice in &cluster.slices {
            let had = before.iter().find(|old| old.uid == slice.uid).map_or(0, |old| old.endpoints.len());
            prop_assert!(slice.endpoints.len() <= state.capacity.max(had));
        }
    }

    #[test]
    fn there_are_exactly_as_many_writes_as_upstream_makes(state in state()) {
        let State { slices, wanted, changed, capacity, .. } = &state;
        let mut cluster = state.cluster();
        cluster.service.ip_families.truncate(1);
        prop_assert_eq!(writes(&cluster.plan()), upstream(slices, wanted, changed, *capacity));
    }

    #[test]
    fn a_slice_in_which_nothing_is_wrong_is_written_only_to_take_new_endpoints(state in state()) {
        let cluster = state.cluster();
        for action in cluster.plan().actions {
            if let Action::Update { current, desired } = action {
                let had: BTreeSet<_> = current.endpoints.iter().map(|it| name_of(it).to_owned()).collect();
                let has: BTreeSet<_> = desired.endpoints.iter().map(|it| it.pod.to_string()).collect();
                let changed = |it: &fairlead_endpointslice::DesiredEndpoint| {
                    state.changed.iter().any(|at| pod_name(*at) == it.pod.as_str())
                };
                prop_assert!(
                    had != has
                        || had.len() != current.endpoints.len()
                        || current.ports != desired.ports
                        || current.labels != desired.envelope.labels
                        || desired.endpoints.iter().any(changed)
                );
            }
        }
    }

    #[test]
    fn endpoints_that_stay_are_never_absent_between_two_writes(state in tidy_state()) {
        let mut cluster = state.cluster();
        let before: BTreeSet<_> = published(&cluster, Family::V4).into_iter().collect();
        let stay: Vec<_> = state.wanted_names().into_iter().filter(|pod| before.contains(pod)).collect();
        for action in cluster.plan().actions {
            cluster.apply(Plan { actions: vec![action], ..Plan::default() });
            let now: BTreeSet<_> = published(&cluster, Family::V4).into_iter().collect();
            prop_assert!(stay.iter().all(|pod| now.contains(pod)));
        }
    }

    /// When the ports change, every slice is rewritten, and each endpoint moves to other ports.
    #[test]
    fn endpoints_are_never_absent_while_the_ports_of_their_service_change(
        pods in 1..60_usize, capacity in 1..20_usize, gone in prop::collection::vec(any::<Index>(), 0..20),
    ) {
        let mut cluster = Cluster::with_pods(pods);
        cluster.capacity = capacity;
        cluster.sync();
        // Slices with room in them.
        for index in gone {
            if cluster.pods.len() > 1 {
                cluster.pods.remove(index.index(cluster.pods.len()));
            }
        }
        cluster.sync();
        let before: BTreeSet<_> = published(&cluster, Family::V4).into_iter().collect();
        cluster.service.ports = vec![testing::service_port("http", TargetPort::Number(9090))];
        for action in cluster.plan().actions {
            cluster.apply(Plan { actions: vec![action], ..Plan::default() });
            let now: BTreeSet<_> = published(&cluster, Family::V4).into_iter().collect();
            prop_assert_eq!(&now, &before);
        }
        prop_assert_eq!(cluster.sync(), NOTHING);
    }

    #[test]
    fn the_order_of_the_input_makes_no_difference(
        state in state(),
        swaps in prop::collection::vec(any::<(Index, Index)>(), 20),
    ) {
        fn shuffle<T>(list: &mut [T], swaps: &[(Index, Index)]) {
            for (a, b) in swaps {
                if !list.is_empty() {
                    list.swap(a.index(list.len()), b.index(list.len()));
                }
            }
        }
        let cluster = state.cluster();
        let mut shuffled = cluster.clone();
        shuffle(&mut shuffled.pods, &swaps);
        shuffle(&mut shuffled.slices, &swaps);
        prop_assert_eq!(format!("{:?}", cluster.plan().actions), format!("{:?}", shuffled.plan().actions));
        prop_assert_eq!(format!("{:?}", cluster.plan().missing_nodes), format!("{:?}", shuffled.plan().missing_nodes));
    }

    #[test]
    fn a_history_of_changes_always_settles(states in prop::collection::vec(state(), 1..5)) {
        let mut cluster = Cluster::with_pods(0);
        for (round, state) in states.iter().enumerate() {
            cluster.capacity = state.capacity;
            cluster.pods = state.pods();
            let target = TargetPort::Number(if round % 3 == 2 { 9090 } else { 8080 });
            cluster.service.ports = vec![testing::service_port("http", target)];
            cluster.service.ip_families = [Family::V4].into_iter().collect();
            if state.dual {
                cluster.service.ip_families.push(Family::V6);
            }
            cluster.sync();
            prop_assert_eq!(cluster.sync(), NOTHING);
            prop_assert_eq!(published(&cluster, Family::V4), state.wanted_names());
        }
    }
}
