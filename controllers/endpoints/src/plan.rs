//! From what is known of a Service to the write that makes its Endpoints object right.

use std::sync::Arc;

use fairlead_discovery::trigger_time;
use fairlead_objects::{Endpoints, Pod, Service, ServiceType};
use jiff::Timestamp;

use crate::capacity::Overflow;
use crate::desired::Desired;
use crate::memory::{Memory, Next};

/// What is known of a Service.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The Service.
    pub service: &'a Arc<Service>,
    /// The Pods that it selects, in any order.
    pub pods: &'a [Arc<Pod>],
    /// The Endpoints object of its name, if there is one.
    pub current: Option<&'a Arc<Endpoints>>,
    /// When the earliest change of a Pod happened that is not written yet.
    pub pods_changed: Option<Timestamp>,
}

/// The write. Its body comes from [`Desired::create_body`] or [`Desired::update_body`].
#[derive(Clone, Debug)]
pub enum Action {
    /// Create the object.
    Create(Desired),
    /// Make this object the desired one, if it still has the version that was observed.
    Update {
        /// The object as it was observed.
        current: Arc<Endpoints>,
        /// What it shall be.
        desired: Desired,
    },
}

impl Action {
    /// What the object shall be.
    #[must_use]
    pub fn desired(&self) -> &Desired {
        match self {
            Self::Create(desired) | Self::Update { desired, .. } => desired,
        }
    }
}

/// What to write for one Service, and what to remember.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The write, if anything is to be written.
    pub action: Option<Action>,
    /// How much more there is than the object holds, if it does not hold all.
    pub overflow: Option<Overflow>,
    /// What to remember once the write has succeeded ([`Memory::written`]).
    pub next: Next,
}

/// Does this controller keep an Endpoints object for the Service? It does not for Services without selector and of type
/// ExternalName, and what they may have left behind stays, as upstream does it.
#[must_use]
pub fn has_endpoints(service: &Service) -> bool {
    service.kind != ServiceType::ExternalName && service.selector.is_some()
}

/// Plans the Endpoints object of a Service that has one ([`has_endpoints`]). The result depends on nothing but the
/// arguments.
#[must_use]
pub fn plan(facts: &Facts<'_>, memory: &Memory) -> Plan {
    let service = facts.service;
    let desired = Desired::new(facts, trigger_time(service, memory.planned(), facts.pods_changed));
    let overflow = desired.overflow;
    let action = match facts.current {
        None => Some(Action::Create(desired)),
        Some(current) if desired.is_met_by(current) => None,
        Some(current) => Some(Action::Update { current: Arc::clone(current), desired }),
    };
    Plan { action, overflow, next: Next::of(service) }
}
