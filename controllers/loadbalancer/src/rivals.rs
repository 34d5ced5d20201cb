//! Marks of other implementations on Services that could be ours.

use fairlead_objects::{IngressPoint, LoadBalancer, ObjectKey};

use crate::ledger::{Ledger, Slot};
use crate::words;

/// Written by MetalLB on each Service that it gave an address to.
const METALLB_POOL: [&str; 2] =
    ["metallb.io/ip-allocated-from-pool", "metallb.universe.tf/ip-allocated-from-pool"];

/// Is a Service of our class left alone, because another implementation serves it? Never one that asks for us by its
/// class, or that has an address of ours.
pub(crate) fn is_served_by_another(ledger: &Ledger, key: &ObjectKey, load_balancer: &LoadBalancer) -> bool {
    let is_ours = |slot: &Slot| {
        slot.bound().is_some_and(|object| object.holders().iter().any(|holder| holder.key == *key))
    };
    let slots = ledger.slots.of_service(key).iter().filter_map(|address| ledger.slots.get(*address));
    if load_balancer.class.is_some() || slots.into_iter().any(is_ours) {
        return false;
    }
    let condition = load_balancer.condition.as_ref();
    if let Some(metallb) = ledger.metallb {
        let marked =
            METALLB_POOL.iter().any(|annotation| load_balancer.annotations.get(annotation).is_some());
        if marked || (metallb.serves_classless && condition.is_none()) {
            return true;
        }
    }
    // Our own condition names what the Service has of us.
    let told = |address| condition.is_some_and(|it| words::claims(it, address));
    if load_balancer.published().any(told) {
        return false;
    }
    load_balancer.ingress.iter().any(|entry| match entry.at {
        IngressPoint::Address(address) => ledger.pools.around(address).is_none(),
        IngressPoint::Name(_) => true,
    })
}
