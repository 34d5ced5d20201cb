//! `Layer2Announcement`.

use fairlead_crds::Layer2Announcement;
use fairlead_objects::{Istr, ObjectKey, Record, Resource, ResourceVersion, Selector};
use serde::Deserialize;

use super::{Identity, selectors, strings};

/// A `Layer2Announcement`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "Layer2Announcement")]
pub struct Announcement {
    /// Name; the namespace is empty.
    pub key: ObjectKey,
    /// Version.
    pub version: ResourceVersion,
    /// `spec.pools`: by name. With the selectors a union; both empty mean every pool.
    pub pools: Vec<Istr>,
    /// `spec.poolSelectors`.
    pub pool_selectors: Vec<Selector>,
    /// `spec.serviceSelectors`: one of them has to match; none means every Service.
    pub service_selectors: Vec<Selector>,
    /// What is merged into the addresses for speakers.
    pub merged: fairlead_crds::Announcement,
}

impl Record for Announcement {
    const RESOURCE: Resource = Resource {
        group: "fairlead.dev",
        version: "v1alpha1",
        kind: "Layer2Announcement",
        plural: "layer2announcements",
        namespaced: false,
    };

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn version(&self) -> &ResourceVersion {
        &self.version
    }

    fn same_facts(&self, other: &Self) -> bool {
        *self == Self { version: self.version.clone(), ..other.clone() }
    }
}

impl From<Layer2Announcement> for Announcement {
    fn from(announcement: Layer2Announcement) -> Self {
        let Identity { key, version, .. } = Identity::from(&announcement.metadata);
        let spec = announcement.spec;
        Self {
            version,
            pools: strings(&spec.pools),
            pool_selectors: selectors(&spec.pool_selectors),
            service_selectors: selectors(&spec.service_selectors),
            merged: fairlead_crds::Announcement {
                name: key.name.to_string(),
                node_selectors: spec.node_selectors,
                interfaces: spec.interfaces,
                preferred_nodes: spec.preferred_nodes,
            },
            key,
        }
    }
}
