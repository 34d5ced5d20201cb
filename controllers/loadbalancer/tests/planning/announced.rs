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
    // Where none runs that anybody misses, something else may bring the addresses to the nodes.
    for node in ["node-1", "node-2", "node-3"] {
        world.api.end_speaker(node);
    }
    world.settle();
    assert_eq!(world.reason("web"), "Assigned");
}

/// Seconds pass in which the manager looks for speakers every five.
fn watch(world: &mut World, seconds: i64) {
    for _ in 0..seconds / 5 {
        world.pass(5);
        world.manager.watch(&world.api);
        world.manager.settle(&mut world.api, false);
    }
}

#[test]
fn when_all_speakers_are_lost_nobody_answers_any_more() {
    let mut world = published(v4("web"));
    world.answer(FIRST, "node-2");
    world.settle();
    assert_eq!(world.reason("web"), "Announced");
    world.writes();
    let silent_from = world.api.now;
    for node in ["node-1", "node-2", "node-3"] {
        world.api.put_speaker(node, &["eth0"]);
    }
    watch(&mut world, 85);
    assert!(world.writes().is_empty(), "each may be about to renew its Lease");
    watch(&mut world, 20);
    assert_eq!(world.writes(), ["nobody answers for 198.51.100.1", "condition of web: NoEligibleNode"]);
    let ran_out = silent_from.checked_add(SignedDuration::from_secs(90)).unwrap();
    let object = &world.api.addresses[&ip(FIRST)];
    assert!(!object.announced && object.answering.is_none());
    assert_eq!(
        object.conditions[0].message,
        format!(
            "node-2 answered for it on eth0, and the Lease of its speaker ran out at {ran_out:.0}: it does not run, or does \
             not reach the API server"
        )
    );
    assert_eq!(
        world.message("web"),
        format!(
            "keeps 198.51.100.1: no node answers for 198.51.100.1: node-1, node-2 and node-3: nothing has been heard of its \
             speaker, whose Lease ran out by {ran_out:.0}"
        )
    );
    // Nothing changes, nothing is written; nor by another process.
    watch(&mut world, 300);
    world.restart();
    watch(&mut world, 300);
    assert_eq!(world.writes(), Vec::<String>::new());
    // One is back, before it answers and then.
    world.api.put_speaker("node-1", &["eth0"]);
    world.settle();
    assert!(
        world.message("web").contains("node-1: may answer, and does not yet"),
        "{}",
        world.message("web")
    );
    world.answer(FIRST, "node-1");
    world.settle();
    assert_eq!(world.reason("web"), "Announced");
    world.writes();
    for _ in 0..4 {
        world.api.put_speaker("node-1", &["eth0"]);
        watch(&mut world, 60);
    }
    assert_eq!(world.writes(), Vec::<String>::new());
}

#[test]
fn what_is_no_proof_that_a_speaker_is_lost_changes_nothing() {
    let published = || {
        let mut world = published(v4("web"));
        world.answer(FIRST, "node-2");
        world.settle();
        watch(&mut world, 20);
        world.writes();
        world
    };
    let assert_calm = |world: &mut World, about: &str| {
        assert_eq!(world.writes(), Vec::<String>::new(), "{about}");
        assert_eq!(world.reason("web"), "Announced", "{about}");
    };

    let mut world = published();
    let long_ago = world.api.now.checked_sub(SignedDuration::from_hours(1)).unwrap();
    for renewal in 0..10 {
        let until = long_ago.checked_add(SignedDuration::from_secs(30 * renewal)).unwrap();
        world.api.put_speaker_until("node-2", &["eth0"], until);
        watch(&mut world, 30);
    }
    assert_calm(&mut world, "its clock is wrong, and it renews its Lease");

    let mut world = published();
    for _ in 0..10 {
        world.manager.ledger.doubt_speakers();
        watch(&mut world, 60);
    }
    assert_calm(&mut world, "the API server does not answer either");

    let mut world = published();
    world.api.pass(SignedDuration::from_secs(600));
    watch(&mut world, 60);
    assert_calm(&mut world, "the manager stood still");

    let mut world = published();
    for _ in 0..10 {
        watch(&mut world, 60);
        world.restart();
    }
    assert_calm(&mut world, "the manager starts again and again");

    let mut world = published();
    for address in 10..20 {
        // It may not write its Lease, and goes on.
        world.api.edit_address(ip(FIRST), |object| {
            object.answering.as_mut().unwrap().interface = format!("eth{address}").as_str().into();
        });
        watch(&mut world, 60);
    }
    world.writes();
    assert_eq!(world.reason("web"), "Announced", "its reports are signs, too");
}

#[test]
fn a_speaker_that_ended_without_telling_is_told_for() {
    for (about, end) in [
        ("its speaker has ended", (|world| world.api.end_speaker("node-2")) as fn(&mut World)),
        ("its speaker has no Lease", |world| world.api.remove_speaker("node-2")),
    ] {
        let mut world = published(v4("web"));
        world.answer(FIRST, "node-2");
        world.settle();
        watch(&mut world, 10);
        end(&mut world);
        watch(&mut world, 5);
        assert_eq!(world.reason("web"), "Announced", "{about}: another one may be taking it over");
        for _ in 0..4 {
            for node in ["node-1", "node-3"] {
                world.api.put_speaker(node, &["eth0"]);
            }
            watch(&mut world, 30);
        }
        let object = &world.api.addresses[&ip(FIRST)];
        assert!(object.answering.is_none(), "{about}");
        assert!(object.conditions[0].message.contains(about), "{}", object.conditions[0].message);
        assert!(
            world.message("web").contains("node-1 and node-3: may answer, and does not yet"),
            "{about}: {}",
            world.message("web")
        );
        assert!(world.message("web").contains("node-2: no speaker runs there"), "{about}");
    }
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
