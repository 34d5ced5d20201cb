//! Several Services on one address.

use fairlead_crds::Sharing;
use fairlead_loadbalancer::records::Pool;
use fairlead_objects::{Labels, Protocol, Service};

use crate::world::{ADDRESSES, SHARE_WITH, SHARING_KEY, With, World, annotate, ip, key, pool, v4};

/// What is done to a Service, or to its load-balancer side.
type Edit = fn(&mut Service);
type Change = fn(&mut fairlead_objects::LoadBalancer);

const ONE: (&str, &[&str]) = ("public", &["198.51.100.7-198.51.100.7"]);
const MANY: (&str, &[&str]) = ("public", &["198.51.100.0/24"]);

fn sharing(name: &str, port: u16) -> Service {
    v4(name).annotated(SHARING_KEY, "k").ports(&[port])
}

fn change(world: &mut World, name: &str, change: impl FnOnce(&mut fairlead_objects::LoadBalancer)) {
    world.edit(name, |it| change(it.load_balancer.as_mut().unwrap()));
}

/// TestAssignment, TestPoolAllocation: what fits shares, in each spelling of the annotation.
#[test]
fn services_with_a_key_share_an_address_without_asking_for_it() {
    for annotation in [SHARING_KEY, "metallb.io/allow-shared-ip", "metallb.universe.tf/allow-shared-ip"] {
        let mut world = World::new(&[MANY]);
        world.create(v4("a").annotated(annotation, "k").ports(&[80]));
        world.create(v4("b").annotated(annotation, "k").ports(&[443]));
        assert_eq!(world.addresses("a"), ["198.51.100.1"]);
        assert_eq!(world.addresses("b"), ["198.51.100.1"], "{annotation}");
        let object = &world.api.addresses[&ip("198.51.100.1")];
        assert_eq!(object.spec.sharing_key, "k");
        assert_eq!(world.holders("198.51.100.1"), Some(vec!["a".into(), "b".into()]));
        world.delete("a");
        assert_eq!(world.holders("198.51.100.1"), Some(vec!["b".into()]));
        world.delete("b");
        assert!(world.api.addresses.is_empty());
    }
}

#[test]
fn services_that_are_created_at_once_share_as_those_that_are_not() {
    let mut world = World::new(&[MANY]);
    for port in 0..10 {
        world.api.create_service(sharing(&format!("s{port}"), 8000 + port));
    }
    world.settle();
    assert_eq!(world.api.addresses.len(), 1);
}

/// TestAssignment, B3: refused for port, key or backend, with the reason; granted when that is put right.
#[test]
fn what_does_not_fit_is_refused_with_the_reason_and_shared_once_it_fits() {
    fn api() -> Labels {
        [("app", "api")].into_iter().collect()
    }

    let local = |it: Service| it.load_balancer(|it| it.local = true);
    let backend = "with externalTrafficPolicy Local, Services share an address only if they all have it, and the same \
                   selector";
    let cases: [(Service, Service, &str, Edit); 4] = [
        (sharing("a", 80), sharing("b", 80), "both use port 80/TCP", |it| {
            it.load_balancer.as_mut().unwrap().ports = vec![(Protocol::Tcp, 81)];
        }),
        (
            sharing("a", 80),
            v4("b").annotated(SHARING_KEY, "j").ports(&[443]),
            "they do not have the same sharing key",
            |it| annotate(it.load_balancer.as_mut().unwrap(), SHARING_KEY, "j"),
        ),
        (sharing("a", 80), local(sharing("b", 443)), backend, |it| {
            it.load_balancer.as_mut().unwrap().local = true;
        }),
        (
            local(sharing("a", 80)),
            Service { selector: Some(api()), ..local(sharing("b", 443)) },
            backend,
            |it| {
                it.selector = Some(api());
            },
        ),
    ];
    for (first, second, words, put_right) in cases {
        let mut world = World::new(&[ONE]);
        world.create(first.annotated(ADDRESSES, "198.51.100.7"));
        world.create(second.annotated(ADDRESSES, "198.51.100.7"));
        assert_eq!(
            world.told("b"),
            (
                "AddressInUse".into(),
                format!("198.51.100.7 is in use by Service shop/a, and cannot be shared: {words}")
            )
        );
        // What speaks against it is put right on the other Service.
        world.edit("a", put_right);
        assert_eq!(world.addresses("b"), ["198.51.100.7"], "{words}");
    }
}

#[test]
fn without_a_key_nothing_is_said_about_sharing() {
    let mut world = World::new(&[ONE]);
    world.create(v4("a"));
    world.create(v4("b").annotated(ADDRESSES, "198.51.100.7"));
    assert_eq!(world.message("b"), "198.51.100.7 is in use by Service shop/a");
}

/// TestAssignment: the key may be changed in place while alone; ports while sharing.
#[test]
fn key_and_ports_may_change_where_they_still_fit() {
    let mut world = World::new(&[MANY]);
    world.create(sharing("a", 80));
    world.writes();
    change(&mut world, "a", |it| annotate(it, SHARING_KEY, "j"));
    assert_eq!(world.api.addresses[&ip("198.51.100.1")].spec.sharing_key, "j");
    world.create(v4("b").annotated(SHARING_KEY, "j").ports(&[443]));
    change(&mut world, "b", |it| it.ports = vec![(Protocol::Tcp, 444), (Protocol::Udp, 80)]);
    assert_eq!(world.addresses("a"), world.addresses("b"));
}

/// The Service that was there first stays, the other moves: first the new address, then the old one goes.
#[test]
fn of_sharers_that_do_not_fit_any_more_the_later_one_moves() {
    let changes: [(&str, Change); 4] = [
        ("a", |it| it.ports = vec![(Protocol::Tcp, 443)]),
        ("b", |it| it.ports = vec![(Protocol::Tcp, 80)]),
        ("a", |it| annotate(it, SHARING_KEY, "j")),
        ("b", |it| it.local = true),
    ];
    for (who, what) in changes {
        let mut world = World::new(&[MANY]);
        world.create(sharing("a", 80));
        world.create(sharing("b", 443));
        world.writes();
        change(&mut world, who, what);
        assert_eq!(world.addresses("a"), ["198.51.100.1"], "{who}");
        assert_eq!(world.addresses("b"), ["198.51.100.2"], "{who}");
        assert_eq!(world.holders("198.51.100.1"), Some(vec!["a".into()]));
        let writes = world.writes();
        let at = |text: &str| {
            writes.iter().position(|write| write == text).unwrap_or_else(|| panic!("{writes:?}"))
        };
        assert!(at("create 198.51.100.2 for b") < at("publish b [198.51.100.2]"));
        assert!(at("publish b [198.51.100.2]") < at("update 198.51.100.1 for a"));
    }
}

#[test]
fn who_has_no_place_to_move_to_stays_and_says_why() {
    let mut world = World::new(&[ONE]);
    world.create(sharing("a", 80));
    world.create(sharing("b", 443));
    change(&mut world, "a", |it| it.ports = vec![(Protocol::Tcp, 443)]);
    assert_eq!(world.addresses("b"), ["198.51.100.7"]);
    assert_eq!(
        world.told("b"),
        (
            "AddressInUse".into(),
            "keeps 198.51.100.7: 198.51.100.7 is in use by Service shop/a, and cannot be shared: both use port \
             443/TCP; no free IPv4 address in pool public"
                .into()
        )
    );
    assert_eq!(world.reason("a"), "Assigned");
    world.edit_pool("public", |pool| pool.addresses.push("198.51.100.8-198.51.100.8".into()));
    assert_eq!(world.addresses("b"), ["198.51.100.8"]);
}

#[test]
fn across_namespaces_all_have_to_agree_or_the_pool() {
    for (consent_of_a, consent_of_b, any_namespace, shared) in [
        ("", "", false, false),
        ("bank", "", false, false),
        ("", "shop", false, false),
        ("bank", "shop", false, true),
        ("*", "*", false, true),
        ("", "", true, true),
    ] {
        let mut world = World::new(&[]);
        let sharing_of_pool = if any_namespace { Sharing::AnyNamespace } else { Sharing::SameNamespace };
        world.api.put_pool(Pool { sharing: sharing_of_pool, ..pool("public", MANY.1) });
        world.create(sharing("shop/a", 80).annotated(SHARE_WITH, consent_of_a));
        world.create(sharing("bank/b", 443).annotated(SHARE_WITH, consent_of_b));
        let together = world.addresses("shop/a") == world.addresses("bank/b");
        assert_eq!(together, shared, "{consent_of_a:?} {consent_of_b:?} {any_namespace}");
    }
}

#[test]
fn consent_that_is_withdrawn_moves_the_later_one() {
    let mut world = World::new(&[MANY]);
    world.create(sharing("shop/a", 80).annotated(SHARE_WITH, "bank"));
    world.create(sharing("bank/b", 443).annotated(SHARE_WITH, "*"));
    assert_eq!(world.addresses("shop/a"), world.addresses("bank/b"));
    change(&mut world, "shop/a", |it| annotate(it, SHARE_WITH, ""));
    assert_eq!(
        (world.addresses("shop/a"), world.addresses("bank/b")),
        (vec!["198.51.100.1".into()], vec!["198.51.100.2".into()])
    );
}

#[test]
fn local_is_told_to_speakers_and_follows_the_first_one() {
    let mut world = World::new(&[MANY]);
    world.create(sharing("a", 80).load_balancer(|it| it.local = true));
    let local = |world: &World| world.api.addresses[&ip("198.51.100.1")].spec.local;
    assert!(local(&world));
    change(&mut world, "a", |it| it.local = false);
    assert!(!local(&world));
}

#[test]
fn a_very_long_key_is_cut_in_the_object_and_compared_as_a_whole() {
    let long = "k".repeat(1500);
    let mut world = World::new(&[MANY]);
    world.create(v4("a").annotated(SHARING_KEY, &format!("{long}a")).ports(&[80]));
    world.create(v4("b").annotated(SHARING_KEY, &format!("{long}b")).ports(&[443]));
    world.create(v4("c").annotated(SHARING_KEY, &format!("{long}a")).ports(&[444]));
    assert_eq!(world.addresses("a"), world.addresses("c"));
    assert_ne!(world.addresses("a"), world.addresses("b"));
    assert_eq!(world.api.addresses[&ip("198.51.100.1")].spec.sharing_key.len(), 1024);
    assert!(world.api.services.contains_key(&key("a")));
}
