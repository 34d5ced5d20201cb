//! The nodes that claim an address.

use std::collections::BTreeSet;

use crate::identity::Participant;

/// The live nodes that claim an address. Mostly there is one, which needs no memory beside the address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Claimants {
    /// Nobody.
    #[default]
    None,
    /// One.
    One(Participant),
    /// Two at least.
    #[expect(clippy::box_collection, reason = "a set would make every address larger")]
    Several(Box<BTreeSet<Participant>>),
}

impl Claimants {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Whether it was not among them before.
    pub(super) fn insert(&mut self, who: Participant) -> bool {
        match self {
            Self::None => *self = Self::One(who),
            Self::One(other) if *other == who => return false,
            Self::One(other) => *self = Self::Several(Box::new([*other, who].into())),
            Self::Several(all) => return all.insert(who),
        }
        true
    }

    pub(super) fn remove(&mut self, who: Participant) {
        match self {
            Self::One(one) if *one == who => *self = Self::None,
            Self::None | Self::One(_) => {}
            Self::Several(all) => {
                all.remove(&who);
                if let (1, Some(one)) = (all.len(), all.first()) {
                    *self = Self::One(*one);
                }
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Participant> {
        let (one, several) = match self {
            Self::None => (None, None),
            Self::One(one) => (Some(*one), None),
            Self::Several(all) => (None, Some(all.iter().copied())),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identity::NodeId;

    proptest! {
        #[test]
        fn they_are_a_set(changes in prop::collection::vec((any::<bool>(), 0..4_u8), 0..40)) {
            let (mut claimants, mut set) = (Claimants::default(), BTreeSet::new());
            for (comes, node) in changes {
                let who = Participant { node: NodeId([node; 8]), link: 1 };
                if comes {
                    prop_assert_eq!(claimants.insert(who), set.insert(who));
                } else {
                    claimants.remove(who);
                    set.remove(&who);
                }
                prop_assert!(claimants.iter().eq(set.iter().copied()));
                prop_assert_eq!(claimants.is_empty(), set.is_empty());
                // Equal sets are of one form, since their hashes are compared.
                let mut anew = Claimants::default();
                for who in &set {
                    anew.insert(*who);
                }
                prop_assert_eq!(&claimants, &anew);
            }
        }
    }

    #[test]
    fn one_needs_no_memory_of_its_own() {
        assert!(size_of::<Claimants>() <= 16);
    }
}
