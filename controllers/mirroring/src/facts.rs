//! What is known when one Endpoints object is planned.

use std::num::NonZeroUsize;
use std::sync::Arc;

use fairlead_discovery::names::{LEADER, MIRRORING_CONTROLLER, SERVICE_NAME, SKIP_MIRROR, SLICE_MANAGED_BY};
use fairlead_objects::{Endpoints, Istr, ObjectKey, OwnerReference, Service, Slice};

/// What was observed of one Endpoints object and of all that its slices depend on. The order of the slices plays no
/// part.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Namespace and name of the Endpoints, and of their Service.
    pub key: &'a ObjectKey,
    /// The Endpoints, if there are any.
    pub endpoints: Option<&'a Endpoints>,
    /// The Service of this name, if there is one.
    pub service: Option<&'a Service>,
    /// Slices of the namespace that may mirror the Endpoints, terminating ones included. Others are left alone.
    pub slices: &'a [Arc<Slice>],
    /// `--mirroring-max-endpoints-per-subset`, at most 1000: what a slice can hold.
    pub max_endpoints_per_subset: NonZeroUsize,
}

impl<'a> Facts<'a> {
    /// The Endpoints, if they are to be mirrored.
    pub(crate) fn mirrored(&self) -> Option<&'a Endpoints> {
        self.endpoints.filter(|endpoints| {
            is_candidate(endpoints) && self.service.is_some_and(|service| is_mirrored(endpoints, service))
        })
    }
}

/// Do Endpoints want to be mirrored, as far as they say so themselves?
#[must_use]
pub fn is_candidate(endpoints: &Endpoints) -> bool {
    let skipped = endpoints.labels.get(SKIP_MIRROR).is_some_and(|value| *value == "true");
    !skipped && endpoints.annotations.get(LEADER).is_none()
}

/// Are the Endpoints mirrored for this Service? They are unless it has a selector, or they say otherwise themselves. The
/// type of the Service plays no part: an ExternalName without selector has its Endpoints mirrored, too.
#[must_use]
pub fn is_mirrored(endpoints: &Endpoints, service: &Service) -> bool {
    is_candidate(endpoints) && service.selector.is_none() && service.key == endpoints.key
}

/// The name of the Endpoints that this controller's slice mirrors, in the slice's namespace. `None` for slices of other
/// controllers and for slices that name none, which cannot be mapped and are left alone.
#[must_use]
pub fn mirrored_by(slice: &Slice) -> Option<&Istr> {
    slice.labels.get(SLICE_MANAGED_BY).filter(|manager| *manager == MIRRORING_CONTROLLER)?;
    slice.labels.get(SERVICE_NAME).filter(|name| !name.is_empty())
}

/// Does the slice belong to the Endpoints of this name?
pub(crate) fn belongs_to(slice: &Slice, key: &ObjectKey) -> bool {
    slice.key.namespace == key.namespace && mirrored_by(slice) == Some(&key.name)
}

/// Does the reference name Endpoints of this name, whichever UID they have?
pub(crate) fn refers_to_name(owner: &OwnerReference, name: &Istr) -> bool {
    owner.kind == "Endpoints" && owner.name == *name
}
