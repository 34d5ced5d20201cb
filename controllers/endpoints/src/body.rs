//! The objects that are sent to the API server.
//!
//! An update is complete: what it leaves out is gone. It consists of what is desired and of what others have put on the
//! object: annotations, finalizers and owner references. It names the version that was observed, so that it never
//! overwrites what was not seen.

use std::collections::BTreeMap;

use fairlead_discovery::names::{OVER_CAPACITY, TRIGGER_TIME};
use fairlead_discovery::{subsets, trigger_time_text};
use fairlead_objects::{
    EndpointAddress, EndpointIp, EndpointPort, EndpointSubset, Endpoints, Labels, OwnerReference, TargetRef,
};
use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

use crate::desired::Desired;

impl Desired {
    /// The body that creates the object.
    #[must_use]
    pub fn create_body(&self) -> api::Endpoints {
        self.body(meta::ObjectMeta { annotations: self.annotations(&Labels::default()), ..self.metadata() })
    }

    /// The body that makes `current` the desired object.
    #[must_use]
    pub fn update_body(&self, current: &Endpoints) -> api::Endpoints {
        let finalizers: Vec<_> = current.finalizers.iter().map(ToString::to_string).collect();
        let owners: Vec<_> = current.owners.iter().map(owner).collect();
        let version = current.version.to_string();
        self.body(meta::ObjectMeta {
            // A condition of its own: without it an update of Endpoints that are gone would create them.
            uid: Some(current.uid.to_string()).filter(|uid| !uid.is_empty()),
            resource_version: Some(version).filter(|version| !version.is_empty()),
            annotations: self.annotations(&current.annotations),
            finalizers: Some(finalizers).filter(|list| !list.is_empty()),
            owner_references: Some(owners).filter(|list| !list.is_empty()),
            ..self.metadata()
        })
    }

    /// What every body says of the object.
    fn metadata(&self) -> meta::ObjectMeta {
        meta::ObjectMeta {
            namespace: Some(self.key.namespace.to_string()),
            name: Some(self.key.name.to_string()),
            labels: Some(map(&self.labels)),
            ..meta::ObjectMeta::default()
        }
    }

    fn body(&self, metadata: meta::ObjectMeta) -> api::Endpoints {
        let subsets: Vec<_> = self.subsets.iter().map(|it| self.subset(it)).collect();
        api::Endpoints { metadata, subsets: Some(subsets).filter(|list| !list.is_empty()) }
    }

    /// Those of the object, with the trigger time of this write; without one if it is not known, because an old one would
    /// be counted as the latency of this write.
    fn annotations(&self, current: &Labels) -> Option<BTreeMap<String, String>> {
        let mut annotations = map(current);
        let trigger_time = self.trigger_time.map(trigger_time_text);
        let over_capacity = self.over_capacity().map(ToOwned::to_owned);
        for (key, value) in [(TRIGGER_TIME, trigger_time), (OVER_CAPACITY, over_capacity)] {
            match value {
                Some(value) => annotations.insert(key.to_owned(), value),
                None => annotations.remove(key),
            };
        }
        Some(annotations).filter(|annotations| !annotations.is_empty())
    }

    fn subset(&self, subset: &EndpointSubset) -> api::EndpointSubset {
        let addresses = |list: &[EndpointAddress]| -> Option<Vec<_>> {
            (!list.is_empty()).then(|| list.iter().map(|it| self.address(it)).collect())
        };
        let ports: Vec<_> = subsets::ports_in_order(&subset.ports).into_iter().map(port).collect();
        api::EndpointSubset {
            addresses: addresses(&subset.addresses),
            not_ready_addresses: addresses(&subset.not_ready),
            ports: Some(ports).filter(|list| !list.is_empty()),
        }
    }

    fn address(&self, address: &EndpointAddress) -> api::EndpointAddress {
        api::EndpointAddress {
            hostname: address.hostname.as_ref().map(ToString::to_string),
            ip: match &address.ip {
                EndpointIp::Canonical(ip) => ip.to_string(),
                EndpointIp::Text(text) => text.to_string(),
            },
            node_name: address.node.as_ref().map(ToString::to_string),
            target_ref: address.target.as_ref().and_then(|it| self.target(it)),
        }
    }

    /// What this controller wants stands for Pods.
    fn target(&self, target: &TargetRef) -> Option<api::ObjectReference> {
        let TargetRef::Pod { name, uid } = target else { return None };
        Some(api::ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: Some(self.key.namespace.to_string()),
            name: Some(name.to_string()),
            uid: Some(uid.to_string()),
            ..api::ObjectReference::default()
        })
    }
}

fn map(pairs: &Labels) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn owner(owner: &OwnerReference) -> meta::OwnerReference {
    meta::OwnerReference {
        api_version: owner.api_version.to_string(),
        kind: owner.kind.to_string(),
        name: owner.name.to_string(),
        uid: owner.uid.to_string(),
        controller: owner.controller,
        block_owner_deletion: owner.block_owner_deletion,
    }
}

fn port(port: &EndpointPort) -> api::EndpointPort {
    api::EndpointPort {
        // The API knows no absence of these two, and an empty name is left out.
        name: port.name.as_ref().filter(|name| !name.is_empty()).map(ToString::to_string),
        protocol: port.protocol.map(|protocol| protocol.as_str().to_owned()),
        port: port.port.unwrap_or_default(),
        app_protocol: port.app_protocol.as_ref().map(ToString::to_string),
    }
}
