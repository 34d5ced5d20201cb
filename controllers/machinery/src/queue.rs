//! The work queue: which keys must be looked at, and what about each of them changed.
//!
//! A key is held once, however often it is added; what changed is merged ([`Dirt`]). It is never given to two
//! workers at a time: what is added while a worker has it comes back when the worker is done. Keys are served
//! in the order in which they became due. A key that failed waits 5 ms, then twice as long each time, up to
//! a minute, and is never dropped; a new change brings it forward.
//!
//! A key whose work may not be written now is parked: it waits for nothing but a change, or for [`Queue::unpark`], which
//! puts all parked keys first in line. So the work that a standby finds costs one entry for each key, and is the first
//! that is done when it takes over.
//!
//! Semantics: client-go's workqueue with its rate limiting and delaying extensions, except that an immediate
//! add replaces a pending delayed one instead of leaving a second, empty round behind.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::WorkqueueMetrics;

const FIRST_RETRY: Duration = Duration::from_millis(5);
/// Upstream waits up to 1000 s, and drops a key after 15 rounds. A key that is never dropped should not keep
/// people waiting that long after an outage.
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// What changed about a key.
pub trait Dirt: Send + 'static {
    /// Adds what `other`, the later one, knows.
    fn merge(&mut self, other: Self);
}

/// A keyed queue.
pub struct Queue<K, D> {
    state: Mutex<State<K, D>>,
    wake: Notify,
    metrics: WorkqueueMetrics,
}

struct State<K, D> {
    /// Keys that are due, in order.
    ready: VecDeque<K>,
    /// Keys that wait for their time. The counter tells apart keys that are due at the same moment.
    delayed: BTreeMap<(Instant, u64), K>,
    /// Keys that were parked and are not due since, in order. Those to which something was added with a delay are among
    /// the delayed ones as well.
    parked: BTreeMap<u64, K>,
    entries: HashMap<K, Entry<D>>,
    /// Tells apart what would otherwise be equal, in order.
    next_number: u64,
    /// How often parked keys were let go.
    unparked: u64,
    closed: bool,
}

struct Entry<D> {
    place: Place,
    /// What changed since a worker last took the key.
    dirt: Option<D>,
    /// Rounds in a row that failed.
    failures: u32,
    /// Its place among the parked keys.
    parked: Option<u64>,
}

/// When a key that a worker gives back is due.
#[derive(Clone, Copy)]
enum Due {
    Backoff { at_least: Duration },
    Later(Duration),
    Parked,
}

#[derive(Clone, Copy)]
enum Place {
    /// Nowhere yet.
    Idle,
    Ready {
        since: Instant,
    },
    Delayed {
        due: (Instant, u64),
    },
    /// Until something is added, or all are let go.
    Parked,
    /// With a worker; `due` is when the key comes back, if anything was added meanwhile. `unparked` is how often parked keys
    /// had been let go when the worker took it.
    Processing {
        since: Instant,
        due: Option<Instant>,
        unparked: u64,
    },
}

impl<K: Clone + Eq + Hash, D: Dirt> Queue<K, D> {
    /// An empty queue.
    #[must_use]
    pub fn new(metrics: WorkqueueMetrics) -> Self {
        Self {
            state: Mutex::new(State {
                ready: VecDeque::new(),
                delayed: BTreeMap::new(),
                parked: BTreeMap::new(),
                entries: HashMap::new(),
                next_number: 0,
                unparked: 0,
                closed: false,
            }),
            wake: Notify::new(),
            metrics,
        }
    }

    /// Adds a key that is due now.
    pub fn add(&self, key: K, dirt: D) {
        self.add_after(key, dirt, Duration::ZERO);
    }

    /// Adds a key that is due after `delay`. Of several delays the earliest end counts, so a batch period
    /// is a window that begins with the first change.
    pub fn add_after(&self, key: K, dirt: D, delay: Duration) {
        let now = Instant::now();
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        if delay.is_zero() {
            self.metrics.adds.inc();
        }
        state.put(key, dirt, now, now + delay);
        self.metrics.depth.set(depth(state.ready.len()));
        drop(state);
        self.wake.notify_one();
    }

    /// The next key that is due and what changed about it; `None` when the queue was closed.
    pub async fn get(&self) -> Option<(K, D)> {
        loop {
            // Created before looking, so that what is added meanwhile is not missed.
            let woken = self.wake.notified();
            let now = Instant::now();
            let next_due = {
                let mut state = self.state.lock();
                let due = state.move_due(now);
                for _ in 0..due {
                    self.metrics.adds.inc();
                }
                if let Some((key, dirt, since)) = state.take(now) {
                    self.metrics.depth.set(depth(state.ready.len()));
                    self.metrics.queue_duration.observe((now - since).as_secs_f64());
                    if !state.ready.is_empty() {
                        self.wake.notify_one();
                    }
                    return Some((key, dirt));
                }
                if state.closed {
                    // The next worker must hear it too.
                    self.wake.notify_one();
                    return None;
                }
                state.delayed.first_key_value().map(|((due, _), _)| *due)
            };
            match next_due {
                Some(due) => {
                    let _ = tokio::time::timeout_at(due, woken).await;
                }
                None => woken.await,
            }
        }
    }

    /// A worker is through with a key, successfully: its failures are forgotten.
    pub fn done(&self, key: &K) {
        self.finish(key, None);
    }

    /// A worker failed with a key: it comes back after its backoff, or after `at_least` if that is longer (the API
    /// server may have said so), with what changed before and since.
    pub fn retry(&self, key: &K, dirt: D, at_least: Duration) {
        self.metrics.retries.inc();
        self.finish(key, Some((dirt, Due::Backoff { at_least })));
    }

    /// A worker is through with a key, successfully, but wants to look at it again after `delay`.
    pub fn later(&self, key: &K, dirt: D, delay: Duration) {
        self.finish(key, Some((dirt, Due::Later(delay))));
    }

    /// A worker found something to write and may not: the key waits for an [`Queue::add`], or for [`Queue::unpark`]. If
    /// either happened since the worker took the key, it comes back at once.
    pub fn park(&self, key: &K, dirt: D) {
        self.finish(key, Some((dirt, Due::Parked)));
    }

    /// Puts all parked keys first in line, in the order in which they were parked.
    pub fn unpark(&self) {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.unparked += 1;
        let keys = std::mem::take(&mut state.parked);
        for key in keys.into_values().rev() {
            self.metrics.adds.inc();
            state.put_first(key, now);
        }
        self.metrics.depth.set(depth(state.ready.len()));
        drop(state);
        self.wake.notify_one();
    }

    /// `owed` is what is still to be done, and when.
    fn finish(&self, key: &K, owed: Option<(D, Due)>) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let lately = state.unparked;
        let Some(entry) = state.entries.get_mut(key) else { return };
        let Place::Processing { since, due: added, unparked } = entry.place else { return };
        self.metrics.work_duration.observe((now - since).as_secs_f64());
        let (dirt, due) = owed.unzip();
        let retry = match due {
            Some(Due::Backoff { at_least }) => {
                let backoff = FIRST_RETRY.saturating_mul(1 << entry.failures.min(18)).min(LONGEST_RETRY);
                entry.failures = entry.failures.saturating_add(1);
                Some(now + backoff.max(at_least))
            }
            Some(Due::Later(delay)) => {
                entry.failures = 0;
                Some(now + delay)
            }
            // What may be written may have changed after the worker had asked.
            Some(Due::Parked) if unparked != lately => Some(now),
            // Not a failure, and no sign that what failed before would not do so again.
            Some(Due::Parked) => None,
            None => {
                entry.failures = 0;
                None
            }
        };
        let parks = matches!(due, Some(Due::Parked)) && retry.is_none();
        entry.place = Place::Idle;
        // What was tried comes before what was added meanwhile.
        let merged = match (dirt, entry.dirt.take()) {
            (Some(mut tried), Some(added)) => {
                tried.merge(added);
                Some(tried)
            }
            (one, other) => one.or(other),
        };
        match merged.filter(|_| !state.closed) {
            Some(dirt) if parks => state.park(key.clone(), dirt, now, added),
            Some(dirt) => {
                let due = added.into_iter().chain(retry).min().unwrap_or(now);
                state.put(key.clone(), dirt, now, due);
            }
            None => {
                state.entries.remove(key);
            }
        }
        self.metrics.depth.set(depth(state.ready.len()));
        drop(state);
        self.wake.notify_one();
    }

    /// Ends the queue: what is pending stays undone and [`Queue::get`] returns `None`.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.ready.clear();
        state.delayed.clear();
        state.parked.clear();
        state.entries.retain(|_, entry| matches!(entry.place, Place::Processing { .. }));
        drop(state);
        self.wake.notify_waiters();
        self.wake.notify_one();
    }

    /// Is nothing due, waiting or with a worker?
    #[cfg(test)]
    fn is_settled(&self) -> bool {
        self.state.lock().entries.is_empty()
    }

    /// Updates the two gauges that show stuck workers. Called now and then, as in client-go.
    pub fn observe_running(&self) {
        let now = Instant::now();
        let state = self.state.lock();
        let mut sum = Duration::ZERO;
        let mut longest = Duration::ZERO;
        for entry in state.entries.values() {
            if let Place::Processing { since, .. } = entry.place {
                let running = now - since;
                sum += running;
                longest = longest.max(running);
            }
        }
        self.metrics.unfinished.set(sum.as_secs_f64());
        self.metrics.longest.set(longest.as_secs_f64());
    }
}

fn depth(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

impl<K: Clone + Eq + Hash, D: Dirt> State<K, D> {
    fn put(&mut self, key: K, dirt: D, now: Instant, due: Instant) {
        let entry = self.entries.entry(key.clone()).or_insert(Entry {
            place: Place::Idle,
            dirt: None,
            failures: 0,
            parked: None,
        });
        match &mut entry.dirt {
            Some(known) => known.merge(dirt),
            None => entry.dirt = Some(dirt),
        }
        match &mut entry.place {
            Place::Ready { .. } => {}
            Place::Processing { due: back, .. } => *back = Some(back.map_or(due, |back| back.min(due))),
            Place::Delayed { due: known } if known.0 <= due => {}
            place => {
                if let Place::Delayed { due: known } = place {
                    self.delayed.remove(known);
                }
                if due <= now {
                    *place = Place::Ready { since: now };
                    if let Some(parked) = entry.parked.take() {
                        self.parked.remove(&parked);
                    }
                    self.ready.push_back(key);
                } else {
                    self.next_number += 1;
                    *place = Place::Delayed { due: (due, self.next_number) };
                    self.delayed.insert((due, self.next_number), key);
                }
            }
        }
    }

    /// Parks a key, or has it wait for what was added meanwhile, which may be due later than the permit is granted.
    fn park(&mut self, key: K, dirt: D, now: Instant, added: Option<Instant>) {
        if let Some(due) = added {
            self.put(key.clone(), dirt, now, due);
        } else if let Some(entry) = self.entries.get_mut(&key) {
            entry.dirt = Some(dirt);
            entry.place = Place::Parked;
        }
        if let Some(entry) = self.entries.get_mut(&key)
            && !matches!(entry.place, Place::Ready { .. })
        {
            self.next_number += 1;
            entry.parked = Some(self.next_number);
            self.parked.insert(self.next_number, key);
        }
    }

    /// Makes a key that was parked the first in line.
    fn put_first(&mut self, key: K, now: Instant) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.parked = None;
        if let Place::Delayed { due } = entry.place {
            self.delayed.remove(&due);
        }
        entry.place = Place::Ready { since: now };
        self.ready.push_front(key);
    }

    /// Moves what has become due to the end of the line; returns how many.
    fn move_due(&mut self, now: Instant) -> usize {
        let mut moved = 0;
        while let Some(first) = self.delayed.first_entry() {
            if first.key().0 > now {
                break;
            }
            let key = first.remove();
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.place = Place::Ready { since: now };
                if let Some(parked) = entry.parked.take() {
                    self.parked.remove(&parked);
                }
                self.ready.push_back(key);
                moved += 1;
            }
        }
        moved
    }

    fn take(&mut self, now: Instant) -> Option<(K, D, Instant)> {
        while let Some(key) = self.ready.pop_front() {
            if let Some(entry) = self.entries.get_mut(&key)
                && let Place::Ready { since } = entry.place
                && let Some(dirt) = entry.dirt.take()
            {
                entry.place = Place::Processing { since: now, due: None, unparked: self.unparked };
                return Some((key, dirt, since));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
