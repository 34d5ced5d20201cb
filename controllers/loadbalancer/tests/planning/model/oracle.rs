//! What has to be so, worked out without any of the planner's code or indexes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use fairlead_crds::{Requests, ReservationPhase, Sharing};
use fairlead_loadbalancer::records::{Pool, Reservation};
use fairlead_objects::{Family, FamilyPolicy, Istr, LoadBalancer, ObjectKey, Service};

use super::history::universe;
use crate::api::{Api, of_family};
use crate::world::{ADDRESSES, POOL, SHARE_WITH, SHARING_KEY};

/// What holds at every moment: nobody's address is cooling down or somebody else's in the object by whose creation it was
/// given.
pub(crate) fn check_always(api: &Api) {
    for (address, object) in &api.addresses {
        let mut names: Vec<_> = object.spec.services.iter().map(|holder| &holder.key).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), object.spec.services.len(), "{address} names a Service twice");
    }
}

/// What holds when all is quiet.
pub(crate) fn check(api: &Api) {
    let model = Model::new(api);
    for (key, service) in &api.services {
        model.check_service(key, service);
    }
    model.check_addresses();
    model.check_reservations();
    model.check_pools();
}

/// Addresses that are held for reservations and that nobody has, with whom they are for.
pub(crate) fn held(api: &Api) -> BTreeMap<IpAddr, Arc<Reservation>> {
    let mut held = BTreeMap::new();
    for reservation in api.reservations.values() {
        for address in &reservation.status.addresses {
            if !api.services.keys().any(|key| api.published(key).contains(address)) {
                held.insert(*address, Arc::clone(reservation));
            }
        }
    }
    held
}

/// Nobody has got meanwhile what is held for somebody else. Who was restored with it in the status keeps it.
pub(crate) fn check_still_held(api: &Api, held: &BTreeMap<IpAddr, Arc<Reservation>>, restored: &[ObjectKey]) {
    for (key, service) in &api.services {
        for address in api.published(key) {
            if let Some(reservation) = held.get(&address) {
                let allowed = reservation.is_for(service) || restored.contains(key) && is_left_alone(service);
                assert!(allowed, "{key} has {address}, which is held for {}", reservation.key);
            }
        }
    }
}

struct Model<'a> {
    api: &'a Api,
    /// Which pool gives out which address, by the rules.
    pool_of: BTreeMap<IpAddr, &'a Pool>,
    /// Which reservation has which address, as their status tells.
    reserved: BTreeMap<IpAddr, &'a Reservation>,
}

fn load_balancer(service: &Service) -> &LoadBalancer {
    service.load_balancer.as_ref().unwrap()
}

/// Does another implementation serve it?
fn is_left_alone(service: &Service) -> bool {
    let load_balancer = load_balancer(service);
    load_balancer.condition.is_none() && !load_balancer.ingress.is_empty()
}

fn annotation<'a>(service: &'a Service, key: &str) -> Option<&'a str> {
    load_balancer(service).annotations.get(key).map(Istr::as_str)
}

fn is_in_range(part: &str, address: IpAddr) -> bool {
    let (first, last) = part.split_once('-').unwrap();
    let (first, last): (IpAddr, IpAddr) = (first.parse().unwrap(), last.parse().unwrap());
    Family::of(first) == Family::of(address) && (first..=last).contains(&address)
}

fn overlap(one: &str, other: &str) -> bool {
    universe().into_iter().any(|address| is_in_range(one, address) && is_in_range(other, address))
}

impl<'a> Model<'a> {
    fn new(api: &'a Api) -> Self {
        let mut pools: Vec<&Pool> = api.pools.values().map(|pool| &**pool).collect();
        pools.sort_by_key(|pool| (pool.created, pool.key.clone()));
        let mut parts: Vec<(&Pool, &str)> = Vec::new();
        for pool in pools {
            for part in &pool.addresses {
                let taken = parts.iter().any(|(other, it)| other.key != pool.key && overlap(it, part));
                if !taken {
                    parts.push((pool, part));
                }
            }
        }
        let mut pool_of = BTreeMap::new();
        for address in universe() {
            if let Some((pool, _)) = parts.iter().find(|(_, part)| is_in_range(part, address)) {
                pool_of.insert(address, *pool);
            }
        }
        let mut reserved = BTreeMap::new();
        for reservation in api.reservations.values() {
            for address in &reservation.status.addresses {
                let before = reserved.insert(*address, &**reservation);
                assert!(before.is_none(), "{address} is held for two reservations");
            }
        }
        Self { api, pool_of, reserved }
    }

    fn is_given_out(&self, address: IpAddr) -> bool {
        let Some(pool) = self.pool_of.get(&address) else { return false };
        let is_node = self.api.nodes.values().any(|node| node.addresses.contains(&address));
        !is_node && !pool.exclude.iter().any(|part| is_in_range(part, address))
    }

    fn is_for(&self, pool: &Pool, namespace: &str) -> bool {
        let Some(allocation) = &pool.service_allocation else { return true };
        let labels = self.api.namespaces.get(&namespace.into()).cloned().unwrap_or_default();
        allocation.namespaces.iter().any(|it| it == namespace)
            || allocation.namespace_selectors.iter().any(|selector| selector.matches(&labels))
    }

    fn holders(&self, address: IpAddr) -> Vec<&'a Service> {
        let object = self.api.addresses.get(&address).filter(|object| object.cooling_until.is_none());
        let names = object.map(|object| object.spec.services.clone()).unwrap_or_default();
        names.iter().filter_map(|holder| self.api.services.get(&holder.key)).map(|it| &**it).collect()
    }

    fn check_service(&self, key: &ObjectKey, service: &Service) {
        let load_balancer = load_balancer(service);
        let published = self.api.published(key);
        if !load_balancer.wanted {
            assert!(published.is_empty() && load_balancer.condition.is_none(), "{key} is no load balancer");
            return;
        }
        if is_left_alone(service) {
            return;
        }
        let condition = load_balancer.condition.as_ref().unwrap_or_else(|| panic!("{key} has no condition"));
        for address in &published {
            let object = self.api.addresses.get(address);
            let named = object.is_some_and(|it| {
                it.cooling_until.is_none() && it.spec.services.iter().any(|holder| holder.uid == service.uid)
            });
            assert!(named, "{key} has {address}, which is not its own: {object:?}");
            assert!(service.ip_families.contains(&Family::of(*address)), "{key} has {address}");
            assert!(condition.message.contains(&address.to_string()), "{key}: {}", condition.message);
        }
        for family in [Family::V4, Family::V6] {
            let of_family = of_family(&published, family);
            assert!(of_family.len() <= 1, "{key} has {of_family:?}");
            if of_family.is_empty() && service.ip_families.contains(&family) {
                self.check_missing(key, service, family, &published);
            }
        }
        for family in &service.ip_families {
            self.check_wish(key, service, *family, &published);
        }
    }

    /// A Service that asks for an address and does not have it could not have it.
    fn check_wish(&self, key: &ObjectKey, service: &Service, family: Family, published: &[IpAddr]) {
        let asked = annotation(service, ADDRESSES).and_then(|text| text.parse::<IpAddr>().ok());
        let Some(asked) = asked.filter(|it| Family::of(*it) == family && !published.contains(it)) else {
            return;
        };
        let require = load_balancer(service).family_policy == FamilyPolicy::RequireDualStack;
        if require && published.is_empty() {
            return;
        }
        let why = load_balancer(service).condition.as_ref().map(|it| it.message.to_string());
        assert!(!self.could_have(service, asked, true), "{key} asks for {asked} and could have it: {why:?}");
    }

    /// A Service that has no address of a family could not have one.
    fn check_missing(&self, key: &ObjectKey, service: &Service, family: Family, published: &[IpAddr]) {
        let text = annotation(service, ADDRESSES);
        let asked = text.and_then(|text| text.parse::<IpAddr>().ok());
        if text.is_some() && asked.is_none() {
            return;
        }
        if asked.is_some_and(|asked| {
            !service.ip_families.contains(&Family::of(asked)) || Family::of(asked) == family
        }) {
            return;
        }
        let candidates: Vec<IpAddr> = universe()
            .into_iter()
            .filter(|address| Family::of(*address) == family && self.could_have(service, *address, false))
            .collect();
        if candidates.is_empty() {
            return;
        }
        // Both or nothing: the other family may be what is missing.
        let policy = load_balancer(service).family_policy;
        if policy == FamilyPolicy::RequireDualStack && published.is_empty() {
            let other = if family == Family::V4 { Family::V6 } else { Family::V4 };
            let of_other: Vec<IpAddr> = universe()
                .into_iter()
                .filter(|address| Family::of(*address) == other)
                .filter(|address| asked.is_none_or(|asked| Family::of(asked) != other || asked == *address))
                .filter(|address| self.could_have(service, *address, asked == Some(*address)))
                .collect();
            let both = candidates
                .iter()
                .any(|one| of_other.iter().any(|two| self.quota_allows(service, &[*one, *two])));
            if !both {
                return;
            }
        }
        let why = load_balancer(service).condition.as_ref().map(|it| it.message.to_string());
        panic!("{key} has no {family:?} address and could have one of {candidates:?}: {why:?}");
    }

    /// Could a Service have this address, as far as everybody else is concerned?
    fn could_have(&self, service: &Service, address: IpAddr, asked_for: bool) -> bool {
        let Some(pool) = self.pool_of.get(&address).filter(|_| self.is_given_out(address)) else {
            return false;
        };
        let reservation = self.reserved.get(&address);
        let is_reserved = reservation.is_some_and(|it| it.is_for(service));
        if reservation.is_some() && !is_reserved || pool.drain {
            return false;
        }
        let named = annotation(service, POOL);
        if named.is_some_and(|named| pool.key.name != named) {
            return false;
        }
        let is_permitted = self.is_for(pool, &service.key.namespace)
            && if asked_for {
                pool.requests == Requests::Allowed
            } else {
                named.is_some() || pool.auto_assign
            };
        if !is_reserved && !is_permitted {
            return false;
        }
        if let Some(object) = self.api.addresses.get(&address) {
            if object.cooling_until.is_some() {
                return is_reserved && self.quota_allows(service, &[address]);
            }
            let others: Vec<&Service> =
                self.holders(address).into_iter().filter(|other| other.key != service.key).collect();
            if others.iter().any(|other| !shares(service, other, pool)) {
                return false;
            }
        }
        self.is_named_by_others(service, address) && self.quota_allows(service, &[address])
    }

    /// Does nobody who is left alone name it?
    fn is_named_by_others(&self, service: &Service, address: IpAddr) -> bool {
        let mut others = self.api.services.iter().filter(|(key, _)| **key != service.key);
        !others.any(|(key, other)| is_left_alone(other) && self.api.published(key).contains(&address))
    }

    fn quota_allows(&self, service: &Service, addresses: &[IpAddr]) -> bool {
        let namespace = &service.key.namespace;
        self.api.pools.values().all(|pool| {
            let Some(quota) = pool.quota_per_namespace else { return true };
            let in_pool = |address: &IpAddr| {
                self.pool_of.get(address).is_some_and(|it| it.key == pool.key)
                    && !pool.exclude.iter().any(|part| is_in_range(part, *address))
            };
            let mut used: Vec<IpAddr> = Vec::new();
            for (key, other) in &self.api.services {
                if key.namespace == *namespace && load_balancer(other).wanted {
                    used.extend(self.api.published(key));
                }
            }
            let reserved = self.reserved.iter().filter(|(_, it)| it.key.namespace == *namespace);
            used.extend(reserved.map(|(address, _)| *address));
            let more: Vec<&IpAddr> =
                addresses.iter().filter(|address| in_pool(address) && !used.contains(address)).collect();
            // What it gives up for that is not counted; so this is the least that there is.
            let own = self.api.published(&service.key);
            used.retain(|address| in_pool(address) && !own.contains(address));
            used.sort();
            used.dedup();
            let own_stays = own.iter().filter(|it| in_pool(it)).count();
            more.is_empty() || used.len() + own_stays + more.len() <= quota as usize
        })
    }

    /// No object is left that nobody has, and nobody shares who should not.
    fn check_addresses(&self) {
        for (address, object) in &self.api.addresses {
            if let Some(until) = object.cooling_until {
                assert!(until > self.api.now, "{address} has cooled down and is still there");
                continue;
            }
            assert!(!object.spec.services.is_empty(), "nobody has {address}");
            for holder in &object.spec.services {
                let service = self.api.services.get(&holder.key);
                let service = service.unwrap_or_else(|| panic!("{address} is leaked to {holder:?}"));
                assert_eq!(service.uid, holder.uid, "{address} is leaked to a former {}", holder.key);
                let published = self.api.published(&holder.key);
                assert!(published.contains(address), "{address} is leaked: {} has {published:?}", holder.key);
            }
            let Some(pool) = self.pool_of.get(address) else { continue };
            let holders = self.holders(*address);
            for (at, one) in holders.iter().enumerate() {
                for other in &holders[..at] {
                    let condition = load_balancer(one).condition.as_ref();
                    // Who has no other place stays, and says so.
                    let told =
                        condition.is_some_and(|it| !["Assigned", "Announced"].contains(&it.reason.as_str()));
                    assert!(shares(one, other, pool) || told, "{address}: {} and {}", one.key, other.key);
                }
            }
        }
        for (key, service) in &self.api.services {
            for address in self.api.published(key) {
                if load_balancer(service).wanted && !is_left_alone(service) {
                    assert!(
                        self.api.addresses.contains_key(&address),
                        "{key} has {address} without an object"
                    );
                }
            }
        }
    }

    fn check_reservations(&self) {
        for (address, reservation) in &self.reserved {
            assert!(
                self.is_given_out(*address),
                "{address} is held for {} and not given out",
                reservation.key
            );
            let others = self.holders(*address).into_iter().any(|service| !reservation.is_for(service));
            if others {
                assert_eq!(reservation.status.phase, ReservationPhase::Conflict, "{}", reservation.key);
            }
        }
        for (key, reservation) in &self.api.reservations {
            let accepted = &reservation.status.conditions[0];
            assert_eq!(accepted.kind, "Accepted");
            for address in &reservation.addresses {
                let held = self.reserved.get(address).is_some_and(|it| it.key == *key);
                assert!(held || !accepted.status, "{address} is not held for {key}");
                if self.is_given_out(*address) && self.is_for(self.pool_of[address], &key.namespace) && !held
                {
                    let quota = self.pool_of[address].quota_per_namespace.is_some();
                    assert!(
                        quota || self.reserved.contains_key(address),
                        "{address} could be held for {key}"
                    );
                }
            }
        }
    }

    fn check_pools(&self) {
        let count = |number: usize| i64::try_from(number).unwrap();
        for pool in self.api.pools.values() {
            let given_out: Vec<IpAddr> = universe()
                .into_iter()
                .filter(|address| self.pool_of.get(address).is_some_and(|it| it.key == pool.key))
                .filter(|address| self.is_given_out(*address))
                .collect();
            for (family, usage) in [(Family::V4, pool.status.ipv4), (Family::V6, pool.status.ipv6)] {
                let of_family = of_family(&given_out, family);
                let usage = usage.unwrap_or_default();
                let taken = |address: &&IpAddr| {
                    self.api.addresses.contains_key(*address)
                        || self.reserved.contains_key(*address)
                        || self.api.services.iter().any(|(key, service)| {
                            load_balancer(service).wanted && self.api.published(key).contains(address)
                        })
                };
                let free = of_family.iter().filter(|address| !taken(address)).count();
                assert_eq!(usage.capacity, count(of_family.len()), "{}", pool.key);
                assert_eq!(usage.free, count(free), "free {family:?} of pool {}", pool.key);
                let cooling = of_family
                    .iter()
                    .filter(|it| self.api.addresses.get(*it).is_some_and(|it| it.cooling_until.is_some()))
                    .count();
                assert!(usage.cooling <= count(cooling), "{}", pool.key);
            }
        }
    }
}

fn shares(one: &Service, other: &Service, pool: &Pool) -> bool {
    let (a, b) = (load_balancer(one), load_balancer(other));
    let key = annotation(one, SHARING_KEY);
    let agrees = |service: &Service| annotation(service, SHARE_WITH) == Some("*");
    key.is_some()
        && key == annotation(other, SHARING_KEY)
        && !a.ports.iter().any(|port| b.ports.contains(port))
        && a.local == b.local
        && (!a.local || one.selector == other.selector)
        && (one.key.namespace == other.key.namespace
            || pool.sharing == Sharing::AnyNamespace
            || (agrees(one) && agrees(other)))
}
