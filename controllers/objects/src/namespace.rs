//! Namespaces.

use serde::Deserialize;

use crate::record::{Record, Resource};
use crate::{Istr, Labels, ObjectKey, ResourceVersion};

/// What pools need of a Namespace.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Wire")]
pub struct Namespace {
    /// Name; the namespace is empty.
    pub key: ObjectKey,
    /// Version.
    pub version: ResourceVersion,
    /// Labels.
    pub labels: Labels,
}

impl Record for Namespace {
    const RESOURCE: Resource =
        Resource { group: "", version: "v1", kind: "Namespace", plural: "namespaces", namespaced: false };

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn version(&self) -> &ResourceVersion {
        &self.version
    }

    fn same_facts(&self, other: &Self) -> bool {
        let Self { key, version: _, labels } = self;
        *key == other.key && *labels == other.labels
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

impl From<Wire> for Namespace {
    fn from(Wire { metadata }: Wire) -> Self {
        Self {
            key: ObjectKey { namespace: Istr::default(), name: metadata.name },
            version: metadata.resource_version,
            labels: metadata.labels,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_are_read_and_only_they_are_a_change() {
        let decode = |json| serde_json::from_value::<Namespace>(json).unwrap();
        let shop = decode(json!({"metadata": {"name": "shop", "labels": {"tier": "gold"}}}));
        assert_eq!(
            (shop.key.to_string().as_str(), shop.labels.get("tier").unwrap().as_str()),
            ("shop", "gold")
        );
        let ending =
            decode(json!({"metadata": {"name": "shop", "labels": {"tier": "gold"}, "resourceVersion": "7"},
            "status": {"phase": "Terminating"}}));
        assert!(shop.same_facts(&ending));
        assert!(!shop.same_facts(&decode(json!({"metadata": {"name": "shop"}}))));
    }
}
