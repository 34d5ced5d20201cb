//! What Services are told about who answers for their addresses.

use fairlead_crds::{Layer2Announcement, Layer2AnnouncementSpec};
use fairlead_loadbalancer::records::Announcement;
use fairlead_objects::{FamilyPolicy, Node, Service, testing};
use jiff::SignedDuration;

use crate::world::{With, World, dual, ip, v4};

const PUBLIC: &[(&str, &[&str])] = &[("public", &["198.51.100.0/24", "2001:db8::/64"])];
const FIRST: &str = "198.51.100.1";

/// Three nodes with a speaker each, and a Service whose address nobody answers for yet.
fn published(service: Service) -> World {
    let mut world = World::new(PUBLIC);
    for node in ["node-1", "node-2", "node-3"] {
        world.api.put_node(node, &[]);
        world.api.put_speaker(node, &["eth0"]);
    }
    world.edit_pool("public", |pool| pool.probe = Some(fairlead_crds::Probe::Disabled));
    world.create(service);
    world.writes();
    world
}

fn announcement(world: &mut World, spec: &str) {
    let spec: Layer2AnnouncementSpec = serde_json::from_str(spec).unwrap();
    world.api.put_announcement(Announcement::from(Layer2Announcement::new("front", spec)));
}

#[test]
fn who_answers_is_told_once_it_has_answered_for_a_while() {
    let mut world = published(v4("web"));
    assert_eq!(world.reason("web"), "Assigned");
    // A failure: another node, and soon yet another one.
    for node in ["node-1", "node-2"] {
        world.answer(FIRST, node);
        world.manager.settle(&mut world.api, false);
        world.api.pass(SignedDuration::from_millis(500));
    }
    assert!(world.writes().is_empty());
    world.pass(1);
    assert_eq!(world.writes(), ["condition of web: Announced"]);
    assert_eq!(world.message("web"), "198.51.100.1 from pool public; node-2 answers for it on eth0");
    world.answer(FIRST, "node-3");
    world.settle();
    assert_eq!(world.writes(), ["condition of web: Announced"]);
    // That it moved is no event.
    let events: Vec<_> = world.manager.told.iter().map(|(_, event)| event.reason.as_str()).collect();
    assert_eq!(events, ["Assigned", "Announced"]);
}

#[test]
fn each_address_of_two_is_told_where_they_are_answered_for_differently() {
    let mut world = published(dual("web", FamilyPolicy::PreferDualStack));
    world.answer(FIRST, "node-1");
    world.answer("2001:db8::1", "node-2");
    world.pass(2);
    assert_eq!(
        world.message("web"),
        "198.51.100.1 and 2001:db8::1 from pool public; node-1 answers for 198.51.100.1 on eth0, node-2 answers for \
         2001:db8::1 on eth0"
    );
    assert_eq!(world.reason("web"), "Announced");
}

#[test]
fn a_gap_between_two_nodes_is_not_told() {
    let mut world = published(v4("web"));
    world.answer(FIRST, "node-1");
    world.settle();
    world.writes();
    world.fall_silent(FIRST);
    world.pass(4);
    assert!(world.writes().is_empty());
    world.answer(FIRST, "node-2");
    world.settle();
    assert_eq!(world.writes(), ["condition of web: Announced"]);
}

#[test]
fn if_nobody_answers_the_rule_that_excludes_each_node_is_told() {
    let excluding = [("node.kubernetes.io/exclude-from-external-load-balancers", "")];
    let mut world = published(v4("web"));
    world
        .api
        .put_whole_node(Node { labels: excluding.into_iter().collect(), ..testing::node("node-1", None) });
    world.api.put_whole_node(Node { out_of_service: true, ..testing::node("node-2", None) });
    world.api.put_node("node-4", &[]);
    world.pass(2);
    assert_eq!(world.reason("web"), "Assigned", "somebody may be about to answer");
    world.pass(2);
    assert_eq!(
        world.told("web"),
        (
            "NoEligibleNode".into(),
            "keeps 198.51.100.1: no node answers for 198.51.100.1: \
             node-1: labelled node.kubernetes.io/exclude-from-external-load-balancers; \
             node-2: tainted node.kubernetes.io/out-of-service; \
             node-4: no speaker runs there; \
             node-3: may answer, and does not yet"
                .into()
        )
    );
    assert_eq!(world.addresses("web"), [FIRST], "it is not withdrawn");
    world.answer(FIRST, "node-3");
    world.settle();
    assert_eq!(world.reason("web"), "Announced");
}

#[test]
fn announcements_that_exclude_all_nodes_are_told() {
    for (spec, expected) in [
        (
            r#"{"nodeSelectors": [{"matchLabels": {"role": "front"}}]}"#,
            "node-1, node-2 and node-3: not selected by a Layer2Announcement",
        ),
        (
            r#"{"interfaces": ["bond*", "vlan7"]}"#,
            "node-1, node-2 and node-3: without an interface bond* or vlan7",
        ),
        (
            r#"{"serviceSelectors": [{"matchLabels": {"app": "other"}}]}"#,
            "node-1, node-2 and node-3: no Layer2Announcement is for the address",
        ),
    ] {
        let mut world = published(v4("web"));
        announcement(&mut world, spec);
        world.pass(6);
        let expected = format!("keeps 198.51.100.1: no node answers for 198.51.100.1: {expected}");
        assert_eq!(world.message("web"), expected);
    }
}

#[test]
fn nodes_without_endpoints_are_told_where_only_those_with_one_may_answer() {
    let mut world = published(v4("web").load_balancer(|it| it.local = true));
    world.pass(6);
    assert_eq!(
        world.message("web"),
        "keeps 198.51.100.1: no node answers for 198.51.100.1: node-1, node-2 and node-3: without a ready endpoint"
    );
}

#[test]
fn what_changes_about_nodes_and_speakers_is_told() {
    let mut world = published(v4("web"));
    world.pass(6);
    assert!(
        world.message("web").contains("node-1, node-2 and node-3: may answer"),
        "{}",
        world.message("web")
    );
    world.writes();
    // Renewed Leases are no news.
    for node in ["node-1", "node-2", "node-3"] {
        world.api.put_speaker(node, &["eth0"]);
    }
    world.settle();
    assert!(world.writes().is_empty());
    world.api.put_whole_node(Node { out_of_service: true, ..testing::node("node-2", None) });
    world.settle();
    assert!(world.message("web").contains("node-2: tainted"), "{}", world.message("web"));
    // With all speakers gone nothing is known.
    world.pass(100);
    world.restart();
    world.settle();
    assert_eq!(world.reason("web"), "Assigned");
}

#[test]
fn a_restart_writes_nothing_whoever_answers() {
    let mut world = published(v4("announced"));
    world.create(v4("silent"));
    world.create(v4("in-conflict"));
    world.answer(FIRST, "node-1");
    world.answer("198.51.100.3", "node-1");
    world.in_conflict("198.51.100.3", false);
    world.pass(10);
    let reasons = |world: &World| ["announced", "silent", "in-conflict"].map(|name| world.reason(name));
    assert_eq!(reasons(&world), ["Announced", "NoEligibleNode", "Conflict"]);
    world.writes();
    world.restart();
    world.pass(10);
    assert_eq!(world.writes(), Vec::<String>::new());
    assert_eq!(reasons(&world), ["Announced", "NoEligibleNode", "Conflict"]);
}

#[test]
fn speakers_are_told_that_an_address_is_released() {
    let mut world = published(v4("web"));
    world.answer(FIRST, "node-1");
    world.settle();
    world.writes();
    world.delete("web");
    assert_eq!(world.writes(), ["cool 198.51.100.1", "delete 198.51.100.1"]);
    // Where none answers there is nobody to be told.
    let mut world = published(v4("web"));
    world.delete("web");
    assert_eq!(world.writes(), ["delete 198.51.100.1"]);
    assert!(!world.api.addresses.contains_key(&ip(FIRST)));
}
