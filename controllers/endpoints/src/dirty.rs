//! What changed about a Service since it was last planned.

use std::mem;

use fairlead_machinery::queue::Dirt;
use fairlead_objects::{ResourceVersion, Uid};
use jiff::Timestamp;

/// More states than this are no longer told apart.
const MOST_STATES: usize = 64;

/// What changed about a Service. Changes of the Service and its Pods call for a plan; the rest is to be put right if others
/// made it wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Dirty {
    /// What calls for a plan.
    pub(crate) cause: Cause,
    /// When the earliest change of a Pod happened.
    pub(crate) pods_changed: Option<Timestamp>,
    /// States in which the Endpoints object was seen.
    pub(crate) seen: Vec<Seen>,
    /// The object is to be looked at, though nothing is known to have changed.
    pub(crate) recheck: bool,
    /// At the start there was the object and no Service.
    pub(crate) stray: bool,
}

/// What calls for a plan; what comes later includes what comes before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// Nothing that the object depends on has changed.
    #[default]
    None,
    /// Pods changed, joined or left.
    Pods,
    /// The Service itself, or anything.
    Service,
}

/// The state in which the Endpoints object was seen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Stored(ResourceVersion),
    Deleted(Uid),
}

impl Dirty {
    pub(crate) fn service() -> Self {
        Self { cause: Cause::Service, ..Self::default() }
    }

    /// A Pod changed, at this time if that is known.
    pub(crate) fn pod(time: Option<Timestamp>) -> Self {
        Self { cause: Cause::Pods, pods_changed: time, ..Self::default() }
    }

    pub(crate) fn seen(seen: Seen) -> Self {
        Self { seen: vec![seen], ..Self::default() }
    }

    pub(crate) fn recheck() -> Self {
        Self { recheck: true, ..Self::default() }
    }

    pub(crate) fn stray() -> Self {
        Self { stray: true, ..Self::default() }
    }

    /// Is there nothing to look at?
    pub(crate) fn is_empty(&self) -> bool {
        !self.is_called_for() && self.seen.is_empty() && !self.recheck && !self.stray
    }

    /// Did anything change that the object depends on? Otherwise a plan only puts right what others did.
    pub(crate) fn is_called_for(&self) -> bool {
        self.cause > Cause::None
    }

    /// Did nothing change but Pods?
    pub(crate) fn is_pods_only(&self) -> bool {
        *self == Self::pod(self.pods_changed)
    }
}

impl Dirt for Dirty {
    fn merge(&mut self, mut other: Self) {
        self.cause = self.cause.max(other.cause);
        self.pods_changed = self.pods_changed.into_iter().chain(other.pods_changed).min();
        self.recheck |= other.recheck;
        self.stray |= other.stray;
        self.seen.append(&mut other.seen);
        if self.recheck || self.seen.len() > MOST_STATES {
            self.recheck = true;
            drop(mem::take(&mut self.seen));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
    }

    fn deleted() -> Dirty {
        Dirty::seen(Seen::Deleted("u".into()))
    }

    #[test]
    fn what_changed_adds_up_and_the_earliest_time_is_kept() {
        let mut dirty = Dirty::pod(at(20));
        assert!(dirty.is_pods_only());
        dirty.merge(Dirty::pod(None));
        dirty.merge(Dirty::pod(at(10)));
        dirty.merge(Dirty::pod(at(30)));
        assert!(dirty.is_pods_only());
        assert_eq!(dirty.pods_changed, at(10));
        for other in [Dirty::service(), Dirty::recheck(), Dirty::stray(), deleted()] {
            let mut dirty = dirty.clone();
            dirty.merge(other.clone());
            assert!(!dirty.is_pods_only() && dirty.is_called_for(), "{other:?}");
            assert_eq!(dirty.pods_changed, at(10));
        }
    }

    #[test]
    fn what_others_did_alone_calls_for_nothing() {
        for dirty in [deleted(), Dirty::recheck(), Dirty::stray()] {
            assert!(!dirty.is_called_for() && !dirty.is_empty(), "{dirty:?}");
        }
        assert!(Dirty::default().is_empty());
    }

    #[test]
    fn very_many_states_are_a_recheck() {
        let mut dirty = deleted();
        for _ in 0..MOST_STATES {
            dirty.merge(deleted());
        }
        assert_eq!(dirty, Dirty::recheck());
        dirty.merge(deleted());
        assert_eq!(dirty, Dirty::recheck(), "there is nothing to add");
    }
}
