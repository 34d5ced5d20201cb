//! What a Pod is in an Endpoints object.

use std::sync::Arc;

use fairlead_objects::{ContainerPort, Phase, Pod, Protocol, TargetPort, testing};
use smallvec::smallvec;

use crate::support::{Cluster, Wrote, pod};

#[test]
fn what_is_written_of_a_pod() {
    let mut cluster = Cluster::with_pods(2);
    cluster.change_pod(0, |pod| {
        pod.hostname = Some("web-0".into());
        pod.subdomain = Some("web".into());
    });
    cluster.change_pod(1, |pod| pod.node = None);
    let plan = cluster.plan();
    let body = serde_json::to_value(plan.action.unwrap().desired().create_body()).unwrap();
    assert_eq!(
        body["subsets"],
        serde_json::json!([{"addresses": [
            {"ip": "10.0.0.1", "hostname": "web-0", "nodeName": "node-1",
                "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-0000", "uid": "uid-of-web-0000"}},
            {"ip": "10.0.0.2", "nodeName": "",
                "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-0001", "uid": "uid-of-web-0001"}},
        ], "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]}])
    );
    assert_eq!(body["metadata"]["name"], "web");
    assert_eq!(cluster.sync(), Wrote::Created);
    assert_eq!(cluster.sync(), Wrote::Nothing, "it is read back as it was written");
}

#[test]
fn changes_of_a_pod_that_call_for_a_write() {
    type Change = fn(&mut Pod);
    let table: [(&str, Change, Wrote); 8] = [
        ("ready", |pod| pod.ready = false, Wrote::Updated),
        ("address", |pod| pod.addresses[0] = [10, 9, 9, 9].into(), Wrote::Updated),
        (
            "address of the other family",
            |pod| pod.addresses[1] = [0xfd01, 0, 0, 0, 0, 0, 0, 1].into(),
            Wrote::Nothing,
        ),
        ("Node", |pod| pod.node = Some("node-2".into()), Wrote::Updated),
        ("uid", |pod| pod.uid = "another".into(), Wrote::Updated),
        ("being deleted", |pod| pod.terminating = true, Wrote::Updated),
        ("finished", |pod| pod.phase = Phase::Finished, Wrote::Updated),
        ("version", |pod| pod.version = "77".into(), Wrote::Nothing),
    ];
    for (scenario, change, expected) in table {
        let mut cluster = Cluster::with_pods(3);
        cluster.sync();
        cluster.change_pod(1, change);
        assert_eq!(cluster.sync(), expected, "{scenario}");
    }
}

/// Also 109718, 110115, 110255, 46776.
#[test]
fn issue_109414_finished_pods_are_not_published_whatever_the_service_publishes() {
    for publish_not_ready in [false, true] {
        let mut cluster = Cluster::with_pods(1);
        cluster.service.publish_not_ready = publish_not_ready;
        cluster.change_pod(0, |pod| pod.phase = Phase::Finished);
        cluster.sync();
        assert_eq!(cluster.counts(), (0, 0));
    }
}

/// Also 115906, 116078, 121556, 121330, 135266, 135334, 135593: an address that two Pods have stays there for both, each
/// with its own state.
#[test]
fn issue_115907_two_pods_with_one_address_are_two_addresses() {
    let mut cluster = Cluster::with_pods(2);
    cluster.change_pod(1, |pod| {
        pod.addresses = smallvec![[10, 0, 0, 1].into()];
        pod.ready = false;
    });
    cluster.sync();
    assert_eq!(cluster.subsets(), ["web-0000@10.0.0.1;web-0001@10.0.0.1;http:8080/TCP"]);
    assert_eq!(cluster.sync(), Wrote::Nothing);
    cluster.pods.remove(0);
    cluster.sync();
    assert_eq!(cluster.subsets(), [";web-0001@10.0.0.1;http:8080/TCP"]);
}

/// Also 54723, 89056, 116285, 127234, 92583, 116965.
#[test]
fn issue_58662_terminating_pods_are_published_only_where_everything_is() {
    for (publish_not_ready, expected) in [(false, (0, 0)), (true, (2, 0))] {
        let mut cluster = Cluster::with_pods(2);
        cluster.service.publish_not_ready = publish_not_ready;
        for (at, ready) in [(0, true), (1, false)] {
            cluster.change_pod(at, |pod| {
                pod.terminating = true;
                pod.ready = ready;
            });
        }
        cluster.sync();
        assert_eq!(cluster.counts(), expected, "{publish_not_ready}");
    }
}

#[test]
fn named_ports_split_the_subsets_and_pods_that_lack_them_all_are_in_none() {
    let named = |n: usize, number: Option<i32>| {
        let ports = number.map(|number| ContainerPort {
            name: "web".into(),
            protocol: Protocol::Tcp,
            container_port: number,
        });
        Arc::new(Pod { ports: Pod::share_ports(ports.into_iter().collect()), ..pod(n) })
    };
    let mut cluster = Cluster::with_pods(0);
    cluster.service.ports = vec![testing::service_port("http", TargetPort::Name("web".into()))];
    cluster.pods = vec![named(0, Some(80)), named(1, Some(81)), named(2, Some(80)), named(3, None)];
    cluster.sync();
    let expected = ["web-0000@10.0.0.1,web-0002@10.0.0.3;;http:80/TCP", "web-0001@10.0.0.2;;http:81/TCP"];
    assert_eq!(cluster.subsets(), expected);
    // One port that all have brings those together, and leaves the other apart.
    cluster.service.ports.push(testing::service_port("all", TargetPort::Number(9)));
    assert_eq!(cluster.sync(), Wrote::Updated);
    assert_eq!(cluster.subsets().len(), 3);
    assert_eq!(cluster.sync(), Wrote::Nothing);
}
