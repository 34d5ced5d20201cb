use etherparse::{Icmpv6Slice, IpNumber, Ipv6Header, NetSlice, SlicedPacket, TransportSlice};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

fn address(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)
}

/// A packet with this message in ICMPv6, with the right checksum, by another implementation.
fn packet(source: Ipv6Addr, destination: Ipv6Addr, hop_limit: u8, message: &[u8]) -> Vec<u8> {
    let mut header = Ipv6Header { hop_limit, next_header: IpNumber::IPV6_ICMP, ..Default::default() };
    header.source = source.octets();
    header.destination = destination.octets();
    header.set_payload_length(message.len()).unwrap();
    let mut message = message.to_vec();
    let sum = etherparse::checksum::Sum16BitWords::new()
        .add_16bytes(header.source)
        .add_16bytes(header.destination)
        .add_4bytes(u32::try_from(message.len()).unwrap().to_be_bytes())
        .add_2bytes([0, 58])
        .add_slice(&message);
    message[2..4].copy_from_slice(&sum.ones_complement().to_ne_bytes());
    [&header.to_bytes()[..], &message].concat()
}

fn solicitation(target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    [&[135, 0, 0, 0, 0, 0, 0, 0], &target.octets()[..], options].concat()
}

fn advertisement(flags: u8, target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    [&[136, 0, 0, 0, flags, 0, 0, 0], &target.octets()[..], options].concat()
}

const SOURCE_OPTION: [u8; 8] = [1, 1, 2, 0, 0, 0, 0, 9];

#[test]
fn solicitations_of_all_kinds_are_read() {
    let (asker, target) = (address(9), address(1));
    let group = solicited_node(target);
    assert_eq!(group, "ff02::1:ff00:1".parse::<Ipv6Addr>().unwrap());
    assert_eq!(multicast_mac(group).to_string(), "33:33:ff:00:00:01");
    let read = |source, destination, options: &[u8]| {
        let packet = packet(source, destination, 255, &solicitation(target, options));
        match Message::read(&packet) {
            Some(Message::Solicitation(read)) => {
                assert_eq!((read.source, read.destination, read.target), (source, destination, target));
                Some((read.source_mac, read.nonce.map(<[u8]>::to_vec)))
            }
            other => {
                assert_eq!(other, None);
                None
            }
        }
    };
    let nobody = Ipv6Addr::UNSPECIFIED;
    let asker_mac = MacAddress([2, 0, 0, 0, 0, 9]);
    assert_eq!(read(asker, group, &SOURCE_OPTION), Some((Some(asker_mac), None)));
    // The reachability of a known neighbour is tested without naming oneself.
    assert_eq!(read(asker, target, &[]), Some((None, None)));
    let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
    assert_eq!(read(nobody, group, &nonce), Some((None, Some(vec![1, 2, 3, 4, 5, 6]))));
    assert_eq!(read(nobody, group, &[]), Some((None, None)));
    let unknown = [200, 2].into_iter().chain([0; 14]).chain(SOURCE_OPTION).collect::<Vec<_>>();
    assert_eq!(read(asker, group, &unknown), Some((Some(asker_mac), None)));
    // An option of another hardware's length names no MAC address.
    assert_eq!(
        read(asker, group, &[1, 2].into_iter().chain([0; 14]).collect::<Vec<_>>()),
        Some((None, None))
    );

    assert_eq!(read(nobody, target, &[]), None, "from nobody, and not to a solicited-node group");
    assert_eq!(read(nobody, ALL_NODES, &[]), None, "from nobody, and not to a solicited-node group");
    assert_eq!(read(nobody, group, &SOURCE_OPTION), None, "from nobody, and with a MAC address");
    assert_eq!(read(asker, group, &[1, 0, 0, 0, 0, 0, 0, 0]), None, "an option without length");
    assert_eq!(read(asker, group, &SOURCE_OPTION[..7]), None, "a cut option");
    assert_eq!(read(asker, group, &[1]), None, "a cut option");
    assert_eq!(read(ALL_NODES, group, &[]), None, "from a group");
}

#[test]
fn advertisements_are_read() {
    let (source, target) = (address(1), address(2));
    let option = [2, 1, 2, 0, 0, 0, 0, 7];
    for flags in 0..8_u8 {
        let bytes = packet(source, address(9), 255, &advertisement(flags << 5, target, &option));
        let read = Message::read(&bytes).unwrap();
        assert_eq!(
            read,
            Message::Advertisement(Advertisement {
                source,
                destination: address(9),
                target,
                target_mac: Some(MacAddress([2, 0, 0, 0, 0, 7])),
                router: flags & 4 != 0,
                solicited: flags & 2 != 0,
                overrides: flags & 1 != 0,
            })
        );
    }
    let to_all =
        |flags| Message::read(&packet(source, ALL_NODES, 255, &advertisement(flags, target, &[]))).is_some();
    assert!(to_all(0x20) && !to_all(0x60), "what a group is told is not solicited");
}

#[test]
fn what_has_to_be_ignored_is_not_read() {
    let group = solicited_node(address(1));
    let message = solicitation(address(1), &SOURCE_OPTION);
    let good = packet(address(9), group, 255, &message);
    assert!(Message::read(&good).is_some());
    for hop_limit in [0, 1, 64, 254] {
        assert_eq!(Message::read(&packet(address(9), group, hop_limit, &message)), None, "{hop_limit}");
    }
    let mut code = message.clone();
    code[1] = 1;
    assert_eq!(Message::read(&packet(address(9), group, 255, &code)), None);
    let multicast = solicitation(group, &SOURCE_OPTION);
    assert_eq!(Message::read(&packet(address(9), group, 255, &multicast)), None);
    for other in [0, 128, 133, 134, 137] {
        let mut other_type = message.clone();
        other_type[0] = other;
        assert_eq!(Message::read(&packet(address(9), group, 255, &other_type)), None, "{other}");
    }
    for at in (0..good.len()).filter(|at| !(1..4).contains(at)) {
        let mut changed = good.clone();
        changed[at] ^= 0x10;
        assert_eq!(Message::read(&changed), None, "octet {at}");
    }
    for length in 0..good.len() {
        assert_eq!(Message::read(&good[..length]), None, "cut at {length}");
    }
    let padded = [&good[..], &[0; 20]].concat();
    assert_eq!(Message::read(&padded), Message::read(&good));
}

#[test]
fn our_probe_is_read_as_one() {
    let frame = probe(MAC, address(7), [1, 2, 3, 4, 5, 6]);
    let read = ethernet::Frame::read(&frame).unwrap();
    assert_eq!((read.destination, read.source), (multicast_mac(solicited_node(address(7))), MAC));
    let Some(Message::Solicitation(solicitation)) = Message::read(read.payload) else {
        panic!("not read: {frame:?}");
    };
    assert_eq!(solicitation.target, address(7));
    assert!(solicitation.source.is_unspecified() && solicitation.source_mac.is_none());
    assert_eq!(solicitation.nonce, Some(&[1, 2, 3, 4, 5, 6][..]));
}

#[test]
fn our_question_is_read_as_one() {
    let station = MacAddress([2, 0, 0, 0, 0, 9]);
    let frame = question(MAC, address(1), station, address(7));
    let read = ethernet::Frame::read(&frame).unwrap();
    assert_eq!((read.destination, read.source), (station, MAC));
    let expected = Solicitation {
        source: address(1),
        destination: address(7),
        target: address(7),
        source_mac: Some(MAC),
        nonce: None,
    };
    assert_eq!(Message::read(read.payload), Some(Message::Solicitation(expected)));
}

proptest! {
    #[test]
    fn another_implementation_reads_our_advertisements(
        ids in any::<(u128, u128, u128)>(),
        macs in any::<([u8; 6], [u8; 6])>(),
        flags in any::<(bool, bool, bool)>(),
    ) {
        let advertisement = Advertisement {
            source: ids.0.into(),
            destination: ids.1.into(),
            target: ids.2.into(),
            target_mac: Some(MacAddress(macs.1)),
            router: flags.0,
            solicited: flags.1,
            overrides: flags.2,
        };
        let frame = advertisement.frame(MacAddress(macs.0), MacAddress(macs.1));
        let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(NetSlice::Ipv6(ip)) = sliced.net else { panic!("no IPv6") };
        prop_assert_eq!(ip.header().hop_limit(), 255);
        prop_assert_eq!(ip.header().source_addr(), advertisement.source);
        let Some(TransportSlice::Icmpv6(icmp)) = sliced.transport else { panic!("no ICMPv6") };
        prop_assert!(icmp.is_checksum_valid(ids.0.to_be_bytes(), ids.1.to_be_bytes()));
        prop_assert_eq!(icmp.type_u8(), 136);
        let body = icmp.slice();
        prop_assert_eq!(&body[8..24], &advertisement.target.octets());
        prop_assert_eq!(body[24..32].to_vec(), [&[2, 1], &macs.1[..]].concat());
        let from_or_for_a_group = advertisement.target.is_multicast() || advertisement.source.is_multicast();
        let answers_a_group = advertisement.solicited && advertisement.destination.is_multicast();
        if !from_or_for_a_group && !answers_a_group {
            let read = Message::read(&frame[ethernet::HEADER_LENGTH..]);
            prop_assert_eq!(read, Some(Message::Advertisement(advertisement)));
        }
    }

    #[test]
    fn whatever_is_read_has_a_checksum_that_another_implementation_finds_right(
        kind in prop_oneof![Just(135_u8), Just(136)],
        ids in any::<(u128, u128, u128)>(),
        options in vec(any::<u8>(), 0..40),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        let message = [&[kind, 0, 0, 0, 0, 0, 0, 0], &ids.2.to_be_bytes()[..], &options].concat();
        let mut bytes = packet(ids.0.into(), ids.1.into(), 255, &message);
        let at = at.index(bytes.len());
        bytes[at] = value;
        if Message::read(&bytes).is_some() {
            let length = usize::from(u16::from_be_bytes([bytes[4], bytes[5]]));
            let icmp = Icmpv6Slice::from_slice(&bytes[40..40 + length]).unwrap();
            let source = bytes[8..24].try_into().unwrap();
            let destination = bytes[24..40].try_into().unwrap();
            prop_assert!(icmp.is_checksum_valid(source, destination));
            prop_assert_eq!(bytes[7], 255);
        }
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in vec(any::<u8>(), 0..120)) {
        let _ = Message::read(&bytes);
        let _ = Message::read(&packet(address(9), address(1), 255, &[&[135, 0, 0, 0][..], &bytes].concat()));
        let _ = Options::read(&bytes);
    }
}
