//! How much of a Service a plan looks at.

use fairlead_objects::{Family, Istr};
use hashbrown::HashMap;

use crate::layout::Totals;

/// How much of a Service a plan looks at: everything, or some slices and the Pods that concern them, with sums over the
/// rest. The default is everything.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// The Pods that are looked at, and in which families; `None`: all.
    members: Option<HashMap<Istr, Families>>,
    v4: Totals,
    v6: Totals,
}

/// Families of a Pod that are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Families {
    v4: bool,
    v6: bool,
}

impl Families {
    pub(crate) const BOTH: Self = Self { v4: true, v6: true };

    pub(crate) fn insert(&mut self, family: Family) {
        match family {
            Family::V4 => self.v4 = true,
            Family::V6 => self.v6 = true,
        }
    }

    fn has(self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

impl Scope {
    /// These Pods alone; the sums are those over all other slices.
    pub(crate) fn part(members: HashMap<Istr, Families>, v4: Totals, v6: Totals) -> Self {
        Self { members: Some(members), v4, v6 }
    }

    pub(crate) fn is_part(&self) -> bool {
        self.members.is_some()
    }

    /// Is the endpoint of this Pod looked at?
    pub(crate) fn has(&self, pod: &Istr, family: Family) -> bool {
        let Some(members) = &self.members else { return true };
        members.get(pod).is_some_and(|families| families.has(family))
    }

    /// Sums over the slices that are not looked at.
    pub(crate) fn rest(&self, family: Family) -> &Totals {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}
