//! Who may have what: quotas, and pools for some.

use fairlead_loadbalancer::records::{Pool, ServiceAllocation};
use fairlead_objects::FamilyPolicy;

use crate::world::{ADDRESSES, POOL, SHARING_KEY, With, World, annotate, dual, pool, reservation, v4};

fn limited(quota: u32, parts: &[&str]) -> Pool {
    Pool { quota_per_namespace: Some(quota), ..pool("public", parts) }
}

const MANY: &[&str] = &["198.51.100.0/24", "2001:db8::/64"];
const REFUSED: &str = "namespace shop may have 2 addresses of pool public, and has them already";

#[test]
fn a_quota_counts_addresses_of_every_kind_of_request() {
    for (about, annotation) in
        [("none", None), ("pool", Some((POOL, "public"))), ("address", Some((ADDRESSES, "198.51.100.9")))]
    {
        let mut world = World::new(&[]);
        world.api.put_pool(limited(2, MANY));
        world.create(v4("a"));
        world.create(v4("b"));
        let third = v4("c");
        world.create(match annotation {
            Some((key, value)) => third.annotated(key, value),
            None => third,
        });
        assert_eq!(world.told("c"), ("QuotaExceeded".into(), REFUSED.into()), "{about}");
        world.create(v4("bank/d"));
        assert_eq!(world.addresses("bank/d").len(), 1, "each namespace has its own");
        world.delete("a");
        assert_eq!(world.addresses("c").len(), 1, "{about}");
    }
}

#[test]
fn both_families_count_and_a_shared_address_counts_once() {
    let mut world = World::new(&[]);
    world.api.put_pool(limited(1, MANY));
    world.create(dual("web", FamilyPolicy::RequireDualStack));
    assert_eq!(world.reason("web"), "QuotaExceeded");
    world.create(dual("api", FamilyPolicy::PreferDualStack));
    assert_eq!(world.addresses("api"), ["198.51.100.1"]);
    world.delete("api");
    world.create(v4("a").annotated(SHARING_KEY, "k").ports(&[80]));
    world.create(v4("b").annotated(SHARING_KEY, "k").ports(&[443]));
    assert_eq!(world.addresses("b"), world.addresses("a"));
}

#[test]
fn reservations_count_and_what_is_reserved_counts_once() {
    let mut world = World::new(&[]);
    world.api.put_pool(limited(2, MANY));
    world.api.put_reservation(reservation("keep", "web", &["198.51.100.50"]));
    world.create(v4("a"));
    world.create(v4("b"));
    assert_eq!(world.told("b"), ("QuotaExceeded".into(), REFUSED.into()));
    world.create(v4("web"));
    assert_eq!(world.addresses("web"), ["198.51.100.50"]);
    world.api.put_reservation(reservation("more", "api", &["198.51.100.51"]));
    world.settle();
    let status = &world.api.reservations[&crate::world::key("more")].status;
    assert!(status.addresses.is_empty() && !status.conditions[0].status);
    assert_eq!(
        &*status.conditions[0].message,
        "the namespace may have 2 addresses of pool public, and has them already"
    );
    world.delete("a");
    // The reservation and b both wait for it; whoever comes first has it, the other one does not.
    let held = world.api.reservations[&crate::world::key("more")].status.addresses.len();
    assert_eq!(held + world.addresses("b").len(), 1);
}

#[test]
fn a_lowered_quota_takes_nothing_away() {
    let mut world = World::new(&[]);
    world.api.put_pool(limited(2, MANY));
    world.create(v4("a"));
    world.create(v4("b"));
    world.writes();
    world.edit_pool("public", |pool| pool.quota_per_namespace = Some(0));
    world.restart();
    assert_eq!(world.writes(), [] as [String; 0]);
    world.edit_pool("public", |pool| pool.quota_per_namespace = Some(3));
    world.create(v4("c"));
    assert_eq!(world.addresses("c").len(), 1);
}

#[test]
fn a_full_quota_does_not_keep_a_service_from_exchanging_its_address() {
    let mut world = World::new(&[]);
    world.api.put_pool(limited(1, MANY));
    world.create(v4("web"));
    world.edit("web", |it| annotate(it.load_balancer.as_mut().unwrap(), ADDRESSES, "198.51.100.9"));
    assert_eq!(world.addresses("web"), ["198.51.100.9"]);
}

/// TestAssignment and B5: pools pinned by namespace, by label, by both.
#[test]
fn pools_for_others_are_refused_by_name_and_by_address() {
    let for_bank = ServiceAllocation { namespaces: vec!["bank".into()], ..ServiceAllocation::default() };
    for (annotation, value) in [(POOL, "bank"), (ADDRESSES, "198.51.100.9")] {
        let mut world = World::new(&[]);
        world.api.put_pool(Pool { service_allocation: Some(for_bank.clone()), ..pool("bank", MANY) });
        world.create(v4("web").annotated(annotation, value));
        assert_eq!(
            world.told("web"),
            (
                "NotPermitted".into(),
                "pool bank is for other namespaces or Services (its serviceAllocation)".into()
            )
        );
        world.create(v4("bank/web").annotated(annotation, value));
        assert_eq!(world.addresses("bank/web").len(), 1);
    }
}

#[test]
fn a_quota_of_the_first_pool_sends_to_the_next() {
    let mut world = World::new(&[("second", &["203.0.113.0/24"])]);
    world.api.put_pool(limited(1, MANY));
    world.create(v4("a"));
    world.create(v4("b"));
    assert_eq!(world.addresses("a"), ["198.51.100.1"]);
    assert_eq!(world.addresses("b"), ["203.0.113.1"]);
}
