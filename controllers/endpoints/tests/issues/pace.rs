//! When changes are written, and how often.

use std::time::Duration;

use tokio::time::Instant;

use crate::process::Options;
use crate::world::{SOON, World};

/// Upstream's `TestPodUpdatesBatching`, `TestPodAddsBatching` and `TestPodDeleteBatching`: how many writes three changes
/// make that are so far apart.
#[tokio::test(start_paused = true)]
async fn test_pod_updates_adds_and_deletes_batching() {
    type Deed = fn(&World, usize);
    let update: Deed = |it, number| it.set_ready(number, false);
    let add: Deed = |it, number| it.put_pod(number + 10, true);
    let delete: Deed =
        |it, number| assert!(it.api.delete(&fairlead_fake_api::PODS, "shop", &format!("web-{number}")));
    for (kind, deed) in [("update", update), ("add", add), ("delete", delete)] {
        for (batch_period, gaps, expected) in [
            (0, [200, 200], 3),
            (1000, [200, 200], 1),
            // A window begins with the first change, and does not move.
            (1000, [700, 700], 2),
        ] {
            let batch_period = Duration::from_millis(batch_period);
            let world = World::with(3, Options { batch_period, ..Options::default() }).await;
            let before = world.api.version();
            for number in 0..3 {
                deed(&world, number);
                tokio::time::sleep(Duration::from_millis(gaps.get(number).copied().unwrap_or(3000))).await;
            }
            assert_eq!(world.writes_since(before), expected, "{kind}, {batch_period:?}, {gaps:?}");
        }
    }
}

/// Also 24552, 24553, 50936. Fifty changes a second of a large Service are not fifty writes a second, and none of them
/// takes long to be seen.
#[tokio::test(start_paused = true)]
async fn issue_88967_large_objects_are_written_a_few_times_a_second() {
    for (pods, limit) in [(1000, 5.0), (500, 11.0), (50, 51.0)] {
        let world = World::with_pods(pods).await;
        let before = world.api.version();
        let (started, mut slowest) = (Instant::now(), Duration::ZERO);
        for flip in 0..100 {
            world.set_ready(flip % 50, flip / 50 % 2 == 1);
            if flip % 25 == 24 {
                let (begun, expected) = (
                    Instant::now(),
                    format!("web-{}:{}", flip % 50, if flip / 50 % 2 == 1 { "r" } else { "-" }),
                );
                world.until("it to be seen", SOON, |it| it.published().contains(&expected)).await;
                slowest = slowest.max(begun.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let writes = world.writes_since(before);
        let seconds = started.elapsed().as_secs_f64();
        let rate = f64::from(u32::try_from(writes).unwrap()) / seconds;
        assert!(rate <= limit, "{pods} Pods: {writes} writes in {seconds} s");
        assert!(slowest <= Duration::from_millis(300), "{pods} Pods: {slowest:?}");
        if pods == 50 {
            assert_eq!(writes, 100, "small objects are not delayed at all");
            assert!(slowest <= Duration::from_millis(10), "{slowest:?}");
        }
    }
}

/// What the Service calls for does not wait, however large the object is.
#[tokio::test(start_paused = true)]
async fn changes_of_the_service_do_not_wait() {
    let world = World::with_pods(1000).await;
    world.set_ready(0, false);
    world.until("change of a Pod", SOON, |it| it.published()[0] == "web-0:-").await;
    world.set_ready(1, false);
    world.edit_service("web", |it| it["spec"]["publishNotReadyAddresses"] = true.into());
    let at_once = Duration::from_millis(50);
    world
        .until("change of the Service", at_once, |it| it.published().iter().all(|it| it.ends_with(":r")))
        .await;
}
