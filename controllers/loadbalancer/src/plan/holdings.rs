//! What a Service has already, or names in its status.

use std::net::IpAddr;
use std::sync::Arc;

use fairlead_crds::Sharing;
use fairlead_objects::{Family, Istr, LoadBalancer, ObjectKey};
use jiff::Timestamp;

use super::{Ours, families, probing, release};
use crate::ledger::{Known, Ledger, Slot};
use crate::records::Address;
use crate::sharing::Objection;
use crate::words::{self, Misplaced};

/// An address that a Service has, or takes over because its status names it.
#[derive(Clone, Debug)]
pub(crate) struct Holding<'a> {
    pub(super) address: IpAddr,
    pub(super) slot: &'a Slot,
    /// Does its status name it?
    pub(super) published: bool,
    pub(super) hold: Hold,
}

/// By what a Service has an address.
#[derive(Clone, Debug)]
pub(super) enum Hold {
    /// The object names it.
    Object(Arc<Address>),
    /// There is no object: one has to be created.
    NoObject,
    /// The object is cooling down: it has to be replaced by a new one.
    Cooling(Arc<Address>),
    /// The object names others, with whom it shares, or nobody.
    OfOthers(Arc<Address>),
    /// Somebody who is gone is still named; nothing can be done before that is released.
    NotYet,
}

/// What is to become of an address that a Service has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    /// It asks for something else.
    Unwanted,
    /// It was not published yet, and another device uses it.
    InConflict,
    /// It does not go with somebody who was there before.
    Unsharable(ObjectKey, Objection),
    /// It should be another one, though nobody asks for that.
    Misplaced(Misplaced),
}

impl<'a> Ours<'a> {
    pub(super) fn new(
        ledger: &'a Ledger,
        known: &'a Known,
        load_balancer: &'a LoadBalancer,
        now: Timestamp,
    ) -> Self {
        let service = &*known.service;
        let families = families(service, load_balancer);
        let mut ours =
            Self { ledger, now, known, service, load_balancer, families, holdings: [vec![], vec![]] };
        ours.holdings = [Family::V4, Family::V6].map(|family| ours.holdings_of(family));
        ours
    }

    fn holdings_of(&self, family: Family) -> Vec<Holding<'a>> {
        let mut objects = release::objects_of(self.ledger, &self.service.key);
        objects.retain(|object| Family::of(object.address) == family);
        // Of several that the status does not name, the older one is kept.
        objects.sort_by_key(|object| (object.created, object.address));
        let has_object = !objects.is_empty();
        let published: Vec<IpAddr> =
            self.load_balancer.published().filter(|address| Family::of(*address) == family).collect();
        let mut holdings: Vec<Holding<'a>> = Vec::new();
        for address in &published {
            let Some(slot) = self.ledger.slots.get(*address) else { continue };
            if holdings.iter().any(|holding| holding.address == *address) {
                continue;
            }
            let hold = match objects.iter().find(|object| object.address == *address) {
                Some(object) => Some(Hold::Object(Arc::clone(object))),
                None => self.adoption(*address, slot, has_object),
            };
            if let Some(hold) = hold {
                holdings.push(Holding { address: *address, slot, published: true, hold });
            }
        }
        for object in objects.into_iter().filter(|object| !published.contains(&object.address)) {
            if let Some(slot) = self.ledger.slots.get(object.address) {
                let address = object.address;
                holdings.push(Holding { address, slot, published: false, hold: Hold::Object(object) });
            }
        }
        holdings
    }

    /// How an address is taken over that the status names and no object gives to this Service; `None` if it is not.
    fn adoption(&self, address: IpAddr, slot: &Slot, has_another: bool) -> Option<Hold> {
        let told =
            self.load_balancer.condition.as_ref().is_some_and(|condition| words::claims(condition, address));
        // What somebody else has written into the status beside an address of ours is not taken over.
        if !told && (has_another || self.ledger.pools.around(address).is_none()) {
            return None;
        }
        if self.first_objection(address, slot).is_some() {
            return None;
        }
        let claimed = slot.claims.iter().any(|claim| claim.service != self.service.key);
        match &slot.object {
            None if claimed => Some(Hold::NotYet),
            None => Some(Hold::NoObject),
            Some(object) if object.cooling_until.is_some() => Some(Hold::Cooling(Arc::clone(object))),
            Some(object) => {
                let is_gone = |key: &ObjectKey| !self.ledger.services.contains_key(key);
                if object.holders().iter().any(|holder| is_gone(&holder.key)) {
                    return Some(Hold::NotYet);
                }
                Some(Hold::OfOthers(Arc::clone(object)))
            }
        }
    }

    /// Who was there before and does not go with this Service.
    fn first_objection(&self, address: IpAddr, slot: &Slot) -> Option<(ObjectKey, Objection)> {
        let key = &self.service.key;
        let mut earlier: Vec<ObjectKey> = Vec::new();
        let holders = slot.object.iter().flat_map(|object| object.holders());
        let mut is_holder = false;
        for holder in holders {
            if holder.key == *key {
                is_holder = true;
                break;
            }
            earlier.push(holder.key.clone());
        }
        if !is_holder {
            earlier.extend(slot.claims.iter().map(|claim| claim.service.clone()).filter(|it| it != key));
        }
        if slot.bound().is_none() {
            // Nobody has an object, so the older Service was there first.
            let age = |key: &ObjectKey| self.ledger.services.get(key).map(|it| it.service.created);
            let came_before = |other: &&ObjectKey| (age(other), *other) < (age(key), key);
            earlier.extend(slot.published.iter().filter(came_before).cloned());
        }
        earlier.into_iter().find_map(|other| {
            let objection = self.objection_of(&other, address)?;
            Some((other, objection))
        })
    }

    /// What speaks against it that this Service shares the address with `other`. Nothing if that is gone: it is about to
    /// lose it.
    pub(super) fn objection_of(&self, other: &ObjectKey, address: IpAddr) -> Option<Objection> {
        let known = self.ledger.services.get(other)?;
        let this = self.known.sharer()?;
        let Some(sharer) = known.sharer().filter(|_| {
            known.service.load_balancer.as_ref().is_some_and(|it| self.ledger.config.is_ours(it))
        }) else {
            return Some(Objection::Key);
        };
        let pool = self.ledger.pools.of(address);
        let any_namespace = pool.is_some_and(|pool| pool.record.sharing == Sharing::AnyNamespace);
        this.objection(&sharer, any_namespace)
    }

    /// Name of the pool that an address is of; empty if it is of none.
    pub(super) fn pool_of(&self, address: IpAddr) -> Istr {
        let object = self.ledger.slots.get(address).and_then(Slot::bound);
        let pool = self.ledger.pools.of(address).map(|pool| pool.name().clone());
        pool.or_else(|| object.map(|object| object.spec.pool.clone())).unwrap_or_default()
    }

    /// Does it ask for this address, or for its pool?
    pub(super) fn asks_for(&self, address: IpAddr) -> bool {
        self.known.wish.address(Family::of(address)) == Some(address)
            || self.known.wish.pool.as_ref() == Some(&self.pool_of(address))
    }

    pub(super) fn verdict(&self, holding: &Holding<'_>) -> Verdict {
        let address = holding.address;
        let wish = &self.known.wish;
        if probing::conflict(holding.slot).is_some() {
            return Verdict::InConflict;
        }
        if wish.address(Family::of(address)).is_some_and(|wished| wished != address)
            || wish.pool.as_ref().is_some_and(|pool| *pool != self.pool_of(address))
        {
            return Verdict::Unwanted;
        }
        if let Some((other, objection)) = self.first_objection(address, holding.slot) {
            return Verdict::Unsharable(other, objection);
        }
        if self.asks_for(address) {
            return Verdict::Good;
        }
        match self.misplaced(address) {
            Some(why) => Verdict::Misplaced(why),
            None => Verdict::Good,
        }
    }

    fn misplaced(&self, address: IpAddr) -> Option<Misplaced> {
        let Some(pool) = self.ledger.pools.of(address) else {
            // With the whole pool gone, nobody has decided that it should go.
            let pool = self.pool_of(address);
            return self.ledger.pools.get(&pool).map(|_| Misplaced::OutsidePool);
        };
        if pool.record.drain {
            return Some(Misplaced::Draining);
        }
        let labels = self.ledger.namespace_labels(&self.service.key.namespace);
        let is_for_it =
            pool.is_for(self.service, &labels) || self.ledger.is_reserved_for(address, self.service);
        (!is_for_it).then_some(Misplaced::NotForService)
    }
}
