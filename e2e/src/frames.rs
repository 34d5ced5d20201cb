//! Frames of ARP and NDP as a test writes and reads them. Nothing of it is shared with the code under test, so that both
//! cannot have the same error.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::error::Error;

const ETHER_ARP: u16 = 0x0806;
const ETHER_IPV6: u16 = 0x86dd;
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Option of a solicitation: the link-layer address of who asks.
const SOURCE_OPTION: u8 = 1;
/// Option of an advertisement: the link-layer address of who answers.
const TARGET_OPTION: u8 = 2;
/// Who has come by no router (RFC 4861, 7.1).
const HOP_LIMIT: u8 = 255;

/// The EtherType of the speakers' beacons (IEEE 802 local experimental 1).
pub const ETHER_BEACON: u16 = 0x88b5;

/// An Ethernet address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Everybody.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// Nobody yet.
    pub const ZERO: Self = Self([0; 6]);

    /// That of the group of an IPv6 multicast address (RFC 2464, 7).
    #[must_use]
    pub fn of_group(group: Ipv6Addr) -> Self {
        let [.., a, b, c, d] = group.octets();
        Self([0x33, 0x33, a, b, c, d])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.0.map(|octet| format!("{octet:02x}"));
        formatter.write_str(&pairs.join(":"))
    }
}

impl FromStr for Mac {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let octets: Option<Vec<u8>> = text.split(':').map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
        octets
            .and_then(|octets| octets.try_into().ok())
            .map(Self)
            .ok_or_else(|| Error::Invalid(format!("{text:?} is no Ethernet address")))
    }
}

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// ARP for IPv4 on Ethernet.
    Arp(Arp),
    /// A neighbour solicitation.
    Solicitation(Solicitation),
    /// A neighbour advertisement.
    Advertisement(Advertisement),
    /// Anything else, with its EtherType.
    Other(u16),
}

/// A frame that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Ethernet destination.
    pub destination: Mac,
    /// Ethernet source.
    pub source: Mac,
    /// What it says.
    pub content: Content,
}

/// ARP (RFC 826) for IPv4 on Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 for a request, 2 for a reply.
    pub operation: u16,
    /// Hardware address of the sender.
    pub sender_mac: Mac,
    /// Address of the sender; unspecified in a probe (RFC 5227).
    pub sender: Ipv4Addr,
    /// Hardware address of the target.
    pub target_mac: Mac,
    /// Address of the target.
    pub target: Ipv4Addr,
}

/// A neighbour solicitation (RFC 4861, 4.3), valid or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicitation {
    /// Who asks; unspecified while it looks for duplicates.
    pub source: Ipv6Addr,
    /// The target's group, or the target itself.
    pub destination: Ipv6Addr,
    /// The address that is asked for.
    pub target: Ipv6Addr,
    /// The option with the link-layer address of who asks.
    pub source_mac: Option<Mac>,
    /// 255 unless something is wrong.
    pub hop_limit: u8,
    /// Whether the checksum is right.
    pub checksum_right: bool,
}

/// A neighbour advertisement (RFC 4861, 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the wire")]
pub struct Advertisement {
    /// Who answers.
    pub source: Ipv6Addr,
    /// Who is answered, or all nodes.
    pub destination: Ipv6Addr,
    /// The address that it is about.
    pub target: Ipv6Addr,
    /// The option with the link-layer address of the target.
    pub target_mac: Option<Mac>,
    /// Flag R: a router.
    pub router: bool,
    /// Flag S: an answer.
    pub solicited: bool,
    /// Flag O: what is known is to be replaced.
    pub overriding: bool,
    /// 255 unless something is wrong.
    pub hop_limit: u8,
    /// Whether the checksum is right.
    pub checksum_right: bool,
}

impl Arp {
    /// Asks for `target`.
    #[must_use]
    pub fn request(mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Self {
        Self { operation: 1, sender_mac: mac, sender, target_mac: Mac::ZERO, target }
    }

    /// Says where `address` is, to nobody in particular.
    #[must_use]
    pub fn announcement(mac: Mac, address: Ipv4Addr) -> Self {
        Self::request(mac, address, address)
    }

    /// Answers a request.
    #[must_use]
    pub fn reply(self, mac: Mac) -> Self {
        Self {
            operation: 2,
            sender_mac: mac,
            sender: self.target,
            target_mac: self.sender_mac,
            target: self.sender,
        }
    }

    /// Whether it says where its sender is without being asked.
    #[must_use]
    pub fn is_gratuitous(self) -> bool {
        self.sender == self.target
    }

    /// The frame to `destination`.
    #[must_use]
    pub fn to_frame(self, destination: Mac) -> Vec<u8> {
        let mut frame = ethernet(destination, self.sender_mac, ETHER_ARP);
        frame.extend([0, 1, 8, 0, 6, 4]);
        frame.extend(self.operation.to_be_bytes());
        frame.extend(self.sender_mac.0);
        frame.extend(self.sender.octets());
        frame.extend(self.target_mac.0);
        frame.extend(self.target.octets());
        frame
    }

    fn parse(body: &[u8]) -> Option<Self> {
        if body.len() < 28 || body[..6] != [0, 1, 8, 0, 6, 4] {
            return None;
        }
        Some(Self {
            operation: u16::from_be_bytes([body[6], body[7]]),
            sender_mac: mac(&body[8..]),
            sender: ipv4(&body[14..]),
            target_mac: mac(&body[18..]),
            target: ipv4(&body[24..]),
        })
    }
}

impl Solicitation {
    /// Asks the group of `target`, as a host does that does not know it.
    #[must_use]
    pub fn multicast(mac: Mac, source: Ipv6Addr, target: Ipv6Addr) -> Self {
        Self {
            source,
            destination: solicited_node_group(target),
            target,
            source_mac: Some(mac),
            hop_limit: HOP_LIMIT,
            checksum_right: true,
        }
    }

    /// Asks `target` itself, as a host does that wants to know whether it is still there.
    #[must_use]
    pub fn unicast(mac: Mac, source: Ipv6Addr, target: Ipv6Addr) -> Self {
        Self { destination: target, ..Self::multicast(mac, source, target) }
    }

    /// Looks for duplicates of `target` (RFC 4862).
    #[must_use]
    pub fn duplicate_detection(target: Ipv6Addr) -> Self {
        let unspecified = Ipv6Addr::UNSPECIFIED;
        Self { source_mac: None, ..Self::multicast(Mac::ZERO, unspecified, target) }
    }

    /// The frame, from this Ethernet address to that one.
    #[must_use]
    pub fn to_frame(self, from: Mac, to: Mac) -> Vec<u8> {
        let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
        message.extend(self.target.octets());
        if let Some(mac) = self.source_mac {
            message.extend([SOURCE_OPTION, 1]);
            message.extend(mac.0);
        }
        icmpv6(from, to, (self.source, self.destination), self.hop_limit, message, self.checksum_right)
    }

    /// The frame to the Ethernet address of its destination's group.
    #[must_use]
    pub fn to_group_frame(self, from: Mac) -> Vec<u8> {
        self.to_frame(from, Mac::of_group(self.destination))
    }
}

impl Advertisement {
    /// Says to everybody where `address` is.
    #[must_use]
    pub fn unsolicited(mac: Mac, address: Ipv6Addr) -> Self {
        Self {
            source: address,
            destination: ALL_NODES,
            target: address,
            target_mac: Some(mac),
            router: false,
            solicited: false,
            overriding: true,
            hop_limit: HOP_LIMIT,
            checksum_right: true,
        }
    }

    /// The frame, from this Ethernet address to that one.
    #[must_use]
    pub fn to_frame(self, from: Mac, to: Mac) -> Vec<u8> {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(self.router, 0x80) | flag(self.solicited, 0x40) | flag(self.overriding, 0x20);
        let mut message = vec![ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
        message.extend(self.target.octets());
        if let Some(mac) = self.target_mac {
            message.extend([TARGET_OPTION, 1]);
            message.extend(mac.0);
        }
        icmpv6(from, to, (self.source, self.destination), self.hop_limit, message, self.checksum_right)
    }
}

impl Frame {
    /// Reads a frame; none if it is too short for Ethernet.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (header, body) = bytes.split_at_checked(14)?;
        let ether_type = u16::from_be_bytes([header[12], header[13]]);
        let content = match ether_type {
            ETHER_ARP => Arp::parse(body).map(Content::Arp),
            ETHER_IPV6 => neighbour_discovery(body),
            _ => None,
        };
        Some(Self {
            destination: mac(header),
            source: mac(&header[6..]),
            content: content.unwrap_or(Content::Other(ether_type)),
        })
    }

    /// Whose address it says to be where, if that is what it says: an ARP reply, an announcement, an advertisement.
    #[must_use]
    pub fn claim(&self) -> Option<(IpAddr, Mac)> {
        match &self.content {
            Content::Arp(arp) if arp.operation == 2 || arp.is_gratuitous() => {
                Some((arp.sender.into(), arp.sender_mac))
            }
            Content::Advertisement(it) => Some((it.target.into(), it.target_mac.unwrap_or(self.source))),
            _ => None,
        }
    }
}

/// All nodes of the link.
pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The group in which a host listens for questions about `target` (RFC 4291, 2.7.1).
#[must_use]
pub fn solicited_node_group(target: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = target.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}

fn ethernet(destination: Mac, source: Mac, ether_type: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(96);
    frame.extend(destination.0);
    frame.extend(source.0);
    frame.extend(ether_type.to_be_bytes());
    frame
}

fn icmpv6(
    from: Mac,
    to: Mac,
    (source, destination): (Ipv6Addr, Ipv6Addr),
    hop_limit: u8,
    mut message: Vec<u8>,
    right: bool,
) -> Vec<u8> {
    let checksum = checksum(source, destination, &message) ^ if right { 0 } else { 0x5555 };
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = ethernet(to, from, ETHER_IPV6);
    frame.extend([0x60, 0, 0, 0]);
    // Messages here have at most 32 bytes.
    frame.extend(u16::try_from(message.len()).unwrap_or_default().to_be_bytes());
    frame.extend([ICMPV6, hop_limit]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    frame.extend(message);
    frame
}

/// That of ICMPv6 (RFC 4443, 2.3). Over a message with its checksum inside it is 0.
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let mut sum = u64::from(ICMPV6) + u64::try_from(message.len()).unwrap_or_default();
    for part in [&source.octets()[..], &destination.octets()[..], message] {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or_default()]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // Folded above.
    !u16::try_from(sum).unwrap_or_default()
}

fn neighbour_discovery(packet: &[u8]) -> Option<Content> {
    let (header, message) = packet.split_at_checked(40)?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let message = message.get(..length)?;
    if header[6] != ICMPV6 || message.len() < 24 {
        return None;
    }
    let (source, destination) = (ipv6(&header[8..]), ipv6(&header[24..]));
    let (hop_limit, target) = (header[7], ipv6(&message[8..]));
    let checksum_right = checksum(source, destination, message) == 0;
    match message[0] {
        SOLICITATION => Some(Content::Solicitation(Solicitation {
            source,
            destination,
            target,
            source_mac: option(&message[24..], SOURCE_OPTION),
            hop_limit,
            checksum_right,
        })),
        ADVERTISEMENT => Some(Content::Advertisement(Advertisement {
            source,
            destination,
            target,
            target_mac: option(&message[24..], TARGET_OPTION),
            router: message[4] & 0x80 != 0,
            solicited: message[4] & 0x40 != 0,
            overriding: message[4] & 0x20 != 0,
            hop_limit,
            checksum_right,
        })),
        _ => None,
    }
}

/// The link-layer address in the option of this kind.
fn option(mut options: &[u8], kind: u8) -> Option<Mac> {
    while let [found, length, ..] = *options {
        let length = usize::from(length) * 8;
        if length == 0 || length > options.len() {
            return None;
        }
        if found == kind {
            return Some(mac(&options[2..]));
        }
        options = &options[length..];
    }
    None
}

fn mac(bytes: &[u8]) -> Mac {
    let mut octets = [0; 6];
    octets.copy_from_slice(&bytes[..6]);
    Mac(octets)
}

fn ipv4(bytes: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])
}

fn ipv6(bytes: &[u8]) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[..16]);
    octets.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    #[test]
    fn arp_is_read_as_it_was_written() {
        let request = Arp::request(MAC, Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(198, 51, 100, 2));
        let frame = Frame::parse(&request.to_frame(Mac::BROADCAST)).unwrap();
        assert_eq!(frame, Frame { destination: Mac::BROADCAST, source: MAC, content: Content::Arp(request) });
        assert_eq!(frame.claim(), None);
        let reply = request.reply(Mac([4; 6]));
        let frame = Frame::parse(&reply.to_frame(MAC)).unwrap();
        assert_eq!(frame.claim(), Some((Ipv4Addr::new(198, 51, 100, 2).into(), Mac([4; 6]))));
    }

    #[test]
    fn neighbour_discovery_is_read_as_it_was_written() {
        let target: Ipv6Addr = "2001:db8::12:3456".parse().unwrap();
        assert_eq!(solicited_node_group(target).to_string(), "ff02::1:ff12:3456");
        let question = Solicitation::multicast(MAC, "fe80::1".parse().unwrap(), target);
        let frame = Frame::parse(&question.to_group_frame(MAC)).unwrap();
        assert_eq!(frame.destination.to_string(), "33:33:ff:12:34:56");
        assert_eq!(frame.content, Content::Solicitation(question));
        let wrong = Solicitation { checksum_right: false, hop_limit: 64, ..question };
        let frame = Frame::parse(&wrong.to_group_frame(MAC)).unwrap();
        assert_eq!(frame.content, Content::Solicitation(wrong));
        let answer = Advertisement::unsolicited(MAC, target);
        let frame = Frame::parse(&answer.to_frame(MAC, Mac::of_group(ALL_NODES))).unwrap();
        assert_eq!(frame.claim(), Some((target.into(), MAC)));
    }

    #[test]
    fn the_checksum_covers_addresses_length_and_type() {
        // An echo request from ::1 to itself, summed by hand: 58 + 8 + 1 + 1 + 0x8000 + 1, inverted.
        let message = [128, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(checksum(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, &message), !0x8045);
    }

    #[test]
    fn what_is_short_is_nothing() {
        assert_eq!(Frame::parse(&[0; 13]), None);
        let arp = Arp::announcement(MAC, Ipv4Addr::LOCALHOST).to_frame(Mac::BROADCAST);
        for length in 14..arp.len() {
            let frame = Frame::parse(&arp[..length]).unwrap();
            assert_eq!(frame.content, Content::Other(ETHER_ARP));
        }
    }
}
