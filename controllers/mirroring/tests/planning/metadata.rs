//! What is written besides endpoints: upstream's `TestNewEndpointSlice` and `TestAddressToEndpoint`, and what an update
//! keeps.

use fairlead_mirroring::Action;
use serde_json::{Value, json};

use crate::support::{NOTHING, UID, World, slice, subset};

fn body(world: &World) -> Value {
    let plan = world.plan();
    let [Action::Create(desired)] = &plan.actions[..] else { panic!("one create: {:?}", plan.actions) };
    serde_json::to_value(desired.create_body()).expect("it can be encoded")
}

/// Upstream's `TestNewEndpointSlice`, by the names of its cases.
#[test]
fn new_endpoint_slice() {
    for (case, labels, annotations) in [
        ("create slice from endpoints", json!({}), json!({})),
        ("create slice from endpoints with annotations", json!({}), json!({ "foo": "bar" })),
        ("create slice from endpoints with labels", json!({ "foo": "bar" }), json!({})),
        (
            "create slice from endpoints with labels and annotations",
            json!({ "foo": "bar" }),
            json!({ "foo2": "bar2" }),
        ),
        (
            "create slice from endpoints with labels and annotations triggertime",
            json!({ "foo": "bar" }),
            json!({ "foo2": "bar2", "endpoints.kubernetes.io/last-change-trigger-time": "date" }),
        ),
    ] {
        let mut world = World::new(&json!([subset(&["10.0.0.1"], &[80])]));
        world.edit(|it| {
            it["metadata"]["labels"] = labels.clone();
            it["metadata"]["annotations"] = annotations.clone();
        });
        let mut expected_labels = labels;
        expected_labels["kubernetes.io/service-name"] = "db".into();
        expected_labels["endpointslice.kubernetes.io/managed-by"] =
            "endpointslicemirroring-controller.k8s.io".into();
        let mut metadata = json!({
            "namespace": "shop", "generateName": "db-", "labels": expected_labels,
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Endpoints", "name": "db", "uid": UID,
                "controller": true, "blockOwnerDeletion": true }],
        });
        let mut annotations = annotations;
        annotations.as_object_mut().unwrap().remove("endpoints.kubernetes.io/last-change-trigger-time");
        if annotations != json!({}) {
            metadata["annotations"] = annotations;
        }
        assert_eq!(body(&world)["metadata"], metadata, "{case}");
    }
}

/// Upstream's `TestAddressToEndpoint`, and all that an address can carry.
#[test]
fn address_to_endpoint() {
    let target = json!({ "kind": "Pod", "namespace": "shop", "name": "db-0", "uid": "u" });
    let foreign = json!({ "apiVersion": "v1", "kind": "VirtualMachine", "namespace": "elsewhere", "name": "vm", "uid": "v",
        "resourceVersion": "5", "fieldPath": "spec" });
    let port = json!({ "name": "", "port": 5432, "protocol": "TCP", "appProtocol": "postgres" });
    let subsets = json!([{ "ports": [port], "addresses": [
        { "ip": "10.1.2.3", "hostname": "foo", "nodeName": "node-abc", "targetRef": target }, { "ip": "10.1.2.4", "targetRef": foreign }],
        "notReadyAddresses": [{ "ip": "10.1.2.5" }] }]);
    let body = body(&World::new(&subsets));
    assert_eq!(
        body["endpoints"],
        json!([
        { "addresses": ["10.1.2.3"], "conditions": { "ready": true }, "hostname": "foo", "nodeName": "node-abc", "targetRef": target },
        { "addresses": ["10.1.2.4"], "conditions": { "ready": true }, "targetRef": foreign },
        // Issue 102683: not ready stays not ready.
        { "addresses": ["10.1.2.5"], "conditions": { "ready": false } }])
    );
    assert_eq!(body["ports"], json!([port]), "the name is written though it is empty");
    assert_eq!(body["addressType"], "IPv4");
}

/// Issues 98026, 98116, 98577, 102684: labels and annotations follow, and others' do not stay.
#[test]
fn issue_98116_labels_and_annotations_follow_the_endpoints() {
    let mut world = World::new(&json!([subset(&["10.0.0.1", "2001:db8::1"], &[80])]));
    assert_eq!(world.sync(), (2, 0, 0));
    for (labels, annotations) in [
        (json!({ "team": "shop" }), json!({})),
        (json!({ "team": "other" }), json!({ "note": "x" })),
        (json!({}), json!({ "note": "y" })),
        (json!({}), json!({})),
    ] {
        world.edit(|it| {
            it["metadata"]["labels"] = labels.clone();
            it["metadata"]["annotations"] = annotations.clone();
        });
        assert_eq!(world.sync(), (0, 2, 0), "{labels} {annotations}");
        for slice in &world.slices {
            let metadata = &slice["metadata"];
            assert_eq!(metadata["labels"].as_object().unwrap().len(), 2 + labels.as_object().unwrap().len());
            assert_eq!(metadata["labels"]["team"], labels["team"]);
            assert_eq!(metadata["annotations"]["note"], annotations["note"]);
        }
        assert_eq!(world.sync(), NOTHING);
    }
}

/// Upstream writes such slices again at every sync.
#[test]
fn labels_of_the_slice_itself_on_the_endpoints_are_overwritten_and_no_change() {
    let mut world = World::new(&json!([subset(&["10.0.0.1"], &[80])]));
    world.edit(|it| {
        it["metadata"]["labels"] = json!({ "kubernetes.io/service-name": "evil", "endpointslice.kubernetes.io/managed-by": "evil",
            "service.kubernetes.io/headless": "" });
    });
    assert_eq!(world.sync(), (1, 0, 0));
    assert_eq!(world.published(), ["IPv4 80: 10.0.0.1"]);
    assert_eq!(
        world.slices[0]["metadata"]["labels"]["service.kubernetes.io/headless"], "",
        "an ordinary label here"
    );
    assert_eq!(world.sync(), NOTHING);
}

/// Issues 98379, 108267: updates, also of slices that are used again, keep what others rely on.
#[test]
fn updates_keep_finalizers_and_owners_of_others() {
    for ports in [&[80][..], &[81]] {
        let mut old = slice("db-old", "IPv4", &["10.0.0.9"], ports);
        let other = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "d", "controller": false,
            "blockOwnerDeletion": false });
        let former = json!({ "apiVersion": "v1", "kind": "Endpoints", "name": "db", "uid": "former", "controller": true });
        old["metadata"]["ownerReferences"] = json!([former, other]);
        old["metadata"]["finalizers"] = json!(["example.com/hold"]);
        old["metadata"]["annotations"] = json!({ "example.com/mine": "x" });
        let mut world = World::with_slices(&json!([subset(&["10.0.0.1"], &[80])]), [old]);
        assert_eq!(world.sync(), (0, 1, 0));
        let metadata = &world.slices[0]["metadata"];
        assert_eq!((&metadata["name"], &metadata["generateName"]), (&json!("db-old"), &json!("db-")));
        assert_eq!(metadata["finalizers"], json!(["example.com/hold"]));
        assert_eq!(metadata["annotations"], json!(null), "annotations are those of the Endpoints");
        let own = json!({ "apiVersion": "v1", "kind": "Endpoints", "name": "db", "uid": UID, "controller": true,
            "blockOwnerDeletion": true });
        assert_eq!(metadata["ownerReferences"], json!([own, other]), "of former Endpoints none is left");
        assert_eq!(world.sync(), NOTHING);
    }
}

/// The API server admits one controller only.
#[test]
fn where_somebody_else_is_the_controller_the_endpoints_are_an_ordinary_owner() {
    let mut taken = slice("db-1", "IPv4", &["10.0.0.1"], &[80]);
    let other = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "d", "controller": true,
        "blockOwnerDeletion": true });
    taken["metadata"]["ownerReferences"] = json!([other]);
    let mut world = World::with_slices(&json!([subset(&["10.0.0.1"], &[80])]), [taken]);
    assert_eq!(world.sync(), (0, 1, 0));
    let owners = &world.slices[0]["metadata"]["ownerReferences"];
    assert_eq!(
        (&owners[0]["uid"], &owners[0]["controller"], &owners[1]),
        (&json!(UID), &json!(false), &other)
    );
    assert_eq!(world.sync(), NOTHING);
}
