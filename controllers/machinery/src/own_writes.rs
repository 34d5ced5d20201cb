//! What this process wrote and its cache does not show yet.
//!
//! A controller that plans from a cache which lags behind its own writes repeats them: it creates a slice
//! twice or reverts itself. Upstream notices that the cache is behind and waits, and can wait for ever
//! (kubernetes issues 108267, 127370, 141592). Here the answers of the API server are laid over the cache, so
//! that a plan always starts from the newest state known, and nothing is waited for. An entry ends
//!
//! * when the cache shows the object at that version or a later one, under whatever labels;
//! * when the informer has seen a later version of anything and the object is not there: it is gone;
//! * in any case after [`EXPIRY`], for API servers whose versions cannot be compared.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fairlead_objects::{Istr, ObjectKey, Record, ResourceVersion, Slice, Uid};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::informer::Store;

/// How long an entry is believed at the longest.
pub const EXPIRY: Duration = Duration::from_mins(1);

/// A record of an object that controllers write.
pub trait Written: Record {
    /// UID.
    fn uid(&self) -> &Uid;
    /// Generation, which tells apart versions that cannot be compared.
    fn generation(&self) -> i64;
}

impl Written for Slice {
    fn uid(&self) -> &Uid {
        &self.uid
    }

    fn generation(&self) -> i64 {
        self.generation
    }
}

/// The writes of one controller, by the key that they were made for.
pub struct OwnWrites<R> {
    writes: Mutex<HashMap<ObjectKey, HashMap<Istr, Write<R>>>>,
}

struct Write<R> {
    outcome: Outcome<R>,
    at: Instant,
}

enum Outcome<R> {
    Stored(Arc<R>),
    Deleted(Uid),
}

impl<R> Default for OwnWrites<R> {
    fn default() -> Self {
        Self { writes: Mutex::default() }
    }
}

impl<R: Written> OwnWrites<R> {
    /// An object was created or updated for `owner`, with this answer.
    pub fn stored(&self, owner: &ObjectKey, answer: Arc<R>, now: Instant) {
        let name = answer.key().name.clone();
        self.insert(owner, name, Write { outcome: Outcome::Stored(answer), at: now });
    }

    /// An object was deleted for `owner`.
    pub fn deleted(&self, owner: &ObjectKey, gone: &R, now: Instant) {
        let write = Write { outcome: Outcome::Deleted(gone.uid().clone()), at: now };
        self.insert(owner, gone.key().name.clone(), write);
    }

    fn insert(&self, owner: &ObjectKey, name: Istr, write: Write<R>) {
        self.writes.lock().entry(owner.clone()).or_default().insert(name, write);
    }

    /// Nothing is known of `owner` any more.
    pub fn forget(&self, owner: &ObjectKey) {
        self.writes.lock().remove(owner);
    }

    /// Is this the state in which one of our own writes left the object? Then the cache has caught up with it,
    /// and it is forgotten.
    pub fn explains_version(&self, owner: &ObjectKey, name: &Istr, version: &ResourceVersion) -> bool {
        self.take_if(
            owner,
            name,
            |outcome| matches!(outcome, Outcome::Stored(answer) if answer.version() == version),
        )
    }

    /// Did we delete the object with this UID? Then the cache has caught up with it, and it is forgotten.
    pub fn explains_deletion(&self, owner: &ObjectKey, name: &Istr, uid: &Uid) -> bool {
        self.take_if(owner, name, |outcome| matches!(outcome, Outcome::Deleted(gone) if gone == uid))
    }

    fn take_if(&self, owner: &ObjectKey, name: &Istr, explains: impl Fn(&Outcome<R>) -> bool) -> bool {
        let mut all = self.writes.lock();
        let Some(writes) = all.get_mut(owner) else { return false };
        if !writes.get(name).is_some_and(|write| explains(&write.outcome)) {
            return false;
        }
        writes.remove(name);
        if writes.is_empty() {
            all.remove(owner);
        }
        true
    }

    /// The objects of `owner` as they are now: `cached`, with the writes that the cache does not show yet laid
    /// over it. `frontier` must have been read from `store` before `cached` was.
    pub fn newest(
        &self,
        owner: &ObjectKey,
        mut cached: Vec<Arc<R>>,
        store: &Store<R>,
        frontier: &ResourceVersion,
        now: Instant,
    ) -> Vec<Arc<R>> {
        let mut all = self.writes.lock();
        let Some(writes) = all.get_mut(owner) else { return cached };
        writes.retain(|name, write| {
            let key = ObjectKey { namespace: owner.namespace.clone(), name: name.clone() };
            let shown = store.get(&key);
            let settled = now.saturating_duration_since(write.at) > EXPIRY
                || match &write.outcome {
                    Outcome::Stored(answer) => is_settled(&**answer, shown.as_deref(), frontier),
                    Outcome::Deleted(uid) => shown.is_none_or(|shown| shown.uid() != uid),
                };
            if settled {
                return false;
            }
            match &write.outcome {
                Outcome::Stored(answer) => match cached.iter_mut().find(|it| it.key() == &key) {
                    Some(older) => *older = Arc::clone(answer),
                    None => cached.push(Arc::clone(answer)),
                },
                Outcome::Deleted(uid) => cached.retain(|it| it.uid() != uid),
            }
            true
        });
        if writes.is_empty() {
            all.remove(owner);
        }
        cached
    }
}

fn is_settled<R: Written>(answer: &R, shown: Option<&R>, frontier: &ResourceVersion) -> bool {
    match shown {
        Some(shown) if shown.uid() == answer.uid() => shown
            .version()
            .reaches(answer.version())
            .unwrap_or_else(|| shown.generation() >= answer.generation()),
        // Another object under the same name: ours is gone.
        Some(_) => true,
        None => frontier.reaches(answer.version()) == Some(true),
    }
}

#[cfg(test)]
mod tests;
