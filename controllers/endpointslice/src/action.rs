//! What is to be written.

use std::sync::Arc;

use fairlead_discovery::Readiness;
use fairlead_objects::{AddressType, Addresses, Family, Hints, Istr, Labels, PortSet, Slice, Uid};
use jiff::Timestamp;

/// One write. Its body comes from [`DesiredSlice::create_body`] or [`DesiredSlice::update_body`].
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
            Self::Delete(slice) => match slice.address_type {
                AddressType::Ip(family) => Some(family),
                AddressType::Other(_) => None,
            },
        }
    }
}

/// A write that succeeded, with the API server's answer.
#[derive(Clone, Debug)]
pub enum Written {
    /// A slice was created.
    Created(Arc<Slice>),
    /// A slice was rewritten.
    Updated {
        /// As it was observed before.
        before: Arc<Slice>,
        /// As the API server answered.
        after: Arc<Slice>,
    },
    /// A slice was deleted.
    Deleted(Arc<Slice>),
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
    /// Endpoints: those that the slice had in their old order, then new ones.
    pub endpoints: Vec<DesiredEndpoint>,
}

/// What all slices that one plan writes have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Namespace of the Service and of its slices.
    pub namespace: Istr,
    /// Name of the Service.
    pub service: Istr,
    /// UID of the Service.
    pub service_uid: Uid,
    /// Labels of the slices.
    pub labels: Labels,
    /// When the change happened that calls for the writes, if it is known.
    pub trigger_time: Option<Timestamp>,
}

/// An endpoint as it shall be. It stands for a Pod of the slice's namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredEndpoint {
    /// Addresses.
    pub addresses: Addresses,
    /// Conditions; all three are written.
    pub readiness: Readiness,
    /// Host name for DNS.
    pub hostname: Option<Istr>,
    /// Node of the Pod.
    pub node: Option<Istr>,
    /// Zone of the Node.
    pub zone: Option<Istr>,
    /// Name of the Pod.
    pub pod: Istr,
    /// UID of the Pod.
    pub pod_uid: Uid,
    /// Whose clients it is meant for; `None`: everybody's.
    pub hints: Option<Arc<Hints>>,
}
