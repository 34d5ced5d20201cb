//! The segment is asked before an address is used for the first time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use fairlead_layer2::ethernet::{Frame, ether_type};
use fairlead_layer2::ndp::{self, ALL_NODES, Advertisement, Message, multicast_mac};
use fairlead_layer2::segment::{OutgoingKind, ReportKind, Stranger};
use fairlead_layer2::{MacAddress, Wanted, arp};

use crate::wire::{STRANGER, Wire, said_address, vip, vip6, wanted};

fn probing(nodes: usize, addresses: &[IpAddr]) -> Wire {
    let mut wire = Wire::new(nodes, &[]);
    wire.run(2_000);
    for node in &mut wire.nodes {
        for address in addresses {
            node.segment.want(*address, Some(Arc::new(Wanted { probe: true, ..wanted() })));
        }
    }
    wire
}

/// The address that a frame asks about in the name of nobody.
fn probed(bytes: &[u8]) -> Option<IpAddr> {
    let frame = Frame::read(bytes)?;
    match frame.ether_type {
        ether_type::ARP => {
            arp::Packet::read(frame.payload).filter(arp::Packet::is_probe).map(|packet| packet.target.into())
        }
        ether_type::IPV6 => match Message::read(frame.payload)? {
            Message::Solicitation(solicitation) if solicitation.source.is_unspecified() => {
                Some(solicitation.target.into())
            }
            _ => None,
        },
        _ => None,
    }
}

fn results(wire: &Wire) -> Vec<(IpAddr, Option<Stranger>)> {
    let probed = |report: &ReportKind| match report {
        ReportKind::Probed { address, user, .. } => Some((*address, *user)),
        _ => None,
    };
    (0..wire.nodes.len()).flat_map(|node| wire.reports(node).filter_map(probed)).collect()
}

#[test]
fn three_probes_then_the_address_is_answered() {
    for nodes in [1, 3] {
        let addresses = [vip(10), vip6(10)];
        let mut wire = probing(nodes, &addresses);
        let (start, from) = (wire.now, wire.sent.len());
        wire.run(150);
        for address in addresses {
            assert_eq!(wire.who_has(address), [], "answered before it is known to be free");
        }
        wire.settle(&addresses);
        assert!(wire.now - start <= 650, "{} ms", wire.now - start);
        for address in addresses {
            assert_eq!(wire.who_has(address).len(), 1);
            let asked = |sent: &&crate::wire::Sent| probed(&sent.frame) == Some(address);
            let probes: Vec<_> = wire.sent[from..].iter().filter(asked).map(|sent| sent.at).collect();
            assert_eq!(probes.len(), 3, "{probes:?}");
            let announced = wire.sent[from..].iter().find(|sent| {
                sent.kind == Some(OutgoingKind::Announcement) && said_address(&sent.frame) == Some(address)
            });
            let waited = announced.unwrap().at - probes[2];
            assert!((200..=205).contains(&waited), "{waited} ms after the last probe");
        }
        assert_eq!(results(&wire).len(), 2);
        assert!(results(&wire).iter().all(|(_, user)| user.is_none()));
    }
}

fn using(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => {
            arp::Packet::announcing_reply(STRANGER, address).frame(MacAddress::BROADCAST).to_vec()
        }
        IpAddr::V6(address) => {
            let advertisement = Advertisement {
                source: address,
                destination: ALL_NODES,
                target: address,
                target_mac: Some(STRANGER),
                router: false,
                solicited: false,
                overrides: true,
            };
            advertisement.frame(multicast_mac(ALL_NODES), STRANGER).to_vec()
        }
    }
}

fn asking(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp::Packet::probe(STRANGER, address).frame(MacAddress::BROADCAST).to_vec(),
        IpAddr::V6(address) => ndp::probe(STRANGER, address, [9; 6]).to_vec(),
    }
}

#[test]
fn an_address_in_use_is_not_taken() {
    for address in [vip(10), vip6(10)] {
        for frame in [using(address), asking(address)] {
            let mut wire = probing(2, &[address]);
            wire.run(150);
            wire.say(STRANGER, &frame);
            wire.run(4_000);
            assert_eq!(results(&wire), [(address, Some(Stranger { mac: STRANGER, node: None }))]);
            assert_eq!(wire.owners(address), []);
            let is_announced = |sent: &crate::wire::Sent| {
                sent.kind == Some(OutgoingKind::Announcement) && said_address(&sent.frame) == Some(address)
            };
            assert!(!wire.sent.iter().any(is_announced));
        }
    }
}

#[test]
fn frames_in_the_name_of_others_and_our_own_cost_no_address() {
    let address = vip(10);
    let mut wire = probing(2, &[address, vip6(10)]);
    wire.run(150);
    let target = Ipv4Addr::new(198, 51, 100, 10);
    let mut odd = arp::Packet::probe(MacAddress([2, 0, 0, 0, 0xee, 7]), target).frame(MacAddress::BROADCAST);
    odd[6..12].copy_from_slice(&STRANGER.0);
    wire.say(STRANGER, &odd);
    // Frames that a switch sends back.
    for sent in wire.sent.clone() {
        if probed(&sent.frame).is_some() {
            wire.say(STRANGER, &sent.frame);
        }
    }
    wire.run(1_000);
    assert!(results(&wire).iter().all(|(_, user)| user.is_none()), "{:?}", results(&wire));
    assert_eq!(wire.owners(address).len(), 1);
    assert_eq!(wire.owners(vip6(10)).len(), 1);
    let other: Ipv6Addr = "2001:db8::1:b".parse().unwrap();
    assert_eq!(wire.owners(other.into()), []);
}

#[test]
fn a_successor_of_an_owner_that_answered_asks_nobody() {
    let mut wire = probing(2, &[vip(10)]);
    let owner = wire.settle(&[vip(10)])[0];
    wire.run(1_000);
    wire.nodes[owner].dead = true;
    let from = wire.sent.len();
    wire.run(450);
    assert_eq!(wire.owners(vip(10)), [1 - owner]);
    assert!(wire.sent[from..].iter().all(|sent| probed(&sent.frame).is_none()));
}
