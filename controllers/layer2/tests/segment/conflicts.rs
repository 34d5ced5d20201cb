//! Other machines that use our addresses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fairlead_layer2::ethernet::Frame;
use fairlead_layer2::ndp::{ALL_NODES, Advertisement, multicast_mac};
use fairlead_layer2::segment::{OutgoingKind, ReportKind, Stranger, Surroundings};
use fairlead_layer2::{MacAddress, arp};

use crate::wire::{STRANGER, Wire, mac, node_id, said_address, vip, vip6};

fn v4() -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, 10)
}

fn announced(wire: &Wire, from: usize, node: usize, address: IpAddr) -> usize {
    let sent = wire.of_kind(from, node, OutgoingKind::Announcement);
    sent.iter().filter(|sent| said_address(&sent.frame) == Some(address)).count()
}

fn conflicts(wire: &Wire, node: usize) -> Vec<Option<Stranger>> {
    let conflict = |report: &ReportKind| match report {
        ReportKind::Conflict { with, .. } => Some(Some(*with)),
        ReportKind::ConflictOver { .. } => Some(None),
        _ => None,
    };
    wire.reports(node).filter_map(conflict).collect()
}

/// An owner whose last announcement of the claim is out.
fn owner(nodes: usize, address: IpAddr) -> (Wire, usize) {
    let mut wire = Wire::new(nodes, &[address]);
    let owner = wire.settle(&[address])[0];
    wire.run(6_000);
    (wire, owner)
}

#[test]
fn a_foreign_machine_is_reported_defended_against_and_missed_when_it_leaves() {
    let (mut wire, owner) = owner(2, vip(10));
    let from = wire.sent.len();
    let taken = wire.now;
    // For 20 s it answers whoever asks it, and announces itself every second.
    let mut asked = from;
    while wire.now < taken + 20_000 {
        if (wire.now - taken).is_multiple_of(1_000) {
            wire.say(STRANGER, &arp::Packet::announcing_reply(STRANGER, v4()).frame(MacAddress::BROADCAST));
        }
        wire.run(1);
        let questions = wire.of_kind(asked, owner, OutgoingKind::Question);
        asked = wire.sent.len();
        for question in questions {
            let frame = Frame::read(&question.frame).unwrap();
            let packet = arp::Packet::read(frame.payload).unwrap();
            assert_eq!((frame.destination, packet.target, packet.is_probe()), (STRANGER, v4(), true));
            wire.say(STRANGER, &packet.reply(STRANGER).frame(mac(owner)));
        }
    }
    let stranger = Stranger { mac: STRANGER, node: None };
    assert_eq!(conflicts(&wire, owner), [Some(stranger)]);
    // Two defences of two frames in 20 s, and none of the other node.
    assert_eq!(announced(&wire, from, owner, vip(10)), 4);
    assert_eq!(announced(&wire, from, 1 - owner, vip(10)), 0);
    assert_eq!(conflicts(&wire, 1 - owner), []);
    assert_eq!(wire.owners(vip(10)), [owner]);
    assert_eq!(wire.nodes[owner].segment.counters().defences, 2);

    let left = wire.now;
    let from = wire.sent.len();
    while announced(&wire, from, owner, vip(10)) == 0 {
        wire.run(10);
        assert!(wire.now - left < 3_500, "clients still ask a machine that left");
    }
    assert_eq!(conflicts(&wire, owner), [Some(stranger), None]);
    wire.run(60_000);
    assert_eq!(conflicts(&wire, owner).len(), 2);
}

#[test]
fn a_second_machine_is_named_too() {
    let (mut wire, owner) = owner(1, vip(10));
    let other = MacAddress([2, 0, 0, 0, 0xee, 2]);
    for stranger in [STRANGER, STRANGER, other, STRANGER] {
        let using = arp::Packet {
            target: Ipv4Addr::new(198, 51, 100, 254),
            ..arp::Packet::announcement(stranger, v4())
        };
        wire.say(stranger, &using.frame(MacAddress::BROADCAST));
        wire.run(100);
    }
    let named = |mac| Some(Stranger { mac, node: None });
    assert_eq!(conflicts(&wire, owner), [named(STRANGER), named(other)]);
}

#[test]
fn in_ipv6_it_is_the_same() {
    let (mut wire, owner) = owner(1, vip6(10));
    let target: Ipv6Addr = "2001:db8::1:a".parse().unwrap();
    let advertisement = Advertisement {
        source: target,
        destination: ALL_NODES,
        target,
        target_mac: Some(STRANGER),
        router: false,
        solicited: false,
        overrides: true,
    };
    let from = wire.sent.len();
    wire.say(STRANGER, &advertisement.frame(multicast_mac(ALL_NODES), STRANGER));
    wire.run(500);
    assert_eq!(conflicts(&wire, owner), [Some(Stranger { mac: STRANGER, node: None })]);
    assert_eq!(announced(&wire, from, owner, vip6(10)), 1);
    wire.run(4_000);
    assert_eq!(conflicts(&wire, owner).last(), Some(&None));
    assert_eq!(announced(&wire, from, owner, vip6(10)), 2);
}

#[test]
fn a_node_of_ours_that_answers_without_a_claim_is_named() {
    let (mut wire, owner) = owner(2, vip(10));
    let other = 1 - owner;
    let from = wire.sent.len();
    let late = arp::Packet::announcing_reply(mac(other), v4()).frame(MacAddress::BROADCAST);
    wire.say(mac(other), &late);
    wire.run(10_000);
    assert_eq!(conflicts(&wire, owner), [], "one late answer");
    assert_eq!(announced(&wire, from, owner, vip(10)), 0);
    for _ in 0..20 {
        wire.say(mac(other), &late);
        wire.run(500);
    }
    let named = Stranger { mac: mac(other), node: Some(node_id(other)) };
    assert_eq!(conflicts(&wire, owner), [Some(named)]);
    assert_eq!(announced(&wire, from, owner, vip(10)), 0, "nobody fights his own");
    wire.run(5_000);
    assert_eq!(conflicts(&wire, owner), [Some(named), None]);
    assert_eq!(wire.owners(vip(10)), [owner]);
}

#[test]
fn a_listed_node_without_a_speaker_here_is_named() {
    let (mut wire, owner) = owner(1, vip(10));
    let fleet = HashMap::from([(STRANGER, node_id(9))]);
    wire.nodes[owner].segment.set_surroundings(Surroundings { fleet, ..Surroundings::default() });
    for _ in 0..3 {
        wire.say(STRANGER, &arp::Packet::announcing_reply(STRANGER, v4()).frame(MacAddress::BROADCAST));
        wire.run(600);
    }
    assert_eq!(conflicts(&wire, owner), [Some(Stranger { mac: STRANGER, node: Some(node_id(9)) })]);
}

#[test]
fn a_planned_move_is_no_conflict() {
    let (mut wire, owner) = owner(2, vip(10));
    wire.nodes[owner].segment.drain(std::time::Duration::from_secs(5));
    wire.run(5_000);
    assert_eq!(wire.owners(vip(10)), [1 - owner]);
    assert!(conflicts(&wire, 0).is_empty() && conflicts(&wire, 1).is_empty());
}

#[test]
fn a_crash_and_a_return_are_no_conflict() {
    let (mut wire, owner) = owner(2, vip(10));
    wire.nodes[owner].frozen = true;
    wire.run(2_000);
    assert!(wire.owners(vip(10)).contains(&(1 - owner)));
    wire.nodes[owner].frozen = false;
    wire.run(5_000);
    assert_eq!(wire.owners(vip(10)), [1 - owner]);
    assert!(conflicts(&wire, 0).is_empty() && conflicts(&wire, 1).is_empty());
}

#[test]
fn our_own_frames_that_come_back_are_no_conflict() {
    let (mut wire, owner) = owner(1, vip(10));
    for sent in wire.sent.clone() {
        if sent.from == mac(owner) && sent.frame.len() < 1_000 {
            // As a switch with a loop sends them back.
            wire.say(STRANGER, &sent.frame);
        }
    }
    wire.run(100);
    assert!(conflicts(&wire, owner).is_empty());
    assert_eq!(wire.owners(vip(10)), [owner]);
}
