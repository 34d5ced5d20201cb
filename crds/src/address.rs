//! The one spelling of an address, and the name of its [`LoadBalancerAddress`](crate::LoadBalancerAddress).
//!
//! Creating that object is what allocates an address, so one address must never have two names. The API server holds
//! every name to the rule that is written here.

use std::net::IpAddr;

/// The canonical text of an address: dotted decimal, or RFC 5952.
///
/// IPv4-mapped IPv6 addresses have no canonical text of their own in Kubernetes; they are written as the IPv4 address.
#[must_use]
pub fn canonical_text(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

/// The name of the object of an address: the canonical text with `:` replaced by `-`, and a `0` added where that would
/// begin or end with a dash, which no name of an object may.
///
/// ```
/// # use fairlead_crds::address::address_name;
/// assert_eq!(address_name("198.51.100.7".parse().unwrap()), "198.51.100.7");
/// assert_eq!(address_name("2001:db8::7".parse().unwrap()), "2001-db8--7");
/// assert_eq!(address_name("2001:db8::".parse().unwrap()), "2001-db8--0");
/// assert_eq!(address_name("::1".parse().unwrap()), "0--1");
/// ```
#[must_use]
pub fn address_name(address: IpAddr) -> String {
    let dashed = canonical_text(address).replace(':', "-");
    let before = if dashed.starts_with('-') { "0" } else { "" };
    let after = if dashed.ends_with('-') { "0" } else { "" };
    format!("{before}{dashed}{after}")
}

/// The address whose object has this name; nothing if no address has it.
#[must_use]
pub fn address_of_name(name: &str) -> Option<IpAddr> {
    let address: IpAddr =
        if name.contains('-') { name.replace('-', ":").parse().ok()? } else { name.parse().ok()? };
    (address_name(address) == name).then_some(address)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    /// Mostly addresses with runs of zeros, where the spellings differ.
    fn addresses() -> impl Strategy<Value = IpAddr> {
        let group = prop_oneof![3 => Just(0_u16), 1 => 0_u16..16, 1 => any::<u16>()];
        prop_oneof![
            any::<Ipv4Addr>().prop_map(IpAddr::V4),
            any::<Ipv6Addr>().prop_map(IpAddr::V6),
            prop::array::uniform8(group).prop_map(|groups| IpAddr::V6(Ipv6Addr::from(groups))),
        ]
    }

    /// RFC 1123 as the API server checks the name of an object.
    fn is_dns_subdomain(name: &str) -> bool {
        name.len() <= 253
            && name.split('.').all(|label| {
                let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
                label.bytes().all(|byte| alphanumeric(byte) || byte == b'-')
                    && label.bytes().next().is_some_and(alphanumeric)
                    && label.bytes().last().is_some_and(alphanumeric)
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_name_leads_back_to_its_address(address in addresses()) {
            prop_assert_eq!(address_of_name(&address_name(address)), Some(address.to_canonical()));
        }

        #[test]
        fn a_name_is_one_that_objects_may_have(address in addresses()) {
            let name = address_name(address);
            prop_assert!(is_dns_subdomain(&name), "{}", name);
        }

        #[test]
        fn different_addresses_have_different_names(one in addresses(), other in addresses()) {
            prop_assert_eq!(address_name(one) == address_name(other), one.to_canonical() == other.to_canonical());
        }

        #[test]
        fn any_text_that_is_a_name_is_the_only_one(name in "[0-9a-f.-]{1,40}|(0|1|10|ff)(-{1,2}(0|00|1|A)){1,7}") {
            if let Some(address) = address_of_name(&name) {
                prop_assert_eq!(address_name(address), name);
            }
        }
    }

    #[test]
    fn names_are_spelled_by_rfc_5952() {
        let table = [
            ("0.0.0.0", "0.0.0.0"),
            ("198.51.100.7", "198.51.100.7"),
            ("::", "0--0"),
            ("::1", "0--1"),
            ("1::", "1--0"),
            ("2001:db8::", "2001-db8--0"),
            ("2001:DB8:0:0::1", "2001-db8--1"),
            // The longest run is shortened, the first of two equal ones, and never a single group.
            ("2001:db8:0:0:1:0:0:1", "2001-db8--1-0-0-1"),
            ("2001:0:0:1:0:0:0:1", "2001-0-0-1--1"),
            ("2001:db8:0:1:1:1:1:1", "2001-db8-0-1-1-1-1-1"),
            ("::1:2:3:4:5:6:7", "0-1-2-3-4-5-6-7"),
            ("1:2:3:4:5:6:7::", "1-2-3-4-5-6-7-0"),
            // Not dotted: only mapped addresses are, and those are IPv4 addresses.
            ("::198.51.100.7", "0--c633-6407"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
        ];
        for (text, name) in table {
            let address: IpAddr = text.parse().expect(text);
            assert_eq!(address_name(address), name, "{text}");
            assert_eq!(address_of_name(name), Some(address.to_canonical()), "{name}");
        }
    }

    #[test]
    fn other_spellings_are_no_names() {
        let others = [
            "",
            "web",
            "198.51.100",
            "198.51.100.07",
            "2001-DB8--1",
            "2001-db8--01",
            "2001-db8-0-0-0-0-0-1",
            "2001-db8--",
            "--1",
            "0--",
            "0-0--1",
            "2001:db8::1",
            "0--ffff-c633-6407",
            "0--ffff-198.51.100.7",
            "fe80--1%eth0",
        ];
        for name in others {
            assert_eq!(address_of_name(name), None, "{name}");
        }
    }
}
