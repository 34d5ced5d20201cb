//! Addresses as numbers, and the texts that name many of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fairlead_objects::Family;

/// The address as a number, in its family.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// The address of this number; numbers of the IPv4 family have 32 bits.
pub(crate) fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))),
        Family::V6 => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

/// Addresses from the first to the last, both of them included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) first: u128,
    pub(crate) last: u128,
}

impl Interval {
    pub(crate) fn contains(self, number: u128) -> bool {
        (self.first..=self.last).contains(&number)
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// A CIDR, a range `first-last`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) family: Family,
    pub(crate) interval: Interval,
    /// Length of the prefix, if it was written as a CIDR.
    pub(crate) prefix: Option<u8>,
}

/// Why a text names no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RangeError {
    NotAnAddress(String),
    BadPrefix { prefix: String, most: u8 },
    HostBits { network: IpAddr, prefix: u8 },
    MixedFamilies,
    Reversed { first: IpAddr, last: IpAddr },
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnAddress(text) => {
                write!(
                    f,
                    "{text:?} is not an IP address; write a CIDR such as 198.51.100.0/24 or a range such as \
                     198.51.100.10-198.51.100.20"
                )
            }
            Self::BadPrefix { prefix, most } => {
                write!(f, "{prefix:?} is not the length of a prefix; write a number from 0 to {most}")
            }
            Self::HostBits { network, prefix } => {
                write!(f, "it has bits set beyond the prefix; write {network}/{prefix}")
            }
            Self::MixedFamilies => f.write_str("its first and last address are of different families"),
            Self::Reversed { first, last } => {
                write!(f, "its first address is after its last one; write {last}-{first}")
            }
        }
    }
}

impl Range {
    /// Reads a CIDR, a range, or an address. Blanks around the dash are allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, RangeError> {
        if let Some((base, prefix)) = text.split_once('/') {
            return Self::parse_cidr(base.trim(), prefix.trim());
        }
        let Some((first, last)) = text.split_once('-') else {
            let only = parse_address(text.trim())?;
            let interval = Interval { first: number(only), last: number(only) };
            return Ok(Self { family: Family::of(only), interval, prefix: None });
        };
        let (first, last) = (parse_address(first.trim())?, parse_address(last.trim())?);
        if Family::of(first) != Family::of(last) {
            return Err(RangeError::MixedFamilies);
        }
        let interval = Interval { first: number(first), last: number(last) };
        if interval.first > interval.last {
            return Err(RangeError::Reversed { first, last });
        }
        Ok(Self { family: Family::of(first), interval, prefix: None })
    }

    fn parse_cidr(base: &str, prefix: &str) -> Result<Self, RangeError> {
        let base = parse_address(base)?;
        let family = Family::of(base);
        let most: u8 = if family == Family::V4 { 32 } else { 128 };
        let Some(length) = prefix.parse::<u8>().ok().filter(|length| *length <= most) else {
            return Err(RangeError::BadPrefix { prefix: prefix.to_owned(), most });
        };
        let hosts = low_bits(most - length);
        let first = number(base) & !hosts;
        if first != number(base) {
            return Err(RangeError::HostBits { network: address(family, first), prefix: length });
        }
        Ok(Self { family, interval: Interval { first, last: first | hosts }, prefix: Some(length) })
    }
}

fn parse_address(text: &str) -> Result<IpAddr, RangeError> {
    let address: IpAddr = text.parse().map_err(|_| RangeError::NotAnAddress(text.to_owned()))?;
    Ok(address.to_canonical())
}

/// A number of which the lowest `count` bits are set.
fn low_bits(count: u8) -> u128 {
    if count >= 128 { u128::MAX } else { (1 << count) - 1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<(String, String), String> {
        let range = Range::parse(text).map_err(|error| error.to_string())?;
        let text = |number| address(range.family, number).to_string();
        Ok((text(range.interval.first), text(range.interval.last)))
    }

    #[test]
    fn cidrs_ranges_and_addresses_are_read() {
        for (text, first, last) in [
            ("198.51.100.0/24", "198.51.100.0", "198.51.100.255"),
            ("198.51.100.7/32", "198.51.100.7", "198.51.100.7"),
            ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
            ("2001:db8::/64", "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff"),
            ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("198.51.100.10-198.51.100.20", "198.51.100.10", "198.51.100.20"),
            ("198.51.100.10 - 198.51.100.10", "198.51.100.10", "198.51.100.10"),
            ("2001:db8::1-2001:db8::a", "2001:db8::1", "2001:db8::a"),
            ("198.51.100.9", "198.51.100.9", "198.51.100.9"),
        ] {
            assert_eq!(read(text), Ok((first.to_owned(), last.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_what_to_write() {
        for (text, words) in [
            ("", "\"\" is not an IP address"),
            ("pool", "\"pool\" is not an IP address"),
            ("198.51.100.0/33", "\"33\" is not the length of a prefix; write a number from 0 to 32"),
            ("2001:db8::/x", "\"x\" is not the length of a prefix; write a number from 0 to 128"),
            ("198.51.100.7/24", "it has bits set beyond the prefix; write 198.51.100.0/24"),
            ("2001:db8::1/64", "it has bits set beyond the prefix; write 2001:db8::/64"),
            ("198.51.100.7-2001:db8::1", "its first and last address are of different families"),
            (
                "2001:db8::a-2001:db8::1",
                "its first address is after its last one; write 2001:db8::1-2001:db8::a",
            ),
            ("198.51.100.1-", "\"\" is not an IP address"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.starts_with(words), "{text}: {said}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,60}") {
            let _ = Range::parse(&text);
        }

        #[test]
        fn addresses_survive_the_way_through_numbers(v4: u32, v6: u128) {
            for (family, wanted) in [(Family::V4, u128::from(v4)), (Family::V6, v6)] {
                prop_assert_eq!(number(address(family, wanted)), wanted);
            }
        }

        #[test]
        fn a_cidr_has_as_many_addresses_as_its_prefix_leaves(base: u32, prefix in 0_u8..=32) {
            let network = if prefix == 0 { 0 } else { base >> (32 - prefix) << (32 - prefix) };
            let range = Range::parse(&format!("{}/{prefix}", Ipv4Addr::from(network))).unwrap();
            prop_assert_eq!(range.interval.last - range.interval.first + 1, 1_u128 << (32 - prefix));
            prop_assert!(range.interval.contains(u128::from(base)));
        }
    }
}
