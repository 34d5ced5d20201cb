//! Getting an address, keeping it, giving it back.

use fairlead_crds::Order;
use fairlead_loadbalancer::records::Pool;
use fairlead_objects::{FamilyPolicy, ServiceType};

use crate::api::Api;
use crate::manager::Manager;
use crate::world::{ADDRESSES, With, World, annotate, dual, ip, key, pool, v4, v6};

/// Makes a Service of this name.
type Make = fn(&str) -> fairlead_objects::Service;

const FOUR: &[&str] = &["198.51.100.0/31", "203.0.113.0/31"];

#[test]
fn an_address_costs_two_writes_and_is_told() {
    let mut world = World::new(&[("public", &["198.51.100.0/24"])]);
    world.create(v4("web"));
    assert_eq!(world.writes(), ["create 198.51.100.1 for web", "publish web [198.51.100.1]"]);
    assert_eq!(world.told("web"), ("Assigned".into(), "198.51.100.1 from pool public".into()));
    let object = &world.api.addresses[&ip("198.51.100.1")];
    assert_eq!(object.pool_label.as_deref(), Some("public"));
    assert_eq!(object.spec.announcements, [fairlead_crds::Announcement::default()]);
    let told: Vec<_> =
        world.manager.told.iter().map(|(_, event)| (event.warning, event.message.clone())).collect();
    assert_eq!(told, [(false, "198.51.100.1 from pool public".to_owned())]);
}

#[test]
fn a_dual_stack_service_costs_three_writes() {
    let mut world = World::new(&[("public", &["198.51.100.0/24", "2001:db8::/64"])]);
    world.create(dual("web", FamilyPolicy::PreferDualStack));
    assert_eq!(
        world.writes(),
        [
            "create 198.51.100.1 for web",
            "create 2001:db8::1 for web",
            "publish web [198.51.100.1,2001:db8::1]"
        ]
    );
    assert_eq!(world.message("web"), "198.51.100.1 and 2001:db8::1 from pool public");
}

/// TestAssignment: repeating changes nothing; nobody else can take it; after a release it can be taken.
#[test]
fn an_assigned_address_is_taken_until_it_is_released() {
    for (make, first, second) in
        [(v4 as Make, "198.51.100.1", "198.51.100.2"), (v6 as Make, "2001:db8::1", "2001:db8::2")]
    {
        let mut world = World::new(&[("public", &["198.51.100.0/24", "2001:db8::/64"])]);
        world.create(make("one").annotated(ADDRESSES, first));
        assert_eq!(world.addresses("one"), [first]);
        world.create(make("two").annotated(ADDRESSES, first));
        assert!(world.addresses("two").is_empty());
        assert_eq!(
            world.told("two"),
            ("AddressInUse".into(), format!("{first} is in use by Service shop/one"))
        );
        // One takes another, which frees the first for two.
        world.edit("one", |it| annotate(it.load_balancer.as_mut().unwrap(), ADDRESSES, second));
        assert_eq!(
            (world.addresses("one"), world.addresses("two")),
            (vec![second.into()], vec![first.into()])
        );
        // They cannot swap while both are taken.
        world.edit("two", |it| annotate(it.load_balancer.as_mut().unwrap(), ADDRESSES, second));
        assert_eq!(world.addresses("two"), [first]);
        assert_eq!(world.message("two"), format!("keeps {first}: {second} is in use by Service shop/one"));
        world.delete("one");
        assert_eq!(world.addresses("two"), [second]);
        assert_eq!(world.holders(first), None);
    }
}

/// TestPoolAllocation and TestAllocation: four addresses of each family, of which a fifth Service gets none.
#[test]
fn what_is_exhausted_is_given_to_who_waits_when_it_is_released() {
    let families: [(Make, &str); 3] = [
        (v4, "no free IPv4 address in pool public"),
        (v6, "no free IPv6 address in pool public"),
        (
            |name| dual(name, FamilyPolicy::RequireDualStack),
            "no free IPv4 address in pool public; no free IPv6 address in pool public",
        ),
    ];
    for (make, words) in families {
        for named in [false, true] {
            let make = |name: &str| {
                let service = make(name);
                if named { service.annotated("fairlead.dev/pool", "public") } else { service }
            };
            let parts: Vec<&str> =
                FOUR.iter().copied().chain(["2001:db8::/127", "2001:db8::a/127"]).collect();
            let mut world = World::new(&[("public", &parts)]);
            for name in ["s1", "s2", "s3", "s4", "s5", "s6"] {
                world.create(make(name));
            }
            for name in ["s5", "s6"] {
                assert_eq!(world.told(name), ("PoolExhausted".into(), words.into()));
            }
            world.delete("s2");
            let exhausted = |name: &str| world.reason(name) == "PoolExhausted";
            assert!(exhausted("s5") != exhausted("s6"));
            // Of one family it is the one that has waited longest.
            let families = world.api.services[&key("s5")].ip_families.len();
            assert!(families == 2 || exhausted("s6"));
        }
    }
}

/// TestPoolAllocation, mixed: a dual-stack Service fails when one family is used up.
#[test]
fn require_dual_stack_gets_nothing_when_one_family_is_used_up() {
    let mut world = World::new(&[("public", &["198.51.100.0/24", "2001:db8::/127"])]);
    world.create(v6("a"));
    world.create(v6("b"));
    world.create(dual("c", FamilyPolicy::RequireDualStack));
    assert_eq!(world.told("c"), ("PoolExhausted".into(), "no free IPv6 address in pool public".into()));
    assert_eq!(world.api.addresses.len(), 2, "nothing is held for it");
    world.delete("a");
    assert_eq!(world.addresses("c"), ["198.51.100.1", "2001:db8::"]);
}

/// TestAutoAssign.
#[test]
fn pools_without_auto_assign_are_never_picked() {
    let mut world = World::new(&[]);
    world.api.put_pool(Pool { auto_assign: false, ..pool("named", &["198.51.100.0/24"]) });
    world.create(v4("web"));
    assert_eq!(
        world.told("web"),
        (
            "NoPool".into(),
            "no LoadBalancerPool is for this Service; name one by the annotation fairlead.dev/pool".into()
        )
    );
    world.create(v4("named").annotated("fairlead.dev/pool", "named"));
    assert_eq!(world.addresses("named"), ["198.51.100.1"]);
    world.create(v4("address").annotated(ADDRESSES, "198.51.100.77"));
    assert_eq!(world.addresses("address"), ["198.51.100.77"]);
    world.edit_pool("named", |pool| pool.auto_assign = true);
    assert_eq!(world.addresses("web"), ["198.51.100.2"]);
}

/// TestBuggyIPs.
#[test]
fn buggy_addresses_are_avoided_where_the_pool_says_so() {
    let mut world = World::new(&[]);
    world.api.put_pool(Pool { avoid_buggy_ips: true, ..pool("avoiding", &["198.51.100.254-198.51.101.1"]) });
    for name in ["a", "b", "c"] {
        world.create(v4(name));
    }
    assert_eq!(
        (world.addresses("a"), world.addresses("b")),
        (vec!["198.51.100.254".into()], vec!["198.51.101.1".into()])
    );
    assert_eq!(world.reason("c"), "PoolExhausted");
    world.create(v4("d").annotated(ADDRESSES, "198.51.100.255"));
    assert_eq!(
        world.message("d"),
        "198.51.100.255 lies in pool avoiding, but ends in .0 or .255, which that pool avoids; ask for another one"
    );
}

#[test]
fn nothing_is_told_before_a_second_has_passed_without_an_address() {
    let mut world = World::new(&[]);
    world.api.create_service(v4("web"));
    world.manager.settle(&mut world.api, false);
    assert!(world.writes().is_empty());
    world.api.put_pool(pool("public", &["198.51.100.0/24"]));
    world.settle();
    assert_eq!(world.writes(), ["create 198.51.100.1 for web", "publish web [198.51.100.1]"]);

    let mut world = World::new(&[]);
    world.create(v4("web"));
    assert_eq!(world.writes(), ["condition of web: NoPool"]);
    assert_eq!(world.told("web"), ("NoPool".into(), "there is no LoadBalancerPool yet".into()));
}

/// B1, and TestDeleteRecyclesIP.
#[test]
fn a_deleted_service_and_one_of_another_type_give_their_address_to_who_waits() {
    let mut world = World::new(&[("public", &["198.51.100.7-198.51.100.7"])]);
    world.create(v4("one"));
    world.create(v4("two"));
    world.create(v4("three"));
    world.edit("one", |it| {
        it.load_balancer.as_mut().unwrap().wanted = false;
        it.kind = ServiceType::Cluster;
    });
    assert_eq!((world.addresses("one"), world.addresses("two")), (vec![], vec!["198.51.100.7".to_owned()]));
    assert_eq!(world.load_balancer("one").condition, None, "the condition goes with it");
    world.delete("two");
    assert_eq!(world.addresses("three"), ["198.51.100.7"]);
}

#[test]
fn a_class_that_is_not_ours_takes_address_and_condition_away() {
    let mut world = World::new(&[("public", &["198.51.100.0/24"])]);
    world.create(v4("web"));
    world.writes();
    world.edit("web", |it| it.load_balancer.as_mut().unwrap().class = Some("example.com/other".into()));
    assert_eq!(world.writes(), ["publish web []", "delete 198.51.100.1"]);
    assert_eq!(world.load_balancer("web").condition, None);
}

/// A11, TestLBClass.
#[test]
fn only_services_of_our_class_are_served() {
    for (flag, class, served) in [
        (None, None, true),
        (None, Some("fairlead.dev/layer2"), true),
        (None, Some("example.com/other"), false),
        (Some("example.com/mine"), Some("example.com/mine"), true),
        (Some("example.com/mine"), Some("fairlead.dev/layer2"), false),
        (Some("example.com/mine"), None, false),
    ] {
        let mut api = Api::new();
        api.put_pool(pool("public", &["198.51.100.0/24"]));
        let mut service = v4("web");
        service.load_balancer.as_mut().unwrap().class = class.map(Into::into);
        api.create_service(service);
        let mut manager = Manager::start(&api, flag);
        manager.settle(&mut api, true);
        assert_eq!(!api.published(&key("web")).is_empty(), served, "{flag:?} {class:?}");
        assert_eq!(api.writes.iter().any(|write| write.contains("web")), served, "{flag:?} {class:?}");
    }
}

#[test]
fn where_a_random_order_begins_depends_on_the_name_alone() {
    let addresses = |names: [&'static str; 4]| {
        let mut world = World::new(&[]);
        world.api.put_pool(Pool { order: Order::Random, ..pool("public", &["198.51.100.0/24"]) });
        for name in names {
            world.create(v4(name));
        }
        let mut addresses: Vec<_> = names.iter().map(|name| (*name, world.addresses(name))).collect();
        addresses.sort();
        addresses
    };
    let one_way = addresses(["a", "b", "c", "d"]);
    assert_eq!(one_way, addresses(["d", "b", "a", "c"]));
    let mut distinct: Vec<_> = one_way.iter().map(|(_, addresses)| addresses).collect();
    distinct.dedup();
    assert_eq!(distinct.len(), 4);

    // The same Service, made anew, gets the same address; when its place is taken, the next one.
    let mut world = World::new(&[]);
    world.api.put_pool(Pool { order: Order::Random, ..pool("public", &["198.51.100.0-198.51.100.3"]) });
    world.create(v4("web"));
    let before = world.addresses("web");
    world.delete("web");
    world.create(v4("web"));
    assert_eq!(world.addresses("web"), before);
    for name in ["b", "c", "d", "e"] {
        world.create(v4(name));
    }
    let with_one: Vec<bool> =
        ["b", "c", "d", "e"].iter().map(|name| !world.addresses(name).is_empty()).collect();
    assert_eq!(with_one, [true, true, true, false], "the search wraps around");
}

#[test]
fn a_service_that_is_being_deleted_gets_nothing_and_keeps_what_it_has() {
    let mut world = World::new(&[("public", &["198.51.100.0/24"])]);
    world.create(fairlead_objects::Service { terminating: true, ..v4("late") });
    assert!(world.addresses("late").is_empty() && world.writes().is_empty());
    world.create(v4("web"));
    world.edit("web", |it| it.terminating = true);
    assert_eq!(world.addresses("web"), ["198.51.100.1"]);
    world.delete("web");
    assert!(world.api.addresses.is_empty());
}
