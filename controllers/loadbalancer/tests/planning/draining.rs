//! Moving Services out of a pool: the old address stays until the new one works.

use fairlead_objects::FamilyPolicy;

use crate::world::{ADDRESSES, POOL, SHARING_KEY, With, World, annotate, dual, ip, v4};

const POOLS: &[(&str, &[&str])] = &[("new", &["203.0.113.0/24"]), ("old", &["198.51.100.0/24"])];

/// A Service in pool `old`, without a wish for it.
fn in_old_pool(world: &mut World, name: &str) {
    world.create(v4(name).annotated(POOL, "old"));
    world.edit(name, |it| annotate(it.load_balancer.as_mut().unwrap(), POOL, ""));
    world.writes();
}

#[test]
fn both_addresses_are_published_until_the_overlap_is_over() {
    let mut world = World::new(POOLS);
    in_old_pool(&mut world, "web");
    world.edit_pool("old", |pool| pool.drain = true);
    assert_eq!(world.writes(), ["create 203.0.113.1 for web", "publish web [203.0.113.1,198.51.100.1]"]);
    assert_eq!(
        world.told("web"),
        (
            "Assigned".into(),
            "203.0.113.1 from pool new, moving from 198.51.100.1 of pool old to 203.0.113.1".into()
        )
    );
    world.pass(50);
    assert!(world.writes().is_empty());
    world.pass(20);
    assert_eq!(world.writes(), ["publish web [203.0.113.1]", "delete 198.51.100.1"]);
    assert_eq!(world.message("web"), "203.0.113.1 from pool new");
}

#[test]
fn the_new_one_works_when_it_is_announced_and_not_before() {
    let mut world = World::new(POOLS);
    in_old_pool(&mut world, "web");
    world.edit_pool("old", |pool| pool.drain = true);
    world.api.edit_address(ip("203.0.113.1"), |object| object.reported = true);
    world.pass(3600);
    assert_eq!(world.addresses("web").len(), 2, "somebody reports, and it is not announced");
    world.api.edit_address(ip("203.0.113.1"), |object| object.announced = true);
    world.settle();
    assert_eq!(world.addresses("web"), ["203.0.113.1"]);
}

#[test]
fn a_restart_amid_a_move_goes_on_with_it_and_gives_it_its_time() {
    let mut world = World::new(POOLS);
    in_old_pool(&mut world, "web");
    world.edit_pool("old", |pool| pool.drain = true);
    world.pass(50);
    world.writes();
    world.restart();
    world.pass(30);
    assert!(world.writes().is_empty());
    world.pass(40);
    assert_eq!(world.addresses("web"), ["203.0.113.1"]);
}

#[test]
fn an_ended_drain_ends_what_was_begun_and_moves_nothing_else() {
    let mut world = World::new(POOLS);
    in_old_pool(&mut world, "web");
    world.edit_pool("old", |pool| pool.drain = true);
    world.edit_pool("old", |pool| pool.drain = false);
    world.pass(70);
    assert_eq!(world.addresses("web").len(), 1);
    assert_eq!(world.api.addresses.len(), 1);
}

#[test]
fn without_room_elsewhere_it_stays_and_says_so_until_there_is_room() {
    let mut world = World::new(&[("old", &["198.51.100.0/24"])]);
    world.create(v4("web"));
    world.edit_pool("old", |pool| pool.drain = true);
    assert_eq!(world.addresses("web"), ["198.51.100.1"]);
    assert_eq!(
        world.told("web"),
        (
            "Assigned".into(),
            "198.51.100.1 from pool old, which is being drained; there is no other place: no LoadBalancerPool is \
             for this Service; name one by the annotation fairlead.dev/pool"
                .into()
        )
    );
    world.create(v4("late"));
    assert_eq!(world.reason("late"), "NoPool");
    world.api.put_pool(crate::world::pool("new", &["203.0.113.0/24"]));
    world.settle();
    world.pass(70);
    assert_eq!(world.addresses("late").len() + world.addresses("web").len(), 2);
    assert!(!world.addresses("web").contains(&"198.51.100.1".into()));
}

#[test]
fn what_was_asked_for_stays_and_nothing_new_is_given_out() {
    for (annotation, value) in [(POOL, "old"), (ADDRESSES, "198.51.100.1")] {
        let mut world = World::new(POOLS);
        world.create(v4("web").annotated(annotation, value));
        world.writes();
        world.edit_pool("old", |pool| pool.drain = true);
        world.pass(100);
        assert_eq!(world.addresses("web"), ["198.51.100.1"]);
        assert_eq!(
            world.message("web"),
            "198.51.100.1 from pool old, which is being drained, but is asked for"
        );
        world.create(v4("late").annotated(POOL, "old"));
        assert_eq!(
            world.told("late"),
            ("NotPermitted".into(), "pool old is being drained, nothing new is assigned from it".into())
        );
    }
}

#[test]
fn families_move_each_for_itself_and_sharers_together() {
    let mut world = World::new(&[
        ("new", &["203.0.113.0/24", "2001:db8:1::/64"]),
        ("old", &["198.51.100.0/24"]),
        ("six", &["2001:db8::/64"]),
    ]);
    world.create(dual("web", FamilyPolicy::PreferDualStack).annotated(ADDRESSES, "198.51.100.1,2001:db8::1"));
    world.edit("web", |it| annotate(it.load_balancer.as_mut().unwrap(), ADDRESSES, ""));
    world.edit_pool("old", |pool| pool.drain = true);
    assert_eq!(world.addresses("web"), ["203.0.113.1", "198.51.100.1", "2001:db8::1"]);
    world.pass(70);
    assert_eq!(world.addresses("web"), ["203.0.113.1", "2001:db8::1"]);

    let mut world = World::new(POOLS);
    for (name, port) in [("a", 80), ("b", 443), ("c", 444)] {
        world.create(v4(name).annotated(POOL, "old").annotated(SHARING_KEY, "k").ports(&[port]));
        world.edit(name, |it| annotate(it.load_balancer.as_mut().unwrap(), POOL, ""));
    }
    world.edit_pool("old", |pool| pool.drain = true);
    world.pass(70);
    for name in ["a", "b", "c"] {
        assert_eq!(world.addresses(name), ["203.0.113.1"]);
    }
    assert_eq!(world.api.addresses.len(), 1);
}
