//! Issues of kubernetes/kubernetes and gaps of its tests that a plan alone decides; `../README.md` lists all.

use std::sync::Arc;

use fairlead_discovery::names::SLICE_MANAGED_BY;
use fairlead_objects::{Family, Phase, Service, ServiceType, TargetPort, testing};

use crate::hints::{by_zone, cluster as zoned};
use crate::support::{Cluster, NOTHING, conditions, ips, pod, pod_name};

const READY: [Option<bool>; 3] = [Some(true), Some(true), Some(false)];
const NOT_READY: [Option<bool>; 3] = [Some(false), Some(false), Some(false)];

/// Also 109718, 110115, 110255, 46776. Finished Pods stayed published where Pods are published that are not ready.
#[test]
fn issue_109414_finished_pods_are_no_endpoints_whatever_the_service_publishes() {
    for publish_not_ready in [false, true] {
        let mut cluster = Cluster::with_pods(3);
        cluster.service.publish_not_ready = publish_not_ready;
        cluster.sync();
        cluster.change_pod(0, |pod| pod.phase = Phase::Finished);
        // Evicted: finished and also not ready any more.
        cluster.change_pod(1, |pod| (pod.phase, pod.ready) = (Phase::Finished, false));
        assert_eq!(cluster.sync(), (0, 1, 0), "{publish_not_ready}");
        assert_eq!(cluster.published(), [pod_name(2)], "{publish_not_ready}");
    }
}

/// Also 121330. One address may be ready by one Pod and not ready by another; but each Pod is there once, in one state.
#[test]
fn issue_121556_a_pod_is_never_ready_and_not_ready_at_once() {
    let mut cluster = Cluster::with_pods(2);
    let shared = cluster.pods[0].addresses.clone();
    cluster.change_pod(1, |pod| (pod.addresses, pod.ready) = (shared, false));
    cluster.sync();
    assert_eq!(conditions(cluster.endpoint(&pod_name(0))), READY);
    for (ready, expected) in [(false, NOT_READY), (true, READY), (false, NOT_READY)] {
        cluster.change_pod(0, |pod| pod.ready = ready);
        cluster.change_pod(1, |pod| pod.ready = !ready);
        assert_eq!(cluster.sync(), (0, 1, 0));
        // Once each, or this would panic.
        assert_eq!(conditions(cluster.endpoint(&pod_name(0))), expected);
        assert_ne!(conditions(cluster.endpoint(&pod_name(1))), expected);
    }
}

/// Also 135334, 135593. A new Pod has the address of one that is not gone yet: consumers can tell which one serves.
#[test]
fn issue_135266_an_address_used_again_is_ready_by_the_new_pod_alone() {
    let mut cluster = Cluster::with_pods(1);
    cluster.sync();
    let address = cluster.pods[0].addresses.clone();
    // The old one still serves, as far as anybody has said.
    cluster.change_pod(0, |pod| pod.terminating = true);
    cluster.pods.push(Arc::new(fairlead_objects::Pod { addresses: address.clone(), ..pod(1) }));
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(conditions(cluster.endpoint(&pod_name(0))), [Some(false), Some(true), Some(true)]);
    assert_eq!(conditions(cluster.endpoint(&pod_name(1))), READY);
    assert_eq!(ips(cluster.endpoint(&pod_name(0))), ips(cluster.endpoint(&pod_name(1))));
    // One that has finished holds its address no longer, even while its object is there.
    cluster.change_pod(0, |pod| pod.phase = Phase::Finished);
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(cluster.published(), [pod_name(1)]);
}

/// Also 54723, 89056, 116285, 127234, 92583, 116965, zalando/skipper 2684, cilium/cilium 24174.
#[test]
fn issue_58662_what_is_published_of_ready_serving_and_terminating() {
    const T: bool = true;
    const F: bool = false;
    // Ready, being deleted, publishNotReadyAddresses -> ready, serving, terminating. `serving` and `terminating` are of
    // the Pod; `ready` is the one that consumers route by, and alone depends on what the Service publishes. A Node that
    // shuts down makes its Pods not ready without deleting them (116965): that is the second line.
    for (given, expected) in [
        ([T, F, F], [T, T, F]),
        ([F, F, F], [F, F, F]),
        ([T, T, F], [F, T, T]),
        ([F, T, F], [F, F, T]),
        ([T, F, T], [T, T, F]),
        ([F, F, T], [T, F, F]),
        ([T, T, T], [T, T, T]),
        ([F, T, T], [T, F, T]),
    ] {
        let [ready, terminating, publish] = given;
        let mut cluster = Cluster::with_pods(1);
        cluster.service.publish_not_ready = publish;
        cluster.change_pod(0, |pod| (pod.ready, pod.terminating) = (ready, terminating));
        cluster.sync();
        assert_eq!(conditions(cluster.endpoint(&pod_name(0))), expected.map(Some), "{given:?}");
    }
}

/// Also 91072, 103576, 103804, 105986, 114814, 120775, 123471, 111929, and the gap "selector removal leftovers". What is
/// left behind stays, as upstream means it to; a Service that comes back is right again at once, without dead Pods.
#[test]
fn gap_selector_removal_leftovers_issue_118376_stay_and_are_taken_up_again() {
    type Change = fn(&mut Service);
    let ways: [(&str, Change); 2] = [
        ("selector removed", |service| service.selector = None),
        ("ExternalName", |service| service.kind = ServiceType::ExternalName),
    ];
    for (scenario, change) in ways {
        let mut cluster = Cluster::with_pods(3);
        cluster.sync();
        let (service, slices) = (cluster.service.clone(), cluster.slices.clone());
        change(&mut cluster.service);
        assert_eq!(cluster.sync(), NOTHING, "{scenario}");
        // Meanwhile all Pods are replaced.
        cluster.pods.clear();
        cluster.add_pods(7..9);
        assert_eq!(cluster.sync(), NOTHING, "{scenario}");
        assert_eq!(cluster.slices[0].endpoints, slices[0].endpoints, "{scenario}");
        cluster.service = service;
        assert_eq!(cluster.sync(), (0, 1, 0), "{scenario}: back again");
        assert_eq!(cluster.published(), [pod_name(7), pod_name(8)], "{scenario}");
        assert_eq!(cluster.slices[0].uid, slices[0].uid, "{scenario}: in place");
    }
}

/// The recycling of kube-controller-manager's mirroring controller can take the wrong create when both families change
/// their ports at once. Slices of Services have to keep their family, too.
#[test]
fn gap_dual_stack_port_change_updates_each_family_in_place() {
    let mut cluster = Cluster::new(testing::service("web"));
    cluster.service.ip_families = [Family::V4, Family::V6].into_iter().collect();
    cluster.add_pods(0..5);
    cluster.capacity = 2;
    cluster.sync();
    let identity = |cluster: &Cluster| {
        cluster.slices.iter().map(|it| (it.uid.clone(), it.address_type.clone())).collect::<Vec<_>>()
    };
    let before = identity(&cluster);
    assert_eq!(before.len(), 6);
    cluster.service.ports = vec![testing::service_port("http", TargetPort::Number(9090))];
    assert_eq!(cluster.sync(), (0, 6, 0));
    assert_eq!(identity(&cluster), before);
    assert_eq!(cluster.published().len(), 10);
    assert_eq!(cluster.sync(), NOTHING);
}

/// Also 106510, 116300. Whatever the reason is why a Service has no hints, it is told.
#[test]
fn issue_103888_hints_do_not_fail_without_explanation() {
    for (pods, zones, expected) in [
        ("ab", &["a"][..], "Insufficient Node information"),
        ("ab", &["a", "b", "c"], "Insufficient number of endpoints (2 endpoints, 3 zones)"),
        ("abc", &["a", "b"], "Unable to allocate minimum required endpoints"),
    ] {
        let mut cluster = zoned(zones, pods);
        cluster.nodes.extend(zoned(&["c", "b"], "").nodes.into_iter().map(|node| {
            let control_plane = !zones.iter().any(|zone| node.zone.as_deref() == Some(*zone));
            Arc::new(fairlead_objects::Node { control_plane, ..(*node).clone() })
        }));
        cluster.nodes.sort_by(|a, b| a.key.name.cmp(&b.key.name));
        cluster.nodes.dedup_by(|a, b| a.key.name == b.key.name);
        cluster.service.topology_auto = true;
        let plan = cluster.plan();
        let [event] = &plan.events[..] else { panic!("one event expected: {:?}", plan.events) };
        assert_eq!(event.reason(), "TopologyAwareHintsDisabled");
        assert!(event.is_warning() && event.to_string().contains(expected), "{event}");
        cluster.apply(plan);
        assert_eq!(by_zone(&cluster), [("", pods.len())].into(), "{expected}");
    }
}

/// The API server writes the slices of its own Service `kubernetes` itself, without hints. They are none of ours.
#[test]
fn issue_138779_slices_of_the_api_server_are_left_alone() {
    let mut cluster =
        Cluster::new(Service { selector: None, topology_auto: true, ..testing::service("kubernetes") });
    cluster.add_pods(0..2);
    let mut made = cluster.clone();
    made.service = testing::service("kubernetes");
    made.sync();
    cluster.slices = made.slices;
    cluster.change_slice(0, |slice| {
        slice.labels = [("kubernetes.io/service-name", "kubernetes")].into_iter().collect();
    });
    assert!(cluster.slices[0].labels.get(SLICE_MANAGED_BY).is_none());
    assert_eq!(cluster.sync(), NOTHING);
    // Not even if the Service had a selector.
    cluster.service.selector = testing::service("web").selector;
    assert_eq!(cluster.sync(), (1, 0, 0), "its own beside the other");
    assert_eq!(cluster.slices.len(), 2);
}
