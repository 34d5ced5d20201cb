//! What identifies an object and its version.

use std::fmt;

use serde::de::{Deserialize, Deserializer};

use crate::Istr;

/// Namespace and name. The namespace is empty for cluster-scoped objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ObjectKey {
    /// Namespace, or empty.
    pub namespace: Istr,
    /// Name.
    pub name: Istr,
}

impl ObjectKey {
    /// A key from its two parts.
    pub fn new(namespace: impl Into<Istr>, name: impl Into<Istr>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// `namespace/name`, or `name` for cluster-scoped objects: the form that kubectl and client-go print.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// `metadata.uid`. The API server makes them as lower-case UUIDs, which are kept as 16 bytes; any other text
/// is kept as it is, because a UID is opaque by contract.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Uid {
    /// Canonical lower-case UUID.
    Uuid([u8; 16]),
    /// Anything else, also the empty string.
    Text(Istr),
}

impl Uid {
    fn parse_uuid(text: &str) -> Option<[u8; 16]> {
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return None;
        }
        let mut uuid = [0_u8; 16];
        let mut digits = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if *byte != b'-' {
                    return None;
                }
                continue;
            }
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return None,
            };
            uuid[digits / 2] = uuid[digits / 2] << 4 | digit;
            digits += 1;
        }
        Some(uuid)
    }

    /// Is there no UID at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_empty())
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        Self::parse_uuid(text).map_or_else(|| Self::Text(text.into()), Self::Uuid)
    }
}

impl Default for Uid {
    fn default() -> Self {
        Self::Text(Istr::default())
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => {
                for (at, byte) in uuid.iter().enumerate() {
                    if matches!(at, 4 | 6 | 8 | 10) {
                        f.write_str("-")?;
                    }
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Uid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Uid;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a UID")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Uid, E> {
                Ok(Uid::from(text))
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

/// `metadata.resourceVersion`. Decimal versions of one resource type can be compared (KEP-5504); API servers
/// in front of other stores may use opaque text, which can only be tested for equality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceVersion {
    /// A decimal number without leading zeros; later versions are greater.
    Number(u64),
    /// Opaque text, or empty where the object has no version.
    Text(Istr),
}

impl ResourceVersion {
    /// Is this version at least as new as `other`? `None` if they cannot be compared.
    #[must_use]
    pub fn reaches(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Number(this), Self::Number(other)) => Some(this >= other),
            _ if self == other => Some(true),
            _ => None,
        }
    }
}

impl From<&str> for ResourceVersion {
    fn from(text: &str) -> Self {
        match text.parse::<u64>() {
            Ok(number) if !text.starts_with(['0', '+']) => Self::Number(number),
            _ => Self::Text(text.into()),
        }
    }
}

impl Default for ResourceVersion {
    fn default() -> Self {
        Self::Text(Istr::default())
    }
}

impl fmt::Display for ResourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for ResourceVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = ResourceVersion;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a resourceVersion")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ResourceVersion, E> {
                Ok(ResourceVersion::from(text))
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn canonical_uuids_are_packed_and_other_texts_kept() {
        for (text, packed) in [
            ("7c3f0a4e-52bb-4d0e-9f0a-0123456789ab", true),
            ("7C3F0A4E-52BB-4D0E-9F0A-0123456789AB", false),
            ("7c3f0a4e052bb04d0e09f0a00123456789ab", false),
            ("mirror-pod", false),
            ("", false),
        ] {
            let uid = Uid::from(text);
            assert_eq!(matches!(uid, Uid::Uuid(_)), packed, "{text}");
            assert_eq!(uid.to_string(), text);
        }
    }

    #[test]
    fn decimal_versions_compare_and_opaque_ones_do_not() {
        let version = ResourceVersion::from;
        assert_eq!(version("10").reaches(&version("9")), Some(true));
        assert_eq!(version("9").reaches(&version("10")), Some(false));
        assert_eq!(version("a").reaches(&version("a")), Some(true));
        assert_eq!(version("a").reaches(&version("10")), None);
        assert_eq!(version("010").to_string(), "010");
    }

    proptest! {
        #[test]
        fn every_text_survives_a_round_trip(text in ".{0,40}") {
            prop_assert_eq!(Uid::from(text.as_str()).to_string(), text.clone());
            prop_assert_eq!(ResourceVersion::from(text.as_str()).to_string(), text);
        }
    }
}
