//! Self-heal: every object is looked at again now and then, whether or not anything was heard of it.
//!
//! Upstream's resync looks at everything at once, every 12 to 24 hours. Here the objects are spread evenly over
//! a short period. A look compares with the cache; one that finds nothing amiss writes nothing.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The most keys a second that a short period may lead to.
const MOST_PER_SECOND: u32 = 1000;

/// Calls `check` for each of `keys()` once per `period`, evenly spread, until `stop`. Keys are read anew for each
/// round; the first round begins after one period has passed, because everything is looked at after start.
pub async fn run<K>(
    period: Duration,
    keys: impl Fn() -> Vec<K> + Send,
    check: impl Fn(K) + Send,
    stop: CancellationToken,
) {
    let work = async {
        tokio::time::sleep(period).await;
        loop {
            let round = Instant::now();
            let keys = keys();
            let count = u32::try_from(keys.len()).unwrap_or(u32::MAX).max(1);
            let gap = (period / count).max(Duration::from_secs(1) / MOST_PER_SECOND);
            for (at, key) in keys.into_iter().enumerate() {
                tokio::time::sleep_until(round + gap * u32::try_from(at).unwrap_or(u32::MAX)).await;
                check(key);
            }
            tokio::time::sleep_until(round + period.max(Duration::from_secs(1))).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_key_is_checked_once_a_period_and_evenly() {
        let checked = Arc::new(Mutex::new(Vec::new()));
        let stop = CancellationToken::new();
        let begun = Instant::now();
        let seen = Arc::clone(&checked);
        let task = tokio::spawn(run(
            Duration::from_mins(10),
            || vec!["a", "b", "c"],
            move |key| seen.lock().push((key, begun.elapsed().as_secs())),
            stop.clone(),
        ));
        tokio::time::sleep(Duration::from_secs(1790)).await;
        stop.cancel();
        task.await.unwrap();
        assert_eq!(
            *checked.lock(),
            [("a", 600), ("b", 800), ("c", 1000), ("a", 1200), ("b", 1400), ("c", 1600)]
        );
    }
}
