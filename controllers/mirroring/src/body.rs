//! The objects that are sent to the API server.
//!
//! An update is complete: what it leaves out is gone. It consists of what is desired and of the finalizers and owner
//! references that others have put on the slice, also where a slice is used again (upstream wipes them). Labels and
//! annotations are those of the Endpoints and no others. Every update names the version that was observed, so that it
//! never overwrites what was not seen.

use std::collections::BTreeMap;

use fairlead_objects::{
    AddressType, Addresses, Endpoint, Istr, Labels, ObjectRef, OwnerReference, PortSet, Slice, TargetRef,
};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

use crate::action::{Action, DesiredSlice, Envelope};
use crate::facts::refers_to_name;

impl DesiredSlice {
    /// The body that creates the slice. The API server completes the name.
    #[must_use]
    pub fn create_body(&self) -> api::EndpointSlice {
        let metadata = meta::ObjectMeta {
            generate_name: Some(format!("{}-", self.envelope.endpoints)),
            owner_references: Some(vec![own_reference(&self.envelope, true)]),
            ..self.metadata()
        };
        self.body(metadata)
    }

    /// The body that makes `current` the desired slice.
    #[must_use]
    pub fn update_body(&self, current: &Slice) -> api::EndpointSlice {
        let metadata = meta::ObjectMeta {
            owner_references: Some(owner_references(&self.envelope, current)),
            labels: Some(map(&self.envelope.labels)),
            annotations: annotations(&self.envelope.annotations),
            ..kept(current)
        };
        self.body(metadata)
    }

    /// What every body says of the object.
    fn metadata(&self) -> meta::ObjectMeta {
        meta::ObjectMeta {
            namespace: Some(self.envelope.namespace.to_string()),
            labels: Some(map(&self.envelope.labels)),
            annotations: annotations(&self.envelope.annotations),
            ..meta::ObjectMeta::default()
        }
    }

    fn body(&self, metadata: meta::ObjectMeta) -> api::EndpointSlice {
        api::EndpointSlice {
            metadata,
            address_type: self.family.as_str().to_owned(),
            ports: Some(ports(&self.ports)),
            endpoints: self.endpoints.iter().map(|it| endpoint(it, &self.envelope.namespace)).collect(),
        }
    }
}

impl Action {
    /// The body that takes all endpoints out of `slice` and leaves it as it is otherwise.
    #[must_use]
    pub fn emptied_body(slice: &Slice) -> api::EndpointSlice {
        api::EndpointSlice {
            metadata: meta::ObjectMeta {
                owner_references: Some(slice.owners.iter().map(owner_reference).collect()),
                labels: Some(map(&slice.labels)),
                annotations: annotations(&slice.annotations),
                ..kept(slice)
            },
            address_type: match &slice.address_type {
                AddressType::Ip(family) => family.as_str().to_owned(),
                AddressType::Other(text) => text.to_string(),
            },
            ports: Some(ports(&slice.ports)),
            endpoints: Vec::new(),
        }
    }
}

/// What a rewrite of this slice always keeps of its metadata.
fn kept(current: &Slice) -> meta::ObjectMeta {
    let finalizers: Vec<_> = current.finalizers.iter().map(ToString::to_string).collect();
    let version = current.version.to_string();
    meta::ObjectMeta {
        namespace: Some(current.key.namespace.to_string()),
        name: Some(current.key.name.to_string()),
        generate_name: current.generate_name.as_ref().map(ToString::to_string),
        resource_version: Some(version).filter(|version| !version.is_empty()),
        finalizers: Some(finalizers).filter(|list| !list.is_empty()),
        ..meta::ObjectMeta::default()
    }
}

fn map(pairs: &Labels) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn annotations(pairs: &Labels) -> Option<BTreeMap<String, String>> {
    Some(map(pairs)).filter(|annotations| !annotations.is_empty())
}

fn own_reference(envelope: &Envelope, controller: bool) -> meta::OwnerReference {
    meta::OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Endpoints".to_owned(),
        name: envelope.endpoints.to_string(),
        uid: envelope.endpoints_uid.to_string(),
        controller: Some(controller),
        block_owner_deletion: Some(true),
    }
}

/// The reference to the Endpoints, then those that others have put there; former Endpoints of the name are no owners any
/// more. The API admits one controller; if somebody else claims to be it, the Endpoints are an ordinary owner, which is
/// enough to be garbage collected.
fn owner_references(envelope: &Envelope, current: &Slice) -> Vec<meta::OwnerReference> {
    let foreign: Vec<&OwnerReference> =
        current.owners.iter().filter(|owner| !refers_to_name(owner, &envelope.endpoints)).collect();
    let controlled = foreign.iter().any(|owner| owner.controller == Some(true));
    std::iter::once(own_reference(envelope, !controlled))
        .chain(foreign.into_iter().map(owner_reference))
        .collect()
}

fn owner_reference(owner: &OwnerReference) -> meta::OwnerReference {
    meta::OwnerReference {
        api_version: owner.api_version.to_string(),
        kind: owner.kind.to_string(),
        name: owner.name.to_string(),
        uid: owner.uid.to_string(),
        controller: owner.controller,
        block_owner_deletion: owner.block_owner_deletion,
    }
}

fn ports(ports: &PortSet) -> Vec<api::EndpointPort> {
    ports
        .iter()
        .map(|port| api::EndpointPort {
            name: text(port.name.as_ref()),
            protocol: port.protocol.map(|protocol| protocol.as_str().to_owned()),
            port: port.port,
            app_protocol: text(port.app_protocol.as_ref()),
        })
        .collect()
}

fn text(text: Option<&Istr>) -> Option<String> {
    text.map(ToString::to_string)
}

fn endpoint(endpoint: &Endpoint, namespace: &Istr) -> api::Endpoint {
    api::Endpoint {
        addresses: match &endpoint.addresses {
            Addresses::One(address) => vec![address.to_string()],
            Addresses::Texts(texts) => texts.iter().map(ToString::to_string).collect(),
        },
        conditions: Some(api::EndpointConditions {
            ready: endpoint.conditions.ready,
            ..api::EndpointConditions::default()
        }),
        hostname: text(endpoint.hostname.as_ref()),
        node_name: text(endpoint.node.as_ref()),
        target_ref: endpoint.target.as_ref().map(|target| reference(target, namespace)),
        ..api::Endpoint::default()
    }
}

fn reference(target: &TargetRef, namespace: &Istr) -> ObjectReference {
    match target {
        TargetRef::Pod { name, uid } => ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: Some(namespace.to_string()),
            name: Some(name.to_string()),
            uid: Some(uid.to_string()),
            ..ObjectReference::default()
        },
        TargetRef::Other(it) => {
            let ObjectRef { api_version, kind, namespace, name, uid, resource_version, field_path } = &**it;
            ObjectReference {
                api_version: text(api_version.as_ref()),
                field_path: text(field_path.as_ref()),
                kind: text(kind.as_ref()),
                name: text(name.as_ref()),
                namespace: text(namespace.as_ref()),
                resource_version: text(resource_version.as_ref()),
                uid: uid.as_ref().map(ToString::to_string),
            }
        }
    }
}
