//! Several speakers on one segment: one of them answers for each address, whatever becomes of the others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::{Duration, Instant};

use lab::{Arp, Mac};

use crate::bed::{Bed, Host, PATIENCE, Tap, arp_reply, ipv4};
use crate::speaker::Speaker;

/// The pause between two questions about the same address.
const PAUSE: Duration = Duration::from_millis(5);

fn addresses(number: u8) -> Vec<IpAddr> {
    (64..64 + number).map(|last| IpAddr::from(Ipv4Addr::new(198, 51, 100, last))).collect()
}

struct Fleet {
    bed: Bed,
    nodes: Vec<(Host, Option<Speaker>)>,
}

impl Fleet {
    /// Three nodes whose speakers have settled who has which of the addresses.
    fn start(addresses: &[IpAddr]) -> Self {
        let bed = Bed::new();
        let mut nodes = Vec::new();
        for number in 11..14 {
            let host = bed.node(number);
            let speaker = Speaker::start(&host);
            speaker.want("eth0", addresses);
            nodes.push((host, Some(speaker)));
        }
        Self { bed, nodes }
    }

    fn macs(&self) -> Vec<Mac> {
        self.nodes.iter().map(|(host, _)| host.mac("eth0")).collect()
    }
}

/// Who answers for each address, of which each has to have exactly one answer.
fn owners(tap: &Tap, addresses: &[IpAddr]) -> HashMap<IpAddr, Mac> {
    addresses.iter().map(|address| (*address, tap.ask_until(200, *address, |_| true))).collect()
}

#[test]
fn each_address_has_one_owner_and_all_nodes_have_their_share() {
    let addresses = addresses(30);
    let fleet = Fleet::start(&addresses);
    let client = fleet.bed.node(200);
    let tap = client.tap();
    owners(&tap, &addresses);
    thread::sleep(Duration::from_secs(1));
    let mut shares: HashMap<Mac, usize> = HashMap::new();
    for address in &addresses {
        let IpAddr::V4(address) = *address else { unreachable!("all are IPv4") };
        tap.clear();
        tap.send(&Arp::request(tap.mac, ipv4(200), address).to_frame(Mac::BROADCAST));
        let mut answers = Vec::new();
        tap.find(Duration::from_millis(30), |frame| {
            answers.extend(arp_reply(frame, ipv4(200), address));
            None::<()>
        });
        assert_eq!(answers.len(), 1, "{address}: {answers:?}");
        *shares.entry(answers[0]).or_default() += 1;
    }
    // 1.25 times the average of 10, and one.
    assert!(shares.len() == 3 && shares.values().all(|share| *share <= 13), "{shares:?}");
}

#[test]
fn the_addresses_of_a_node_that_dies_are_taken_over() {
    let addresses = addresses(6);
    let mut fleet = Fleet::start(&addresses);
    let client = fleet.bed.node(200);
    let tap = client.tap();
    thread::sleep(Duration::from_secs(2));
    let before = owners(&tap, &addresses);
    let macs = fleet.macs();
    let at = macs.iter().position(|mac| *mac == before[&addresses[0]]).expect("an owner of this fleet");
    // Without a word: the frames that would say so are not sent.
    fleet.nodes[at].0.ip("link set eth0 down");
    let died = Instant::now();
    tap.ask_until(200, addresses[0], |mac| mac != macs[at]);
    let outage = died.elapsed();
    fleet.nodes[at].1 = None;
    assert!(outage < Duration::from_secs(2), "{outage:?}");
    for (address, mac) in owners(&tap, &addresses) {
        assert!(mac != macs[at], "{address}");
        // What the others had stays where it is.
        assert!(before[&address] == macs[at] || before[&address] == mac, "{address}");
    }
}

#[test]
fn who_ends_hands_over_without_a_gap() {
    let addresses = addresses(6);
    let mut fleet = Fleet::start(&addresses);
    let client = fleet.bed.node(200);
    let tap = client.tap();
    thread::sleep(Duration::from_secs(2));
    let before = owners(&tap, &addresses);
    let macs = fleet.macs();
    let asked = addresses[0];
    let at = macs.iter().position(|mac| *mac == before[&asked]).expect("an owner of this fleet");
    let speaker = fleet.nodes[at].1.take().expect("a speaker that has not ended");

    let draining = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(speaker.wires.drain(Duration::from_secs(5)))
    });
    let began = Instant::now();
    let (mut unanswered, mut moved) = (Vec::new(), None);
    while moved.is_none_or(|at: Instant| at.elapsed() < Duration::from_millis(500)) {
        assert!(began.elapsed() < PATIENCE, "it was not handed over");
        match tap.ask(200, asked, Duration::from_millis(100)) {
            Some(mac) if mac == macs[at] => assert_eq!(moved, None, "it went back"),
            Some(_) => moved = moved.or(Some(Instant::now())),
            None => unanswered.push(began.elapsed()),
        }
        thread::sleep(PAUSE);
    }
    assert!(draining.join().expect("no panic"), "the drain was not over in time");
    assert_eq!(unanswered, [Duration::ZERO; 0], "after the drain began");
    for (address, mac) in owners(&tap, &addresses) {
        assert!(mac != macs[at], "{address}");
    }
}
