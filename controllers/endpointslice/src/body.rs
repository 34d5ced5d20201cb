//! The objects that are sent to the API server.
//!
//! An update is complete: what it leaves out is gone. It consists of what is desired and of what others have
//! put on the slice: annotations, finalizers and owner references. That holds for recycled slices as well,
//! where upstream wipes them (kubernetes/kubernetes issues 98379 and 108267). Every update names the version
//! that was observed, so that it never overwrites what was not seen.

use std::collections::BTreeMap;

use fairlead_discovery::names::TRIGGER_TIME;
use fairlead_discovery::trigger_time_text;
use fairlead_objects::{Addresses, Hints, Istr, Labels, OwnerReference, PortSet, Slice};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

use crate::action::{DesiredEndpoint, DesiredSlice, Envelope};
use crate::facts::refers_to;

impl DesiredSlice {
    /// The body that creates the slice. The API server completes the name.
    #[must_use]
    pub fn create_body(&self) -> api::EndpointSlice {
        let envelope = &*self.envelope;
        let metadata = meta::ObjectMeta {
            generate_name: Some(format!("{}-", envelope.service)),
            owner_references: Some(vec![own_reference(envelope, true)]),
            annotations: annotations(envelope, &Labels::default()),
            ..self.metadata()
        };
        self.body(metadata)
    }

    /// The body that makes `current` the desired slice.
    #[must_use]
    pub fn update_body(&self, current: &Slice) -> api::EndpointSlice {
        let finalizers: Vec<_> = current.finalizers.iter().map(ToString::to_string).collect();
        let version = current.version.to_string();
        let metadata = meta::ObjectMeta {
            name: Some(current.key.name.to_string()),
            generate_name: current.generate_name.as_ref().map(ToString::to_string),
            resource_version: Some(version).filter(|version| !version.is_empty()),
            owner_references: Some(owner_references(&self.envelope, current)),
            annotations: annotations(&self.envelope, &current.annotations),
            finalizers: Some(finalizers).filter(|list| !list.is_empty()),
            ..self.metadata()
        };
        self.body(metadata)
    }

    /// What every body says of the object.
    fn metadata(&self) -> meta::ObjectMeta {
        meta::ObjectMeta {
            namespace: Some(self.envelope.namespace.to_string()),
            labels: Some(map(&self.envelope.labels)),
            ..meta::ObjectMeta::default()
        }
    }

    fn body(&self, metadata: meta::ObjectMeta) -> api::EndpointSlice {
        api::EndpointSlice {
            metadata,
            address_type: self.family.as_str().to_owned(),
            ports: Some(ports(&self.ports)),
            endpoints: self.endpoints.iter().map(|it| endpoint(it, &self.envelope)).collect(),
        }
    }
}

fn map(pairs: &Labels) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// Those of the slice, with the trigger time of this write; without one if it is not known, because an old one
/// would be counted as the latency of this write.
fn annotations(envelope: &Envelope, current: &Labels) -> Option<BTreeMap<String, String>> {
    let mut annotations = map(current);
    annotations.remove(TRIGGER_TIME);
    if let Some(time) = envelope.trigger_time {
        annotations.insert(TRIGGER_TIME.to_owned(), trigger_time_text(time));
    }
    Some(annotations).filter(|annotations| !annotations.is_empty())
}

fn own_reference(envelope: &Envelope, controller: bool) -> meta::OwnerReference {
    meta::OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Service".to_owned(),
        name: envelope.service.to_string(),
        uid: envelope.service_uid.to_string(),
        controller: Some(controller),
        block_owner_deletion: Some(true),
    }
}

/// The reference to the Service, then those that others have put there. The API admits one controller; if
/// somebody else claims to be it, the Service is an ordinary owner, which is enough to be garbage collected.
fn owner_references(envelope: &Envelope, current: &Slice) -> Vec<meta::OwnerReference> {
    let foreign: Vec<&OwnerReference> =
        current.owners.iter().filter(|owner| !refers_to(owner, &envelope.service_uid)).collect();
    let controlled = foreign.iter().any(|owner| owner.controller == Some(true));
    std::iter::once(own_reference(envelope, !controlled))
        .chain(foreign.into_iter().map(|owner| meta::OwnerReference {
            api_version: owner.api_version.to_string(),
            kind: owner.kind.to_string(),
            name: owner.name.to_string(),
            uid: owner.uid.to_string(),
            controller: owner.controller,
            block_owner_deletion: owner.block_owner_deletion,
        }))
        .collect()
}

fn ports(ports: &PortSet) -> Vec<api::EndpointPort> {
    ports
        .iter()
        .map(|port| api::EndpointPort {
            name: port.name.as_ref().map(ToString::to_string),
            protocol: port.protocol.map(|protocol| protocol.as_str().to_owned()),
            port: port.port,
            app_protocol: port.app_protocol.as_ref().map(ToString::to_string),
        })
        .collect()
}

fn endpoint(endpoint: &DesiredEndpoint, envelope: &Envelope) -> api::Endpoint {
    let text = |text: &Option<Istr>| text.as_ref().map(ToString::to_string);
    api::Endpoint {
        addresses: match &endpoint.addresses {
            Addresses::One(address) => vec![address.to_string()],
            Addresses::Texts(texts) => texts.iter().map(ToString::to_string).collect(),
        },
        conditions: Some(api::EndpointConditions {
            ready: Some(endpoint.readiness.ready),
            serving: Some(endpoint.readiness.serving),
            terminating: Some(endpoint.readiness.terminating),
        }),
        deprecated_topology: None,
        hints: endpoint.hints.as_deref().map(hints),
        hostname: text(&endpoint.hostname),
        node_name: text(&endpoint.node),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: Some(envelope.namespace.to_string()),
            name: Some(endpoint.pod.to_string()),
            uid: Some(endpoint.pod_uid.to_string()),
            ..ObjectReference::default()
        }),
        zone: text(&endpoint.zone),
    }
}

fn hints(hints: &Hints) -> api::EndpointHints {
    let zones: Vec<_> = hints.zones.iter().map(|zone| api::ForZone { name: zone.to_string() }).collect();
    let nodes: Vec<_> = hints.nodes.iter().map(|node| api::ForNode { name: node.to_string() }).collect();
    api::EndpointHints {
        for_zones: Some(zones).filter(|list| !list.is_empty()),
        for_nodes: Some(nodes).filter(|list| !list.is_empty()),
    }
}
