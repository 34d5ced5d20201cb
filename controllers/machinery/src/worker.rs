//! Workers: they take keys from a queue and reconcile them, a bounded number at a time.

use std::fmt::Display;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::queue::{Dirt, Queue};

/// How a round with a key ended.
#[derive(Debug)]
pub enum Outcome<D> {
    /// Nothing is owed.
    Done,
    /// It failed; try again after the key's backoff, but not before this time.
    Retry(D, Duration),
    /// It is done for now; look again after this time.
    Later(D, Duration),
    /// There is something to write, and we may not: the key is parked until something is added, or until
    /// [`Queue::unpark`].
    Park(D),
}

/// Runs `count` workers until `stop`, then lets each finish the round that it is in.
///
/// # Panics
///
/// A panic in a round is passed on: a controller that lost a worker must not go on as if nothing happened.
pub async fn run<K, D, F, Fut>(count: usize, queue: Arc<Queue<K, D>>, stop: CancellationToken, reconcile: F)
where
    K: Clone + Eq + Hash + Display + Send + Sync + 'static,
    D: Dirt,
    F: Fn(K, D) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Outcome<D>> + Send + 'static,
{
    let mut workers = JoinSet::new();
    for _ in 0..count {
        let queue = Arc::clone(&queue);
        let reconcile = reconcile.clone();
        workers.spawn(async move {
            while let Some((key, dirt)) = queue.get().await {
                // Rounds that write nothing wait for nothing: thousands of them in a row would let a lease run out.
                tokio::task::consume_budget().await;
                match reconcile(key.clone(), dirt).await {
                    Outcome::Done => queue.done(&key),
                    Outcome::Retry(dirt, at_least) => queue.retry(&key, dirt, at_least),
                    Outcome::Later(dirt, delay) => queue.later(&key, dirt, delay),
                    Outcome::Park(dirt) => queue.park(&key, dirt),
                }
            }
        });
    }
    let mut gauges = tokio::time::interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = gauges.tick() => queue.observe_running(),
            Some(ended) = workers.join_next() => pass_on_panic(ended),
        }
    }
    queue.close();
    while let Some(ended) = workers.join_next().await {
        pass_on_panic(ended);
    }
}

fn pass_on_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::metrics::Workqueues;

    struct Nothing;

    impl Dirt for Nothing {
        fn merge(&mut self, _: Self) {}
    }

    /// As after a start, when thousands of objects are found to be right: all of the process is on one thread, and the
    /// lease must be renewed meanwhile.
    #[tokio::test]
    async fn rounds_that_wait_for_nothing_leave_others_their_turn() {
        const KEYS: u32 = 10_000;
        let queue = Arc::new(Queue::new(Workqueues::new(&prometheus::Registry::new()).of("test")));
        for key in 0..KEYS {
            queue.add(key, Nothing);
        }
        let (stop, rounds) = (CancellationToken::new(), Arc::new(AtomicU32::new(0)));
        let (counted, ended) = (Arc::clone(&rounds), stop.clone());
        let work = tokio::spawn(run(2, queue, stop.clone(), move |_, _| {
            if counted.fetch_add(1, Ordering::SeqCst) + 1 == KEYS {
                ended.cancel();
            }
            std::future::ready(Outcome::Done)
        }));
        let mut turns = 0;
        while !stop.is_cancelled() {
            tokio::task::yield_now().await;
            turns += 1;
        }
        work.await.unwrap();
        assert!(turns > 10, "{turns} turns while {} rounds were made", rounds.load(Ordering::SeqCst));
    }
}
