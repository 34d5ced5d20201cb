//! The first slices of a Service, and the placeholder.

use std::sync::Arc;

use fairlead_discovery::names::{HEADLESS, SERVICE_NAME, SLICE_CONTROLLER, SLICE_MANAGED_BY};
use fairlead_objects::{AddressType, ClusterIp, Endpoint, Family, Labels, Pod, Service, Slice, testing};
use smallvec::smallvec;

use crate::support::{Cluster, NOTHING, conditions, ips, labels_of, name_of, owner, port_numbers};

const V4: AddressType = AddressType::Ip(Family::V4);
const V6: AddressType = AddressType::Ip(Family::V6);

#[test]
fn a_service_without_pods_has_one_slice_without_endpoints_and_ports() {
    let mut cluster = Cluster::new(testing::service("web"));
    assert_eq!(cluster.sync(), (1, 0, 0));
    let slice = &cluster.slices[0];
    assert!(slice.endpoints.is_empty() && slice.ports.is_empty());
    assert_eq!(slice.generate_name.as_deref(), Some("web-"));
    assert!(slice.key.name.starts_with("web-"));
    assert_eq!(slice.key.namespace, "shop");
    assert_eq!(*slice.owners, [owner(&cluster.service)]);
    assert_eq!(labels_of(slice), [("team", "checkout")]);
    assert_eq!(cluster.sync(), NOTHING);
}

/// A Service with these families and this cluster IP has these slices for one Pod with an address of each family.
fn slices_for_one_pod(families: &[Family], cluster_ip: ClusterIp) -> Vec<(AddressType, Vec<String>, bool)> {
    let service =
        Service { ip_families: families.iter().copied().collect(), cluster_ip, ..testing::service("web") };
    let mut cluster = Cluster::new(service);
    cluster.pods = vec![Arc::new(Pod {
        // Irregular texts, as they come from the network plug-in.
        ..testing::decode(
            r#"{"metadata": {"namespace": "shop", "name": "web-0", "uid": "u"}, "spec": {"nodeName": "node-1"},
                "status": {"phase": "Running", "podIP": "10.0.0.01",
                    "podIPs": [{"ip": "10.0.0.01"}, {"ip": "1234::5678:0000:0000:9abc:def0"}],
                    "conditions": [{"type": "Ready", "status": "True"}]}}"#,
        )
    })];
    let (creates, 0, 0) = cluster.sync() else { panic!("only creates expected") };
    assert_eq!(creates, cluster.slices.len());
    assert_eq!(cluster.sync(), NOTHING);
    cluster
        .slices
        .iter()
        .map(|slice| {
            let [endpoint] = &*slice.endpoints else { panic!("one endpoint expected") };
            assert_eq!(name_of(endpoint), "web-0");
            assert_eq!(endpoint.node.as_deref(), Some("node-1"));
            assert_eq!(endpoint.zone.as_deref(), Some("zone-a"));
            assert_eq!(conditions(endpoint), [Some(true), Some(true), Some(false)]);
            assert_eq!(endpoint.hints, None);
            assert_eq!(port_numbers(&slice.ports), [8080]);
            let headless = slice.labels.get(HEADLESS).is_some();
            (slice.address_type.clone(), ips(endpoint), headless)
        })
        .collect()
}

#[test]
fn one_pod_has_an_endpoint_in_each_family_of_the_service() {
    let v4 = |headless| (V4, vec!["10.0.0.1".to_owned()], headless);
    let v6 = |headless| (V6, vec!["1234::5678:0:0:9abc:def0".to_owned()], headless);
    let ip = |text: &str| ClusterIp::Address(text.parse().unwrap());
    for (scenario, families, cluster_ip, expected) in [
        ("no family and no cluster IP", &[][..], ClusterIp::Unset, vec![v4(true), v6(true)]),
        ("no family, headless", &[], ClusterIp::None, vec![v4(true), v6(true)]),
        ("no family, IPv4 cluster IP", &[], ip("10.96.0.1"), vec![v4(false)]),
        ("no family, IPv6 cluster IP", &[], ip("fd00::1"), vec![v6(false)]),
        ("IPv4", &[Family::V4], ClusterIp::Unset, vec![v4(true)]),
        ("IPv4 with cluster IP", &[Family::V4], ip("10.96.0.1"), vec![v4(false)]),
        ("IPv6", &[Family::V6], ClusterIp::Unset, vec![v6(true)]),
        ("IPv6 with cluster IP", &[Family::V6], ip("fd00::1"), vec![v6(false)]),
        ("dual stack", &[Family::V4, Family::V6], ip("10.96.0.1"), vec![v4(false), v6(false)]),
        ("dual stack, IPv6 first", &[Family::V6, Family::V4], ip("fd00::1"), vec![v6(false), v4(false)]),
    ] {
        assert_eq!(slices_for_one_pod(families, cluster_ip), expected, "{scenario}");
    }
}

#[test]
fn labels_of_the_service_are_on_the_slices_but_for_reserved_keys() {
    let labels = |pairs: &[(&str, &str)]| pairs.iter().copied().collect::<Labels>();
    for (scenario, of_service, cluster_ip, expected) in [
        ("none", &[][..], false, &[(HEADLESS, "")][..]),
        ("some", &[("a", "1"), ("b", "2")], true, &[("a", "1"), ("b", "2")]),
        ("headless", &[("a", "1")], false, &[("a", "1"), (HEADLESS, "")]),
        (
            "reserved ones",
            &[("a", "1"), (SERVICE_NAME, "evil"), (SLICE_MANAGED_BY, "evil"), (HEADLESS, "evil")],
            true,
            &[("a", "1")],
        ),
    ] {
        let plain = testing::service("web");
        let cluster_ip = if cluster_ip { plain.cluster_ip } else { ClusterIp::None };
        let mut cluster = Cluster::new(Service { labels: labels(of_service), cluster_ip, ..plain });
        cluster.add_pods(0..1);
        cluster.sync();
        assert_eq!(labels_of(&cluster.slices[0]), expected, "{scenario}");
        assert_eq!(cluster.slices[0].labels.get(SERVICE_NAME).unwrap(), &"web", "{scenario}");
        assert_eq!(cluster.slices[0].labels.get(SLICE_MANAGED_BY).unwrap(), &SLICE_CONTROLLER, "{scenario}");
        assert_eq!(cluster.sync(), NOTHING, "{scenario}");
    }
}

#[test]
fn the_only_slice_is_left_alone_if_it_is_a_placeholder_and_made_one_if_not() {
    let mut cluster = Cluster::new(testing::service("web"));
    cluster.add_slice("web-a", Family::V4, &[]);
    assert_eq!(cluster.sync(), NOTHING, "a placeholder");

    cluster.change_slice(0, |slice| {
        slice.labels = slice.labels.iter().cloned().chain([("mine".into(), "x".into())]).collect();
    });
    assert_eq!(cluster.sync(), (0, 1, 0), "a placeholder with another label");
    assert_eq!(cluster.slices[0].key.name, "web-a");
    assert_eq!(labels_of(&cluster.slices[0]), [("team", "checkout")]);

    let mut cluster = Cluster::with_pods(3);
    cluster.add_slice_of("web-a", 0..3);
    cluster.pods.clear();
    assert_eq!(cluster.sync(), (0, 1, 0), "a slice with endpoints and ports");
    assert!(cluster.slices[0].endpoints.is_empty() && cluster.slices[0].ports.is_empty());
}

type Change = fn(&mut Slice);

#[test]
fn what_makes_a_slice_a_placeholder() {
    let headless_service = Service { cluster_ip: ClusterIp::None, ..testing::service("web") };
    let cases: [(&str, Change, bool); 8] = [
        ("nothing changed", |_| {}, true),
        ("another name", |slice| slice.key.name = "other".into(), true),
        ("another generation", |slice| slice.generation = 77, true),
        ("annotations", |slice| slice.annotations = [("a", "b")].into_iter().collect(), true),
        ("an endpoint", |slice| slice.endpoints = Box::new([endpoint()]), false),
        (
            "a port",
            |slice| slice.ports = testing::decode(r#"[{"name": "", "port": 80, "protocol": "TCP"}]"#),
            false,
        ),
        ("no labels but the fixed two", |slice| slice.labels = fixed_labels(), false),
        ("no headless label", |slice| slice.labels = without(&slice.labels, HEADLESS), false),
    ];
    for (scenario, change, expected) in cases {
        let mut cluster = Cluster::new(headless_service.clone());
        cluster.add_slice("web-a", Family::V4, &[]);
        cluster.change_slice(0, change);
        let expected = if expected { NOTHING } else { (0, 1, 0) };
        assert_eq!(cluster.sync(), expected, "{scenario}");
    }
    // Another address type: it is none of the Service's slices and goes, and a placeholder comes.
    let mut cluster = Cluster::new(headless_service);
    cluster.add_slice("web-a", Family::V4, &[]).address_type = V6;
    assert_eq!(cluster.sync(), (1, 0, 1));
}

fn endpoint() -> Endpoint {
    let mut cluster = Cluster::with_pods(1);
    cluster.sync();
    cluster.slices[0].endpoints[0].clone()
}

fn fixed_labels() -> Labels {
    [(SERVICE_NAME, "web"), (SLICE_MANAGED_BY, SLICE_CONTROLLER)].into_iter().collect()
}

fn without(labels: &Labels, key: &str) -> Labels {
    labels.iter().filter(|(it, _)| it.as_str() != key).cloned().collect()
}

#[test]
fn every_family_keeps_a_slice_of_its_own() {
    let dual = Service { ip_families: smallvec![Family::V4, Family::V6], ..testing::service("web") };
    let mut cluster = Cluster::new(dual);
    // The Pod has no IPv6 address.
    cluster.add_pods(0..1);
    cluster.change_pod(0, |pod| pod.addresses.truncate(1));
    assert_eq!(cluster.sync(), (2, 0, 0));
    let sizes: Vec<_> = cluster
        .slices
        .iter()
        .map(|slice| (slice.address_type.clone(), slice.endpoints.len(), slice.ports.len()))
        .collect();
    assert_eq!(sizes, [(V4, 1, 1), (V6, 0, 0)]);
    assert_eq!(cluster.sync(), NOTHING);

    cluster.pods.clear();
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(cluster.sizes(), [0, 0]);
    assert_eq!(cluster.sync(), NOTHING);

    // The first Pod turns both placeholders into slices, in place.
    cluster.add_pods(0..1);
    assert_eq!(cluster.sync(), (0, 2, 0));
    assert_eq!(cluster.sizes(), [1, 1]);
}

#[test]
fn a_service_that_publishes_addresses_that_are_not_ready_has_only_ready_endpoints() {
    let mut cluster = Cluster::with_pods(50);
    cluster.service.publish_not_ready = true;
    for at in (0..50).step_by(3) {
        cluster.change_pod(at, |pod| pod.ready = false);
    }
    assert_eq!(cluster.sync(), (1, 0, 0));
    assert_eq!(cluster.endpoints().filter(|it| it.conditions.ready == Some(true)).count(), 50);
    assert_eq!(cluster.endpoints().filter(|it| it.conditions.serving == Some(false)).count(), 17);
}

#[test]
fn many_pods_fill_slices_one_after_the_other() {
    for (capacity, expected) in [
        (50, &[50, 50, 50, 50, 50][..]),
        (80, &[80, 80, 80, 10]),
        (100, &[100, 100, 50]),
        (150, &[150, 100]),
        (250, &[250]),
        (500, &[250]),
    ] {
        let mut cluster = Cluster::with_pods(250);
        cluster.capacity = capacity;
        assert_eq!(cluster.sync(), (expected.len(), 0, 0), "at most {capacity}");
        assert_eq!(cluster.sizes(), expected, "at most {capacity}");
        assert_eq!(cluster.sync(), NOTHING, "at most {capacity}");
    }
}
