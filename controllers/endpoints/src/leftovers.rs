//! Endpoints objects that nobody maintains any more.
//!
//! When a Service loses its selector or becomes an ExternalName, its Endpoints stay as they were, because others may rely
//! on it or take them over (upstream does the same: kubernetes/kubernetes issues 103576, 114814, 118376), but nobody
//! maintains them any more. So people are told, and may ask for them to be deleted.
//!
//! Endpoints without any Service are deleted once after the start, as upstream does it: their Service may have been
//! deleted while nobody looked.

use std::fmt;
use std::sync::Arc;

use fairlead_discovery::names::LEADER;
use fairlead_objects::{Endpoints, ObjectKey, Service, ServiceType};

use crate::labels::is_managed;
use crate::plan::has_endpoints;

/// Is this, found at the start, an Endpoints object whose Service is gone, given that there is none in the cache? Those
/// that serve a leader election never had one.
#[must_use]
pub fn is_without_service(endpoints: &Endpoints) -> bool {
    endpoints.annotations.get(LEADER).is_none()
}

/// An Endpoints object that a Service has left behind.
#[derive(Clone, Debug)]
pub struct Leftover {
    is_external_name: bool,
    /// The object.
    pub endpoints: Arc<Endpoints>,
}

impl Leftover {
    /// What is left of a Service for which this controller keeps no Endpoints. Nothing is left where others say that they
    /// maintain the object, and of a Service that is being deleted: the API server deletes its Endpoints.
    #[must_use]
    pub fn of(service: &Service, current: Option<&Arc<Endpoints>>) -> Option<Self> {
        let current = current.filter(|it| is_managed(&it.labels) && !it.terminating)?;
        (!has_endpoints(service) && !service.terminating).then(|| Self {
            is_external_name: service.kind == ServiceType::ExternalName,
            endpoints: Arc::clone(current),
        })
    }
}

impl fmt::Display for Leftover {
    /// What people should know who find it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_external_name { "is an ExternalName now" } else { "has no selector any more" };
        let ObjectKey { namespace, name } = &self.endpoints.key;
        write!(
            f,
            "The Service {what}. Its Endpoints stay as they are and are no longer kept up to date, so clients may be sent \
             to Pods that are gone. To remove what is left: kubectl delete endpoints {name} --namespace {namespace}"
        )
    }
}
