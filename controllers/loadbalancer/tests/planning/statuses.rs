//! The status of pools.

use fairlead_loadbalancer::records::{Pool, PoolStatus};

use crate::world::{ADDRESSES, With, World, pool, v4, v6};

fn status<'a>(world: &'a World, name: &str) -> &'a PoolStatus {
    &world.api.pools[&name.into()].status
}

fn condition(world: &World, name: &str, kind: &str) -> (bool, String) {
    let conditions = &status(world, name).conditions;
    let condition = conditions.iter().find(|it| it.kind == kind).unwrap();
    (condition.status, condition.message.to_string())
}

/// B7, TestPoolMetrics: created, used, expanded, released; an edit by hand is put back.
#[test]
fn a_pool_counts_what_it_has_and_what_is_used_of_each_family() {
    let mut world = World::new(&[("public", &["198.51.100.0/29", "2001:db8::/64"])]);
    let numbers = |world: &World| {
        let status = status(world, "public");
        let of =
            |usage: Option<fairlead_crds::FamilyUsage>| usage.map(|it| (it.capacity, it.assigned, it.free));
        (of(status.ipv4), of(status.ipv6))
    };
    world.settle();
    assert_eq!(numbers(&world), (Some((6, 0, 6)), Some((i64::MAX, 0, i64::MAX))));
    world.create(v4("a"));
    world.create(v6("b"));
    assert_eq!(numbers(&world), (Some((6, 1, 5)), Some((i64::MAX, 1, i64::MAX))));
    world.edit_pool("public", |pool| pool.addresses.push("203.0.113.0/30".into()));
    assert_eq!(numbers(&world).0, Some((8, 1, 7)));
    world.api.edit_pool("public", |pool| pool.drain = false);
    world.delete("a");
    assert_eq!(numbers(&world).0, Some((8, 0, 8)));
    let observed = &world.api.pools[&"public".into()];
    assert_eq!(observed.status.observed_generation, observed.generation);

    let edited = Pool { status: PoolStatus::default(), ..Pool::clone(&world.api.pools[&"public".into()]) };
    world.api.write_pool_status(&world.api.pools[&"public".into()].clone(), &edited.status).unwrap();
    world.settle();
    assert_eq!(numbers(&world).0, Some((8, 0, 8)));
}

#[test]
fn nearly_full_and_exhausted_say_which_family() {
    let mut world = World::new(&[("public", &["198.51.100.1-198.51.100.10", "2001:db8::/64"])]);
    world.settle();
    assert_eq!(
        condition(&world, "public", "NearlyFull"),
        (false, "less than 90 % of the addresses are in use".into())
    );
    for n in 0..9 {
        world.create(v4(&format!("s{n}")));
        assert_eq!(condition(&world, "public", "NearlyFull").0, n == 8, "{n}");
    }
    assert_eq!(condition(&world, "public", "NearlyFull").1, "90 % or more of the IPv4 addresses are in use");
    assert_eq!(condition(&world, "public", "Exhausted"), (false, "there are free addresses".into()));
    world.create(v4("last"));
    assert_eq!(condition(&world, "public", "Exhausted"), (true, "no IPv4 address is free".into()));
    let since = |world: &World| {
        status(world, "public").conditions.iter().find(|it| it.kind == "NearlyFull").unwrap().last_transition
    };
    let before = since(&world);
    world.delete("last");
    assert!(!condition(&world, "public", "Exhausted").0);
    assert_eq!(since(&world), before, "what stays as it is has the time of its own transition");
}

#[test]
fn parts_that_are_not_used_and_nodes_are_told() {
    let mut world = World::new(&[("older", &["198.51.100.0/25"])]);
    world.api.put_node("n1", &["203.0.113.9"]);
    world.api.put_pool(pool("mixed", &["198.51.100.0/24", "2001:db8::9-2001:db8::1", "203.0.113.0/24"]));
    world.create(v4("web").annotated(ADDRESSES, "203.0.113.1"));
    assert_eq!(world.addresses("web"), ["203.0.113.1"]);
    assert_eq!(
        condition(&world, "mixed", "Accepted"),
        (
            false,
            "198.51.100.0/24 is not used: it overlaps 198.51.100.0/25 of LoadBalancerPool older, which is older; \
             2001:db8::9-2001:db8::1 is not used: its first address is after its last one; write \
             2001:db8::1-2001:db8::9; addresses of Nodes are not assigned: 203.0.113.9"
                .into()
        )
    );
    assert_eq!(condition(&world, "older", "Accepted"), (true, "all of spec.addresses is used".into()));
    assert_eq!(status(&world, "mixed").ipv6, None);
    // The older pool gives way.
    world.api.delete_pool("older");
    world.edit_pool("mixed", |pool| drop(pool.addresses.remove(1)));
    assert_eq!(
        condition(&world, "mixed", "Accepted"),
        (true, "addresses of Nodes are not assigned: 203.0.113.9".into())
    );
}

/// One more Service is one more write of the status at most, and none if nothing changes.
#[test]
fn an_unchanged_status_is_not_written() {
    let mut world = World::new(&[("public", &["198.51.100.0/24"])]);
    world.create(v4("web"));
    world.api.writes.clear();
    // Only its generation changes.
    world.edit_pool("public", |_| {});
    world.restart();
    assert!(world.api.writes.iter().all(|write| write.starts_with("status of pool")));
    assert!(world.api.writes.len() <= 1, "{:?}", world.api.writes);
}
