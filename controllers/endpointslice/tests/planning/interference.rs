//! Slices that others have changed, and slices that are not the Service's.

use std::sync::Arc;

use fairlead_discovery::names::{SERVICE_NAME, SLICE_CONTROLLER, SLICE_MANAGED_BY};
use fairlead_endpointslice::service_of;
use fairlead_objects::{
    AddressType, Addresses, Endpoint, Family, Istr, ObjectRef, OwnerReference, Slice, TargetRef, Uid, testing,
};

use crate::support::{Cluster, NOTHING, conditions, ips, labels_of, owner, pod_name};

/// A Service with three Pods in one slice, into which somebody interferes.
fn after(change: impl FnOnce(&mut Slice)) -> Cluster {
    let mut cluster = Cluster::with_pods(3);
    cluster.sync();
    cluster.change_slice(0, change);
    cluster
}

/// Changes the first endpoint of the slice.
fn after_endpoint(change: impl FnOnce(&mut Endpoint)) -> Cluster {
    after(|slice| change(&mut slice.endpoints[0]))
}

#[test]
fn what_was_changed_about_an_endpoint_is_put_right() {
    type Change = fn(&mut Endpoint);
    let cases: [(&str, Change); 16] = [
        ("another Node", |it| it.node = Some("node-2".into())),
        ("no Node", |it| it.node = None),
        ("another zone", |it| it.zone = Some("zone-b".into())),
        ("no zone", |it| it.zone = None),
        ("not ready", |it| it.conditions.ready = Some(false)),
        ("ready unknown", |it| it.conditions.ready = None),
        ("not serving", |it| it.conditions.serving = Some(false)),
        ("serving unknown", |it| it.conditions.serving = None),
        ("terminating", |it| it.conditions.terminating = Some(true)),
        ("terminating unknown", |it| it.conditions.terminating = None),
        ("another address", |it| it.addresses = Addresses::One([10, 0, 0, 99].into())),
        ("a second address", |it| {
            it.addresses = Addresses::Texts(["10.0.0.1", "10.0.0.2"].map(Istr::from).into());
        }),
        ("an irregular address", |it| it.addresses = Addresses::Texts(["010.244.000.000".into()].into())),
        ("a host name", |it| it.hostname = Some("surprise".into())),
        ("no target", |it| it.target = None),
        ("another Pod's UID", |it| {
            it.target = Some(TargetRef::Pod { name: pod_name(0).as_str().into(), uid: Uid::from("other") });
        }),
    ];
    for (scenario, change) in cases {
        let mut cluster = after_endpoint(change);
        let (before, names) = (cluster.clone(), (0..3).map(pod_name).collect::<Vec<_>>());
        assert_eq!(cluster.sync(), (0, 1, 0), "{scenario}");
        assert_eq!(cluster.published(), names, "{scenario}");
        let endpoint = cluster.endpoint(&pod_name(0));
        assert_eq!(ips(endpoint), ["10.244.0.0"], "{scenario}");
        assert_eq!(conditions(endpoint), [Some(true), Some(true), Some(false)], "{scenario}");
        assert_eq!(endpoint.node.as_deref(), Some("node-1"), "{scenario}");
        assert_eq!(endpoint.zone.as_deref(), Some("zone-a"), "{scenario}");
        assert_eq!(endpoint.hostname, None, "{scenario}");
        assert_eq!(cluster.slices[0].uid, before.slices[0].uid, "{scenario}: in place");
        assert_eq!(cluster.sync(), NOTHING, "{scenario}");
    }
}

/// A reference to the Pod as somebody else might write it.
fn reference(api_version: Option<&str>, namespace: &str) -> TargetRef {
    TargetRef::Other(Box::new(ObjectRef {
        api_version: api_version.map(Istr::from),
        kind: Some("Pod".into()),
        namespace: Some(namespace.into()),
        name: Some(pod_name(0).as_str().into()),
        uid: Some(Uid::from(format!("uid-of-{}", pod_name(0)).as_str())),
        ..ObjectRef::default()
    }))
}

#[test]
fn targets_in_another_form_are_put_right() {
    // A reference to the Pod of this namespace stays the same endpoint; another is replaced.
    for (scenario, target, replaced) in [
        ("with an API version", reference(Some("v1"), testing::NAMESPACE), 0),
        ("of another namespace", reference(None, "bank"), 1),
    ] {
        let mut cluster = after_endpoint(|it| it.target = Some(target));
        let counts = cluster.sync_counts();
        assert_eq!(
            (counts.added, counts.removed, counts.changed_slices),
            (replaced, replaced, 1),
            "{scenario}"
        );
        assert_eq!(cluster.published(), (0..3).map(pod_name).collect::<Vec<_>>(), "{scenario}");
        assert_eq!(cluster.sync(), NOTHING, "{scenario}");
    }
}

#[test]
fn the_version_of_a_pod_plays_no_part() {
    let mut cluster = Cluster::with_pods(1);
    let slice: Slice = testing::decode(&format!(
        r#"{{"metadata": {{"namespace": "shop"}}, "addressType": "IPv4", "endpoints": [{{"addresses": ["10.244.0.0"],
            "conditions": {{"ready": true, "serving": true, "terminating": false}}, "nodeName": "node-1", "zone": "zone-a",
            "targetRef": {{"kind": "Pod", "namespace": "shop", "name": "{0}", "uid": "uid-of-{0}", "resourceVersion": "5"}}}}]}}"#,
        pod_name(0)
    ));
    cluster.sync();
    cluster.change_slice(0, |it| it.endpoints = slice.endpoints);
    assert_eq!(cluster.sync(), NOTHING);
}

#[test]
fn what_is_no_reason_to_write() {
    type Change = fn(&mut Slice);
    let cases: [(&str, Change); 7] = [
        ("nothing", |_| {}),
        ("annotations", |slice| slice.annotations = [("mine", "x")].into_iter().collect()),
        ("an old trigger time", |slice| {
            slice.annotations =
                [("endpoints.kubernetes.io/last-change-trigger-time", "2020-01-01T00:00:00Z")]
                    .into_iter()
                    .collect();
        }),
        ("a finalizer", |slice| slice.finalizers = Slice::share_finalizers(vec!["example.com/hold".into()])),
        ("another owner besides", |slice| {
            let other =
                OwnerReference { kind: "Widget".into(), uid: Uid::from("w"), ..OwnerReference::default() };
            slice.owners = Slice::share_owners(slice.owners.iter().cloned().chain([other]).collect());
        }),
        ("endpoints in another order", |slice| slice.endpoints.reverse()),
        ("an empty host name", |slice| slice.endpoints[0].hostname = Some("".into())),
    ];
    for (scenario, change) in cases {
        assert_eq!(after(change).sync(), NOTHING, "{scenario}");
    }
}

#[test]
fn endpoints_and_ports_that_somebody_edited_are_put_right() {
    // An endpoint was taken out, another smuggled in.
    let mut cluster = after(|slice| {
        slice.endpoints[2].target = Some(TargetRef::Pod { name: "stranger".into(), uid: Uid::from("s") });
    });
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(cluster.published(), (0..3).map(pod_name).collect::<Vec<_>>());

    // Other ports: the slice falls out of its group and is used again.
    let mut cluster =
        after(|slice| slice.ports = testing::decode(r#"[{"name": "x", "port": 1, "protocol": "TCP"}]"#));
    let uid = cluster.slices[0].uid.clone();
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_eq!(cluster.slices.len(), 1);
    assert_eq!(cluster.slices[0].uid, uid);
    assert_eq!(cluster.sizes(), [3]);
}

#[test]
fn labels_that_somebody_edited_are_put_right() {
    for (scenario, labels) in [
        ("added", &[("team", "checkout"), ("mine", "x")][..]),
        ("changed", &[("team", "mine")]),
        ("removed", &[]),
    ] {
        let fixed = [(SERVICE_NAME, "web"), (SLICE_MANAGED_BY, SLICE_CONTROLLER)];
        let mut cluster =
            after(|slice| slice.labels = fixed.into_iter().chain(labels.iter().copied()).collect());
        assert_eq!(cluster.sync(), (0, 1, 0), "{scenario}");
        assert_eq!(labels_of(&cluster.slices[0]), [("team", "checkout")], "{scenario}");
    }
}

#[test]
fn a_slice_that_is_being_deleted_is_ignored() {
    let mut cluster = Cluster::with_pods(3);
    cluster.sync();
    cluster.change_slice(0, |slice| slice.terminating = true);
    // Its endpoints need another slice; it is neither written nor deleted again.
    assert_eq!(cluster.sync(), (1, 0, 0));
    assert_eq!(cluster.sync(), NOTHING);
    let alive: Vec<_> = cluster.slices.iter().filter(|slice| !slice.terminating).collect();
    assert_eq!(alive.len(), 1);
    assert_eq!(alive[0].endpoints.len(), 3);
}

#[test]
fn only_slices_with_both_labels_are_the_services() {
    let manager = |manager: &'static str| (SLICE_MANAGED_BY, manager);
    let service = |service: &'static str| (SERVICE_NAME, service);
    let cases = [
        ("web-a", vec![service("web"), manager(SLICE_CONTROLLER)], Some("web")),
        ("web-b", vec![service("web"), manager(SLICE_CONTROLLER)], Some("web")),
        ("web-c", vec![service("web"), manager("endpointslicemirroring-controller.k8s.io")], None),
        ("web-d", vec![service("db"), manager(SLICE_CONTROLLER)], Some("db")),
        ("web-e", vec![service("web")], None),
        ("web-f", vec![manager(SLICE_CONTROLLER)], None),
        ("web-g", vec![service(""), manager(SLICE_CONTROLLER)], None),
    ];
    let mut cluster = Cluster::new(testing::service("web"));
    for (name, labels, expected) in &cases {
        let slice = cluster.add_slice(name, Family::V4, &[]);
        slice.labels = labels.iter().copied().collect();
        assert_eq!(service_of(slice).map(Istr::as_str), *expected, "{name}");
    }
    // The same names in another namespace.
    cluster.add_slice("web-h", Family::V4, &[]).key.namespace = "bank".into();
    // Of the two slices of the Service one becomes its placeholder, the other goes.
    assert_eq!(cluster.sync(), (0, 1, 1));
    let left: Vec<_> = cluster.slices.iter().map(|slice| slice.key.name.as_str()).collect();
    assert_eq!(left, ["web-a", "web-c", "web-d", "web-e", "web-f", "web-g", "web-h"]);
    assert_eq!(cluster.sync(), NOTHING);
}

#[test]
fn issue_94720_slices_of_a_former_service_of_this_name_are_deleted_and_not_used_again() {
    let mut cluster = Cluster::with_pods(3);
    cluster.sync();
    assert_eq!(cluster.sync(), NOTHING, "owned by the Service");
    let old = cluster.slices[0].key.name.clone();
    cluster.service.uid = Uid::from("made-anew");
    assert_eq!(cluster.sync(), (1, 0, 1));
    assert_ne!(cluster.slices[0].key.name, old);
    assert_eq!(*cluster.slices[0].owners, [owner(&cluster.service)]);
    assert_eq!(cluster.sync(), NOTHING);
}

#[test]
fn what_makes_a_service_the_owner_of_a_slice() {
    let service = testing::service("web");
    let own = owner(&service);
    for (scenario, owners, owned) in [
        ("as this controller writes it", vec![own.clone()], true),
        ("not as the controller", vec![OwnerReference { controller: None, ..own.clone() }], true),
        ("another API version", vec![OwnerReference { api_version: "v2".into(), ..own.clone() }], false),
        ("another kind", vec![OwnerReference { kind: "Widget".into(), ..own.clone() }], false),
        ("another UID", vec![OwnerReference { uid: Uid::from("x"), ..own.clone() }], false),
        ("nobody", Vec::new(), false),
        (
            "somebody else, and the Service",
            vec![OwnerReference { uid: Uid::from("x"), ..own.clone() }, own],
            true,
        ),
    ] {
        let mut cluster = Cluster::with_pods(3);
        cluster.add_slice_of("web-a", 0..3).owners = Slice::share_owners(owners);
        let expected = if owned { NOTHING } else { (1, 0, 1) };
        assert_eq!(cluster.sync(), expected, "{scenario}");
    }
}

#[test]
fn a_strangers_slice_that_claims_to_be_the_services_is_deleted_or_adopted() {
    let mut cluster = Cluster::with_pods(3);
    cluster.sync();
    cluster.add_slice("stranger", Family::V4, &[]).owners = Slice::share_owners(Vec::new());
    assert_eq!(cluster.sync(), (0, 0, 1), "without owner");

    let strangers = Arc::new(crate::support::pod(77));
    cluster.add_slice("stranger", Family::V4, &[strangers]);
    cluster.add_pods(3..5);
    assert_eq!(cluster.sync(), (0, 1, 1), "owned by the Service, but with nothing that is wanted");
    assert_eq!(cluster.published(), (0..5).map(pod_name).collect::<Vec<_>>());

    // As upstream: an empty slice without owner that is alone and a placeholder already is not replaced.
    let mut cluster = Cluster::new(testing::service("web"));
    cluster.add_slice("stranger", Family::V4, &[]).owners = Slice::share_owners(Vec::new());
    assert_eq!(cluster.sync(), NOTHING);
    assert_eq!(cluster.slices[0].address_type, AddressType::Ip(Family::V4));
}
