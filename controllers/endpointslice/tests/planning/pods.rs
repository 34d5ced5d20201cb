//! What a Pod means to the slices.

use std::sync::Arc;

use fairlead_objects::{Family, Phase, Pod, testing};
use smallvec::smallvec;

use crate::support::{Cluster, NOTHING, conditions, ips, pod, pod_name};

#[test]
fn the_endpoint_of_a_pod() {
    const T: Option<bool> = Some(true);
    const F: Option<bool> = Some(false);
    // Ready, terminating, publishNotReadyAddresses -> ready, serving, terminating.
    for (scenario, ready, terminating, publish, expected) in [
        ("ready", true, false, false, [T, T, F]),
        ("ready, published", true, false, true, [T, T, F]),
        ("not ready", false, false, false, [F, F, F]),
        ("not ready, published", false, false, true, [T, F, F]),
        ("terminating, still answering", true, true, false, [F, T, T]),
        ("terminating", false, true, false, [F, F, T]),
        ("terminating, still answering, published", true, true, true, [T, T, T]),
        ("terminating, published", false, true, true, [T, F, T]),
    ] {
        let mut cluster = Cluster::with_pods(1);
        cluster.service.publish_not_ready = publish;
        cluster.change_pod(0, |pod| (pod.ready, pod.terminating) = (ready, terminating));
        cluster.sync();
        let endpoint = cluster.endpoint(&pod_name(0));
        assert_eq!(conditions(endpoint), expected, "{scenario}");
        assert_eq!(ips(endpoint), ["10.244.0.0"], "{scenario}");
        assert_eq!(endpoint.node.as_deref(), Some("node-1"), "{scenario}");
        assert_eq!(endpoint.zone.as_deref(), Some("zone-a"), "{scenario}");
        assert_eq!(cluster.sync(), NOTHING, "{scenario}");
    }
}

#[test]
fn host_names_are_written_where_the_subdomain_is_the_service() {
    let mut cluster = Cluster::with_pods(3);
    for (at, hostname, subdomain) in
        [(0, Some("db-0"), Some("web")), (1, Some("db-1"), Some("db")), (2, None, Some("web"))]
    {
        cluster.change_pod(at, |pod| {
            (pod.hostname, pod.subdomain) = (hostname.map(Into::into), subdomain.map(Into::into));
        });
    }
    cluster.sync();
    let names: Vec<_> = cluster.endpoints().map(|it| it.hostname.as_deref()).collect();
    assert_eq!(names, [Some("db-0"), None, None]);
    assert_eq!(cluster.sync(), NOTHING);

    // Another host name makes it another endpoint, in the same slice.
    cluster.change_pod(1, |pod| pod.subdomain = Some("web".into()));
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(cluster.endpoint(&pod_name(1)).hostname.as_deref(), Some("db-1"));
}

#[test]
fn each_family_has_the_address_of_its_family() {
    for (family, expected) in [(Family::V4, "10.244.0.0"), (Family::V6, "fd00::1:0")] {
        let mut cluster = Cluster::with_pods(1);
        cluster.service.ip_families = smallvec![family];
        cluster.sync();
        assert_eq!(ips(cluster.endpoint(&pod_name(0))), [expected]);
        assert_eq!(cluster.sync(), NOTHING);
    }
}

#[test]
fn a_finished_pod_is_no_endpoint_even_if_another_pod_has_its_address() {
    let mut cluster = Cluster::with_pods(2);
    let shared = cluster.pods[0].addresses.clone();
    cluster.change_pod(1, |pod| {
        pod.addresses = shared;
        pod.phase = Phase::Finished;
    });
    cluster.service.publish_not_ready = true;
    cluster.sync();
    assert_eq!(cluster.published(), [pod_name(0)]);
}

#[test]
fn issue_115907_two_pods_with_one_address_are_two_endpoints() {
    let mut cluster = Cluster::with_pods(2);
    let shared = cluster.pods[0].addresses.clone();
    cluster.change_pod(1, |pod| pod.addresses = shared);
    cluster.sync();
    assert_eq!(cluster.published(), [pod_name(0), pod_name(1)]);
    assert_eq!(ips(cluster.endpoint(&pod_name(0))), ips(cluster.endpoint(&pod_name(1))));
    assert_eq!(cluster.sync(), NOTHING);
    cluster.pods.remove(0);
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(cluster.published(), [pod_name(1)]);
}

#[test]
fn a_pod_that_finishes_or_loses_its_address_leaves() {
    type Change = fn(&mut Pod);
    let cases: [(&str, Change); 3] = [
        ("finished", |pod| pod.phase = Phase::Finished),
        ("no address any more", |pod| (pod.addresses, pod.has_address) = (smallvec![], false)),
        ("no address of the family any more", |pod| {
            pod.addresses.remove(0);
        }),
    ];
    for (scenario, change) in cases {
        let mut cluster = Cluster::with_pods(2);
        cluster.sync();
        cluster.change_pod(0, change);
        assert_eq!(cluster.sync(), (0, 1, 0), "{scenario}");
        assert_eq!(cluster.published(), [pod_name(1)], "{scenario}");
    }
}

#[test]
fn a_pod_that_was_made_anew_under_its_name_changes_in_place() {
    let mut cluster = Cluster::with_pods(3);
    cluster.sync();
    cluster.change_pod(1, |pod| pod.uid = "made-anew".into());
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(cluster.published(), [0, 1, 2].map(pod_name));
    let changed = &cluster.slices[0].endpoints[1];
    assert!(format!("{:?}", changed.target).contains("made-anew"));
    // With another address it is another endpoint, which still goes into the same slice.
    cluster.change_pod(1, |it| it.addresses = pod(40).addresses);
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(ips(cluster.endpoint(&pod_name(1))), ["10.244.0.40"]);
}

#[test]
fn what_does_not_matter_to_endpoints_is_no_reason_to_write() {
    let mut cluster = Cluster::with_pods(3);
    cluster.sync();
    cluster.change_pod(0, |pod| {
        pod.version = "99".into();
        pod.labels = [("app", "web"), ("more", "labels")].into_iter().collect();
        pod.ports = testing::pod("x").ports;
        pod.subdomain = Some("web".into());
    });
    assert_eq!(cluster.sync(), NOTHING);
    let again: Vec<_> = cluster.pods.iter().map(|pod| Arc::new(Pod::clone(pod))).collect();
    cluster.pods = again;
    assert_eq!(cluster.sync(), NOTHING);
}
