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
