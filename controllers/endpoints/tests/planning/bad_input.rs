//! States that nobody should make.

use std::sync::Arc;

use fairlead_objects::{ContainerPort, Pod, Protocol, TargetPort, testing};
use serde_json::{Value, json};
use smallvec::smallvec;

use crate::support::{Cluster, LABELS, Wrote, address, http};

/// Whatever is there, one write makes it right, and there is no second one.
#[test]
fn any_existing_object_is_put_right_by_one_write() {
    let mut irregular = address(0);
    irregular["ip"] = "010.000.000.001".into();
    let mut wrong_target = address(0);
    wrong_target["targetRef"] = json!({"kind": "Widget", "name": "w", "fieldPath": "spec"});
    let mut no_node = address(0);
    no_node.as_object_mut().unwrap().remove("nodeName");
    let subset = |addresses: Value, ports: Value| json!([{"addresses": addresses, "ports": ports}]);
    for (scenario, subsets, expected) in [
        ("irregular address", subset(json!([irregular]), json!([http()])), Wrote::Updated),
        ("no address at all", subset(json!([{"ip": "nonsense"}]), json!([http()])), Wrote::Updated),
        ("loopback", subset(json!([{"ip": "127.0.0.1"}]), json!([http()])), Wrote::Updated),
        ("mixed families", subset(json!([address(0), {"ip": "fd00::1"}]), json!([http()])), Wrote::Updated),
        ("wrong target", subset(json!([wrong_target]), json!([http()])), Wrote::Updated),
        ("no Node", subset(json!([no_node]), json!([http()])), Wrote::Updated),
        ("absurd port", subset(json!([address(0)]), json!([{"name": "http", "port": -7}])), Wrote::Updated),
        ("no ports", subset(json!([address(0)]), json!([])), Wrote::Updated),
        ("a port twice", subset(json!([address(0)]), json!([http(), http()])), Wrote::Nothing),
        ("an address twice", subset(json!([address(0), address(0)]), json!([http()])), Wrote::Nothing),
        (
            "ready and not ready at once",
            json!([{"addresses": [address(0)], "notReadyAddresses": [address(0)], "ports": [http()]}]),
            Wrote::Updated,
        ),
        ("nothing in it", json!([{}, {"addresses": null}]), Wrote::Updated),
    ] {
        let mut cluster = Cluster::with_pods(1).existing(LABELS, &subsets);
        assert_eq!(cluster.sync(), expected, "{scenario}");
        assert_eq!(cluster.sync(), Wrote::Nothing, "{scenario}");
        let right = if expected == Wrote::Updated { 1 } else { cluster.counts().0 };
        assert_eq!(cluster.counts(), (right, 0), "{scenario}");
    }
}

#[test]
fn very_many_addresses_that_somebody_stored_are_put_right_by_one_write() {
    for count in [1001, 5000] {
        let addresses: Vec<Value> = (0..count).map(address).collect();
        let stored = json!([{"addresses": addresses, "ports": [http()]}]);
        let mut cluster = Cluster::with_pods(2).existing(LABELS, &stored);
        assert_eq!(cluster.sync(), Wrote::Updated);
        assert_eq!(cluster.counts(), (2, 0));
        assert_eq!(cluster.sync(), Wrote::Nothing);
    }
}

/// The API server does not admit such a container port; numbers below 1 would make every write fail.
#[test]
fn ports_below_one_are_left_out() {
    let mut cluster = Cluster::with_pods(1);
    cluster.service.ports.push(testing::service_port("odd", TargetPort::Name("odd".into())));
    let odd = ContainerPort { name: "odd".into(), protocol: Protocol::Tcp, container_port: -1 };
    cluster.change_pod(0, |pod| pod.ports = Pod::share_ports(vec![odd]));
    cluster.sync();
    assert_eq!(cluster.subsets(), ["web-0000@10.0.0.1;;http:8080/TCP"]);
    assert_eq!(cluster.sync(), Wrote::Nothing);
}

#[test]
fn odd_pods_do_no_harm() {
    let mut cluster = Cluster::with_pods(4);
    cluster.change_pod(0, |pod| pod.addresses.clear());
    cluster.change_pod(1, |pod| {
        pod.addresses = smallvec![];
        pod.has_address = false;
    });
    cluster.change_pod(2, |pod| pod.uid = "".into());
    cluster.sync();
    assert_eq!(cluster.counts(), (2, 0));
    assert_eq!(cluster.sync(), Wrote::Nothing);
    // The same Pod twice is one address.
    cluster.pods.push(Arc::clone(&cluster.pods[3]));
    assert_eq!(cluster.sync(), Wrote::Nothing);
}

/// An object that is being deleted, and held by a finalizer, is kept right as long as it is there.
#[test]
fn issue_108267_an_object_that_is_being_deleted_is_kept_right() {
    let mut cluster = Cluster::with_pods(1);
    cluster.sync();
    cluster.change_endpoints(|it| it.terminating = true);
    assert_eq!(cluster.sync(), Wrote::Nothing);
    cluster.change_pod(0, |pod| pod.ready = false);
    assert_eq!(cluster.sync(), Wrote::Updated);
}
