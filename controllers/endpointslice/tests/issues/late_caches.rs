//! The cache shows what was written only later, or answers get lost: the class of faults for which upstream waits for
//! its cache.

use std::time::Duration;

use fairlead_fake_api::{SLICES, Weather};

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

/// A world in calm weather that can be made [`LATE`]: how late a watch is, is decided when it is opened. As bookmarks
/// come once a minute and in time, it may be late for fifty seconds from now on.
async fn world(seed: u64) -> World {
    let world = World::new(seed, LATE).await;
    world.api.set_weather(Weather::default());
    tokio::time::sleep(Duration::from_mins(1)).await;
    world
}

/// Also 93520, 99345. Planning from the cache alone would create the slice once more with every change that is seen
/// before it, or send updates of versions that are no more.
#[tokio::test(start_paused = true)]
async fn issue_92928_a_late_cache_makes_neither_duplicates_nor_conflicts() {
    for seed in 0..10 {
        let world = world(seed).await;
        world.api.set_weather(LATE);
        world.put_pod(0, true);
        world.put_pod(1, true);
        world.put_service("web");
        for round in 0..30 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            world.set_ready(0, round % 2 == 0);
        }
        tokio::time::sleep(Weather::LONGEST_LAG).await;
        world.api.set_weather(Weather::default());
        tokio::time::sleep(SOON).await;
        assert_eq!(world.created(), 1, "seed {seed}");
        assert_eq!(world.process.syncs("stale"), 0, "seed {seed}: conflicts");
        assert_eq!(world.published(), ["web-0:-", "web-1:r"], "seed {seed}");
    }
}

/// Also 93907, 101935. An answer that is lost is a slice that the controller does not know of: it makes another one,
/// and takes the endpoints out of all but one when it sees them.
#[tokio::test(start_paused = true)]
async fn issue_93374_duplicates_vanish() {
    let mut duplicates = 0;
    for seed in 0..10 {
        let world = world(seed).await;
        world.put_pod(0, true);
        world.put_pod(1, true);
        world.api.set_weather(Weather { lost_answer: 100, ..LATE });
        world.put_service("web");
        tokio::time::sleep(Weather::LONGEST_LAG * 2).await;
        duplicates += world.created() - 1;
        world.api.set_weather(Weather::default());
        world.until("slice alone", Duration::from_mins(3), |it| it.slices().len() == 1).await;
        assert_eq!(world.published(), ["web-0:r", "web-1:r"], "seed {seed}");
    }
    assert!(duplicates > 0, "the world was too kind");
}

/// Also 125675, 117193, 47711, 93030. There Endpoints, compared with an old copy, stayed wrong for ever; slices have
/// the same race.
#[tokio::test(start_paused = true)]
async fn issue_125638_a_pod_that_flips_faster_than_the_cache_follows_ends_right() {
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

/// Also 82494, 69849, 89679. What changed while the API server refused everything is written when it is back, long before
/// the recheck would do it.
#[tokio::test(start_paused = true)]
async fn issue_124547_after_an_outage_everything_is_put_right() {
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
        // The longest wait between two attempts is a minute; a request without answer is given up sooner.
        let right = ["web-0:-", "web-1:-", "web-2:r"];
        world.until("change made in the outage", Duration::from_mins(2), |it| it.published() == right).await;
    }
}

/// Also 127429. Somebody else writes the slice at the same time: nothing of his is overwritten unseen, and nothing of
/// ours is forgotten.
#[tokio::test(start_paused = true)]
async fn gap_conflict_during_finalise_issue_127429_plans_anew_and_overwrites_nothing() {
    let mut conflicts = 0;
    for seed in 0..10 {
        let world = world(seed).await;
        world.put_pod(0, true);
        world.put_service("web");
        world.until("endpoint", SOON, |it| it.published() == ["web-0:r"]).await;
        tokio::time::sleep(SOON).await;
        let name = world.only_slice();
        world.api.set_weather(LATE);
        for round in 0..20_u64 {
            world.edit_slice(&name, |it| {
                it["metadata"]["annotations"]["example.com/round"] = round.to_string().into();
            });
            world.set_ready(0, round % 2 == 0);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        tokio::time::sleep(Weather::LONGEST_LAG).await;
        world.api.set_weather(Weather::default());
        tokio::time::sleep(Duration::from_mins(1)).await;
        conflicts += world.process.syncs("stale");
        let slice = world.api.get(&SLICES, NAMESPACE, &name).unwrap();
        assert_eq!(slice["metadata"]["annotations"]["example.com/round"], "19", "seed {seed}");
        assert_eq!(world.published(), ["web-0:-"], "seed {seed}");
    }
    assert!(conflicts > 0, "the world was too kind");
}

/// Nothing can be created in such a namespace, and nothing is owed there: no error, no retry.
#[tokio::test(start_paused = true)]
async fn gap_namespace_terminating_is_no_error() {
    let world = World::new(1, Weather::default()).await;
    world.api.terminate_namespace(NAMESPACE);
    world.put_pod(0, true);
    world.put_service("web");
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(world.slices().len(), 0);
    assert_eq!(world.process.syncs("success"), 1, "looked at once and not again");
    assert_eq!(world.process.syncs("error"), 0);
}
