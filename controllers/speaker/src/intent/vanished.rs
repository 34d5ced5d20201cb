//! Addresses whose objects are gone, and until when they are answered for all the same.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use fairlead_layer2::Moment;

/// Mostly there are none.
#[derive(Debug, Default)]
pub(super) struct Vanished {
    ends: HashMap<IpAddr, Moment>,
    in_order: BTreeSet<(Moment, IpAddr)>,
}

impl Vanished {
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.ends.contains_key(&address)
    }

    /// The grace of an address that had none ends then.
    pub(super) fn add(&mut self, address: IpAddr, until: Moment) {
        self.ends.insert(address, until);
        self.in_order.insert((until, address));
    }

    pub(super) fn remove(&mut self, address: IpAddr) {
        if let Some(until) = self.ends.remove(&address) {
            self.in_order.remove(&(until, address));
        }
        if self.ends.is_empty() {
            *self = Self::default();
        }
    }

    /// Whose grace ends first, and when.
    pub(super) fn first(&self) -> Option<(Moment, IpAddr)> {
        self.in_order.first().copied()
    }
}
