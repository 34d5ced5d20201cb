//! Plans of what is no Service: addresses that nobody has, pools, reservations.

use std::net::IpAddr;
use std::sync::Arc;

use fairlead_objects::{Family, Istr, ObjectKey};
use jiff::Timestamp;

use super::{Known, Ledger, Slot};
use crate::action::{Action, AddressPlan, Guard, ReservationPlan};
use crate::pool_status::pool_status;
use crate::records::{Pool, PoolStatus, Reservation, ReservedFor};
use crate::reservation_status::reservation_status;
use crate::reservations::Problem;
use crate::words;

impl Ledger {
    /// Plans the object of an address whose speaker is lost, or that no Service has: it has cooled down, or names nobody.
    pub fn plan_address(&mut self, address: IpAddr, now: Timestamp) -> AddressPlan {
        self.refresh();
        let Some(slot) = self.slots.get(address) else { return AddressPlan::default() };
        if let Some(object) = slot.bound()
            && let Some(answering) = &object.answering
            && let Some(absence) = self.absence_of(answering)
        {
            let message = words::speaker_lost(answering, absence);
            let silence = Action::Silence { current: Arc::clone(object), message, now };
            return AddressPlan { actions: vec![silence], wait: None };
        }
        let Some(object) = slot.object.as_ref().filter(|object| object.holders().is_empty()) else {
            return AddressPlan::default();
        };
        // Whoever names it in a status takes it over, or has a reason not to.
        if !slot.claims.is_empty() || !slot.published.is_empty() {
            return AddressPlan::default();
        }
        if let Some(until) = object.cooling_until.filter(|until| *until > now) {
            return AddressPlan { actions: Vec::new(), wait: Some(until) };
        }
        let delete = Action::Delete { current: Arc::clone(object), guard: Guard::Nothing };
        AddressPlan { actions: vec![delete], wait: None }
    }

    /// The status that a pool should have; `None` if there is no such pool or it has that already.
    pub fn plan_pool(&mut self, name: &Istr, now: Timestamp) -> Option<(Arc<Pool>, PoolStatus)> {
        self.refresh();
        let pool = self.pools.get(name)?;
        // The newest record: what was compiled may have an older version and status.
        let record = self.pool_records.get(name)?;
        let status = pool_status(pool, record, self.accounts.get(name)?, now);
        (status != record.status).then(|| (Arc::clone(record), status))
    }

    /// The status that a reservation should have; `None` if there is no such reservation or it has that already. What it
    /// picks is held for it from now on.
    pub fn plan_reservation(&mut self, key: &ObjectKey, now: Timestamp) -> Option<ReservationPlan> {
        self.refresh();
        let reservation = Arc::clone(self.reservations.get(key)?);
        let unmet = self.pick_for(key);
        let status = reservation_status(self, &reservation, unmet, now);
        (status != reservation.status).then_some(ReservationPlan { reservation, status })
    }

    /// The plan of this reservation has been carried out, or given up, and the ledger has been shown the answer.
    pub fn settle_reservation(&mut self, key: &ObjectKey) {
        if self.picked.remove(key).is_some() {
            self.grants_are_stale = true;
        }
    }

    /// Picks addresses for a reservation that names only a pool, one of each family that the pool has, and holds them. What
    /// cannot be picked, and why.
    fn pick_for(&mut self, key: &ObjectKey) -> Vec<Problem> {
        let Some(reservation) = self.reservations.get(key).filter(|it| it.addresses.is_empty()) else {
            return Vec::new();
        };
        let Some(pool) = reservation.pool.as_ref().and_then(|name| self.pools.get(name)) else {
            return Vec::new();
        };
        if !pool.is_for_namespace(&key.namespace, &self.namespace_labels(&key.namespace)) {
            return vec![Problem::NotForNamespace(pool.name().clone())];
        }
        let grant = self.grants.of(key).cloned().unwrap_or_default();
        let is_usable = |address: &&IpAddr| self.in_the_way(reservation, **address).is_none();
        let mut addresses: Vec<IpAddr> = grant.addresses.iter().filter(is_usable).copied().collect();
        let mut problems = Vec::new();
        let mut picked = 0;
        for family in [Family::V4, Family::V6] {
            if pool.capacity(family) == 0 || addresses.iter().any(|address| Family::of(*address) == family) {
                continue;
            }
            if let Some(address) = self.has_already(reservation, pool.name(), family) {
                addresses.push(address);
                picked += 1;
                continue;
            }
            let account = self.accounts.get(pool.name());
            let used = account.map_or(0, |account| account.usage().of(&key.namespace));
            if let Some(quota) = pool.record.quota_per_namespace.filter(|quota| used + picked >= *quota) {
                problems.push(Problem::Quota { pool: pool.name().clone(), quota });
                continue;
            }
            match crate::plan::next_free(pool, account.map(|it| it.free(family)), family, key) {
                Some(address) => {
                    addresses.push(address);
                    picked += 1;
                }
                None => problems.push(Problem::Exhausted { pool: pool.name().clone(), family }),
            }
        }
        if picked > 0 {
            self.picked.insert(key.clone(), addresses);
            self.grants_are_stale = true;
            self.refresh();
        }
        problems
    }

    /// A Service for which the reservation is not and that has this address. One that is gone is about to lose it.
    pub(crate) fn in_the_way(&self, reservation: &Reservation, address: IpAddr) -> Option<ObjectKey> {
        let services = self.slots.get(address).map(Slot::services).unwrap_or_default();
        let is_other =
            |key: &ObjectKey| self.services.get(key).is_some_and(|it| !reservation.is_for(&it.service));
        services.into_iter().find(is_other)
    }

    /// An address of this pool that a Service has for which the reservation is: it is to keep that one.
    fn has_already(&self, reservation: &Reservation, pool: &Istr, family: Family) -> Option<IpAddr> {
        let is_for = |known: &&Known| reservation.is_for(&known.service);
        let mut services: Vec<&ObjectKey> = match &reservation.service {
            ReservedFor::Name(name) => {
                let key = ObjectKey { namespace: reservation.key.namespace.clone(), name: name.clone() };
                self.services.get(&key).into_iter().map(|known| &known.service.key).collect()
            }
            ReservedFor::Selector(_) => {
                self.services.values().filter(is_for).map(|known| &known.service.key).collect()
            }
        };
        services.sort();
        services.into_iter().flat_map(|service| self.slots.of_service(service)).copied().find(|address| {
            Family::of(*address) == family
                && self.grants.holder(*address).is_none()
                && self.pools.of(*address).is_some_and(|it| it.name() == pool && it.is_assignable(*address))
        })
    }
}
