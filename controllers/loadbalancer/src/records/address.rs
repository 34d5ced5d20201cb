//! `LoadBalancerAddress`.

use std::net::IpAddr;

use fairlead_crds::names::POOL_LABEL;
use fairlead_crds::{AddressPhase, LoadBalancerAddress};
use fairlead_objects::{Istr, ObjectKey, Record, Resource, ResourceVersion, Uid};
use jiff::Timestamp;
use serde::Deserialize;

use super::Identity;

/// A `LoadBalancerAddress`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "LoadBalancerAddress")]
pub struct Address {
    /// Name; the namespace is empty.
    pub key: ObjectKey,
    /// UID.
    pub uid: Uid,
    /// Version.
    pub version: ResourceVersion,
    /// When it was created: of two addresses of one Service the older one is kept.
    pub created: Option<Timestamp>,
    /// Is `metadata.deletionTimestamp` set?
    pub terminating: bool,
    /// Label `fairlead.dev/pool`.
    pub pool_label: Option<Istr>,
    /// The address itself.
    pub address: IpAddr,
    /// The rest of `spec`.
    pub spec: AddressSpec,
    /// Set while `status.phase` is Cooling: until then it is given to nobody.
    pub cooling_until: Option<Timestamp>,
    /// Does any speaker report about it (`status.node`, or a condition)?
    pub reported: bool,
    /// Is its condition `Announced` `True`?
    pub announced: bool,
}

/// `spec` of a `LoadBalancerAddress`, without the address.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AddressSpec {
    /// `pool`: the pool that it is of; empty if it was taken over when it was in none.
    pub pool: Istr,
    /// `services`, in the order in which they came. Of a cooling address those that had it last.
    pub services: Vec<Holder>,
    /// `sharingKey`; empty if it is not to be shared.
    pub sharing_key: Istr,
    /// `local`: is it announced only where an endpoint is?
    pub local: bool,
    /// `announcements`: how it is announced; by nobody if there is none.
    pub announcements: Vec<fairlead_crds::Announcement>,
}

/// A Service that has an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Namespace and name.
    pub key: ObjectKey,
    /// UID.
    pub uid: Uid,
}

impl Address {
    /// The Services that have it: nobody has one that is cooling down.
    #[must_use]
    pub fn holders(&self) -> &[Holder] {
        if self.cooling_until.is_some() { &[] } else { &self.spec.services }
    }

    /// Does it belong to the Service with this UID?
    #[must_use]
    pub fn is_held_by(&self, uid: &Uid) -> bool {
        self.holders().iter().any(|holder| holder.uid == *uid)
    }
}

impl Record for Address {
    const RESOURCE: Resource = Resource {
        group: "fairlead.dev",
        version: "v1alpha1",
        kind: "LoadBalancerAddress",
        plural: "loadbalanceraddresses",
        namespaced: false,
    };

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn version(&self) -> &ResourceVersion {
        &self.version
    }

    fn same_facts(&self, other: &Self) -> bool {
        // It is written with its version as a precondition, so the newest has to be known.
        self == other
    }
}

impl From<LoadBalancerAddress> for Address {
    fn from(object: LoadBalancerAddress) -> Self {
        let Identity { key, uid, version, generation: _, created } = Identity::from(&object.metadata);
        let pool_label = object.metadata.labels.as_ref().and_then(|labels| labels.get(POOL_LABEL));
        let status = object.status.unwrap_or_default();
        let announced =
            |kind: &str| status.conditions.iter().any(|it| it.type_ == kind && it.status == "True");
        let cooling = status.phase == AddressPhase::Cooling;
        let until = status.cooling_until.as_ref().map(|time| time.0);
        let holder = |holder: fairlead_crds::Holder| Holder {
            key: ObjectKey::new(holder.namespace, holder.name),
            uid: Uid::from(holder.uid.as_str()),
        };
        Self {
            key,
            uid,
            version,
            created,
            terminating: object.metadata.deletion_timestamp.is_some(),
            pool_label: pool_label.map(|name| Istr::from(name.as_str())),
            address: object.spec.address.to_canonical(),
            // One without a time has nothing to wait for.
            cooling_until: cooling.then(|| until.unwrap_or(Timestamp::UNIX_EPOCH)),
            reported: status.node.is_some() || !status.conditions.is_empty(),
            announced: announced("Announced"),
            spec: AddressSpec {
                pool: object.spec.pool.into(),
                services: object.spec.services.into_iter().map(holder).collect(),
                sharing_key: object.spec.sharing_key.into(),
                local: object.spec.local,
                announcements: object.spec.announcements,
            },
        }
    }
}
