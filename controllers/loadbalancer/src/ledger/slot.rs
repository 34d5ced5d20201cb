//! What is known about one address.

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use fairlead_objects::{Istr, ObjectKey};
use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::records::Address;

/// What is known about one address. There is a slot for each address about which there is something to know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    /// Its object.
    pub(crate) object: Option<Arc<Address>>,
    /// Services to which it is being given, or that are being added.
    pub(crate) claims: SmallVec<[Claim; 1]>,
    /// Services whose status names it: it is theirs even without an object.
    pub(crate) published: SmallVec<[ObjectKey; 1]>,
    /// The reservation that it is held for.
    pub(crate) reserved: Option<ObjectKey>,
}

/// A Service to which an address is being given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) service: ObjectKey,
    /// The key by which it shares; empty if it does not.
    pub(crate) sharing_key: Istr,
}

/// What an address is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Free,
    Reserved,
    Cooling,
    Assigned,
}

/// What the accounts know of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) usage: Use,
    /// Namespaces against whose quota it counts, each once.
    pub(crate) namespaces: SmallVec<[Istr; 1]>,
    /// Services that have it in any way, each once.
    pub(crate) services: SmallVec<[ObjectKey; 2]>,
    /// The pool that its object names, if somebody has it.
    pub(crate) pool: Option<Istr>,
    /// The key by which it is shared; empty if it is not.
    pub(crate) sharing_key: Istr,
}

impl Slot {
    pub(crate) fn is_empty(&self) -> bool {
        self.object.is_none()
            && self.claims.is_empty()
            && self.published.is_empty()
            && self.reserved.is_none()
    }

    /// Its object, if it is given to somebody, or to nobody yet, but not if it is cooling down.
    pub(crate) fn bound(&self) -> Option<&Arc<Address>> {
        self.object.as_ref().filter(|object| object.cooling_until.is_none())
    }

    pub(crate) fn usage(&self) -> Use {
        if self.bound().is_some() || !self.claims.is_empty() || !self.published.is_empty() {
            Use::Assigned
        } else if self.object.is_some() {
            Use::Cooling
        } else if self.reserved.is_some() {
            Use::Reserved
        } else {
            Use::Free
        }
    }

    /// Services that have it in any way: first those of the object in their order, then those to whom it is being given,
    /// then those that merely name it.
    pub(crate) fn services(&self) -> SmallVec<[ObjectKey; 2]> {
        let holders = self.object.iter().flat_map(|object| object.holders());
        let mut services: SmallVec<[ObjectKey; 2]> = SmallVec::new();
        let claiming = self.claims.iter().map(|claim| &claim.service);
        for key in holders.map(|holder| &holder.key).chain(claiming).chain(&self.published) {
            if !services.contains(key) {
                services.push(key.clone());
            }
        }
        services
    }

    /// Namespaces against whose quota it counts. `without` is a Service that is left out of it.
    pub(crate) fn namespaces(&self, without: Option<&ObjectKey>) -> SmallVec<[Istr; 1]> {
        let mut namespaces: SmallVec<[Istr; 1]> = SmallVec::new();
        let services = self.services();
        let services = services.iter().filter(|key| Some(*key) != without);
        for key in services.chain(&self.reserved) {
            if !namespaces.contains(&key.namespace) {
                namespaces.push(key.namespace.clone());
            }
        }
        namespaces
    }

    pub(crate) fn summary(&self) -> Summary {
        let key_of_claim = self.claims.first().map(|claim| claim.sharing_key.clone());
        Summary {
            usage: self.usage(),
            namespaces: self.namespaces(None),
            services: self.services(),
            pool: self.bound().map(|object| object.spec.pool.clone()),
            sharing_key: self
                .bound()
                .map_or(key_of_claim, |it| Some(it.spec.sharing_key.clone()))
                .unwrap_or_default(),
        }
    }
}

/// All slots, and the ways to find them.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: HashMap<IpAddr, Slot>,
    by_service: HashMap<ObjectKey, SmallVec<[IpAddr; 2]>>,
    by_sharing_key: HashMap<Istr, SmallVec<[IpAddr; 2]>>,
}

impl Slots {
    pub(crate) fn get(&self, address: IpAddr) -> Option<&Slot> {
        self.slots.get(&address)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (IpAddr, &Slot)> {
        self.slots.iter().map(|(address, slot)| (*address, slot))
    }

    /// Addresses that this Service has in any way, in no order.
    pub(crate) fn of_service(&self, key: &ObjectKey) -> &[IpAddr] {
        self.by_service.get(key).map_or(&[], |addresses| addresses)
    }

    /// Addresses that are shared by this key, the oldest first, and then those that are just being given.
    pub(crate) fn of_sharing_key(&self, key: &Istr) -> Vec<(IpAddr, &Slot)> {
        let addresses = self.by_sharing_key.get(key).into_iter().flatten();
        let mut slots: Vec<_> = addresses.filter_map(|it| Some((*it, self.slots.get(it)?))).collect();
        slots.sort_by_key(|(address, slot)| {
            (slot.object.is_none(), slot.object.as_ref().and_then(|it| it.created), *address)
        });
        slots
    }

    /// Changes a slot, and tells what the accounts know of it before and after.
    pub(super) fn change(&mut self, address: IpAddr, change: impl FnOnce(&mut Slot)) -> (Summary, Summary) {
        let slot = self.slots.entry(address).or_default();
        let before = slot.summary();
        change(slot);
        let after = slot.summary();
        if slot.is_empty() {
            self.slots.remove(&address);
        }
        for key in before.services.iter().filter(|key| !after.services.contains(key)) {
            take_out(&mut self.by_service, key, address);
        }
        for key in after.services.iter().filter(|key| !before.services.contains(key)) {
            self.by_service.entry(key.clone()).or_default().push(address);
        }
        if before.sharing_key != after.sharing_key {
            take_out(&mut self.by_sharing_key, &before.sharing_key, address);
            if !after.sharing_key.is_empty() {
                self.by_sharing_key.entry(after.sharing_key.clone()).or_default().push(address);
            }
        }
        (before, after)
    }
}

fn take_out<K: Eq + Hash>(index: &mut HashMap<K, SmallVec<[IpAddr; 2]>>, key: &K, address: IpAddr) {
    if let Some(addresses) = index.get_mut(key) {
        addresses.retain(|it| *it != address);
        if addresses.is_empty() {
            index.remove(key);
        }
    }
}
