//! The local copy of one resource, and word of what changed in it.
//!
//! One informer per kind and process serves all controllers. A relist marks what it names and sweeps the rest
//! when it is complete, so a list that breaks off midway loses nothing and no second copy is ever held.

mod entries;

use std::sync::Arc;
use std::time::Duration;

use fairlead_objects::{ObjectKey, Record, ResourceVersion};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::entries::{Entries, Entry};
use crate::metrics::InformerMetrics;
use crate::source::{Source, SourceError, SourceEvent};

/// A change of one object: created (`old` is `None`), deleted (`new` is `None`) or changed in a fact that a
/// controller uses.
#[derive(Clone, Debug)]
pub struct Change<R> {
    /// Before.
    pub old: Option<Arc<R>>,
    /// After.
    pub new: Option<Arc<R>>,
}

type Handler<R> = Box<dyn Fn(&Change<R>) + Send + Sync>;
type ListHandler = Box<dyn Fn(Instant) + Send + Sync>;

/// What is known of one resource.
pub struct Store<R> {
    entries: RwLock<Entries<R>>,
    frontier: RwLock<ResourceVersion>,
    synced: watch::Sender<bool>,
    trouble: watch::Sender<Option<SourceError>>,
}

impl<R: Record> Store<R> {
    fn new() -> Self {
        Self {
            entries: RwLock::default(),
            frontier: RwLock::default(),
            synced: watch::Sender::new(false),
            trouble: watch::Sender::new(None),
        }
    }

    /// The object, if it exists.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<R>> {
        self.entries.read().get(key).cloned()
    }

    /// All objects, in no order.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<R>> {
        self.entries.read().records().cloned().collect()
    }

    /// Number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.read().len()
    }

    /// Is there no object?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.read().len() == 0
    }

    /// The newest version that was seen on any object of the resource. Every change up to it is in the store
    /// *and* was told to the handlers, so who reads the frontier first and the store afterwards sees all of it.
    #[must_use]
    pub fn frontier(&self) -> ResourceVersion {
        self.frontier.read().clone()
    }

    /// Was a complete list received?
    #[must_use]
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits for the first complete list.
    pub async fn synced(&self) {
        // Fails only if the sender is gone, and the store itself holds it.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// The error that the list or watch last broke off with, until it works again.
    #[must_use]
    pub fn trouble(&self) -> Option<SourceError> {
        self.trouble.borrow().clone()
    }

    /// Is the resource one that the API server does not serve, as far as is known? Objects that were there before are
    /// still in the store.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(*self.trouble.borrow(), Some(SourceError::Missing(_)))
    }

    /// Waits for the first complete list, or until it is known that the API server does not serve the resource.
    pub async fn synced_or_missing(&self) {
        let mut trouble = self.trouble.subscribe();
        let missing = trouble.wait_for(|trouble| matches!(trouble, Some(SourceError::Missing(_))));
        // The store holds the sender, so it is not gone.
        tokio::select! {
            () = self.synced() => {}
            _ = missing => {}
        }
    }

    fn advance_frontier(&self, version: &ResourceVersion) {
        // An empty list names no version.
        if *version == ResourceVersion::default() {
            return;
        }
        let mut frontier = self.frontier.write();
        if frontier.reaches(version) != Some(true) {
            *frontier = version.clone();
        }
    }
}

/// Keeps a [`Store`] up to date and calls its handlers for every change.
pub struct Informer<R> {
    store: Arc<Store<R>>,
    handlers: Vec<Handler<R>>,
    list_handlers: Vec<ListHandler>,
    metrics: InformerMetrics,
    list: u32,
    list_asked: Instant,
    newest_listed: ResourceVersion,
}

impl<R: Record> Informer<R> {
    /// An informer with an empty store.
    #[must_use]
    pub fn new(metrics: &crate::metrics::Informers) -> Self {
        Self {
            store: Arc::new(Store::new()),
            handlers: Vec::new(),
            list_handlers: Vec::new(),
            metrics: metrics.of(R::RESOURCE.plural),
            list: 0,
            list_asked: Instant::now(),
            newest_listed: ResourceVersion::default(),
        }
    }

    /// The store, to read from.
    #[must_use]
    pub fn store(&self) -> Arc<Store<R>> {
        Arc::clone(&self.store)
    }

    /// Calls `handler` for every change, in the order in which handlers were added. Handlers run in the
    /// informer's task: they may take a lock for a moment, but never wait.
    pub fn on_change(&mut self, handler: impl Fn(&Change<R>) + Send + Sync + 'static) {
        self.handlers.push(Box::new(handler));
    }

    /// Calls `handler` whenever a list is complete and its changes were told, with the time at which it was asked
    /// for: what existed or was gone then is as the store shows it, or was changed again since.
    pub fn on_list(&mut self, handler: impl Fn(Instant) + Send + Sync + 'static) {
        self.list_handlers.push(Box::new(handler));
    }

    /// Runs until `stop`.
    pub async fn run(mut self, mut source: impl Source<R>, stop: CancellationToken) {
        let mut backoff = Backoff::default();
        loop {
            let asked = Instant::now();
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = source.next() => event,
            };
            match event {
                Ok(event) => {
                    // A list that breaks off after its first object does not work.
                    if !matches!(event, SourceEvent::ListBegins | SourceEvent::Listed(_)) {
                        backoff.worked();
                        if self.store.trouble.borrow().is_some() {
                            self.store.trouble.send_replace(None);
                            tracing::info!(resource = R::RESOURCE.plural, "watch works again");
                        }
                    }
                    self.handle(event, asked);
                }
                Err(error) => {
                    let delay = backoff.failed(&error, Instant::now());
                    self.report(&error, delay);
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(delay) => {}
                    }
                }
            }
        }
    }

    fn report(&self, error: &SourceError, delay: Duration) {
        let resource = R::RESOURCE.plural;
        self.metrics.errors.inc();
        let known = self.store.trouble.send_replace(Some(error.clone())).as_ref() == Some(error);
        if matches!(error, SourceError::Expired(_)) || known {
            tracing::debug!(resource, %error, retry_in = ?delay, "watch broke off");
        } else if matches!(error, SourceError::Missing(_)) {
            tracing::info!(resource, "not served by the API server, waiting until it is");
        } else {
            tracing::warn!(resource, %error, retry_in = ?delay, "cannot list or watch {resource}");
        }
    }

    fn handle(&mut self, event: SourceEvent<R>, asked: Instant) {
        match event {
            SourceEvent::ListBegins => {
                self.list_asked = asked;
                self.list = self.list.wrapping_add(1);
                self.newest_listed = ResourceVersion::default();
                self.metrics.lists.inc();
            }
            SourceEvent::Listed(record) => {
                if self.newest_listed.reaches(record.version()) != Some(true) {
                    self.newest_listed = record.version().clone();
                }
                self.apply(record);
            }
            SourceEvent::ListEnds => {
                self.sweep();
                // Only now: objects are listed by name, so the newest may come first.
                self.store.advance_frontier(&self.newest_listed);
                self.store.synced.send_replace(true);
                for handler in &self.list_handlers {
                    handler(self.list_asked);
                }
                tracing::debug!(resource = R::RESOURCE.plural, objects = self.store.len(), "list complete");
            }
            SourceEvent::Applied(record) => {
                let version = record.version().clone();
                self.apply(record);
                self.store.advance_frontier(&version);
            }
            SourceEvent::Deleted(record) => {
                let old = self.store.entries.write().remove(record.key());
                if old.is_some() {
                    self.tell(&Change { old, new: None });
                }
                self.store.advance_frontier(record.version());
            }
        }
    }

    fn apply(&mut self, record: R) {
        let list = self.list;
        let mut entries = self.store.entries.write();
        let (old, new) = if let Some(entry) = entries.get_mut(record.key()) {
            entry.list = list;
            if entry.record.same_facts(&record) {
                return;
            }
            let new = Arc::new(record);
            (Some(std::mem::replace(&mut entry.record, Arc::clone(&new))), new)
        } else {
            let new = Arc::new(record);
            entries.add(Entry { record: Arc::clone(&new), list });
            (None, new)
        };
        drop(entries);
        self.tell(&Change { old, new: Some(new) });
    }

    fn sweep(&mut self) {
        let gone = self.store.entries.write().sweep(self.list);
        for record in gone {
            self.tell(&Change { old: Some(record), new: None });
        }
    }

    fn tell(&self, change: &Change<R>) {
        self.metrics.changes.inc();
        self.metrics.objects.set(i64::try_from(self.store.len()).unwrap_or(i64::MAX));
        for handler in &self.handlers {
            handler(change);
        }
    }
}

/// Delays after errors. Failing lists and watches wait longer and longer until something works; expired
/// watches, which cost a whole relist each, are counted apart and over a longer time, because a relist that
/// works does not mean that the watch after it will.
#[derive(Default)]
struct Backoff {
    failures: u32,
    expiries: u32,
    last_expiry: Option<Instant>,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(30);
    /// People wait for what they have just installed, and a 404 costs next to nothing.
    const LONGEST_MISSING: Duration = Duration::from_secs(2);
    const FORGET_EXPIRIES: Duration = Duration::from_mins(2);

    fn worked(&mut self) {
        self.failures = 0;
    }

    fn failed(&mut self, error: &SourceError, now: Instant) -> Duration {
        let count = if matches!(error, SourceError::Expired(_)) {
            if self.last_expiry.is_some_and(|last| now - last > Self::FORGET_EXPIRIES) {
                self.expiries = 0;
            }
            self.last_expiry = Some(now);
            &mut self.expiries
        } else {
            &mut self.failures
        };
        let longest =
            if matches!(error, SourceError::Missing(_)) { Self::LONGEST_MISSING } else { Self::LONGEST };
        let delay = Self::FIRST.saturating_mul(1 << (*count).min(10)).min(longest);
        *count += 1;
        // Spread over the upper half, so that the watches of many processes do not come back together.
        delay.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests;
