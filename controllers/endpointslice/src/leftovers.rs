//! What a Service leaves behind when it loses its selector or becomes an ExternalName.
//!
//! Its slices stay as they were, because others may rely on it (upstream does the same: kubernetes/kubernetes issues
//! 103576, 114814, 118376), but nobody maintains them any more. So people are told, and may ask for them to be
//! deleted.

use std::fmt;
use std::sync::Arc;

use fairlead_discovery::names::{SERVICE_NAME, SLICE_CONTROLLER, SLICE_MANAGED_BY};
use fairlead_objects::{ObjectKey, Service, ServiceType, Slice};

use crate::Action;
use crate::facts::{is_maintained, is_owned};
use crate::plan::has_slices;

/// The slices of this controller that nobody maintains any more.
#[derive(Clone, Debug)]
pub struct Leftovers {
    service: ObjectKey,
    is_external_name: bool,
    /// The slices, in no order.
    pub slices: Vec<Arc<Slice>>,
}

impl Leftovers {
    /// What is left of a Service for which this controller keeps no slices. `None` if it does keep them. Nothing is left
    /// of a Service that is being deleted: the garbage collector takes what it owns. Slices of others, of an earlier
    /// Service of this name, and those that are on their way out are not among them.
    #[must_use]
    pub fn of(service: &Service, slices: &[Arc<Slice>]) -> Option<Self> {
        if has_slices(service) {
            return None;
        }
        let left = slices.iter().filter(|slice| {
            !service.terminating && is_maintained(slice, service) && is_owned(slice, service)
        });
        Some(Self {
            service: service.key.clone(),
            is_external_name: service.kind == ServiceType::ExternalName,
            slices: left.cloned().collect(),
        })
    }

    /// The writes: deletes of all, if they are to be pruned and were seen to become leftovers. Those that were found
    /// may serve somebody by now.
    #[must_use]
    pub fn actions(&self, observed: bool, prune: bool) -> Vec<Action> {
        if observed && prune { self.slices.iter().cloned().map(Action::Delete).collect() } else { Vec::new() }
    }
}

impl fmt::Display for Leftovers {
    /// What people should know who find them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_external_name { "is an ExternalName now" } else { "has no selector any more" };
        let (slices, stay) = match self.slices.len() {
            1 => ("1 EndpointSlice".to_owned(), "stays as it is and is"),
            count => (format!("{count} EndpointSlices"), "stay as they are and are"),
        };
        let ObjectKey { namespace, name } = &self.service;
        write!(
            f,
            "The Service {what}. Its {slices} {stay} no longer kept up to date, so clients may be sent to Pods that are \
             gone. To remove what is left: kubectl delete endpointslices --namespace {namespace} \
             --selector {SERVICE_NAME}={name},{SLICE_MANAGED_BY}={SLICE_CONTROLLER}"
        )
    }
}
