//! `LoadBalancerAddress`.

use std::net::IpAddr;

use fairlead_crds::names::{ANNOUNCED_CONDITION, CONFLICT_CONDITION, POOL_LABEL, PROBED_CONDITION};
use fairlead_crds::{AddressPhase, LoadBalancerAddress};
use fairlead_objects::{Istr, ObjectKey, Record, Resource, ResourceVersion, Uid};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
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
    /// Does any speaker report about it (`status.node`, or a condition of its own)?
    pub reported: bool,
    /// Is its condition `Announced` `True`?
    pub announced: bool,
    /// The node that answers for it, while one does.
    pub answering: Option<Answering>,
    /// Since when nobody answers, if somebody said so (`Announced` is `False`).
    pub silent_since: Option<Timestamp>,
    /// Was the network asked for other users of it (`Probed`)? `False`: there is one. `None`: not yet.
    pub probed: Option<bool>,
    /// All conditions: who writes one writes the whole list.
    pub conditions: Vec<meta::Condition>,
    /// The other user of it, in words, while there is one (`Conflict`).
    pub conflict: Option<Box<str>>,
}

/// A node that answers for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answering {
    /// `status.node`.
    pub node: Istr,
    /// `status.interface`; empty if it is not known.
    pub interface: Istr,
    /// `status.since`.
    pub since: Option<Timestamp>,
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
    /// `probe`: is the network asked for other users of it before a node answers?
    pub probe: bool,
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

    /// Is there a condition `Probed`, whatever it says?
    #[must_use]
    pub fn tells_of_probing(&self) -> bool {
        self.conditions.iter().any(|condition| condition.type_ == PROBED_CONDITION)
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
        let condition = |kind: &str| status.conditions.iter().find(|it| it.type_ == kind);
        let is = |kind: &str, value: &str| condition(kind).filter(|it| it.status == value);
        let announced = is(ANNOUNCED_CONDITION, "True").is_some();
        let text = |text: &Option<String>| Istr::from(text.as_deref().unwrap_or_default());
        let node = status.node.as_deref().filter(|_| announced);
        let answering = node.map(|node| Answering {
            node: node.into(),
            interface: text(&status.interface),
            since: status.since.as_ref().map(|time| time.0),
        });
        let silent_since = is(ANNOUNCED_CONDITION, "False").map(|it| it.last_transition_time.0);
        let probed = match condition(PROBED_CONDITION).map(|it| it.status.as_str()) {
            Some("True") => Some(true),
            Some("False") => Some(false),
            _ => None,
        };
        let conflict = is(CONFLICT_CONDITION, "True").map(|it| it.message.as_str().into());
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
            // That nobody has asked is what we say ourselves.
            reported: status.node.is_some()
                || status.conditions.iter().any(|it| it.type_ != PROBED_CONDITION || it.status != "Unknown"),
            announced,
            answering,
            silent_since,
            probed,
            conflict,
            conditions: status.conditions,
            spec: AddressSpec {
                pool: object.spec.pool.into(),
                services: object.spec.services.into_iter().map(holder).collect(),
                sharing_key: object.spec.sharing_key.into(),
                local: object.spec.local,
                probe: object.spec.probe,
                announcements: object.spec.announcements,
            },
        }
    }
}
