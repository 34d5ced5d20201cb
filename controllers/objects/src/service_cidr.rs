//! ServiceCIDRs.

use serde::Deserialize;

use crate::record::{Record, Resource};
use crate::{Istr, ObjectKey, ResourceVersion};

/// Ranges that the API server takes cluster IPs from.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Wire")]
pub struct ServiceCidr {
    /// Name; the namespace is empty.
    pub key: ObjectKey,
    /// Version.
    pub version: ResourceVersion,
    /// `spec.cidrs` as it is written: the API server admits only canonical ones, at most one of each family.
    pub cidrs: Vec<Istr>,
}

impl Record for ServiceCidr {
    const RESOURCE: Resource = Resource {
        group: "networking.k8s.io",
        version: "v1",
        kind: "ServiceCIDR",
        plural: "servicecidrs",
        namespaced: false,
    };

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn version(&self) -> &ResourceVersion {
        &self.version
    }

    fn same_facts(&self, other: &Self) -> bool {
        let Self { key, version: _, cidrs } = self;
        *key == other.key && *cidrs == other.cidrs
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
    resource_version: ResourceVersion,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spec {
    cidrs: Option<Vec<Istr>>,
}

impl From<Wire> for ServiceCidr {
    fn from(Wire { metadata, spec }: Wire) -> Self {
        Self {
            key: ObjectKey { namespace: Istr::default(), name: metadata.name },
            version: metadata.resource_version,
            cidrs: spec.cidrs.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ranges_are_read_and_only_they_are_a_change() {
        let decode = |json| serde_json::from_value::<ServiceCidr>(json).unwrap();
        let both = decode(json!({"metadata": {"name": "kubernetes"},
            "spec": {"cidrs": ["10.96.0.0/16", "fd00:10:96::/112"]}}));
        assert_eq!(both.cidrs, ["10.96.0.0/16", "fd00:10:96::/112"].map(Istr::from));
        let ready = decode(json!({"metadata": {"name": "kubernetes", "resourceVersion": "7"},
            "spec": {"cidrs": ["10.96.0.0/16", "fd00:10:96::/112"]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}}));
        assert!(both.same_facts(&ready));
        assert!(!both.same_facts(&decode(json!({"metadata": {"name": "kubernetes"}}))));
    }
}
