//! What is to be written.

use std::net::IpAddr;
use std::sync::Arc;

use fairlead_objects::{ObjectKey, Service, ServiceCondition, Uid};
use jiff::Timestamp;

use crate::records::{Address, AddressSpec, Reservation, ReservationStatus};
use crate::words::Reason;

/// What to do for one Service.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Writes, in the order in which to send them, one after the other. After one that fails, or whose guard does not
    /// hold, the rest is left for the next plan.
    pub actions: Vec<Action>,
    /// When to plan again though nothing has changed: a pending condition is due, or an old address may go.
    pub wait: Option<Timestamp>,
    /// How the Service stands once the actions are done, for logs and metrics.
    pub standing: Standing,
}

/// How a Service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Standing {
    /// Not of our type or class, or gone.
    #[default]
    NotOurs,
    /// Of our class, but another implementation serves it.
    LeftAlone,
    /// It has what it asks for.
    Ready,
    /// It has addresses, but not what it asks for.
    Unsatisfied(Reason),
    /// It has no address.
    Pending(Reason),
}

/// One write.
#[derive(Clone, Debug)]
pub enum Action {
    /// Create the object of an address: this allocates it. An answer that it exists means that somebody else was
    /// faster: show the ledger that object, and plan anew.
    Create {
        /// The address, from which the name follows.
        address: IpAddr,
        /// Its spec.
        spec: AddressSpec,
    },
    /// Make this the spec of an address, by a merge patch with uid and resourceVersion. The label follows the pool.
    Update {
        /// As it was observed.
        current: Arc<Address>,
        /// What it shall be. Empty fields are written, so that older ones go.
        spec: AddressSpec,
        /// What has to be so before.
        guard: Guard,
    },
    /// Write addresses and condition into the status of a Service, both by one strategic merge patch with uid and
    /// resourceVersion.
    Publish(Publication),
    /// Let an address cool down: `status.phase` Cooling, by one merge patch of the status with uid and resourceVersion.
    Cool {
        /// As it was observed.
        current: Arc<Address>,
        /// `status.coolingUntil`.
        until: Timestamp,
        /// What has to be so before.
        guard: Guard,
    },
    /// Say of an address that nobody asked the network who uses it: condition `Probed` Unknown, by one merge patch of the
    /// status with uid and resourceVersion.
    NotProbed {
        /// As it was observed.
        current: Arc<Address>,
        /// What is told.
        message: String,
        /// The time of the condition.
        now: Timestamp,
    },
    /// Say of an address that nobody answers for it any more, because the speaker that did is lost: condition `Announced`
    /// False, without node, interface, MAC address and since, by one merge patch of the status with uid and resourceVersion.
    Silence {
        /// As it was observed.
        current: Arc<Address>,
        /// What is told.
        message: String,
        /// The time of the condition.
        now: Timestamp,
    },
    /// Delete the object of an address, with uid and resourceVersion as preconditions.
    Delete {
        /// As it was observed.
        current: Arc<Address>,
        /// What has to be so before.
        guard: Guard,
    },
}

/// What a live look at the API server, past every cache, has to confirm before an address is taken from a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Nothing: no Service loses the address.
    Nothing,
    /// There is no Service of that name any more, or one with another UID, which does not name the address.
    Gone {
        /// Namespace and name.
        service: ObjectKey,
        /// The UID that must not be there.
        uid: Uid,
        /// The address.
        address: IpAddr,
    },
    /// The status of the Service does not name the address (any more); also if it is gone.
    Unpublished {
        /// Namespace and name.
        service: ObjectKey,
        /// The address.
        address: IpAddr,
        /// One that it has to name in its place.
        instead: Option<IpAddr>,
    },
}

impl Guard {
    /// Which Service has to be looked at.
    #[must_use]
    pub fn service(&self) -> Option<&ObjectKey> {
        match self {
            Self::Nothing => None,
            Self::Gone { service, .. } | Self::Unpublished { service, .. } => Some(service),
        }
    }

    /// Does what was seen confirm it? `live` is the Service of [`Guard::service`], or `None` if there is none.
    #[must_use]
    pub fn holds(&self, live: Option<&Service>) -> bool {
        let Some(live) = live else { return true };
        let names = |address: &IpAddr| {
            live.load_balancer
                .as_ref()
                .is_some_and(|it| it.published().any(|published| published == *address))
        };
        match self {
            Self::Nothing => true,
            Self::Gone { uid, address, .. } => live.uid != *uid && !names(address),
            Self::Unpublished { address, instead, .. } => {
                !names(address) && instead.as_ref().is_none_or(names)
            }
        }
    }
}

/// What is written into the status of a Service.
#[derive(Clone, Debug)]
pub struct Publication {
    /// As it was observed.
    pub service: Arc<Service>,
    /// The addresses of `status.loadBalancer`, all with `ipMode: VIP`. `None` leaves it as it is.
    pub addresses: Option<Vec<IpAddr>>,
    /// What becomes of our condition.
    pub condition: ConditionChange,
    /// What to tell once it is written.
    pub event: Option<Event>,
}

/// What becomes of the condition on a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConditionChange {
    /// It stays as it is.
    Keep,
    /// It becomes this.
    Set(ServiceCondition),
    /// It goes (`$patch: delete`).
    Remove,
}

/// An event on a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Is it a warning?
    pub warning: bool,
    /// Reason.
    pub reason: Reason,
    /// In words.
    pub message: String,
}

/// What to do about the object of one address apart from its Services.
#[derive(Clone, Debug, Default)]
pub struct AddressPlan {
    /// Writes, in order.
    pub actions: Vec<Action>,
    /// When to plan again though nothing has changed: it has cooled down then.
    pub wait: Option<Timestamp>,
}

/// What to write about one reservation.
#[derive(Clone, Debug)]
pub struct ReservationPlan {
    /// As it was observed.
    pub reservation: Arc<Reservation>,
    /// The complete status, to be written with uid and resourceVersion.
    pub status: ReservationStatus,
}
