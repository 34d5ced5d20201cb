//! Which interfaces of the node are used, and why the others are not.

mod patterns;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;

use arcstr::ArcStr;
use fairlead_layer2::{LinkFacts, Prefix};

use crate::netlink::{RawAddress, RawLink};
pub use patterns::{DEFAULT_EXCLUDED, NotAPattern, Patterns};

/// All interfaces of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Those that are used, by their indexes, running or not.
    pub used: Vec<LinkFacts>,
    /// Those that are not.
    pub unused: Vec<Unused>,
}

/// An interface that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// Its name.
    pub name: ArcStr,
    /// Why it is not.
    pub reason: Reason,
}

/// Why an interface is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its name matches this pattern.
    Excluded(String),
    /// Its only neighbour is this node.
    Loopback,
    /// It has no MAC addresses.
    NotEthernet,
    /// ARP is switched off on it.
    NoArp,
    /// Nothing can be said to all neighbours.
    NoBroadcast,
    /// What it receives belongs to another interface.
    PartOf {
        /// What the other one is, such as a bridge.
        kind: String,
        /// Its name.
        name: String,
    },
    /// Its sockets could not be opened; said is why.
    Failed(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Excluded(pattern) => write!(f, "its name is excluded by {pattern}"),
            Self::Loopback => f.write_str("it is the loopback interface"),
            Self::NotEthernet => f.write_str("it has no MAC address"),
            Self::NoArp => f.write_str("ARP is switched off on it"),
            Self::NoBroadcast => f.write_str("it has no broadcast"),
            Self::PartOf { kind, name } => write!(f, "it is a part of the {kind} {name}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

const IFF_UP: u32 = libc::IFF_UP.cast_unsigned();
const IFF_BROADCAST: u32 = libc::IFF_BROADCAST.cast_unsigned();
const IFF_LOOPBACK: u32 = libc::IFF_LOOPBACK.cast_unsigned();
const IFF_RUNNING: u32 = libc::IFF_RUNNING.cast_unsigned();
const IFF_NOARP: u32 = libc::IFF_NOARP.cast_unsigned();
const IFF_LOWER_UP: u32 = libc::IFF_LOWER_UP.cast_unsigned();
/// Flags of addresses: another machine has it; it may not be used yet.
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_TENTATIVE: u32 = 0x40;

impl Survey {
    /// What is used of the interfaces that the kernel has.
    #[must_use]
    pub fn of(links: &[RawLink], addresses: &[RawAddress], excluded: &Patterns) -> Self {
        let by_index: HashMap<_, _> = links.iter().map(|link| (link.index, link)).collect();
        let mut prefixes: HashMap<u32, Vec<Prefix>> = HashMap::new();
        for address in addresses.iter().filter(|address| is_usable(address)) {
            prefixes.entry(address.link).or_default().push(address.prefix);
        }
        let (mut used, mut unused) = (BTreeMap::new(), Vec::new());
        for link in links {
            match usable(link, &by_index, excluded) {
                Ok(mac) => {
                    let mut addresses = prefixes.remove(&link.index).unwrap_or_default();
                    addresses.sort_unstable();
                    let running = IFF_UP | IFF_RUNNING | IFF_LOWER_UP;
                    let facts = LinkFacts {
                        index: link.index,
                        name: link.name.as_str().into(),
                        mac,
                        mtu: link.mtu,
                        running: link.flags & running == running,
                        addresses,
                    };
                    used.insert(link.index, facts);
                }
                Err(reason) => unused.push(Unused { name: link.name.as_str().into(), reason }),
            }
        }
        unused.sort_by(|one, other| one.name.cmp(&other.name));
        Self { used: used.into_values().collect(), unused }
    }
}

/// The MAC address of an interface that can be used.
fn usable(
    link: &RawLink,
    all: &HashMap<u32, &RawLink>,
    excluded: &Patterns,
) -> Result<fairlead_layer2::MacAddress, Reason> {
    if link.flags & IFF_LOOPBACK != 0 {
        return Err(Reason::Loopback);
    }
    if let Some(pattern) = excluded.matching(&link.name) {
        return Err(Reason::Excluded(pattern.to_owned()));
    }
    let Some(mac) = link.mac.filter(|_| link.hardware == libc::ARPHRD_ETHER) else {
        return Err(Reason::NotEthernet);
    };
    if link.flags & IFF_NOARP != 0 {
        return Err(Reason::NoArp);
    }
    if link.flags & IFF_BROADCAST == 0 {
        return Err(Reason::NoBroadcast);
    }
    if let Some(index) = link.master {
        let master = all.get(&index);
        let kind = master.and_then(|master| master.kind.as_deref()).unwrap_or("interface");
        // A VRF only has routes of its own; its interfaces are on their segments as ever.
        if kind != "vrf" {
            let name = master.map_or_else(|| format!("with index {index}"), |master| master.name.clone());
            return Err(Reason::PartOf { kind: kind.to_owned(), name });
        }
    }
    Ok(mac)
}

/// An address that another machine has is not ours, and one that may turn out so cannot be sent from.
fn is_usable(address: &RawAddress) -> bool {
    let link_local = matches!(address.prefix.address, IpAddr::V6(address) if address.is_unicast_link_local());
    address.flags & IFA_F_DADFAILED == 0 && !(link_local && address.flags & IFA_F_TENTATIVE != 0)
}

#[cfg(test)]
mod tests {
    use fairlead_layer2::MacAddress;

    use super::*;

    const UP: u32 = IFF_UP | IFF_BROADCAST | IFF_RUNNING | IFF_LOWER_UP;

    fn link(index: u32, name: &str) -> RawLink {
        RawLink {
            index,
            name: name.to_owned(),
            hardware: libc::ARPHRD_ETHER,
            flags: UP,
            mtu: 1500,
            mac: Some(MacAddress([2, 0, 0, 0, 0, 1])),
            ..RawLink::default()
        }
    }

    fn survey(links: &[RawLink]) -> Survey {
        Survey::of(links, &[], &Patterns::default())
    }

    fn reason(links: &[RawLink]) -> String {
        let survey = survey(links);
        assert_eq!(survey.unused.len(), 1, "{survey:?}");
        format!("{}: {}", survey.unused[0].name, survey.unused[0].reason)
    }

    #[test]
    fn an_interface_is_used_with_its_addresses() {
        let address = |link, address: &str, length, flags| RawAddress {
            link,
            prefix: Prefix { address: address.parse().unwrap(), length },
            flags,
        };
        let survey = Survey::of(
            &[link(3, "eth1"), link(2, "eth0")],
            &[
                address(2, "2001:db8::1", 64, 0x80),
                address(2, "198.51.100.11", 24, 0x80),
                address(3, "fe80::1", 64, IFA_F_TENTATIVE),
                address(3, "2001:db8::2", 64, IFA_F_TENTATIVE),
                address(3, "2001:db8::3", 64, IFA_F_DADFAILED | IFA_F_TENTATIVE),
                address(1, "127.0.0.1", 8, 0x80),
            ],
            &Patterns::default(),
        );
        assert_eq!(survey.unused, []);
        let [eth0, eth1] = &survey.used[..] else { panic!("{survey:?}") };
        assert_eq!((eth0.index, &*eth0.name, eth0.running), (2, "eth0", true));
        let texts = |facts: &LinkFacts| {
            facts.addresses.iter().map(|prefix| prefix.address.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(texts(eth0), ["198.51.100.11", "2001:db8::1"]);
        assert_eq!(texts(eth1), ["2001:db8::2"]);
    }

    #[test]
    fn without_a_carrier_or_when_it_is_down_it_is_not_running() {
        for missing in [IFF_UP, IFF_RUNNING, IFF_LOWER_UP] {
            let survey = survey(&[RawLink { flags: UP & !missing, ..link(2, "eth0") }]);
            assert!(!survey.used[0].running, "{missing:x}");
        }
    }

    #[test]
    fn others_are_not_used_and_it_is_said_why() {
        let lo = RawLink { flags: UP | IFF_LOOPBACK, hardware: 772, ..link(1, "lo") };
        assert_eq!(reason(&[lo]), "lo: it is the loopback interface");
        assert_eq!(reason(&[link(2, "veth7")]), "veth7: its name is excluded by veth*");
        let tunnel = RawLink { hardware: 65534, mac: None, ..link(2, "wg0") };
        assert_eq!(reason(&[tunnel]), "wg0: it has no MAC address");
        let quiet = RawLink { flags: UP | IFF_NOARP, ..link(2, "ipvl0") };
        assert_eq!(reason(&[quiet]), "ipvl0: ARP is switched off on it");
        let narrow = RawLink { flags: UP & !IFF_BROADCAST, ..link(2, "nb0") };
        assert_eq!(reason(&[narrow]), "nb0: it has no broadcast");
    }

    #[test]
    fn parts_of_a_bridge_or_a_bond_are_not_used_but_those_of_a_vrf_are() {
        let part = RawLink { master: Some(9), ..link(2, "eth0") };
        let whole = |kind: &str| RawLink { kind: Some(kind.to_owned()), ..link(9, "whole0") };
        assert_eq!(reason(&[part.clone(), whole("bridge")]), "eth0: it is a part of the bridge whole0");
        assert_eq!(reason(&[part.clone(), whole("bond")]), "eth0: it is a part of the bond whole0");
        assert_eq!(reason(std::slice::from_ref(&part)), "eth0: it is a part of the interface with index 9");
        let vrf = RawLink { flags: UP | IFF_NOARP, ..whole("vrf") };
        let survey = survey(&[part, vrf]);
        assert_eq!(survey.used.len(), 1);
        assert_eq!(&*survey.unused[0].name, "whole0");
    }
}
