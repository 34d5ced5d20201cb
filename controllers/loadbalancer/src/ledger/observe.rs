//! What is observed, and whom it concerns.

use std::net::IpAddr;
use std::sync::Arc;

use fairlead_objects::{
    Family, Istr, Labels, LoadBalancer, Node, ObjectKey, Presence, ResourceVersion, Service,
};
use jiff::Timestamp;
use smallvec::SmallVec;

use super::slot::{Slot, Summary, Use};
use super::waiting::Topic;
use super::{Known, Ledger, MetalLb};
use crate::plan::shortened;
use crate::records::{Address, Announcement, Pool, Reservation};
use crate::wish::Wish;

/// Is `new` older than what is known? What cannot be compared is taken for newer. The versions of one kind can be compared
/// whatever the object, so an object of the same name that is gone does not come back.
fn is_older(new: &ResourceVersion, known: &ResourceVersion) -> bool {
    new != known && known.reaches(new) == Some(true)
}

impl Ledger {
    /// A pool was seen.
    pub fn put_pool(&mut self, pool: &Arc<Pool>) {
        let name = &pool.key.name;
        let known = self.pool_records.get(name);
        if known.is_some_and(|known| is_older(&pool.version, &known.version)) {
            return;
        }
        self.marks.pools.insert(name.clone());
        self.pools_are_stale |= known.is_none_or(|known| !known.same_spec(pool));
        self.pool_records.insert(name.clone(), Arc::clone(pool));
    }

    /// A pool is gone.
    pub fn remove_pool(&mut self, name: &Istr) {
        self.pools_are_stale |= self.pool_records.remove(name).is_some();
    }

    /// The object of an address was seen.
    pub fn put_address(&mut self, address: &Arc<Address>) {
        let known = self.slots.get(address.address).and_then(|slot| slot.object.as_ref());
        if known.is_some_and(|known| is_older(&address.version, &known.version)) {
            return;
        }
        if let Some(answering) = &address.answering
            && known.is_none_or(|known| known.answering.as_ref() != Some(answering))
        {
            self.speakers.heard(&answering.node);
        }
        if address.holders().is_empty() {
            self.marks.addresses.insert(address.address);
        }
        self.change(address.address, |slot| slot.object = Some(Arc::clone(address)));
    }

    /// The object of an address is gone. One with another UID than that of `address` stays.
    pub fn remove_address(&mut self, address: &Address) {
        let known = self.slots.get(address.address).and_then(|slot| slot.object.as_ref());
        if known.is_some_and(|known| known.uid == address.uid) {
            self.change(address.address, |slot| slot.object = None);
        }
    }

    /// A reservation was seen.
    pub fn put_reservation(&mut self, reservation: &Arc<Reservation>) {
        let key = &reservation.key;
        let known = self.reservations.get(key);
        if known.is_some_and(|it| is_older(&reservation.version, &it.version)) {
            return;
        }
        self.marks.reservations.insert(key.clone());
        let same = known
            .is_some_and(|known| known.same_spec(reservation) && !self.told_hold_matters(known, reservation));
        self.grants_are_stale |= !same;
        let other_service = known.is_some_and(|known| known.service != reservation.service);
        self.reservations.insert(key.clone(), Arc::clone(reservation));
        // It may hold what it held, and for somebody else.
        if other_service {
            self.wake_all();
        }
    }

    /// Has it been told that it holds something else than before, and does that decide what it holds? It does where it names
    /// only a pool, and where a quota is: what it has been told that it holds is not taken from it.
    fn told_hold_matters(&self, before: &Reservation, after: &Reservation) -> bool {
        let (before, told) = (&before.status.addresses, &after.status.addresses);
        let has_quota = |address: &IpAddr| {
            self.pools.around(*address).is_some_and(|pool| pool.record.quota_per_namespace.is_some())
        };
        before != told && (after.addresses.is_empty() || before.iter().chain(told).any(has_quota))
    }

    /// A reservation is gone.
    pub fn remove_reservation(&mut self, key: &ObjectKey) {
        self.picked.remove(key);
        self.grants_are_stale |= self.reservations.remove(key).is_some();
    }

    /// A `Layer2Announcement` was seen.
    pub fn put_announcement(&mut self, announcement: &Arc<Announcement>) {
        self.announcements.insert(announcement.key.name.clone(), Arc::clone(announcement));
        self.mark_all_holders();
    }

    /// A `Layer2Announcement` is gone.
    pub fn remove_announcement(&mut self, name: &Istr) {
        if self.announcements.remove(name).is_some() {
            self.mark_all_holders();
        }
    }

    /// A namespace was seen.
    pub fn put_namespace(&mut self, name: &Istr, labels: &Labels) {
        if self.namespaces.insert(name.clone(), labels.clone()).as_ref() != Some(labels) {
            self.namespace_changed(name);
        }
    }

    /// A namespace is gone.
    pub fn remove_namespace(&mut self, name: &Istr) {
        if self.namespaces.remove(name).is_some() {
            self.namespace_changed(name);
        }
    }

    fn namespace_changed(&mut self, name: &Istr) {
        self.mark_reservations_in(name);
        self.grants_are_stale = true;
        let services = self.services.iter().filter(|(key, known)| {
            key.namespace == *name && known.service.load_balancer.as_ref().is_some_and(|it| it.wanted)
        });
        self.marks.services.extend(services.map(|(key, _)| key.clone()));
    }

    /// A Node was seen: nobody is given its addresses, and it may answer for others.
    pub fn put_node(&mut self, node: &Arc<Node>) {
        let before = self.nodes.insert(node.key.name.clone(), Arc::clone(node));
        let addresses = before.as_ref().map_or(&[][..], |before| &*before.addresses);
        self.node_addresses_changed(addresses, &node.addresses);
        let rules = |node: &Node| (node.labels.clone(), node.out_of_service);
        if before.is_none_or(|before| rules(&before) != rules(node)) {
            self.mark_unanswered();
        }
    }

    /// A Node is gone.
    pub fn remove_node(&mut self, name: &Istr) {
        if let Some(before) = self.nodes.remove(name) {
            self.node_addresses_changed(&before.addresses, &[]);
            self.mark_unanswered();
        }
    }

    /// The Lease of a speaker was seen.
    pub fn put_presence(&mut self, presence: &Arc<Presence>) {
        let known = self.speakers.lease(&presence.key.name);
        if known.is_some_and(|known| is_older(&presence.version, &known.version)) {
            return;
        }
        if self.speakers.put(presence) {
            self.mark_unanswered();
        }
    }

    /// The Lease of a speaker is gone.
    pub fn remove_presence(&mut self, name: &Istr) {
        if self.speakers.remove(name) {
            self.mark_unanswered();
        }
    }

    /// What keeps nodes from answering changed: who has an address for which none does may be told something else.
    pub(super) fn mark_unanswered(&mut self) {
        if self.speakers.leases().next().is_none() {
            return;
        }
        let is_unanswered = |slot: &Slot| slot.bound().is_some_and(|object| object.answering.is_none());
        let slots = self.slots.iter().filter(|(_, slot)| is_unanswered(slot));
        self.marks.services.extend(slots.flat_map(|(_, slot)| slot.services()));
    }

    fn node_addresses_changed(&mut self, before: &[IpAddr], after: &[IpAddr]) {
        let mut changed = before
            .iter()
            .filter(|address| !after.contains(address))
            .chain(after.iter().filter(|address| !before.contains(address)));
        // Pools are compiled anew only for what lies in one.
        self.pools_are_stale |= changed.any(|address| self.pools.around(*address).is_some());
    }

    /// A `ServiceCIDR` was seen, with its `spec.cidrs`.
    pub fn put_service_cidr(&mut self, name: &Istr, cidrs: &[Istr]) {
        let before = self.service_cidrs.insert(name.clone(), cidrs.to_vec());
        self.pools_are_stale |= before.as_deref() != Some(cidrs);
    }

    /// A `ServiceCIDR` is gone.
    pub fn remove_service_cidr(&mut self, name: &Istr) {
        self.pools_are_stale |= self.service_cidrs.remove(name).is_some();
    }

    /// A MetalLB was seen to run, or not to.
    pub fn set_metallb(&mut self, metallb: Option<MetalLb>) {
        if self.metallb != metallb {
            self.metallb = metallb;
            let services = self.services.iter();
            let wanted =
                services.filter(|(_, it)| it.service.load_balancer.as_ref().is_some_and(|it| it.wanted));
            self.marks.services.extend(wanted.map(|(key, _)| key.clone()));
        }
    }

    /// A Service was seen, of whatever type. `now` counts for how long it has been waiting.
    pub fn put_service(&mut self, service: &Arc<Service>, now: Timestamp) {
        let key = &service.key;
        let known = self.services.get(key);
        if known.is_some_and(|known| is_older(&service.version, &known.service.version)) {
            return;
        }
        let known = known.filter(|known| known.service.uid == service.uid);
        let default = LoadBalancer::default();
        let load_balancer = service.load_balancer.as_deref().unwrap_or(&default);
        let (wish, wish_error) = Wish::read(load_balancer);
        let same_spec = known.is_some_and(|known| asks_the_same(&known.service, service));
        let heads = [Family::V4, Family::V6].map(|family| {
            let head = load_balancer.published().find(|address| Family::of(*address) == family)?;
            let before = known.and_then(|known| known.heads[family as usize]);
            Some(before.filter(|(address, _)| *address == head).unwrap_or((head, now)))
        });
        let since = known.filter(|_| same_spec).map_or(now, |known| known.since);
        let labels_changed = known.is_none_or(|known| known.service.labels != service.labels);
        // What somebody else's Service names is not ours to give away, either.
        let published: SmallVec<[IpAddr; 2]> =
            if load_balancer.wanted { load_balancer.published().collect() } else { SmallVec::new() };
        let known = Known { service: Arc::clone(service), wish, wish_error, since, heads };
        self.services.insert(key.clone(), known);
        self.publish(key, &published);
        if labels_changed {
            self.mark_reservations_in(&key.namespace);
        }
        if !same_spec {
            self.mark_sharers(key);
        }
        self.marks.services.insert(key.clone());
    }

    /// A Service is gone.
    pub fn remove_service(&mut self, key: &ObjectKey) {
        if self.services.remove(key).is_some() {
            self.publish(key, &[]);
            self.mark_reservations_in(&key.namespace);
            self.mark_sharers(key);
            self.marks.services.insert(key.clone());
        }
    }

    /// The status of this Service names these addresses, and no others.
    fn publish(&mut self, key: &ObjectKey, published: &[IpAddr]) {
        let names = |slot: &Slot| slot.published.contains(key);
        let before: SmallVec<[IpAddr; 2]> = self.slots.of_service(key).iter().copied().collect();
        let before = before.into_iter().filter(|it| self.slots.get(*it).is_some_and(names));
        let before: SmallVec<[IpAddr; 2]> = before.collect();
        for address in before.iter().filter(|address| !published.contains(address)) {
            self.change(*address, |slot| slot.published.retain(|it| it != key));
        }
        for address in published.iter().filter(|address| !before.contains(address)) {
            self.change(*address, |slot| {
                if !slot.published.contains(key) {
                    slot.published.push(key.clone());
                    slot.published.sort();
                }
            });
        }
    }

    fn mark_reservations_in(&mut self, namespace: &Istr) {
        let keys: Vec<ObjectKey> = self.reservations_in(namespace).map(|it| it.key.clone()).collect();
        self.marks.reservations.extend(keys);
    }

    /// Those that share an address with this Service, and those that would.
    fn mark_sharers(&mut self, key: &ObjectKey) {
        let addresses: SmallVec<[IpAddr; 2]> = self.slots.of_service(key).iter().copied().collect();
        for address in addresses {
            let services = self.slots.get(address).map(Slot::services).unwrap_or_default();
            self.marks.services.extend(services);
            self.wake(&Topic::Address(address));
        }
        let sharing_key = self.services.get(key).map(|known| shortened(&known.wish.sharing_key));
        if let Some(sharing_key) = sharing_key.filter(|it| !it.is_empty()) {
            self.wake(&Topic::SharingKey(sharing_key));
        }
    }

    pub(super) fn mark_all_holders(&mut self) {
        let holders = self.slots.iter().flat_map(|(_, slot)| slot.services());
        self.marks.services.extend(holders);
    }

    /// Changes what is known of an address, and marks whom that concerns.
    pub(super) fn change(&mut self, address: IpAddr, change: impl FnOnce(&mut Slot)) {
        let object = |ledger: &Self| ledger.slots.get(address).and_then(|slot| slot.object.clone());
        let object_before = object(self);
        let (before, after) = self.slots.change(address, change);
        self.enter(address, &before, &after);
        let object_after = object(self);
        let version =
            |object: &Option<Arc<Address>>| object.as_ref().map(|it| (it.uid.clone(), it.version.clone()));
        if version(&object_before) != version(&object_after) {
            self.marks.services.extend(before.services.iter().chain(&after.services).cloned());
        }
        if before != after {
            for key in [&before.sharing_key, &after.sharing_key].into_iter().filter(|key| !key.is_empty()) {
                self.wake(&Topic::SharingKey(key.clone()));
            }
            // Who names it and does not have it looks again.
            self.marks.services.extend(after.services.iter().cloned());
            self.wake(&Topic::Address(address));
        }
    }

    /// Changes what is known of an address because of a plan: whoever it is for knows.
    pub(super) fn change_quietly(&mut self, address: IpAddr, change: impl FnOnce(&mut Slot)) {
        let (before, after) = self.slots.change(address, change);
        self.enter(address, &before, &after);
        if before.usage != Use::Free && after.usage == Use::Free {
            self.wake(&Topic::Address(address));
        }
    }

    fn enter(&mut self, address: IpAddr, before: &Summary, after: &Summary) {
        if before == after {
            return;
        }
        if let Some(reservation) = self.grants.holder(address) {
            self.marks.reservations.insert(reservation.clone());
        }
        for pool in before.pool.iter().chain(&after.pool) {
            self.marks.pools.insert(pool.clone());
        }
        let Some((pool, entered)) = self.accounts.enter(&self.pools, address, before, after) else { return };
        if entered.given_back {
            self.grants_are_stale |= self.grants.wait_for_quota(&pool);
            let picks = |it: &&Arc<Reservation>| it.addresses.is_empty() && it.pool.as_ref() == Some(&pool);
            self.marks.reservations.extend(self.reservations.values().filter(picks).map(|it| it.key.clone()));
        }
        // What those who wait are told depends on whether it is the pool or the quota that is used up.
        if entered.given_back || entered.used_up {
            self.wake(&Topic::Pool(pool.clone()));
        }
        self.marks.pools.insert(pool);
    }

    pub(super) fn wake(&mut self, topic: &Topic) {
        self.marks.waited.extend(self.waiting.on(topic).map(|(place, key)| (place, key.clone())));
    }

    pub(super) fn wake_all(&mut self) {
        self.marks.waited.extend(self.waiting.all().map(|(place, key)| (place, key.clone())));
    }
}

/// Do both ask for the same? What is in the status does not count.
fn asks_the_same(one: &Service, other: &Service) -> bool {
    let comparable = |service: &Service| {
        let load_balancer = service.load_balancer.as_ref().map(|load_balancer| {
            let ingress = Vec::new();
            Box::new(LoadBalancer { ingress, condition: None, ..(**load_balancer).clone() })
        });
        (load_balancer, service.labels.clone(), service.selector.clone(), service.ip_families.clone())
    };
    one.terminating == other.terminating && comparable(one) == comparable(other)
}
