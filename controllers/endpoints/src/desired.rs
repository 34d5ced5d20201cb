//! What the Endpoints object of a Service should be.

use fairlead_discovery::names::{OVER_CAPACITY, TRUNCATED};
use fairlead_discovery::subsets::{self, Offer};
use fairlead_discovery::{PortResolver, Readiness, Terminating, hostname, may_be_endpoint};
use fairlead_objects::{
    ClusterIp, EndpointAddress, EndpointIp, EndpointSubset, Endpoints, Family, Istr, Labels, ObjectKey, Pod,
    Service, TargetRef,
};
use jiff::Timestamp;

use crate::capacity::{Overflow, truncate};
use crate::labels::{endpoints_labels, labels_differ};
use crate::plan::Facts;

/// The complete content of an Endpoints object.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Namespace and name: those of the Service.
    pub key: ObjectKey,
    /// Labels.
    pub labels: Labels,
    /// Subsets as they are written.
    pub subsets: Vec<EndpointSubset>,
    /// How much more there is than the object holds, if it does not hold all.
    pub overflow: Option<Overflow>,
    /// When the change happened that calls for the write, if it is known.
    pub trigger_time: Option<Timestamp>,
}

impl Desired {
    /// From the Pods of the Service.
    pub(crate) fn new(facts: &Facts<'_>, trigger_time: Option<Timestamp>) -> Self {
        let service = facts.service;
        let mut subsets = subsets::pack(offers(service, facts.pods), &service.key.namespace);
        let overflow = truncate(&mut subsets);
        let labels = endpoints_labels(service);
        Self { key: service.key.clone(), labels, subsets, overflow, trigger_time }
    }

    /// The value of the annotation that says whether addresses are missing.
    pub(crate) fn over_capacity(&self) -> Option<&'static str> {
        self.overflow.map(|_| TRUNCATED)
    }

    /// Is `current` as it should be? Orders do not count, and neither do the trigger time and annotations of others.
    ///
    /// Upstream compares with what there would be without the limit, and so writes an object that is over capacity again
    /// at every sync; here it is compared with what is written.
    pub(crate) fn is_met_by(&self, current: &Endpoints) -> bool {
        !labels_differ(&current.labels, &self.labels)
            && current.annotations.get(OVER_CAPACITY).map(Istr::as_str) == self.over_capacity()
            && self.has_subsets(&current.subsets)
    }

    fn has_subsets(&self, current: &[EndpointSubset]) -> bool {
        // What was cut off is no longer canonical: ports that differed in what is gone belong together.
        subsets::are_equal(current, &self.subsets)
            || (self.overflow.is_some()
                && subsets::are_equal(current, &subsets::repack(&self.subsets, &self.key.namespace)))
    }
}

/// What the Pods offer as endpoints of the Service.
fn offers<'a>(service: &'a Service, pods: &'a [std::sync::Arc<Pod>]) -> impl Iterator<Item = Offer> {
    let terminating = if service.publish_not_ready { Terminating::Included } else { Terminating::Excluded };
    // Only a Service that is headless on purpose may do without ports.
    let portless = service.ports.is_empty() && service.cluster_ip == ClusterIp::None;
    let mut resolver = PortResolver::new(service);
    pods.iter().filter(move |pod| may_be_endpoint(pod, terminating)).filter_map(move |pod| {
        let ports = resolver.resolve(pod);
        if ports.is_empty() && !portless {
            return None;
        }
        let ready = Readiness::of(pod, service.publish_not_ready).ready;
        Some(Offer { address: address(service, pod)?, ports, ready })
    })
}

/// The one address of a Pod in the Endpoints object. Its Node is always written, even if there is none.
fn address(service: &Service, pod: &Pod) -> Option<EndpointAddress> {
    let family = family(service, pod)?;
    let ip = pod.addresses.iter().find(|address| Family::of(**address) == family)?;
    Some(EndpointAddress {
        ip: EndpointIp::Canonical(*ip),
        hostname: hostname(pod, service).cloned(),
        node: Some(pod.node.clone().unwrap_or_default()),
        target: Some(TargetRef::Pod { name: pod.key.name.clone(), uid: pod.uid.clone() }),
    })
}

/// Endpoints have one family: the Service's first. Watch events of Services that are older than dual stack may lack that
/// list (kubernetes/kubernetes issue 138735); then the cluster IP decides, and without one each Pod's first address.
fn family(service: &Service, pod: &Pod) -> Option<Family> {
    service.ip_families.first().copied().or_else(|| match service.cluster_ip {
        ClusterIp::Address(address) => Some(Family::of(address)),
        ClusterIp::None | ClusterIp::Unset => pod.addresses.first().map(|address| Family::of(*address)),
    })
}
