//! What holds for the hints of every Service.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairlead_endpointslice::{HintState, Memory};
use fairlead_objects::{Family, Istr, Millis, Node, Slice, TrafficDistribution, testing};
use proptest::prelude::*;

use crate::hints::{by_zone, node, pod_in, zone_of};
use crate::support::{Cluster, NOTHING};

/// Zones with Nodes that count, by name and millicores; Pods by zone and readiness. Pods of zone `z` are on a Node of
/// the control plane.
#[derive(Clone, Debug)]
struct State {
    zones: Vec<u64>,
    pods: Vec<(usize, bool)>,
    capacity: usize,
    distribution: Option<TrafficDistribution>,
    auto: bool,
}

const ZONES: [&str; 5] = ["a", "b", "c", "d", "z"];

fn state() -> impl Strategy<Value = State> {
    let cpu = prop_oneof![3 => Just(4000_u64), 1 => 1..9000_u64, 1 => 1..100_u64];
    let zone = prop_oneof![20 => 0..4_usize, 1 => Just(4_usize)];
    let pods = prop::collection::vec((zone, prop::bool::weighted(0.9)), 0..60);
    let distribution = prop_oneof![
        3 => Just(None),
        1 => Just(Some(TrafficDistribution::PreferClose)),
        1 => Just(Some(TrafficDistribution::PreferSameNode)),
    ];
    (prop::collection::vec(cpu, 1..5), pods, 1..20_usize, distribution, prop::bool::weighted(0.8)).prop_map(
        |(zones, pods, capacity, distribution, auto)| State { zones, pods, capacity, distribution, auto },
    )
}

impl State {
    /// Brings the cluster into this state. Pods of zones without a Node that counts are in `z`.
    fn apply(&self, cluster: &mut Cluster) {
        let worker = |(n, cpu): (usize, &u64)| Node { cpu: Millis(*cpu), ..node(ZONES[n]) };
        let elsewhere = Node { control_plane: true, ..node("z") };
        cluster.nodes = self.zones.iter().enumerate().map(worker).chain([elsewhere]).map(Arc::new).collect();
        let zone = |zone: usize| if zone < self.zones.len() { ZONES[zone] } else { "z" };
        let pod = |(n, (at, ready)): (usize, &(usize, bool))| {
            Arc::new(fairlead_objects::Pod { ready: *ready, ..pod_in(n, zone(*at)) })
        };
        cluster.pods = self.pods.iter().enumerate().map(pod).collect();
        cluster.capacity = self.capacity;
        cluster.service.topology_auto = self.auto;
        cluster.service.traffic_distribution = self.distribution;
    }

    fn cluster(&self) -> Cluster {
        let mut cluster = Cluster::with_pods(0);
        self.apply(&mut cluster);
        cluster
    }

    fn has_pods_elsewhere(&self) -> bool {
        self.pods.iter().any(|(zone, ready)| *ready && *zone >= self.zones.len())
    }
}

/// Gives the slices other names, in another order, as generated names would be.
fn rename(cluster: &mut Cluster) {
    cluster.slices.reverse();
    for (n, slice) in cluster.slices.iter_mut().enumerate() {
        Arc::make_mut(slice).key.name = Istr::from(format!("web-{n:03}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_hinted_is_not_written_again_whatever_the_slices_are_called(
        states in prop::collection::vec(state(), 1..4),
    ) {
        let mut cluster = Cluster::with_pods(0);
        for state in &states {
            state.apply(&mut cluster);
            cluster.sync();
            rename(&mut cluster);
            let plan = cluster.plan();
            prop_assert_eq!(plan.events.len(), 0);
            prop_assert_eq!(crate::support::writes(&plan), NOTHING);
            // Nor by a process that knows nothing of it.
            cluster.memory = Memory::default();
            prop_assert_eq!(crate::support::writes(&cluster.plan()), NOTHING);
        }
    }

    #[test]
    fn with_topology_mode_all_ready_endpoints_have_one_zone_or_none_has(states in prop::collection::vec(state(), 1..4)) {
        let mut cluster = Cluster::with_pods(0);
        for state in &states {
            State { auto: true, ..state.clone() }.apply(&mut cluster);
            cluster.sync();
            let ready = cluster.endpoints().filter(|it| it.conditions.ready == Some(true)).count();
            let mut expected: BTreeMap<&str, usize> = BTreeMap::new();
            match cluster.memory.hints().get(Family::V4) {
                Some(HintState::Populated(counts)) => {
                    prop_assert_eq!(counts.iter().map(|(_, count)| count).sum::<usize>(), ready);
                    expected.extend(counts.iter().map(|(zone, count)| (zone.as_str(), *count)));
                    if cluster.pods.len() > ready {
                        expected.insert("", cluster.pods.len() - ready);
                    }
                }
                Some(HintState::Failed { ready: counted, .. }) => {
                    prop_assert_eq!(*counted, ready);
                    if !cluster.pods.is_empty() {
                        expected.insert("", cluster.pods.len());
                    }
                }
                other => prop_assert!(false, "topology mode is on: {other:?}"),
            }
            prop_assert_eq!(by_zone(&cluster), expected);
            let all_own = |it: &&fairlead_objects::Endpoint| it.conditions.ready != Some(true) && it.hints.is_some();
            prop_assert_eq!(cluster.endpoints().filter(all_own).count(), 0);
        }
    }

    /// Zones of one size: a zone that is too small to be given a whole endpoint is left without, as upstream does it.
    #[test]
    fn no_zone_is_overloaded_and_none_has_more_than_it_may(state in state(), zones in 2..5_usize) {
        let state = State { zones: vec![4000; zones], auto: true, ..state };
        let mut cluster = state.cluster();
        cluster.sync();
        if let Some(HintState::Populated(counts)) = cluster.memory.hints().get(Family::V4)
            && !state.has_pods_elsewhere()
        {
            let ready: usize = counts.iter().map(|(_, count)| count).sum();
            // ceil(ready / zones / 1.2), in whole numbers.
            let minimum = (ready * 10).div_ceil(zones * 12);
            let maximum = ready - minimum * (zones - 1);
            prop_assert_eq!(counts.len(), zones);
            for (zone, count) in counts.iter() {
                prop_assert!((minimum..=maximum).contains(count), "{zone} has {count} of {ready}");
            }
        }
    }

    #[test]
    fn removing_removes_all_and_writes_only_what_had_hints(state in state()) {
        let mut cluster = state.cluster();
        cluster.sync();
        let had = |slice: &Arc<Slice>| slice.endpoints.iter().any(|it| it.hints.is_some());
        let hinted = cluster.slices.iter().filter(|slice| had(slice)).count();
        cluster.service.topology_auto = false;
        cluster.service.traffic_distribution = None;
        prop_assert_eq!(cluster.sync(), (0, hinted, 0));
        prop_assert!(!cluster.slices.iter().any(had));
    }

    #[test]
    fn a_distribution_hints_every_ready_endpoint_to_its_own_zone(states in prop::collection::vec(state(), 1..4)) {
        let mut cluster = Cluster::with_pods(0);
        for state in &states {
            let distribution = Some(TrafficDistribution::PreferSameZone);
            State { auto: false, distribution, ..state.clone() }.apply(&mut cluster);
            cluster.sync();
            for endpoint in cluster.endpoints() {
                let own = endpoint.zone.as_deref().filter(|_| endpoint.conditions.ready == Some(true));
                prop_assert_eq!(zone_of(endpoint), own.unwrap_or_default());
            }
        }
    }
}

#[test]
fn five_thousand_endpoints_are_spread_exactly() {
    let mut cluster = Cluster::with_pods(0);
    cluster.nodes = ["a", "b", "c"].map(|zone| Arc::new(node(zone))).to_vec();
    cluster.nodes.push(Arc::new(Node { cpu: Millis(0), ready: false, ..testing::node("down", None) }));
    cluster.pods = (0..5000).map(|n| Arc::new(pod_in(n, ["a", "b"][n % 2]))).collect();
    cluster.service.topology_auto = true;
    assert_eq!(cluster.sync(), (50, 0, 0));
    // Half an endpoint is not worth a hop to another zone.
    assert_eq!(by_zone(&cluster), [("a", 1667), ("b", 1667), ("c", 1666)].into());
    assert_eq!(cluster.sync(), NOTHING);
}
