//! Which Endpoints are mirrored, and which slices count as theirs.

use fairlead_mirroring::{is_candidate, mirrored_by};
use fairlead_objects::{Endpoints, Service, ServiceType, testing};
use serde_json::{Value, json};

use crate::support::{NOTHING, World, Writes, endpoints, record, slice, subset};

const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";

/// The Endpoints with one address, and a slice of an earlier time if `mirrored_before`.
fn world(mirrored_before: bool) -> World {
    let before = mirrored_before.then(|| slice("db-old", "IPv4", &["10.0.0.1"], &[5432]));
    World::with_slices(&json!([subset(&["10.0.0.1"], &[5432])]), before)
}

/// Upstream's `TestSyncEndpoints`, by the names of its cases.
#[test]
fn sync_endpoints() {
    type Change = Box<dyn Fn(&mut World)>;
    let many = |count: usize| {
        let addresses: Vec<_> =
            (0..count).map(|at| json!({ "ip": format!("10.0.{}.{}", at / 250, at % 250) })).collect();
        World::new(&json!([{ "addresses": addresses, "ports": [{ "port": 1, "protocol": "TCP" }] }]))
    };
    let label = |value: &'static str| {
        move |world: &mut World| world.edit(|it| it["metadata"]["labels"] = json!({ SKIP: value }))
    };
    let (skip, do_not_skip) = (label("true"), label("false"));
    let cases: [(&str, World, Change, Writes, usize); 9] = [
        ("Endpoints with no addresses", World::new(&json!([])), Box::new(|_| {}), NOTHING, 0),
        ("Endpoints with skip label true", world(false), Box::new(skip), NOTHING, 0),
        ("Endpoints with skip label false", world(false), Box::new(do_not_skip), (1, 0, 0), 1),
        ("Endpoints with missing Service", world(false), Box::new(|it| it.service = None), NOTHING, 0),
        ("Endpoints with Service with selector specified", world(false), Box::new(select), NOTHING, 0),
        (
            "Existing EndpointSlices that need to be cleaned up",
            world(true),
            Box::new(|it| it.endpoints = None),
            (0, 0, 1),
            0,
        ),
        (
            "Existing EndpointSlices managed by a different controller, no addresses to sync",
            {
                let mut theirs = slice("theirs", "IPv4", &["10.0.0.1"], &[5432]);
                theirs["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = "example.com".into();
                World::with_slices(&json!([]), [theirs])
            },
            Box::new(|_| {}),
            NOTHING,
            0,
        ),
        ("Endpoints with 1000 addresses", many(1000), Box::new(|_| {}), (1, 0, 0), 1),
        (
            "Endpoints with 1001 addresses - 1 should not be mirrored",
            many(1001),
            Box::new(|_| {}),
            (1, 0, 0),
            1,
        ),
    ];
    for (case, mut world, change, expected, slices) in cases {
        change(&mut world);
        assert_eq!(world.sync(), expected, "{case}");
        assert_eq!(world.published().len(), slices, "{case}");
        assert_eq!(world.sync(), NOTHING, "{case}: again");
    }
    let cut = many(1001).plan();
    assert_eq!((cut.skipped.addresses, cut.skipped.invalid), (1, 0));
    assert!(cut.skipped.is_over_limit(), "which is told");
}

fn select(world: &mut World) {
    if let Some(service) = &mut world.service {
        service.selector = testing::service("db").selector;
    }
}

/// Upstream's `TestShouldMirror`, by the names of its cases.
#[test]
fn should_mirror() {
    for (case, labels, annotations, expected) in [
        ("Standard Endpoints", json!({}), json!({}), true),
        ("Endpoints with skip-mirror=true", json!({ SKIP: "true" }), json!({}), false),
        ("Endpoints with skip-mirror=invalid", json!({ SKIP: "invalid" }), json!({}), true),
        (
            "Endpoints with leader election annotation",
            json!({}),
            json!({ "control-plane.alpha.kubernetes.io/leader": "" }),
            false,
        ),
    ] {
        let mut object = endpoints(&json!([]));
        object["metadata"]["labels"] = labels;
        object["metadata"]["annotations"] = annotations;
        let object: Endpoints = testing::decode(&object.to_string());
        assert_eq!(is_candidate(&object), expected, "{case}");
    }
}

/// Upstream's `TestEndpointSlicesMirroredForService`: what makes a slice one of ours.
#[test]
fn endpoint_slices_mirrored_for_service() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change, bool); 6] = [
        ("matching", |_| {}, true),
        ("another namespace", |it| it["metadata"]["namespace"] = "other".into(), false),
        (
            "another Service",
            |it| it["metadata"]["labels"]["kubernetes.io/service-name"] = "other".into(),
            false,
        ),
        (
            "another controller",
            |it| it["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = "x".into(),
            false,
        ),
        (
            "no service-name label",
            |it| {
                it["metadata"]["labels"] = json!({ "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io" });
            },
            false,
        ),
        (
            "no managed-by label",
            |it| it["metadata"]["labels"] = json!({ "kubernetes.io/service-name": "db" }),
            false,
        ),
    ];
    for (case, change, is_ours) in cases {
        let mut object = slice("db-old", "IPv4", &["10.0.0.1"], &[5432]);
        change(&mut object);
        let named = mirrored_by(&record(&object)).is_some_and(|name| *name == "db");
        assert_eq!(named && object["metadata"]["namespace"] == "shop", is_ours, "{case}");
        // Ours are cleaned up when there is nothing to mirror; others are left alone.
        let mut world = World::with_slices(&json!([]), [object]);
        assert_eq!(world.sync(), (0, 0, usize::from(is_ours)), "{case}");
    }
}

/// Each of the exceptions, and the way there and back. A slice that was mirrored before is deleted.
#[test]
fn what_is_not_mirrored_is_cleaned_up_and_mirrored_again_afterwards() {
    type Change = fn(&mut World);
    let exceptions: [(&str, Change); 5] = [
        ("no Endpoints", |it| it.endpoints = None),
        ("skip label", |it| it.edit(|it| it["metadata"]["labels"] = json!({ SKIP: "true" }))),
        ("leader annotation", |it| {
            it.edit(|it| {
                it["metadata"]["annotations"] = json!({ "control-plane.alpha.kubernetes.io/leader": "x" });
            });
        }),
        ("no Service", |it| it.service = None),
        ("a selector", select),
    ];
    for (exception, change) in exceptions {
        let mut world = world(false);
        let before = world.clone();
        assert_eq!(world.sync(), (1, 0, 0), "{exception}");
        change(&mut world);
        assert_eq!(world.sync(), (0, 0, 1), "{exception}");
        assert_eq!(world.plan().counts, None, "{exception}: nothing to count");
        assert_eq!(world.slices, [] as [Value; 0], "{exception}");
        world.endpoints.clone_from(&before.endpoints);
        world.service.clone_from(&before.service);
        assert_eq!(world.sync(), (1, 0, 0), "{exception} is over");
    }
}

#[test]
fn services_of_all_types_are_mirrored_if_they_have_no_selector() {
    for (case, kind, cluster_ip) in [
        ("ClusterIP", ServiceType::Cluster, testing::service("db").cluster_ip),
        ("headless", ServiceType::Cluster, fairlead_objects::ClusterIp::None),
        ("ExternalName", ServiceType::ExternalName, fairlead_objects::ClusterIp::Unset),
    ] {
        let mut world = world(false);
        world.service = Some(Service { kind, cluster_ip, selector: None, ..testing::service("db") });
        assert_eq!(world.sync(), (1, 0, 0), "{case}");
        select(&mut world);
        assert_eq!(world.sync(), (0, 0, 1), "{case} with a selector");
    }
}

/// Issues 103804, 91072: Endpoints that once were made from Pods are mirrored when the selector is gone, beside the
/// slices of the endpointslice-controller. Upstream calls that intended.
#[test]
fn issue_103804_endpoints_that_lost_their_selector_are_mirrored_beside_the_old_slices() {
    let mut world = world(false);
    world.edit(|it| {
        it["metadata"]["labels"] = json!({ "endpoints.kubernetes.io/managed-by": "endpoint-controller" });
    });
    let mut old = slice("db-pods", "IPv4", &["10.0.0.1"], &[5432]);
    old["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] =
        "endpointslice-controller.k8s.io".into();
    world.slices.push(old.clone());
    assert_eq!(world.sync(), (1, 0, 0));
    assert_eq!(world.slices[0], old, "left alone");
    assert_eq!(
        world.slices[1]["metadata"]["labels"]["endpoints.kubernetes.io/managed-by"],
        "endpoint-controller"
    );
    // Issue 105987: with the selector back the mirrored one goes.
    select(&mut world);
    assert_eq!(world.sync(), (0, 0, 1));
    assert_eq!(world.slices, [old]);
}
