//! What is known about a network interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arcstr::ArcStr;

use crate::mac::MacAddress;

/// A network interface, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkFacts {
    /// Its index; an interface that was deleted and made again has another one.
    pub index: u32,
    /// Its name, which may change.
    pub name: ArcStr,
    /// The MAC address that it sends from, which may change.
    pub mac: MacAddress,
    /// The largest payload of a frame, in bytes.
    pub mtu: u32,
    /// Whether it is up and has a carrier.
    pub running: bool,
    /// The addresses of the node on it.
    pub addresses: Vec<Prefix>,
}

/// An address of an interface with the length of its subnet's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    /// The address.
    pub address: IpAddr,
    /// The number of bits that the whole subnet has in common, 0 to 32 or 128.
    pub length: u8,
}

impl Prefix {
    /// Whether an address is in the subnet.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        Self { address, length: self.length }.subnet() == self.subnet()
    }

    /// The subnet alone: what is not common to it is zero.
    #[must_use]
    pub fn subnet(&self) -> Self {
        let address = match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(self.length.into())).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(self.length.into())).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        };
        Self { address, length: self.length }
    }
}

impl LinkFacts {
    /// Whether one of its subnets holds an address.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|prefix| prefix.holds(address))
    }

    /// Its link-local IPv6 address, without which it takes no part in NDP.
    #[must_use]
    pub fn link_local(&self) -> Option<Ipv6Addr> {
        self.addresses.iter().find_map(|prefix| match prefix.address {
            IpAddr::V6(address) if address.is_unicast_link_local() => Some(address),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_hold_their_addresses() {
        let prefix = |address: &str, length| Prefix { address: address.parse().unwrap(), length };
        let holds = |prefix: Prefix, address: &str| prefix.holds(address.parse().unwrap());
        assert!(holds(prefix("198.51.100.1", 24), "198.51.100.255"));
        assert!(!holds(prefix("198.51.100.1", 24), "198.51.101.0"));
        assert!(holds(prefix("198.51.100.1", 0), "203.0.113.9"));
        assert!(!holds(prefix("198.51.100.1", 32), "198.51.100.2"));
        assert!(holds(prefix("2001:db8::1", 64), "2001:db8::ffff"));
        assert!(!holds(prefix("2001:db8::1", 64), "198.51.100.1"));
        for (whole, subnet) in [
            (prefix("198.51.100.77", 26), prefix("198.51.100.64", 26)),
            (prefix("198.51.100.77", 0), prefix("0.0.0.0", 0)),
            (prefix("198.51.100.77", 32), prefix("198.51.100.77", 32)),
            (prefix("2001:db8::77", 64), prefix("2001:db8::", 64)),
        ] {
            assert_eq!(whole.subnet(), subnet);
        }
    }
}
