//! The cache shows what was written only later, or answers get lost: the class of faults for which upstream waits for its
//! cache, and for which it once did not.

use std::time::Duration;

use fairlead_fake_api::{ENDPOINTS, SERVICES, Weather};
use serde_json::json;

use crate::world::{NAMESPACE, SOON, World};

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

/// Also 125675, 117193, 47711, 93030, 92928: compared with an old copy, the second change looked like no change, and the
/// object stayed wrong for ever.
#[tokio::test(start_paused = true)]
async fn issue_125638_endpoints_that_flip_faster_than_the_cache_follows_end_right() {
    for seed in 0..10 {
        for flips in 1..5 {
            let world = world(seed).await;
            world.put_pod(0, true);
            world.put_service("web");
            world.until("endpoint", SOON, |it| it.published() == ["web-0:r"]).await;
            tokio::time::sleep(SOON).await;
            world.api.set_weather(LATE);
            let mut ready = true;
            for _ in 0..flips {
                ready = !ready;
                world.set_ready(0, ready);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            tokio::time::sleep(Weather::LONGEST_LAG * 2).await;
            let expected = if ready { "web-0:r" } else { "web-0:-" };
            assert_eq!(world.published(), [expected], "seed {seed}, {flips} flips");
        }
    }
}

/// Also 126578, 127417. A write that changes nothing is answered with the version that was there; upstream then waited for
/// another one. Here admission makes every write one that changes nothing.
#[tokio::test(start_paused = true)]
async fn issue_127370_a_write_that_changes_nothing_leaves_nothing_to_wait_for() {
    let world = World::with_pods(2).await;
    world.api.set_admission(
        &ENDPOINTS,
        Some(|endpoints| {
            endpoints["subsets"] = json!([{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 1}]}]);
            endpoints["metadata"]["annotations"] = json!({});
        }),
    );
    for ready in [false, true, false] {
        world.set_ready(0, ready);
        tokio::time::sleep(SOON).await;
    }
    world.api.set_admission(&ENDPOINTS, None);
    world.set_ready(1, false);
    world.until("what was held up", SOON, |it| it.published() == ["web-0:-", "web-1:-"]).await;
}

/// Somebody else writes at the same time: nothing of his is overwritten unseen, and nothing of ours is forgotten.
#[tokio::test(start_paused = true)]
async fn issue_127429_after_a_conflict_endpoints_are_planned_anew_and_nothing_is_overwritten() {
    let mut failed = 0;
    for seed in 0..10 {
        let world = world(seed).await;
        world.put_pod(0, true);
        world.put_service("web");
        world.until("endpoint", SOON, |it| it.published() == ["web-0:r"]).await;
        tokio::time::sleep(SOON).await;
        world.api.set_weather(LATE);
        for round in 0..20_u64 {
            world.edit_endpoints(|it| {
                it["metadata"]["annotations"]["example.com/round"] = round.to_string().into();
            });
            world.set_ready(0, round % 2 == 0);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        tokio::time::sleep(Weather::LONGEST_LAG).await;
        world.api.set_weather(Weather::default());
        tokio::time::sleep(Duration::from_mins(1)).await;
        failed += world.process.plans("failed");
        let endpoints = world.endpoints("web").unwrap();
        assert_eq!(endpoints["metadata"]["annotations"]["example.com/round"], "19", "seed {seed}");
        assert_eq!(world.published(), ["web-0:-"], "seed {seed}");
    }
    assert!(failed > 0, "the world was too kind");
}

/// Also 82494, 69849, 89679. What changed while the API server refused everything is written when it is back, long before
/// the recheck would do it.
#[tokio::test(start_paused = true)]
async fn issue_124547_after_an_outage_endpoints_are_put_right() {
    for outage in [
        Weather { error: 100, ..Weather::default() },
        Weather { unavailable: 100, cut: 100, ..Weather::default() },
        Weather { hang: 100, ..Weather::default() },
    ] {
        let world = World::with_pods(3).await;
        world.api.set_weather(outage);
        world.set_ready(0, false);
        tokio::time::sleep(Duration::from_mins(3)).await;
        world.set_ready(1, false);
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(world.published(), ["web-0:r", "web-1:r", "web-2:r"], "{outage:?}: an outage");
        world.api.set_weather(Weather::default());
        let right = ["web-0:-", "web-1:-", "web-2:r"];
        world.until("change made in the outage", Duration::from_mins(2), |it| it.published() == right).await;
    }
}

/// Also 141593. Service and Pods come and go quickly; the watch shows all of it late.
#[tokio::test(start_paused = true)]
async fn issue_141592_a_service_made_anew_in_a_moment_has_endpoints() {
    for seed in 0..10 {
        let world = world(seed).await;
        world.api.set_weather(LATE);
        for _ in 0..5 {
            world.put_service("web");
            world.put_pod(0, true);
            tokio::time::sleep(Duration::from_millis(700)).await;
            assert!(world.api.delete(&SERVICES, NAMESPACE, "web"));
            // As the API server does it.
            world.api.delete(&ENDPOINTS, NAMESPACE, "web");
        }
        world.put_service("web");
        tokio::time::sleep(Weather::LONGEST_LAG * 2).await;
        assert_eq!(world.published(), ["web-0:r"], "seed {seed}");
        world.set_ready(0, false);
        tokio::time::sleep(Weather::LONGEST_LAG * 2).await;
        assert_eq!(world.published(), ["web-0:-"], "seed {seed}");
    }
}

/// A late cache makes neither conflicts nor further writes.
#[tokio::test(start_paused = true)]
async fn every_change_is_written_once_however_late_the_cache_is() {
    for seed in 0..10 {
        let world = world(seed).await;
        world.put_pod(0, true);
        world.put_service("web");
        tokio::time::sleep(SOON).await;
        let before = world.api.version();
        world.api.set_weather(LATE);
        world.set_ready(0, false);
        tokio::time::sleep(Weather::LONGEST_LAG * 2).await;
        assert_eq!((world.writes_since(before), world.process.plans("failed")), (1, 0), "seed {seed}");
    }
}
