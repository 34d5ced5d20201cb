//! Addresses that are kept for a Service, and addresses that are kept free for a while.

use std::time::Duration;

use fairlead_crds::ReservationPhase;
use fairlead_loadbalancer::records::{Reservation, ReservationStatus, ReservedFor};
use fairlead_objects::{FamilyPolicy, Service};

use crate::world::{ADDRESSES, POOL, With, World, dual, ip, key, reservation, v4};

const MANY: &[(&str, &[&str])] = &[("public", &["198.51.100.0/24", "2001:db8::/64"])];

fn status<'a>(world: &'a World, name: &str) -> &'a ReservationStatus {
    &world.api.reservations[&key(name)].status
}

fn put(world: &mut World, reservation: Reservation) {
    world.api.put_reservation(reservation);
    world.settle();
}

#[test]
fn a_reservation_waits_for_its_service_and_survives_it() {
    let mut world = World::new(MANY);
    put(&mut world, reservation("keep", "web", &["198.51.100.1", "2001:db8::9"]));
    assert_eq!(status(&world, "keep").phase, ReservationPhase::Waiting);
    assert_eq!(status(&world, "keep").addresses, [ip("198.51.100.1"), ip("2001:db8::9")]);
    let usage = world.api.pools[&"public".into()].status.ipv4.unwrap();
    assert_eq!((usage.reserved, usage.assigned, usage.free), (1, 0, 253));
    // Others are given something else, and refused by name.
    world.create(v4("other"));
    assert_eq!(world.addresses("other"), ["198.51.100.2"]);
    world.create(v4("thief").annotated(ADDRESSES, "198.51.100.1"));
    assert_eq!(
        world.told("thief"),
        (
            "NotPermitted".into(),
            "198.51.100.1 is reserved for Service shop/web (ServiceReservation shop/keep)".into()
        )
    );
    world.create(v4("bank/web").annotated(ADDRESSES, "198.51.100.1"));
    assert_eq!(world.reason("bank/web"), "NotPermitted");
    for _ in 0..2 {
        world.create(dual("web", FamilyPolicy::PreferDualStack));
        assert_eq!(world.addresses("web"), ["198.51.100.1", "2001:db8::9"]);
        assert_eq!(status(&world, "keep").phase, ReservationPhase::Bound);
        assert_eq!(status(&world, "keep").bound_to, "web");
        world.delete("web");
        assert_eq!(status(&world, "keep").phase, ReservationPhase::Waiting);
    }
    world.api.delete_reservation(&key("keep"));
    world.settle();
    assert_eq!(world.addresses("thief"), ["198.51.100.1"]);
}

#[test]
fn by_labels_the_first_of_the_services_has_it() {
    let mut world = World::new(MANY);
    let selector: k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector =
        serde_json::from_str(r#"{"matchLabels": {"team": "checkout"}}"#).unwrap();
    let by_label = ReservedFor::Selector((&selector).into());
    put(&mut world, Reservation { service: by_label, ..reservation("keep", "", &["198.51.100.9"]) });
    let other_team = [("team", "search")].into_iter().collect();
    world.create(Service { labels: other_team, ..v4("search") }.annotated(ADDRESSES, "198.51.100.9"));
    assert_eq!(
        world.message("search"),
        "198.51.100.9 is reserved for Services of namespace shop (ServiceReservation shop/keep)"
    );
    world.create(v4("a"));
    world.create(v4("b"));
    assert_eq!(
        (world.addresses("a"), world.addresses("b")),
        (vec!["198.51.100.9".into()], vec!["198.51.100.1".into()])
    );
}

#[test]
fn the_older_of_two_reservations_has_it() {
    let mut world = World::new(MANY);
    put(&mut world, reservation("first", "web", &["198.51.100.9"]));
    put(&mut world, reservation("second", "api", &["198.51.100.9"]));
    assert_eq!(status(&world, "second").phase, ReservationPhase::Conflict);
    let accepted = &status(&world, "second").conditions[0];
    assert_eq!(
        (accepted.status, &*accepted.reason, &*accepted.message),
        (false, "AddressInUse", "198.51.100.9 is reserved by ServiceReservation shop/first, which is older")
    );
    world.api.delete_reservation(&key("first"));
    world.settle();
    assert_eq!(status(&world, "second").phase, ReservationPhase::Waiting);
    assert!(status(&world, "second").conditions[0].status);
}

#[test]
fn what_somebody_has_is_kept_for_the_reservation_once_it_is_free() {
    let mut world = World::new(MANY);
    world.create(v4("other"));
    put(&mut world, reservation("keep", "web", &["198.51.100.1"]));
    assert_eq!(status(&world, "keep").phase, ReservationPhase::Conflict);
    assert_eq!(
        &*status(&world, "keep").conditions[0].message,
        "198.51.100.1 is in use by Service shop/other; it is kept for this reservation once it is free"
    );
    assert_eq!(world.addresses("other"), ["198.51.100.1"], "what works is not taken away");
    world.create(v4("web"));
    assert_eq!(world.addresses("web"), ["198.51.100.2"]);
    world.delete("other");
    assert_eq!(status(&world, "keep").phase, ReservationPhase::Waiting);
    assert_eq!(world.addresses("web"), ["198.51.100.2"], "nor does anything jump");
    world.create(v4("late"));
    assert_eq!(world.addresses("late"), ["198.51.100.3"]);
}

#[test]
fn of_a_pool_alone_an_address_is_picked_once_or_the_one_that_the_service_has() {
    let mut world = World::new(MANY);
    let of_pool = |name: &str, service: &str| Reservation {
        pool: Some("public".into()),
        ..reservation(name, service, &[])
    };
    put(&mut world, of_pool("keep", "web"));
    assert_eq!(status(&world, "keep").addresses, [ip("198.51.100.1"), ip("2001:db8::1")]);
    world.create(v4("other"));
    assert_eq!(world.addresses("other"), ["198.51.100.2"]);
    world.create(dual("web", FamilyPolicy::RequireDualStack));
    assert_eq!(world.addresses("web"), ["198.51.100.1", "2001:db8::1"]);
    world.restart();
    assert_eq!(status(&world, "keep").addresses, [ip("198.51.100.1"), ip("2001:db8::1")]);

    put(&mut world, of_pool("kept", "other"));
    assert_eq!(status(&world, "kept").addresses, [ip("198.51.100.2"), ip("2001:db8::2")]);
    assert_eq!(status(&world, "kept").phase, ReservationPhase::Bound);
    world.delete("other");
    world.create(v4("another"));
    assert_eq!(world.addresses("another"), ["198.51.100.3"]);
    world.create(v4("other"));
    assert_eq!(world.addresses("other"), ["198.51.100.2"]);
}

#[test]
fn what_cannot_be_held_is_told() {
    for (addresses, pool, reason, words) in [
        (&["192.0.2.1"][..], None, "AddressNotInPool", "192.0.2.1 is in no pool"),
        (
            &["198.51.100.0"],
            None,
            "AddressNotInPool",
            "198.51.100.0 lies in pool public, but is the network address there",
        ),
        (
            &["198.51.100.9"],
            Some("other"),
            "AddressNotInPool",
            "198.51.100.9 is in pool public, not in pool other",
        ),
        (&[], Some("other"), "NoPool", "there is no LoadBalancerPool other"),
    ] {
        let mut world = World::new(MANY);
        put(&mut world, Reservation { pool: pool.map(Into::into), ..reservation("keep", "web", addresses) });
        let accepted = &status(&world, "keep").conditions[0];
        assert_eq!((accepted.status, &*accepted.reason, &*accepted.message), (false, reason, words));
        assert!(status(&world, "keep").addresses.is_empty());
    }
}

#[test]
fn an_exhausted_pool_has_nothing_to_reserve_until_it_has() {
    let mut world = World::new(&[("small", &["198.51.100.7-198.51.100.7"])]);
    world.create(v4("other"));
    put(&mut world, Reservation { pool: Some("small".into()), ..reservation("keep", "web", &[]) });
    let accepted = &status(&world, "keep").conditions[0];
    assert_eq!(
        (&*accepted.reason, &*accepted.message),
        ("PoolExhausted", "no free IPv4 address in pool small")
    );
    world.delete("other");
    assert_eq!(status(&world, "keep").addresses, [ip("198.51.100.7")]);
}

#[test]
fn reserved_addresses_can_be_had_where_requests_are_denied_and_pools_are_not_picked_from() {
    let mut world = World::new(MANY);
    world.edit_pool("public", |pool| {
        pool.requests = fairlead_crds::Requests::Denied;
        pool.auto_assign = false;
    });
    put(&mut world, reservation("keep", "web", &["198.51.100.9"]));
    world.create(v4("web").annotated(ADDRESSES, "198.51.100.9"));
    assert_eq!(world.addresses("web"), ["198.51.100.9"]);
    world.delete("web");
    world.create(v4("web"));
    assert_eq!(world.addresses("web"), ["198.51.100.9"]);
}

#[test]
fn a_wish_for_another_pool_counts_more_than_a_reservation() {
    let mut world = World::new(&[MANY[0], ("two", &["203.0.113.0/24"])]);
    put(&mut world, reservation("keep", "web", &["198.51.100.9"]));
    world.create(v4("web").annotated(POOL, "two"));
    assert_eq!(world.addresses("web"), ["203.0.113.1"]);
}

#[test]
fn a_released_address_cools_down_and_only_its_reservation_may_end_that() {
    let mut world = World::new(&[("public", &["198.51.100.7-198.51.100.8"])]);
    world.edit_pool("public", |pool| pool.cool_down = Duration::from_mins(5));
    put(&mut world, reservation("keep", "web", &["198.51.100.7"]));
    world.create(v4("web"));
    world.create(v4("other"));
    world.create(v4("late"));
    world.writes();
    world.delete("web");
    world.delete("other");
    let mut writes = world.writes();
    writes.sort();
    assert_eq!(writes, ["cool 198.51.100.7", "cool 198.51.100.8", "status of reservation shop/keep"]);
    let usage = world.api.pools[&"public".into()].status.ipv4.unwrap();
    assert_eq!((usage.cooling, usage.free), (2, 0));
    assert_eq!(world.reason("late"), "PoolExhausted");
    world.create(v4("asks").annotated(ADDRESSES, "198.51.100.8"));
    let words = world.message("asks");
    assert!(
        words.starts_with(
            "198.51.100.8 was released a short time ago, and is kept free until 2026-01-01T12:05:"
        ),
        "{words}"
    );
    world.create(v4("web"));
    assert_eq!(world.addresses("web"), ["198.51.100.7"]);
    world.pass(310);
    // What has waited longest has it now.
    assert_eq!(
        (world.addresses("late"), world.reason("asks")),
        (vec!["198.51.100.8".into()], "AddressInUse".into())
    );
}
