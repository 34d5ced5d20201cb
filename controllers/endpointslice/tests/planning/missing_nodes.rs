//! Pods whose Node is not known.

use std::sync::Arc;

use fairlead_endpointslice::MissingNode;
use fairlead_objects::testing;

use crate::support::{Cluster, NOTHING, Writes, pod_name};

/// Two Pods, on `node-1` and on `node-2`.
fn two_pods() -> Cluster {
    let mut cluster = Cluster::with_pods(2);
    cluster.change_pod(1, |pod| pod.node = Some("node-2".into()));
    cluster
}

/// Scenario; is there a slice already? publishNotReadyAddresses; Nodes that exist -> writes, endpoints, Pods left
/// out.
type Case = (&'static str, bool, bool, &'static [&'static str], Writes, usize, usize);

#[test]
fn issue_107927_a_pod_without_its_node_is_left_out_unless_the_service_publishes_what_is_not_ready() {
    let cases: [Case; 6] = [
        ("new", false, false, &["node-1"], (1, 0, 0), 1, 1),
        ("new, published", false, true, &["node-1"], (1, 0, 0), 2, 0),
        ("known", true, false, &["node-1"], (0, 1, 0), 1, 1),
        ("known, published", true, true, &["node-1"], (0, 1, 0), 2, 0),
        ("known, published, no Node at all", true, true, &[], (0, 1, 0), 2, 0),
        ("known, no Node at all", true, false, &[], (0, 1, 0), 0, 2),
    ];
    for (scenario, in_a_slice, publish, nodes, writes, published, missing) in cases {
        let mut cluster = two_pods();
        cluster.service.publish_not_ready = publish;
        cluster.nodes.push(Arc::new(testing::node("node-2", Some("zone-a"))));
        if in_a_slice {
            cluster.sync();
        }
        cluster.nodes.retain(|node| nodes.contains(&node.key.name.as_str()));
        assert_eq!(cluster.plan().missing_nodes.len(), missing, "{scenario}");
        assert_eq!(cluster.sync(), writes, "{scenario}");
        assert_eq!(cluster.published().len(), published, "{scenario}");
        assert_eq!(cluster.slices.len(), 1, "{scenario}");
        assert_eq!(cluster.slices[0].ports.is_empty(), published == 0, "{scenario}: a placeholder");
        assert_eq!(cluster.sync(), NOTHING, "{scenario}");
    }
}

#[test]
fn the_pod_becomes_an_endpoint_when_its_node_appears() {
    let mut cluster = two_pods();
    cluster.sync();
    assert_eq!(cluster.published(), [pod_name(0)]);
    cluster.nodes.push(Arc::new(testing::node("node-2", None)));
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(cluster.published(), [pod_name(0), pod_name(1)]);
    assert_eq!(cluster.endpoint(&pod_name(1)).zone, None);
    assert_eq!(cluster.plan().missing_nodes, []);
}

#[test]
fn a_pod_that_is_assigned_to_no_node_counts_as_one_whose_node_is_unknown() {
    let mut cluster = Cluster::with_pods(2);
    cluster.change_pod(1, |pod| pod.node = None);
    cluster.sync();
    assert_eq!(cluster.published(), [pod_name(0)]);
    cluster.service.publish_not_ready = true;
    assert_eq!(cluster.sync(), (0, 1, 0));
    let endpoint = cluster.endpoint(&pod_name(1));
    assert_eq!((&endpoint.node, &endpoint.zone), (&None, &None));
}

#[test]
fn missing_nodes_are_told_once_per_pod_and_in_order() {
    let mut cluster = Cluster::with_pods(4);
    cluster.service.ip_families =
        [fairlead_objects::Family::V4, fairlead_objects::Family::V6].into_iter().collect();
    for at in [3, 1] {
        cluster.change_pod(at, |pod| pod.node = Some("node-9".into()));
    }
    cluster.change_pod(2, |pod| pod.node = None);
    cluster.pods.reverse();
    let missing = cluster.plan().missing_nodes;
    let expected =
        |n, node: Option<&str>| MissingNode { pod: pod_name(n).as_str().into(), node: node.map(Into::into) };
    assert_eq!(missing, [expected(1, Some("node-9")), expected(2, None), expected(3, Some("node-9"))]);
    assert_eq!(missing[0].to_string(), "Pod web-00001 is left out: its Node node-9 does not exist");
    assert_eq!(missing[1].to_string(), "Pod web-00002 is left out: it is assigned to no Node");
}

#[test]
fn finished_pods_miss_no_node() {
    let mut cluster = Cluster::with_pods(2);
    cluster.change_pod(1, |pod| {
        pod.node = None;
        pod.phase = fairlead_objects::Phase::Finished;
    });
    assert_eq!(cluster.plan().missing_nodes, []);
}

#[test]
fn a_zone_that_changes_is_followed() {
    let mut cluster = Cluster::with_pods(2);
    cluster.sync();
    for zone in [Some("zone-b"), None, Some("zone-c")] {
        cluster.nodes = vec![Arc::new(testing::node("node-1", zone))];
        assert_eq!(cluster.sync(), (0, 1, 0), "{zone:?}");
        assert!(cluster.endpoints().all(|it| it.zone.as_deref() == zone), "{zone:?}");
    }
}
