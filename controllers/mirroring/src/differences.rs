//! What a slice has, compared with what it should have.

use fairlead_objects::{AddressType, Endpoint, Endpoints, Istr, Slice};
use hashbrown::HashMap;

use crate::action::DesiredSlice;
use crate::desired::Identity;
use crate::facts::refers_to_name;

/// How the endpoints of a slice differ from the desired ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Differences {
    pub(crate) added: usize,
    pub(crate) updated: usize,
    pub(crate) removed: usize,
}

impl Differences {
    /// The order of endpoints plays no part.
    pub(crate) fn between(current: &[Endpoint], desired: &[Endpoint], namespace: &Istr) -> Self {
        if current.len() == desired.len()
            && current.iter().zip(desired).all(|(one, other)| is_same(one, other))
        {
            return Self::default();
        }
        let mut missing: HashMap<Identity, &Endpoint> =
            desired.iter().map(|endpoint| (Identity::of(endpoint, namespace), endpoint)).collect();
        let mut differences = Self::default();
        for endpoint in current {
            // One that is there twice is one too many.
            match missing.remove(&Identity::of(endpoint, namespace)) {
                None => differences.removed += 1,
                Some(wanted) if !is_same(endpoint, wanted) => differences.updated += 1,
                Some(_) => {}
            }
        }
        differences.added = missing.len();
        differences
    }
}

/// Hints play no part: this controller never sets any, and upstream does not look at them either.
fn is_same(one: &Endpoint, other: &Endpoint) -> bool {
    one.addresses == other.addresses
        && one.conditions == other.conditions
        && one.hostname == other.hostname
        && one.node == other.node
        && one.zone == other.zone
        && one.target == other.target
}

/// Is the slice owned by these very Endpoints, and not by others of the same name before them? Without its owner it would
/// outlive them if they were deleted while nobody looks.
fn is_owned(slice: &Slice, endpoints: &Endpoints) -> bool {
    let of_name = || slice.owners.iter().filter(|owner| refers_to_name(owner, &endpoints.key.name));
    of_name().all(|owner| owner.uid == endpoints.uid) && of_name().any(|owner| owner.api_version == "v1")
}

impl DesiredSlice {
    /// Need nothing be written to make `current`, whose endpoints differ like this, the desired slice?
    pub(crate) fn is_met_by(&self, current: &Slice, differences: Differences, endpoints: &Endpoints) -> bool {
        differences == Differences::default() && self.has_metadata(current) && is_owned(current, endpoints)
    }

    fn has_metadata(&self, slice: &Slice) -> bool {
        slice.labels == self.envelope.labels && slice.annotations == self.envelope.annotations
    }

    /// Is `answer`, to a write of this slice, anything else in what a plan looks at? Admission webhooks and policies may
    /// change it on the way.
    #[must_use]
    pub fn is_altered(&self, answer: &Slice) -> bool {
        !self.has_metadata(answer)
            || answer.ports != self.ports
            || answer.address_type != AddressType::Ip(self.family)
            || Differences::between(&answer.endpoints, &self.endpoints, &self.envelope.namespace)
                != Differences::default()
    }
}
