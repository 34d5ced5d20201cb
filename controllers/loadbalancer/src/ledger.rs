//! Who has which address, who wants what, who waits.

mod accounts;
mod observe;
mod refresh;
mod slot;
mod speakers;
mod upkeep;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fairlead_crds::names::LOAD_BALANCER_CLASS;
use fairlead_objects::{Family, Istr, Labels, LoadBalancer, Node, ObjectKey, Service};
use hashbrown::HashMap;
use jiff::Timestamp;
use smallvec::SmallVec;

use crate::action::Plan;
use crate::plan;
use crate::pools::Pools;
use crate::records::{Announcement, Pool, Reservation};
use crate::reservations::Grants;
use crate::sharing::Sharer;
use crate::wish::{Wish, WishError};

pub(crate) use accounts::{Account, Accounts};
use slot::Claim;
pub(crate) use slot::{Slot, Slots};
pub(crate) use speakers::Absence;
use speakers::Speakers;
pub(crate) use waiting::Topic;
use waiting::Waiting;

/// What flags decide.
#[derive(Clone, Debug)]
pub struct Config {
    /// `--load-balancer-class`: exactly the Services of this class are ours. Without: those that have none, and those of
    /// `fairlead.dev/layer2`.
    pub class: Option<Istr>,
    /// `--pool-drain-overlap`: how long an address that is left behind stays published beside the new one, where nobody
    /// reports whether the new one is announced.
    pub drain_overlap: Duration,
}

impl Config {
    /// Is a Service of this type and class ours, if nobody else serves it?
    pub(crate) fn is_ours(&self, load_balancer: &LoadBalancer) -> bool {
        load_balancer.wanted
            && match (&self.class, &load_balancer.class) {
                (Some(ours), class) => class.as_ref() == Some(ours),
                (None, Some(class)) => *class == LOAD_BALANCER_CLASS,
                (None, None) => true,
            }
    }
}

/// A MetalLB that runs in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetalLb {
    /// Does it serve Services without a class?
    pub serves_classless: bool,
}

/// Whom the changes since the last look concern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// Services to be planned: those that have waited longest first, then the others by key.
    pub services: Vec<ObjectKey>,
    /// Addresses to be planned by [`Ledger::plan_address`].
    pub addresses: Vec<IpAddr>,
    /// Pools whose status is to be looked at.
    pub pools: Vec<Istr>,
    /// Reservations to be planned.
    pub reservations: Vec<ObjectKey>,
}

/// What is known, and what follows from it. It is fed with observations and with the answers to our own writes, in any order;
/// an object whose version is older than the known one is not taken.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) config: Config,
    pool_records: BTreeMap<Istr, Arc<Pool>>,
    pub(crate) announcements: BTreeMap<Istr, Arc<Announcement>>,
    namespaces: HashMap<Istr, Labels>,
    pub(crate) nodes: BTreeMap<Istr, Arc<Node>>,
    speakers: Speakers,
    service_cidrs: BTreeMap<Istr, Vec<Istr>>,
    pub(crate) services: HashMap<ObjectKey, Known>,
    pub(crate) reservations: BTreeMap<ObjectKey, Arc<Reservation>>,
    pub(crate) metallb: Option<MetalLb>,
    pub(crate) pools: Pools,
    pub(crate) slots: Slots,
    pub(crate) accounts: Accounts,
    pub(crate) grants: Grants,
    /// What was picked for reservations that name only a pool, until it is in their status.
    picked: HashMap<ObjectKey, Vec<IpAddr>>,
    /// Addresses that Services in work are being given.
    claims: HashMap<ObjectKey, SmallVec<[IpAddr; 2]>>,
    waiting: Waiting,
    marks: Marks,
    pools_are_stale: bool,
    grants_are_stale: bool,
}

/// A Service, and what follows from it alone.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) service: Arc<Service>,
    pub(crate) wish: Wish,
    pub(crate) wish_error: Option<WishError>,
    /// When it was first seen as it is, its status apart.
    pub(crate) since: Timestamp,
    /// The first address of each family in its status, and when that was first seen.
    pub(crate) heads: [Option<(IpAddr, Timestamp)>; 2],
}

impl Known {
    /// What decides with whom it may share; nothing if it is no load balancer.
    pub(crate) fn sharer(&self) -> Option<Sharer<'_>> {
        let load_balancer = self.service.load_balancer.as_deref().filter(|it| it.wanted)?;
        Some(Sharer::new(&self.service, load_balancer, &self.wish))
    }
}

/// Whom changes concern, until somebody asks.
#[derive(Debug, Default)]
struct Marks {
    services: BTreeSet<ObjectKey>,
    waited: BTreeMap<u64, ObjectKey>,
    addresses: BTreeSet<IpAddr>,
    pools: BTreeSet<Istr>,
    reservations: BTreeSet<ObjectKey>,
}

impl Ledger {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            pool_records: BTreeMap::new(),
            announcements: BTreeMap::new(),
            namespaces: HashMap::new(),
            nodes: BTreeMap::new(),
            speakers: Speakers::default(),
            service_cidrs: BTreeMap::new(),
            services: HashMap::new(),
            reservations: BTreeMap::new(),
            metallb: None,
            pools: Pools::default(),
            slots: Slots::default(),
            accounts: Accounts::default(),
            grants: Grants::default(),
            picked: HashMap::new(),
            claims: HashMap::new(),
            waiting: Waiting::default(),
            marks: Marks::default(),
            pools_are_stale: false,
            grants_are_stale: false,
        }
    }

    /// Whom the changes since the last call concern.
    pub fn take_affected(&mut self) -> Affected {
        self.refresh();
        let Marks { mut services, waited, addresses, pools, reservations } = std::mem::take(&mut self.marks);
        let mut in_order = Vec::with_capacity(services.len() + waited.len());
        for key in waited.into_values() {
            services.remove(&key);
            in_order.push(key);
        }
        in_order.extend(services);
        Affected {
            services: in_order,
            addresses: addresses.into_iter().collect(),
            pools: pools.into_iter().collect(),
            reservations: reservations.into_iter().collect(),
        }
    }

    /// Plans a Service, or what one that is gone has left behind. The addresses that the plan gives to it are claimed, so
    /// that no other plan picks them, until [`Ledger::settle`].
    pub fn plan_service(&mut self, key: &ObjectKey, now: Timestamp) -> Plan {
        self.refresh();
        self.settle(key);
        let plan::Outcome { plan, claims, topics } = plan::plan(self, key, now);
        if let Some(known) = self.services.get(key)
            && !claims.is_empty()
        {
            let claim = Claim { service: key.clone(), sharing_key: plan::shortened(&known.wish.sharing_key) };
            for address in &claims {
                self.change_quietly(*address, |slot| slot.claims.push(claim.clone()));
            }
            self.claims.insert(key.clone(), claims);
        }
        self.waiting.set(key, topics);
        plan
    }

    /// The plan of this Service has been carried out, or given up, and the ledger has been shown the answers.
    pub fn settle(&mut self, key: &ObjectKey) {
        for address in self.claims.remove(key).into_iter().flatten() {
            self.change_quietly(address, |slot| slot.claims.retain(|claim| claim.service != *key));
        }
    }

    /// How many Services wait for something.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn namespace_labels(&self, namespace: &Istr) -> Labels {
        self.namespaces.get(namespace).cloned().unwrap_or_default()
    }

    /// The reservation that holds this address for somebody else than this Service.
    pub(crate) fn reserved_for_others(
        &self,
        address: IpAddr,
        service: &Service,
    ) -> Option<&Arc<Reservation>> {
        let reservation = self.reservations.get(self.grants.holder(address)?)?;
        (!reservation.is_for(service)).then_some(reservation)
    }

    /// Is this address held for this Service?
    pub(crate) fn is_reserved_for(&self, address: IpAddr, service: &Service) -> bool {
        let reservation = self.grants.holder(address).and_then(|key| self.reservations.get(key));
        reservation.is_some_and(|reservation| reservation.is_for(service))
    }

    /// Addresses of one family that are held for this Service, those of the oldest reservation first.
    pub(crate) fn reserved_for(&self, service: &Service, family: Family) -> Vec<IpAddr> {
        let mut reservations: Vec<&Arc<Reservation>> = self.reservations_in(&service.key.namespace).collect();
        reservations.retain(|reservation| reservation.is_for(service));
        reservations.sort_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
        let grants = reservations.into_iter().filter_map(|reservation| self.grants.of(&reservation.key));
        let addresses = grants.flat_map(|grant| grant.addresses.iter().copied());
        addresses.filter(|address| Family::of(*address) == family).collect()
    }

    fn reservations_in(&self, namespace: &Istr) -> impl Iterator<Item = &Arc<Reservation>> {
        let from = ObjectKey { namespace: namespace.clone(), name: Istr::default() };
        self.reservations
            .range(from..)
            .take_while(move |(key, _)| key.namespace == *namespace)
            .map(|(_, reservation)| reservation)
    }
}

#[cfg(test)]
mod tests;
