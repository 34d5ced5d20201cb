//! Neighbour discovery for IPv6 on Ethernet (RFC 4861, 4862, 7527): solicitations and advertisements of neighbours.
//!
//! What a receiver has to ignore is not read at all: another hop limit than 255 (it came through a router), a wrong
//! checksum, a code, a multicast target, an option without length, a solicitation without source that does not go to a
//! solicited-node group or names a MAC address, a solicited advertisement to a group. Neither are packets with extension
//! headers, which no neighbour sends and which RFC 6980 forbids to be fragments.

use std::net::Ipv6Addr;

use crate::checksum::Sum;
use crate::ethernet::{self, ether_type};
use crate::mac::MacAddress;

/// All nodes of the segment, ff02::1.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// How many bytes a frame has whose message has one option of 8 bytes.
pub const FRAME_LENGTH: usize = ethernet::HEADER_LENGTH + IPV6_LENGTH + MESSAGE_LENGTH + 8;

/// How many random bytes tell our own solicitations from others'.
pub const NONCE_LENGTH: usize = 6;

pub(crate) const IPV6_LENGTH: usize = 40;
const MESSAGE_LENGTH: usize = 24;
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const HOP_LIMIT: u8 = 255;

const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

mod option {
    pub(super) const SOURCE_LINK_LAYER: u8 = 1;
    pub(super) const TARGET_LINK_LAYER: u8 = 2;
    pub(super) const NONCE: u8 = 14;
}

/// A message between neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message<'a> {
    /// A question for the MAC address of the target.
    Solicitation(Solicitation<'a>),
    /// An answer, or an announcement.
    Advertisement(Advertisement),
}

/// A question for the MAC address of the target, or, without a source, whether anybody uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Solicitation<'a> {
    /// Who asks; unspecified while it does not know whether the target is its own.
    pub source: Ipv6Addr,
    /// A group, or the target itself when its reachability is tested.
    pub destination: Ipv6Addr,
    /// The address that is asked for.
    pub target: Ipv6Addr,
    /// The MAC address of the asker.
    pub source_mac: Option<MacAddress>,
    /// What tells the solicitations of one sender from those of others, in the search for duplicates.
    pub nonce: Option<&'a [u8]>,
}

/// An answer to a solicitation, or an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Advertisement {
    /// Who sends it.
    pub source: Ipv6Addr,
    /// Who asked, or a group.
    pub destination: Ipv6Addr,
    /// The address that it is about.
    pub target: Ipv6Addr,
    /// The MAC address of the target.
    pub target_mac: Option<MacAddress>,
    /// Whether the sender is a router.
    pub router: bool,
    /// Whether it answers a solicitation that had a source.
    pub solicited: bool,
    /// Whether it replaces what receivers know.
    pub overrides: bool,
}

/// The group in which the users of an address are asked for it, ff02::1:ffXX:XXXX.
#[must_use]
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    let mut group = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0];
    group[13..].copy_from_slice(&[a, b, c]);
    group.into()
}

/// The MAC address of a group.
#[must_use]
pub fn multicast_mac(group: Ipv6Addr) -> MacAddress {
    let [.., a, b, c, d] = group.octets();
    MacAddress([0x33, 0x33, a, b, c, d])
}

impl<'a> Message<'a> {
    /// Reads the payload of a frame; none if it is anything else, or has to be ignored.
    #[must_use]
    pub fn read(packet: &'a [u8]) -> Option<Self> {
        let header = packet.first_chunk::<IPV6_LENGTH>()?;
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let is_ndp = header[0] >> 4 == 6 && header[6] == ICMPV6 && header[7] == HOP_LIMIT;
        let message = packet.get(IPV6_LENGTH..)?.get(..length)?;
        if !is_ndp || message.len() < MESSAGE_LENGTH || message[1] != 0 {
            return None;
        }
        let source = Ipv6Addr::from(*header[8..].first_chunk::<16>()?);
        let destination = Ipv6Addr::from(*header[24..].first_chunk::<16>()?);
        if Sum::of_ipv6(source, destination, ICMPV6, message.len()).add(message).finish() != 0 {
            return None;
        }
        let target = Ipv6Addr::from(*message[8..].first_chunk::<16>()?);
        if target.is_multicast() || source.is_multicast() {
            return None;
        }
        let options = Options::read(&message[MESSAGE_LENGTH..])?;
        match message[0] {
            SOLICITATION => {
                let source_mac = options.source_mac;
                let from_nobody = source.is_unspecified();
                if from_nobody && (source_mac.is_some() || !is_solicited_node(destination)) {
                    return None;
                }
                let nonce = options.nonce;
                Some(Self::Solicitation(Solicitation { source, destination, target, source_mac, nonce }))
            }
            ADVERTISEMENT => {
                let flags = message[4];
                let solicited = flags & SOLICITED != 0;
                if solicited && destination.is_multicast() {
                    return None;
                }
                Some(Self::Advertisement(Advertisement {
                    source,
                    destination,
                    target,
                    target_mac: options.target_mac,
                    router: flags & ROUTER != 0,
                    solicited,
                    overrides: flags & OVERRIDE != 0,
                }))
            }
            _ => None,
        }
    }
}

fn is_solicited_node(group: Ipv6Addr) -> bool {
    group == solicited_node(group)
}

#[derive(Default)]
struct Options<'a> {
    source_mac: Option<MacAddress>,
    target_mac: Option<MacAddress>,
    nonce: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let mut options = Self::default();
        while let [kind, length, ..] = *bytes {
            let (option, rest) = bytes.split_at_checked(usize::from(length) * 8)?;
            bytes = rest;
            // An option without length is malformed, and would never end.
            let value = option.get(2..)?;
            let mac = || value.try_into().ok().map(MacAddress);
            match kind {
                option::SOURCE_LINK_LAYER => options.source_mac = options.source_mac.or(mac()),
                option::TARGET_LINK_LAYER => options.target_mac = options.target_mac.or(mac()),
                option::NONCE => options.nonce = options.nonce.or(Some(value)),
                _ => {}
            }
        }
        bytes.is_empty().then_some(options)
    }
}

/// The question whether anybody uses an address, of which nobody notes anything (RFC 4862, 7527).
#[must_use]
pub fn probe(mac: MacAddress, target: Ipv6Addr, nonce: [u8; NONCE_LENGTH]) -> [u8; FRAME_LENGTH] {
    let group = solicited_node(target);
    let mut message = message(SOLICITATION, 0, target);
    message[MESSAGE_LENGTH..][..2].copy_from_slice(&[option::NONCE, 1]);
    message[MESSAGE_LENGTH + 2..].copy_from_slice(&nonce);
    frame(multicast_mac(group), mac, Ipv6Addr::UNSPECIFIED, group, message)
}

/// The question to one station whether it has an address (RFC 4861, 7.3.3), with our own as the sender.
#[must_use]
pub fn question(
    mac: MacAddress,
    source: Ipv6Addr,
    station: MacAddress,
    target: Ipv6Addr,
) -> [u8; FRAME_LENGTH] {
    let mut message = message(SOLICITATION, 0, target);
    message[MESSAGE_LENGTH..][..2].copy_from_slice(&[option::SOURCE_LINK_LAYER, 1]);
    message[MESSAGE_LENGTH + 2..].copy_from_slice(&mac.0);
    frame(station, mac, source, target, message)
}

impl Advertisement {
    /// The frame with this advertisement; without [`Advertisement::target_mac`] it names the source's.
    #[must_use]
    pub fn frame(&self, destination: MacAddress, source: MacAddress) -> [u8; FRAME_LENGTH] {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = bit(self.router, ROUTER) | bit(self.solicited, SOLICITED) | bit(self.overrides, OVERRIDE);
        let mut message = message(ADVERTISEMENT, flags, self.target);
        message[MESSAGE_LENGTH..][..2].copy_from_slice(&[option::TARGET_LINK_LAYER, 1]);
        message[MESSAGE_LENGTH + 2..].copy_from_slice(&self.target_mac.unwrap_or(source).0);
        frame(destination, source, self.source, self.destination, message)
    }
}

fn message(kind: u8, flags: u8, target: Ipv6Addr) -> [u8; MESSAGE_LENGTH + 8] {
    let mut message = [0; MESSAGE_LENGTH + 8];
    message[0] = kind;
    message[4] = flags;
    message[8..MESSAGE_LENGTH].copy_from_slice(&target.octets());
    message
}

fn frame(
    destination_mac: MacAddress,
    source_mac: MacAddress,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    mut message: [u8; MESSAGE_LENGTH + 8],
) -> [u8; FRAME_LENGTH] {
    let checksum = Sum::of_ipv6(source, destination, ICMPV6, message.len()).add(&message).finish();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = [0; FRAME_LENGTH];
    frame[..6].copy_from_slice(&destination_mac.0);
    frame[6..12].copy_from_slice(&source_mac.0);
    frame[12..14].copy_from_slice(&ether_type::IPV6.to_be_bytes());
    let (header, payload) = frame[ethernet::HEADER_LENGTH..].split_at_mut(IPV6_LENGTH);
    header.copy_from_slice(&ipv6_header(source, destination, ICMPV6, message.len()));
    payload.copy_from_slice(&message);
    frame
}

/// The header of a packet that no router passes on.
pub(crate) fn ipv6_header(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    next_header: u8,
    length: usize,
) -> [u8; IPV6_LENGTH] {
    let mut header = [0; IPV6_LENGTH];
    header[0] = 6 << 4;
    header[4..6].copy_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    header[6] = next_header;
    header[7] = HOP_LIMIT;
    header[8..24].copy_from_slice(&source.octets());
    header[24..].copy_from_slice(&destination.octets());
    header
}

#[cfg(test)]
mod tests;
