//! Processes that stand still, and what they do when they go on.

use std::time::Duration;

use fairlead_layer2::segment::{LostCause, OutgoingKind, Received, ReportKind};
use fairlead_layer2::{MacAddress, Moment, arp};

use crate::wire::{CLIENT, CLIENT_ADDRESS, Wire, mac, socket, vip};

fn request() -> [u8; arp::FRAME_LENGTH] {
    let target = match vip(10) {
        std::net::IpAddr::V4(target) => target,
        std::net::IpAddr::V6(_) => unreachable!("a test of IPv4"),
    };
    arp::Packet { sender: CLIENT_ADDRESS, ..arp::Packet::probe(CLIENT, target) }.frame(MacAddress::BROADCAST)
}

#[test]
fn requests_that_waited_for_long_are_not_answered() {
    let mut wire = Wire::new(1, &[vip(10)]);
    wire.settle(&[vip(10)]);
    wire.run(1_000);
    // Short enough for the claim to hold.
    wire.nodes[0].frozen = true;
    let from = wire.sent.len();
    wire.say(CLIENT, &request());
    wire.run(60);
    wire.say(CLIENT, &request());
    wire.run(60);
    wire.nodes[0].frozen = false;
    wire.run(5);
    assert_eq!(wire.of_kind(from, 0, OutgoingKind::Reply).len(), 1);
    assert_eq!(wire.nodes[0].segment.counters().arp.late, 1);
    assert_eq!(wire.who_has(vip(10)), [mac(0)]);
}

#[test]
fn a_frozen_owner_answers_nothing_when_it_goes_on() {
    for length in [400, 1_000, 30_000] {
        let mut wire = Wire::new(2, &[vip(10)]);
        let owner = wire.settle(&[vip(10)])[0];
        wire.run(1_000);
        wire.nodes[owner].frozen = true;
        for _ in 0..length / 100 {
            wire.say(CLIENT, &request());
            wire.run(100);
        }
        wire.say(CLIENT, &request());
        wire.run(2);
        let from = wire.sent.len();
        wire.nodes[owner].frozen = false;
        wire.say(CLIENT, &request());
        wire.run(30);
        assert!(wire.of_kind(from, owner, OutgoingKind::Reply).is_empty(), "after {length} ms");
        let fenced =
            |report: &&ReportKind| matches!(report, ReportKind::Lost { cause: LostCause::Fenced, .. });
        assert_eq!(wire.reports(owner).filter(fenced).count(), 1);
        assert_eq!(wire.nodes[owner].segment.counters().fences, 1);
        wire.run(2_000);
        assert_eq!(wire.who_has(vip(10)), [mac(1 - owner)]);
    }
}

/// The process stands still between two steps of a wake-up.
#[test]
fn a_freeze_after_the_beacons_are_sent_stops_the_answers() {
    for (freeze, answers) in [(90, 1), (101, 0), (500, 0)] {
        let mut wire = Wire::new(1, &[vip(10)]);
        wire.settle(&[vip(10)]);
        let mut clock = wire.clock();
        let frame = request();
        let received =
            Received { frame: &frame, age: Duration::from_millis(1), socket: socket(&frame).unwrap() };
        let segment = &mut wire.nodes[0].segment;
        segment.wake(clock, &[received]);
        segment.sent(true, clock);
        clock.boot = clock.boot + Duration::from_millis(freeze);
        assert_eq!(segment.answers(clock).len(), answers, "{freeze} ms");
        assert_eq!(segment.answers(clock).len(), 0, "a request is answered once");
    }
}

#[test]
fn who_can_not_send_its_beacons_does_not_answer() {
    let mut wire = Wire::new(1, &[vip(10)]);
    wire.settle(&[vip(10)]);
    let mut clock = wire.clock();
    let start = clock.boot;
    let frame = request();
    let segment = &mut wire.nodes[0].segment;
    let mut last = Moment::default();
    while clock.boot.since(start) < Duration::from_secs(1) {
        clock.boot = clock.boot + Duration::from_millis(10);
        clock.wall += 10_000;
        let received = Received { frame: &frame, age: Duration::ZERO, socket: socket(&frame).unwrap() };
        segment.wake(clock, &[received]);
        segment.sent(false, clock);
        if !segment.answers(clock).is_empty() {
            last = clock.boot;
        }
    }
    let answered = last.since(start);
    assert!((Duration::from_millis(170)..=Duration::from_millis(370)).contains(&answered), "{answered:?}");
}

#[test]
fn a_claim_that_waits_is_heard_before_the_requests_that_wait_with_it() {
    let mut wire = Wire::new(2, &[vip(10)]);
    let owner = wire.settle(&[vip(10)])[0];
    wire.run(6_000);
    wire.nodes[owner].segment.drain(Duration::from_secs(5));
    // The offer leaves, and the process stands still before the claim of the other one arrives.
    while wire.owners(vip(10)).len() < 2 {
        wire.run(1);
    }
    wire.nodes[owner].frozen = true;
    wire.run(30);
    wire.say(CLIENT, &request());
    wire.run(30);
    let from = wire.sent.len();
    wire.nodes[owner].frozen = false;
    wire.run(3);
    assert!(wire.of_kind(from, owner, OutgoingKind::Reply).is_empty());
    assert_eq!(wire.owners(vip(10)), [1 - owner]);
    assert_eq!(wire.nodes[owner].segment.counters().fences, 0);
}
