//! What of a Service says something about its load-balancer address.

pub(crate) mod wire;

use std::net::IpAddr;

use jiff::Timestamp;
use smallvec::SmallVec;

use crate::{Istr, Labels, Protocol};

/// The annotations that [`LoadBalancer::annotations`] keeps; all others are dropped while decoding.
pub const ADDRESS_ANNOTATIONS: [&str; 12] = [
    "fairlead.dev/addresses",
    "fairlead.dev/pool",
    "fairlead.dev/sharing-key",
    "fairlead.dev/share-with-namespaces",
    "metallb.io/loadBalancerIPs",
    "metallb.io/address-pool",
    "metallb.io/allow-shared-ip",
    "metallb.io/ip-allocated-from-pool",
    "metallb.universe.tf/loadBalancerIPs",
    "metallb.universe.tf/address-pool",
    "metallb.universe.tf/allow-shared-ip",
    "metallb.universe.tf/ip-allocated-from-pool",
];

/// The condition that Fairlead keeps on Services of its class.
pub const LOAD_BALANCER_READY: &str = "fairlead.dev/LoadBalancerReady";

/// The load-balancer side of a Service. Services have one that are of type LoadBalancer, and those of other types on
/// which something of it is left: entries in `status.loadBalancer`, or the condition [`LOAD_BALANCER_READY`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LoadBalancer {
    /// Is `spec.type` LoadBalancer?
    pub wanted: bool,
    /// `spec.loadBalancerClass`.
    pub class: Option<Istr>,
    /// `spec.loadBalancerIP` as it is written; `None` if empty.
    pub requested_address: Option<Istr>,
    /// The annotations of [`ADDRESS_ANNOTATIONS`] that the Service has.
    pub annotations: Labels,
    /// Is `spec.externalTrafficPolicy` Local?
    pub local: bool,
    /// `spec.ipFamilyPolicy`.
    pub family_policy: FamilyPolicy,
    /// `spec.clusterIPs`, those that are addresses.
    pub cluster_ips: SmallVec<[IpAddr; 2]>,
    /// Protocol and number of each port of the Service.
    pub ports: Vec<(Protocol, u16)>,
    /// `metadata.generation`; 0 where the API server keeps none.
    pub generation: i64,
    /// `status.loadBalancer.ingress`, in its order.
    pub ingress: Vec<Ingress>,
    /// The condition [`LOAD_BALANCER_READY`] in `status.conditions`.
    pub condition: Option<ServiceCondition>,
}

/// `spec.ipFamilyPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum FamilyPolicy {
    /// One family; also where nothing is said.
    #[default]
    SingleStack,
    /// Two families if they can be had.
    PreferDualStack,
    /// Two families or nothing.
    RequireDualStack,
}

/// One entry of `status.loadBalancer.ingress`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// Where the load balancer is reached.
    pub at: IngressPoint,
    /// Is `ipMode` Proxy? It is VIP where nothing is said.
    pub proxy_mode: bool,
    /// Does it list ports? Fairlead never writes them.
    pub has_ports: bool,
}

/// Where a load balancer is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IngressPoint {
    /// `ip`.
    Address(IpAddr),
    /// `hostname`, or an `ip` that is none.
    Name(Istr),
}

/// The condition [`LOAD_BALANCER_READY`] of a Service, as it was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCondition {
    /// Is its status `True`?
    pub ready: bool,
    /// `reason`.
    pub reason: Istr,
    /// `message`; not interned, since hardly two are equal.
    pub message: Box<str>,
    /// `observedGeneration`; 0 if there is none.
    pub observed_generation: i64,
    /// `lastTransitionTime`.
    pub last_transition: Option<Timestamp>,
}

impl LoadBalancer {
    /// The addresses in `status.loadBalancer`, in their order.
    pub fn published(&self) -> impl Iterator<Item = IpAddr> {
        self.ingress.iter().filter_map(|entry| match entry.at {
            IngressPoint::Address(address) => Some(address),
            IngressPoint::Name(_) => None,
        })
    }
}
