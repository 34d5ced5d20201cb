//! Address resolution for IPv4 on Ethernet (RFC 826), and what RFC 5227 makes of it.

use std::net::Ipv4Addr;

use crate::ethernet::{self, ether_type};
use crate::mac::MacAddress;

/// How many bytes a frame has that is not filled up.
pub const FRAME_LENGTH: usize = ethernet::HEADER_LENGTH + PACKET_LENGTH;

const PACKET_LENGTH: usize = 28;

/// Hardware type Ethernet, protocol type IPv4, and the lengths of their addresses.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A question for the target's MAC address.
    Request,
    /// An answer.
    Reply,
}

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    /// What it is.
    pub operation: Operation,
    /// The MAC address of the sender; receivers note it for the sender's address.
    pub sender_mac: MacAddress,
    /// The address of the sender; 0.0.0.0 in a probe, which has receivers note nothing.
    pub sender: Ipv4Addr,
    /// The MAC address of the target, which requests do not know.
    pub target_mac: MacAddress,
    /// The address that is asked for, or the one that is answered to.
    pub target: Ipv4Addr,
}

impl Packet {
    /// Reads the payload of a frame; none if it is anything else.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let packet = payload.first_chunk::<PACKET_LENGTH>()?;
        if packet[..6] != ETHERNET_IPV4 {
            return None;
        }
        let operation = match packet[6..8] {
            [0, 1] => Operation::Request,
            [0, 2] => Operation::Reply,
            _ => return None,
        };
        let mac = |at: usize| packet[at..].first_chunk().copied().map(MacAddress);
        let address = |at: usize| packet[at..].first_chunk().copied().map(Ipv4Addr::from);
        Some(Self {
            operation,
            sender_mac: mac(8)?,
            sender: address(14)?,
            target_mac: mac(18)?,
            target: address(24)?,
        })
    }

    /// The frame with this packet.
    #[must_use]
    pub fn frame(&self, destination: MacAddress) -> [u8; FRAME_LENGTH] {
        let mut frame = [0; FRAME_LENGTH];
        frame[..6].copy_from_slice(&destination.0);
        frame[6..12].copy_from_slice(&self.sender_mac.0);
        frame[12..14].copy_from_slice(&ether_type::ARP.to_be_bytes());
        frame[14..20].copy_from_slice(&ETHERNET_IPV4);
        frame[21] = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        frame[22..28].copy_from_slice(&self.sender_mac.0);
        frame[28..32].copy_from_slice(&self.sender.octets());
        frame[32..38].copy_from_slice(&self.target_mac.0);
        frame[38..42].copy_from_slice(&self.target.octets());
        frame
    }

    /// The question whether anybody uses an address, of which nobody notes anything.
    #[must_use]
    pub fn probe(mac: MacAddress, target: Ipv4Addr) -> Self {
        Self {
            operation: Operation::Request,
            sender_mac: mac,
            sender: Ipv4Addr::UNSPECIFIED,
            target_mac: MacAddress::ZERO,
            target,
        }
    }

    /// The request by which a station announces an address of its own.
    #[must_use]
    pub fn announcement(mac: MacAddress, address: Ipv4Addr) -> Self {
        Self {
            operation: Operation::Request,
            sender_mac: mac,
            sender: address,
            target_mac: MacAddress::ZERO,
            target: address,
        }
    }

    /// The reply by which a station announces an address of its own. Linux takes it for gratuitous, and so notes it at
    /// once, only if the target's MAC address is the sender's.
    #[must_use]
    pub fn announcing_reply(mac: MacAddress, address: Ipv4Addr) -> Self {
        Self {
            operation: Operation::Reply,
            sender_mac: mac,
            sender: address,
            target_mac: mac,
            target: address,
        }
    }

    /// The answer of the target to this request.
    #[must_use]
    pub fn reply(&self, mac: MacAddress) -> Self {
        Self {
            operation: Operation::Reply,
            sender_mac: mac,
            sender: self.target,
            target_mac: self.sender_mac,
            target: self.sender,
        }
    }

    /// Whether it asks for users of an address and has nobody note anything (RFC 5227).
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.operation == Operation::Request && self.sender.is_unspecified()
    }

    /// Whether it announces an address of its sender.
    #[must_use]
    pub fn is_announcement(&self) -> bool {
        self.sender == self.target && !self.sender.is_unspecified()
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{ArpEthIpv4Packet, ArpOperation, SlicedPacket};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn any_packet() -> impl Strategy<Value = Packet> {
        (any::<bool>(), any::<[u8; 6]>(), any::<u32>(), any::<[u8; 6]>(), any::<u32>()).prop_map(
            |(request, sender_mac, sender, target_mac, target)| Packet {
                operation: if request { Operation::Request } else { Operation::Reply },
                sender_mac: MacAddress(sender_mac),
                sender: Ipv4Addr::from_bits(sender),
                target_mac: MacAddress(target_mac),
                target: Ipv4Addr::from_bits(target),
            },
        )
    }

    fn read(frame: &[u8]) -> Option<Packet> {
        let frame = ethernet::Frame::read(frame)?;
        if frame.ether_type == ether_type::ARP { Packet::read(frame.payload) } else { None }
    }

    proptest! {
        #[test]
        fn another_implementation_reads_the_same(packet in any_packet(), destination in any::<[u8; 6]>()) {
            let frame = packet.frame(MacAddress(destination));
            let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
            let Some(etherparse::NetSlice::Arp(arp)) = sliced.net else { panic!("no ARP: {sliced:?}") };
            let arp = ArpEthIpv4Packet::try_from(arp.to_packet()).unwrap();
            prop_assert_eq!(arp.operation == ArpOperation::REQUEST, packet.operation == Operation::Request);
            prop_assert_eq!(arp.sender_mac, packet.sender_mac.0);
            prop_assert_eq!(arp.sender_ipv4, packet.sender.octets());
            prop_assert_eq!(arp.target_mac, packet.target_mac.0);
            prop_assert_eq!(arp.target_ipv4, packet.target.octets());
        }

        #[test]
        fn what_another_implementation_writes_is_read(packet in any_packet(), padding in vec(any::<u8>(), 0..30)) {
            let operation = match packet.operation {
                Operation::Request => ArpOperation::REQUEST,
                Operation::Reply => ArpOperation::REPLY,
            };
            let written = ArpEthIpv4Packet {
                operation,
                sender_mac: packet.sender_mac.0,
                sender_ipv4: packet.sender.octets(),
                target_mac: packet.target_mac.0,
                target_ipv4: packet.target.octets(),
            };
            let mut payload = etherparse::ArpPacket::from(written).to_bytes().to_vec();
            payload.extend(padding);
            prop_assert_eq!(Packet::read(&payload), Some(packet));
        }

        #[test]
        fn changed_and_cut_frames_are_read_alike_or_not_at_all(
            packet in any_packet(),
            at in any::<prop::sample::Index>(),
            value in any::<u8>(),
            length in 0..=FRAME_LENGTH,
        ) {
            let mut frame = packet.frame(MacAddress::BROADCAST);
            let at = at.index(frame.len());
            frame[at] = value;
            let other = SlicedPacket::from_ethernet(&frame[..length]).ok().and_then(|sliced| match sliced.net {
                Some(etherparse::NetSlice::Arp(arp)) => ArpEthIpv4Packet::try_from(arp.to_packet()).ok(),
                _ => None,
            });
            if let Some(read) = read(&frame[..length]) {
                let other = other.expect("the other implementation reads less");
                prop_assert_eq!(other.sender_ipv4, read.sender.octets());
                prop_assert_eq!(other.target_ipv4, read.target.octets());
                prop_assert_eq!(other.sender_mac, read.sender_mac.0);
            } else if let Some(other) = other {
                let known = [ArpOperation::REQUEST, ArpOperation::REPLY].contains(&other.operation);
                prop_assert!(!known, "not read: {:?}", other);
            }
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in vec(any::<u8>(), 0..100)) {
            let framed = [&ETHERNET_IPV4[..], &bytes].concat();
            let _ = (read(&bytes), Packet::read(&framed));
        }
    }

    #[test]
    fn a_reply_turns_the_request_around() {
        let (asker, owner) = (MacAddress([2, 0, 0, 0, 0, 9]), MacAddress([2, 0, 0, 0, 0, 1]));
        let address = Ipv4Addr::new(198, 51, 100, 7);
        let probe = Packet::probe(asker, address);
        assert!(probe.is_probe() && !probe.is_announcement());
        let reply = probe.reply(owner);
        assert_eq!((reply.sender, reply.sender_mac), (address, owner));
        assert_eq!((reply.target, reply.target_mac), (Ipv4Addr::UNSPECIFIED, asker));
        for announcement in [Packet::announcement(owner, address), Packet::announcing_reply(owner, address)] {
            assert!(announcement.is_announcement() && !announcement.is_probe());
        }
    }
}
