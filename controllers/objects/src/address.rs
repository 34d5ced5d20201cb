//! IP addresses as Kubernetes writes them.

use std::net::{IpAddr, Ipv4Addr};

/// An address family of Services and slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The API's spelling, in `ipFamilies` and in `addressType` alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// Parses an address as leniently as Kubernetes does for stored objects: IPv4 octets may have leading zeros,
/// which do not make them octal, and an IPv4-mapped IPv6 address is an IPv4 address (Go's `net.ParseIP` makes
/// no difference between the two).
#[must_use]
pub fn parse_lenient(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let mut octets = [0_u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *octet = part
            .trim_start_matches('0')
            .parse()
            .or_else(|error| if part.bytes().all(|byte| byte == b'0') { Ok(0) } else { Err(error) })
            .ok()?;
    }
    parts.next().is_none().then(|| IpAddr::V4(Ipv4Addr::from(octets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn irregular_texts_become_canonical() {
        for (text, expected) in [
            ("10.0.0.1", Some("10.0.0.1")),
            ("010.000.0.09", Some("10.0.0.9")),
            ("1234::5678:0000:0000:9abc:def0", Some("1234::5678:0:0:9abc:def0")),
            ("2001:DB8::1", Some("2001:db8::1")),
            ("::ffff:10.0.0.1", Some("10.0.0.1")),
            ("10.0.0", None),
            ("10.0.0.1.2", None),
            ("10.0.0.256", None),
            ("10.0.0.+1", None),
            ("", None),
            ("example.com", None),
        ] {
            assert_eq!(parse_lenient(text).map(|ip| ip.to_string()).as_deref(), expected, "{text}");
        }
    }
}
