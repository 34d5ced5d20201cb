//! Ports of Services, containers and slices.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use serde::de::{Deserialize, Deserializer};

use crate::Istr;
use crate::intern::Table;

/// A transport protocol. The API admits only these three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Deserialize)]
pub enum Protocol {
    /// TCP, also where nothing is said.
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP
    #[serde(rename = "UDP")]
    Udp,
    /// SCTP
    #[serde(rename = "SCTP")]
    Sctp,
}

impl Protocol {
    /// The API's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

/// A port of an EndpointSlice. Absent and empty fields are different values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointPort {
    /// Name; the slices that Fairlead writes always have one, empty for the unnamed port.
    pub name: Option<Istr>,
    /// Protocol.
    pub protocol: Option<Protocol>,
    /// Number; absent means all ports.
    pub port: Option<i32>,
    /// Application protocol, copied from the Service.
    pub app_protocol: Option<Istr>,
}

static SETS: LazyLock<Table<Arc<[EndpointPort]>>> = LazyLock::new(Table::new);

/// The ports of a slice as a set: sorted, stored once, compared by pointer. Slices are grouped by their port
/// set, so two lists with the same ports in another order are equal, and an absent list equals an empty one.
#[derive(Clone)]
pub struct PortSet(Arc<[EndpointPort]>);

impl PortSet {
    /// Ports in the order in which they are written.
    pub fn iter(&self) -> std::slice::Iter<'_, EndpointPort> {
        self.0.iter()
    }

    /// Number of ports.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Is there no port?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<EndpointPort> for PortSet {
    fn from_iter<I: IntoIterator<Item = EndpointPort>>(ports: I) -> Self {
        let mut ports: Vec<_> = ports.into_iter().collect();
        ports.sort();
        Self(SETS.intern(ports))
    }
}

impl<'a> IntoIterator for &'a PortSet {
    type Item = &'a EndpointPort;
    type IntoIter = std::slice::Iter<'a, EndpointPort>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Default for PortSet {
    fn default() -> Self {
        [].into_iter().collect()
    }
}

impl PartialEq for PortSet {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for PortSet {}

impl Hash for PortSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).cast::<u8>().hash(state);
    }
}

impl PartialOrd for PortSet {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PortSet {
    fn cmp(&self, other: &Self) -> Ordering {
        if self == other { Ordering::Equal } else { self.0.cmp(&other.0) }
    }
}

impl std::fmt::Debug for PortSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<'de> Deserialize<'de> for PortSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Vec<EndpointPort>>::deserialize(deserializer)?.unwrap_or_default().into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, number: i32) -> EndpointPort {
        EndpointPort {
            name: Some(name.into()),
            protocol: Some(Protocol::Tcp),
            port: Some(number),
            app_protocol: None,
        }
    }

    #[test]
    fn order_of_ports_does_not_matter() {
        let one: PortSet = [port("a", 1), port("b", 2)].into_iter().collect();
        let two: PortSet = [port("b", 2), port("a", 1)].into_iter().collect();
        assert_eq!(one, two);
    }

    #[test]
    fn an_absent_list_equals_an_empty_one() {
        let absent: PortSet = serde_json::from_str("null").unwrap();
        let empty: PortSet = serde_json::from_str("[]").unwrap();
        assert_eq!(absent, empty);
        assert_eq!(absent, PortSet::default());
    }

    #[test]
    fn absent_and_empty_fields_differ() {
        let unnamed: PortSet = serde_json::from_str(r#"[{"port": 80}]"#).unwrap();
        let empty: PortSet = serde_json::from_str(r#"[{"name": "", "port": 80}]"#).unwrap();
        assert_ne!(unnamed, empty);
    }
}
