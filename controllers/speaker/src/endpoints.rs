//! On which nodes Services have endpoints that can be used.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use fairlead_discovery::names::SERVICE_NAME;
use fairlead_layer2::NodeId;
use fairlead_objects::{Istr, ObjectKey, Record, Resource, ResourceVersion};
use serde::Deserialize;
use smallvec::SmallVec;

/// What a speaker needs of an `EndpointSlice`: not the endpoints, but their nodes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "fairlead_objects::Slice")]
pub struct Slice {
    /// Namespace and name.
    pub key: ObjectKey,
    /// Version.
    pub version: ResourceVersion,
    /// The Service that it is of; empty if it is of none.
    pub service: Istr,
    /// Nodes of endpoints that are ready.
    pub ready: Box<[NodeId]>,
    /// Nodes of endpoints that still answer while they are terminating.
    pub serving: Box<[NodeId]>,
}

impl Slice {
    /// Namespace and name of its Service.
    #[must_use]
    pub fn service(&self) -> ObjectKey {
        ObjectKey { namespace: self.key.namespace.clone(), name: self.service.clone() }
    }
}

impl Record for Slice {
    const RESOURCE: Resource = fairlead_objects::Slice::RESOURCE;

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn version(&self) -> &ResourceVersion {
        &self.version
    }

    fn same_facts(&self, other: &Self) -> bool {
        self.service == other.service && self.ready == other.ready && self.serving == other.serving
    }
}

impl From<fairlead_objects::Slice> for Slice {
    fn from(slice: fairlead_objects::Slice) -> Self {
        let (mut ready, mut serving) = (Vec::new(), Vec::new());
        for endpoint in &slice.endpoints {
            let Some(node) = &endpoint.node else { continue };
            let conditions = endpoint.conditions;
            let terminating = conditions.terminating.unwrap_or(false);
            // Absent conditions are to be read as true.
            let is_ready = conditions.ready.unwrap_or(true);
            if is_ready && !terminating {
                ready.push(NodeId::of(node));
            } else if terminating && conditions.serving.unwrap_or(is_ready) {
                serving.push(NodeId::of(node));
            }
        }
        let boxed = |mut nodes: Vec<NodeId>| -> Box<[NodeId]> {
            nodes.sort_unstable();
            nodes.dedup();
            nodes.into()
        };
        Self {
            service: slice.labels.get(SERVICE_NAME).cloned().unwrap_or_default(),
            key: slice.key,
            version: slice.version,
            ready: boxed(ready),
            serving: boxed(serving),
        }
    }
}

/// The slices of Services, of which most have one.
#[derive(Debug, Default)]
pub struct Endpoints(HashMap<ObjectKey, SmallVec<[Arc<Slice>; 1]>>);

impl Endpoints {
    /// A slice changed; of a slice that is gone there is only its last state. The Services that this concerns.
    pub fn change(&mut self, old: Option<&Arc<Slice>>, new: Option<&Arc<Slice>>) -> Vec<ObjectKey> {
        let mut concerned = Vec::new();
        if let Some(old) = old {
            let service = old.service();
            if let Some(slices) = self.0.get_mut(&service) {
                slices.retain(|slice| slice.key != old.key);
                if slices.is_empty() {
                    self.0.remove(&service);
                }
            }
            concerned.push(service);
        }
        if let Some(new) = new {
            let service = new.service();
            let slices = self.0.entry(service.clone()).or_default();
            slices.retain(|slice| slice.key != new.key);
            slices.push(Arc::clone(new));
            if !concerned.contains(&service) {
                concerned.push(service);
            }
        }
        concerned
    }

    /// Forgets the slices of a Service.
    pub fn forget(&mut self, service: &ObjectKey) {
        self.0.remove(service);
    }

    /// The nodes of the endpoints of a Service that new connections may be sent to: those that are ready; if none is, those
    /// that still answer while they are terminating (KEP-1669). A node whose last endpoint ends so hands over while that
    /// endpoint still works.
    #[must_use]
    pub fn nodes(&self, service: &ObjectKey) -> HashSet<NodeId> {
        let slices = || self.0.get(service).into_iter().flatten();
        let ready: HashSet<NodeId> = slices().flat_map(|slice| slice.ready.iter().copied()).collect();
        if ready.is_empty() {
            return slices().flat_map(|slice| slice.serving.iter().copied()).collect();
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn slice(name: &str, service: &str, endpoints: &[(Option<&str>, serde_json::Value)]) -> Arc<Slice> {
        let endpoints: Vec<_> = endpoints
            .iter()
            .map(|(node, conditions)| {
                json!({"addresses": ["10.0.0.1"], "nodeName": node, "conditions": conditions})
            })
            .collect();
        let object = json!({
            "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "endpoints": endpoints});
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn ids(nodes: &[&str]) -> HashSet<NodeId> {
        nodes.iter().map(|node| NodeId::of(node)).collect()
    }

    #[test]
    fn ready_endpoints_count_and_those_that_end_only_if_there_are_no_others() {
        let ready = || json!({"ready": true, "serving": true, "terminating": false});
        let unready = || json!({"ready": false, "serving": false, "terminating": false});
        let ending = || json!({"ready": false, "serving": true, "terminating": true});
        let ended = || json!({"ready": false, "serving": false, "terminating": true});
        let one = |endpoints: &[_]| vec![slice("web-1", "web", endpoints)];
        for (about, slices, expected) in [
            ("no slices", vec![], &[][..]),
            ("ready", one(&[(Some("a"), ready()), (Some("b"), unready())]), &["a"]),
            (
                "of all slices",
                vec![
                    slice("web-1", "web", &[(Some("a"), ready())]),
                    slice("web-2", "web", &[(Some("b"), ready())]),
                ],
                &["a", "b"],
            ),
            ("without conditions", one(&[(Some("a"), json!({}))]), &["a"]),
            ("without a node", one(&[(None, ready())]), &[]),
            ("none is ready", one(&[(Some("a"), ending()), (Some("b"), ended())]), &["a"]),
            ("another is ready", one(&[(Some("a"), ending()), (Some("b"), ready())]), &["b"]),
            (
                "ending, and ready for those who want it so",
                one(&[(Some("a"), json!({"ready": true, "serving": true, "terminating": true}))]),
                &["a"],
            ),
            ("none works", one(&[(Some("a"), unready()), (Some("b"), ended())]), &[]),
            ("written before conditions were split", one(&[(Some("a"), json!({"ready": true}))]), &["a"]),
        ] {
            let mut endpoints = Endpoints::default();
            for slice in &slices {
                assert_eq!(endpoints.change(None, Some(slice)), [ObjectKey::new("shop", "web")]);
            }
            assert_eq!(endpoints.nodes(&ObjectKey::new("shop", "web")), ids(expected), "{about}");
        }
    }

    #[test]
    fn slices_change_and_move_and_go() {
        let (web, api) = (ObjectKey::new("shop", "web"), ObjectKey::new("shop", "api"));
        let ready = json!({"ready": true});
        let on_a = slice("s", "web", &[(Some("a"), ready.clone())]);
        let on_b = slice("s", "web", &[(Some("b"), ready.clone())]);
        let of_api = slice("s", "api", &[(Some("b"), ready)]);
        assert!(!on_a.same_facts(&on_b) && !on_b.same_facts(&of_api) && on_a.same_facts(&on_a));
        let mut endpoints = Endpoints::default();
        endpoints.change(None, Some(&on_a));
        assert_eq!(endpoints.change(Some(&on_a), Some(&on_b)), std::slice::from_ref(&web));
        assert_eq!(endpoints.nodes(&web), ids(&["b"]));
        assert_eq!(endpoints.change(Some(&on_b), Some(&of_api)), [web.clone(), api.clone()]);
        assert_eq!((endpoints.nodes(&web), endpoints.nodes(&api)), (ids(&[]), ids(&["b"])));
        assert_eq!(endpoints.change(Some(&of_api), None), std::slice::from_ref(&api));
        assert!(endpoints.0.is_empty());
        endpoints.change(None, Some(&on_a));
        endpoints.forget(&web);
        assert_eq!(endpoints.nodes(&web), ids(&[]));
    }
}
