//! What others have put on a slice survives every write.

use fairlead_endpointslice::Action;
use fairlead_objects::{OwnerReference, Slice, TargetPort, Uid, testing};
use serde_json::{Value, json};

use crate::support::{Cluster, NOTHING, owner, to_json};

fn widget(controller: Option<bool>) -> OwnerReference {
    OwnerReference {
        api_version: "example.com/v1".into(),
        kind: "Widget".into(),
        name: "w".into(),
        uid: Uid::from("uid-of-w"),
        controller,
        block_owner_deletion: Some(false),
    }
}

/// A Service with three Pods in one slice, on which somebody has left an annotation, a finalizer and an owner.
fn decorated() -> Cluster {
    let mut cluster = Cluster::with_pods(3);
    cluster.sync();
    cluster.change_slice(0, |slice| {
        slice.annotations = [
            ("example.com/note", "keep"),
            ("endpoints.kubernetes.io/last-change-trigger-time", "2020-01-01T00:00:00Z"),
        ]
        .into_iter()
        .collect();
        slice.finalizers = Slice::share_finalizers(vec!["example.com/hold".into()]);
        slice.owners = Slice::share_owners(vec![widget(None), slice.owners[0].clone()]);
    });
    cluster
}

fn assert_decorated(scenario: &str, cluster: &Cluster) {
    let slice = &cluster.slices[0];
    let annotations: Vec<_> =
        slice.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(annotations, [("example.com/note", "keep")], "{scenario}");
    assert_eq!(*slice.finalizers, ["example.com/hold"], "{scenario}");
    assert_eq!(*slice.owners, [owner(&cluster.service), widget(None)], "{scenario}");
}

#[test]
fn annotations_finalizers_and_owners_survive_updates_recycling_and_scaling_to_zero() {
    let mut cluster = decorated();
    let name = cluster.slices[0].key.name.clone();
    assert_eq!(cluster.sync(), NOTHING, "they are no reason to write");

    cluster.change_pod(0, |pod| pod.ready = false);
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_decorated("an ordinary update", &cluster);

    cluster.service.ports = vec![testing::service_port("http", TargetPort::Number(9090))];
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_decorated("other ports", &cluster);

    cluster.pods.clear();
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_decorated("scaled to zero", &cluster);

    cluster.add_pods(0..5);
    assert_eq!(cluster.sync(), (0, 1, 0));
    assert_decorated("and back", &cluster);
    assert_eq!(cluster.slices[0].key.name, name);
    assert_eq!(cluster.slices[0].generate_name.as_deref(), Some("web-"));
}

#[test]
fn an_update_is_conditional_also_when_a_slice_is_used_again() {
    for scale in [0, 3] {
        let mut cluster = decorated();
        cluster.change_slice(0, |slice| slice.version = "opaque-17".into());
        cluster.service.ports = vec![testing::service_port("http", TargetPort::Number(9090))];
        cluster.pods.truncate(scale);
        let plan = cluster.plan();
        let [Action::Update { current, desired }] = &plan.actions[..] else { panic!("one update expected") };
        let body = to_json(&desired.update_body(current));
        assert_eq!(body["metadata"]["resourceVersion"], "opaque-17");
        assert_eq!(body["metadata"]["name"], cluster.slices[0].key.name.as_str());
        for left_out in ["uid", "generation", "creationTimestamp", "managedFields"] {
            assert_eq!(body["metadata"].get(left_out), None, "{left_out}");
        }
    }
}

#[test]
fn there_is_one_controller_at_most() {
    for (scenario, foreign, expected) in [
        ("an ordinary owner", widget(None), Some(true)),
        ("an owner that says it is none", widget(Some(false)), Some(true)),
        ("another controller", widget(Some(true)), Some(false)),
    ] {
        let mut cluster = Cluster::with_pods(3);
        cluster.sync();
        let own = OwnerReference { controller: None, ..owner(&cluster.service) };
        cluster.change_slice(0, |slice| slice.owners = Slice::share_owners(vec![own, foreign.clone()]));
        cluster.pods.remove(0);
        assert_eq!(cluster.sync(), (0, 1, 0), "{scenario}");
        let own = OwnerReference { controller: expected, ..owner(&cluster.service) };
        assert_eq!(*cluster.slices[0].owners, [own, foreign], "{scenario}");
    }
}

#[test]
fn the_body_of_a_new_slice_is_what_kube_controller_manager_sends() {
    let mut cluster = Cluster::with_pods(1);
    cluster.service.created = "2026-01-02T03:04:05Z".parse().ok();
    cluster.change_pod(0, |pod| {
        pod.hostname = Some("web-00000".into());
        pod.subdomain = Some("web".into());
    });
    let plan = cluster.plan();
    let [Action::Create(desired)] = &plan.actions[..] else { panic!("one create expected") };
    let expected: Value = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "shop",
            "generateName": "web-",
            "labels": {
                "team": "checkout",
                "kubernetes.io/service-name": "web",
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-02T03:04:05Z"},
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Service", "name": "web", "uid": "uid-of-web",
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
        "endpoints": [{
            "addresses": ["10.244.0.0"],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "hostname": "web-00000",
            "nodeName": "node-1",
            "zone": "zone-a",
            "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-00000", "uid": "uid-of-web-00000"},
        }],
    });
    assert_eq!(to_json(&desired.create_body()), expected);

    cluster.pods.clear();
    let plan = cluster.plan();
    let [Action::Create(desired)] = &plan.actions[..] else { panic!("one create expected") };
    let body = to_json(&desired.create_body());
    assert_eq!(body["ports"], json!([]));
    assert_eq!(body["endpoints"], json!([]));
}
