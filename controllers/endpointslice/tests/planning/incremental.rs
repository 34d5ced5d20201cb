//! Planning single Pods: the same result as planning everything, at the cost of the slices touched.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use fairlead_endpointslice::{HintState, Lookup, Plan};
use fairlead_objects::{
    ContainerPort, Family, Istr, Pod, Protocol, ResourceVersion, Slice, TargetPort, TrafficDistribution,
    testing,
};
use proptest::prelude::*;

use crate::support::{Cluster, pod, pod_name, writes};

/// Something that happens to one Pod.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// It becomes ready or not ready.
    Flip,
    /// It goes, or comes back.
    Toggle,
    /// It comes back under its name with another UID and address.
    Replace,
    /// It is on another Node, which may not exist.
    Move(usize),
    /// It listens on the other port, or on the first one again.
    Rebind,
    /// It is being deleted.
    Terminate,
    /// It has no IPv6 address, or has one again.
    DropFamily,
}

#[derive(Clone, Copy, Debug)]
enum Hinting {
    Off,
    Auto,
    SameZone,
    SameNode,
}

#[derive(Clone, Debug)]
struct History {
    pods: usize,
    capacity: usize,
    dual: bool,
    hinting: Hinting,
    named_port: bool,
    /// Somebody takes the endpoints out of this slice at the beginning; then it stays, empty but for its ports.
    emptied: Option<usize>,
    rounds: Vec<Vec<(usize, Event)>>,
}

const MOST_PODS: usize = 40;

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Flip),
        4 => Just(Event::Toggle),
        1 => Just(Event::Replace),
        1 => (0..5_usize).prop_map(Event::Move),
        1 => Just(Event::Rebind),
        1 => Just(Event::Terminate),
        1 => Just(Event::DropFamily),
    ]
}

fn history() -> impl Strategy<Value = History> {
    let hinting = prop_oneof![
        2 => Just(Hinting::Off),
        3 => Just(Hinting::Auto),
        1 => Just(Hinting::SameZone),
        1 => Just(Hinting::SameNode),
    ];
    let rounds = prop::collection::vec(prop::collection::vec((0..MOST_PODS, event()), 1..5), 1..12);
    let emptied = prop::option::of(0..10_usize);
    (0..MOST_PODS, 1..15_usize, any::<bool>(), hinting, any::<bool>(), emptied, rounds).prop_map(
        |(pods, capacity, dual, hinting, named_port, emptied, rounds)| History {
            pods,
            capacity,
            dual,
            hinting,
            named_port,
            emptied,
            rounds,
        },
    )
}

/// Nodes 0 to 3 in three zones; number 4 does not exist.
fn node_name(n: usize) -> Istr {
    format!("node-{n}").into()
}

fn listen(pod: &mut Pod, number: i32) {
    let port = ContainerPort { name: "web".into(), protocol: Protocol::Tcp, container_port: number };
    pod.ports = Pod::share_ports(vec![port]);
}

fn fresh(n: usize) -> Pod {
    let mut pod = pod(n);
    pod.node = Some(node_name(n % 4));
    listen(&mut pod, 8080);
    pod
}

impl History {
    fn cluster(&self) -> Cluster {
        let mut cluster = Cluster::with_pods(0);
        cluster.nodes = (0..4)
            .map(|n| Arc::new(testing::node(&node_name(n), Some(["zone-a", "zone-b", "zone-c"][n % 3]))))
            .collect();
        cluster.capacity = self.capacity;
        let service = &mut cluster.service;
        if self.dual {
            service.ip_families.push(Family::V6);
        }
        if self.named_port {
            service.ports = vec![testing::service_port("http", TargetPort::Name("web".into()))];
        }
        match self.hinting {
            Hinting::Off => {}
            Hinting::Auto => service.topology_auto = true,
            Hinting::SameZone => service.traffic_distribution = Some(TrafficDistribution::PreferSameZone),
            Hinting::SameNode => service.traffic_distribution = Some(TrafficDistribution::PreferSameNode),
        }
        cluster.pods = (0..self.pods).map(|n| Arc::new(fresh(n))).collect();
        cluster
    }
}

fn happen(cluster: &mut Cluster, n: usize, event: Event) {
    let name = pod_name(n);
    let Some(at) = cluster.pods.iter().position(|pod| *pod.key.name == *name) else {
        cluster.pods.push(Arc::new(fresh(n)));
        return;
    };
    match event {
        Event::Toggle => {
            cluster.pods.swap_remove(at);
        }
        Event::Flip => cluster.change_pod(at, |pod| pod.ready = !pod.ready),
        Event::Replace => cluster.change_pod(at, |pod| {
            pod.uid = format!("{}-again", pod.uid).as_str().into();
            pod.addresses = crate::support::pod(n + 500).addresses;
        }),
        Event::Move(node) => cluster.change_pod(at, |pod| pod.node = Some(node_name(node))),
        Event::Rebind => cluster.change_pod(at, |pod| {
            let number = if pod.ports[0].container_port == 8080 { 9090 } else { 8080 };
            listen(pod, number);
        }),
        Event::Terminate => cluster.change_pod(at, |pod| pod.terminating = true),
        Event::DropFamily => cluster.change_pod(at, |pod| {
            if pod.addresses.len() == 2 {
                pod.addresses.truncate(1);
            } else {
                pod.addresses = crate::support::pod(n).addresses;
            }
        }),
    }
}

fn assert_same(part: &Plan, all: &Plan) -> Result<(), TestCaseError> {
    prop_assert_eq!(format!("{:?}", part.actions), format!("{:?}", all.actions));
    prop_assert_eq!(&part.families, &all.families);
    prop_assert_eq!(&part.missing_nodes, &all.missing_nodes);
    prop_assert_eq!(&part.events, &all.events);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn single_pods_are_planned_as_everything_would_be(history in history()) {
        let mut cluster = history.cluster();
        cluster.sync();
        if let Some(at) = history.emptied.filter(|at| *at < cluster.slices.len()) {
            cluster.change_slice(at, |slice| slice.endpoints = [].into());
            cluster.sync();
        }
        for round in &history.rounds {
            for (n, event) in round {
                happen(&mut cluster, *n, *event);
            }
            let changed: BTreeSet<Istr> = round.iter().map(|(n, _)| pod_name(*n).as_str().into()).collect();
            let all = cluster.plan();
            let plan = match cluster.plan_pods(&changed) {
                Some(part) => {
                    assert_same(&part, &all)?;
                    part
                }
                None => all,
            };
            cluster.apply(plan);
            // Nothing was overlooked, and what is remembered is what a plan of everything remembers.
            let after = cluster.plan();
            prop_assert_eq!(writes(&after), (0, 0, 0));
            prop_assert_eq!(after.events.len(), 0);
        }
    }
}

/// Counts what a plan asks for.
struct Counting<'a> {
    cluster: &'a Cluster,
    pods: Cell<usize>,
    slices: Cell<usize>,
}

impl Lookup for Counting<'_> {
    fn pod(&self, name: &Istr) -> Option<Arc<Pod>> {
        self.pods.set(self.pods.get() + 1);
        self.cluster.pod(name)
    }

    fn slice(&self, name: &Istr) -> Option<Arc<Slice>> {
        self.slices.set(self.slices.get() + 1);
        self.cluster.slice(name)
    }
}

/// Plans these Pods, and returns how many Pods and slices were looked at.
fn looked_at(cluster: &Cluster, pods: &[&str]) -> (Plan, usize, usize) {
    let lookup = Counting { cluster, pods: Cell::new(0), slices: Cell::new(0) };
    let pods: BTreeSet<Istr> = pods.iter().map(|name| Istr::from(*name)).collect();
    let plan = cluster.plan_pods_with(&lookup, &pods).expect("these Pods can be planned alone");
    (plan, lookup.pods.get(), lookup.slices.get())
}

fn settled(pods: usize, hinting: Hinting) -> Cluster {
    let history = History {
        pods,
        capacity: 10,
        dual: true,
        hinting,
        named_port: false,
        emptied: None,
        rounds: Vec::new(),
    };
    let mut cluster = history.cluster();
    cluster.sync();
    cluster
}

#[test]
fn one_changed_endpoint_costs_its_slice_whatever_the_size_of_the_service() {
    for hinting in [Hinting::Off, Hinting::Auto, Hinting::SameZone, Hinting::SameNode] {
        let mut costs = BTreeSet::new();
        for size in [20, 200, 1000] {
            let mut cluster = settled(size, hinting);
            let changed = pod_name(size / 2);
            cluster.change_pod(size / 2, |pod| pod.node = Some(node_name(4)));
            let (plan, pods, slices) = looked_at(&cluster, &[&changed]);
            assert_eq!(writes(&plan), (0, 2, 0), "one slice of each family, {hinting:?}");
            costs.insert((pods, slices));
        }
        assert_eq!(costs, BTreeSet::from([(10, 2)]), "the Pods of one slice, {hinting:?}");
    }
}

#[test]
fn a_new_endpoint_costs_the_slice_that_it_goes_into() {
    let mut costs = BTreeSet::new();
    for size in [25, 205, 1005] {
        let mut cluster = settled(size, Hinting::Off);
        cluster.pods.push(Arc::new(fresh(size)));
        let (plan, pods, slices) = looked_at(&cluster, &[&pod_name(size)]);
        assert_eq!(writes(&plan), (0, 2, 0), "the last slice of each family has room");
        costs.insert((pods, slices));
    }
    // First the Pod alone, then once more with those of the slice that has room.
    assert_eq!(costs, BTreeSet::from([(1 + 6, 2)]));
}

#[test]
fn with_topology_mode_only_slices_whose_hints_change_are_written() {
    let mut cluster = settled(240, Hinting::Auto);
    cluster.change_pod(100, |pod| pod.ready = false);
    let (plan, ..) = looked_at(&cluster, &[&pod_name(100)]);
    assert_eq!(writes(&plan), (0, 2, 0));
    cluster.apply(plan);
    let Some(HintState::Populated(counts)) = cluster.memory.hints().get(Family::V4) else {
        panic!("there are hints")
    };
    assert_eq!(counts.iter().map(|(_, count)| count).sum::<usize>(), 239);
}

#[test]
fn a_slice_in_another_state_than_the_one_written_calls_for_everything() {
    let mut cluster = settled(40, Hinting::Off);
    let changed = BTreeSet::from([Istr::from(pod_name(3).as_str())]);
    cluster.change_pod(3, |pod| pod.ready = false);
    assert!(cluster.plan_pods(&changed).is_some());
    let touched = cluster
        .slices
        .iter()
        .position(|slice| slice.endpoints.iter().any(|it| crate::support::name_of(it) == pod_name(3)));
    cluster.change_slice(touched.expect("it is an endpoint"), |slice| slice.endpoints = [].into());
    assert!(cluster.plan_pods(&changed).is_none());
}

#[test]
fn what_is_not_known_calls_for_everything() {
    let changed = BTreeSet::from([Istr::from(pod_name(3).as_str())]);
    let planned = |cluster: &Cluster| cluster.plan_pods(&changed).is_some();
    let cluster = settled(40, Hinting::Off);
    assert!(planned(&cluster));

    let mut started = cluster.clone();
    started.memory = fairlead_endpointslice::Memory::default();
    assert!(!planned(&started), "after a start");

    let mut failed = cluster.clone();
    failed.memory.not_written();
    assert!(!planned(&failed), "after a failed write");

    let mut changed_service = cluster.clone();
    changed_service.service.labels = [("a", "b")].into_iter().collect();
    assert!(!planned(&changed_service), "after a change of the Service");

    let mut terminating = cluster.clone();
    terminating.service.terminating = true;
    assert!(!planned(&terminating), "when the Service begins to be deleted");
    terminating.sync();
    assert!(!planned(&terminating), "while the Service is being deleted");

    let mut next_version = cluster.clone();
    next_version.service.version = ResourceVersion::Number(1_000_000);
    assert!(planned(&next_version), "what changed is of no interest");
}

#[test]
fn a_pod_without_its_node_is_remembered_while_others_are_planned() {
    let mut cluster = settled(40, Hinting::Off);
    cluster.change_pod(3, |pod| pod.node = Some(node_name(4)));
    let (plan, ..) = looked_at(&cluster, &[&pod_name(3)]);
    assert_eq!(plan.missing_nodes.len(), 1);
    cluster.apply(plan);
    cluster.change_pod(30, |pod| pod.ready = false);
    let (plan, ..) = looked_at(&cluster, &[&pod_name(30)]);
    assert_eq!(plan.missing_nodes.len(), 1);
    cluster.apply(plan);
    cluster.change_pod(3, |pod| pod.node = Some(node_name(3)));
    let (plan, ..) = looked_at(&cluster, &[&pod_name(3)]);
    assert_eq!(plan.missing_nodes, []);
    assert_eq!(writes(&plan), (0, 2, 0));
}
