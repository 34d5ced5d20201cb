//! Who is answered, and with what.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use fairlead_layer2::ethernet::Frame;
use fairlead_layer2::ndp::{self, Message};
use fairlead_layer2::segment::{OutgoingKind, ReportKind, Socket, Surroundings, Unusable};
use fairlead_layer2::{MacAddress, Prefix, arp};

use crate::wire::{CLIENT, CLIENT_ADDRESS, STRANGER, Wire, link, mac, vip, vip6, wanted};

fn owner() -> Wire {
    let mut wire = Wire::new(1, &[vip(10), vip6(10)]);
    wire.settle(&[vip(10), vip6(10)]);
    wire.run(100);
    wire
}

fn v4() -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, 10)
}

fn v6() -> Ipv6Addr {
    match vip6(10) {
        IpAddr::V6(address) => address,
        IpAddr::V4(_) => unreachable!("an address of IPv6"),
    }
}

/// What is answered to a frame.
fn answers(wire: &mut Wire, from: MacAddress, frame: &[u8]) -> Vec<Vec<u8>> {
    let start = wire.sent.len();
    wire.say(from, frame);
    wire.run(5);
    wire.of_kind(start, 0, OutgoingKind::Reply).into_iter().map(|sent| sent.frame).collect()
}

#[test]
fn requests_are_answered_to_who_asked() {
    let mut wire = owner();
    let request = arp::Packet { sender: CLIENT_ADDRESS, ..arp::Packet::probe(CLIENT, v4()) };
    for (packet, destination) in [
        (request, MacAddress::BROADCAST),
        (request, mac(0)),
        (arp::Packet::probe(CLIENT, v4()), MacAddress::BROADCAST),
    ] {
        let frames = answers(&mut wire, CLIENT, &packet.frame(destination));
        assert_eq!(frames, [packet.reply(mac(0)).frame(CLIENT)]);
    }
    let elsewhere = arp::Packet { target: Ipv4Addr::new(198, 51, 100, 11), ..request };
    assert!(answers(&mut wire, CLIENT, &elsewhere.frame(MacAddress::BROADCAST)).is_empty());
    assert!(answers(&mut wire, CLIENT, &request.reply(CLIENT).frame(mac(0))).is_empty());
    let counters = wire.nodes[0].segment.counters().arp;
    assert_eq!((counters.requests, counters.replies, counters.late), (3, 3, 0));
}

#[test]
fn questions_wake_the_owner_alone() {
    for address in [vip(10), vip6(10)] {
        let mut wire = Wire::new(3, &[address]);
        let owner = wire.settle(&[address])[0];
        let asked = |wire: &Wire| {
            let counters = wire.nodes.iter().map(|node| node.segment.counters());
            counters.map(|all| all.arp.requests + all.ndp.requests).collect::<Vec<_>>()
        };
        assert_eq!(wire.who_has(address), [mac(owner)]);
        assert_eq!(asked(&wire), [1, 1, 1], "who knows nobody to ask listens to everybody");
        for _ in 0..9 {
            assert_eq!(wire.who_has(address), [mac(owner)]);
        }
        let mut expected = [1; 3];
        expected[owner] = 10;
        assert_eq!(asked(&wire), expected);
        wire.nodes[owner].dead = true;
        let heir = wire.settle(&[address])[0];
        assert_eq!(wire.who_has(address), [mac(heir)]);
        expected[heir] += 1;
        assert_eq!(asked(&wire), expected);
        // After ten minutes without a question nobody is known any more.
        wire.run(600_300);
        assert_eq!(wire.who_has(address), [mac(heir)]);
        let other = 3 - owner - heir;
        expected[heir] += 1;
        expected[other] += 1;
        assert_eq!(asked(&wire), expected);
    }
}

#[test]
fn solicitations_of_all_kinds_are_answered() {
    let mut wire = owner();
    let asker: Ipv6Addr = "2001:db8::200".parse().unwrap();
    let group = ndp::multicast_mac(ndp::solicited_node(v6()));
    let read = |frames: Vec<Vec<u8>>| {
        let [bytes] = &frames[..] else { panic!("{frames:?}") };
        let frame = Frame::read(bytes).unwrap();
        let Some(Message::Advertisement(read)) = Message::read(frame.payload) else { panic!("{bytes:?}") };
        assert_eq!((read.target, read.target_mac, read.overrides), (v6(), Some(mac(0)), true));
        assert_eq!(read.source, "fe80::1".parse::<Ipv6Addr>().unwrap());
        (frame.destination, read.destination, read.solicited)
    };
    for destination in [group, mac(0)] {
        let frames = answers(&mut wire, CLIENT, &ndp::question(CLIENT, asker, destination, v6()));
        assert_eq!(read(frames), (CLIENT, asker, true));
    }
    let all = ndp::multicast_mac(ndp::ALL_NODES);
    let frames = answers(&mut wire, CLIENT, &ndp::probe(CLIENT, v6(), [9; 6]));
    assert_eq!(read(frames), (all, ndp::ALL_NODES, false));

    let mut far = ndp::question(CLIENT, asker, group, v6());
    far[14 + 7] = 64;
    assert!(answers(&mut wire, CLIENT, &far).is_empty());
    let mut damaged = ndp::question(CLIENT, asker, group, v6());
    damaged[60] ^= 1;
    assert!(answers(&mut wire, CLIENT, &damaged).is_empty());
    let counters = wire.nodes[0].segment.counters().ndp;
    assert_eq!((counters.requests, counters.replies), (3, 3));
}

#[test]
fn groups_and_filters_follow_what_is_wanted() {
    let mut wire = Wire::new(1, &[]);
    let segment = &mut wire.nodes[0].segment;
    assert_eq!(segment.groups(), ["ff02::fa1d".parse::<IpAddr>().unwrap()]);
    let (before, nothing) = (segment.generation(), segment.filter(Socket::Arp));
    segment.want(vip(10), Some(Arc::new(wanted())));
    segment.want(vip6(10), Some(Arc::new(wanted())));
    assert_ne!(segment.generation(), before);
    assert!(segment.filter(Socket::Arp).len() > nothing.len());
    let solicited = IpAddr::from(ndp::solicited_node(v6()));
    assert!(segment.groups().contains(&solicited));
    let same = segment.generation();
    segment.want(vip(10), Some(Arc::new(wanted())));
    assert_eq!(segment.generation(), same);

    let mut facts = link(0);
    facts.addresses.retain(|prefix| prefix.address.is_ipv4());
    segment.set_link(facts);
    assert_ne!(segment.generation(), same);
    assert_eq!(segment.groups(), ["224.0.0.250".parse::<IpAddr>().unwrap()]);
}

#[test]
fn special_addresses_are_never_claimed() {
    let special = [
        (Ipv4Addr::new(198, 51, 100, 1), Unusable::AddressOnNode),
        (Ipv4Addr::new(198, 51, 100, 77), Unusable::AddressOnNode),
        (Ipv4Addr::new(198, 51, 100, 254), Unusable::Gateway),
        (Ipv4Addr::new(198, 51, 100, 0), Unusable::Network),
        (Ipv4Addr::new(198, 51, 100, 255), Unusable::Broadcast),
    ];
    let all: Vec<IpAddr> = special.iter().map(|(address, _)| (*address).into()).collect();
    let mut wire = Wire::new(1, &[]);
    let surroundings =
        Surroundings { node_addresses: vec![all[1]], gateways: vec![all[2]], fleet: HashMap::new() };
    wire.nodes[0].segment.set_surroundings(surroundings);
    for address in &all {
        wire.nodes[0].segment.want(*address, Some(Arc::new(wanted())));
    }
    wire.run(3_000);
    assert_eq!(wire.nodes[0].segment.owned().count(), 0);
    let reported: Vec<_> = wire
        .reports(0)
        .filter_map(|report| match report {
            ReportKind::Unusable { address, reason } => Some((*address, *reason)),
            _ => None,
        })
        .collect();
    let expected: Vec<_> =
        special.iter().map(|(address, reason)| (IpAddr::from(*address), *reason)).collect();
    assert_eq!(reported, expected);

    // The gateway moves, the node loses an address, the subnet is another one.
    wire.nodes[0].segment.set_surroundings(Surroundings::default());
    let mut facts = link(0);
    facts.addresses[0] = Prefix { address: Ipv4Addr::new(198, 51, 100, 1).into(), length: 16 };
    wire.nodes[0].segment.set_link(facts);
    wire.run(1_000);
    let mut owned: Vec<_> = wire.nodes[0].segment.owned().map(|(address, _)| address).collect();
    owned.sort_unstable();
    let mut usable = all[1..].to_vec();
    usable.sort_unstable();
    assert_eq!(owned, usable);
    let again = wire.reports(0).filter(|report| matches!(report, ReportKind::Usable { .. })).count();
    assert_eq!(again, 4);
}

#[test]
fn frames_that_concern_nobody_leave_no_trace() {
    let mut wire = owner();
    let before = wire.nodes[0].segment.counters().clone();
    let from = wire.sent.len();
    for frame in [
        &[][..],
        &[0; 13],
        &[0xff; 14],
        &[0xff; 60],
        &arp::Packet::announcement(STRANGER, Ipv4Addr::new(198, 51, 100, 99)).frame(MacAddress::BROADCAST),
    ] {
        if Frame::read(frame).is_some() {
            wire.say(STRANGER, frame);
        }
    }
    wire.run(20);
    let after = wire.nodes[0].segment.counters();
    assert_eq!((before.arp, before.ndp, before.conflicts), (after.arp, after.ndp, after.conflicts));
    assert!(wire.of_kind(from, 0, OutgoingKind::Reply).is_empty());
}
