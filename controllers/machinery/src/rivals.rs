//! Others that keep changing what a controller owns.
//!
//! What others change is put back: once at once, then a second apart. Somebody who changes it again each time would
//! make that a loop, so after [`LIMIT`] reverts within [`WINDOW`] only one follows every [`SLOW_GAP`], until nothing
//! had to be reverted for a [`WINDOW`]. Only reverting slows down: work that the world calls for is not asked about
//! here, and whoever does it puts back what others changed on the way.
//!
//! A pure state machine, kept by the object that people know (the Service, not each of its slices: a slice that is
//! deleted and made anew has another name). It remembers only objects that others have changed of late.

mod manager;
mod metrics;

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use fairlead_objects::Istr;
use tokio::time::Instant;

pub use self::manager::FieldManagers;
pub use self::metrics::RivalMetrics;

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

/// The rivals of one controller, by the key that its work is done for.
#[derive(Debug)]
pub struct Rivals<K> {
    keys: HashMap<K, Rivalry>,
}

#[derive(Debug, Default)]
struct Rivalry {
    /// When what others changed was looked at last, or will be.
    look: Option<Instant>,
    /// The newest reverts, at most [`LIMIT`], oldest first.
    reverts: Vec<Instant>,
    slow: bool,
    /// What no plan has answered yet.
    pending: Option<Deed>,
    told: Option<Instant>,
}

/// What a plan that was not called for by the world, but led to writes, amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revert {
    /// What it puts back.
    pub deed: Deed,
    /// Are people to be told that reverting is slow now?
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
    /// down. Returns how long to wait before trying again, and whether people are to be told.
    pub fn altered(&mut self, key: &K, name: &Istr, now: Instant) -> (Duration, bool) {
        let rivalry = self.keys.entry(key.clone()).or_default();
        rivalry.age(now);
        rivalry.count(now);
        rivalry.slow = true;
        rivalry.pending = Some(Deed::Altered(name.clone()));
        (SLOW_GAP, rivalry.tell(now))
    }

    /// How long a plan that nothing in the world calls for has to wait.
    #[must_use]
    pub fn hold(&self, key: &K, now: Instant) -> Duration {
        let Some(rivalry) = self.keys.get(key) else { return Duration::ZERO };
        rivalry.held_until(now).saturating_duration_since(now)
    }

    /// A plan was made from all that is known. If the world did not call for it (`repair`) and it leads to writes,
    /// that is a revert of what others did.
    pub fn planned(&mut self, key: &K, repair: bool, writes: bool, now: Instant) -> Option<Revert> {
        let rivalry = self.keys.get_mut(key)?;
        let deed = rivalry.pending.take().filter(|_| repair && writes)?;
        rivalry.age(now);
        rivalry.count(now);
        Some(Revert { deed, tell: rivalry.slow && rivalry.tell(now) })
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

impl Rivalry {
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
    fn tell(&mut self, now: Instant) -> bool {
        let due = self.told.is_none_or(|told| now.saturating_duration_since(told) >= TELL_AGAIN);
        if due {
            self.told = Some(now);
        }
        due
    }

    /// When the next revert may be made; `now` at the earliest.
    fn held_until(&self, now: Instant) -> Instant {
        match self.reverts.last() {
            Some(last) if self.slow && now.saturating_duration_since(*last) <= WINDOW => {
                now.max(*last + SLOW_GAP)
            }
            _ => now,
        }
    }
}

#[cfg(test)]
mod tests;
