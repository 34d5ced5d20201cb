//! Endpoints that others edit, relabel or delete.

use std::time::Duration;

use fairlead_fake_api::{ENDPOINTS, Weather};
use serde_json::{Value, json};

use crate::world::{SOON, World};

type Change = fn(&mut Value);

/// Upstream reverts an edit with the next change of the Service, at worst after a day.
#[tokio::test(start_paused = true)]
async fn issue_106198_edits_by_others_are_put_right_at_once() {
    let cases: [(&str, Change); 7] = [
        ("no subsets", |it| it["subsets"] = Value::Null),
        ("a smuggled address", |it| {
            it["subsets"][0]["addresses"].as_array_mut().unwrap().push(json!({"ip": "10.9.9.9"}));
        }),
        ("not ready", |it| {
            let address = it["subsets"][0]["addresses"].as_array_mut().unwrap().remove(0);
            it["subsets"][0]["notReadyAddresses"] = json!([address]);
        }),
        ("other ports", |it| it["subsets"][0]["ports"][0]["port"] = 9.into()),
        ("a label", |it| it["metadata"]["labels"]["mine"] = "x".into()),
        ("no labels", |it| it["metadata"]["labels"] = json!({})),
        ("another capacity", |it| {
            it["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"] = "warning".into();
        }),
    ];
    for (scenario, change) in cases {
        let world = World::with_pods(2).await;
        let content = |world: &World| {
            let object = world.endpoints("web").unwrap();
            let annotation = &object["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"];
            json!([object["subsets"], object["metadata"]["labels"], annotation])
        };
        let right = content(&world);
        let before = world.api.version();
        world.edit_endpoints(change);
        assert_ne!(content(&world), right, "{scenario}");
        world.until(scenario, Duration::from_millis(500), |it| content(it) == right).await;
        tokio::time::sleep(SOON).await;
        assert_eq!(world.writes_since(before), 1, "{scenario}");
        assert_eq!(world.process.metric("fairlead_reverts_total{resource=\"endpoints\"}"), 1, "{scenario}");
        world.set_ready(0, false);
        world.until("later change", SOON, |it| it.published() == ["web-0:-", "web-1:r"]).await;
    }
}

/// Annotations are everybody's own.
#[tokio::test(start_paused = true)]
async fn annotations_of_others_are_left_alone() {
    let world = World::with_pods(2).await;
    let before = world.api.version();
    world.edit_endpoints(|it| it["metadata"]["annotations"]["example.com/note"] = "keep".into());
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(world.writes_since(before), 0);
    world.set_ready(0, false);
    world.until("change", SOON, |it| it.published() == ["web-0:-", "web-1:r"]).await;
    assert_eq!(world.endpoints("web").unwrap()["metadata"]["annotations"]["example.com/note"], "keep");
}

/// After five reverts one follows every five minutes; what Pods call for is written at once, and puts the rest right.
#[tokio::test(start_paused = true)]
async fn whoever_edits_in_a_loop_slows_only_the_reverting() {
    for by_deletion in [false, true] {
        let world = World::with_pods(2).await;
        let before = world.api.version();
        let disturb = |world: &World| {
            if by_deletion {
                world.api.delete(&ENDPOINTS, "shop", "web");
            } else {
                world.api.edit(&ENDPOINTS, "shop", "web", |it| it["subsets"] = Value::Null);
            }
        };
        for _ in 0..600 {
            disturb(&world);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let writes = world.writes_since(before);
        assert!((5..=6).contains(&writes), "{writes} writes in a minute");
        assert_eq!(world.process.metric("fairlead_contested_services{resource=\"endpoints\"}"), 1);
        world.set_ready(0, false);
        let at_once = Duration::from_millis(200);
        world.until("change of a Pod", at_once, |it| it.published() == ["web-0:-", "web-1:r"]).await;
        disturb(&world);
        tokio::time::sleep(Duration::from_mins(6)).await;
        assert_eq!(world.published(), ["web-0:-", "web-1:r"], "reverted in the end");
        // The rival gives up.
        tokio::time::sleep(Duration::from_mins(11)).await;
        assert_eq!(world.process.metric("fairlead_contested_services{resource=\"endpoints\"}"), 0);
        disturb(&world);
        world.until("revert", at_once, |it| it.published() == ["web-0:-", "web-1:r"]).await;
    }
}

/// Edits that only changes of Pods put right count as well.
#[tokio::test(start_paused = true)]
async fn edits_that_changes_of_pods_put_right_count() {
    let world = World::with_pods(2).await;
    for round in 0..12 {
        // The Pod changes in the same moment, so that nothing is left for a revert of its own.
        world.edit_endpoints(|it| it["metadata"]["labels"]["mine"] = "x".into());
        world.set_ready(0, round % 2 == 1);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    world
        .until("counted", Duration::from_mins(1), |it| {
            it.process.metric("fairlead_contested_services{resource=\"endpoints\"}") == 1
        })
        .await;
}

/// What admission makes of every write is tried again every five minutes, and not in a loop.
#[tokio::test(start_paused = true)]
async fn issue_126578_admission_that_changes_every_write_makes_no_loop() {
    let relabels: Change = |it| it["metadata"]["labels"]["mine"] = "x".into();
    let unmanages: Change = |it| {
        it["metadata"]["labels"].as_object_mut().unwrap().remove("endpoints.kubernetes.io/managed-by");
    };
    let rereads: Change = |it| it["subsets"] = json!([{"addresses": [{"ip": "10.9.9.9"}]}]);
    for (scenario, admission) in [("relabels", relabels), ("unmanages", unmanages), ("replaces", rereads)] {
        let world = World::with_pods(2).await;
        world.api.set_admission(&ENDPOINTS, Some(admission));
        let before = world.process.plans("written");
        world.set_ready(0, false);
        tokio::time::sleep(Duration::from_mins(16)).await;
        let plans = world.process.plans("written") - before;
        assert!((2..=5).contains(&plans), "{scenario}: {plans} writes in 16 minutes");
        world.api.set_admission(&ENDPOINTS, None);
        let right = ["web-0:-", "web-1:r"];
        world
            .until("end of it", Duration::from_mins(6), |it| {
                it.published() == right
                    && it.endpoints("web").unwrap()["metadata"]["labels"]["mine"].is_null()
            })
            .await;
    }
}

/// Also 108779, 109624. An object that is being deleted is kept right as long as a finalizer holds it, and made anew then.
#[tokio::test(start_paused = true)]
async fn gap_endpoints_held_by_a_finalizer_stay_right_and_come_back() {
    let world = World::with_pods(2).await;
    world.edit_endpoints(|it| it["metadata"]["finalizers"] = json!(["example.com/hold"]));
    world.delete_endpoints();
    assert!(!world.endpoints("web").unwrap()["metadata"]["deletionTimestamp"].is_null());
    world.set_ready(0, false);
    world.until("change", SOON, |it| it.published() == ["web-0:-", "web-1:r"]).await;
    world.edit_endpoints(|it| it["metadata"]["finalizers"] = json!([]));
    world
        .until("new object", SOON, |it| {
            it.endpoints("web").is_some_and(|it| it["metadata"]["deletionTimestamp"].is_null())
        })
        .await;
    assert_eq!(world.published(), ["web-0:-", "web-1:r"]);
}

/// Upstream's `TestMultipleServiceChanges` and `TestMultiplePodChanges`: what changes during a slow request is not lost.
#[tokio::test(start_paused = true)]
async fn changes_during_a_slow_request_are_not_lost() {
    for of_service in [false, true] {
        let world = World::with_pods(2).await;
        world.api.set_weather(Weather { delay: 100, ..Weather::default() });
        for round in 0..7 {
            if of_service {
                world
                    .edit_service("web", |it| it["metadata"]["labels"] = json!({"round": round.to_string()}));
            } else {
                world.set_ready(0, round % 2 == 1);
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        world
            .until("last change", Duration::from_mins(3), |it| {
                let label = it.endpoints("web").is_some_and(|it| it["metadata"]["labels"]["round"] == "6");
                if of_service { label } else { it.published() == ["web-0:-", "web-1:r"] }
            })
            .await;
    }
}
