//! What is looked at.

use std::fmt;
use std::net::IpAddr;

use fairlead_objects::{Istr, ObjectKey};

/// What a worker looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// A Service.
    Service(ObjectKey),
    /// The object of an address that no Service has.
    Address(IpAddr),
    /// The status of a pool.
    Pool(Istr),
    /// A reservation.
    Reservation(ObjectKey),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(key) => write!(f, "Service {key}"),
            Self::Address(address) => write!(f, "LoadBalancerAddress {address}"),
            Self::Pool(name) => write!(f, "LoadBalancerPool {name}"),
            Self::Reservation(key) => write!(f, "ServiceReservation {key}"),
        }
    }
}
