//! Slices that others edit, double, relabel or hold.

use serde_json::{Value, json};

use crate::support::{NOTHING, World, Writes, slice, subset};

fn world() -> World {
    let mut world = World::new(&json!([subset(&["10.0.0.1", "10.0.0.2"], &[80])]));
    assert_eq!(world.sync(), (1, 0, 0));
    world
}

/// Issue 85353. Hints alone are left, as upstream leaves them.
#[test]
fn edits_are_put_right() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change, Writes); 14] = [
        ("no endpoints", |it| it["endpoints"] = json!([]), (0, 1, 0)),
        ("one taken away", |it| drop(it["endpoints"].as_array_mut().unwrap().pop()), (0, 1, 0)),
        (
            "one smuggled in",
            |it| it["endpoints"].as_array_mut().unwrap().push(json!({ "addresses": ["10.9.9.9"] })),
            (0, 1, 0),
        ),
        (
            "one there twice",
            |it| {
                let first = it["endpoints"][0].clone();
                it["endpoints"].as_array_mut().unwrap().push(first);
            },
            (0, 1, 0),
        ),
        ("not ready", |it| it["endpoints"][0]["conditions"]["ready"] = false.into(), (0, 1, 0)),
        ("terminating", |it| it["endpoints"][0]["conditions"]["terminating"] = true.into(), (0, 1, 0)),
        ("a zone", |it| it["endpoints"][0]["zone"] = "moon".into(), (0, 1, 0)),
        ("a host name", |it| it["endpoints"][0]["hostname"] = "x".into(), (0, 1, 0)),
        ("other ports", |it| it["ports"][0]["port"] = 9.into(), (0, 1, 0)),
        ("a label", |it| it["metadata"]["labels"]["mine"] = "x".into(), (0, 1, 0)),
        ("an annotation", |it| it["metadata"]["annotations"] = json!({ "mine": "x" }), (0, 1, 0)),
        ("no owner", |it| it["metadata"]["ownerReferences"] = json!([]), (0, 1, 0)),
        ("another order", |it| it["endpoints"].as_array_mut().unwrap().reverse(), NOTHING),
        ("hints", |it| it["endpoints"][0]["hints"] = json!({ "forZones": [{ "name": "moon" }] }), NOTHING),
    ];
    for (case, change, expected) in cases {
        let mut world = world();
        world.edit_slice(0, change);
        assert_eq!(world.sync(), expected, "{case}");
        assert_eq!(world.published(), ["IPv4 80: 10.0.0.1 10.0.0.2"], "{case}");
        assert_eq!(world.sync(), NOTHING, "{case}: again");
    }
}

/// Issues 93374, 99756, 107583: of two slices for the same ports one stays, and rather the one that is right.
#[test]
fn issue_99756_duplicates_are_deleted_and_the_right_one_stays() {
    for (addresses, expected) in [(&["10.0.0.1"][..], "db-b"), (&["10.0.0.1", "10.0.0.2"], "db-a")] {
        let right = slice("db-b", "IPv4", &["10.0.0.1", "10.0.0.2"], &[80]);
        let subsets = json!([subset(&["10.0.0.1", "10.0.0.2"], &[80])]);
        let mut world = World::with_slices(&subsets, [right, slice("db-a", "IPv4", addresses, &[80])]);
        assert_eq!(world.sync(), (0, 0, 1), "no update is needed");
        assert_eq!(world.slices[0]["metadata"]["name"], expected);
    }
}

/// Upstream tracks a slice that was taken away by its labels for ever and calls every later sync stale.
#[test]
fn gap_relabelled_managed_mirror_is_replaced() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 3] = [
        ("another Service", |labels| labels["kubernetes.io/service-name"] = "other".into()),
        ("another controller", |labels| {
            labels["endpointslice.kubernetes.io/managed-by"] = "example.com".into();
        }),
        ("no labels", |labels| *labels = json!({})),
    ];
    for (case, change) in cases {
        let mut world = world();
        world.edit_slice(0, |it| change(&mut it["metadata"]["labels"]));
        let moved = world.slices[0].clone();
        assert_eq!(world.sync(), (1, 0, 0), "{case}");
        assert_eq!(world.slices[0], moved, "{case}: left alone");
        assert_eq!(world.published(), ["IPv4 80: 10.0.0.1 10.0.0.2"], "{case}");
    }
}

/// Issues 108267, 108779, 109624: a slice that somebody deleted and a finalizer holds is replaced at once. What it holds
/// would go stale, so it is emptied, once the new one is there.
#[test]
fn gap_finalizer_held_mirror_issue_108267_is_replaced_and_emptied() {
    let delete = |it: &mut Value| {
        it["metadata"]["finalizers"] = json!(["example.com/hold"]);
        it["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z".into();
    };
    let mut world = world();
    world.edit_slice(0, delete);
    let held = world.slices[0].clone();
    assert_eq!(world.sync(), (1, 1, 0));
    assert_eq!(world.published(), ["IPv4 80: ", "IPv4 80: 10.0.0.1 10.0.0.2"]);
    let after = &world.slices[0];
    for field in ["name", "labels", "ownerReferences", "finalizers", "deletionTimestamp"] {
        assert_eq!(after["metadata"][field], held["metadata"][field], "{field}");
    }
    assert_eq!(world.sync(), NOTHING);
    // The same where nothing is mirrored any more: it is not deleted a second time.
    world.edit_slice(1, delete);
    world.endpoints = None;
    assert_eq!(world.sync(), (0, 1, 0));
    assert_eq!(world.sync(), NOTHING);
}
