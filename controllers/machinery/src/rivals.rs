//! Others that keep changing what a controller owns.
//!
//! What others change is put back: once at once, then a second apart. Somebody who changes it again each time would
//! make that a loop, so after [`LIMIT`] reverts within [`WINDOW`] only one follows every [`SLOW_GAP`], until nothing
//! had to be reverted for a [`WINDOW`]. Only reverting slows down: work that the world calls for is not asked about
//! here. Where it puts back what others changed on the way, that counts as well, but nothing waits the longer for it.
//!
//! [`Rivals`] is a pure state machine, kept by the object that people know (the Service, not each of its slices: a slice
//! that is deleted and made anew has another name). It remembers only objects that others have changed of late.
//! [`Rivalry`] is the same at work in a controller: with metrics, and with words for people.

mod manager;
mod metrics;
mod shell;

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use fairlead_objects::Istr;
use tokio::time::Instant;

pub use self::manager::{FieldManagers, LastWriter};
pub use self::metrics::RivalMetrics;
pub use self::shell::{PendingRevert, Rivalry, Words};
use crate::own_writes::Seen;

/// Reverts within [`WINDOW`] after which reverting slows down.
pub const LIMIT: usize = 5;
/// For how long a revert counts.
pub const WINDOW: Duration = Duration::from_mins(10);
/// Time between two reverts while others keep changing the object.
pub const SLOW_GAP: Duration = Duration::from_mins(5);
/// Time between two looks at what others changed, otherwise. Upstream's controllers wait as long before the first.
pub const FAST_GAP: Duration = Duration::from_secs(1);
/// Time after which people are told again: less than Events live (an hour by default).
pub const TELL_AGAIN: Duration = Duration::from_mins(30);

/// What others did last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// They changed the object of this name.
    Changed(Istr),
    /// They deleted the object of this name.
    Deleted(Istr),
    /// The API server stored something else than it was sent, because an admission webhook or policy changed it.
    Altered(Istr),
}

impl From<&Seen> for Deed {
    /// What others did to an object that is now seen so.
    fn from(seen: &Seen) -> Self {
        match seen {
            Seen::Stored { name, .. } => Self::Changed(name.clone()),
            Seen::Deleted { name, .. } => Self::Deleted(name.clone()),
        }
    }
}

/// The rivals of one controller, by the key that its work is done for.
#[derive(Debug)]
pub struct Rivals<K> {
    keys: HashMap<K, Contest>,
}

#[derive(Debug, Default)]
struct Contest {
    /// When what others changed was looked at last, or will be.
    look: Option<Instant>,
    /// When what others changed was put back, for whatever reason: the newest, at most [`LIMIT`], oldest first.
    reverts: Vec<Instant>,
    /// When that was last done for no other reason. The slow gap begins here.
    repaired: Option<Instant>,
    slow: bool,
    /// What no plan has answered yet.
    pending: Option<Deed>,
    told: Option<Instant>,
}

/// A plan that puts back what others did. It counts once it is written ([`Rivals::reverted`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revert {
    /// What it puts back.
    pub deed: Deed,
    /// Did nothing in the world call for the plan?
    pub repair: bool,
    /// Are people to be told, if it is written, that reverting is slow now?
    pub tell: bool,
}

impl<K> Default for Rivals<K> {
    fn default() -> Self {
        Self { keys: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash> Rivals<K> {
    /// Others did something. Returns how long to wait before it is looked at.
    pub fn changed(&mut self, key: &K, deed: Deed, now: Instant) -> Duration {
        let rivalry = self.keys.entry(key.clone()).or_default();
        rivalry.age(now);
        let look = match rivalry.look {
            // It is still to come, and sees this change, too.
            Some(look) if look > now || (look == now && rivalry.pending.is_some()) => look,
            Some(look) => now.max(look + FAST_GAP),
            None => now,
        };
        let look = look.max(rivalry.held_until(now));
        rivalry.look = Some(look);
        rivalry.pending = Some(deed);
        look - now
    }

    /// The API server stored something else than what was sent; it will do so again, so this alone slows reverting
    /// down. Returns how long to wait before trying again, and whether people are to be told. Writes that the world
    /// calls for in the meantime, and that are altered, too, do not put that off.
    pub fn altered(&mut self, key: &K, name: &Istr, now: Instant) -> (Duration, bool) {
        let rivalry = self.keys.entry(key.clone()).or_default();
        rivalry.age(now);
        rivalry.count(now);
        rivalry.slow = true;
        if rivalry.held_until(now) == now {
            rivalry.repaired = Some(now);
        }
        rivalry.pending = Some(Deed::Altered(name.clone()));
        (rivalry.held_until(now) - now, rivalry.tell(now))
    }

    /// How long a plan that nothing in the world calls for has to wait.
    #[must_use]
    pub fn hold(&self, key: &K, now: Instant) -> Duration {
        let Some(rivalry) = self.keys.get(key) else { return Duration::ZERO };
        rivalry.held_until(now).saturating_duration_since(now)
    }

    /// Is reverting slow?
    #[must_use]
    pub fn is_slow(&self, key: &K) -> bool {
        self.keys.get(key).is_some_and(|rivalry| rivalry.slow)
    }

    /// A plan was made from all that is known, and is about to be written. Does it put back what others did? `repair`
    /// says that nothing in the world called for it.
    pub fn planned(
        &mut self,
        key: &K,
        repair: bool,
        puts_back: impl FnOnce(&Deed) -> bool,
        now: Instant,
    ) -> Option<Revert> {
        let rivalry = self.keys.get_mut(key)?;
        let deed = rivalry.pending.take().filter(puts_back)?;
        rivalry.age(now);
        let slow = rivalry.slow || rivalry.reverts.len() + 1 >= LIMIT;
        Some(Revert { deed, repair, tell: slow && rivalry.is_due(now) })
    }

    /// The plan was written. Returns whether people are to be told.
    pub fn reverted(&mut self, key: &K, revert: &Revert, now: Instant) -> bool {
        let rivalry = self.keys.entry(key.clone()).or_default();
        rivalry.age(now);
        rivalry.count(now);
        if revert.repair {
            rivalry.repaired = Some(now);
        }
        revert.tell && rivalry.tell(now)
    }

    /// The plan was not, or not completely, written: the next one puts back the same, and need not wait for it.
    pub fn not_reverted(&mut self, key: &K, revert: Revert) {
        self.keys.entry(key.clone()).or_default().pending.get_or_insert(revert.deed);
    }

    /// The object is gone.
    pub fn forget(&mut self, key: &K) {
        self.keys.remove(key);
    }

    /// Forgets rivals that have given up, and returns for how many objects reverting is slow. To be called now and
    /// then.
    pub fn sweep(&mut self, now: Instant) -> usize {
        self.keys.retain(|_, rivalry| {
            rivalry.age(now);
            let looked = rivalry.look.is_some_and(|look| now.saturating_duration_since(look) < FAST_GAP);
            looked || rivalry.pending.is_some() || !rivalry.reverts.is_empty()
        });
        self.keys.values().filter(|rivalry| rivalry.slow).count()
    }
}

impl Contest {
    /// Lets what is too old to count go.
    fn age(&mut self, now: Instant) {
        let counts = |at: &Instant| now.saturating_duration_since(*at) <= WINDOW;
        if self.reverts.last().is_some_and(|last| !counts(last)) {
            self.slow = false;
            self.told = None;
        }
        self.reverts.retain(counts);
    }

    fn count(&mut self, now: Instant) {
        if self.reverts.len() == LIMIT {
            self.reverts.remove(0);
        }
        self.reverts.push(now);
        self.slow |= self.reverts.len() == LIMIT;
    }

    /// Is it time that people hear of it?
    fn is_due(&self, now: Instant) -> bool {
        self.told.is_none_or(|told| now.saturating_duration_since(told) >= TELL_AGAIN)
    }

    /// They hear of it now, if it is time.
    fn tell(&mut self, now: Instant) -> bool {
        let due = self.is_due(now);
        if due {
            self.told = Some(now);
        }
        due
    }

    /// When the next revert may be made; `now` at the earliest.
    fn held_until(&self, now: Instant) -> Instant {
        let ended = self.reverts.last().is_none_or(|last| now.saturating_duration_since(*last) > WINDOW);
        match self.repaired {
            Some(repaired) if self.slow && !ended => now.max(repaired + SLOW_GAP),
            _ => now,
        }
    }
}

#[cfg(test)]
mod tests;
