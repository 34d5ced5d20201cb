//! Who is answered, and how.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::link::{LinkFacts, Prefix};
use crate::mac::MacAddress;
use crate::ndp::{self, Advertisement, Solicitation};
use crate::{arp, ethernet};

/// How old a request may be: older ones were queued while this process stood still, and another node answers by now.
pub const MOST_AGE: Duration = Duration::from_millis(100);

/// Why an address can not be answered for on a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unusable {
    /// It is an address of this node, whose kernel answers anyway.
    AddressOnNode,
    /// It is the gateway of the segment.
    Gateway,
    /// It is the address of the subnet itself; in IPv6 the one that all of its routers share.
    Network,
    /// It is the broadcast address of the subnet.
    Broadcast,
}

/// Why an address can not be answered for on an interface; none if it can.
#[must_use]
pub fn unusable(
    address: IpAddr,
    link: &LinkFacts,
    node_addresses: &[IpAddr],
    gateways: &[IpAddr],
) -> Option<Unusable> {
    let is_own = link.addresses.iter().any(|prefix| prefix.address == address);
    if is_own || node_addresses.contains(&address) {
        return Some(Unusable::AddressOnNode);
    }
    if gateways.contains(&address) {
        return Some(Unusable::Gateway);
    }
    link.addresses.iter().find_map(|prefix| reserved(address, prefix))
}

/// Whether a subnet keeps an address for itself. Those of point-to-point links (RFC 3021, 6164) keep none.
fn reserved(address: IpAddr, prefix: &Prefix) -> Option<Unusable> {
    if !prefix.holds(address) {
        return None;
    }
    match address {
        IpAddr::V4(address) if prefix.length <= 30 => {
            let host = u32::MAX.checked_shr(prefix.length.into()).unwrap_or(0);
            match address.to_bits() & host {
                0 => Some(Unusable::Network),
                bits if bits == host => Some(Unusable::Broadcast),
                _ => None,
            }
        }
        IpAddr::V6(address) if prefix.length <= 126 => {
            let host = u128::MAX.checked_shr(prefix.length.into()).unwrap_or(0);
            (address.to_bits() & host == 0).then_some(Unusable::Network)
        }
        _ => None,
    }
}

/// Whether a frame with an ARP packet is a request that its target answers, if this MAC address is the target's.
///
/// Probes are, so that others find out that the address is in use. Announcements are not: what their sender says is a
/// conflict, and not met with a frame for each of its frames.
#[must_use]
pub fn is_question(frame: &ethernet::Frame<'_>, packet: &arp::Packet, mac: MacAddress) -> bool {
    let for_us = frame.destination == MacAddress::BROADCAST || frame.destination == mac;
    let from_another = frame.source != mac && packet.sender_mac != mac;
    let can_be_answered = !packet.sender_mac.is_multicast() && packet.sender_mac != MacAddress::ZERO;
    let is_request = packet.operation == arp::Operation::Request && !packet.is_announcement();
    is_request && for_us && from_another && can_be_answered
}

/// The answer to a solicitation from another station, which came in a frame with this source.
///
/// Who asks is told alone, and learns that it was asked for; who only looks for duplicates has no address yet, so all are
/// told.
#[must_use]
pub fn advertisement(
    solicitation: &Solicitation<'_>,
    asker: MacAddress,
    mac: MacAddress,
    source: Ipv6Addr,
) -> [u8; ndp::FRAME_LENGTH] {
    let to_all = solicitation.source.is_unspecified();
    let answer = Advertisement {
        source,
        destination: if to_all { ndp::ALL_NODES } else { solicitation.source },
        target: solicitation.target,
        target_mac: Some(mac),
        router: false,
        solicited: !to_all,
        overrides: true,
    };
    let asker = solicitation.source_mac.unwrap_or(asker);
    answer.frame(if to_all { ndp::multicast_mac(ndp::ALL_NODES) } else { asker }, mac)
}

/// The announcement of an address in IPv6: to all, and replacing what they know.
#[must_use]
pub fn unsolicited(address: Ipv6Addr, mac: MacAddress, source: Ipv6Addr) -> [u8; ndp::FRAME_LENGTH] {
    let announcement = Advertisement {
        source,
        destination: ndp::ALL_NODES,
        target: address,
        target_mac: Some(mac),
        router: false,
        solicited: false,
        overrides: true,
    };
    announcement.frame(ndp::multicast_mac(ndp::ALL_NODES), mac)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::ethernet::Frame;
    use crate::ndp::Message;

    const OWN: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
    const ASKER: MacAddress = MacAddress([2, 0, 0, 0, 0, 9]);

    fn link() -> LinkFacts {
        let prefix = |address: &str, length| Prefix { address: address.parse().unwrap(), length };
        LinkFacts {
            index: 2,
            name: "eth0".into(),
            mac: OWN,
            mtu: 1500,
            running: true,
            addresses: vec![
                prefix("198.51.100.65", 26),
                prefix("203.0.113.0", 31),
                prefix("192.0.2.1", 32),
                prefix("2001:db8::1", 64),
            ],
        }
    }

    #[test]
    fn special_addresses_are_told_apart() {
        let node = ["10.0.0.1".parse().unwrap()];
        let gateways = ["198.51.100.126".parse().unwrap()];
        let unusable = |address: &str| unusable(address.parse().unwrap(), &link(), &node, &gateways);
        for own in ["198.51.100.65", "2001:db8::1", "10.0.0.1", "203.0.113.0", "192.0.2.1"] {
            assert_eq!(unusable(own), Some(Unusable::AddressOnNode), "{own}");
        }
        assert_eq!(unusable("198.51.100.126"), Some(Unusable::Gateway));
        assert_eq!(unusable("198.51.100.64"), Some(Unusable::Network));
        assert_eq!(unusable("198.51.100.127"), Some(Unusable::Broadcast));
        assert_eq!(unusable("2001:db8::"), Some(Unusable::Network));
        for usable in
            ["198.51.100.66", "198.51.100.0", "203.0.113.1", "2001:db8::2", "2001:db8:1::", "192.0.2.0"]
        {
            assert_eq!(unusable(usable), None, "{usable}");
        }
    }

    #[test]
    fn requests_and_probes_are_questions() {
        let target = Ipv4Addr::new(198, 51, 100, 7);
        let request =
            arp::Packet { sender: Ipv4Addr::new(198, 51, 100, 9), ..arp::Packet::probe(ASKER, target) };
        let is_question = |packet: arp::Packet, destination| {
            let bytes = packet.frame(destination);
            is_question(&Frame::read(&bytes).unwrap(), &packet, OWN)
        };
        for packet in [request, arp::Packet::probe(ASKER, target)] {
            assert!(is_question(packet, MacAddress::BROADCAST) && is_question(packet, OWN));
            assert!(!is_question(packet, MacAddress([2; 6])), "to another");
        }
        assert!(!is_question(arp::Packet::announcement(ASKER, target), MacAddress::BROADCAST));
        assert!(!is_question(arp::Packet::announcing_reply(ASKER, target), MacAddress::BROADCAST));
        assert!(!is_question(request.reply(ASKER), OWN));
        for sender_mac in [OWN, MacAddress::ZERO, MacAddress::BROADCAST, MacAddress([1, 0, 0x5e, 0, 0, 1])] {
            assert!(!is_question(arp::Packet { sender_mac, ..request }, MacAddress::BROADCAST));
        }
    }

    #[test]
    fn solicitations_are_answered_by_their_rules() {
        let target: Ipv6Addr = "2001:db8::7".parse().unwrap();
        let source: Ipv6Addr = "fe80::1".parse().unwrap();
        let asker: Ipv6Addr = "fe80::9".parse().unwrap();
        let other = MacAddress([2, 0, 0, 0, 0, 8]);
        let answer = |from, source_mac| {
            let destination = ndp::solicited_node(target);
            let solicitation = Solicitation { source: from, destination, target, source_mac, nonce: None };
            let bytes = advertisement(&solicitation, ASKER, OWN, source);
            let frame = Frame::read(&bytes).unwrap();
            let Some(Message::Advertisement(read)) = Message::read(frame.payload) else { panic!("not read") };
            assert_eq!((frame.source, read.target, read.target_mac), (OWN, target, Some(OWN)));
            assert!(read.overrides && !read.router && read.source == source);
            (frame.destination, read.destination, read.solicited)
        };
        assert_eq!(answer(asker, Some(other)), (other, asker, true));
        assert_eq!(answer(asker, None), (ASKER, asker, true));
        let all = ndp::multicast_mac(ndp::ALL_NODES);
        assert_eq!(answer(Ipv6Addr::UNSPECIFIED, None), (all, ndp::ALL_NODES, false));
    }

    #[test]
    fn what_is_announced_replaces_what_is_known() {
        let bytes = unsolicited("2001:db8::7".parse().unwrap(), OWN, "fe80::1".parse().unwrap());
        let frame = Frame::read(&bytes).unwrap();
        let Some(Message::Advertisement(read)) = Message::read(frame.payload) else { panic!("not read") };
        assert!(read.overrides && !read.solicited);
        assert_eq!(read.destination, ndp::ALL_NODES);
        assert_eq!(frame.destination, MacAddress([0x33, 0x33, 0, 0, 0, 1]));
    }
}
