//! The right to write.
//!
//! A [`Permit`] is the process's: it ends for good when the process stops, and where a lease is required it holds only
//! during the [`Term`] that the lease gives. It can be narrowed by [`Gate`]s, which open and close, for one controller or
//! for several. It is asked for just before each request is sent, by looking at the clock, so that a process that was
//! suspended or frozen in between does not write by a right that it had.
//!
//! Whoever finds work that it may not do leaves it (in the queue, parked), and begins again when the permit is granted:
//! [`Permit::whenever_granted`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::select_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// The right to write. Clones are the same right.
#[derive(Clone, Debug)]
pub struct Permit {
    ended: CancellationToken,
    term: Option<Term>,
    gates: Vec<Gate>,
}

impl Permit {
    /// A permit that holds until `ended`.
    #[must_use]
    pub fn until(ended: CancellationToken) -> Self {
        Self { ended, term: None, gates: Vec::new() }
    }

    /// The same permit, which holds during the term only.
    #[must_use]
    pub fn during(&self, term: &Term) -> Self {
        Self { term: Some(term.clone()), ..self.clone() }
    }

    /// The same permit, which holds only while the gate is open as well.
    #[must_use]
    pub fn narrowed(&self, gate: &Gate) -> Self {
        let mut narrowed = self.clone();
        narrowed.gates.push(gate.clone());
        narrowed
    }

    /// May something be written now?
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.ended.is_cancelled()
            && self.term.as_ref().is_none_or(Term::is_running)
            && self.gates.iter().all(Gate::is_open)
    }

    /// Waits until it holds; returns at once if it does. Never returns once the process has ended its writes.
    pub async fn granted(&self) {
        let mut changes = self.changes();
        loop {
            changes.mark_seen();
            if self.holds() {
                return;
            }
            changes.next().await;
        }
    }

    /// Calls `then` if it holds, and again each time after it was granted anew, however short it was gone in between.
    /// Never returns. What was found not to be permitted before a call can be tried again in it.
    pub async fn whenever_granted(&self, mut then: impl FnMut()) {
        let mut changes = self.changes();
        loop {
            changes.mark_seen();
            if self.holds() {
                then();
            }
            changes.next().await;
        }
    }

    fn changes(&self) -> Changes {
        let term = self.term.iter().map(|term| term.shared.begun.subscribe());
        let gates = self.gates.iter().map(|gate| gate.0.subscribe());
        Changes(term.chain(gates).collect())
    }
}

/// What may make a permit hold. That it ends is seen by asking it.
struct Changes(Vec<watch::Receiver<bool>>);

impl Changes {
    fn mark_seen(&mut self) {
        for change in &mut self.0 {
            change.mark_unchanged();
        }
    }

    /// Waits for a change since the last mark.
    async fn next(&mut self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        // The permit holds the senders, so none is gone.
        let _ = select_all(self.0.iter_mut().map(|change| change.changed().boxed())).await;
    }
}

/// The time during which a lease lets the process write. It begins once, is prolonged, and ends for good. Clones are the
/// same term.
#[derive(Clone, Debug)]
pub struct Term {
    shared: Arc<TermShared>,
}

#[derive(Debug)]
struct TermShared {
    clock: Clock,
    /// Nanoseconds of the clock; zero: it has not begun.
    valid_until: AtomicU64,
    /// Has it begun?
    begun: watch::Sender<bool>,
}

/// Later than this no term is extended: it is over.
const OVER: u64 = 1;

impl Term {
    /// A term that has not begun, by this clock.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let shared = TermShared { clock, valid_until: AtomicU64::new(0), begun: watch::Sender::new(false) };
        Self { shared: Arc::new(shared) }
    }

    /// Begins or prolongs it until this time of the clock, unless it was ended.
    pub fn extend(&self, valid_until: Duration) {
        let until = u64::try_from(valid_until.as_nanos()).unwrap_or(u64::MAX).max(OVER + 1);
        let known = &self.shared.valid_until;
        let before =
            known.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |known| (known != OVER).then_some(until));
        if before == Ok(0) {
            self.shared.begun.send_replace(true);
        }
    }

    /// Ends it for good.
    pub fn end(&self) {
        self.shared.valid_until.store(OVER, Ordering::SeqCst);
    }

    /// Has it begun, and is its time not over? Looks at the clock.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let valid_until = self.shared.valid_until.load(Ordering::SeqCst);
        valid_until > OVER && self.shared.clock.now() < Duration::from_nanos(valid_until)
    }

    /// By how much the clock has passed the end of a term that was not ended ([`Term::end`]): whoever should have ended it
    /// is late. `None`: it has not begun, is running, or was ended.
    #[must_use]
    pub fn overdue(&self) -> Option<Duration> {
        let valid_until = self.shared.valid_until.load(Ordering::SeqCst);
        if valid_until <= OVER {
            return None;
        }
        self.shared.clock.now().checked_sub(Duration::from_nanos(valid_until))
    }
}

/// Lets writes through while it is open. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// A gate that is open until it is closed.
    #[must_use]
    pub fn opened() -> Self {
        Self(watch::Sender::new(true))
    }

    /// A gate that is closed until it is opened.
    #[must_use]
    pub fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Opens it.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Closes it. What is on its way is not called back.
    pub fn close(&self) {
        self.0.send_replace(false);
    }

    /// Is it open?
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self.0.borrow()
    }
}

#[cfg(test)]
mod tests;
