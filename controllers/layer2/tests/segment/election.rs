//! Interfaces that decide by bytes who answers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fairlead_layer2::ethernet::ether_type;
use fairlead_layer2::segment::{BeaconResult, Condition, LostCause, OutgoingKind, ReportKind, Segment};
use fairlead_layer2::{Fitness, LinkFacts, MacAddress, Prefix, Standing, Wanted, arp, ethernet};

use crate::wire::{
    CLIENT, CLIENT_ADDRESS, Wire, link, mac, node_id, said_address, settings, vip, vip6, wanted,
};

fn addresses() -> Vec<IpAddr> {
    (10..20).map(vip).chain((10..20).map(vip6)).collect()
}

#[test]
fn each_address_is_answered_by_one_node() {
    let mut wire = Wire::new(3, &addresses());
    let owners = wire.settle(&addresses());
    for (address, owner) in addresses().into_iter().zip(&owners) {
        assert_eq!(wire.who_has(address), [mac(*owner)], "{address}");
    }
    for node in 0..3 {
        let share = owners.iter().filter(|owner| **owner == node).count();
        assert!((1..=9).contains(&share), "node {node} has {share} of 20");
        assert_eq!(wire.nodes[node].segment.peers(), 2);
        let counters = wire.nodes[node].segment.counters();
        assert!(counters.received(BeaconResult::Accepted) > 10);
        for bad in [BeaconResult::Forged, BeaconResult::Section, BeaconResult::Order, BeaconResult::Length] {
            assert_eq!(counters.received(bad), 0, "{}", bad.name());
        }
    }
    assert_eq!(wire.who_has(vip(99)), [], "nobody wants it");
}

#[test]
fn a_claim_is_announced_to_all_and_reported() {
    let mut wire = Wire::new(1, &[vip(10), vip6(10)]);
    wire.settle(&[vip(10), vip6(10)]);
    wire.run(5_000);
    let announced = wire.of_kind(0, 0, OutgoingKind::Announcement);
    let of = |address| announced.iter().filter(|sent| said_address(&sent.frame) == Some(address)).count();
    assert_eq!((of(vip(10)), of(vip6(10))), (10, 5));
    assert_eq!(wire.nodes[0].segment.counters().arp.gratuitous, 10);
    let owned = wire.reports(0).filter(|report| match report {
        ReportKind::Owned { epoch, mac: with, since, outage, .. } => {
            *epoch == 1 && *with == mac(0) && *since > 1_800_000_000_000_000 && outage.is_none()
        }
        _ => false,
    });
    assert_eq!(owned.count(), 2);
    // The claim is on the wire before the announcement is.
    let first_announcement = announced[0].at;
    let beacon =
        wire.of_kind(0, 0, OutgoingKind::Beacon).into_iter().rfind(|sent| sent.at <= first_announcement);
    assert_eq!(beacon.map(|sent| sent.at), Some(first_announcement));
}

#[test]
fn when_an_owner_dies_the_others_take_over() {
    let mut wire = Wire::new(3, &addresses());
    let owners = wire.settle(&addresses());
    wire.run(1_000);
    let died = wire.now;
    wire.nodes[0].dead = true;
    while !addresses().iter().all(|address| wire.owners(*address).len() == 1) {
        wire.run(1);
        assert!(wire.now - died < 450, "after {} ms", wire.now - died);
    }
    for (address, owner) in addresses().into_iter().zip(owners) {
        if owner != 0 {
            assert_eq!(wire.owners(address), [owner], "{address} moved for nothing");
        }
        assert_eq!(wire.who_has(address).len(), 1);
    }
    let outage = wire.reports(1).chain(wire.reports(2)).find_map(|report| match report {
        ReportKind::Owned { epoch: 2, outage, .. } => *outage,
        _ => None,
    });
    let expected = Duration::from_millis(400)..Duration::from_millis(450);
    assert!(outage.is_some_and(|outage| expected.contains(&outage)), "{outage:?}");
}

#[test]
fn a_drain_leaves_no_moment_without_an_answer() {
    let mut wire = Wire::new(2, &addresses());
    wire.settle(&addresses());
    wire.run(1_000);
    wire.nodes[0].segment.drain(Duration::from_secs(5));
    for _ in 0..1_000 {
        wire.run(1);
        for address in addresses() {
            assert!(!wire.owners(address).is_empty(), "{address} after {} ms", wire.now);
        }
        if wire.nodes[0].segment.is_drained() {
            break;
        }
    }
    assert!(wire.nodes[0].segment.is_drained());
    assert!(addresses().into_iter().all(|address| wire.owners(address) == [1]));
    let lost = wire.reports(0).filter_map(|report| match report {
        ReportKind::Lost { cause, .. } => Some(*cause),
        _ => None,
    });
    let lost: Vec<_> = lost.collect();
    assert!(!lost.is_empty() && lost.iter().all(|cause| *cause == LostCause::HandedOver), "{lost:?}");
}

#[test]
fn what_is_not_wanted_any_more_is_not_answered() {
    let mut wire = Wire::new(2, &[vip(10)]);
    let owner = wire.settle(&[vip(10)])[0];
    let before = wire.nodes[owner].segment.generation();
    for node in &mut wire.nodes {
        node.segment.want(vip(10), None);
    }
    assert_ne!(wire.nodes[owner].segment.generation(), before);
    wire.run(1_000);
    let from = wire.sent.len();
    assert_eq!(wire.who_has(vip(10)), []);
    wire.run(5_000);
    assert!(wire.of_kind(from, owner, OutgoingKind::Announcement).is_empty());
    let lost = |report: &&ReportKind| matches!(report, ReportKind::Lost { cause: LostCause::Released, .. });
    assert_eq!(wire.reports(owner).filter(lost).count(), 1);
}

#[test]
fn a_new_mac_address_is_announced_reported_and_answered_with() {
    let mut wire = Wire::new(2, &[vip(10)]);
    let owner = wire.settle(&[vip(10)])[0];
    wire.run(6_000);
    let other = MacAddress([2, 0, 0, 0, 7, 7]);
    let mut facts = link(owner);
    facts.mac = other;
    wire.nodes[owner].segment.set_link(facts);
    wire.nodes[owner].mac = other;
    let from = wire.sent.len();
    wire.run(50);
    let announced = wire.of_kind(from, owner, OutgoingKind::Announcement);
    let packets: Vec<_> = announced.iter().filter_map(|sent| arp::Packet::read(&sent.frame[14..])).collect();
    assert_eq!(packets.len(), 2, "{packets:?}");
    assert!(packets.iter().all(|packet| packet.sender_mac == other));
    assert_eq!(wire.who_has(vip(10)), [other]);
    let reported = |report: &&ReportKind| matches!(report, ReportKind::Owned { mac, .. } if *mac == other);
    assert_eq!(wire.reports(owner).filter(reported).count(), 1);
    wire.run(2_000);
    assert_eq!(wire.owners(vip(10)), [owner]);
}

#[test]
fn without_a_carrier_nothing_is_sent_or_owned() {
    let mut wire = Wire::new(2, &[vip(10)]);
    let owner = wire.settle(&[vip(10)])[0];
    let mut facts = link(owner);
    facts.running = false;
    wire.nodes[owner].segment.set_link(facts);
    let reports = wire.nodes[owner].segment.take_reports();
    let lost = |kind: &ReportKind| matches!(kind, ReportKind::Lost { cause: LostCause::LinkDown, .. });
    assert!(reports.iter().any(|report| lost(&report.kind)), "{reports:?}");
    let from = wire.sent.len();
    wire.run(1_000);
    assert_eq!(wire.owners(vip(10)), [1 - owner]);
    let mac = mac(owner);
    assert!(wire.sent[from..].iter().all(|sent| sent.from != mac));
}

#[test]
fn two_that_can_not_hear_each_other_hear_by_a_third() {
    let mut wire = Wire::new(3, &addresses());
    wire.settle(&addresses());
    wire.run(1_000);
    wire.passes = |from, to, _| !(from == mac(0) && to == mac(1) || from == mac(1) && to == mac(0));
    let from = wire.sent.len();
    wire.run(5_000);
    assert!(!wire.of_kind(from, 2, OutgoingKind::Relay).is_empty());
    assert!(wire.nodes[2].segment.counters().beacons_relayed > 0);
    for address in addresses() {
        assert_eq!(wire.owners(address).len(), 1, "{address}");
    }
    assert_eq!(wire.nodes[0].segment.peers(), 2);
    for sent in wire.of_kind(from, 2, OutgoingKind::Relay) {
        let frame = ethernet::Frame::read(&sent.frame).unwrap();
        assert!([mac(0), mac(1)].contains(&frame.destination) && frame.source == mac(2));
        let original = wire.sent[from..].iter().find(|other| {
            other.frame.get(14..) == Some(frame.payload) && other.kind == Some(OutgoingKind::Beacon)
        });
        assert!(original.is_some(), "what is passed on was not said so");
    }
}

#[test]
fn where_the_ethertype_is_dropped_beacons_pass_in_udp() {
    let mut wire = Wire::new(2, &addresses());
    wire.passes = |_, _, frame| frame.ether_type != ether_type::BEACON;
    wire.settle(&addresses());
    wire.run(3_000);
    for address in addresses() {
        assert_eq!(wire.owners(address).len(), 1, "{address}");
    }
    assert_eq!(wire.nodes[0].segment.peers(), 1);
    // A filter that appears later is met at the first question, before anybody is declared dead.
    let mut wire = Wire::new(2, &addresses());
    let owners = wire.settle(&addresses());
    wire.run(2_000);
    wire.passes = |_, _, frame| frame.ether_type != ether_type::BEACON;
    wire.run(3_000);
    let still: Vec<_> = addresses().into_iter().map(|address| wire.owners(address)).collect();
    assert!(still.iter().zip(owners).all(|(still, owner)| *still == [owner]));
}

#[test]
fn a_node_that_is_not_eligible_hands_over() {
    let mut wire = Wire::new(2, &[vip(10)]);
    let owner = wire.settle(&[vip(10)])[0];
    wire.run(1_000);
    let unfit = Wanted { own: Fitness::Unfit, ..wanted() };
    wire.nodes[owner].segment.want(vip(10), Some(Arc::new(unfit)));
    wire.run(300);
    assert_eq!(wire.owners(vip(10)), [1 - owner]);
    let causes: Vec<_> = wire
        .reports(owner)
        .filter_map(|report| match report {
            ReportKind::Lost { cause, epoch: 1, .. } => Some(*cause),
            _ => None,
        })
        .collect();
    assert_eq!(causes, [LostCause::HandedOver]);
}

#[test]
fn a_node_that_hears_nothing_asks_before_it_takes_over() {
    let mut wire = Wire::new(2, &[vip(10), vip(11), vip(12), vip(13)]);
    let all: Vec<_> = (10..14).map(vip).collect();
    let owners = wire.settle(&all);
    let died = owners[0];
    let left = 1 - died;
    for address in &all {
        wire.who_has(*address);
    }
    wire.run(6_000);
    wire.quiet = true;
    wire.run(500);
    wire.nodes[died].dead = true;
    let from = wire.sent.len();
    wire.run(5_000);
    assert_eq!(wire.owners(vip(10)), [], "with nobody to hear there is nobody to serve");
    let asked = wire.of_kind(from, left, OutgoingKind::Question);
    let question =
        asked.iter().find(|sent| ethernet::Frame::read(&sent.frame).unwrap().destination == CLIENT);
    let question = question.expect("the station that asked lately is asked");
    let packet = arp::Packet::read(&question.frame[14..]).unwrap();
    assert!(packet.is_probe() && packet.target == CLIENT_ADDRESS);
    let deaf = |report: &&ReportKind| {
        matches!(report, ReportKind::Condition { condition: Condition::Deaf, holds: true })
    };
    assert_eq!(wire.reports(left).filter(deaf).count(), 1);
    wire.say(CLIENT, &packet.reply(CLIENT).frame(mac(left)));
    // Its arrival is counted by the kernel and noticed in time.
    wire.run(200);
    assert_eq!(wire.owners(vip(10)), [left]);
}

#[test]
fn where_only_arp_passes_one_of_two_gives_way() {
    for address in [vip(10), vip6(10)] {
        let mut wire = Wire::new(2, &[address]);
        wire.passes = |_, _, frame| {
            let is_beacon = frame.ether_type == ether_type::BEACON || frame.destination == mac_of_udp();
            !is_beacon
        };
        for node in 0..2 {
            let listed = BTreeMap::from([(node_id(1 - node), vec![mac(1 - node)])]);
            wire.nodes[node].segment.set_standing(Standing { listed, ..Standing::default() });
        }
        wire.run(10_000);
        assert_eq!(wire.owners(address).len(), 1, "{address}");
        assert_eq!(wire.who_has(address).len(), 1);
        let owner = wire.owners(address)[0];
        wire.run(20_000);
        assert_eq!(wire.owners(address), [owner]);
        let blocked = |node: usize| {
            let condition = Condition::BeaconsBlocked(node_id(1 - node));
            wire.reports(node).any(|report| *report == ReportKind::Condition { condition, holds: true })
        };
        assert!(blocked(0) && blocked(1));
    }
}

/// Where beacons in UDP go.
fn mac_of_udp() -> MacAddress {
    fairlead_layer2::ndp::multicast_mac(fairlead_layer2::udp::GROUP_V6)
}

#[test]
fn a_late_view_brings_no_deleted_address_back() {
    let mut wire = Wire::new(2, &[vip(10)]);
    let owner = wire.settle(&[vip(10)])[0];
    wire.run(6_000);
    let late = 1 - owner;
    wire.nodes[owner].segment.want(vip(10), None);
    let from = wire.sent.len();
    wire.run(4_000);
    assert_eq!(wire.owners(vip(10)), []);
    assert!(wire.of_kind(from, late, OutgoingKind::Announcement).is_empty());
    assert_eq!(wire.who_has(vip(10)), []);
    // The object is made again: it is another one, and taken at once.
    wire.nodes[late].segment.want(vip(10), None);
    for node in &mut wire.nodes {
        node.segment.want(vip(10), Some(Arc::new(Wanted { uid: "another uid".into(), ..wanted() })));
    }
    wire.run(700);
    assert_eq!(wire.owners(vip(10)).len(), 1);
    assert_eq!(wire.who_has(vip(10)).len(), 1);
}

#[test]
fn nobody_wakes_for_nothing() {
    let mut wire = Wire::new(3, &addresses());
    wire.settle(&addresses());
    wire.run(6_000);
    wire.quiet = true;
    let before: Vec<_> =
        wire.nodes.iter().map(|node| (node.wakes, node.segment.counters().beacons_sent)).collect();
    wire.run(10_000);
    for (node, (wakes, beacons)) in wire.nodes.iter().zip(before) {
        // Five rounds a second of each of three.
        let sent = node.segment.counters().beacons_sent - beacons;
        assert!((47..60).contains(&sent), "{sent} beacons in ten seconds");
        assert!(node.wakes - wakes < 250, "{} wake-ups in ten seconds", node.wakes - wakes);
    }
}

/// Gives the node 0 another interface on the wire, with the MAC address of a node 2.
fn add_second_interface(wire: &mut Wire) {
    let second = LinkFacts { index: 3, ..link(2) };
    let mut twin = Segment::new(&settings(0), second, wire.clock());
    for address in addresses() {
        twin.want(address, Some(Arc::new(wanted())));
    }
    wire.add(twin, mac(2));
}

#[test]
fn of_two_interfaces_of_a_node_on_one_segment_the_first_takes_part() {
    let mut wire = Wire::new(2, &addresses());
    add_second_interface(&mut wire);
    wire.run(3_000);
    assert_eq!(wire.nodes[2].segment.owned().count(), 0);
    for address in addresses() {
        assert_eq!(wire.owners(address).len(), 1, "{address}");
    }
    let twin = ReportKind::Condition { condition: Condition::TwinInterface, holds: true };
    assert!(wire.reports(2).any(|report| *report == twin));
    // When the first one is unplugged, the second one is needed.
    let mut facts = link(0);
    facts.running = false;
    wire.nodes[0].segment.set_link(facts);
    wire.run(6_000);
    assert!(wire.nodes[2].segment.owned().count() + wire.nodes[1].segment.owned().count() == 20);
    let over = ReportKind::Condition { condition: Condition::TwinInterface, holds: false };
    assert!(wire.reports(2).any(|report| *report == over));
}

#[test]
fn a_node_that_joins_late_is_passed_on_to_whom_does_not_hear_it() {
    let mut wire = Wire::new(3, &addresses());
    wire.passes = |from, to, _| !([from, to].contains(&mac(0)) && [from, to].contains(&mac(2)));
    wire.nodes[2].dead = true;
    wire.settle(&addresses());
    wire.run(5_000);
    assert_eq!(wire.nodes[0].segment.peers(), 1);
    wire.nodes[2].dead = false;
    wire.run(3_000);
    let peers: Vec<usize> = wire.nodes.iter().map(|node| node.segment.peers()).collect();
    assert_eq!(peers, [2, 2, 2], "each knows of both others");
}

#[test]
fn a_second_interface_that_hears_the_first_one_only_by_others_stays_passive() {
    let mut wire = Wire::new(2, &addresses());
    // As with a macvlan and the card below it: both hear the segment, neither hears the other.
    wire.passes = |from, to, _| !([from, to].contains(&mac(0)) && [from, to].contains(&mac(2)));
    add_second_interface(&mut wire);
    wire.run(5_000);
    let from = wire.sent.len();
    wire.run(30_000);
    assert_eq!(wire.nodes[2].segment.owned().count(), 0);
    assert!(wire.of_kind(from, 2, OutgoingKind::Beacon).is_empty(), "it says nothing");
    let twins = |wire: &Wire, node| {
        let told = wire.reports(node).filter_map(|report| match report {
            ReportKind::Condition { condition: Condition::TwinInterface, holds } => Some(*holds),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(twins(&wire, 0), [], "nothing is wrong about the one that is used");
    assert_eq!(twins(&wire, 2), [true], "said once");
    let mut unplugged = link(0);
    unplugged.running = false;
    wire.nodes[0].segment.set_link(unplugged);
    let from = wire.sent.len();
    wire.run(3_000);
    assert!(!wire.of_kind(from, 2, OutgoingKind::Beacon).is_empty(), "it is needed");
    assert_eq!(twins(&wire, 2), [true, false]);
    // The first one is back: again the other one gives way, for good.
    wire.nodes[0].segment.set_link(link(0));
    wire.run(5_000);
    assert_eq!(wire.nodes[2].segment.owned().count(), 0);
    wire.run(10_000);
    assert_eq!(twins(&wire, 2), [true, false, true]);
    for address in addresses() {
        assert_eq!(wire.owners(address).len(), 1, "{address}");
    }
}

#[test]
fn a_node_without_the_subnet_is_given_nothing_that_another_one_can_have() {
    let mut wire = Wire::new(3, &[]);
    let elsewhere = Prefix { address: [203, 0, 113, 3].into(), length: 24 };
    let facts = LinkFacts { addresses: vec![elsewhere], ..link(2) };
    wire.nodes[2].segment.set_link(facts);
    wire.run(1_000);
    let stopgap = Wanted { own: Fitness::Fit { soft: true, preference: 0 }, ..wanted() };
    for address in addresses() {
        for (node, wanted) in [(0, wanted()), (1, wanted()), (2, stopgap.clone())] {
            wire.nodes[node].segment.want(address, Some(Arc::new(wanted)));
        }
    }
    let owners = wire.settle(&addresses());
    assert!(owners.iter().all(|owner| *owner < 2), "{owners:?}");
    wire.nodes[0].segment.drain(Duration::from_secs(5));
    wire.run(200);
    assert!(addresses().iter().all(|address| wire.owners(*address) == [1]));
    wire.nodes[1].segment.drain(Duration::from_secs(5));
    wire.run(200);
    assert!(addresses().iter().all(|address| wire.owners(*address) == [2]), "there is nobody else");
}
