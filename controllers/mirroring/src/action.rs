//! What is to be written.

use std::sync::Arc;

use fairlead_objects::{AddressType, Endpoint, Family, Istr, Labels, PortSet, Slice, Uid};

/// One write. Its body comes from [`DesiredSlice::create_body`], [`DesiredSlice::update_body`] or
/// [`crate::Action::emptied_body`].
#[derive(Clone, Debug)]
pub enum Action {
    /// Create a slice with a generated name.
    Create(DesiredSlice),
    /// Make this slice the desired one, if it still has the version that was observed.
    Update {
        /// The slice as it was observed.
        current: Arc<Slice>,
        /// What it shall be.
        desired: DesiredSlice,
    },
    /// Take the endpoints out of this slice, which somebody deleted and a finalizer holds.
    Empty(Arc<Slice>),
    /// Delete this slice.
    Delete(Arc<Slice>),
}

impl Action {
    /// The family that the write belongs to: when one fails, the rest of its family is not written. `None` for
    /// slices of address types that are none of ours, which are only ever deleted.
    #[must_use]
    pub fn family(&self) -> Option<Family> {
        match self {
            Self::Create(desired) | Self::Update { desired, .. } => Some(desired.family),
            Self::Empty(slice) | Self::Delete(slice) => match slice.address_type {
                AddressType::Ip(family) => Some(family),
                AddressType::Other(_) => None,
            },
        }
    }
}

/// The complete content of a slice.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredSlice {
    /// What it has in common with the other slices of the plan.
    pub envelope: Arc<Envelope>,
    /// Address type.
    pub family: Family,
    /// Ports.
    pub ports: PortSet,
    /// Endpoints, ready ones first. Only address, readiness, host name, node and target are ever set.
    pub endpoints: Vec<Endpoint>,
}

/// What all slices that one plan writes have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Namespace of the Endpoints and of their slices.
    pub namespace: Istr,
    /// Name of the Endpoints.
    pub endpoints: Istr,
    /// UID of the Endpoints.
    pub endpoints_uid: Uid,
    /// Labels of the slices.
    pub labels: Labels,
    /// Annotations of the slices.
    pub annotations: Labels,
}
