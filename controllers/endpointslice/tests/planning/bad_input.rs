//! States that should not be and are: nothing panics, nothing loops, nothing is lost.

use std::sync::Arc;

use fairlead_objects::{ClusterIp, Family, Pod, Service, TargetPort, testing};
use smallvec::smallvec;

use crate::support::{Cluster, NOTHING, ips, pod_name, port_numbers};

/// After one round nothing is left to write, and every family has a slice.
fn settles(scenario: &str, cluster: &mut Cluster) {
    cluster.sync();
    assert_eq!(cluster.sync(), NOTHING, "{scenario}");
    let families = fairlead_discovery::families(&cluster.service);
    for family in families {
        let wanted = fairlead_objects::AddressType::Ip(family);
        assert!(cluster.slices.iter().any(|slice| slice.address_type == wanted), "{scenario}");
    }
}

#[test]
fn a_port_name_that_no_container_has_leaves_out_the_port_and_keeps_the_pod() {
    let mut cluster = Cluster::with_pods(3);
    cluster.service.ports = vec![
        testing::service_port("known", TargetPort::Name("web".into())),
        testing::service_port("unknown", TargetPort::Name("nonsense".into())),
    ];
    settles("one of two names unknown", &mut cluster);
    assert_eq!(port_numbers(&cluster.slices[0].ports), [8080]);
    assert_eq!(cluster.sizes(), [3]);

    cluster.service.ports.remove(0);
    settles("the only name unknown", &mut cluster);
    assert_eq!(port_numbers(&cluster.slices[0].ports), [0; 0]);
    assert_eq!(cluster.sizes(), [3]);
}

#[test]
fn a_service_without_ports_has_endpoints_without_ports() {
    for cluster_ip in [ClusterIp::None, ClusterIp::Unset, testing::service("web").cluster_ip] {
        let service = Service { cluster_ip, ports: Vec::new(), ..testing::service("web") };
        let mut cluster = Cluster::new(service);
        cluster.add_pods(0..3);
        settles("without ports", &mut cluster);
        assert_eq!(cluster.sizes(), [3]);
        // Down to the placeholder, which has the same ports, and up again: always in place.
        let name = cluster.slices[0].key.name.clone();
        for pods in [0, 2] {
            cluster.pods.clear();
            cluster.add_pods(0..pods);
            assert_eq!(cluster.sync(), (0, 1, 0), "{pods} Pods");
            assert_eq!(cluster.slices[0].key.name, name);
            assert_eq!(cluster.sizes(), [pods]);
        }
    }
}

#[test]
fn several_addresses_of_one_family_are_one_endpoint() {
    let mut cluster = Cluster::with_pods(2);
    let addresses = ["10.0.0.9", "10.0.0.10", "fd00::1"].map(|text| text.parse().unwrap());
    cluster.change_pod(0, |pod| pod.addresses = addresses.into_iter().collect());
    settles("several addresses", &mut cluster);
    assert_eq!(ips(cluster.endpoint(&pod_name(0))), ["10.0.0.10", "10.0.0.9"]);
    // Their order plays no part.
    cluster.change_pod(0, |pod| pod.addresses.reverse());
    assert_eq!(cluster.sync(), NOTHING);
}

#[test]
fn pods_without_a_usable_address_are_no_endpoints() {
    let mut cluster = Cluster::with_pods(3);
    // podIP without podIPs, and texts that are no address.
    for (at, status) in
        [(0, r#"{"podIP": "10.0.0.1"}"#), (1, r#"{"podIP": "x", "podIPs": [{"ip": "x"}, {"ip": ""}]}"#)]
    {
        let json = format!(
            r#"{{"metadata": {{"namespace": "shop", "name": "{}"}}, "spec": {{"nodeName": "node-1"}}, "status": {status}}}"#,
            pod_name(at)
        );
        cluster.pods[at] = Arc::new(testing::decode::<Pod>(&json));
    }
    settles("without a usable address", &mut cluster);
    assert_eq!(cluster.published(), [pod_name(2)]);
}

#[test]
fn nodes_without_zone_give_endpoints_without_zone() {
    let mut cluster = Cluster::with_pods(2);
    cluster.nodes = vec![Arc::new(testing::node("node-1", None))];
    settles("without zone", &mut cluster);
    assert!(cluster.endpoints().all(|it| it.zone.is_none() && it.node.is_some()));
}

#[test]
fn gap_names_of_63_characters_are_written_whole() {
    let name = "s".repeat(63);
    let mut cluster = Cluster::new(testing::service(&name));
    cluster.add_pods(0..3);
    settles("a long name", &mut cluster);
    let slice = &cluster.slices[0];
    assert_eq!(slice.generate_name.as_deref(), Some(format!("{name}-").as_str()));
    assert_eq!(slice.labels.get("kubernetes.io/service-name").unwrap(), &name.as_str());
    assert_eq!(slice.owners[0].name, name.as_str());
    assert_eq!(slice.key.name.len(), 63, "cut by the API server");
}

#[test]
fn a_service_whose_families_are_unknown_settles() {
    for cluster_ip in [ClusterIp::None, ClusterIp::Unset, testing::service("web").cluster_ip] {
        let service = Service { ip_families: smallvec![], cluster_ip, ..testing::service("web") };
        let mut cluster = Cluster::new(service);
        settles("no Pod", &mut cluster);
        cluster.add_pods(0..3);
        settles("Pods", &mut cluster);
    }
    // The families arrive with a later event.
    let service =
        Service { ip_families: smallvec![], cluster_ip: ClusterIp::None, ..testing::service("web") };
    let mut cluster = Cluster::new(service);
    cluster.add_pods(0..3);
    cluster.sync();
    cluster.service.ip_families = smallvec![Family::V6];
    assert_eq!(cluster.sync(), (0, 0, 1));
    settles("families known", &mut cluster);
}

#[test]
fn slices_with_odd_content_are_put_right() {
    let odd = r#"[{}, {"addresses": []}, {"addresses": ["nonsense"], "targetRef": {}},
        {"addresses": ["10.244.0.0", "10.244.0.0"], "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-00000", "uid": "x"}},
        {"addresses": ["010.244.0.1"], "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-00001", "uid": "x"}}]"#;
    let json =
        format!(r#"{{"metadata": {{"namespace": "shop"}}, "addressType": "IPv4", "endpoints": {odd}}}"#);
    let strange: fairlead_objects::Slice = testing::decode(&json);
    let mut cluster = Cluster::with_pods(2);
    cluster.sync();
    cluster.change_slice(0, |slice| slice.endpoints = strange.endpoints);
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(cluster.published(), [pod_name(0), pod_name(1)]);
    assert_eq!(ips(cluster.endpoint(&pod_name(1))), ["10.244.0.1"]);
    assert_eq!(cluster.sync(), NOTHING);
}

#[test]
fn a_selector_that_picks_pods_without_anything_settles() {
    let mut cluster = Cluster::new(testing::service("web"));
    cluster.pods = vec![
        Arc::new(testing::decode("{}")),
        Arc::new(testing::decode(r#"{"metadata": null}"#.replace("null", "{}").as_str())),
    ];
    settles("empty Pods", &mut cluster);
    assert_eq!(cluster.sizes(), [0]);
}

#[test]
fn one_changed_pod_of_five_thousand_is_one_write() {
    let mut cluster = Cluster::with_pods(5_000);
    cluster.service.ports = vec![testing::service_port("http", TargetPort::Name("web".into()))];
    assert_eq!(cluster.sync(), (50, 0, 0));
    assert_eq!(cluster.sizes(), [100; 50]);
    assert_eq!(cluster.sync(), NOTHING);
    cluster.change_pod(2_500, |pod| pod.ready = false);
    let plan = cluster.plan();
    assert_eq!(plan.actions.len(), 1);
    cluster.apply(plan);
    assert_eq!(cluster.published().len(), 5_000);
    cluster.pods.clear();
    assert_eq!(cluster.sync(), (0, 1, 49));
}
