//! What a new process makes of what an earlier one has left.

use std::time::Duration;

use fairlead_fake_api::Weather;

use crate::process::RECHECK_PERIOD;
use crate::world::{SOON, World};

/// Also 112197, 125354, 125359. Upstream does not notice that a slice is gone which it has not written since its
/// start.
#[tokio::test(start_paused = true)]
async fn gap_deletion_after_restart_issue_112143_is_noticed_at_once() {
    let mut world = World::with_pods(2).await;
    let api = world.api.clone();
    world.process.restart(&api);
    tokio::time::sleep(SOON).await;
    let (name, before) = (world.only_slice(), world.created());
    world.delete_slice(&name);
    world.until("new slice", SOON, |it| it.published() == ["web-0:r", "web-1:r"]).await;
    assert_eq!(world.created(), before + 1);
}

/// A process that is killed does not know which of its writes were done, and the next one may be shown a state from
/// before them.
#[tokio::test(start_paused = true)]
async fn issue_107583_a_restart_amid_writes_leaves_no_duplicates_behind() {
    let mut duplicates = 0;
    for seed in 0..10 {
        let mut world = World::new(seed, Weather::default()).await;
        for number in 0..9 {
            world.put_pod(number, true);
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
        world.api.set_weather(Weather { lost_answer: 100, stale_list: 100, lag: 100, ..Weather::default() });
        world.put_service("web");
        for _ in 0..3 {
            tokio::time::sleep(SOON).await;
            let api = world.api.clone();
            world.process.restart(&api);
        }
        tokio::time::sleep(Weather::LONGEST_LAG).await;
        duplicates += world.created().saturating_sub(3);
        world.api.set_weather(Weather::default());
        let all: Vec<_> = (0..9).map(|number| format!("web-{number}:r")).collect();
        world.until("Pod once", Duration::from_mins(3), |it| it.published() == all).await;
        tokio::time::sleep(Duration::from_mins(5)).await;
        assert_eq!(world.published(), all, "seed {seed}");
    }
    assert!(duplicates > 0, "the world was too kind");
}

/// Upstream's resync comes in 12 to 24 hours.
#[tokio::test(start_paused = true)]
async fn gap_resync_looks_at_every_service_and_writes_nothing() {
    let world = World::with_pods(2).await;
    world.put_service("other");
    tokio::time::sleep(SOON).await;
    let (version, syncs) = (world.api.version(), world.process.syncs("success"));
    tokio::time::sleep(RECHECK_PERIOD * 3).await;
    assert_eq!(world.api.version(), version, "nothing is written");
    let rechecks = world.process.syncs("success") - syncs;
    assert!((4..=8).contains(&rechecks), "two Services, three periods: {rechecks} syncs");
}
