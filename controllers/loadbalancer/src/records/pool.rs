//! `LoadBalancerPool`.

use std::time::Duration;

use fairlead_crds::{Announce, FamilyUsage, LoadBalancerPool, Order, Probe, Requests, Sharing};
use fairlead_objects::{Istr, Labels, ObjectKey, Record, Resource, ResourceVersion, Selector, Uid};
use jiff::Timestamp;
use serde::Deserialize;

use super::{Condition, Identity, selectors, strings};

/// A `LoadBalancerPool`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "LoadBalancerPool")]
pub struct Pool {
    /// Name; the namespace is empty.
    pub key: ObjectKey,
    /// UID.
    pub uid: Uid,
    /// Version.
    pub version: ResourceVersion,
    /// `metadata.generation`.
    pub generation: i64,
    /// When it was created: of two pools that overlap the older one has the addresses.
    pub created: Option<Timestamp>,
    /// Labels, for the selectors of announcements.
    pub labels: Labels,
    /// `spec.addresses`: CIDRs and ranges as they are written.
    pub addresses: Vec<Istr>,
    /// `spec.exclude`: CIDRs and ranges that are never assigned.
    pub exclude: Vec<Istr>,
    /// `spec.autoAssign`: may Services get an address that name neither the pool nor the address?
    pub auto_assign: bool,
    /// `spec.avoidBuggyIPs`: are IPv4 addresses that end in .0 or .255 left out?
    pub avoid_buggy_ips: bool,
    /// `spec.serviceAllocation`: which Services the pool is for; all of them without.
    pub service_allocation: Option<ServiceAllocation>,
    /// `spec.order`: which free address is taken.
    pub order: Order,
    /// `spec.quota.perNamespace`: addresses that one namespace may have.
    pub quota_per_namespace: Option<u32>,
    /// `spec.coolDown`: how long a released address is given to nobody.
    pub cool_down: Duration,
    /// `spec.drain`: nothing new, and what is there moves away.
    pub drain: bool,
    /// `spec.sharing`: whose consent Services of different namespaces need.
    pub sharing: Sharing,
    /// `spec.requests`: may Services ask for an address?
    pub requests: Requests,
    /// `spec.probe`: is the network asked for other users of an address; `None`: if somebody is there who can.
    pub probe: Option<Probe>,
    /// `spec.probeTimeout`: how long a Service waits for that.
    pub probe_timeout: Duration,
    /// `spec.announce`: is it announced where no `Layer2Announcement` selects it?
    pub announce: Announce,
    /// `status` as it was observed.
    pub status: PoolStatus,
}

/// `spec.serviceAllocation` of a pool.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ServiceAllocation {
    /// Lower comes first; 0 comes last.
    pub priority: i32,
    /// Namespaces by name.
    pub namespaces: Vec<Istr>,
    /// Namespaces by labels, besides those by name.
    pub namespace_selectors: Vec<Selector>,
    /// Services by labels: one of them has to match.
    pub service_selectors: Vec<Selector>,
}

/// `status` of a pool.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PoolStatus {
    /// `observedGeneration`.
    pub observed_generation: i64,
    /// `ipv4`, for pools with IPv4 addresses.
    pub ipv4: Option<FamilyUsage>,
    /// `ipv6`, for pools with IPv6 addresses.
    pub ipv6: Option<FamilyUsage>,
    /// `conditions`, in the order of their types.
    pub conditions: Vec<Condition>,
}

impl Pool {
    /// Does it say the same to allocation as `other`? Versions, generations and what is reported in the status do not
    /// count.
    #[must_use]
    pub(crate) fn same_spec(&self, other: &Self) -> bool {
        let comparable = |pool: &Self| Self {
            version: ResourceVersion::default(),
            generation: 0,
            status: PoolStatus::default(),
            ..pool.clone()
        };
        comparable(self) == comparable(other)
    }
}

impl Record for Pool {
    const RESOURCE: Resource = Resource {
        group: "fairlead.dev",
        version: "v1alpha1",
        kind: "LoadBalancerPool",
        plural: "loadbalancerpools",
        namespaced: false,
    };

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn version(&self) -> &ResourceVersion {
        &self.version
    }

    fn same_facts(&self, other: &Self) -> bool {
        // Its status is written with the version as a precondition, so the newest has to be known.
        self == other
    }
}

impl From<LoadBalancerPool> for Pool {
    fn from(pool: LoadBalancerPool) -> Self {
        let Identity { key, uid, version, generation, created } = Identity::from(&pool.metadata);
        let labels = pool.metadata.labels.iter().flatten().map(|(key, value)| (key.as_str(), value.as_str()));
        let status = pool.status.unwrap_or_default();
        let spec = pool.spec;
        Self {
            key,
            uid,
            version,
            generation,
            created,
            labels: labels.collect(),
            addresses: strings(&spec.addresses),
            exclude: strings(&spec.exclude),
            auto_assign: spec.auto_assign,
            avoid_buggy_ips: spec.avoid_buggy_ips,
            service_allocation: spec.service_allocation.map(|it| ServiceAllocation {
                priority: it.priority,
                namespaces: strings(&it.namespaces),
                namespace_selectors: selectors(&it.namespace_selectors),
                service_selectors: selectors(&it.service_selectors),
            }),
            order: spec.order,
            quota_per_namespace: spec.quota.and_then(|quota| quota.per_namespace),
            cool_down: spec.cool_down.get(),
            drain: spec.drain,
            sharing: spec.sharing,
            requests: spec.requests,
            probe: spec.probe,
            probe_timeout: spec.probe_timeout.get(),
            announce: spec.announce,
            status: PoolStatus {
                observed_generation: status.observed_generation.unwrap_or_default(),
                ipv4: status.ipv4,
                ipv6: status.ipv6,
                conditions: status.conditions.iter().map(Condition::from).collect(),
            },
        }
    }
}
