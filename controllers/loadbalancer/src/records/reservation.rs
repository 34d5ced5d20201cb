//! `ServiceReservation`.

use std::net::IpAddr;

use fairlead_crds::{ReservationPhase, ServiceReservation};
use fairlead_objects::{Istr, ObjectKey, Record, Resource, ResourceVersion, Selector, Service, Uid};
use jiff::Timestamp;
use serde::Deserialize;

use super::{Condition, Identity};

/// A `ServiceReservation`, its load-balancer part.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "ServiceReservation")]
pub struct Reservation {
    /// Namespace and name.
    pub key: ObjectKey,
    /// UID.
    pub uid: Uid,
    /// Version.
    pub version: ResourceVersion,
    /// `metadata.generation`.
    pub generation: i64,
    /// When it was created: of two reservations of one address the older one counts.
    pub created: Option<Timestamp>,
    /// Whom it waits for.
    pub service: ReservedFor,
    /// `spec.loadBalancer.addresses`.
    pub addresses: Vec<IpAddr>,
    /// `spec.loadBalancer.pool`.
    pub pool: Option<Istr>,
    /// `status` as it was observed.
    pub status: ReservationStatus,
}

/// Whom a reservation waits for, in its own namespace.
#[derive(Clone, Debug, PartialEq)]
pub enum ReservedFor {
    /// `spec.service.name`.
    Name(Istr),
    /// `spec.selector`: labels of Services.
    Selector(Selector),
}

/// `status` of a reservation.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ReservationStatus {
    /// `observedGeneration`.
    pub observed_generation: i64,
    /// `addresses`: what is held for it.
    pub addresses: Vec<IpAddr>,
    /// `boundTo`: the name of the Service that has them; the first by name of several.
    pub bound_to: Istr,
    /// `phase`.
    pub phase: ReservationPhase,
    /// `conditions`.
    pub conditions: Vec<Condition>,
}

impl Reservation {
    /// Is it for this Service?
    #[must_use]
    pub fn is_for(&self, service: &Service) -> bool {
        self.key.namespace == service.key.namespace
            && match &self.service {
                ReservedFor::Name(name) => *name == service.key.name,
                ReservedFor::Selector(selector) => selector.matches(&service.labels),
            }
    }

    /// Does it ask for the same as `other`?
    #[must_use]
    pub(crate) fn same_spec(&self, other: &Self) -> bool {
        self.uid == other.uid
            && self.created == other.created
            && self.service == other.service
            && self.addresses == other.addresses
            && self.pool == other.pool
    }
}

impl Record for Reservation {
    const RESOURCE: Resource = Resource {
        group: "fairlead.dev",
        version: "v1alpha1",
        kind: "ServiceReservation",
        plural: "servicereservations",
        namespaced: true,
    };

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn version(&self) -> &ResourceVersion {
        &self.version
    }

    fn same_facts(&self, other: &Self) -> bool {
        // Its status is written with the version as a precondition, so the newest has to be known.
        self == other
    }
}

impl From<ServiceReservation> for Reservation {
    fn from(reservation: ServiceReservation) -> Self {
        let Identity { key, uid, version, generation, created } = Identity::from(&reservation.metadata);
        let spec = reservation.spec;
        let status = reservation.status.unwrap_or_default();
        let wanted = spec.load_balancer.unwrap_or_default();
        Self {
            key,
            uid,
            version,
            generation,
            created,
            service: match (spec.service, spec.selector) {
                // The schema sees to it that there is one of the two; a name without a Service matches none.
                (Some(service), _) => ReservedFor::Name(service.name.into()),
                (None, Some(selector)) => ReservedFor::Selector(Selector::from(&selector)),
                (None, None) => ReservedFor::Name(Istr::default()),
            },
            addresses: wanted.addresses.into_iter().map(|address| address.to_canonical()).collect(),
            pool: wanted.pool.map(Istr::from),
            status: ReservationStatus {
                observed_generation: status.observed_generation.unwrap_or_default(),
                addresses: status.addresses,
                bound_to: status.bound_to.into(),
                phase: status.phase,
                conditions: status.conditions.iter().map(Condition::from).collect(),
            },
        }
    }
}
