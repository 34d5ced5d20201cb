//! Nodes.

use serde::Deserialize;

use crate::record::{Record, Resource};
use crate::{Istr, Labels, ObjectKey, ResourceVersion};

const ZONE: &str = "topology.kubernetes.io/zone";

/// What endpoints need of a Node.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Wire")]
pub struct Node {
    /// Name; the namespace is empty.
    pub key: ObjectKey,
    /// Version.
    pub version: ResourceVersion,
    /// Label `topology.kubernetes.io/zone`, if not empty.
    pub zone: Option<Istr>,
}

impl Record for Node {
    const RESOURCE: Resource =
        Resource { group: "", version: "v1", kind: "Node", plural: "nodes", namespaced: false };

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn version(&self) -> &ResourceVersion {
        &self.version
    }

    fn same_facts(&self, other: &Self) -> bool {
        self.key == other.key && self.zone == other.zone
    }
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Istr,
    resource_version: ResourceVersion,
    labels: Labels,
}

impl From<Wire> for Node {
    fn from(Wire { metadata }: Wire) -> Self {
        Self {
            key: ObjectKey { namespace: Istr::default(), name: metadata.name },
            version: metadata.resource_version,
            zone: metadata.labels.get(ZONE).filter(|zone| !zone.is_empty()).cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_comes_from_the_label_and_heartbeats_are_no_change() {
        let decode = |json| serde_json::from_value::<Node>(json).unwrap();
        let zoned = decode(serde_json::json!({"metadata": {"name": "n1", "labels": {ZONE: "zone-a"}}}));
        assert_eq!(zoned.zone.as_deref(), Some("zone-a"));
        let beat = decode(
            serde_json::json!({"metadata": {"name": "n1", "resourceVersion": "9", "labels": {ZONE: "zone-a", "x": "y"}},
            "status": {"conditions": [{"type": "Ready"}]}}),
        );
        assert!(zoned.same_facts(&beat));
        let empty = decode(serde_json::json!({"metadata": {"name": "n1", "labels": {ZONE: ""}}}));
        assert!(empty.zone.is_none() && !zoned.same_facts(&empty));
    }
}
