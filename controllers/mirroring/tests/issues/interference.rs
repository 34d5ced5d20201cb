//! Slices that others relabel, hold, edit or delete.

use std::time::Duration;

use fairlead_fake_api::SLICES;
use serde_json::{Value, json};

use crate::process::Process;
use crate::world::{NAMESPACE, SOON, World};

/// After whatever happened to its slice the mirror is right, and later changes still arrive.
async fn goes_on(scenario: &str, world: &World) {
    world.until_published(&format!("{scenario}: mirror"), &["10.0.0.1", "10.0.0.2"]).await;
    world.set_addresses(&["10.0.0.2", "10.0.0.3"]);
    world.until_published(&format!("{scenario}: later change"), &["10.0.0.2", "10.0.0.3"]).await;
}

/// Also 85703. Upstream waits a second, and does not see annotations and owners.
#[tokio::test(start_paused = true)]
async fn edits_of_mirrors_issue_85353_are_put_right_at_once() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 6] = [
        ("no endpoints", |it| it["endpoints"] = json!([])),
        ("one smuggled in", |it| {
            it["endpoints"].as_array_mut().unwrap().push(json!({ "addresses": ["10.9.9.9"] }));
        }),
        ("other ports", |it| it["ports"][0]["port"] = 9.into()),
        ("a label", |it| it["metadata"]["labels"]["mine"] = "x".into()),
        ("an annotation", |it| it["metadata"]["annotations"]["mine"] = "x".into()),
        ("no owner", |it| it["metadata"]["ownerReferences"] = json!([])),
    ];
    for (scenario, change) in cases {
        let world = World::with(&["10.0.0.1", "10.0.0.2"]).await;
        let name = world.only_slice();
        let content = |world: &World| {
            let slice = world.slices().remove(0);
            let metadata = &slice["metadata"];
            let annotations = metadata["annotations"].as_object().map_or(0, serde_json::Map::len);
            json!([
                slice["endpoints"],
                slice["ports"],
                metadata["labels"],
                metadata["ownerReferences"],
                annotations
            ])
        };
        let right = content(&world);
        world.edit_slice(&name, change);
        assert_ne!(content(&world), right, "{scenario}");
        let limit = Duration::from_millis(500);
        world.until(scenario, limit, |it| it.slices().len() == 1 && content(it) == right).await;
        goes_on(scenario, &world).await;
    }
}

/// Upstream's tracker misses such a slice and calls every later sync stale, until it is restarted.
#[tokio::test(start_paused = true)]
async fn gap_relabelled_managed_mirror_leaves_nothing_stuck() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 4] = [
        ("another Service", |labels| labels["kubernetes.io/service-name"] = "other".into()),
        ("another controller", |labels| {
            labels["endpointslice.kubernetes.io/managed-by"] = "example.com".into();
        }),
        ("no controller", |labels| {
            labels.as_object_mut().unwrap().remove("endpointslice.kubernetes.io/managed-by");
        }),
        ("no labels", |labels| *labels = json!({})),
    ];
    for (scenario, change) in cases {
        let world = World::with(&["10.0.0.1", "10.0.0.2"]).await;
        let moved = world.only_slice();
        world.edit_slice(&moved, |slice| change(&mut slice["metadata"]["labels"]));
        goes_on(scenario, &world).await;
        assert_ne!(world.only_slice(), moved, "{scenario}");
        let is_there = world.api.get(&SLICES, NAMESPACE, &moved).is_some();
        // It says that it mirrors Endpoints which do not exist.
        assert_eq!(is_there, scenario != "another Service", "{scenario}");
    }
}

/// Also 108779, 109624: a slice that somebody deleted and a finalizer holds.
#[tokio::test(start_paused = true)]
async fn gap_finalizer_held_mirror_issue_108267_leaves_nothing_stuck() {
    let world = World::with(&["10.0.0.1", "10.0.0.2"]).await;
    let held = world.only_slice();
    world.edit_slice(&held, |slice| slice["metadata"]["finalizers"] = json!(["example.com/hold"]));
    tokio::time::sleep(SOON).await;
    world.api.delete(&SLICES, NAMESPACE, &held);
    goes_on("held", &world).await;
    let left = world.api.get(&SLICES, NAMESPACE, &held).unwrap();
    // No list is an empty list.
    assert!(left["endpoints"].as_array().is_none_or(Vec::is_empty), "nothing goes stale in it: {left}");
    let heir = world.only_slice();
    world.edit_slice(&held, |slice| slice["metadata"]["finalizers"] = json!([]));
    tokio::time::sleep(SOON).await;
    assert!(world.api.get(&SLICES, NAMESPACE, &held).is_none());
    assert_eq!(world.only_slice(), heir, "the end of the held one changes nothing");
    goes_on("gone", &{
        world.set_addresses(&["10.0.0.1", "10.0.0.2"]);
        world
    })
    .await;
}

/// A tenant who edits slices in a loop slows only the putting right; changes of the Endpoints are mirrored at once.
#[tokio::test(start_paused = true)]
async fn who_edits_in_a_loop_slows_reverting_and_nothing_else() {
    let world = World::with(&["10.0.0.1"]).await;
    let name = world.only_slice();
    let puts = |world: &World| {
        world.process.metric("endpoint_slice_mirroring_controller_changes{operation=\"update\"}")
    };
    let before = puts(&world);
    let mut edits = 0;
    for _ in 0..600 {
        if world.published() == ["10.0.0.1"] {
            world.edit_slice(&name, |it| it["endpoints"] = json!([]));
            edits += 1;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!((3..=6).contains(&edits), "{edits} edits");
    assert!(puts(&world) - before <= 5, "{} reverts", puts(&world) - before);
    world.set_addresses(&["10.0.0.2"]);
    let limit = Duration::from_millis(500);
    world.until("change of the Endpoints", limit, |it| it.published() == ["10.0.0.2"]).await;
}

/// A webhook that takes away the labels by which slices belong to their Endpoints: no slice is left behind, and no loop.
#[tokio::test(start_paused = true)]
async fn an_admission_that_takes_mirrors_away_makes_no_loop() {
    let world = World::with(&["10.0.0.1"]).await;
    world.api.set_admission(&SLICES, Some(|slice: &mut Value| slice["metadata"]["labels"] = json!({})));
    let before = world.created();
    world.set_addresses(&["10.0.0.2"]);
    tokio::time::sleep(Duration::from_mins(20)).await;
    assert!(world.created() - before <= 6, "{} slices created", world.created() - before);
    assert_eq!(world.api.list(&SLICES).len(), 0, "none is left behind");
    world.api.set_admission(&SLICES, None);
    world.until("mirror", Duration::from_mins(6), |it| it.published() == ["10.0.0.2"]).await;
}

/// The watch may tell of a write before its answer is here; then it is nobody else's all the same.
#[tokio::test(start_paused = true)]
async fn own_writes_are_no_rival_however_fast_the_endpoints_change() {
    let mut world = World::with(&["10.0.0.1"]).await;
    world.process.kill();
    world.process = Process::start_with_late_answers(&world.api, Duration::from_millis(50));
    tokio::time::sleep(SOON).await;
    for round in 0..200 {
        world.set_addresses(&[&format!("10.0.1.{round}")]);
        tokio::time::sleep(Duration::from_millis(37)).await;
    }
    world.until_published("newest addresses", &["10.0.1.199"]).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(world.process.sum("fairlead_contested_services"), 0);
    assert_eq!(world.process.sum("fairlead_events_total"), 0);
}
