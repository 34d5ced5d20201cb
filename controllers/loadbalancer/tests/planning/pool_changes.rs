//! Pools that change under the Services that have their addresses.

use fairlead_loadbalancer::records::{Pool, ServiceAllocation};

use crate::world::{ADDRESSES, With, World, annotate, ip, key, pool, v4};

fn with_two(parts: &[&str]) -> World {
    let mut world = World::new(&[("public", parts)]);
    world.create(v4("a").annotated(ADDRESSES, "198.51.100.1"));
    world.create(v4("b").annotated(ADDRESSES, "198.51.100.200"));
    for name in ["a", "b"] {
        world.edit(name, |it| annotate(it.load_balancer.as_mut().unwrap(), ADDRESSES, ""));
    }
    world.writes();
    world
}

/// TestConfigReload: the same, and larger.
#[test]
fn the_same_pool_and_a_larger_one_change_nothing() {
    let mut world = with_two(&["198.51.100.0/24"]);
    world.edit_pool("public", |_| {});
    world.edit_pool("public", |pool| pool.addresses.push("203.0.113.0/24".into()));
    assert_eq!(world.writes(), [] as [String; 0]);
}

/// TestConfigReload: renamed, split.
#[test]
fn renamed_and_split_pools_change_only_what_the_objects_tell() {
    let mut world = with_two(&["198.51.100.0/24"]);
    world.api.delete_pool("public");
    world.api.put_pool(pool("first", &["198.51.100.0/25"]));
    world.api.put_pool(pool("second", &["198.51.100.128/25"]));
    world.settle();
    assert_eq!(world.addresses("a"), ["198.51.100.1"]);
    assert_eq!(world.addresses("b"), ["198.51.100.200"]);
    assert_eq!(world.api.addresses[&ip("198.51.100.1")].spec.pool, "first");
    assert_eq!(world.api.addresses[&ip("198.51.100.200")].pool_label.as_deref(), Some("second"));
    assert_eq!(world.message("b"), "198.51.100.200 from pool second");
    assert_eq!(world.api.pools[&"first".into()].status.ipv4.unwrap().assigned, 1);
}

/// TestConfigReload: shrunk. MetalLB takes the address away; here it moves first.
#[test]
fn what_a_pool_no_longer_has_moves_to_where_there_is_room() {
    let mut world = with_two(&["198.51.100.0/24"]);
    world.edit_pool("public", |pool| pool.addresses = vec!["198.51.100.0/25".into()]);
    assert_eq!(world.writes(), ["create 198.51.100.2 for b", "publish b [198.51.100.2,198.51.100.200]"]);
    assert_eq!(
        world.message("b"),
        "198.51.100.2 from pool public, moving from 198.51.100.200 of pool public to 198.51.100.2"
    );
    let degraded = |world: &World| {
        let conditions = &world.api.pools[&"public".into()].status.conditions;
        conditions
            .iter()
            .find(|it| it.kind == "Degraded")
            .map(|it| (it.status, it.message.to_string()))
            .unwrap()
    };
    assert_eq!(
        degraded(&world),
        (true, "1 assigned addresses are no longer in the pool: 198.51.100.200".into())
    );
    world.pass(70);
    assert_eq!(world.writes(), ["publish b [198.51.100.2]", "delete 198.51.100.200"]);
    assert!(!degraded(&world).0);
    assert_eq!(world.addresses("a"), ["198.51.100.1"]);
}

/// TestConfigReload: shrunk below what is in use.
#[test]
fn what_has_no_room_stays_and_says_so() {
    let mut world = with_two(&["198.51.100.0/24"]);
    world.edit_pool("public", |pool| pool.addresses = vec!["198.51.100.1-198.51.100.1".into()]);
    world.pass(100);
    assert_eq!(world.addresses("b"), ["198.51.100.200"]);
    assert_eq!(
        world.told("b"),
        (
            "Assigned".into(),
            "198.51.100.200, which pool public no longer has; there is no other place: no free IPv4 address in pool \
             public"
                .into()
        )
    );
}

#[test]
fn an_exclusion_moves_what_is_excluded_and_avoiding_buggy_addresses_moves_nothing() {
    let mut world = with_two(&["198.51.100.0/24"]);
    world.edit_pool("public", |pool| pool.exclude = vec!["198.51.100.200-198.51.100.255".into()]);
    world.pass(70);
    assert_eq!(world.addresses("b"), ["198.51.100.2"]);

    // TestConfigReload: avoidance switched on while such an address is in use.
    let mut world = World::new(&[("public", &["198.51.100.0-198.51.100.9"])]);
    world.create(v4("zero"));
    assert_eq!(world.addresses("zero"), ["198.51.100.0"]);
    world.writes();
    world.edit_pool("public", |pool| pool.avoid_buggy_ips = true);
    world.pass(100);
    assert_eq!(world.writes(), [] as [String; 0]);
}

/// B4: all pools removed. MetalLB clears the addresses.
#[test]
fn with_its_pool_gone_an_address_stays_for_ever() {
    let mut world = with_two(&["198.51.100.0/24"]);
    world.api.put_pool(pool("other", &["203.0.113.0/24"]));
    world.settle();
    world.api.delete_pool("public");
    world.settle();
    world.pass(1000);
    assert_eq!(world.addresses("a"), ["198.51.100.1"]);
    assert_eq!(world.told("a"), ("Assigned".into(), "198.51.100.1, which is in no pool any more".into()));
    let object = &world.api.addresses[&ip("198.51.100.1")];
    assert_eq!(object.spec.pool, "public");
    assert_eq!(object.spec.announcements.len(), 1, "it is announced as before");
    // A new wish is met from what there is now.
    world.edit("a", |it| annotate(it.load_balancer.as_mut().unwrap(), "fairlead.dev/pool", "other"));
    assert_eq!(world.addresses("a"), ["203.0.113.1"]);
    // And the pool comes back.
    world.api.put_pool(pool("public", &["198.51.100.0/24"]));
    world.settle();
    assert_eq!(world.message("b"), "198.51.100.200 from pool public");
}

/// B5: a label changes later. MetalLB takes the address away at once.
#[test]
fn a_pool_that_is_for_others_now_is_left_when_there_is_another_place() {
    let selector = serde_json::from_str(r#"{"matchLabels": {"tier": "gold"}}"#).unwrap();
    let selector: &k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector = &selector;
    let allocation =
        ServiceAllocation { namespace_selectors: vec![selector.into()], ..ServiceAllocation::default() };
    let mut world = World::new(&[]);
    world.api.put_pool(Pool { service_allocation: Some(allocation), ..pool("gold", &["198.51.100.0/24"]) });
    world.api.put_namespace("shop", &[("tier", "gold")]);
    world.create(v4("web"));
    assert_eq!(world.addresses("web"), ["198.51.100.1"]);
    world.api.put_namespace("shop", &[]);
    world.settle();
    assert_eq!(
        world.message("web"),
        "198.51.100.1 from pool gold, which is for others now; there is no other place: no LoadBalancerPool is for \
         this Service; name one by the annotation fairlead.dev/pool"
    );
    world.api.put_pool(pool("public", &["203.0.113.0/24"]));
    world.settle();
    world.pass(70);
    assert_eq!(world.addresses("web"), ["203.0.113.1"]);
    // No jump back to a better pool.
    world.api.put_namespace("shop", &[("tier", "gold")]);
    world.settle();
    world.pass(70);
    assert_eq!(world.addresses("web"), ["203.0.113.1"]);
}

#[test]
fn a_node_inside_a_pool_is_left_out_and_moves_nobody() {
    let mut world = World::new(&[("public", &["198.51.100.1-198.51.100.3"])]);
    world.create(v4("a"));
    world.api.put_node("n1", &["198.51.100.2"]);
    world.api.put_node("n2", &["198.51.100.1"]);
    world.create(v4("b"));
    assert_eq!(
        (world.addresses("a"), world.addresses("b")),
        (vec!["198.51.100.1".into()], vec!["198.51.100.3".into()])
    );
    world.create(v4("c").annotated(ADDRESSES, "198.51.100.2"));
    assert_eq!(
        world.message("c"),
        "198.51.100.2 lies in pool public, but is the address of a Node; ask for another one"
    );
    world.api.put_node("n1", &[]);
    world.settle();
    assert_eq!(world.addresses("c"), ["198.51.100.2"]);
}

#[test]
fn a_wider_cluster_range_stops_new_assignments_only() {
    let mut world = with_two(&["198.51.100.0/24"]);
    world.api.put_service_cidr("kubernetes", &["198.51.0.0/16"]);
    world.create(v4("late"));
    assert_eq!(world.addresses("a"), ["198.51.100.1"]);
    assert_eq!(world.addresses("b"), ["198.51.100.200"]);
    assert!(world.addresses("late").is_empty());
    let accepted = world.api.pools[&"public".into()].status.conditions[0].clone();
    assert_eq!(
        (accepted.status, &*accepted.message),
        (
            false,
            "198.51.100.0/24 is not used: it overlaps the ClusterIP range 198.51.0.0/16 of ServiceCIDR kubernetes"
        )
    );
    assert!(world.api.services.contains_key(&key("late")));
}
