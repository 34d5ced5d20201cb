//! What changed about a Service since it was last planned.

use std::collections::BTreeSet;

use fairlead_machinery::queue::Dirt;
use fairlead_objects::{Istr, ResourceVersion, Uid};

/// More changed Pods or slices than this are no longer named one by one.
const MOST_PARTS: usize = 256;

/// What changed about a Service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Dirty {
    /// Anything.
    All,
    /// Only these.
    Parts(Parts),
}

/// Single things that changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Parts {
    /// Pods that changed, joined or left.
    pub(crate) pods: BTreeSet<Istr>,
    /// Slices that were seen in a new state.
    pub(crate) slices: Vec<SliceSeen>,
}

/// The state in which a slice was seen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SliceSeen {
    Stored { name: Istr, version: ResourceVersion },
    Deleted { name: Istr, uid: Uid },
}

impl Dirty {
    pub(crate) fn pod(name: &Istr) -> Self {
        Self::Parts(Parts { pods: BTreeSet::from([name.clone()]), ..Parts::default() })
    }

    pub(crate) fn slice(seen: SliceSeen) -> Self {
        Self::Parts(Parts { slices: vec![seen], ..Parts::default() })
    }
}

impl Dirt for Dirty {
    fn merge(&mut self, other: Self) {
        let (Self::Parts(parts), Self::Parts(more)) = (&mut *self, other) else {
            *self = Self::All;
            return;
        };
        parts.pods.extend(more.pods);
        parts.slices.extend(more.slices);
        if parts.pods.len() > MOST_PARTS || parts.slices.len() > MOST_PARTS {
            *self = Self::All;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_everything_swallows_them() {
        let mut dirty = Dirty::pod(&"a".into());
        dirty.merge(Dirty::pod(&"b".into()));
        dirty.merge(Dirty::slice(SliceSeen::Deleted { name: "s".into(), uid: "u".into() }));
        let Dirty::Parts(parts) = &dirty else { panic!("{dirty:?}") };
        assert_eq!((parts.pods.len(), parts.slices.len()), (2, 1));
        dirty.merge(Dirty::All);
        assert_eq!(dirty, Dirty::All);
        dirty.merge(Dirty::pod(&"c".into()));
        assert_eq!(dirty, Dirty::All);
    }

    #[test]
    fn very_many_pods_or_slices_are_everything() {
        let mut dirty = Dirty::pod(&"first".into());
        for n in 0..MOST_PARTS {
            dirty.merge(Dirty::pod(&n.to_string().into()));
        }
        assert_eq!(dirty, Dirty::All);
        let seen = || Dirty::slice(SliceSeen::Deleted { name: "s".into(), uid: "u".into() });
        let mut dirty = seen();
        for _ in 0..MOST_PARTS {
            dirty.merge(seen());
        }
        assert_eq!(dirty, Dirty::All);
    }
}
