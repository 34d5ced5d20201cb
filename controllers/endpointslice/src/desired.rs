//! The endpoints that a Service should have.

use std::fmt;
use std::sync::Arc;

use fairlead_discovery::{PortResolver, Readiness, Terminating, addresses, hostname, may_be_endpoint};
use fairlead_objects::{Addresses, Family, Hints, Istr, Pod, PortSet};
use hashbrown::HashMap;

use crate::action::DesiredEndpoint;
use crate::facts::{Context, Facts};
use crate::scope::Scope;

/// A Pod that is left out because its Node is unknown; it is planned again when the Node appears.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingNode {
    /// Name of the Pod.
    pub pod: Istr,
    /// The Node that it names, if any.
    pub node: Option<Istr>,
}

impl fmt::Display for MissingNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "Pod {} is left out: its Node {node} does not exist", self.pod),
            None => write!(f, "Pod {} is left out: it is assigned to no Node", self.pod),
        }
    }
}

/// A Pod that is an endpoint in each family in which it has an address.
pub(crate) struct Candidate<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) hostname: Option<&'a Istr>,
    pub(crate) zone: Option<Istr>,
    pub(crate) readiness: Readiness,
}

/// The Pods that serve one set of ports. There is a group even if none of its Pods can be published, so that
/// its slices are emptied and not forgotten.
pub(crate) struct PortGroup<'a> {
    pub(crate) ports: PortSet,
    pub(crate) candidates: Vec<Candidate<'a>>,
}

/// What the slices of all families are made from.
pub(crate) struct Desired<'a> {
    /// In the order of their ports.
    pub(crate) groups: Vec<PortGroup<'a>>,
    /// In the order of their names.
    pub(crate) missing_nodes: Vec<MissingNode>,
}

impl<'a> Desired<'a> {
    /// The endpoints of a Service from its Pods and their Nodes.
    pub(crate) fn new(facts: &Facts<'a>) -> Self {
        let Facts { context: Context { service, node: find_node, .. }, pods, .. } = *facts;
        let mut resolver = PortResolver::new(service);
        let mut groups: Vec<PortGroup<'a>> = Vec::new();
        let mut group_of: HashMap<PortSet, usize> = HashMap::new();
        let mut missing_nodes = Vec::new();
        for pod in pods.iter().filter(|pod| may_be_endpoint(pod, Terminating::Included)) {
            let ports = resolver.resolve(pod);
            let group = *group_of.entry(ports).or_insert_with_key(|ports| {
                groups.push(PortGroup { ports: ports.clone(), candidates: Vec::new() });
                groups.len() - 1
            });
            let node = pod.node.as_ref().and_then(find_node);
            if node.is_none() && !service.publish_not_ready {
                missing_nodes.push(MissingNode { pod: pod.key.name.clone(), node: pod.node.clone() });
                continue;
            }
            groups[group].candidates.push(Candidate {
                pod,
                hostname: hostname(pod, service),
                zone: node.and_then(|node| node.zone.clone()),
                readiness: Readiness::of(pod, service.publish_not_ready),
            });
        }
        groups.sort_by(|a, b| a.ports.cmp(&b.ports));
        missing_nodes.sort();
        Self { groups, missing_nodes }
    }

    /// Is there a group with these ports?
    pub(crate) fn has_group(&self, ports: &PortSet) -> bool {
        self.groups.binary_search_by(|group| group.ports.cmp(ports)).is_ok()
    }

    /// Adds a group whose Pods are all elsewhere.
    pub(crate) fn add_group(&mut self, ports: &PortSet) {
        if let Err(at) = self.groups.binary_search_by(|group| group.ports.cmp(ports)) {
            self.groups.insert(at, PortGroup { ports: ports.clone(), candidates: Vec::new() });
        }
    }
}

/// An endpoint that one family should have.
pub(crate) struct Wanted<'g> {
    pub(crate) candidate: &'g Candidate<'g>,
    pub(crate) addresses: Addresses,
}

impl Wanted<'_> {
    /// The endpoint to write.
    pub(crate) fn endpoint(&self, hints: Option<Arc<Hints>>) -> DesiredEndpoint {
        let Candidate { pod, hostname, zone, readiness } = self.candidate;
        DesiredEndpoint {
            addresses: self.addresses.clone(),
            readiness: *readiness,
            hostname: hostname.cloned(),
            node: pod.node.clone(),
            zone: zone.clone(),
            pod: pod.key.name.clone(),
            pod_uid: pod.uid.clone(),
            hints,
        }
    }
}

/// The endpoints that one family should have under one set of ports, found by the name of their Pod: a Pod is
/// one endpoint per family, and two Pods with one address are two.
pub(crate) struct WantedSet<'g> {
    pub(crate) wanted: Vec<Wanted<'g>>,
    by_pod: HashMap<&'g Istr, usize>,
}

impl<'g> WantedSet<'g> {
    /// The endpoints of `group` in `family`, as far as they are in `scope`.
    pub(crate) fn new(group: &'g PortGroup<'_>, family: Family, scope: &Scope) -> Self {
        let mut wanted = Vec::with_capacity(group.candidates.len());
        let mut by_pod = HashMap::with_capacity(group.candidates.len());
        for candidate in &group.candidates {
            if scope.has(&candidate.pod.key.name, family)
                && let Some(addresses) = addresses(candidate.pod, family)
            {
                by_pod.insert(&candidate.pod.key.name, wanted.len());
                wanted.push(Wanted { candidate, addresses });
            }
        }
        Self { wanted, by_pod }
    }

    pub(crate) fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Where in `wanted` the endpoint of this Pod is.
    pub(crate) fn position(&self, pod: &Istr) -> Option<usize> {
        self.by_pod.get(pod).copied()
    }
}
