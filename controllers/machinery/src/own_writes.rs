//! What this process wrote and its cache does not show yet.
//!
//! A controller that plans from a cache which lags behind its own writes repeats them: it creates a slice
//! twice or reverts itself. Upstream notices that the cache is behind and waits, and can wait for ever
//! (kubernetes issues 108267, 127370, 141592). Here the answers of the API server are laid over the cache, so
//! that a plan always starts from the newest state known, and nothing is waited for. An entry ends
//!
//! * when the cache shows the object at that version or a later one;
//! * when the informer has seen a later version of anything and the object is not in the cache: it is gone, or
//!   carries other labels now;
//! * when a complete list that was asked for after the write is in the cache;
//! * where versions cannot be compared, after [`EXPIRY`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fairlead_objects::{Endpoints, Istr, ObjectKey, Record, ResourceVersion, Service, Slice, Uid};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::informer::Change;

/// How long an entry is believed whose version cannot be compared with others.
pub const EXPIRY: Duration = Duration::from_mins(1);

/// A record of an object that controllers write.
pub trait Written: Record {
    /// UID.
    fn uid(&self) -> &Uid;
    /// Generation, which tells apart versions that cannot be compared; `None` for kinds that have none.
    fn generation(&self) -> Option<i64>;
    /// Is it being deleted, and a finalizer holds it?
    fn is_terminating(&self) -> bool;
}

impl Written for Slice {
    fn uid(&self) -> &Uid {
        &self.uid
    }

    fn generation(&self) -> Option<i64> {
        Some(self.generation)
    }

    fn is_terminating(&self) -> bool {
        self.terminating
    }
}

impl Written for Endpoints {
    fn uid(&self) -> &Uid {
        &self.uid
    }

    fn generation(&self) -> Option<i64> {
        None
    }

    fn is_terminating(&self) -> bool {
        self.terminating
    }
}

impl Written for Service {
    fn uid(&self) -> &Uid {
        &self.uid
    }

    fn generation(&self) -> Option<i64> {
        None
    }

    fn is_terminating(&self) -> bool {
        self.terminating
    }
}

/// A state of an object that the cache shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// It is stored in this version.
    Stored {
        /// Its name.
        name: Istr,
        /// The version.
        version: ResourceVersion,
    },
    /// The one of this UID is gone.
    Deleted {
        /// Its name.
        name: Istr,
        /// Its UID.
        uid: Uid,
    },
}

impl Seen {
    /// The state after a change; `None` if the change is of nothing.
    #[must_use]
    pub fn after<R: Written>(change: &Change<R>) -> Option<Self> {
        match (&change.old, &change.new) {
            (_, Some(new)) => {
                Some(Self::Stored { name: new.key().name.clone(), version: new.version().clone() })
            }
            (Some(old), None) => Some(Self::Deleted { name: old.key().name.clone(), uid: old.uid().clone() }),
            (None, None) => None,
        }
    }
}

/// The writes of one controller, by the key that they were made for.
pub struct OwnWrites<R> {
    writes: Mutex<HashMap<ObjectKey, HashMap<Istr, Write<R>>>>,
}

struct Write<R> {
    effect: Effect,
    /// The object as the API server answered, or as it was when it was deleted.
    object: Arc<R>,
    answered: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Stored,
    Deleted,
}

/// What the cache shows of the objects of one key, together.
pub struct Cached<R> {
    /// The newest version of the resource that the informer had seen *before* `objects` were read.
    pub frontier: ResourceVersion,
    /// The objects.
    pub objects: Vec<Arc<R>>,
}

impl<R> Default for OwnWrites<R> {
    fn default() -> Self {
        Self { writes: Mutex::default() }
    }
}

impl<R: Written> OwnWrites<R> {
    /// An object was created or updated for `owner`, with this answer.
    pub fn stored(&self, owner: &ObjectKey, answer: Arc<R>, now: Instant) {
        self.insert(owner, Write { effect: Effect::Stored, object: answer, answered: now });
    }

    /// An object was deleted for `owner`.
    pub fn deleted(&self, owner: &ObjectKey, object: Arc<R>, now: Instant) {
        self.insert(owner, Write { effect: Effect::Deleted, object, answered: now });
    }

    fn insert(&self, owner: &ObjectKey, write: Write<R>) {
        let name = write.object.key().name.clone();
        self.writes.lock().entry(owner.clone()).or_default().insert(name, write);
    }

    /// Nothing is known of `owner` any more.
    pub fn forget(&self, owner: &ObjectKey) {
        self.writes.lock().remove(owner);
    }

    /// Takes note of a state that the cache shows; true if we made it ourselves, so that nobody need look.
    pub fn acknowledge(&self, owner: &ObjectKey, seen: &Seen) -> bool {
        match seen {
            Seen::Stored { name, version } => self.acknowledge_stored(owner, name, version),
            Seen::Deleted { name, uid } => self.acknowledge_deleted(owner, name, uid),
        }
    }

    /// The cache shows this state of an object. If one of our own writes left it so, that write is forgotten,
    /// because the cache has caught up with it, and the answer is true: nobody need look.
    pub fn acknowledge_stored(&self, owner: &ObjectKey, name: &Istr, version: &ResourceVersion) -> bool {
        self.forget_if(owner, name, |write| {
            write.effect == Effect::Stored && write.object.version() == version
        })
    }

    /// The cache shows that this object is gone. If we deleted it, as [`OwnWrites::acknowledge_stored`].
    pub fn acknowledge_deleted(&self, owner: &ObjectKey, name: &Istr, uid: &Uid) -> bool {
        self.forget_if(owner, name, |write| write.effect == Effect::Deleted && write.object.uid() == uid)
    }

    fn forget_if(&self, owner: &ObjectKey, name: &Istr, matches: impl Fn(&Write<R>) -> bool) -> bool {
        let mut all = self.writes.lock();
        let Some(writes) = all.get_mut(owner) else { return false };
        if !writes.get(name).is_some_and(matches) {
            return false;
        }
        writes.remove(name);
        if writes.is_empty() {
            all.remove(owner);
        }
        true
    }

    /// A complete list that was asked for at `asked` is in the cache: it shows what was answered before. Returns the
    /// owners of such writes, which must be looked at: what they wrote may be gone without anybody having heard.
    pub fn listed(&self, asked: Instant) -> Vec<ObjectKey> {
        let mut owners: Vec<_> = self.listed_objects(asked).into_iter().map(|(owner, _)| owner).collect();
        owners.dedup();
        owners
    }

    /// As [`OwnWrites::listed`], with each object that was written, as it was then, beside its owner.
    pub fn listed_objects(&self, asked: Instant) -> Vec<(ObjectKey, Arc<R>)> {
        let mut shown = Vec::new();
        self.writes.lock().retain(|owner, writes| {
            for (_, write) in writes.extract_if(|_, write| write.answered < asked) {
                shown.push((owner.clone(), write.object));
            }
            !writes.is_empty()
        });
        shown
    }

    /// The objects of `owner` as they are now: what `read` finds in the cache, with the writes that it does not show
    /// yet laid over it.
    ///
    /// The cache is read while writes can be neither added nor acknowledged: a write that the cache shows a moment
    /// after it was read would else be seen nowhere.
    pub fn newest(&self, owner: &ObjectKey, now: Instant, read: impl FnOnce() -> Cached<R>) -> Vec<Arc<R>> {
        let mut all = self.writes.lock();
        let Cached { frontier, mut objects } = read();
        let Some(writes) = all.get_mut(owner) else { return objects };
        writes.retain(|_, write| {
            let at = objects.iter().position(|it| it.key() == write.object.key());
            if write.is_settled(at.map(|at| &*objects[at]), &frontier, now) {
                return false;
            }
            match (write.effect, at) {
                (Effect::Stored, Some(at)) => objects[at] = Arc::clone(&write.object),
                (Effect::Stored, None) => objects.push(Arc::clone(&write.object)),
                (Effect::Deleted, Some(at)) => {
                    objects.swap_remove(at);
                }
                (Effect::Deleted, None) => {}
            }
            true
        });
        if writes.is_empty() {
            all.remove(owner);
        }
        objects
    }

    /// One object of `owner` as it is now, as [`OwnWrites::newest`]: `read` gives the frontier and, read after it, what
    /// the cache shows of the object.
    pub fn newest_of(
        &self,
        owner: &ObjectKey,
        name: &Istr,
        now: Instant,
        read: impl FnOnce() -> (ResourceVersion, Option<Arc<R>>),
    ) -> Option<Arc<R>> {
        let mut all = self.writes.lock();
        let (frontier, shown) = read();
        let Some(writes) = all.get_mut(owner) else { return shown };
        match writes.get(name) {
            Some(write) if !write.is_settled(shown.as_deref(), &frontier, now) => write.left(),
            Some(_) => {
                writes.remove(name);
                if writes.is_empty() {
                    all.remove(owner);
                }
                shown
            }
            None => shown,
        }
    }
}

impl<R: Written> Write<R> {
    /// The object as this write left it.
    fn left(&self) -> Option<Arc<R>> {
        (self.effect == Effect::Stored).then(|| Arc::clone(&self.object))
    }

    /// Has the object, as it is shown, been written as often?
    fn is_overtaken(&self, shown: &R) -> bool {
        shown.generation().zip(self.object.generation()).is_some_and(|(shown, written)| shown >= written)
    }

    /// Has the cache, which shows this of the object, caught up?
    fn is_settled(&self, shown: Option<&R>, frontier: &ResourceVersion, now: Instant) -> bool {
        let expired = || now.saturating_duration_since(self.answered) > EXPIRY;
        let Some(shown) = shown else {
            return frontier.reaches(self.object.version()).unwrap_or_else(expired);
        };
        if shown.uid() != self.object.uid() {
            // Another object under the same name: ours is gone.
            return true;
        }
        match self.effect {
            Effect::Stored => shown
                .version()
                .reaches(self.object.version())
                .unwrap_or_else(|| self.is_overtaken(shown) || expired()),
            // Still shown: the deletion is yet to come. Where a finalizer holds the object, it has come as far as it goes.
            Effect::Deleted => shown.is_terminating(),
        }
    }
}

#[cfg(test)]
mod tests;
