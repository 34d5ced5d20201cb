//! Dual stack: families of one pool, of different pools, one after the other.

use fairlead_objects::{Family, FamilyPolicy, Service};
use smallvec::smallvec;

use crate::world::{ADDRESSES, POOL, With, World, annotate, dual, ip, pool, v4};
use fairlead_loadbalancer::records::{Pool, ServiceAllocation};

const V4: (&str, &[&str]) = ("v4", &["198.51.100.0/24"]);
const V6: (&str, &[&str]) = ("v6", &["2001:db8::/64"]);
const BOTH: (&str, &[&str]) = ("both", &["203.0.113.0/24", "2001:db8:1::/64"]);

fn prefer(name: &str) -> Service {
    dual(name, FamilyPolicy::PreferDualStack)
}

fn require(name: &str) -> Service {
    dual(name, FamilyPolicy::RequireDualStack)
}

/// B6: the first pool that has both; else the families come from different pools.
#[test]
fn one_pool_that_has_both_comes_before_two_that_have_one_each() {
    for policy in [FamilyPolicy::PreferDualStack, FamilyPolicy::RequireDualStack] {
        // By name, `both` is the first one; so it is called otherwise for this.
        let mut world = World::new(&[V4, V6, ("zz", BOTH.1)]);
        world.create(dual("web", policy));
        assert_eq!(world.addresses("web"), ["203.0.113.1", "2001:db8:1::1"]);

        let mut world = World::new(&[V4, V6]);
        world.create(dual("web", policy));
        assert_eq!(world.addresses("web"), ["198.51.100.1", "2001:db8::1"]);
        assert_eq!(world.message("web"), "198.51.100.1 from pool v4; 2001:db8::1 from pool v6");
    }
}

/// TestAssignment: a pair of two pools, asked for by address.
#[test]
fn both_addresses_can_be_asked_for_from_different_pools() {
    let mut world = World::new(&[V4, V6]);
    world.create(require("web").annotated(ADDRESSES, "2001:db8::77,198.51.100.77"));
    assert_eq!(world.addresses("web"), ["198.51.100.77", "2001:db8::77"]);
}

/// TestControllerMutation: one fixed address on a dual-stack Service, which MetalLB refuses.
#[test]
fn of_a_wish_for_one_family_the_other_is_chosen_freely() {
    let mut world = World::new(&[V4, V6, BOTH]);
    world.create(prefer("web").annotated(ADDRESSES, "2001:db8::77"));
    assert_eq!(world.addresses("web"), ["203.0.113.1", "2001:db8::77"]);
    // The other family comes from the same pool, if that has it.
    world.create(prefer("api").annotated(ADDRESSES, "2001:db8:1::77"));
    assert_eq!(world.addresses("api"), ["203.0.113.2", "2001:db8:1::77"]);
}

/// B6: the second family comes as soon as it is there; nothing moves for it.
#[test]
fn prefer_dual_stack_takes_what_there_is_and_the_rest_later() {
    let mut world = World::new(&[V4]);
    world.create(prefer("web"));
    assert_eq!(world.addresses("web"), ["198.51.100.1"]);
    assert_eq!(
        world.told("web"),
        ("Assigned".into(), "198.51.100.1 from pool v4; no IPv6 addresses at all in pool v4".into())
    );
    // A better pool that has both changes only what is missing.
    world.api.put_pool(pool("a-better-one", BOTH.1));
    world.settle();
    assert_eq!(world.addresses("web"), ["198.51.100.1", "2001:db8:1::1"]);
}

#[test]
fn require_dual_stack_waits_for_both() {
    let mut world = World::new(&[V6]);
    world.create(require("web"));
    assert_eq!(world.told("web"), ("NoPool".into(), "no IPv4 addresses at all in pool v6".into()));
    assert!(world.api.addresses.is_empty());
    world.api.put_pool(pool("v4", V4.1));
    world.settle();
    assert_eq!(world.addresses("web"), ["198.51.100.1", "2001:db8::1"]);
}

#[test]
fn the_family_that_comes_first_is_published_first() {
    let mut world = World::new(&[BOTH]);
    world.create(Service { ip_families: smallvec![Family::V6, Family::V4], ..prefer("web") });
    assert_eq!(world.addresses("web"), ["2001:db8:1::1", "203.0.113.1"]);
}

/// B6: policies are switched.
#[test]
fn a_family_that_is_given_up_is_released_and_one_that_is_added_is_assigned() {
    let mut world = World::new(&[BOTH]);
    world.create(prefer("web"));
    world.writes();
    world.edit("web", |it| {
        it.ip_families = smallvec![Family::V4];
        it.load_balancer.as_mut().unwrap().family_policy = FamilyPolicy::SingleStack;
    });
    assert_eq!(world.writes(), ["publish web [203.0.113.1]", "delete 2001:db8:1::1"]);
    world.edit("web", |it| {
        it.ip_families = smallvec![Family::V4, Family::V6];
        it.load_balancer.as_mut().unwrap().family_policy = FamilyPolicy::RequireDualStack;
    });
    assert_eq!(world.addresses("web"), ["203.0.113.1", "2001:db8:1::1"]);
}

#[test]
fn one_that_works_stays_when_both_are_required_and_cannot_be_had() {
    let mut world = World::new(&[V4]);
    world.create(prefer("web"));
    world.edit("web", |it| {
        it.load_balancer.as_mut().unwrap().family_policy = FamilyPolicy::RequireDualStack;
    });
    assert_eq!(world.addresses("web"), ["198.51.100.1"]);
    assert_eq!(
        world.told("web"),
        ("NoPool".into(), "keeps 198.51.100.1: no IPv6 addresses at all in pool v4".into())
    );
}

/// TestControllerMutation: RequireDualStack with one cluster IP.
#[test]
fn require_dual_stack_in_a_single_stack_cluster_is_told() {
    let mut world = World::new(&[BOTH]);
    world.create(v4("web").load_balancer(|it| it.family_policy = FamilyPolicy::RequireDualStack));
    assert_eq!(
        world.told("web"),
        (
            "InvalidRequest".into(),
            "ipFamilyPolicy is RequireDualStack, but the Service has only the family IPv4; the cluster has to be \
             dual-stack for it"
                .into()
        )
    );
    assert!(world.addresses("web").is_empty());
}

#[test]
fn where_no_families_are_told_those_of_the_cluster_ips_count() {
    let mut world = World::new(&[BOTH]);
    world.create(
        Service { ip_families: smallvec![], ..v4("web") }
            .load_balancer(|it| it.cluster_ips = smallvec![ip("fd00::10")]),
    );
    assert_eq!(world.addresses("web"), ["2001:db8:1::1"]);
    world.create(
        Service { ip_families: smallvec![], ..v4("none") }.load_balancer(|it| it.cluster_ips = smallvec![]),
    );
    assert_eq!(
        world.told("none"),
        ("InvalidRequest".into(), "the Service has no IP family; give it a ClusterIP".into())
    );
}

#[test]
fn a_dual_stack_wish_for_a_pool_is_for_both_families() {
    let mut world = World::new(&[V4, V6, BOTH]);
    world.create(prefer("web").annotated(POOL, "v6"));
    assert_eq!(world.addresses("web"), ["2001:db8::1"]);
    assert_eq!(world.message("web"), "2001:db8::1 from pool v6; no IPv4 addresses at all in pool v6");
    world.edit("web", |it| annotate(it.load_balancer.as_mut().unwrap(), POOL, "both"));
    assert_eq!(world.addresses("web"), ["203.0.113.1", "2001:db8:1::1"]);
}

#[test]
fn pools_that_are_for_a_service_come_first_even_if_only_others_have_both_families() {
    let mut world = World::new(&[]);
    let for_shop = ServiceAllocation { namespaces: vec!["shop".into()], ..ServiceAllocation::default() };
    world.api.put_pool(pool("both", BOTH.1));
    world.api.put_pool(Pool { service_allocation: Some(for_shop), ..pool("shop", V4.1) });
    world.create(prefer("web"));
    assert_eq!(
        world.addresses("web"),
        ["203.0.113.1", "2001:db8:1::1"],
        "the first pool that has all families"
    );
    world.create(v4("api"));
    assert_eq!(world.addresses("api"), ["198.51.100.1"]);
}
