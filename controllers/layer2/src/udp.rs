//! Beacons in UDP: their second form, for segments whose filters drop EtherTypes that they do not know.
//!
//! In IPv6 they go from the link-local address to ff02::fa1d, and where an interface has no IPv6, in IPv4 to 224.0.0.250;
//! from and to port 7486. Their hop limit is 255, which no packet from behind a router has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::checksum::Sum;
use crate::ethernet::{self, ether_type};
use crate::link::LinkFacts;
use crate::mac::MacAddress;
use crate::ndp::{self, IPV6_LENGTH};

/// The group of speakers in IPv6.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfa1d);

/// The group of speakers in IPv4.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 250);

/// The port of beacons.
pub const PORT: u16 = 7486;

/// How many bytes are before the beacon at most.
pub const LARGEST_HEADER: usize = IPV6_LENGTH + UDP_LENGTH;

const UDP_LENGTH: usize = 8;
const IPV4_LENGTH: usize = 20;
const UDP: u8 = 17;
const HOP_LIMIT: u8 = 255;
const DO_NOT_FRAGMENT: u8 = 0x40;

/// What a packet is that is no beacon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotABeacon {
    /// Something else.
    Other,
    /// A beacon from behind a router, or one that says so.
    HopLimit,
    /// A beacon whose lengths or checksums are wrong.
    Damaged,
}

/// The address that beacons of an interface in UDP come from; none if it has neither IPv6 nor IPv4.
#[must_use]
pub fn source_of(link: &LinkFacts) -> Option<IpAddr> {
    let ipv4 = || link.addresses.iter().map(|prefix| prefix.address).find(IpAddr::is_ipv4);
    link.link_local().map(IpAddr::from).or_else(ipv4)
}

/// The frame with a beacon.
#[must_use]
pub fn frame(source_mac: MacAddress, source: IpAddr, beacon: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(ethernet::HEADER_LENGTH + LARGEST_HEADER + beacon.len());
    let length = UDP_LENGTH + beacon.len();
    match source {
        IpAddr::V6(source) => {
            ethernet::write_header(ndp::multicast_mac(GROUP_V6), source_mac, ether_type::IPV6, &mut frame);
            frame.extend(ndp::ipv6_header(source, GROUP_V6, UDP, length));
            frame.extend(udp_header(Sum::of_ipv6(source, GROUP_V6, UDP, length), beacon));
        }
        IpAddr::V4(source) => {
            let [.., a, b, c] = GROUP_V4.octets();
            let group = MacAddress([0x01, 0x00, 0x5e, a & 0x7f, b, c]);
            ethernet::write_header(group, source_mac, ether_type::IPV4, &mut frame);
            frame.extend(ipv4_header(source, length));
            frame.extend(udp_header(pseudo_header_v4(source, GROUP_V4, length), beacon));
        }
    }
    frame.extend(beacon);
    frame
}

/// The beacon in the payload of a frame.
pub fn read(ether_type: u16, packet: &[u8]) -> Result<&[u8], NotABeacon> {
    let (hop_limit, sum, datagram) = match ether_type {
        ether_type::IPV6 => read_ipv6(packet)?,
        ether_type::IPV4 => read_ipv4(packet)?,
        _ => return Err(NotABeacon::Other),
    };
    let (header, beacon) = datagram.split_first_chunk::<UDP_LENGTH>().ok_or(NotABeacon::Other)?;
    let port = PORT.to_be_bytes();
    if header[..2] != port || header[2..4] != port {
        return Err(NotABeacon::Other);
    }
    if hop_limit != HOP_LIMIT {
        return Err(NotABeacon::HopLimit);
    }
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if length != datagram.len() || header[6..] == [0, 0] || sum.add(datagram).finish() != 0 {
        return Err(NotABeacon::Damaged);
    }
    Ok(beacon)
}

fn read_ipv6(packet: &[u8]) -> Result<(u8, Sum, &[u8]), NotABeacon> {
    let (header, rest) = packet.split_first_chunk::<IPV6_LENGTH>().ok_or(NotABeacon::Other)?;
    let destination = GROUP_V6.octets();
    if header[0] >> 4 != 6 || header[6] != UDP || header[24..] != destination {
        return Err(NotABeacon::Other);
    }
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let datagram = rest.get(..length).ok_or(NotABeacon::Damaged)?;
    let source = header[8..].first_chunk().copied().map(Ipv6Addr::from).ok_or(NotABeacon::Other)?;
    Ok((header[7], Sum::of_ipv6(source, GROUP_V6, UDP, length), datagram))
}

fn read_ipv4(packet: &[u8]) -> Result<(u8, Sum, &[u8]), NotABeacon> {
    let header = packet.first_chunk::<IPV4_LENGTH>().ok_or(NotABeacon::Other)?;
    let is_plain = header[0] == 0x45 && header[6] & !DO_NOT_FRAGMENT == 0 && header[7] == 0;
    if !is_plain || header[9] != UDP || header[16..] != GROUP_V4.octets() {
        return Err(NotABeacon::Other);
    }
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let datagram = packet.get(IPV4_LENGTH..length).ok_or(NotABeacon::Damaged)?;
    if Sum::default().add(header).finish() != 0 {
        return Err(NotABeacon::Damaged);
    }
    let source = header[12..].first_chunk().copied().map(Ipv4Addr::from).ok_or(NotABeacon::Other)?;
    Ok((header[8], pseudo_header_v4(source, GROUP_V4, datagram.len()), datagram))
}

fn ipv4_header(source: Ipv4Addr, length: usize) -> [u8; IPV4_LENGTH] {
    let total = u16::try_from(IPV4_LENGTH + length).unwrap_or(u16::MAX);
    let mut header = [0; IPV4_LENGTH];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[6] = DO_NOT_FRAGMENT;
    header[8] = HOP_LIMIT;
    header[9] = UDP;
    header[12..16].copy_from_slice(&source.octets());
    header[16..].copy_from_slice(&GROUP_V4.octets());
    let checksum = Sum::default().add(&header).finish();
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    header
}

fn pseudo_header_v4(source: Ipv4Addr, destination: Ipv4Addr, length: usize) -> Sum {
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    Sum::default().add(&source.octets()).add(&destination.octets()).add(&[0, UDP]).add(&length.to_be_bytes())
}

fn udp_header(pseudo_header: Sum, beacon: &[u8]) -> [u8; UDP_LENGTH] {
    let length = u16::try_from(UDP_LENGTH + beacon.len()).unwrap_or(u16::MAX);
    let mut header = [0; UDP_LENGTH];
    header[..2].copy_from_slice(&PORT.to_be_bytes());
    header[2..4].copy_from_slice(&PORT.to_be_bytes());
    header[4..6].copy_from_slice(&length.to_be_bytes());
    // A checksum of zero would say that there is none.
    let checksum = match pseudo_header.add(&header).add(beacon).finish() {
        0 => u16::MAX,
        checksum => checksum,
    };
    header[6..].copy_from_slice(&checksum.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

    fn payload(frame: &[u8]) -> Result<&[u8], NotABeacon> {
        let frame = ethernet::Frame::read(frame).unwrap();
        read(frame.ether_type, frame.payload)
    }

    fn of_another(source: IpAddr, hop_limit: u8, ports: (u16, u16), beacon: &[u8]) -> Vec<u8> {
        let ethernet = PacketBuilder::ethernet2(MAC.0, [1; 6]);
        let ip = match source {
            IpAddr::V4(source) => ethernet.ipv4(source.octets(), GROUP_V4.octets(), hop_limit),
            IpAddr::V6(source) => ethernet.ipv6(source.octets(), GROUP_V6.octets(), hop_limit),
        };
        let mut frame = Vec::new();
        ip.udp(ports.0, ports.1).write(&mut frame, beacon).unwrap();
        frame
    }

    fn source() -> impl Strategy<Value = IpAddr> {
        prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
    }

    proptest! {
        #[test]
        fn another_implementation_reads_our_frames(source in source(), beacon in vec(any::<u8>(), 0..1400)) {
            let frame = frame(MAC, source, &beacon);
            prop_assert_eq!(payload(&frame), Ok(&beacon[..]));
            let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
            let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("no UDP") };
            prop_assert_eq!((udp.source_port(), udp.destination_port()), (7486, 7486));
            prop_assert_eq!(udp.payload(), &beacon);
            let header = udp.to_header();
            let right = match sliced.net {
                Some(NetSlice::Ipv4(ip)) => {
                    let ip = ip.header().to_header();
                    prop_assert_eq!(ip.header_checksum, ip.calc_header_checksum());
                    prop_assert_eq!(ip.time_to_live, 255);
                    header.calc_checksum_ipv4(&ip, &beacon).unwrap()
                }
                Some(NetSlice::Ipv6(ip)) => {
                    prop_assert_eq!(ip.header().hop_limit(), 255);
                    header.calc_checksum_ipv6(&ip.header().to_header(), &beacon).unwrap()
                }
                other => panic!("no IP: {other:?}"),
            };
            prop_assert_eq!(header.checksum, right);
        }

        #[test]
        fn frames_of_another_implementation_are_read(source in source(), beacon in vec(any::<u8>(), 0..200), hops in 0..255_u8) {
            let frame = of_another(source, 255, (PORT, PORT), &beacon);
            prop_assert_eq!(payload(&frame), Ok(&beacon[..]));
            let far = of_another(source, hops, (PORT, PORT), &beacon);
            prop_assert_eq!(payload(&far), Err(NotABeacon::HopLimit));
            for ports in [(PORT, 53), (53, PORT)] {
                let other = of_another(source, 255, ports, &beacon);
                prop_assert_eq!(payload(&other), Err(NotABeacon::Other));
            }
        }

        #[test]
        fn changed_and_cut_frames_are_not_beacons(
            source in source(),
            beacon in vec(any::<u8>(), 0..100),
            at in any::<prop::sample::Index>(),
            bit in 0..8_u8,
        ) {
            let mut frame = frame(MAC, source, &beacon);
            let cut = &frame[..ethernet::HEADER_LENGTH + at.index(frame.len() - ethernet::HEADER_LENGTH)];
            prop_assert!(payload(cut).is_err());
            let at = ethernet::HEADER_LENGTH + at.index(frame.len() - ethernet::HEADER_LENGTH);
            frame[at] ^= 1 << bit;
            // Traffic class and flow label of IPv6 are in no checksum.
            let unchecked = source.is_ipv6() && (at == 14 && bit < 4 || (15..18).contains(&at));
            prop_assert!(unchecked || payload(&frame).is_err(), "octet {}", at);
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in vec(any::<u8>(), 0..100)) {
            let _ = (read(ether_type::IPV4, &bytes), read(ether_type::IPV6, &bytes));
        }
    }

    #[test]
    fn ipv6_comes_first() {
        let prefix = |address: &str| crate::Prefix { address: address.parse().unwrap(), length: 64 };
        let mut link = LinkFacts {
            index: 1,
            name: "eth0".into(),
            mac: MAC,
            mtu: 1500,
            running: true,
            addresses: vec![prefix("198.51.100.1"), prefix("2001:db8::1"), prefix("fe80::1")],
        };
        assert_eq!(source_of(&link), Some("fe80::1".parse().unwrap()));
        link.addresses.pop();
        assert_eq!(source_of(&link), Some("198.51.100.1".parse().unwrap()));
        link.addresses.clear();
        assert_eq!(source_of(&link), None);
    }
}
