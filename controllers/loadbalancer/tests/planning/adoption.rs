//! Addresses that Services have already, and objects that others delete, duplicate or leave behind.

use std::time::Duration;

use fairlead_loadbalancer::records::{Address, AddressSpec, Holder};
use fairlead_objects::{FamilyPolicy, Ingress, IngressPoint, Service};

use crate::manager::Manager;
use crate::world::{POOL, SHARING_KEY, With, World, annotate, dual, ip, key, pool, v4};

const PUBLIC: &[(&str, &[&str])] = &[("public", &["198.51.100.0/24", "2001:db8::/64"])];

fn with_address(service: Service, address: &str) -> Service {
    let at = IngressPoint::Address(ip(address));
    service.load_balancer(|it| it.ingress.push(Ingress { at, proxy_mode: false, has_ports: false }))
}

#[test]
fn an_address_of_a_pool_that_a_service_carries_is_taken_over_before_anything_is_given_out() {
    let mut world = World::new(&[]);
    world.api.create_service(v4("a-new-one"));
    world.api.create_service(with_address(v4("web"), "198.51.100.1"));
    world.api.put_pool(pool("public", PUBLIC[0].1));
    world.settle();
    assert_eq!(world.addresses("web"), ["198.51.100.1"]);
    assert_eq!(world.holders("198.51.100.1"), Some(vec!["web".into()]));
    assert_eq!(world.addresses("a-new-one"), ["198.51.100.2"]);
    assert_eq!(world.message("web"), "198.51.100.1 from pool public");
}

#[test]
fn deleted_objects_come_back_and_no_status_changes() {
    let mut world = World::new(PUBLIC);
    world.create(dual("web", FamilyPolicy::RequireDualStack));
    world.create(v4("a").annotated(SHARING_KEY, "k").ports(&[80]));
    world.create(v4("b").annotated(SHARING_KEY, "k").ports(&[443]));
    world.writes();
    let all: Vec<_> = world.api.addresses.keys().copied().collect();
    for address in &all {
        world.api.delete_address(*address);
    }
    world.settle();
    assert_eq!(world.api.addresses.keys().copied().collect::<Vec<_>>(), all);
    assert!(
        world.writes().iter().all(|write| !write.starts_with("publish") && !write.starts_with("condition"))
    );
    assert_eq!(world.holders("198.51.100.2").unwrap().len(), 2);
}

/// CRDs deleted and installed again while no controller runs: pools and addresses are gone, and come back in any order.
#[test]
fn reinstalled_kinds_change_no_address() {
    let mut world = World::new(PUBLIC);
    for name in ["a", "b", "c"] {
        world.create(v4(name));
    }
    let before: Vec<_> = ["a", "b", "c"].iter().map(|name| world.addresses(name)).collect();
    let all: Vec<_> = world.api.addresses.keys().copied().collect();
    for address in &all {
        world.api.delete_address(*address);
    }
    world.api.delete_pool("public");
    world.restart();
    world.create(v4("new"));
    world.api.put_pool(pool("public", PUBLIC[0].1));
    world.settle();
    assert_eq!(["a", "b", "c"].map(|name| world.addresses(name)).to_vec(), before);
    assert_eq!(world.message("a"), "198.51.100.1 from pool public");
    assert_eq!(world.api.addresses[&ip("198.51.100.1")].spec.pool, "public");
    assert_eq!(world.addresses("new"), ["198.51.100.4"]);
}

#[test]
fn a_restart_writes_nothing() {
    let mut world = World::new(PUBLIC);
    for name in ["a", "b", "c"] {
        world.create(dual(name, FamilyPolicy::PreferDualStack));
    }
    world.create(v4("asks").annotated(POOL, "missing"));
    world.writes();
    world.restart();
    world.pass(600);
    assert_eq!(world.writes(), [] as [String; 0]);
    assert!(world.api.writes.is_empty());
}

#[test]
fn a_restored_service_keeps_its_address_under_its_new_uid() {
    for cool_down in [0, 60] {
        for deletion_is_seen in [false, true] {
            let mut world = World::new(PUBLIC);
            world.edit_pool("public", |pool| pool.cool_down = Duration::from_secs(cool_down));
            world.create(v4("web"));
            let saved = Service::clone(&world.api.services[&key("web")]);
            world.api.delete_service(&key("web"));
            if deletion_is_seen {
                world.settle();
            }
            world.create(saved);
            assert_eq!(world.addresses("web"), ["198.51.100.1"]);
            let object = &world.api.addresses[&ip("198.51.100.1")];
            assert_eq!(object.cooling_until, None);
            assert_eq!(object.spec.services[0].uid, world.api.services[&key("web")].uid);
        }
    }
}

/// A restored status names what somebody else has got meanwhile.
#[test]
fn who_has_the_object_has_the_address() {
    let mut world = World::new(PUBLIC);
    world.create(v4("web"));
    let saved = Service::clone(&world.api.services[&key("web")]);
    world.delete("web");
    world.create(v4("other"));
    assert_eq!(world.addresses("other"), ["198.51.100.1"]);
    world.create(saved);
    assert_eq!(world.addresses("other"), ["198.51.100.1"]);
    assert_eq!(world.addresses("web"), ["198.51.100.2"]);
}

#[test]
fn of_two_that_carry_one_address_without_an_object_the_older_has_it() {
    let mut world = World::new(PUBLIC);
    world.api.create_service(with_address(v4("z-older"), "198.51.100.9"));
    world.api.create_service(with_address(v4("a-younger"), "198.51.100.9"));
    world.settle();
    assert_eq!(world.addresses("z-older"), ["198.51.100.9"]);
    assert_eq!(world.addresses("a-younger"), ["198.51.100.1"]);
}

/// Two controllers raced: each has created an address for the same Service.
#[test]
fn of_several_addresses_the_one_that_is_published_stays_or_else_the_oldest() {
    for published in [None, Some("198.51.100.9")] {
        let mut world = World::new(PUBLIC);
        let mut service = v4("web");
        if let Some(address) = published {
            service = with_address(service, address);
        }
        world.api.create_service(service);
        let holder = Holder { key: key("web"), uid: world.api.services[&key("web")].uid.clone() };
        for address in ["198.51.100.7", "198.51.100.9"] {
            let spec = AddressSpec {
                pool: "public".into(),
                services: vec![holder.clone()],
                ..AddressSpec::default()
            };
            let create = fairlead_loadbalancer::Action::Create { address: ip(address), spec };
            world.api.apply(&create).unwrap();
        }
        world.settle();
        let kept = published.unwrap_or("198.51.100.7");
        assert_eq!(world.addresses("web"), [kept]);
        assert_eq!(world.api.addresses.keys().copied().collect::<Vec<_>>(), [ip(kept)]);
    }
}

#[test]
fn what_names_nobody_or_somebody_who_is_gone_is_deleted() {
    let mut world = World::new(PUBLIC);
    let gone = Holder { key: key("gone"), uid: "u".into() };
    for (address, services) in [("198.51.100.7", vec![]), ("198.51.100.8", vec![gone])] {
        let spec = AddressSpec { pool: "public".into(), services, ..AddressSpec::default() };
        world.api.apply(&fairlead_loadbalancer::Action::Create { address: ip(address), spec }).unwrap();
    }
    world.restart();
    assert!(world.api.addresses.is_empty());
}

/// A crash after each write: another process takes over from there.
#[test]
fn a_crash_between_any_two_writes_loses_and_leaks_nothing() {
    for writes in 0..6 {
        let mut world = World::new(&[PUBLIC[0], ("two", &["203.0.113.0/24"])]);
        world.create(v4("other").annotated(SHARING_KEY, "k").ports(&[443]));
        world.create(v4("web"));
        world.api.edit_service(&key("web"), |it| annotate(it.load_balancer.as_mut().unwrap(), POOL, "two"));
        world.writes();
        world.manager.observe_all(&world.api);
        while world.api.writes.len() < writes && world.manager.step(&mut world.api) {}
        world.restart();
        assert_eq!(world.addresses("web"), ["203.0.113.1"]);
        assert_eq!(world.api.addresses.len(), 2, "after {writes} writes");
    }
}

/// A cache that is late takes nothing for gone: a live look says that the Service is there.
#[test]
fn nothing_is_released_that_a_live_look_finds_in_use() {
    let mut world = World::new(PUBLIC);
    world.create(v4("web"));
    world.writes();
    // This process has never heard of the Service, only of its address.
    let mut late = Manager::start(&world.api, None);
    late.ledger.remove_service(&key("web"));
    late.enqueue_affected();
    late.settle(&mut world.api, false);
    assert_eq!(world.api.writes, [] as [String; 0]);
    assert_eq!(world.holders("198.51.100.1"), Some(vec!["web".into()]));
}

#[test]
fn an_object_is_kept_up_to_date() {
    let mut world = World::new(PUBLIC);
    world.create(v4("web"));
    let before = world.api.addresses[&ip("198.51.100.1")].spec.clone();
    let edits: [fn(&mut Address); 4] = [
        |object| object.spec.pool = "other".into(),
        |object| object.pool_label = None,
        |object| object.spec.announcements.clear(),
        |object| object.spec.local = true,
    ];
    for edit in edits {
        world.api.edit_address(ip("198.51.100.1"), edit);
        world.settle();
        let object = &world.api.addresses[&ip("198.51.100.1")];
        assert_eq!((&object.spec, object.pool_label.as_deref()), (&before, Some("public")));
    }
    let announcement: fairlead_crds::Layer2Announcement = serde_json::from_value(serde_json::json!({
        "apiVersion": "fairlead.dev/v1alpha1", "kind": "Layer2Announcement",
        "metadata": {"name": "rack-1"}, "spec": {"interfaces": ["eth*"]},
    }))
    .unwrap();
    world.api.put_announcement(announcement.into());
    world.settle();
    let announcements = &world.api.addresses[&ip("198.51.100.1")].spec.announcements;
    assert_eq!((announcements.len(), announcements[0].name.as_str()), (1, "rack-1"));
}
