//! The cache shows what was written only later, or answers get lost.

use std::time::Duration;

use fairlead_fake_api::{SLICES, Weather};
use serde_json::json;

use crate::world::{NAMESPACE, SOON, World, subset};

/// Everything that the watches show is up to twenty seconds late.
const LATE: Weather = Weather {
    conflict: 0,
    throttle: 0,
    error: 0,
    unavailable: 0,
    lost_answer: 0,
    hang: 0,
    delay: 0,
    cut: 0,
    silence: 0,
    lag: 100,
    stale_list: 0,
    compaction: 0,
};

/// A world in calm weather that can be made [`LATE`]: how late a watch is, is decided when it is opened.
async fn world(seed: u64) -> World {
    let world = World::new(seed, LATE).await;
    world.api.set_weather(Weather::default());
    tokio::time::sleep(Duration::from_mins(1)).await;
    world
}

/// Issues 92928, 93442, 99345, 99756: planned from the cache alone, the slice would be created again with each change.
#[tokio::test(start_paused = true)]
async fn issue_93442_a_late_cache_makes_neither_duplicates_nor_conflicts_of_mirrors() {
    for seed in 0..5 {
        let world = world(seed).await;
        world.put_service();
        world.put_endpoints(&json!([subset(&["10.0.0.1"], 5432)]));
        world.until_published("mirror", &["10.0.0.1"]).await;
        tokio::time::sleep(SOON).await;
        world.api.set_weather(LATE);
        for round in 0..30 {
            world.set_addresses(&[&format!("10.0.0.{round}")]);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        tokio::time::sleep(Weather::LONGEST_LAG * 2).await;
        world.api.set_weather(Weather::default());
        tokio::time::sleep(SOON).await;
        assert_eq!((world.created(), world.process.retries()), (1, 0), "seed {seed}");
        assert_eq!(world.published(), ["10.0.0.29"], "seed {seed}");
    }
}

/// An answer that is lost is a slice that the controller does not know of.
#[tokio::test(start_paused = true)]
async fn duplicates_of_mirrors_issue_93374_vanish() {
    let mut duplicates = 0;
    for seed in 0..10 {
        let world = world(seed).await;
        world.api.set_weather(Weather { lost_answer: 100, ..LATE });
        world.put_service();
        world.put_endpoints(&json!([subset(&["10.0.0.1"], 5432)]));
        tokio::time::sleep(Weather::LONGEST_LAG * 2).await;
        duplicates += world.created().saturating_sub(1);
        world.api.set_weather(Weather::default());
        world.until("slice alone", Duration::from_mins(3), |it| it.slices().len() == 1).await;
        assert_eq!(world.published(), ["10.0.0.1"], "seed {seed}");
    }
    assert!(duplicates > 0, "the world was too kind");
}

/// Issues 124547, 127429: what changed while the API server refused everything is mirrored when it is back.
#[tokio::test(start_paused = true)]
async fn after_an_outage_mirrors_issue_124547_are_put_right() {
    for outage in [
        Weather { error: 100, ..Weather::default() },
        Weather { unavailable: 100, cut: 100, ..Weather::default() },
        Weather { hang: 100, ..Weather::default() },
    ] {
        let world = World::with(&["10.0.0.1"]).await;
        world.api.set_weather(outage);
        world.set_addresses(&["10.0.0.2"]);
        tokio::time::sleep(Duration::from_mins(3)).await;
        assert_eq!(world.published(), ["10.0.0.1"], "{outage:?}: an outage");
        world.api.set_weather(Weather::default());
        let right = |it: &World| it.published() == ["10.0.0.2"];
        world.until("change made in the outage", Duration::from_mins(2), right).await;
    }
}

/// Somebody else writes the slice at the same time: nothing of his is overwritten unseen, and the mirror ends right.
#[tokio::test(start_paused = true)]
async fn gap_conflict_during_finalise_of_mirrors_plans_anew() {
    let mut conflicts = 0;
    for seed in 0..10 {
        let world = world(seed).await;
        world.put_service();
        world.put_endpoints(&json!([subset(&["10.0.0.1"], 5432)]));
        world.until_published("mirror", &["10.0.0.1"]).await;
        tokio::time::sleep(SOON).await;
        let name = world.only_slice();
        world.api.set_weather(LATE);
        for round in 0..20_u64 {
            world.edit_slice(&name, |it| {
                it["metadata"]["finalizers"] = json!([format!("example.com/{round}")]);
            });
            world.set_addresses(&[&format!("10.0.0.{round}")]);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        tokio::time::sleep(Weather::LONGEST_LAG).await;
        world.api.set_weather(Weather::default());
        tokio::time::sleep(Duration::from_mins(2)).await;
        conflicts += world.process.retries();
        let slice = world.api.get(&SLICES, NAMESPACE, &name).unwrap();
        assert_eq!(slice["metadata"]["finalizers"], json!(["example.com/19"]), "seed {seed}");
        assert_eq!(world.published(), ["10.0.0.19"], "seed {seed}");
    }
    assert!(conflicts > 0, "the world was too kind");
}
