//! What topology-aware hints came to, remembered from plan to plan.
//!
//! Upstream remembers whether a Service has hints; the families of a dual-stack Service then contradict each other.
//! Here each family has a state of its own.

use std::sync::Arc;

use fairlead_objects::{Family, Istr, Slice};

use super::capacity::NodeTable;
use super::event::{Failure, HintEvent};
use super::topology;

/// How many endpoints are hinted to each zone that has any, in the order of the zones' names.
pub type ZoneCounts = Arc<[(Istr, usize)]>;

/// What topology-aware hints came to in one family.
#[derive(Clone, Debug, PartialEq)]
pub enum HintState {
    /// Not asked for.
    Off,
    /// Set.
    Populated(ZoneCounts),
    /// Asked for and impossible.
    Failed {
        /// Why.
        failure: Failure,
        /// Number of ready endpoints.
        ready: usize,
    },
}

impl HintState {
    /// Must the family be planned again, now that this is the Node table?
    ///
    /// Yes if a zone has fewer endpoints than it needs, which is all that upstream looks at, and also if hints that
    /// were impossible have become possible: upstream leaves that to the next change of the Service's endpoints
    /// (kubernetes/kubernetes issues 114215, 117245 and 123401).
    pub(crate) fn is_due(&self, table: &NodeTable) -> bool {
        match self {
            Self::Populated(counts) => topology::is_overloaded(counts, table),
            // Zones of endpoints come with their Nodes, whose changes are looked at anyway.
            Self::Off | Self::Failed { failure: Failure::NoZone, .. } => false,
            Self::Failed { ready, .. } => topology::allocate(table, *ready).is_ok(),
        }
    }
}

/// The [`HintState`] of each family that was planned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HintStates {
    v4: Option<HintState>,
    v6: Option<HintState>,
}

impl HintStates {
    /// The state of a family; `None` if it was not planned yet.
    #[must_use]
    pub fn get(&self, family: Family) -> Option<&HintState> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }

    pub(crate) fn set(&mut self, family: Family, state: HintState) {
        match family {
            Family::V4 => self.v4 = Some(state),
            Family::V6 => self.v6 = Some(state),
        }
    }

    /// Are hints asked for in any family?
    pub(crate) fn is_on(&self) -> bool {
        self.all().any(|state| *state != HintState::Off)
    }

    /// Must the Service be planned again, now that this is the Node table?
    pub(crate) fn is_due(&self, table: &NodeTable) -> bool {
        self.all().any(|state| state.is_due(table))
    }

    fn all(&self) -> impl Iterator<Item = &HintState> {
        [&self.v4, &self.v6].into_iter().flatten()
    }
}

/// What is new in `now`. Before the first plan of this process nothing is remembered, but hints that are there
/// already (`hinted`) are no news.
pub(crate) fn event(
    family: Family,
    before: Option<&HintState>,
    now: &HintState,
    hinted: bool,
) -> Option<HintEvent> {
    match (before, now) {
        (None, HintState::Populated(_)) if hinted => None,
        (Some(HintState::Populated(_)), HintState::Populated(_)) => None,
        (_, HintState::Populated(_)) => Some(HintEvent::Enabled(family)),
        (Some(HintState::Failed { failure: before, .. }), HintState::Failed { failure, .. })
            if before.is_like(*failure) =>
        {
            None
        }
        (_, HintState::Failed { failure, .. }) => Some(HintEvent::Disabled(family, Some(*failure))),
        (Some(HintState::Populated(_)), HintState::Off) => Some(HintEvent::Disabled(family, None)),
        (_, HintState::Off) => None,
    }
}

/// Does an endpoint of the slices have a hint?
pub(crate) fn were_hinted(slices: &[&Arc<Slice>]) -> bool {
    slices.iter().flat_map(|slice| &slice.endpoints).any(|endpoint| endpoint.hints.is_some())
}
