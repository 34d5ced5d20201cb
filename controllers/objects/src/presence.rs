//! Leases by which speakers say that they run.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::record::{Record, Resource};
use crate::{Istr, Labels, ObjectKey, ResourceVersion};

/// The Lease of the speaker of one node. Its name is that of [`Presence::name_of`], and it has the label
/// [`Presence::LABEL`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "Wire")]
pub struct Presence {
    /// Namespace and name.
    pub key: ObjectKey,
    /// Version.
    pub version: ResourceVersion,
    /// `spec.holderIdentity`: the node; `None` once the speaker has ended.
    pub node: Option<Istr>,
    /// When it runs out, if it is not renewed.
    pub until: Option<Timestamp>,
    /// The interfaces on which the speaker answers.
    pub interfaces: Box<[PresentInterface]>,
}

/// An interface on which a speaker answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentInterface {
    /// Its name.
    pub name: Istr,
    /// Its MAC address, as text.
    pub mac: Istr,
    /// Its addresses with the lengths of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
}

impl Presence {
    /// Key and value of the label on each of the Leases.
    pub const LABEL: (&str, &str) = ("fairlead.dev/component", "speaker");
    /// Annotation with the interfaces, one a line: name, MAC address, addresses with prefix lengths, blanks between them.
    pub const INTERFACES: &str = "fairlead.dev/interfaces";

    const PREFIX: &str = "fairlead-speaker-";

    /// The name of the Lease of a node.
    #[must_use]
    pub fn name_of(node: &str) -> String {
        format!("{}{node}", Self::PREFIX)
    }

    /// The node of whose speaker it is, by its name.
    #[must_use]
    pub fn node_by_name(&self) -> Option<&str> {
        self.key.name.strip_prefix(Self::PREFIX)
    }

    /// Does the speaker run, as far as is known at this time?
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.node.is_some() && self.until.is_some_and(|until| now < until)
    }

    /// The value of the annotation [`Presence::INTERFACES`].
    #[must_use]
    pub fn text_of(interfaces: &[PresentInterface]) -> String {
        let line = |interface: &PresentInterface| {
            let addresses =
                interface.addresses.iter().map(|(address, length)| format!(" {address}/{length}"));
            format!("{} {}{}", interface.name, interface.mac, addresses.collect::<String>())
        };
        interfaces.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl PresentInterface {
    /// What a line says; addresses that make no sense are left out.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (name, mac) = (words.next()?.into(), words.next()?.into());
        let address = |word: &str| {
            let (address, length) = word.split_once('/')?;
            Some((address.parse().ok()?, length.parse().ok()?))
        };
        Some(Self { name, mac, addresses: words.filter_map(address).collect() })
    }
}

impl Record for Presence {
    const RESOURCE: Resource = Resource {
        group: "coordination.k8s.io",
        version: "v1",
        kind: "Lease",
        plural: "leases",
        namespaced: true,
    };

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn version(&self) -> &ResourceVersion {
        &self.version
    }

    fn same_facts(&self, other: &Self) -> bool {
        let Self { key, version: _, node, until, interfaces } = self;
        *key == other.key && *node == other.node && *until == other.until && *interfaces == other.interfaces
    }
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Istr,
    namespace: Istr,
    resource_version: ResourceVersion,
    annotations: Labels,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    holder_identity: Option<Istr>,
    lease_duration_seconds: Option<i32>,
    renew_time: Option<Istr>,
}

impl From<Wire> for Presence {
    fn from(Wire { metadata, spec }: Wire) -> Self {
        let renewed: Option<Timestamp> = spec.renew_time.and_then(|time| time.parse().ok());
        let duration = SignedDuration::from_secs(spec.lease_duration_seconds.unwrap_or_default().into());
        let text = metadata.annotations.get(Self::INTERFACES).cloned().unwrap_or_default();
        Self {
            key: ObjectKey { namespace: metadata.namespace, name: metadata.name },
            version: metadata.resource_version,
            node: spec.holder_identity.filter(|node| !node.is_empty()),
            until: renewed.and_then(|renewed| renewed.checked_add(duration).ok()),
            interfaces: text.lines().filter_map(PresentInterface::read).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decode(holder: &str, renewed: &str, interfaces: &str) -> Presence {
        serde_json::from_value(json!({
            "metadata": {"name": "fairlead-speaker-node-1", "namespace": "fairlead-system", "resourceVersion": "7",
                "annotations": {Presence::INTERFACES: interfaces}},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 90, "renewTime": renewed},
        }))
        .unwrap()
    }

    #[test]
    fn a_speaker_is_there_until_its_lease_runs_out_or_is_given_back() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let held = decode("node-1", "2026-01-01T12:00:00.000000Z", "");
        assert!(held.is_live(at("2026-01-01T12:01:29Z")) && !held.is_live(at("2026-01-01T12:01:30Z")));
        assert!(!decode("", "2026-01-01T12:00:00.000000Z", "").is_live(at("2026-01-01T12:00:01Z")));
        assert!(!decode("node-1", "yesterday", "").is_live(at("2026-01-01T12:00:01Z")));
        assert_eq!(held.key.name, Presence::name_of("node-1").as_str());
        assert_eq!(held.node_by_name(), Some("node-1"));
    }

    #[test]
    fn interfaces_are_read_as_they_are_written() {
        let interfaces = [
            PresentInterface {
                name: "eth0".into(),
                mac: "02:00:00:00:00:01".into(),
                addresses: vec![("198.51.100.10".parse().unwrap(), 24), ("2001:db8::1".parse().unwrap(), 64)],
            },
            PresentInterface { name: "bond0.7".into(), mac: "02:00:00:00:00:02".into(), addresses: vec![] },
        ];
        let text = Presence::text_of(&interfaces);
        assert_eq!(text, "eth0 02:00:00:00:00:01 198.51.100.10/24 2001:db8::1/64\nbond0.7 02:00:00:00:00:02");
        assert_eq!(*decode("n", "2026-01-01T12:00:00Z", &text).interfaces, interfaces);
        let odd = decode("n", "2026-01-01T12:00:00Z", "\neth0\neth1 02:00:00:00:00:03 x 10.0.0.1 10.0.0.1/y");
        assert_eq!(odd.interfaces.len(), 1);
        assert_eq!((odd.interfaces[0].name.as_str(), odd.interfaces[0].addresses.len()), ("eth1", 0));
    }
}
