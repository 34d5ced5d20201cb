//! Hints of Services: what is written for them, and what people are told.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairlead_endpointslice::{HintState, Plan};
use fairlead_objects::{Endpoint, Family, Hints, Millis, Node, Pod, Slice, TrafficDistribution, testing};

use crate::support::{Cluster, NOTHING, Writes, pod, writes};

/// A cluster with a Node `node-<zone>` in each zone and ready Pods in these zones, one after the other.
pub(crate) fn cluster(zones: &[&str], pods: &str) -> Cluster {
    let mut cluster = Cluster::with_pods(0);
    cluster.nodes = zones.iter().map(|zone| Arc::new(node(zone))).collect();
    cluster.pods = pods.chars().enumerate().map(|(n, zone)| Arc::new(pod_in(n, &zone.to_string()))).collect();
    cluster
}

pub(crate) fn node(zone: &str) -> Node {
    testing::node(&format!("node-{zone}"), Some(zone))
}

pub(crate) fn pod_in(n: usize, zone: &str) -> Pod {
    Pod { node: Some(format!("node-{zone}").as_str().into()), ..pod(n) }
}

/// Number of endpoints by the zone that they are hinted to; `""` for none.
pub(crate) fn by_zone(cluster: &Cluster) -> BTreeMap<&str, usize> {
    let mut found = BTreeMap::new();
    for endpoint in cluster.endpoints() {
        *found.entry(zone_of(endpoint)).or_default() += 1;
    }
    found
}

/// The one zone of the hints, `""` if there are none.
pub(crate) fn zone_of(endpoint: &Endpoint) -> &str {
    let Some(hints) = endpoint.hints.as_deref() else { return "" };
    let [zone] = hints.zones.as_slice() else { panic!("one zone expected: {hints:?}") };
    zone
}

fn crossing(cluster: &Cluster) -> usize {
    let cross = |it: &&Endpoint| it.hints.is_some() && it.zone.as_deref() != Some(zone_of(it));
    cluster.endpoints().filter(cross).count()
}

fn told(plan: &Plan) -> Vec<String> {
    plan.events.iter().map(|event| format!("{}: {event}", event.reason())).collect()
}

/// Plans, writes everything, and returns what was written and told.
fn sync(cluster: &mut Cluster) -> (Writes, Vec<String>) {
    let plan = cluster.plan();
    let result = (writes(&plan), told(&plan));
    cluster.apply(plan);
    result
}

const ENABLED: &str = "TopologyAwareHintsEnabled: Topology Aware Hints has been enabled, addressType: IPv4";
const TAKEN_AWAY: &str =
    "TopologyAwareHintsDisabled: Topology Aware Hints has been disabled, addressType: IPv4";
const MINIMA: &str = "TopologyAwareHintsDisabled: Unable to allocate minimum required endpoints to each zone without \
                      exceeding overload threshold (4 endpoints, 3 zones), addressType: IPv4";
const NODE_INFORMATION: &str = "TopologyAwareHintsDisabled: Insufficient Node information: allocatable CPU or zone \
                                not specified on one or more nodes, addressType: IPv4";

#[test]
fn topology_mode_spreads_endpoints_over_zones_and_writes_slices_for_that_alone() {
    type Case<'a> = (&'a str, &'a [&'a str], bool, Writes, &'a [(&'a str, usize)], usize, &'a [&'a str]);
    let cases: [Case<'_>; 4] = [
        ("all in one zone", &["ccc"], true, (0, 1, 0), &[("a", 1), ("b", 1), ("c", 1)], 2, &[ENABLED]),
        ("beyond the threshold", &["aacc"], true, NOTHING, &[("", 4)], 0, &[MINIMA]),
        ("two slices", &["aacc", "aabbb"], true, (0, 2, 0), &[("a", 3), ("b", 3), ("c", 3)], 1, &[ENABLED]),
        ("not asked for", &["aacc", "aabbb"], false, NOTHING, &[("", 9)], 0, &[]),
    ];
    for (scenario, slices, auto, expected, zones, crossings, events) in cases {
        let mut cluster = cluster(&["a", "b", "c"], &slices.concat());
        let mut first = 0;
        for (n, slice) in slices.iter().enumerate() {
            cluster.add_slice_of(&format!("web-{n}"), first..first + slice.len());
            first += slice.len();
        }
        cluster.service.topology_auto = auto;
        assert_eq!(
            sync(&mut cluster),
            (expected, events.iter().map(ToString::to_string).collect()),
            "{scenario}"
        );
        assert_eq!(by_zone(&cluster), zones.iter().copied().collect(), "{scenario}");
        assert_eq!(crossing(&cluster), crossings, "{scenario}");
        assert_eq!(sync(&mut cluster), (NOTHING, vec![]), "{scenario}: told and written once");
    }
}

#[test]
fn the_annotation_counts_before_the_field_and_the_field_before_nothing() {
    use TrafficDistribution::{PreferClose, PreferSameNode, PreferSameZone};
    let own: &[(&str, usize)] = &[("a", 1), ("b", 3), ("c", 2)];
    for (distribution, auto, zones, crossings, nodes) in [
        (Some(PreferClose), false, own, 0, false),
        (Some(PreferSameZone), false, own, 0, false),
        (Some(PreferSameNode), false, own, 0, true),
        (Some(PreferClose), true, &[("a", 2), ("b", 2), ("c", 2)], 1, false),
        (Some(PreferSameNode), true, &[("a", 2), ("b", 2), ("c", 2)], 1, false),
        (None, false, &[("", 6)], 0, false),
    ] {
        let mut cluster = cluster(&["a", "b", "c"], "abbbcc");
        cluster.service.traffic_distribution = distribution;
        cluster.service.topology_auto = auto;
        let scenario = format!("{distribution:?}, auto: {auto}");
        assert_eq!(cluster.sync(), (1, 0, 0), "{scenario}");
        assert_eq!(by_zone(&cluster), zones.iter().copied().collect(), "{scenario}");
        assert_eq!(crossing(&cluster), crossings, "{scenario}");
        for endpoint in cluster.endpoints() {
            let expected: Vec<_> = endpoint.node.iter().filter(|_| nodes).cloned().collect();
            let found = endpoint.hints.as_deref().map(|hints| hints.nodes.clone()).unwrap_or_default();
            assert_eq!(found, expected, "{scenario}");
        }
        assert_eq!(cluster.sync(), NOTHING, "{scenario}");
    }
}

#[test]
fn a_service_may_change_from_any_mode_to_any_other() {
    let modes = [
        (false, None),
        (true, None),
        (false, Some(TrafficDistribution::PreferClose)),
        (false, Some(TrafficDistribution::PreferSameNode)),
    ];
    for before in modes {
        for after in modes {
            let mut cluster = cluster(&["a", "b"], "aaaaab");
            cluster.capacity = 2;
            (cluster.service.topology_auto, cluster.service.traffic_distribution) = before;
            assert_eq!(cluster.sync(), (3, 0, 0));
            (cluster.service.topology_auto, cluster.service.traffic_distribution) = after;
            let (_, events) = sync(&mut cluster);
            let expected = match (before.0, after.0) {
                (true, false) => vec![TAKEN_AWAY],
                (false, true) => vec![ENABLED],
                _ => vec![],
            };
            assert_eq!(events, expected, "{before:?} to {after:?}");

            let mut fresh = self::cluster(&["a", "b"], "aaaaab");
            fresh.capacity = 2;
            (fresh.service.topology_auto, fresh.service.traffic_distribution) = after;
            fresh.sync();
            // With topology mode, hints that are there already may stay: any endpoint of a zone is as good as another.
            let hints = |cluster: &Cluster| {
                let mut found: Vec<_> = cluster
                    .endpoints()
                    .map(|it| (after.0 || it.zone.as_deref() == Some(zone_of(it)), it.hints.clone()))
                    .collect();
                found.sort_by_key(|it| format!("{it:?}"));
                found
            };
            assert_eq!(hints(&cluster), hints(&fresh), "{before:?} to {after:?}");
            assert_eq!(sync(&mut cluster), (NOTHING, vec![]), "{before:?} to {after:?}");
        }
    }
}

#[test]
fn hints_that_somebody_edited_are_put_right() {
    let hints = |zones: &[&str], nodes: &[&str]| {
        let list = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
        Some(Slice::share_hints(Hints { zones: list(zones), nodes: list(nodes) }))
    };
    for auto in [false, true] {
        let mut cluster = cluster(&["a", "b"], "aaaabb");
        cluster.service.topology_auto = auto;
        cluster.sync();
        let right =
            by_zone(&cluster).into_iter().map(|(zone, count)| (zone.to_owned(), count)).collect::<Vec<_>>();
        let all = [hints(&["z"], &[]), hints(&["a", "b"], &[]), hints(&["a"], &["node-a"]), hints(&[], &[])];
        for edited in all {
            cluster.change_slice(0, |slice| slice.endpoints[0].hints = edited.clone());
            assert_eq!(sync(&mut cluster), ((0, 1, 0), vec![]), "auto: {auto}, {edited:?}");
            let now = by_zone(&cluster)
                .into_iter()
                .map(|(zone, count)| (zone.to_owned(), count))
                .collect::<Vec<_>>();
            assert_eq!(now, right, "auto: {auto}, {edited:?}");
        }
    }
    // Removed by somebody, from an endpoint that is not ready as well.
    let mut cluster = cluster(&["a", "b"], "ab");
    cluster.service.traffic_distribution = Some(TrafficDistribution::PreferClose);
    cluster.sync();
    cluster.change_slice(0, |slice| slice.endpoints[1].hints = None);
    assert_eq!(cluster.sync(), (0, 1, 0));
    cluster.change_pod(0, |pod| pod.ready = false);
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(by_zone(&cluster), [("", 1), ("b", 1)].into());
    cluster.change_slice(0, |slice| slice.endpoints[0].hints = hints(&["a"], &[]));
    assert_eq!(cluster.sync(), NOTHING, "hints of an endpoint that is not ready are nobody's business");
    cluster.service.traffic_distribution = None;
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(by_zone(&cluster), [("", 2)].into());
}

#[test]
fn a_zone_label_that_comes_later_brings_hints() {
    let mut cluster = cluster(&["a", "b"], "ab");
    cluster.service.topology_auto = true;
    let labelled = cluster.nodes.clone();
    cluster.nodes = labelled.iter().map(|node| Arc::new(Node { zone: None, ..(**node).clone() })).collect();
    assert_eq!(sync(&mut cluster), ((1, 0, 0), vec![NODE_INFORMATION.to_owned()]));
    assert_eq!(by_zone(&cluster), [("", 2)].into());
    cluster.nodes = labelled;
    assert_eq!(sync(&mut cluster), ((0, 1, 0), vec![ENABLED.to_owned()]));
    assert_eq!(by_zone(&cluster), [("a", 1), ("b", 1)].into());
}

#[test]
fn issue_119990_a_failure_is_told_once_until_its_reason_changes() {
    let mut cluster = cluster(&["a", "b", "c"], "aabbcc");
    cluster.service.topology_auto = true;
    assert_eq!(sync(&mut cluster), ((1, 0, 0), vec![ENABLED.to_owned()]));
    let all = cluster.pods.clone();
    // Two endpoints are too few for three zones, and so is one.
    cluster.pods.truncate(2);
    let few = "TopologyAwareHintsDisabled: Insufficient number of endpoints (2 endpoints, 3 zones), addressType: IPv4";
    assert_eq!(sync(&mut cluster), ((0, 1, 0), vec![few.to_owned()]));
    cluster.pods.truncate(1);
    assert_eq!(sync(&mut cluster), ((0, 1, 0), vec![]));
    cluster.pods = all[..4].to_vec();
    assert_eq!(sync(&mut cluster), ((0, 1, 0), vec![MINIMA.to_owned()]));
    // A Node without zone takes the hints of the whole cluster away, but only once.
    cluster.pods = all;
    assert_eq!(sync(&mut cluster), ((0, 1, 0), vec![ENABLED.to_owned()]));
    cluster.nodes.push(Arc::new(testing::node("bare", None)));
    assert_eq!(sync(&mut cluster), ((0, 1, 0), vec![NODE_INFORMATION.to_owned()]));
    assert_eq!(sync(&mut cluster), (NOTHING, vec![]));
    cluster.nodes.pop();
    assert_eq!(sync(&mut cluster), ((0, 1, 0), vec![ENABLED.to_owned()]));
}

#[test]
fn issue_122437_eleven_endpoints_in_three_zones_have_no_hints() {
    let mut cluster = cluster(&["a", "b", "c"], "aaaabbbbccc");
    cluster.service.topology_auto = true;
    let (_, events) = sync(&mut cluster);
    assert!(events[0].contains("(11 endpoints, 3 zones)"), "{events:?}");
    cluster.pods.pop();
    sync(&mut cluster);
    assert_eq!(by_zone(&cluster), [("a", 3), ("b", 4), ("c", 3)].into());
}

#[test]
fn families_do_not_contradict_each_other() {
    let mut cluster = cluster(&["a", "b"], "abb");
    cluster.service.topology_auto = true;
    cluster.service.ip_families = [Family::V4, Family::V6].into_iter().collect();
    // Three IPv4 endpoints cannot be spread over two zones, two IPv6 endpoints can.
    cluster.change_pod(2, |pod| pod.addresses.truncate(1));
    let (written, events) = sync(&mut cluster);
    assert_eq!(written, (2, 0, 0));
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(events[0].ends_with("(3 endpoints, 2 zones), addressType: IPv4"), "{events:?}");
    assert!(events[1].ends_with("enabled, addressType: IPv6"), "{events:?}");
    assert!(matches!(cluster.memory.hints().get(Family::V4), Some(HintState::Failed { ready: 3, .. })));
    assert!(matches!(cluster.memory.hints().get(Family::V6), Some(HintState::Populated(_))));
    assert_eq!(sync(&mut cluster), (NOTHING, vec![]));
    cluster.service.topology_auto = false;
    let gone = TAKEN_AWAY.replace("IPv4", "IPv6");
    assert_eq!(sync(&mut cluster), ((0, 1, 0), vec![gone]));
    // A family that comes back starts anew.
    cluster.service.topology_auto = true;
    cluster.service.ip_families = [Family::V4].into_iter().collect();
    sync(&mut cluster);
    assert_eq!(cluster.memory.hints().get(Family::V6), None);
}

#[test]
fn after_a_restart_hints_that_are_there_are_no_news() {
    let mut cluster = cluster(&["a", "b"], "aabb");
    cluster.service.topology_auto = true;
    assert_eq!(sync(&mut cluster), ((1, 0, 0), vec![ENABLED.to_owned()]));
    cluster.memory = fairlead_endpointslice::Memory::default();
    assert_eq!(sync(&mut cluster), (NOTHING, vec![]));
    // And so their removal is.
    cluster.service.topology_auto = false;
    assert_eq!(sync(&mut cluster), ((0, 1, 0), vec![TAKEN_AWAY.to_owned()]));
}

#[test]
fn what_failed_to_be_written_is_told_when_it_is() {
    let mut cluster = cluster(&["a", "b"], "aabb");
    cluster.service.topology_auto = true;
    let failed = cluster.plan();
    assert_eq!(told(&failed), [ENABLED]);
    assert_eq!(sync(&mut cluster), ((1, 0, 0), vec![ENABLED.to_owned()]));
}

#[test]
fn slices_stay_when_their_hints_still_do() {
    // Two full slices; one Pod of the second becomes unready. The first keeps its hints and is not written.
    let mut cluster = cluster(&["a", "b"], "abababababab");
    cluster.service.topology_auto = true;
    cluster.capacity = 6;
    assert_eq!(cluster.sync(), (2, 0, 0));
    cluster.change_pod(11, |pod| pod.ready = false);
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(by_zone(&cluster), [("", 1), ("a", 6), ("b", 5)].into());
}

#[test]
fn more_cpu_in_a_zone_draws_endpoints() {
    let mut cluster = cluster(&["a", "b"], "aaaaabbbbb");
    cluster.service.topology_auto = true;
    cluster.sync();
    assert_eq!(by_zone(&cluster), [("a", 5), ("b", 5)].into());
    cluster.nodes[1] = Arc::new(Node { cpu: Millis(16_000), ..node("b") });
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(by_zone(&cluster), [("a", 2), ("b", 8)].into());
}

#[test]
fn endpoints_are_hinted_in_the_slices_that_they_are_packed_into() {
    let mut cluster = cluster(&["a", "b"], &"ab".repeat(5));
    cluster.service.topology_auto = true;
    cluster.sync();
    // Another port recycles the slice.
    cluster.service.ports[0].target = fairlead_objects::TargetPort::Number(9090);
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(by_zone(&cluster), [("a", 5), ("b", 5)].into());
    // No endpoints, no hints, and a placeholder that stays.
    cluster.pods.clear();
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(cluster.sync(), NOTHING);
    assert!(matches!(cluster.memory.hints().get(Family::V4), Some(HintState::Failed { ready: 0, .. })));
}
