//! Which requests are answered, and how.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lab::{Arp, Content, Mac, Solicitation};

use crate::bed::{Bed, PATIENCE, QUIET, arp_reply, ipv4, ipv6};
use crate::speaker::Speaker;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 64);
const OTHER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 65);
const ADDRESS6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0x64, 0x1234);
const OTHER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0x65, 0x1234);

#[test]
fn arp_requests_for_the_address_are_answered_and_others_are_not() {
    let bed = Bed::new();
    let (node, client) = (bed.node(11), bed.node(200));
    let mut speaker = Speaker::start(&node);
    speaker.want("eth0", &[ADDRESS.into()]);
    speaker.owns(ADDRESS.into());
    let (tap, mac) = (client.tap(), node.mac("eth0"));

    let request = Arp::request(tap.mac, ipv4(200), ADDRESS);
    let reply = |sent: Vec<u8>| {
        tap.clear();
        tap.send(&sent);
        tap.find(PATIENCE, |frame| {
            let Content::Arp(arp) = &frame.content else { return None };
            (arp.operation == 2 && arp.target != arp.sender).then_some((frame.clone(), *arp))
        })
        .expect("an answer")
    };
    for destination in [Mac::BROADCAST, mac] {
        let (frame, arp) = reply(request.to_frame(destination));
        assert_eq!((frame.source, frame.destination), (mac, tap.mac));
        assert_eq!(arp, request.reply(mac));
    }
    // A host that looks whether it could use the address (RFC 5227).
    let probe = Arp::request(tap.mac, Ipv4Addr::UNSPECIFIED, ADDRESS);
    let (_, arp) = reply(probe.to_frame(Mac::BROADCAST));
    assert_eq!((arp.sender, arp.sender_mac), (ADDRESS, mac));

    assert_eq!(tap.ask(200, OTHER.into(), QUIET), None);
    // Addressed to somebody else, as a switch that does not know where that is sends it everywhere.
    tap.clear();
    tap.send(&request.to_frame(Mac([2, 0, 0, 0, 0, 99])));
    assert_eq!(tap.find(QUIET, |frame| arp_reply(frame, ipv4(200), ADDRESS)), None);
}

#[test]
fn neighbour_solicitations_of_every_kind_are_answered() {
    let bed = Bed::new();
    let (node, client) = (bed.node(11), bed.node(200));
    let mut speaker = Speaker::start(&node);
    speaker.link("eth0", |link| link.link_local().is_some());
    speaker.want("eth0", &[ADDRESS6.into()]);
    speaker.owns(ADDRESS6.into());
    let (tap, mac) = (client.tap(), node.mac("eth0"));
    let answer = |sent: Vec<u8>| {
        tap.clear();
        tap.send(&sent);
        tap.find(PATIENCE, |frame| match &frame.content {
            Content::Advertisement(it) if it.target == ADDRESS6 && (it.solicited || it.overriding) => {
                Some((frame.clone(), *it))
            }
            _ => None,
        })
        .expect("an answer")
    };

    let asked = Solicitation::multicast(tap.mac, ipv6(200), ADDRESS6);
    let (frame, advertisement) = answer(asked.to_group_frame(tap.mac));
    assert_eq!((frame.source, frame.destination), (mac, tap.mac));
    assert_eq!(advertisement.target_mac, Some(mac));
    assert!(advertisement.solicited && advertisement.checksum_right && !advertisement.router);
    assert_eq!((advertisement.hop_limit, advertisement.destination), (255, ipv6(200)));

    // Whether it is still there, with and without the asker's MAC address.
    let unicast = Solicitation::unicast(tap.mac, ipv6(200), ADDRESS6);
    for asked in [unicast, Solicitation { source_mac: None, ..unicast }] {
        let (frame, advertisement) = answer(asked.to_frame(tap.mac, mac));
        assert_eq!(frame.destination, tap.mac);
        assert!(advertisement.solicited && advertisement.checksum_right);
    }

    // Somebody wants to use it: everybody is told that it is in use.
    let (frame, advertisement) = answer(Solicitation::duplicate_detection(ADDRESS6).to_group_frame(tap.mac));
    assert_eq!(advertisement.destination, "ff02::1".parse::<Ipv6Addr>().unwrap());
    assert_eq!(frame.destination, Mac([0x33, 0x33, 0, 0, 0, 1]));
    assert!(!advertisement.solicited && advertisement.overriding);

    assert_eq!(tap.ask(200, OTHER6.into(), QUIET), None);
    // From behind a router, or broken on the way.
    let multicast = Solicitation::multicast(tap.mac, ipv6(200), ADDRESS6);
    for wrong in
        [Solicitation { hop_limit: 254, ..multicast }, Solicitation { checksum_right: false, ..multicast }]
    {
        tap.clear();
        tap.send(&wrong.to_group_frame(tap.mac));
        let found = tap.find(QUIET, |frame| match &frame.content {
            Content::Advertisement(it) if it.solicited => Some(()),
            _ => None,
        });
        assert_eq!(found, None);
    }
}

#[test]
fn frames_with_the_tag_of_a_vlan_are_of_another_segment() {
    let bed = Bed::new();
    let (node, client) = (bed.node(11), bed.node(200));
    // One VLAN has an interface on the node, where the kernel has VLANs; the other one has not.
    if node.can("link add link eth0 name skip5 type vlan id 5") {
        node.ip("link set skip5 up");
    }
    let mut speaker = Speaker::start(&node);
    speaker.want("eth0", &[ADDRESS.into()]);
    speaker.owns(ADDRESS.into());
    let tap = client.tap();
    let plain = Arp::request(tap.mac, ipv4(200), ADDRESS).to_frame(Mac::BROADCAST);
    for vlan in [5, 6] {
        let mut tagged = plain.clone();
        tagged.splice(12..12, [0x81, 0, 0, vlan]);
        tap.clear();
        tap.send(&tagged);
        // An answer might be tagged or not; announcements go to everybody.
        let is_answer = |bytes: &[u8]| {
            let names_address = bytes.windows(4).any(|window| window == ADDRESS.octets());
            (bytes.starts_with(&tap.mac.0) && names_address).then_some(())
        };
        assert_eq!(tap.find_bytes(QUIET, is_answer), None, "VLAN {vlan}");
    }
    assert_eq!(tap.ask(200, ADDRESS.into(), PATIENCE), Some(node.mac("eth0")));
}

#[test]
fn many_addresses_of_both_families_are_answered_and_their_neighbours_are_not() {
    let bed = Bed::new();
    let (node, client) = (bed.node(11), bed.node(200));
    let mut speaker = Speaker::start(&node);
    speaker.link("eth0", |link| link.link_local().is_some());
    // Every second one of more than the filter can tell apart.
    let ipv4s = (0..1000_u32).map(|number| IpAddr::from(Ipv4Addr::from(0x0a00_0000 + 2 * number)));
    let ipv6s = (0..600_u128)
        .map(|number| IpAddr::from(Ipv6Addr::from_bits(ADDRESS6.to_bits() + (number << 24) + 2 * number)));
    let addresses: Vec<_> = ipv4s.chain(ipv6s).collect();
    speaker.want("eth0", &addresses);
    let mut owned = 0;
    while owned < addresses.len() {
        speaker.news(|_, news| matches!(news, fairlead_speaker::links::News::Owned { .. }).then_some(()));
        owned += 1;
    }
    let (tap, mac) = (client.tap(), node.mac("eth0"));
    for address in addresses.iter().step_by(37) {
        assert_eq!(tap.ask_until(200, *address, |_| true), mac, "{address}");
    }
    for neighbour in ["10.0.0.1", "10.0.7.207", "10.0.8.0", "2001:db8:1::64:1235"] {
        assert_eq!(tap.ask(200, neighbour.parse().unwrap(), QUIET), None, "{neighbour}");
    }
    // Nobody wants them any more.
    let gone = addresses.iter().map(|address| (*address, None)).collect();
    speaker.wires.want(speaker.link("eth0", |_| true).index, gone);
    let mut lost = 0;
    while lost < addresses.len() {
        speaker.news(|_, news| matches!(news, fairlead_speaker::links::News::Lost { .. }).then_some(()));
        lost += 1;
    }
    for address in addresses.iter().step_by(321) {
        assert_eq!(tap.ask(200, *address, QUIET), None, "{address}");
    }
}
