//! What is asked while an address changes hands: everything is answered, and by one node.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use fairlead_layer2::ethernet::Frame;
use fairlead_layer2::filter::{self, About};
use fairlead_layer2::segment::{LostCause, OutgoingKind, ReportKind, Socket};
use fairlead_layer2::{Fitness, MacAddress, Wanted, arp};

use crate::wire::{CLIENT, LATENCY, Wire, mac, vip, wanted};

/// The address of the client that asks at this time.
fn asker(at: u64) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(at).unwrap())
}

fn ask(wire: &mut Wire, address: IpAddr) {
    let IpAddr::V4(target) = address else { unreachable!("a test of IPv4") };
    let request = arp::Packet { sender: asker(wire.now), ..arp::Packet::probe(CLIENT, target) };
    wire.say(CLIENT, &request.frame(MacAddress::BROADCAST));
}

/// How many answered each of the askers.
fn answers(wire: &Wire, from: usize) -> BTreeMap<Ipv4Addr, usize> {
    let mut answers = BTreeMap::new();
    for sent in wire.sent[from..].iter().filter(|sent| sent.kind == Some(OutgoingKind::Reply)) {
        let packet = arp::Packet::read(Frame::read(&sent.frame).unwrap().payload).unwrap();
        *answers.entry(packet.target).or_default() += 1;
    }
    answers
}

/// Both nodes stand still again and again, as on a busy machine, so that claims and requests wait with each other.
#[test]
fn each_request_is_answered_by_predecessor_or_successor() {
    for seed in 0..200 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut wire = Wire::new(2, &[vip(10)]);
        let owner = wire.settle(&[vip(10)])[0];
        wire.run(dice.u64(5_500..6_500));
        let (from, began) = (wire.sent.len(), wire.now);
        wire.nodes[owner].segment.drain(Duration::from_secs(5));
        let mut claimed = None;
        while wire.owners(vip(10)) != [1 - owner] {
            for node in &mut wire.nodes {
                node.frozen = dice.u8(..8) != 0;
            }
            ask(&mut wire, vip(10));
            wire.run(1);
            if claimed.is_none() && wire.owners(vip(10)).contains(&(1 - owner)) {
                claimed = Some(wire.now);
            }
            assert!(wire.now < began + 1_000, "seed {seed}: it is not handed over");
        }
        let ended = wire.now;
        for node in &mut wire.nodes {
            node.frozen = false;
        }
        wire.run(20);
        let (answers, claimed) = (answers(&wire, from), claimed.unwrap_or(ended));
        for at in began..ended {
            let count = answers.get(&asker(at)).copied().unwrap_or_default();
            // A request that is on its way together with the claim may be answered by both.
            let crosses = (claimed.saturating_sub(2 * LATENCY)..=claimed).contains(&at);
            assert!(
                count == 1 || crosses && count == 2,
                "seed {seed}: {count} answers, {at}, claimed {claimed}"
            );
        }
    }
}

/// As when a node is drained.
#[test]
fn who_may_not_have_an_address_any_more_answers_until_another_one_takes_it() {
    let mut wire = Wire::new(2, &[vip(10)]);
    let owner = wire.settle(&[vip(10)])[0];
    wire.run(1_000);
    assert_eq!(wire.who_has(vip(10)), [mac(owner)]);
    let heir = 1 - owner;
    // It would take the address, and can not be asked yet.
    wire.nodes[heir].frozen = true;
    let before = wire.nodes[owner].segment.generation();
    let unfit = Arc::new(Wanted { own: Fitness::Unfit, ..wanted() });
    wire.nodes[owner].segment.want(vip(10), Some(unfit));
    wire.run(200);
    assert_eq!(wire.who_has(vip(10)), [mac(owner)]);
    assert_eq!(wire.nodes[owner].segment.generation(), before, "the kernel lets requests pass as before");
    wire.nodes[heir].frozen = false;
    wire.run(100);
    assert_eq!(wire.who_has(vip(10)), [mac(heir)]);
    assert_eq!(wire.nodes[owner].segment.filter(Socket::Arp), filter::arp(&About::NOTHING));
}

#[test]
fn an_address_that_no_node_may_have_is_given_up() {
    let mut wire = Wire::new(1, &[vip(10)]);
    wire.settle(&[vip(10)]);
    let unfit = Arc::new(Wanted { own: Fitness::Unfit, ..wanted() });
    wire.nodes[0].segment.want(vip(10), Some(unfit));
    wire.run(200);
    assert_eq!(wire.who_has(vip(10)), [mac(0)], "somebody may still say that it can");
    wire.run(200);
    assert!(wire.who_has(vip(10)).is_empty());
    let given_up =
        |report: &&ReportKind| matches!(report, ReportKind::Lost { cause: LostCause::Released, .. });
    assert_eq!(wire.reports(0).filter(given_up).count(), 1);
    assert_eq!(wire.nodes[0].segment.filter(Socket::Arp), filter::arp(&About::NOTHING));
    // It comes back when it may.
    wire.nodes[0].segment.want(vip(10), Some(Arc::new(wanted())));
    wire.run(300);
    assert_eq!(wire.who_has(vip(10)), [mac(0)]);
}
