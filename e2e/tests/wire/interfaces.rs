//! Interfaces that come, go and change while a speaker runs.

use std::net::{IpAddr, Ipv4Addr};

use fairlead_speaker::links::News;
use lab::{Arp, Content, Mac};

use crate::bed::{Bed, PATIENCE, QUIET};
use crate::speaker::Speaker;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 64);

fn lost(speaker: &mut Speaker) {
    speaker.news(|_, news| {
        matches!(news, News::Lost { address, .. } if *address == IpAddr::from(ADDRESS)).then_some(())
    });
}

#[test]
fn an_interface_that_was_down_or_unplugged_is_answered_on_again() {
    let bed = Bed::new();
    let (node, client) = (bed.node(11), bed.node(200));
    let mut speaker = Speaker::start(&node);
    speaker.want("eth0", &[ADDRESS.into()]);
    speaker.owns(ADDRESS.into());
    let (tap, mac) = (client.tap(), node.mac("eth0"));
    tap.ask_until(200, ADDRESS.into(), |found| found == mac);

    node.ip("link set eth0 down");
    speaker.link("eth0", |link| !link.running);
    lost(&mut speaker);
    node.ip("link set eth0 up");
    speaker.owns(ADDRESS.into());
    tap.ask_until(200, ADDRESS.into(), |found| found == mac);

    bed.set_connected(11, false);
    speaker.link("eth0", |link| !link.running);
    lost(&mut speaker);
    bed.set_connected(11, true);
    speaker.owns(ADDRESS.into());
    tap.ask_until(200, ADDRESS.into(), |found| found == mac);
}

#[test]
fn an_interface_that_is_made_late_or_anew_is_found() {
    let bed = Bed::new();
    let (node, client) = (bed.host("node"), bed.node(200));
    let mut speaker = Speaker::start(&node);
    assert!(speaker.wires.links().borrow().is_empty());
    bed.plug(&node, "eth0", 11);
    let first = speaker.want("eth0", &[ADDRESS.into()]);
    speaker.owns(ADDRESS.into());
    let tap = client.tap();
    tap.ask_until(200, ADDRESS.into(), |found| found == node.mac("eth0"));

    node.ip("link del eth0");
    lost(&mut speaker);
    assert_eq!(tap.ask(200, ADDRESS.into(), QUIET), None);
    bed.plug(&node, "eth0", 11);
    speaker.link("eth0", |link| link.index != first.index);
    // Whoever knows what is wanted is told of the new interface, which knows nothing.
    speaker.want("eth0", &[ADDRESS.into()]);
    speaker.owns(ADDRESS.into());
    tap.ask_until(200, ADDRESS.into(), |found| found == node.mac("eth0"));
}

#[test]
fn an_interface_that_was_away_for_a_moment_is_answered_on_again() {
    let bed = Bed::new();
    let (node, client, elsewhere) = (bed.node(11), bed.node(200), bed.host("elsewhere"));
    let mut speaker = Speaker::start(&node);
    let before = speaker.want("eth0", &[ADDRESS.into()]);
    let generation = speaker.generation("eth0").expect("an interface");
    speaker.owns(ADDRESS.into());
    // It comes back with its index, perhaps before anybody has looked; its sockets are dead in any case.
    node.ip(&format!("link set eth0 netns {}", elsewhere.netns()));
    elsewhere.ip(&format!("link set eth0 netns {}", node.netns()));
    node.ip("link set eth0 up");
    lost(&mut speaker);
    speaker.renewed("eth0", generation);
    let after = speaker.link("eth0", |link| link.running);
    // Whoever knows what is wanted is told by the generation.
    speaker.want("eth0", &[ADDRESS.into()]);
    speaker.owns(ADDRESS.into());
    let mac = client.tap().ask_until(200, ADDRESS.into(), |_| true);
    assert_eq!(mac, node.mac("eth0"), "{before:?} {after:?}");
}

#[test]
fn a_new_name_changes_nothing() {
    let bed = Bed::new();
    let (node, client) = (bed.node(11), bed.node(200));
    let mut speaker = Speaker::start(&node);
    let before = speaker.want("eth0", &[ADDRESS.into()]);
    speaker.owns(ADDRESS.into());
    let (tap, mac) = (client.tap(), node.mac("eth0"));
    node.ip("link set eth0 name lan0");
    let after = speaker.link("lan0", |_| true);
    assert_eq!(after.index, before.index);
    tap.ask_until(200, ADDRESS.into(), |found| found == mac);
    let text = prometheus::TextEncoder::new().encode_to_string(&speaker.registry.gather()).unwrap();
    assert!(text.contains(r#"fairlead_speaker_addresses_owned{interface="lan0"} 1"#), "{text}");
    assert!(!text.contains("eth0"), "{text}");
    // A name that is excluded takes it out of use.
    node.ip("link set lan0 name skip0");
    lost(&mut speaker);
    assert_eq!(tap.ask(200, ADDRESS.into(), QUIET), None);
}

#[test]
fn a_new_mac_address_is_answered_with_and_announced() {
    let bed = Bed::new();
    let (node, client) = (bed.node(11), bed.node(200));
    let mut speaker = Speaker::start(&node);
    speaker.want("eth0", &[ADDRESS.into()]);
    speaker.owns(ADDRESS.into());
    let tap = client.tap();
    let changed = Mac([2, 0, 0, 0, 7, 7]);
    tap.clear();
    node.ip("link set eth0 address 02:00:00:00:07:07");
    let announced = tap.find(PATIENCE, |frame| match &frame.content {
        Content::Arp(Arp { sender, target, sender_mac, .. }) if *sender == ADDRESS && *target == ADDRESS => {
            (*sender_mac == changed).then_some(frame.source)
        }
        _ => None,
    });
    assert_eq!(announced, Some(changed));
    tap.ask_until(200, ADDRESS.into(), |found| found == changed);
    speaker.news(|_, news| matches!(news, News::Owned { mac, .. } if mac.0 == changed.0).then_some(()));
}

#[test]
fn an_address_is_given_away_as_soon_as_a_route_leads_over_it() {
    let bed = Bed::new();
    let (nodes, client) = ([bed.node(11), bed.node(12)], bed.node(200));
    let speakers = nodes.each_ref().map(Speaker::start);
    for speaker in &speakers {
        speaker.want("eth0", &[ADDRESS.into()]);
    }
    let (tap, macs) = (client.tap(), nodes.each_ref().map(|node| node.mac("eth0")));
    let mut owner = tap.ask_until(200, ADDRESS.into(), |_| true);
    for _ in 0..3 {
        let node = &nodes[usize::from(owner == macs[1])];
        let began = std::time::Instant::now();
        node.ip(&format!("route add 203.0.113.0/24 via {ADDRESS}"));
        let next = tap.ask_until(200, ADDRESS.into(), |found| found != owner);
        assert!(began.elapsed() < std::time::Duration::from_secs(4), "{:?}", began.elapsed());
        node.ip("route delete 203.0.113.0/24");
        owner = next;
    }
}

#[test]
fn every_interface_answers_on_its_own_segment() {
    let (bed, other) = (Bed::new(), Bed::new());
    let node = bed.node(11);
    other.plug(&node, "eth1", 12);
    let (client, stranger) = (bed.node(200), other.node(201));
    let mut speaker = Speaker::start(&node);
    let beside = IpAddr::from(Ipv4Addr::new(198, 51, 100, 65));
    speaker.want("eth0", &[ADDRESS.into()]);
    speaker.want("eth1", &[beside]);
    let mut owned = [false; 2];
    while owned != [true; 2] {
        let address = speaker.news(|_, news| match news {
            News::Owned { address, .. } => Some(*address),
            _ => None,
        });
        owned[usize::from(address == beside)] = true;
    }
    let (tap, far) = (client.tap(), stranger.tap());
    assert_eq!(tap.ask_until(200, ADDRESS.into(), |_| true), node.mac("eth0"));
    assert_eq!(far.ask_until(201, beside, |_| true), node.mac("eth1"));
    assert_eq!(tap.ask(200, beside, QUIET), None);
    assert_eq!(far.ask(201, ADDRESS.into(), QUIET), None);
}

#[test]
fn of_two_interfaces_on_one_segment_one_answers() {
    let bed = Bed::new();
    let (node, client) = (bed.node(11), bed.node(200));
    bed.plug(&node, "eth1", 12);
    let mut speaker = Speaker::start(&node);
    let first = speaker.want("eth0", &[ADDRESS.into()]);
    speaker.want("eth1", &[ADDRESS.into()]);
    speaker.owns(ADDRESS.into());
    let tap = client.tap();
    tap.ask_until(200, ADDRESS.into(), |_| true);
    // Each has heard the other by now.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let answers = answers(&tap);
    assert_eq!(answers, [Mac(first.mac.0)], "of {:?}", [node.mac("eth0"), node.mac("eth1")]);
}

#[test]
fn an_interface_on_top_of_another_takes_nothing_from_it() {
    let bed = Bed::new();
    let (node, client) = (bed.node(11), bed.node(200));
    node.ip("link add link eth0 name skip0 type macvlan mode bridge");
    node.ip("link set skip0 up");
    let mut speaker = Speaker::start(&node);
    speaker.want("eth0", &[ADDRESS.into()]);
    speaker.owns(ADDRESS.into());
    let tap = client.tap();
    // Asked of the macvlan by its own address: not for the speaker, which is not on that.
    tap.clear();
    let request = Arp::request(tap.mac, crate::bed::ipv4(200), ADDRESS);
    tap.send(&request.to_frame(node.mac("skip0")));
    assert_eq!(tap.find(QUIET, |frame| crate::bed::arp_reply(frame, crate::bed::ipv4(200), ADDRESS)), None);
    assert_eq!(answers(&tap), [node.mac("eth0")]);
}

#[test]
fn a_macvlan_beside_the_card_below_it_is_passive_and_stays_so() {
    let bed = Bed::new();
    let (node, other) = (bed.node(11), bed.node(12));
    node.ip("link add link eth0 name upper type macvlan mode bridge");
    node.ip("link set upper up");
    let speakers = [Speaker::start(&node), Speaker::start(&other)];
    for (speaker, interface) in [(&speakers[0], "eth0"), (&speakers[0], "upper"), (&speakers[1], "eth0")] {
        speaker.want(interface, &[ADDRESS.into()]);
    }
    let said = || prometheus::TextEncoder::new().encode_to_string(&speakers[0].registry.gather()).unwrap();
    let passive = r#"fairlead_speaker_conditions{condition="twin_interface",interface="upper"} 1"#;
    let began = std::time::Instant::now();
    while !said().contains(passive) {
        assert!(began.elapsed() < PATIENCE, "{}", said());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // It used to forget the card, which it hears only by the other node, after two seconds.
    let began = std::time::Instant::now();
    while began.elapsed() < std::time::Duration::from_secs(8) {
        assert!(said().contains(passive), "after {:?}: {}", began.elapsed(), said());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(!said().contains(r#"condition="twin_interface",interface="eth0"} 1"#), "{}", said());
    node.ip("link del upper");
    speakers[0].link("eth0", |link| link.running);
}

/// Everybody who answers for the address, once for each answer.
fn answers(tap: &crate::bed::Tap) -> Vec<Mac> {
    tap.clear();
    let request = Arp::request(tap.mac, crate::bed::ipv4(200), ADDRESS);
    tap.send(&request.to_frame(Mac::BROADCAST));
    let mut answers = Vec::new();
    tap.find(std::time::Duration::from_millis(300), |frame| {
        answers.extend(crate::bed::arp_reply(frame, crate::bed::ipv4(200), ADDRESS));
        None::<()>
    });
    answers
}
