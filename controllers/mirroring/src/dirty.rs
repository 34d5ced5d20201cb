//! What changed about an Endpoints object since it was last planned.

use fairlead_machinery::own_writes::Seen;
use fairlead_machinery::queue::Dirt;

/// More slices than this are no longer named one by one.
const MOST_SLICES: usize = 64;

/// What changed about an Endpoints object.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Dirty {
    /// The Endpoints or their Service: this calls for a plan. The rest is to be put right if others made it wrong.
    called_for: bool,
    /// All slices are to be looked at, though nothing is known to have changed. Then no single ones are named.
    recheck: bool,
    /// Slices that were seen in a new state.
    slices: Vec<Seen>,
}

impl Dirty {
    /// The Endpoints or their Service changed.
    pub(crate) fn called_for() -> Self {
        Self { called_for: true, ..Self::default() }
    }

    pub(crate) fn recheck() -> Self {
        Self { recheck: true, ..Self::default() }
    }

    pub(crate) fn slice(seen: Seen) -> Self {
        Self { slices: vec![seen], ..Self::default() }
    }

    pub(crate) fn is_called_for(&self) -> bool {
        self.called_for
    }

    /// Keeps only slices that need a look.
    pub(crate) fn retain_slices(&mut self, is_news: impl FnMut(&Seen) -> bool) {
        self.slices.retain(is_news);
    }

    /// May others have done something that is to be put right?
    pub(crate) fn is_about_others(&self) -> bool {
        self.recheck || !self.slices.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.called_for && !self.is_about_others()
    }
}

impl Dirt for Dirty {
    fn merge(&mut self, other: Self) {
        self.called_for |= other.called_for;
        self.slices.extend(other.slices);
        self.recheck |= other.recheck || self.slices.len() > MOST_SLICES;
        if self.recheck {
            self.slices.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deleted() -> Dirty {
        Dirty::slice(Seen::Deleted { name: "s".into(), uid: "u".into() })
    }

    #[test]
    fn causes_add_up_and_only_some_call_for_a_plan() {
        let mut dirty = deleted();
        dirty.merge(deleted());
        assert!(!dirty.is_called_for() && dirty.is_about_others());
        let mut own = dirty.clone();
        own.retain_slices(|_| false);
        assert!(own.is_empty());
        own.merge(Dirty::called_for());
        assert!(own.is_called_for() && !own.is_about_others());
        dirty.merge(Dirty::recheck());
        assert!(!dirty.is_called_for() && dirty.slices.is_empty());
        dirty.retain_slices(|_| false);
        assert!(dirty.is_about_others(), "all are to be looked at");
        dirty.merge(Dirty::called_for());
        assert!(dirty.is_called_for());
    }

    #[test]
    fn very_many_slices_are_all() {
        let mut dirty = deleted();
        for _ in 0..MOST_SLICES {
            dirty.merge(deleted());
        }
        assert_eq!(dirty, Dirty::recheck());
    }
}
