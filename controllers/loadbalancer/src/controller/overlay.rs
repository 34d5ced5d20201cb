//! One kind that this controller writes, as it is now.

use std::sync::Arc;

use fairlead_machinery::informer::{Change, Informer, Store};
use fairlead_machinery::own_writes::{OwnWrites, Seen, Written};
use fairlead_objects::ObjectKey;
use tokio::time::Instant;

/// What the cache shows of a kind, with the answers to our own writes laid over it, and what was looked up past it.
pub(super) struct Overlay<R> {
    store: Arc<Store<R>>,
    own_writes: OwnWrites<R>,
}

/// What a change in the cache means.
pub(super) enum News<R> {
    /// The object is so now.
    Is(Arc<R>),
    /// This one is gone.
    Gone(Arc<R>),
}

impl<R: Written> Overlay<R> {
    pub(super) fn of(informer: &Informer<R>) -> Self {
        Self { store: informer.store(), own_writes: OwnWrites::default() }
    }

    /// The cache alone.
    pub(super) fn store(&self) -> &Store<R> {
        &self.store
    }

    /// The object as it is now, as far as it is known.
    pub(super) fn newest(&self, key: &ObjectKey) -> Option<Arc<R>> {
        // The frontier first: whatever it covers is then in the store.
        let read = || {
            let frontier = self.store.frontier();
            (frontier, self.store.get(key))
        };
        self.own_writes.newest_of(key, &key.name, Instant::now(), read)
    }

    /// The cache shows a change. Returns what is so after that, unless it is known already.
    pub(super) fn changed(&self, change: &Change<R>) -> Option<News<R>> {
        let shown = change.new.as_ref().or(change.old.as_ref())?;
        let key = shown.key();
        if self.own_writes.acknowledge(key, &Seen::after(change)?) {
            return None;
        }
        let newest = self.newest(key).filter(|newest| change.new.is_some() || newest.uid() != shown.uid());
        if newest.is_none() && change.new.is_none() {
            // It was deleted after we had written it, which the cache never showed.
            self.own_writes.forget(key);
        }
        Some(newest.map_or_else(|| News::Gone(Arc::clone(shown)), News::Is))
    }

    /// The API server answered so to a write or a look. Returns the object as it is after that: nothing, if it is known to be
    /// gone since.
    pub(super) fn answered(&self, answer: R) -> Option<Arc<R>> {
        let key = answer.key().clone();
        self.own_writes.stored(&key, Arc::new(answer), Instant::now());
        self.newest(&key)
    }

    /// We deleted it.
    pub(super) fn deleted(&self, object: &Arc<R>) {
        self.own_writes.deleted(object.key(), Arc::clone(object), Instant::now());
    }

    /// A complete list that was asked for at `asked` is in the cache. Returns what was written before and is not there any
    /// more, without anybody having heard.
    pub(super) fn gone(&self, asked: Instant) -> Vec<Arc<R>> {
        let written = self.own_writes.listed_objects(asked).into_iter().map(|(_, object)| object);
        written.filter(|object| self.newest(object.key()).is_none()).collect()
    }
}
