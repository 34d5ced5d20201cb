//! What changed about a Service since it was last planned.

use std::collections::BTreeSet;

use fairlead_machinery::own_writes::Seen;
use fairlead_machinery::queue::Dirt;
use fairlead_objects::Istr;
use jiff::Timestamp;

/// More changed Pods or slices than this are no longer named one by one.
const MOST_PARTS: usize = 256;

/// What changed about a Service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dirty {
    pub(crate) extent: Extent,
    /// When the earliest change of a Pod happened.
    pub(crate) pods_changed: Option<Timestamp>,
}

/// How much of a Service changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Extent {
    /// Anything.
    All,
    /// Only these.
    Parts(Parts),
}

/// Single things that changed. Pods call for a plan; the rest is to be put right if others made it wrong.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parts {
    /// Pods that changed, joined or left.
    pub(crate) pods: BTreeSet<Istr>,
    /// Slices that were seen in a new state.
    pub(crate) slices: Vec<Seen>,
    /// All slices are to be looked at, though nothing is known to have changed that they depend on. Then no single ones
    /// are named.
    pub(crate) recheck: bool,
}

impl Parts {
    const NONE: Self = Self { pods: BTreeSet::new(), slices: Vec::new(), recheck: false };
    const RECHECK: Self = Self { pods: BTreeSet::new(), slices: Vec::new(), recheck: true };

    pub(crate) fn is_empty(&self) -> bool {
        self.pods.is_empty() && self.is_pods_only()
    }

    /// Is there nothing to look at but Pods?
    pub(crate) fn is_pods_only(&self) -> bool {
        self.slices.is_empty() && !self.recheck
    }

    fn set_recheck(&mut self) {
        self.recheck = true;
        self.slices.clear();
    }
}

impl Dirty {
    pub(crate) const ALL: Self = Self { extent: Extent::All, pods_changed: None };

    pub(crate) const RECHECK: Self = Self { extent: Extent::Parts(Parts::RECHECK), pods_changed: None };

    /// A Pod changed, at this time if that is known.
    pub(crate) fn pod(name: &Istr, time: Option<Timestamp>) -> Self {
        let parts = Parts { pods: BTreeSet::from([name.clone()]), ..Parts::NONE };
        Self { extent: Extent::Parts(parts), pods_changed: time }
    }

    pub(crate) fn slice(seen: Seen) -> Self {
        let parts = Parts { slices: vec![seen], ..Parts::NONE };
        Self { extent: Extent::Parts(parts), pods_changed: None }
    }

    /// Did anything change that the slices depend on? Otherwise a plan only puts right what others did.
    pub(crate) fn is_called_for(&self) -> bool {
        match &self.extent {
            Extent::All => true,
            Extent::Parts(parts) => !parts.pods.is_empty(),
        }
    }

    /// Leaves only the Pods, and returns what is to be looked at besides, if anything: it can wait.
    pub(crate) fn split_repairs(&mut self) -> Option<Self> {
        let Extent::Parts(parts) = &mut self.extent else { return None };
        if parts.is_pods_only() {
            return None;
        }
        let pods = std::mem::take(&mut parts.pods);
        let repairs = std::mem::replace(parts, Parts { pods, ..Parts::NONE });
        Some(Self { extent: Extent::Parts(repairs), pods_changed: None })
    }
}

impl Dirt for Dirty {
    fn merge(&mut self, other: Self) {
        self.pods_changed = self.pods_changed.into_iter().chain(other.pods_changed).min();
        if let (Extent::Parts(parts), Extent::Parts(more)) = (&mut self.extent, other.extent) {
            parts.pods.extend(more.pods);
            parts.slices.extend(more.slices);
            if parts.recheck || more.recheck || parts.slices.len() > MOST_PARTS {
                parts.set_recheck();
            }
            if parts.pods.len() <= MOST_PARTS {
                return;
            }
        }
        self.extent = Extent::All;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> Dirty {
        Dirty::pod(&name.into(), None)
    }

    fn deleted() -> Dirty {
        Dirty::slice(Seen::Deleted { name: "s".into(), uid: "u".into() })
    }

    #[test]
    fn parts_add_up_and_everything_swallows_them() {
        let mut dirty = pod("a");
        dirty.merge(pod("b"));
        dirty.merge(deleted());
        let Extent::Parts(parts) = &dirty.extent else { panic!("{dirty:?}") };
        assert_eq!((parts.pods.len(), parts.slices.len()), (2, 1));
        dirty.merge(Dirty::ALL);
        assert_eq!(dirty, Dirty::ALL);
        dirty.merge(pod("c"));
        assert_eq!(dirty, Dirty::ALL);
    }

    #[test]
    fn very_many_pods_or_slices_are_everything() {
        let mut dirty = pod("first");
        for n in 0..MOST_PARTS {
            dirty.merge(pod(&n.to_string()));
        }
        assert_eq!(dirty, Dirty::ALL);
        let mut dirty = deleted();
        for _ in 0..MOST_PARTS {
            dirty.merge(deleted());
        }
        assert_eq!(dirty, Dirty::RECHECK, "slices alone call for nothing");
        dirty.merge(deleted());
        assert_eq!(dirty, Dirty::RECHECK, "there is nothing to add");
    }

    #[test]
    fn what_others_did_stands_beside_the_pods_and_can_wait() {
        for repairs in [Dirty::RECHECK, deleted()] {
            let mut dirty = repairs.clone();
            assert!(!dirty.is_called_for());
            dirty.merge(pod("p"));
            assert!(dirty.is_called_for());
            assert_eq!(dirty.split_repairs(), Some(repairs));
            assert_eq!(dirty, pod("p"));
            assert_eq!(dirty.split_repairs(), None);
        }
        assert_eq!(Dirty::ALL.clone().split_repairs(), None, "it sees to everything");
    }

    #[test]
    fn the_earliest_time_is_kept_whatever_else_changed() {
        let at = |second| Timestamp::from_second(second).ok();
        let mut dirty = pod("a");
        dirty.merge(Dirty::pod(&"b".into(), at(20)));
        dirty.merge(Dirty::ALL);
        dirty.merge(Dirty::pod(&"c".into(), at(10)));
        dirty.merge(Dirty::pod(&"a".into(), at(30)));
        assert_eq!(dirty, Dirty { pods_changed: at(10), ..Dirty::ALL });
    }
}
