//! Addresses are published when the network was asked for other users of them, where somebody can ask.

use std::time::Duration;

use fairlead_crds::Probe;
use fairlead_objects::FamilyPolicy;

use crate::world::{ADDRESSES, SHARING_KEY, With, World, annotate, dual, ip, v4};

const PUBLIC: &[(&str, &[&str])] = &[("public", &["198.51.100.0/24"])];
const FIRST: &str = "198.51.100.1";
const SECOND: &str = "198.51.100.2";

/// Pools that are patient, and a speaker.
fn with_speakers(pools: &[(&str, &[&str])]) -> World {
    let mut world = World::new(pools);
    for (name, _) in pools {
        world.edit_pool(name, |pool| pool.probe_timeout = Duration::from_secs(30));
    }
    world.api.put_speaker("node-1", &["eth0"]);
    world.settle();
    world.writes();
    world
}

#[test]
fn an_address_is_published_as_soon_as_it_was_probed_and_by_one_write() {
    let mut world = with_speakers(PUBLIC);
    world.create(v4("web"));
    assert!(world.addresses("web").is_empty());
    assert!(world.load_balancer("web").condition.is_none(), "there is nothing to tell yet");
    assert_eq!(world.writes(), ["create 198.51.100.1 for web"]);
    world.answer(FIRST, "node-1");
    world.settle();
    assert_eq!(world.writes(), ["publish web [198.51.100.1]"]);
    assert_eq!(
        world.told("web"),
        ("Announced".into(), "198.51.100.1 from pool public; node-1 answers for it on eth0".into())
    );
    world.pass(100);
    assert!(world.writes().is_empty());
}

#[test]
fn publishing_is_never_blocked() {
    let mut world = with_speakers(PUBLIC);
    world.edit_pool("public", |pool| pool.probe_timeout = Duration::from_secs(3));
    world.create(v4("web"));
    world.pass(1);
    assert!(world.addresses("web").is_empty());
    // Times of creation are whole seconds.
    world.pass(1);
    assert_eq!(world.addresses("web"), [FIRST]);
    assert_eq!(world.reason("web"), "Assigned");
    assert_eq!(
        world.writes(),
        ["create 198.51.100.1 for web", "nobody asked for 198.51.100.1", "publish web [198.51.100.1]"]
    );
    let conditions = &world.api.addresses[&ip(FIRST)].conditions;
    let told: Vec<_> = conditions.iter().map(|it| (it.type_.as_str(), it.status.as_str())).collect();
    assert_eq!(told, [("Probed", "Unknown")]);
}

#[test]
fn the_pool_decides_and_else_whether_somebody_can_probe() {
    for (probe, speakers, waits) in [
        (None, true, true),
        (None, false, false),
        (Some(Probe::Enabled), true, true),
        (Some(Probe::Enabled), false, true),
        (Some(Probe::Disabled), true, false),
        (Some(Probe::Disabled), false, false),
    ] {
        let mut world = if speakers { with_speakers(PUBLIC) } else { World::new(PUBLIC) };
        world.edit_pool("public", |pool| pool.probe = probe);
        world.create(v4("web"));
        assert_eq!(world.addresses("web").is_empty(), waits, "{probe:?}, speakers: {speakers}");
        let object = &world.api.addresses[&ip(FIRST)];
        assert_eq!(object.spec.probe, probe != Some(Probe::Disabled), "{probe:?}");
    }
}

#[test]
fn speakers_that_are_gone_are_not_waited_for() {
    let mut world = with_speakers(PUBLIC);
    world.pass(100);
    world.create(v4("web"));
    assert_eq!(world.addresses("web"), [FIRST]);
    assert_eq!(world.reason("web"), "Assigned");
}

#[test]
fn an_address_in_use_gives_way_to_the_next_one_and_rests() {
    let mut world = with_speakers(PUBLIC);
    world.create(v4("web"));
    world.writes();
    world.in_conflict(FIRST, true);
    world.settle();
    assert_eq!(world.writes(), ["create 198.51.100.2 for web", "cool 198.51.100.1"]);
    assert_eq!(world.holders(FIRST), None);
    world.answer(SECOND, "node-1");
    world.settle();
    assert_eq!(world.addresses("web"), [SECOND]);
    world.pass(9 * 60);
    world.create(v4("other"));
    assert_eq!(world.holders("198.51.100.3"), Some(vec!["other".into()]));
    world.pass(60);
    assert!(!world.api.addresses.contains_key(&ip(FIRST)), "it is free again");
}

#[test]
fn a_pool_whose_cool_down_is_longer_keeps_it_longer() {
    let mut world = with_speakers(PUBLIC);
    world.edit_pool("public", |pool| pool.cool_down = Duration::from_hours(1));
    world.create(v4("web"));
    world.in_conflict(FIRST, true);
    world.settle();
    world.pass(30 * 60);
    assert!(world.api.addresses[&ip(FIRST)].cooling_until.is_some());
    world.pass(31 * 60);
    assert!(!world.api.addresses.contains_key(&ip(FIRST)));
}

#[test]
fn who_asks_for_an_address_in_use_is_told_by_whom_and_gets_it_when_it_is_free() {
    let mut world = with_speakers(PUBLIC);
    world.create(v4("web").annotated(ADDRESSES, FIRST));
    world.in_conflict(FIRST, true);
    world.settle();
    let (reason, message) = world.told("web");
    assert_eq!(reason, "Conflict");
    assert!(
        message.starts_with(
            "198.51.100.1 is used by another device with MAC address 02:00:00:00:00:99; it is given to nobody until "
        ),
        "{message}"
    );
    assert!(world.addresses("web").is_empty());
    world.pass(11 * 60);
    assert_eq!(world.holders(FIRST), Some(vec!["web".into()]), "it is tried again");
    world.answer(FIRST, "node-1");
    world.settle();
    assert_eq!(world.addresses("web"), [FIRST]);
}

#[test]
fn the_last_address_of_a_pool_in_use_leaves_nothing() {
    let mut world = with_speakers(&[("public", &["198.51.100.1-198.51.100.1"])]);
    world.create(v4("web"));
    world.in_conflict(FIRST, true);
    world.settle();
    assert_eq!(world.reason("web"), "PoolExhausted");
    assert!(world.api.addresses[&ip(FIRST)].cooling_until.is_some());
}

#[test]
fn what_is_published_is_not_withdrawn_for_a_conflict() {
    let mut world = with_speakers(PUBLIC);
    world.create(v4("web"));
    world.answer(FIRST, "node-1");
    world.settle();
    world.in_conflict(FIRST, false);
    world.settle();
    assert_eq!(world.addresses("web"), [FIRST]);
    assert_eq!(
        world.told("web"),
        (
            "Conflict".into(),
            "keeps 198.51.100.1: 198.51.100.1 is used by another device with MAC address 02:00:00:00:00:99"
                .into()
        )
    );
    world.api.edit_address(ip(FIRST), |object| object.conflict = None);
    world.settle();
    assert_eq!(world.reason("web"), "Announced");
    // Nor if it was published before it was asked for.
    let mut world = with_speakers(PUBLIC);
    world.create(v4("web"));
    world.pass(30);
    world.in_conflict(FIRST, true);
    world.settle();
    assert_eq!(
        (world.addresses("web"), world.reason("web")),
        (vec![FIRST.to_owned()], "Conflict".to_owned())
    );
}

#[test]
fn a_working_address_stays_until_its_replacement_was_probed() {
    let mut world = with_speakers(PUBLIC);
    world.create(v4("web"));
    world.answer(FIRST, "node-1");
    world.settle();
    world.edit("web", |it| annotate(it.load_balancer.as_mut().unwrap(), ADDRESSES, "198.51.100.9"));
    assert_eq!(world.addresses("web"), [FIRST]);
    assert_eq!(world.holders(FIRST), Some(vec!["web".into()]));
    world.in_conflict("198.51.100.9", true);
    world.settle();
    assert_eq!(world.addresses("web"), [FIRST]);
    let (reason, message) = world.told("web");
    assert_eq!(reason, "Conflict");
    assert!(message.starts_with("keeps 198.51.100.1: 198.51.100.9 is used by another device"), "{message}");
    world.edit("web", |it| annotate(it.load_balancer.as_mut().unwrap(), ADDRESSES, "198.51.100.8"));
    world.answer("198.51.100.8", "node-1");
    world.settle();
    assert_eq!(world.addresses("web"), ["198.51.100.8"]);
    assert_eq!(world.holders(FIRST), None);
}

#[test]
fn both_families_are_published_at_once() {
    let mut world = with_speakers(&[("public", &["198.51.100.0/24", "2001:db8::/64"])]);
    world.create(dual("web", FamilyPolicy::PreferDualStack));
    world.answer(FIRST, "node-1");
    world.settle();
    assert!(world.addresses("web").is_empty());
    world.writes();
    world.answer("2001:db8::1", "node-1");
    world.settle();
    assert_eq!(world.writes(), ["publish web [198.51.100.1,2001:db8::1]"]);
    assert_eq!(
        world.message("web"),
        "198.51.100.1 and 2001:db8::1 from pool public; node-1 answers for them on eth0"
    );
}

#[test]
fn who_joins_gets_the_address_as_it_is() {
    let mut world = with_speakers(PUBLIC);
    world.create(v4("a").annotated(SHARING_KEY, "k").ports(&[80]));
    world.create(v4("b").annotated(SHARING_KEY, "k").ports(&[81]));
    assert!(world.addresses("a").is_empty() && world.addresses("b").is_empty());
    world.answer(FIRST, "node-1");
    world.settle();
    for name in ["a", "b"] {
        assert_eq!(world.addresses(name), [FIRST]);
    }
    world.create(v4("c").annotated(SHARING_KEY, "k").ports(&[82]));
    assert_eq!(world.addresses("c"), [FIRST]);
}

#[test]
fn a_service_that_is_deleted_while_its_address_is_probed_gives_it_back() {
    let mut world = with_speakers(PUBLIC);
    world.create(v4("web"));
    world.delete("web");
    assert!(world.api.addresses.is_empty());
}

#[test]
fn a_restart_while_an_address_is_probed_goes_on_waiting_for_it() {
    let mut world = with_speakers(PUBLIC);
    world.create(v4("web"));
    world.writes();
    world.restart();
    assert!(world.writes().is_empty() && world.addresses("web").is_empty());
    world.answer(FIRST, "node-1");
    world.settle();
    assert_eq!(world.addresses("web"), [FIRST]);
}
