//! Frames that nobody with a key made, or that were made before.

use std::time::Duration;

use fairlead_layer2::beacon::codec::{EMPTY_LENGTH, Envelope, encode};
use fairlead_layer2::beacon::keys::KeyRing;
use fairlead_layer2::ethernet::{self, Frame, ether_type};
use fairlead_layer2::segment::{BeaconResult, OutgoingKind, Segment, Settings};
use fairlead_layer2::{ClusterId, MacAddress, NodeId, Participant, udp};

use crate::wire::{STRANGER, Wire, cluster, keys, link, mac, settings, vip};

fn received(wire: &Wire, node: usize, result: BeaconResult) -> u64 {
    wire.nodes[node].segment.counters().received(result)
}

/// The beacons that a node has sent as Ethernet frames.
fn beacons(wire: &Wire, node: usize) -> Vec<Vec<u8>> {
    let sent = wire.of_kind(0, node, OutgoingKind::Beacon);
    let frames = sent.into_iter().map(|sent| sent.frame);
    frames.filter(|frame| Frame::read(frame).unwrap().ether_type == ether_type::BEACON).collect()
}

/// The last beacon of a node, said by another participant or in another way, with a tag of these keys.
fn altered(
    beacon: &[u8],
    cluster: ClusterId,
    keys: &KeyRing,
    from: Participant,
    sender: MacAddress,
) -> Vec<u8> {
    let mut page = Envelope::read(&beacon[14..]).unwrap().open().unwrap();
    page.header.from = from;
    page.header.seq += 1;
    page.header.mac = sender;
    let mut frame = Vec::new();
    ethernet::write_header(MacAddress::BROADCAST, sender, ether_type::BEACON, &mut frame);
    encode(&page, cluster, keys, &mut frame);
    frame
}

fn participant(name: &str) -> Participant {
    Participant { node: NodeId::of(name), link: 2 }
}

#[test]
fn recorded_frames_do_nothing() {
    let mut wire = Wire::new(2, &[vip(10)]);
    wire.settle(&[vip(10)]);
    wire.run(2_000);
    let recorded = beacons(&wire, 0);
    let owner = wire.owners(vip(10));
    let taken = received(&wire, 1, BeaconResult::Accepted);
    wire.nodes[0].frozen = true;
    for frame in &recorded {
        // From its own MAC address, and from another one.
        wire.say(STRANGER, frame);
        let mut other = frame.clone();
        other[6..12].copy_from_slice(&STRANGER.0);
        wire.say(STRANGER, &other);
    }
    wire.run(10);
    let old = received(&wire, 1, BeaconResult::Old) + received(&wire, 1, BeaconResult::Duplicate);
    assert!(old >= 2 * u64::try_from(recorded.len()).unwrap());
    assert!(received(&wire, 1, BeaconResult::Accepted) <= taken + 1);
    // Nor do they keep the dead alive.
    wire.run(500);
    assert_eq!(wire.nodes[1].segment.peers(), 0);
    for frame in &recorded {
        wire.say(STRANGER, frame);
    }
    wire.run(10);
    assert_eq!(wire.nodes[1].segment.peers(), 0);
    wire.nodes[0].frozen = false;
    wire.run(2_000);
    assert_eq!(wire.owners(vip(10)).len(), 1, "{owner:?}");
}

#[test]
fn frames_of_an_earlier_run_are_too_old_for_who_remembers_nobody() {
    let mut wire = Wire::new(1, &[vip(10)]);
    wire.run(3_000);
    let recorded = beacons(&wire, 0);
    let mut later = Wire::new(0, &[]);
    // 11 minutes later, on another node.
    later.now = 660_000;
    let mut fresh = Segment::new(&settings(1), link(1), later.clock());
    fresh.set_standing(fairlead_layer2::Standing::default());
    later.add(fresh, mac(1));
    later.run(1_000);
    for frame in &recorded {
        later.say(STRANGER, frame);
    }
    later.run(10);
    assert_eq!(received(&later, 0, BeaconResult::Accepted), 0);
    assert_eq!(received(&later, 0, BeaconResult::ClockSkew), u64::try_from(recorded.len()).unwrap());
    assert_eq!(later.nodes[0].segment.peers(), 0);
}

#[test]
fn other_keys_clusters_and_versions_are_told_apart() {
    let mut wire = Wire::new(2, &[vip(10)]);
    wire.nodes[1].unfiltered = true;
    wire.settle(&[vip(10)]);
    let beacon = beacons(&wire, 0).pop().unwrap();
    let somebody = participant("somebody");
    let good = |keys: &KeyRing, cluster| altered(&beacon, cluster, keys, somebody, STRANGER);
    let with = |at: usize| {
        let mut frame = good(&keys(), cluster());
        frame[14 + at] ^= 1;
        frame
    };
    let last = good(&keys(), cluster()).len() - 15;
    let cases = [
        (good(&KeyRing::new(&[[8; 32]]), cluster()), BeaconResult::Key),
        (good(&KeyRing::insecure(), cluster()), BeaconResult::Key),
        (good(&keys(), ClusterId::of("another")), BeaconResult::Cluster),
        (with(4), BeaconResult::Version),
        (with(0), BeaconResult::Magic),
        (with(20), BeaconResult::Forged),
        (with(last), BeaconResult::Forged),
        (good(&keys(), cluster())[..14 + EMPTY_LENGTH - 1].to_vec(), BeaconResult::Length),
    ];
    for (frame, result) in cases {
        let before = received(&wire, 1, result);
        wire.say(STRANGER, &frame);
        wire.run(3);
        assert_eq!(received(&wire, 1, result), before + 1, "{}", result.name());
        assert_eq!(wire.nodes[1].segment.peers(), 1, "{}", result.name());
    }
    wire.say(STRANGER, &good(&keys(), cluster()));
    wire.run(3);
    assert_eq!(wire.nodes[1].segment.peers(), 2);
}

#[test]
fn beacons_from_behind_a_router_are_dropped() {
    let mut wire = Wire::new(2, &[vip(10)]);
    wire.settle(&[vip(10)]);
    let beacon = beacons(&wire, 0).pop().unwrap();
    let frame = altered(&beacon, cluster(), &keys(), participant("far"), STRANGER);
    let mut over_udp = udp::frame(STRANGER, "fe80::9".parse().unwrap(), &frame[14..]);
    let far = {
        let mut far = over_udp.clone();
        far[14 + 7] = 254;
        far
    };
    wire.say(STRANGER, &far);
    wire.run(3);
    assert_eq!((received(&wire, 1, BeaconResult::HopLimit), wire.nodes[1].segment.peers()), (1, 1));
    let last = over_udp.len() - 1;
    over_udp[last] ^= 1;
    wire.say(STRANGER, &over_udp);
    wire.run(3);
    assert_eq!((received(&wire, 1, BeaconResult::Length), wire.nodes[1].segment.peers()), (1, 1));
    over_udp[last] ^= 1;
    wire.say(STRANGER, &over_udp);
    wire.run(3);
    assert_eq!(wire.nodes[1].segment.peers(), 2);
}

#[test]
fn ten_thousand_forged_frames_a_second_change_nothing() {
    let mut wire = Wire::new(2, &[vip(10)]);
    let owner = wire.settle(&[vip(10)]);
    wire.run(500);
    let beacon = beacons(&wire, 0).pop().unwrap();
    let wrong = KeyRing::new(&[[7; 32]]);
    let before = received(&wire, 1, BeaconResult::Forged);
    let mut number = 0_u32;
    for _ in 0..2_000 {
        for _ in 0..10 {
            number += 1;
            let [a, b, c, d] = number.to_be_bytes();
            let sender = MacAddress([6, 0, a, b, c, d]);
            let mut frame = altered(&beacon, cluster(), &wrong, participant(&number.to_string()), sender);
            let last = frame.len() - 1;
            frame[last] ^= 1;
            wire.say(sender, &frame);
        }
        wire.run(1);
    }
    let verified = received(&wire, 1, BeaconResult::Forged) - before;
    let refused = received(&wire, 1, BeaconResult::Refused);
    assert!((4_000..=4_300).contains(&verified), "{verified} verified in two seconds");
    assert_eq!(verified + refused, u64::from(number));
    assert_eq!((wire.nodes[0].segment.peers(), wire.nodes[1].segment.peers()), (1, 1));
    assert_eq!(wire.owners(vip(10)), owner);
}

#[test]
fn keys_are_changed_without_a_gap() {
    let (old, new) = ([7; 32], [9; 32]);
    let addresses = [vip(10), vip(11), vip(12), vip(13)];
    let mut wire = Wire::new(2, &addresses);
    let owners = wire.settle(&addresses);
    wire.run(1_000);
    // The last one sends: first both accept the new key, then both send with it, then the old one goes.
    for ring in [vec![new, old], vec![old, new], vec![new]] {
        for node in 0..2 {
            wire.nodes[node].segment.set_keys(KeyRing::new(&ring));
            wire.run(700);
            let now: Vec<_> = addresses.iter().flat_map(|address| wire.owners(*address)).collect();
            assert_eq!(now, owners);
        }
    }
    assert_eq!(received(&wire, 0, BeaconResult::Key) + received(&wire, 1, BeaconResult::Key), 0);
}

#[test]
fn without_keys_nodes_hear_each_other_and_nobody_with_one() {
    let mut wire = Wire::new(1, &[vip(10)]);
    for node in 1..3 {
        let insecure = Settings { keys: KeyRing::insecure(), ..settings(node) };
        let segment = Segment::new(&insecure, link(node), wire.clock());
        wire.add(segment, mac(node));
    }
    wire.run(2_000);
    let peers: Vec<_> = wire.nodes.iter().map(|node| node.segment.peers()).collect();
    assert_eq!(peers, [0, 1, 1]);
    assert!(received(&wire, 0, BeaconResult::Key) > 0 && received(&wire, 1, BeaconResult::Key) > 0);
}

#[test]
fn another_period_is_in_the_frame() {
    let mut wire = Wire::new(1, &[vip(10)]);
    let slow = Settings { period: Duration::from_millis(400), ..settings(1) };
    let segment = Segment::new(&slow, link(1), wire.clock());
    wire.add(segment, mac(1));
    wire.run(10_000);
    assert_eq!(wire.nodes[0].segment.peers(), 1);
    let page = Envelope::read(&beacons(&wire, 1)[0][14..]).unwrap().open().unwrap();
    assert_eq!(page.header.period, 400);
    let regular = u64::try_from(beacons(&wire, 1).len()).unwrap();
    assert!((24..60).contains(&regular), "{regular} beacons in 10 s");
}
