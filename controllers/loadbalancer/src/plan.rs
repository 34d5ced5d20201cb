//! From what is known of a Service to the writes that give it its addresses.
//!
//! ```text
//! holdings: what it has, or names      ─┐
//!                                       ├─▶ decide: what it shall have ─▶ compose: create ─▶ publish ─▶ release
//! choose: what it asks for, what is free ┘
//! ```

mod answers;
mod choose;
mod compose;
mod decide;
mod holdings;
mod probing;
mod release;
mod spec;

use std::net::IpAddr;

use fairlead_objects::{Family, LoadBalancer, ObjectKey, Service};
use jiff::Timestamp;
use smallvec::SmallVec;

use crate::action::{Action, ConditionChange, Guard, Plan, Publication, Standing};
use crate::ledger::{Known, Ledger, Topic};
use crate::{rivals, words};

pub(crate) use choose::next_free;
use holdings::Holding;
pub(crate) use spec::shortened;

/// A plan, and what the ledger has to note.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) plan: Plan,
    /// Addresses that the plan gives to the Service.
    pub(crate) claims: SmallVec<[IpAddr; 2]>,
    /// What the Service waits for.
    pub(crate) topics: Vec<Topic>,
}

impl From<Plan> for Outcome {
    fn from(plan: Plan) -> Self {
        Self { plan, ..Self::default() }
    }
}

/// A Service of ours that is being planned.
pub(crate) struct Ours<'a> {
    ledger: &'a Ledger,
    now: Timestamp,
    known: &'a Known,
    service: &'a Service,
    load_balancer: &'a LoadBalancer,
    families: SmallVec<[Family; 2]>,
    /// What it has of each family, in the order in which it is kept: what its status names first.
    holdings: [Vec<Holding<'a>>; 2],
}

/// Plans one Service, or what one that is gone has left behind.
pub(crate) fn plan(ledger: &Ledger, key: &ObjectKey, now: Timestamp) -> Outcome {
    let Some(known) = ledger.services.get(key) else { return gone(ledger, key, now).into() };
    let load_balancer = known.service.load_balancer.as_deref();
    let Some(load_balancer) = load_balancer.filter(|it| ledger.config.is_ours(it)) else {
        return not_ours(ledger, known, now).into();
    };
    if rivals::is_served_by_another(ledger, key, load_balancer) {
        return left_alone(known, load_balancer).into();
    }
    if known.service.terminating {
        // What it has stays until it is gone; it gets nothing new.
        return Plan { standing: Standing::Ready, ..Plan::default() }.into();
    }
    Ours::new(ledger, known, load_balancer, now).plan()
}

/// Releases what a Service has left behind that is gone.
fn gone(ledger: &Ledger, key: &ObjectKey, now: Timestamp) -> Plan {
    let mut actions = Vec::new();
    for object in release::objects_of(ledger, key) {
        let holder = object.holders().iter().find(|holder| holder.key == *key);
        let Some(uid) = holder.map(|holder| holder.uid.clone()) else { continue };
        let guard = Guard::Gone { service: key.clone(), uid, address: object.address };
        actions.push(release::release(ledger, &object, key, guard, now));
    }
    Plan { actions, ..Plan::default() }
}

/// Takes back what a Service has that is of another type or class now. Its status first.
fn not_ours(ledger: &Ledger, known: &Known, now: Timestamp) -> Plan {
    let service = &known.service;
    let objects = release::objects_of(ledger, &service.key);
    let mut actions = Vec::new();
    if let Some(load_balancer) = &service.load_balancer {
        let told =
            |address: IpAddr| load_balancer.condition.as_ref().is_some_and(|it| words::claims(it, address));
        let is_ours =
            |address: &IpAddr| told(*address) || objects.iter().any(|object| object.address == *address);
        let any_of_ours = load_balancer.published().any(|address| is_ours(&address));
        // Names are never ours: who wrote them writes the rest, too.
        let only_addresses = load_balancer.published().count() == load_balancer.ingress.len();
        let addresses = (any_of_ours && only_addresses)
            .then(|| load_balancer.published().filter(|address| !is_ours(address)).collect());
        if addresses.is_some() || load_balancer.condition.is_some() {
            let condition = match load_balancer.condition {
                Some(_) => ConditionChange::Remove,
                None => ConditionChange::Keep,
            };
            let service = std::sync::Arc::clone(service);
            actions.push(Action::Publish(Publication { service, addresses, condition, event: None }));
        }
    }
    for object in objects {
        let guard =
            Guard::Unpublished { service: service.key.clone(), address: object.address, instead: None };
        actions.push(release::release(ledger, &object, &service.key, guard, now));
    }
    Plan { actions, ..Plan::default() }
}

/// Leaves a Service alone that another implementation serves. Our condition may be on it from before.
fn left_alone(known: &Known, load_balancer: &LoadBalancer) -> Plan {
    let remove = load_balancer.condition.is_some().then(|| {
        Action::Publish(Publication {
            service: std::sync::Arc::clone(&known.service),
            addresses: None,
            condition: ConditionChange::Remove,
            event: None,
        })
    });
    Plan { actions: remove.into_iter().collect(), wait: None, standing: Standing::LeftAlone }
}

/// The families of a Service, the first one first; those of its cluster IPs where it tells none.
fn families(service: &Service, load_balancer: &LoadBalancer) -> SmallVec<[Family; 2]> {
    if !service.ip_families.is_empty() {
        return service.ip_families.clone();
    }
    let mut families: SmallVec<[Family; 2]> = SmallVec::new();
    for family in load_balancer.cluster_ips.iter().map(|address| Family::of(*address)) {
        if !families.contains(&family) {
            families.push(family);
        }
    }
    families
}
