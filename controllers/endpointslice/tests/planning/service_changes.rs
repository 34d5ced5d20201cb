//! What a change of the Service does to its slices.

use fairlead_discovery::names::{HEADLESS, SERVICE_NAME, SLICE_MANAGED_BY};
use fairlead_endpointslice::{Action, Plan};
use fairlead_objects::{
    AddressType, ClusterIp, EndpointPort, Family, Labels, PortSet, Protocol, Service, ServicePort,
    ServiceType, TargetPort, testing,
};
use jiff::Timestamp;
use smallvec::smallvec;

use crate::support::{Cluster, NOTHING, labels_of, port_numbers, writes};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().copied().collect()
}

#[test]
fn another_port_rewrites_the_slices_in_place() {
    let mut cluster = Cluster::with_pods(250);
    cluster.sync();
    let names = |cluster: &Cluster| {
        let mut names: Vec<_> = cluster.slices.iter().map(|slice| slice.key.name.clone()).collect();
        names.sort();
        names
    };
    let before = names(&cluster);
    cluster.service.ports = vec![testing::service_port("http", TargetPort::Number(9090))];
    assert_eq!(cluster.sync(), (0, 3, 0));
    assert_eq!(cluster.sizes(), [100, 100, 50]);
    assert_eq!(names(&cluster), before);
    assert!(cluster.slices.iter().all(|slice| port_numbers(&slice.ports) == [9090]));
    assert_eq!(cluster.sync(), NOTHING);
}

#[test]
fn another_port_packs_fragmented_slices_anew() {
    let mut cluster = Cluster::with_pods(300);
    for n in 0..10 {
        cluster.add_slice_of(&format!("web-{n}"), n * 30..(n + 1) * 30);
    }
    assert_eq!(cluster.sync(), NOTHING);
    cluster.service.ports = vec![testing::service_port("http", TargetPort::Number(9090))];
    assert_eq!(cluster.sync(), (0, 3, 7));
    assert_eq!(cluster.sizes(), [100, 100, 100]);
}

#[test]
fn every_part_of_a_port_counts() {
    let base = testing::service_port("http", TargetPort::Number(8080));
    for (scenario, port) in [
        ("name", ServicePort { name: "web".into(), ..base.clone() }),
        ("protocol", ServicePort { protocol: Protocol::Sctp, ..base.clone() }),
        ("number", ServicePort { target: TargetPort::Number(8081), ..base.clone() }),
        ("application protocol", ServicePort { app_protocol: Some("http".into()), ..base.clone() }),
        ("the same number by name", ServicePort { target: TargetPort::Name("web".into()), ..base.clone() }),
    ] {
        let mut cluster = Cluster::with_pods(3);
        cluster.sync();
        let expected = if scenario == "the same number by name" { NOTHING } else { (0, 1, 0) };
        cluster.service.ports = vec![port];
        assert_eq!(cluster.sync(), expected, "{scenario}");
        assert_eq!(cluster.sizes(), [3], "{scenario}");
    }
}

#[test]
fn a_headless_service_without_ports_has_endpoints_without_ports() {
    let service = Service { cluster_ip: ClusterIp::None, ports: Vec::new(), ..testing::service("web") };
    let mut cluster = Cluster::new(service);
    cluster.add_pods(0..1);
    assert_eq!(cluster.sync(), (1, 0, 0));
    assert!(cluster.slices[0].ports.is_empty());
    assert_eq!(cluster.sizes(), [1]);
    // The API server may store an empty list as null.
    cluster.change_slice(0, |slice| slice.ports = testing::decode("null"));
    assert_eq!(cluster.sync(), NOTHING);
}

#[test]
fn labels_of_the_service_are_followed() {
    let mut cluster = Cluster::with_pods(250);
    cluster.sync();
    cluster.service.labels = labels(&[("team", "checkout"), ("foo", "bar")]);
    assert_eq!(cluster.sync(), (0, 3, 0));
    for slice in &cluster.slices {
        assert_eq!(labels_of(slice), [("foo", "bar"), ("team", "checkout")]);
    }
    cluster.service.labels = labels(&[]);
    assert_eq!(cluster.sync(), (0, 3, 0));
    assert_eq!(labels_of(&cluster.slices[0]), []);
}

#[test]
fn gap_reserved_labels_of_the_service_are_no_change() {
    let mut cluster = Cluster::with_pods(250);
    cluster.sync();
    let reserved = [(SERVICE_NAME, "evil"), (SLICE_MANAGED_BY, "evil"), (HEADLESS, "evil")];
    cluster.service.labels = labels(&[("team", "checkout")])
        .iter()
        .cloned()
        .chain(reserved.map(|(key, value)| (key.into(), value.into())))
        .collect();
    assert_eq!(cluster.sync(), NOTHING);
}

#[test]
fn the_headless_label_alone_is_no_reason_to_write_but_is_put_right_with_the_next_write() {
    let mut cluster = Cluster::with_pods(3);
    cluster.sync();
    cluster.service.cluster_ip = ClusterIp::None;
    assert_eq!(cluster.sync(), NOTHING);
    cluster.change_pod(0, |pod| pod.ready = false);
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(labels_of(&cluster.slices[0]), [(HEADLESS, ""), ("team", "checkout")]);

    cluster.service.cluster_ip = testing::service("web").cluster_ip;
    assert_eq!(cluster.sync(), NOTHING);
    cluster.change_pod(0, |pod| pod.ready = true);
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(labels_of(&cluster.slices[0]), [("team", "checkout")]);
}

#[test]
fn a_second_family_comes_and_goes() {
    let mut cluster = Cluster::with_pods(150);
    cluster.sync();
    cluster.service.ip_families = smallvec![Family::V4, Family::V6];
    assert_eq!(cluster.sync(), (2, 0, 0));
    assert_eq!(cluster.sizes(), [100, 100, 50, 50]);
    assert_eq!(cluster.sync(), NOTHING);

    cluster.service.ip_families = smallvec![Family::V4];
    // Together with a change in the family that stays, which goes first.
    cluster.change_pod(0, |pod| pod.ready = false);
    let plan = cluster.plan();
    let families: Vec<_> = plan.actions.iter().map(Action::family).collect();
    assert_eq!(families, [Some(Family::V4), Some(Family::V6), Some(Family::V6)]);
    assert!(matches!(plan.actions[0], Action::Update { .. }));
    cluster.apply(plan);
    assert_eq!(cluster.sizes(), [100, 50]);
}

#[test]
fn families_are_written_in_the_order_of_the_service() {
    for families in [[Family::V4, Family::V6], [Family::V6, Family::V4]] {
        let mut cluster = Cluster::with_pods(3);
        cluster.service.ip_families = families.into_iter().collect();
        let order: Vec<_> = cluster.plan().actions.iter().filter_map(Action::family).collect();
        assert_eq!(order, families);
    }
}

#[test]
fn slices_of_address_types_that_are_none_of_ours_go_last_and_are_not_used_again() {
    let mut cluster = Cluster::with_pods(130);
    for name in ["web-a", "web-b"] {
        cluster.add_slice_of(name, 0..65).address_type = AddressType::Other("IP".into());
    }
    let plan = cluster.plan();
    assert_eq!(writes(&plan), (2, 0, 2));
    assert!(plan.actions[2..].iter().all(|action| action.family().is_none()));
    cluster.apply(plan);
    assert_eq!(cluster.sizes(), [100, 30]);
    assert!(cluster.slices.iter().all(|slice| slice.address_type == AddressType::Ip(Family::V4)));
}

fn assert_nothing(scenario: &str, plan: &Plan) {
    assert_eq!(writes(plan), NOTHING, "{scenario}");
    assert!(plan.families.is_empty() && plan.missing_nodes.is_empty(), "{scenario}");
}

#[test]
fn services_without_selector_and_external_names_are_left_alone() {
    let base = testing::service("web");
    let external = ServiceType::ExternalName;
    for (scenario, service) in [
        ("without selector", Service { selector: None, ..base.clone() }),
        ("external name", Service { kind: external, selector: None, ports: Vec::new(), ..base.clone() }),
        ("external name with ports", Service { kind: external, selector: None, ..base.clone() }),
        ("external name with selector", Service { kind: external, ports: Vec::new(), ..base.clone() }),
        ("external name with selector and ports", Service { kind: external, ..base.clone() }),
    ] {
        let mut cluster = Cluster::new(service);
        cluster.add_pods(0..3);
        cluster.change_pod(0, |pod| pod.node = Some("unknown".into()));
        assert_nothing(scenario, &cluster.plan());
    }
    // What the Service left behind in better days stays.
    let mut cluster = Cluster::with_pods(3);
    cluster.sync();
    cluster.service.selector = None;
    let plan = cluster.plan();
    assert_nothing("selector removed", &plan);
    assert!(plan.next.is_none());
}

#[test]
fn issue_91287_nothing_is_created_while_the_service_is_being_deleted() {
    // Sizes of the slices, which hold the first Pods; the Pods that are left; slice capacity; writes while the
    // Service is alive and while it is being deleted.
    for (scenario, slices, pods, capacity, alive, dying) in [
        ("no slice yet", &[][..], 0..3, 100, (1, 0, 0), NOTHING),
        ("no slice and no Pod yet", &[], 0..0, 100, (1, 0, 0), NOTHING),
        ("one written, two new", &[100], 5..210, 100, (2, 1, 0), (0, 1, 0)),
        ("one written, one used again", &[3, 3], 4..9, 3, (0, 2, 0), (0, 2, 0)),
        ("one written, one used again, one new", &[3, 3], 4..12, 3, (1, 2, 0), (0, 2, 0)),
        ("one written, one deleted", &[3, 3], 1..3, 100, (0, 1, 1), (0, 1, 1)),
    ] {
        for terminating in [false, true] {
            let mut cluster = Cluster::with_pods(300);
            let mut next = 0;
            for (n, size) in slices.iter().enumerate() {
                cluster.add_slice_of(&format!("web-{n}"), next..next + size);
                next += size;
            }
            cluster.pods = cluster.pods[pods.clone()].to_vec();
            cluster.capacity = capacity;
            cluster.service.terminating = terminating;
            let expected = if terminating { dying } else { alive };
            assert_eq!(writes(&cluster.plan()), expected, "{scenario}, terminating {terminating}");
        }
    }
}

#[test]
fn the_trigger_time_is_on_every_slice_that_is_written_and_no_reason_to_write() {
    let at = |seconds: i64| Timestamp::from_second(1_767_000_000 + seconds).ok();
    let times = |cluster: &Cluster| -> Vec<Option<String>> {
        let annotation = |slice: &std::sync::Arc<fairlead_objects::Slice>| {
            slice.annotations.get("endpoints.kubernetes.io/last-change-trigger-time").map(ToString::to_string)
        };
        cluster.slices.iter().map(annotation).collect()
    };
    let text = |seconds: i64| at(seconds).map(|time| time.to_string());

    let mut cluster = Cluster::with_pods(150);
    cluster.service.created = at(0);
    cluster.sync();
    assert_eq!(times(&cluster), [text(0), text(0)]);
    assert!(text(0).is_some_and(|text| text.ends_with('Z') && !text.contains('.')));

    // Two Pods in two slices change; both slices carry the earlier time.
    for (pod, seconds) in [(0, 20), (149, 30)] {
        cluster.change_pod(pod, |pod| (pod.ready, pod.ready_since) = (false, at(seconds)));
    }
    assert_eq!(cluster.sync(), (0, 2, 0));
    assert_eq!(times(&cluster), [text(20), text(20)]);

    // Only the time of a Pod moves.
    cluster.change_pod(5, |pod| pod.ready_since = at(40));
    assert_eq!(cluster.sync(), NOTHING);

    // A change without a time removes the annotation from the slice that is written.
    cluster.pods.remove(7);
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(times(&cluster), [None, text(20)]);
}

#[test]
fn a_service_whose_selector_comes_back_is_no_new_service() {
    let at = |seconds: i64| Timestamp::from_second(1_767_000_000 + seconds).ok();
    let mut cluster = Cluster::with_pods(2);
    cluster.service.created = at(0);
    cluster.sync();
    assert!(cluster.memory.had_slices());
    cluster.memory.left();
    assert!(!cluster.memory.had_slices());
    cluster.change_pod(0, |pod| (pod.ready, pod.ready_since) = (false, at(20)));
    let plan = cluster.plan();
    let Action::Update { desired, .. } = &plan.actions[0] else { panic!("an update expected") };
    assert_eq!(desired.envelope.trigger_time, at(20));
    cluster.apply(plan);
    assert!(cluster.memory.had_slices());
}

#[test]
fn a_failed_write_does_not_lose_its_trigger_time() {
    let at = |seconds: i64| Timestamp::from_second(1_767_000_000 + seconds).ok();
    let mut cluster = Cluster::with_pods(1);
    cluster.service.created = at(0);
    cluster.sync();
    cluster.change_pod(0, |pod| (pod.ready, pod.ready_since) = (false, at(20)));
    let failed = cluster.plan();
    let again = cluster.plan();
    for plan in [failed, again] {
        let Action::Update { desired, .. } = &plan.actions[0] else { panic!("an update expected") };
        assert_eq!(desired.envelope.trigger_time, at(20));
    }
}

#[test]
fn ports_are_written_with_every_field_that_upstream_writes() {
    let mut cluster = Cluster::with_pods(1);
    cluster.service.ports = vec![
        testing::service_port("", TargetPort::Name("web".into())),
        ServicePort {
            app_protocol: Some("kubernetes.io/h2c".into()),
            ..testing::service_port("grpc", TargetPort::Number(9000))
        },
    ];
    cluster.sync();
    let port = |name: &str, number, app_protocol: Option<&str>| EndpointPort {
        name: Some(name.into()),
        protocol: Some(Protocol::Tcp),
        port: Some(number),
        app_protocol: app_protocol.map(Into::into),
    };
    let expected: PortSet =
        [port("", 8080, None), port("grpc", 9000, Some("kubernetes.io/h2c"))].into_iter().collect();
    assert_eq!(cluster.slices[0].ports, expected);
}
