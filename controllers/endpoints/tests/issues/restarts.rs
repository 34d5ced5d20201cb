//! What a new process makes of what an earlier one has left.

use std::time::Duration;

use fairlead_fake_api::Weather;

use crate::process::RECHECK_PERIOD;
use crate::world::{SOON, World};

#[tokio::test(start_paused = true)]
async fn a_restart_writes_nothing_and_what_others_do_then_is_seen_at_once() {
    let mut world = World::with_pods(2).await;
    let before = world.api.version();
    world.restart();
    tokio::time::sleep(SOON).await;
    assert_eq!(world.writes_since(before), 0);
    world.delete_endpoints();
    world.until("new object", SOON, |it| it.published() == ["web-0:r", "web-1:r"]).await;
}

/// A process that is killed does not know which of its writes were done, and the next one may be shown a state from before
/// them.
#[tokio::test(start_paused = true)]
async fn restarts_amid_writes_end_right() {
    for seed in 0..10 {
        let mut world = World::new(seed, Weather::default()).await;
        for number in 0..9 {
            world.put_pod(number, true);
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
        world.api.set_weather(Weather { lost_answer: 100, stale_list: 100, lag: 100, ..Weather::default() });
        world.put_service("web");
        for round in 0..3 {
            tokio::time::sleep(SOON).await;
            world.set_ready(round, false);
            world.restart();
        }
        tokio::time::sleep(Weather::LONGEST_LAG).await;
        world.api.set_weather(Weather::default());
        let right: Vec<_> = (0..9).map(|n| format!("web-{n}:{}", if n < 3 { "-" } else { "r" })).collect();
        world.until("all Pods", Duration::from_mins(3), |it| it.published() == right).await;
        tokio::time::sleep(Duration::from_mins(5)).await;
        assert_eq!(world.published(), right, "seed {seed}");
    }
}

/// Also 94112, 94277, 47597, 47731. Upstream's resync comes in 12 to 24 hours, and wrote what had not changed.
#[tokio::test(start_paused = true)]
async fn issue_94112_every_service_is_looked_at_again_and_nothing_is_written() {
    let world = World::with_pods(2).await;
    world.put_service("other");
    tokio::time::sleep(SOON).await;
    let (before, plans) = (world.api.version(), world.process.plans("unchanged"));
    tokio::time::sleep(RECHECK_PERIOD * 3).await;
    assert_eq!(world.api.version(), before, "nothing is written");
    let rechecks = world.process.plans("unchanged") - plans;
    assert!((4..=8).contains(&rechecks), "two Services, three periods: {rechecks} plans");
}
