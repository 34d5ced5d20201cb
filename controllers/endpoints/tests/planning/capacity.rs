//! What becomes of more addresses than an Endpoints object holds.

use std::sync::Arc;

use fairlead_discovery::names::OVER_CAPACITY;
use fairlead_endpoints::{CAPACITY, Overflow};
use fairlead_objects::{ContainerPort, Pod, Protocol, TargetPort, testing};
use serde_json::{Value, json};

use crate::support::{Cluster, LABELS, Wrote, address, http, pod};

/// Numbers of addresses that there are, that are ready and not ready now, and the annotation before; then what is
/// there afterwards.
#[test]
fn test_sync_service_over_capacity() {
    for (scenario, before, existing, (ready, not_ready), expected, truncated) in [
        ("empty", None, 0, (0, 0), (0, 0), false),
        ("past capacity, not all ready", None, CAPACITY - 1, (CAPACITY - 3, 4), (CAPACITY - 3, 3), true),
        ("past capacity, all ready", None, CAPACITY - 1, (CAPACITY, 10), (CAPACITY, 0), true),
        (
            "below capacity again",
            Some("truncated"),
            CAPACITY - 1,
            (CAPACITY - 1, 0),
            (CAPACITY - 1, 0),
            false,
        ),
        ("a warning of old, at capacity", Some("warning"), CAPACITY, (CAPACITY, 0), (CAPACITY, 0), false),
        ("a warning of old, above", Some("warning"), CAPACITY + 1, (CAPACITY + 1, 0), (CAPACITY, 0), true),
        ("at capacity again", Some("truncated"), CAPACITY, (CAPACITY, 0), (CAPACITY, 0), false),
        ("another value", Some("invalid"), CAPACITY + 1, (CAPACITY + 1, 0), (CAPACITY, 0), true),
    ] {
        let addresses: Vec<Value> = (0..existing).map(address).collect();
        let subsets =
            if existing == 0 { json!([]) } else { json!([{"addresses": addresses, "ports": [http()]}]) };
        let mut cluster = Cluster::with_pods(ready + not_ready).existing(LABELS, &subsets);
        for at in ready..ready + not_ready {
            cluster.change_pod(at, |pod| pod.ready = false);
        }
        if let Some(before) = before {
            cluster.change_endpoints(|it| it.annotations = [(OVER_CAPACITY, before)].into_iter().collect());
        }
        cluster.sync();
        assert_eq!(cluster.counts(), expected, "{scenario}");
        assert_eq!(cluster.annotation(OVER_CAPACITY), truncated.then_some("truncated"), "{scenario}");
        assert_eq!(cluster.sync(), Wrote::Nothing, "{scenario}: it is not written again and again");
    }
}

/// Upstream compares with what there would be without the limit.
#[test]
fn issue_126578_an_object_over_capacity_is_written_only_when_it_changes() {
    for pods in [1001, 5000] {
        let mut cluster = Cluster::with_pods(pods);
        assert_eq!(cluster.sync(), Wrote::Created);
        assert_eq!(cluster.plan().overflow, Some(Overflow { wanted: pods, ready: pods }));
        assert_eq!(cluster.sync(), Wrote::Nothing);
        cluster.change_pod(pods - 1, |pod| pod.addresses[0] = [10, 99, 99, 99].into());
        assert_eq!(cluster.sync(), Wrote::Nothing, "one that has no room changes its address");
        cluster.change_pod(0, |pod| pod.ready = false);
        assert_eq!(cluster.sync(), Wrote::Updated, "its place is free");
        assert_eq!(cluster.counts(), (CAPACITY, 0));
        cluster.pods.truncate(500);
        assert_eq!(cluster.sync(), Wrote::Updated);
        assert_eq!((cluster.counts(), cluster.annotation(OVER_CAPACITY)), ((499, 1), None));
    }
}

/// One port that all have, and one that each half has with another number: three sets of ports, which share the room.
fn two_halves(count: usize) -> Cluster {
    let mut cluster = Cluster::with_pods(0);
    cluster.service.ports.push(testing::service_port("own", TargetPort::Name("own".into())));
    let own = |n: usize| {
        let number = if n.is_multiple_of(2) { 7000 } else { 7001 };
        let ports =
            vec![ContainerPort { name: "own".into(), protocol: Protocol::Tcp, container_port: number }];
        Arc::new(Pod { ports: Pod::share_ports(ports), ready: !n.is_multiple_of(5), ..pod(n) })
    };
    cluster.pods = (0..count).map(own).collect();
    cluster
}

#[test]
fn subsets_share_the_room_and_what_is_cut_off_is_no_reason_to_write_again() {
    for pods in [600, 700, 1500] {
        let mut cluster = two_halves(pods);
        assert_eq!(cluster.sync(), Wrote::Created);
        let (ready, not_ready) = cluster.counts();
        assert_eq!(ready + not_ready, CAPACITY, "{pods} Pods are {} addresses", 2 * pods);
        assert_eq!(cluster.sync(), Wrote::Nothing, "{pods}");
        // In whatever order somebody stores it.
        cluster.change_endpoints(|it| {
            it.subsets.reverse();
            for subset in &mut it.subsets {
                subset.addresses.reverse();
            }
        });
        assert_eq!(cluster.sync(), Wrote::Nothing, "{pods}: only the order differs");
    }
}

/// Without room for any of its addresses a subset would have none, which the API server refuses.
#[test]
fn gap_subsets_without_any_room_are_left_out() {
    let mut cluster = two_halves(2400);
    cluster.service.ports.remove(0);
    for at in 0..2400 {
        cluster.change_pod(at, |pod| pod.ready = at.is_multiple_of(2));
    }
    assert_eq!(cluster.sync(), Wrote::Created);
    assert_eq!(cluster.counts(), (CAPACITY, 0));
    assert_eq!(cluster.subsets().len(), 1);
    assert_eq!(cluster.sync(), Wrote::Nothing);
}
