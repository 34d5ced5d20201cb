//! What a new process makes of what an earlier one has left, and what a process does that may not write.

use std::time::Duration;

use fairlead_fake_api::{ENDPOINTS, SERVICES, SLICES};
use serde_json::json;

use crate::world::{NAMESPACE, SOON, World};

/// Also 112197, 125354, 125359. Upstream did not notice that a slice was gone which it had not written since its start.
#[tokio::test(start_paused = true)]
async fn gap_deletion_after_restart_issue_125354_of_a_mirror_is_noticed_at_once() {
    let mut world = World::with(&["10.0.0.1"]).await;
    let api = world.api.clone();
    let version = api.version();
    world.process.restart(&api);
    tokio::time::sleep(SOON).await;
    assert_eq!(api.version(), version, "a restart writes nothing");
    let name = world.only_slice();
    api.delete(&SLICES, NAMESPACE, &name);
    let limit = Duration::from_millis(500);
    world.until("new slice", limit, |it| it.published() == ["10.0.0.1"]).await;
    assert_ne!(world.only_slice(), name);
}

/// What ended while no process was there is noticed by the next one, though nothing but the slices tells of it.
#[tokio::test(start_paused = true)]
async fn what_ended_meanwhile_is_cleaned_up_after_the_start() {
    for ended in ["Endpoints", "Service", "both", "selector"] {
        let mut world = World::with(&["10.0.0.1"]).await;
        let api = world.api.clone();
        world.process.kill();
        match ended {
            "selector" => world.select(json!({ "app": "db" })),
            _ => {
                if ended != "Service" {
                    api.delete(&ENDPOINTS, NAMESPACE, "db");
                }
                if ended != "Endpoints" {
                    api.delete(&SERVICES, NAMESPACE, "db");
                }
            }
        }
        assert_eq!(world.slices().len(), 1, "{ended}");
        world.process.restart(&api);
        world.until(ended, SOON, |it| it.slices().is_empty()).await;
        assert_eq!(world.process.sum("fairlead_reverts_total"), 0, "{ended}: nobody did anything to slices");
    }
}

/// What is to be written while the process may not write is written when it may, and not before.
#[tokio::test(start_paused = true)]
async fn a_process_that_may_not_write_waits_with_its_plans() {
    let world = World::with(&["10.0.0.1"]).await;
    world.process.gate.close();
    world.set_addresses(&["10.0.0.2"]);
    tokio::time::sleep(Duration::from_mins(30)).await;
    assert_eq!(world.published(), ["10.0.0.1"]);
    world.set_addresses(&["10.0.0.3"]);
    tokio::time::sleep(SOON).await;
    let updates = "endpoint_slice_mirroring_controller_changes{operation=\"update\"}";
    let before = world.process.metric(updates);
    world.process.gate.open();
    world.until_published("newest addresses", &["10.0.0.3"]).await;
    assert_eq!(world.process.metric(updates), before + 1);
    assert_eq!(world.process.retries(), 0);
}
