//! The unit tests of kube-controller-manager's endpoints-controller that are about what is written, one by one.

use std::sync::Arc;

use fairlead_discovery::names::{ENDPOINTS_MANAGED_BY, HEADLESS};
use fairlead_endpoints::has_endpoints;
use fairlead_objects::{
    ClusterIp, ContainerPort, Labels, Phase, Pod, Protocol, Service, ServicePort, ServiceType, TargetPort,
    testing,
};
use serde_json::{Value, json};

use crate::support::{Cluster, LABELS, Wrote, address, http, pod};

fn port(name: &str, target: i32, protocol: Protocol) -> ServicePort {
    ServicePort { protocol, ..testing::service_port(name, TargetPort::Number(target)) }
}

fn service_with(ports: Vec<ServicePort>) -> Service {
    Service { ports, ..testing::service("web") }
}

#[test]
fn test_sync_endpoints_items_preserve_no_selector() {
    for service in [
        Service { selector: None, ..testing::service("web") },
        Service { selector: None, kind: ServiceType::ExternalName, ..testing::service("web") },
    ] {
        assert!(!has_endpoints(&service));
    }
    assert!(has_endpoints(&testing::service("web")));
}

#[test]
fn test_sync_service_external_name_type() {
    for (selector, ports) in [(true, true), (true, false), (false, true), (false, false)] {
        let service = Service {
            kind: ServiceType::ExternalName,
            selector: testing::service("web").selector.filter(|_| selector),
            ports: if ports { testing::service("web").ports } else { Vec::new() },
            ..testing::service("web")
        };
        assert!(!has_endpoints(&service), "{selector} {ports}");
    }
}

#[test]
fn test_sync_endpoints_existing_nil_and_empty_subsets() {
    for subsets in [Value::Null, json!([])] {
        let mut cluster = Cluster::with_pods(0).existing(LABELS, &subsets);
        assert_eq!(cluster.sync(), Wrote::Nothing, "{subsets}");
    }
}

#[test]
fn test_sync_endpoints_with_pod_resource_version_update_only() {
    let mut first = address(0);
    first["targetRef"]["resourceVersion"] = "1".into();
    let subsets = json!([{"addresses": [first], "notReadyAddresses": [address(1)], "ports": [http()]}]);
    let mut cluster = Cluster::with_pods(2).existing(LABELS, &subsets);
    cluster.change_pod(1, |pod| pod.ready = false);
    for at in 0..2 {
        cluster.change_pod(at, |pod| pod.version = "1234".into());
    }
    assert_eq!(cluster.sync(), Wrote::Nothing);
}

#[test]
fn test_sync_endpoints_new_no_subsets() {
    let mut cluster = Cluster::with_pods(0);
    assert_eq!(cluster.sync(), Wrote::Created);
    assert_eq!(cluster.subsets(), [""; 0]);
    assert_eq!(cluster.sync(), Wrote::Nothing);
}

#[test]
fn test_sync_endpoints_protocol_tcp_udp_sctp() {
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        let other = json!([{"addresses": [{"ip": "6.7.8.9", "nodeName": "emptyHost"}],
            "ports": [{"port": 1000, "protocol": protocol.as_str()}]}]);
        let mut cluster = Cluster::with_pods(1).existing(LABELS, &other);
        cluster.service.ports = vec![port("", 8080, protocol)];
        assert_eq!(cluster.sync(), Wrote::Updated);
        assert_eq!(cluster.subsets(), [format!("web-0000@10.0.0.1;;:8080/{}", protocol.as_str())]);
    }
}

#[test]
fn test_sync_endpoints_headless_service_label() {
    let labels = [LABELS, &[(HEADLESS, "")]].concat();
    let mut cluster = Cluster::with_pods(0).existing(&labels, &json!([]));
    assert_eq!(cluster.sync(), Wrote::Nothing);
}

#[test]
fn test_sync_endpoints_protocol_multi_protocol_same_port() {
    let mut cluster = Cluster::with_pods(1).existing(LABELS, &json!([]));
    cluster.service.ports = vec![port("tcp", 8080, Protocol::Tcp), port("udp", 8080, Protocol::Udp)];
    assert_eq!(cluster.sync(), Wrote::Updated);
    assert_eq!(cluster.subsets(), ["web-0000@10.0.0.1;;tcp:8080/TCP,udp:8080/UDP"]);
    // In the order of kube-controller-manager's hashes on the wire.
    let mut unnamed = Cluster::with_pods(1);
    unnamed.service.ports = vec![port("", 8080, Protocol::Tcp), port("", 8080, Protocol::Udp)];
    let plan = unnamed.plan();
    let body = plan.action.expect("it is created").desired().create_body();
    let ports = body.subsets.unwrap().remove(0).ports.unwrap();
    let protocols: Vec<_> = ports.iter().map(|port| port.protocol.as_deref().unwrap()).collect();
    assert_eq!(protocols, ["UDP", "TCP"]);
}

/// `{}` is dropped by the API server; whoever still has it, selects everything.
#[test]
fn test_sync_endpoints_items_empty_selector_selects_all() {
    let service = Service { selector: Some(Labels::default()), ..testing::service("web") };
    assert!(has_endpoints(&service));
    for (not_ready, expected) in [
        (&[][..], "web-0000@10.0.0.1,web-0001@10.0.0.2;;http:8080/TCP"),
        (&[0, 1], ";web-0000@10.0.0.1,web-0001@10.0.0.2;http:8080/TCP"),
        (&[1], "web-0000@10.0.0.1;web-0001@10.0.0.2;http:8080/TCP"),
    ] {
        let mut cluster = Cluster::with_pods(2);
        cluster.service.clone_from(&service);
        for at in not_ready {
            cluster.change_pod(*at, |pod| pod.ready = false);
        }
        assert_eq!(cluster.sync(), Wrote::Created);
        assert_eq!(cluster.subsets(), [expected]);
    }
}

#[test]
fn test_sync_endpoints_items_preexisting() {
    let other =
        json!([{"addresses": [{"ip": "6.7.8.9", "nodeName": "emptyHost"}], "ports": [{"port": 1000}]}]);
    let mut cluster = Cluster::with_pods(1).existing(LABELS, &other);
    assert_eq!(cluster.sync(), Wrote::Updated);
    assert_eq!(cluster.subsets(), ["web-0000@10.0.0.1;;http:8080/TCP"]);
}

#[test]
fn test_sync_endpoints_items_preexisting_identical_and_unsorted() {
    let two = json!([{"addresses": [address(1), address(0)], "ports": [http()]}]);
    let split = json!([
        {"addresses": [address(1)], "ports": [http()]},
        {"addresses": [address(0)], "ports": [http()]},
    ]);
    for subsets in [json!([{"addresses": [address(0), address(1)], "ports": [http()]}]), two, split] {
        let mut cluster = Cluster::with_pods(2).existing(LABELS, &subsets);
        assert_eq!(cluster.sync(), Wrote::Nothing, "{subsets}");
    }
}

#[test]
fn test_sync_endpoints_items() {
    let mut cluster = Cluster::with_pods(3);
    cluster.service.ports = vec![port("port0", 8080, Protocol::Tcp), port("port1", 8088, Protocol::Tcp)];
    assert_eq!(cluster.sync(), Wrote::Created);
    assert_eq!(
        cluster.subsets(),
        ["web-0000@10.0.0.1,web-0001@10.0.0.2,web-0002@10.0.0.3;;port0:8080/TCP,port1:8088/TCP"]
    );
}

#[test]
fn test_sync_endpoints_items_with_labels() {
    let mut cluster = Cluster::with_pods(3);
    cluster.service.labels = [("foo", "bar")].into_iter().collect();
    cluster.sync();
    assert_eq!(cluster.label("foo"), Some("bar"));
    assert_eq!(cluster.label(ENDPOINTS_MANAGED_BY), Some("endpoint-controller"));
}

#[test]
fn test_sync_endpoints_items_preexisting_labels_change() {
    let subsets = json!([{"addresses": [address(0)], "ports": [http()]}]);
    let mut cluster = Cluster::with_pods(1).existing(&[("foo", "bar")], &subsets);
    cluster.service.labels = [("baz", "blah")].into_iter().collect();
    assert_eq!(cluster.sync(), Wrote::Updated);
    assert_eq!((cluster.label("baz"), cluster.label("foo")), (Some("blah"), None));
}

#[test]
fn test_sync_endpoints_headless_service() {
    let mut cluster = Cluster::with_pods(1).existing(&[("a", "b")], &json!([]));
    cluster.service.cluster_ip = ClusterIp::None;
    let service = cluster.service.labels.clone();
    assert_eq!(cluster.sync(), Wrote::Updated);
    assert_eq!(cluster.label(HEADLESS), Some(""));
    assert_eq!(cluster.service.labels, service, "the Service keeps its own");
}

#[test]
fn test_sync_endpoints_headless_without_port() {
    let mut cluster = Cluster::with_pods(1);
    cluster.service.ports.clear();
    cluster.service.cluster_ip = ClusterIp::None;
    cluster.sync();
    assert_eq!(cluster.subsets(), ["web-0000@10.0.0.1;;"]);
    // Others that have no ports have no subsets.
    for cluster_ip in [ClusterIp::Unset, ClusterIp::Address([10, 96, 0, 1].into())] {
        let mut cluster = Cluster::with_pods(1);
        cluster.service.ports.clear();
        cluster.service.cluster_ip = cluster_ip;
        cluster.sync();
        assert_eq!(cluster.subsets(), [""; 0], "{cluster_ip:?}");
    }
}

#[test]
fn test_sync_endpoints_items_exclude_finished_pods_whatever_their_restart_policy() {
    for (restart_policy, phase) in
        [("Never", "Failed"), ("Never", "Succeeded"), ("OnFailure", "Succeeded"), ("Always", "Failed")]
    {
        let pod: Pod = testing::decode(&format!(
            r#"{{"metadata": {{"namespace": "shop", "name": "p", "labels": {{"app": "web"}}}},
                "spec": {{"restartPolicy": "{restart_policy}"}},
                "status": {{"phase": "{phase}", "podIP": "10.0.0.1", "podIPs": [{{"ip": "10.0.0.1"}}]}}}}"#
        ));
        let mut cluster =
            Cluster::with_pods(0).existing(LABELS, &json!([{"addresses": [{"ip": "1.1.1.1"}]}]));
        cluster.pods = vec![Arc::new(pod)];
        assert_eq!(cluster.sync(), Wrote::Updated);
        assert_eq!(cluster.subsets(), [""; 0], "{restart_policy} {phase}");
    }
}

#[test]
fn test_endpoint_port_from_service_port() {
    for app_protocol in [None, Some("HTTP")] {
        let mut cluster = Cluster::with_pods(1);
        cluster.service.ports[0].app_protocol = app_protocol.map(Into::into);
        let plan = cluster.plan();
        let body = plan.action.expect("it is created").desired().create_body();
        let port = body.subsets.unwrap().remove(0).ports.unwrap().remove(0);
        assert_eq!(port.app_protocol.as_deref(), app_protocol);
        assert_eq!(
            (port.name.as_deref(), port.port, port.protocol.as_deref()),
            (Some("http"), 8080, Some("TCP"))
        );
    }
}

/// Ready condition, being deleted, `publishNotReadyAddresses` and phase; then the numbers of addresses that are ready and
/// that are not.
#[test]
fn test_sync_service_addresses() {
    const T: bool = true;
    const F: bool = false;
    for (active, ready, terminating, publish, expected) in [
        (T, T, F, F, (1, 0)),
        (T, T, T, F, (0, 0)),
        (T, F, F, F, (0, 1)),
        (T, F, T, F, (0, 0)),
        (F, T, F, F, (0, 0)),
        (F, F, F, F, (0, 0)),
        (F, F, T, F, (0, 0)),
        (T, T, F, T, (1, 0)),
        (T, F, F, T, (1, 0)),
        (T, T, T, T, (1, 0)),
        (T, F, T, T, (1, 0)),
        (F, F, F, T, (0, 0)),
        (F, T, F, T, (0, 0)),
        (F, T, T, T, (0, 0)),
    ] {
        let mut cluster = Cluster::with_pods(1);
        cluster.service.publish_not_ready = publish;
        cluster.change_pod(0, |pod| {
            pod.phase = if active { Phase::Active } else { Phase::Finished };
            pod.ready = ready;
            pod.terminating = terminating;
        });
        cluster.sync();
        assert_eq!(cluster.counts(), expected, "{active} {ready} {terminating} {publish}");
    }
    // Which phases are active.
    for (phase, expected) in [
        ("Running", (1, 0)),
        ("Unknown", (1, 0)),
        ("Pending", (1, 0)),
        ("Failed", (0, 0)),
        ("Succeeded", (0, 0)),
    ] {
        let mut cluster = Cluster::with_pods(0);
        cluster.pods = vec![Arc::new(testing::decode(&format!(
            r#"{{"metadata": {{"namespace": "shop", "name": "p", "labels": {{"app": "web"}}}},
                "status": {{"phase": "{phase}", "podIP": "10.0.0.1", "podIPs": [{{"ip": "10.0.0.1"}}],
                    "conditions": [{{"type": "Ready", "status": "True"}}]}}}}"#
        )))];
        cluster.sync();
        assert_eq!(cluster.counts(), expected, "{phase}");
    }
}

/// What calls for a write: subsets, a ready and an unready address, ports; not the version of a Pod.
#[test]
fn test_endpoint_subsets_equal_ignore_resource_version() {
    let versioned = |n: usize, version: Option<&str>| {
        let mut address = address(n);
        address["targetRef"]["resourceVersion"] = version.into();
        address
    };
    let subset = |ready: &Value, not_ready: &Value, ports: &Value| json!([{"addresses": [ready], "notReadyAddresses": [not_ready], "ports": ports}]);
    let (first, second, ports) = (versioned(0, Some("1")), versioned(1, Some("2")), json!([http()]));
    let mut elsewhere = address(0);
    elsewhere["ip"] = "10.9.9.9".into();
    let mut not_ready_elsewhere = address(1);
    not_ready_elsewhere["ip"] = "10.9.9.9".into();
    for (scenario, subsets, expected) in [
        ("subsets removed", json!([]), Wrote::Updated),
        ("ready IP changed", subset(&elsewhere, &second, &ports), Wrote::Updated),
        ("notReady IP changed", subset(&first, &not_ready_elsewhere, &ports), Wrote::Updated),
        ("ports changed", subset(&first, &second, &json!([{"port": 8082}])), Wrote::Updated),
        ("Pod's version removed", subset(&versioned(0, None), &second, &ports), Wrote::Nothing),
        ("Pod's version changed", subset(&versioned(0, Some("3")), &second, &ports), Wrote::Nothing),
    ] {
        let mut cluster = Cluster::with_pods(2).existing(LABELS, &subsets);
        cluster.change_pod(1, |pod| pod.ready = false);
        assert_eq!(cluster.sync(), expected, "{scenario}");
    }
}

#[test]
fn test_sync_endpoints_add_delete_ports() {
    let named = |name: &str| testing::service_port(name, TargetPort::Name(name.into()));
    let with_port = |n: usize, name: &str, number: i32| {
        let ports =
            vec![ContainerPort { name: name.into(), protocol: Protocol::Tcp, container_port: number }];
        Arc::new(Pod { ports: Pod::share_ports(ports), ..pod(n) })
    };
    let mut cluster = Cluster::new(service_with(vec![named("port1")]));
    cluster.pods = vec![with_port(1, "port1", 10101), with_port(2, "port2", 10102)];
    cluster.sync();
    let first = "web-0001@10.0.0.2;;port1:10101/TCP";
    let second = "web-0002@10.0.0.3;;port2:10102/TCP";
    assert_eq!(cluster.subsets(), [first]);
    cluster.service.ports.push(named("port2"));
    assert_eq!(cluster.sync(), Wrote::Updated);
    assert_eq!(cluster.subsets(), [first, second]);
    cluster.service.ports.remove(0);
    assert_eq!(cluster.sync(), Wrote::Updated);
    assert_eq!(cluster.subsets(), [second]);
}
