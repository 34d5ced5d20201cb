//! What is known when one Service is planned.

use std::num::NonZeroUsize;
use std::sync::Arc;

use fairlead_discovery::names::{SERVICE_NAME, SLICE_CONTROLLER, SLICE_MANAGED_BY};
use fairlead_objects::{Istr, Node, OwnerReference, Pod, Service, Slice, Uid};
use jiff::Timestamp;

use crate::hints::NodeTable;

/// What a plan of one Service depends on besides its Pods and slices.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The Service.
    pub service: &'a Arc<Service>,
    /// Finds a Node by its name.
    pub node: &'a dyn Fn(&Istr) -> Option<Arc<Node>>,
    /// What the zones' Nodes can carry, for topology mode `Auto`.
    pub node_table: &'a NodeTable,
    /// `--max-endpoints-per-slice`.
    pub max_endpoints_per_slice: NonZeroUsize,
    /// When the earliest change of a Pod happened that is not written yet
    /// ([`fairlead_discovery::pod_change_time`]).
    pub pods_changed: Option<Timestamp>,
}

/// What was observed of one Service and of all that its slices depend on. The order of the lists plays no part.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The Service and its surroundings.
    pub context: Context<'a>,
    /// The Pods that the Service's selector picks, each once.
    pub pods: &'a [Arc<Pod>],
    /// The slices of the Service's namespace that may be its own, terminating ones included. Those of other
    /// Services and of other controllers are left alone.
    pub slices: &'a [Arc<Slice>],
}

/// The name of the Service to which this controller's slice belongs, in the slice's namespace. `None` for
/// slices of other controllers and for slices that name no Service, which cannot be mapped and are left alone.
#[must_use]
pub fn service_of(slice: &Slice) -> Option<&Istr> {
    slice.labels.get(SLICE_MANAGED_BY).filter(|manager| *manager == SLICE_CONTROLLER)?;
    slice.labels.get(SERVICE_NAME).filter(|name| !name.is_empty())
}

/// Is this the Service's slice to maintain? Terminating slices are not: they are on their way out, however long
/// a finalizer holds them.
pub(crate) fn is_maintained(slice: &Slice, service: &Service) -> bool {
    !slice.terminating
        && slice.key.namespace == service.key.namespace
        && service_of(slice) == Some(&service.key.name)
}

/// Does the slice have this very Service as an owner, not one of the same name before it?
pub(crate) fn is_owned(slice: &Slice, service: &Service) -> bool {
    slice.owners.iter().any(|owner| refers_to(owner, &service.uid))
}

/// Does the reference name the Service with this UID?
pub(crate) fn refers_to(owner: &OwnerReference, service: &Uid) -> bool {
    owner.uid == *service && owner.kind == "Service" && owner.api_version == "v1"
}
