//! The end of the process: the signal that asks for it, and the tasks that must be over before it.
//!
//! ```text
//! first SIGINT/SIGTERM ──▶ Shutdown cancelled ──▶ readiness off, no new work ──▶ Tasks::drain ──▶ exit
//! second signal ─────────────────────────────────────────────────────────────────────────────▶ exit at once
//! ```

use std::borrow::Cow;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The request to end, which everybody who has a clone sees.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// A shutdown that only [`Shutdown::begin`] starts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens for SIGINT and SIGTERM from now on. The first begins the shutdown; the second ends the process at
    /// once with exit code 1, as Kubernetes' own binaries do, for whoever does not want to wait for the drain.
    ///
    /// Must be called in a tokio runtime. Fails if the handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        tokio::spawn(listen(shutdown.clone(), interrupt, terminate));
        Ok(shutdown)
    }

    /// Begins the shutdown. Further calls change nothing.
    pub fn begin(&self) {
        self.token.cancel();
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until the shutdown begins; returns at once if it has.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// The token itself, for `select!`, child tokens and `run_until_cancelled`.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}

async fn listen(shutdown: Shutdown, mut interrupt: Signal, mut terminate: Signal) {
    let first = next(&mut interrupt, &mut terminate).await;
    info!(signal = first, "shutting down; a second signal ends the process at once");
    shutdown.begin();
    let second = next(&mut interrupt, &mut terminate).await;
    warn!(signal = second, "second signal: ending without waiting for work in progress");
    std::process::exit(1);
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> &'static str {
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}

/// How a task of [`Tasks`] ended.
#[derive(Debug)]
pub struct Ended {
    /// The name that it was spawned with.
    pub name: Cow<'static, str>,
    /// The panic's message if it panicked. `None`: it returned.
    pub panic: Option<String>,
}

/// The named tasks of the process.
///
/// None of them may end before the shutdown: whoever runs the process waits for [`Tasks::next_ended`] beside
/// [`Shutdown::begun`] and ends the process if a task returned or panicked, since a process that has lost a part
/// looks healthy but does only half of its work. Dropping the set aborts what still runs.
#[derive(Debug, Default)]
pub struct Tasks {
    running: JoinSet<()>,
    names: HashMap<Id, Cow<'static, str>>,
}

impl Tasks {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task on the current tokio runtime. The name is for messages.
    pub fn spawn(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let handle = self.running.spawn(task);
        self.names.insert(handle.id(), name.into());
    }

    /// Waits for the next task that ends. `None`: no task is left. Cancel safe.
    pub async fn next_ended(&mut self) -> Option<Ended> {
        let joined = self.running.join_next_with_id().await?;
        Some(self.ended(joined))
    }

    /// Waits for all tasks, at most for `grace`; then aborts what is left and returns the names, sorted. A task
    /// that panics while it drains is logged.
    ///
    /// The tasks must have been told to end, by [`Shutdown`] or a token of their own.
    pub async fn drain(mut self, grace: Duration) -> Vec<Cow<'static, str>> {
        let all = async {
            while let Some(ended) = self.next_ended().await {
                if let Some(panic) = ended.panic {
                    warn!(task = %ended.name, %panic, "task panicked during shutdown");
                }
            }
        };
        // An elapsed grace period is seen by what is left, below.
        let _ = tokio::time::timeout(grace, all).await;
        let mut left: Vec<_> = self.names.into_values().collect();
        left.sort_unstable();
        left
    }

    fn ended(&mut self, joined: Result<(Id, ()), JoinError>) -> Ended {
        let (id, panic) = match joined {
            Ok((id, ())) => (id, None),
            Err(error) => (
                error.id(),
                Some(error.try_into_panic().map_or_else(
                    |cancelled| cancelled.to_string(),
                    |payload| panic_message(payload.as_ref()),
                )),
            ),
        };
        Ended { name: self.names.remove(&id).unwrap_or_default(), panic }
    }
}

fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn every_clone_sees_the_begin() {
        let shutdown = Shutdown::new();
        let other = shutdown.clone();
        assert!(!other.has_begun());
        shutdown.begin();
        shutdown.begin();
        other.begun().await;
        assert!(other.has_begun() && other.token().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn drain_waits_for_tasks_that_end_in_time() {
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new();
        for seconds in [1, 5] {
            let shutdown = shutdown.clone();
            tasks.spawn(format!("ends-after-{seconds}s"), async move {
                shutdown.begun().await;
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            });
        }
        shutdown.begin();
        let start = tokio::time::Instant::now();
        assert!(tasks.drain(Duration::from_secs(30)).await.is_empty());
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn drain_names_and_aborts_what_does_not_end() {
        struct Witness(Option<tokio::sync::oneshot::Sender<()>>);
        impl Drop for Witness {
            fn drop(&mut self) {
                self.0.take().map(|dropped| dropped.send(()));
            }
        }
        let (dropped, was_dropped) = tokio::sync::oneshot::channel();
        let witness = Witness(Some(dropped));
        let mut tasks = Tasks::new();
        tasks.spawn("quick", async {});
        tasks.spawn("stuck", async move {
            let _witness = witness;
            pending::<()>().await;
        });
        tasks.spawn("also stuck", pending());
        let start = tokio::time::Instant::now();
        assert_eq!(tasks.drain(Duration::from_secs(10)).await, ["also stuck", "stuck"]);
        assert_eq!(start.elapsed(), Duration::from_secs(10));
        was_dropped.await.unwrap();
    }

    #[tokio::test]
    async fn ends_are_reported_with_name_and_panic() {
        let mut tasks = Tasks::new();
        tasks.spawn("returns", async {});
        let ended = tasks.next_ended().await.unwrap();
        assert_eq!((ended.name.as_ref(), ended.panic), ("returns", None));
        tasks.spawn("panics", async { panic!("no {}", "way") });
        let ended = tasks.next_ended().await.unwrap();
        assert_eq!((ended.name.as_ref(), ended.panic.as_deref()), ("panics", Some("no way")));
        assert!(tasks.next_ended().await.is_none());
    }
}
