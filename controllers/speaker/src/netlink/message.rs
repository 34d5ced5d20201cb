//! What the kernel's messages about interfaces, addresses and routes say (rtnetlink(7)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fairlead_layer2::{MacAddress, Prefix};

/// An interface as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawLink {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The type of its hardware (`ARPHRD_…`).
    pub hardware: u16,
    /// Its flags (`IFF_…`).
    pub flags: u32,
    /// The largest payload of a frame.
    pub mtu: u32,
    /// Its hardware address, if that is one of Ethernet.
    pub mac: Option<MacAddress>,
    /// The interface that it is a part of.
    pub master: Option<u32>,
    /// What made it, such as `bridge` or `vrf`; nothing for real hardware.
    pub kind: Option<String>,
    /// How many frames it has received.
    pub received: u64,
}

/// An address of an interface as the kernel describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawAddress {
    /// The index of the interface.
    pub link: u32,
    /// The address and its subnet.
    pub prefix: Prefix,
    /// Its flags (`IFA_F_…`).
    pub flags: u32,
}

/// A gateway of some route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RawGateway {
    /// The index of the interface that it is reached through.
    pub link: u32,
    /// Its address.
    pub address: IpAddr,
}

/// A message of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Link(RawLink),
    Address(RawAddress),
    Gateways(Vec<RawGateway>),
    /// The answer is complete.
    Done,
    /// The answer changed while it was given; it is to be asked for again.
    Interrupted,
    /// The request was refused, with this error number.
    Refused(i32),
    Other,
}

/// Flag of a message: what was described changed meanwhile.
const NLM_F_DUMP_INTR: u16 = 0x10;
/// Attribute of an interface: 64-bit counters, of which the first is that of received frames.
const IFLA_STATS64: u16 = 23;
/// Attribute of an interface: the one that it is a part of.
const IFLA_MASTER: u16 = 10;
/// Attribute of an interface: what made it.
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFA_FLAGS: u16 = 8;

/// The messages in what was received at once. Whatever is cut off or makes no sense is left out.
pub(super) fn messages(mut bytes: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some(length) = u32_at(bytes, 0).map(|length| length as usize) {
        let Some(message) = bytes.get(..length).filter(|_| length >= HEADER) else { break };
        messages.push(parse(message));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

/// Bytes of the header of a message.
pub(super) const HEADER: usize = 16;

fn parse(message: &[u8]) -> Message {
    let (Some(kind), Some(flags)) = (u16_at(message, 4), u16_at(message, 6)) else { return Message::Other };
    let body = &message[HEADER..];
    if flags & NLM_F_DUMP_INTR != 0 {
        return Message::Interrupted;
    }
    let parsed = match i32::from(kind) {
        libc::NLMSG_DONE => Some(Message::Done),
        libc::NLMSG_ERROR => Some(match i32_at(body, 0) {
            Some(0) | None => Message::Done,
            Some(error) => Message::Refused(-error),
        }),
        _ => match kind {
            libc::RTM_NEWLINK => link(body).map(Message::Link),
            libc::RTM_NEWADDR => address(body).map(Message::Address),
            libc::RTM_NEWROUTE | libc::RTM_DELROUTE => gateways(body).map(Message::Gateways),
            _ => None,
        },
    };
    parsed.unwrap_or(Message::Other)
}

fn link(body: &[u8]) -> Option<RawLink> {
    let mut link = RawLink {
        hardware: u16_at(body, 2)?,
        index: u32_at(body, 4)?,
        flags: u32_at(body, 8)?,
        ..RawLink::default()
    };
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            libc::IFLA_IFNAME => link.name = text(value)?,
            libc::IFLA_ADDRESS => link.mac = value.try_into().ok().map(MacAddress),
            libc::IFLA_MTU => link.mtu = u32_at(value, 0)?,
            IFLA_MASTER => link.master = u32_at(value, 0).filter(|master| *master != 0),
            IFLA_LINKINFO => {
                let kind = attributes(value).find(|(kind, _)| *kind == IFLA_INFO_KIND);
                link.kind = kind.and_then(|(_, value)| text(value));
            }
            IFLA_STATS64 => link.received = u64::from_ne_bytes(value.get(..8)?.try_into().ok()?),
            _ => {}
        }
    }
    Some(link)
}

fn address(body: &[u8]) -> Option<RawAddress> {
    let (family, length, link) = (*body.first()?, *body.get(1)?, u32_at(body, 4)?);
    let mut flags = u32::from(*body.get(2)?);
    let (mut local, mut peer) = (None, None);
    for (kind, value) in attributes(body.get(8..)?) {
        match kind {
            libc::IFA_LOCAL => local = ip(family, value),
            libc::IFA_ADDRESS => peer = ip(family, value),
            IFA_FLAGS => flags = u32_at(value, 0)?,
            _ => {}
        }
    }
    // On a point-to-point interface the two differ, and the prefix is the peer's.
    Some(RawAddress { link, prefix: Prefix { address: local.or(peer)?, length }, flags })
}

fn gateways(body: &[u8]) -> Option<Vec<RawGateway>> {
    let family = *body.first()?;
    let mut gateways = Vec::new();
    hop(family, None, body.get(12..)?, &mut gateways);
    Some(gateways)
}

/// The gateways among the attributes of a route or of one of its next hops.
fn hop(family: u8, link: Option<u32>, bytes: &[u8], gateways: &mut Vec<RawGateway>) {
    let (mut link, mut gateway) = (link, None);
    for (kind, value) in attributes(bytes) {
        match kind {
            libc::RTA_OIF => link = u32_at(value, 0),
            libc::RTA_GATEWAY => gateway = ip(family, value),
            // A gateway of the other family, which is named in front.
            libc::RTA_VIA => {
                gateway = u16_at(value, 0).and_then(|family| ip(u8::try_from(family).ok()?, value.get(2..)?));
            }
            libc::RTA_MULTIPATH => next_hops(family, value, gateways),
            _ => {}
        }
    }
    if let (Some(link), Some(address)) = (link, gateway) {
        gateways.push(RawGateway { link, address });
    }
}

fn next_hops(family: u8, mut bytes: &[u8], gateways: &mut Vec<RawGateway>) {
    // struct rtnexthop: length 2, flags 1, hops 1, interface 4; then attributes.
    while let (Some(length), Some(link)) = (u16_at(bytes, 0).map(usize::from), u32_at(bytes, 4)) {
        let Some(next) = bytes.get(8..length) else { break };
        hop(family, Some(link), next, gateways);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

/// Types and values of attributes.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// Two bits of the type say how to read the value.
    const TYPE: u16 = 0x3fff;
    std::iter::from_fn(move || {
        let (length, kind) = (usize::from(u16_at(bytes, 0)?), u16_at(bytes, 2)?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & TYPE, value))
    })
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match i32::from(family) {
        libc::AF_INET => <[u8; 4]>::try_from(value).ok().map(|octets| Ipv4Addr::from(octets).into()),
        libc::AF_INET6 => <[u8; 16]>::try_from(value).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

fn text(value: &[u8]) -> Option<String> {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8(value[..end].to_vec()).ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    u32_at(bytes, at).map(u32::cast_signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An attribute, padded.
    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + body.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(body);
        bytes
    }

    fn eth0() -> Vec<u8> {
        let mut body = vec![0, 0, 1, 0];
        body.extend(7_u32.to_ne_bytes());
        body.extend(0x1_1043_u32.to_ne_bytes());
        body.extend([0; 4]);
        body.extend(attribute(libc::IFLA_IFNAME, b"eth0\0"));
        body.extend(attribute(libc::IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1]));
        body.extend(attribute(libc::IFLA_MTU, &1500_u32.to_ne_bytes()));
        body.extend(attribute(IFLA_MASTER, &3_u32.to_ne_bytes()));
        body.extend(attribute(IFLA_LINKINFO | 0x8000, &attribute(IFLA_INFO_KIND, b"veth\0")));
        body.extend(attribute(IFLA_STATS64, &[1_u64.to_ne_bytes(), 9_u64.to_ne_bytes()].concat()));
        message(libc::RTM_NEWLINK, 2, &body)
    }

    #[test]
    fn interfaces() {
        let expected = RawLink {
            index: 7,
            name: "eth0".to_owned(),
            hardware: 1,
            flags: 0x1_1043,
            mtu: 1500,
            mac: Some(MacAddress([2, 0, 0, 0, 0, 1])),
            master: Some(3),
            kind: Some("veth".to_owned()),
            received: 1,
        };
        let both = [eth0(), message(3, 2, &[0; 4])].concat();
        assert_eq!(messages(&both), [Message::Link(expected), Message::Done]);
    }

    #[test]
    fn addresses() {
        let mut body = vec![2, 24, 0x80, 0];
        body.extend(7_u32.to_ne_bytes());
        body.extend(attribute(libc::IFA_ADDRESS, &[192, 0, 2, 2]));
        body.extend(attribute(libc::IFA_LOCAL, &[192, 0, 2, 1]));
        body.extend(attribute(IFA_FLAGS, &0x280_u32.to_ne_bytes()));
        let prefix = Prefix { address: "192.0.2.1".parse().unwrap(), length: 24 };
        let expected = Message::Address(RawAddress { link: 7, prefix, flags: 0x280 });
        assert_eq!(messages(&message(libc::RTM_NEWADDR, 2, &body)), [expected]);

        let mut body = vec![10, 64, 0x40, 0];
        body.extend(7_u32.to_ne_bytes());
        body.extend(attribute(libc::IFA_ADDRESS, &"fe80::1".parse::<Ipv6Addr>().unwrap().octets()));
        let prefix = Prefix { address: "fe80::1".parse().unwrap(), length: 64 };
        let expected = Message::Address(RawAddress { link: 7, prefix, flags: 0x40 });
        assert_eq!(messages(&message(libc::RTM_NEWADDR, 2, &body)), [expected]);
    }

    #[test]
    fn gateways_of_routes_and_of_their_next_hops() {
        let gateway = |link, address: &str| RawGateway { link, address: address.parse().unwrap() };
        let mut body = vec![2, 0, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0];
        body.extend(attribute(libc::RTA_GATEWAY, &[192, 0, 2, 1]));
        body.extend(attribute(libc::RTA_OIF, &7_u32.to_ne_bytes()));
        let plain = messages(&message(libc::RTM_NEWROUTE, 2, &body));
        assert_eq!(plain, [Message::Gateways(vec![gateway(7, "192.0.2.1")])]);
        assert_eq!(messages(&message(libc::RTM_DELROUTE, 0, &body)), plain, "those of one that is gone");

        let hop = |link: u32, attribute: Vec<u8>| {
            let length = u16::try_from(8 + attribute.len()).unwrap();
            [length.to_ne_bytes().to_vec(), vec![0, 0], link.to_ne_bytes().to_vec(), attribute].concat()
        };
        let via = [&10_u16.to_ne_bytes()[..], &"fe80::9".parse::<Ipv6Addr>().unwrap().octets()].concat();
        let hops =
            [hop(7, attribute(libc::RTA_GATEWAY, &[192, 0, 2, 1])), hop(8, attribute(libc::RTA_VIA, &via))]
                .concat();
        let mut body = vec![2, 0, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0];
        body.extend(attribute(libc::RTA_MULTIPATH, &hops));
        let several = messages(&message(libc::RTM_NEWROUTE, 2, &body));
        assert_eq!(several, [Message::Gateways(vec![gateway(7, "192.0.2.1"), gateway(8, "fe80::9")])]);
    }

    #[test]
    fn refusals_and_changes_meanwhile() {
        let refused = [&(-1_i32).to_ne_bytes()[..], &[0; 16]].concat();
        assert_eq!(messages(&message(2, 0, &refused)), [Message::Refused(1)]);
        assert_eq!(messages(&message(libc::RTM_NEWLINK, NLM_F_DUMP_INTR, &[])), [Message::Interrupted]);
    }

    #[test]
    fn nothing_that_is_cut_off_or_nonsense_is_a_problem() {
        let whole = eth0();
        for end in 0..whole.len() {
            assert_eq!(messages(&whole[..end]), [], "{end}");
        }
        // A length too short, and attributes that say that they are longer than they are.
        assert_eq!(messages(&[3, 0, 0, 0, 16, 0, 0, 0]), []);
        for at in HEADER..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                assert_eq!(messages(&changed).len(), 1);
            }
        }
    }
}
