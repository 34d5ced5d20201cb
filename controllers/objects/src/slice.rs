//! EndpointSlices as observed.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use crate::intern::Table;
use crate::record::{Record, Resource};
use crate::{Family, Istr, Labels, ObjectKey, PortSet, ResourceVersion, Uid};

/// `addressType`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AddressType {
    /// IPv4 or IPv6.
    Ip(Family),
    /// FQDN, or a type of another age.
    Other(Istr),
}

/// The addresses of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Addresses {
    /// One address, written canonically: what the controllers make.
    One(IpAddr),
    /// Anything else, as it was written, sorted.
    Texts(Arc<[Istr]>),
}

/// The three conditions of an endpoint; each may be absent, which is a value of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// Accepts new connections.
    pub ready: Option<bool>,
    /// Answers, terminating or not.
    pub serving: Option<bool>,
    /// Is being deleted.
    pub terminating: Option<bool>,
}

/// A reference to another object, as written by others.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectRef {
    /// API version of the object.
    pub api_version: Option<Istr>,
    /// Kind.
    pub kind: Option<Istr>,
    /// Namespace.
    pub namespace: Option<Istr>,
    /// Name.
    pub name: Option<Istr>,
    /// UID.
    pub uid: Option<Uid>,
    /// Version; plays no part in comparisons.
    pub resource_version: Option<Istr>,
    /// Part of the object.
    pub field_path: Option<Istr>,
}

/// What an endpoint stands for.
#[derive(Clone, Debug)]
pub enum TargetRef {
    /// A Pod of the slice's namespace, written as the controllers write it.
    Pod {
        /// Name.
        name: Istr,
        /// UID.
        uid: Uid,
    },
    /// Anything else.
    Other(Box<ObjectRef>),
}

impl PartialEq for TargetRef {
    /// `resourceVersion` plays no part: it changes without the Pod's endpoint changing.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pod { name, uid }, Self::Pod { name: other_name, uid: other_uid }) => {
                name == other_name && uid == other_uid
            }
            (Self::Other(this), Self::Other(other)) => {
                let plain = |it: &ObjectRef| ObjectRef { resource_version: None, ..it.clone() };
                plain(this) == plain(other)
            }
            _ => false,
        }
    }
}

/// Routing hints of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Hints {
    /// Zones that should use the endpoint.
    pub zones: Vec<Istr>,
    /// Nodes that should use the endpoint.
    pub nodes: Vec<Istr>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Addresses.
    pub addresses: Addresses,
    /// Conditions.
    pub conditions: Conditions,
    /// Host name for DNS.
    pub hostname: Option<Istr>,
    /// Node.
    pub node: Option<Istr>,
    /// Zone.
    pub zone: Option<Istr>,
    /// What it stands for.
    pub target: Option<TargetRef>,
    /// Hints.
    pub hints: Option<Arc<Hints>>,
}

/// An owner of a slice.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// API version.
    pub api_version: Istr,
    /// Kind.
    pub kind: Istr,
    /// Name.
    pub name: Istr,
    /// UID.
    pub uid: Uid,
    /// Is this the managing controller?
    pub controller: Option<bool>,
    /// Does the reference block foreground deletion of the owner?
    pub block_owner_deletion: Option<bool>,
}

static OWNERS: LazyLock<Table<Arc<[OwnerReference]>>> = LazyLock::new(Table::new);
static FINALIZERS: LazyLock<Table<Arc<[Istr]>>> = LazyLock::new(Table::new);
static HINTS: LazyLock<Table<Arc<Hints>>> = LazyLock::new(Table::new);

/// An EndpointSlice, with everything that a rewrite must preserve.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "wire::Slice")]
pub struct Slice {
    /// Namespace and name.
    pub key: ObjectKey,
    /// `metadata.generateName`, if any.
    pub generate_name: Option<Istr>,
    /// UID.
    pub uid: Uid,
    /// Version.
    pub version: ResourceVersion,
    /// Generation: grows when labels or anything but metadata change.
    pub generation: i64,
    /// Is `metadata.deletionTimestamp` set?
    pub terminating: bool,
    /// Labels.
    pub labels: Labels,
    /// Annotations.
    pub annotations: Labels,
    /// Owners.
    pub owners: Arc<[OwnerReference]>,
    /// Finalizers.
    pub finalizers: Arc<[Istr]>,
    /// Address type; immutable.
    pub address_type: AddressType,
    /// Ports.
    pub ports: PortSet,
    /// Endpoints in the order in which they are stored.
    pub endpoints: Box<[Endpoint]>,
}

impl Slice {
    /// Shares a list of owners between the slices that have the same one.
    #[must_use]
    pub fn share_owners(owners: Vec<OwnerReference>) -> Arc<[OwnerReference]> {
        OWNERS.intern(owners)
    }

    /// Shares a list of finalizers between the slices that have the same one.
    #[must_use]
    pub fn share_finalizers(finalizers: Vec<Istr>) -> Arc<[Istr]> {
        FINALIZERS.intern(finalizers)
    }

    /// Shares hints between the endpoints that have the same ones.
    #[must_use]
    pub fn share_hints(hints: Hints) -> Arc<Hints> {
        HINTS.intern(hints)
    }
}

impl Record for Slice {
    const RESOURCE: Resource = Resource {
        group: "discovery.k8s.io",
        version: "v1",
        kind: "EndpointSlice",
        plural: "endpointslices",
        namespaced: true,
    };

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn version(&self) -> &ResourceVersion {
        &self.version
    }

    /// Versions count: a later rewrite is conditional on the version that the cache shows.
    fn same_facts(&self, other: &Self) -> bool {
        self.uid == other.uid && self.version == other.version
    }
}

/// How a reference found in an object of `namespace` is kept.
pub(crate) fn target(reference: ObjectRef, namespace: &Istr) -> TargetRef {
    match reference {
        ObjectRef {
            api_version: None,
            kind: Some(kind),
            namespace: Some(place),
            name: Some(name),
            uid: Some(uid),
            resource_version: _,
            field_path: None,
        } if kind == "Pod" && place == *namespace => TargetRef::Pod { name, uid },
        other => TargetRef::Other(Box::new(other)),
    }
}

mod wire {
    //! The parts of the JSON that are read.

    use std::sync::Arc;

    use serde::Deserialize;

    use super::{
        AddressType, Addresses, Conditions, Family, Hints, Istr, Labels, ObjectKey, ObjectRef,
        OwnerReference, PortSet, ResourceVersion, Uid, target,
    };

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Slice {
        #[serde(default)]
        metadata: Metadata,
        #[serde(default)]
        address_type: Istr,
        #[serde(default)]
        ports: PortSet,
        endpoints: Option<Vec<Endpoint>>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Metadata {
        namespace: Istr,
        name: Istr,
        generate_name: Option<Istr>,
        uid: Uid,
        resource_version: ResourceVersion,
        generation: i64,
        deletion_timestamp: Option<serde::de::IgnoredAny>,
        labels: Labels,
        annotations: Labels,
        owner_references: Option<Vec<OwnerReference>>,
        finalizers: Option<Vec<Istr>>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Endpoint {
        addresses: Option<Vec<Istr>>,
        conditions: Conditions,
        hostname: Option<Istr>,
        node_name: Option<Istr>,
        zone: Option<Istr>,
        target_ref: Option<ObjectRef>,
        hints: Option<WireHints>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct WireHints {
        for_zones: Option<Vec<Named>>,
        for_nodes: Option<Vec<Named>>,
    }

    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Named {
        name: Istr,
    }

    fn addresses(mut texts: Vec<Istr>) -> Addresses {
        if let [text] = texts.as_slice()
            && let Ok(address) = text.parse::<std::net::IpAddr>()
            && *text == *address.to_string()
        {
            return Addresses::One(address);
        }
        texts.sort();
        Addresses::Texts(texts.into())
    }

    fn hints(hints: WireHints) -> Arc<Hints> {
        let names =
            |list: Option<Vec<Named>>| list.unwrap_or_default().into_iter().map(|it| it.name).collect();
        super::Slice::share_hints(Hints { zones: names(hints.for_zones), nodes: names(hints.for_nodes) })
    }

    impl From<Slice> for super::Slice {
        fn from(Slice { metadata, address_type, ports, endpoints }: Slice) -> Self {
            let namespace = &metadata.namespace;
            let endpoints = endpoints
                .unwrap_or_default()
                .into_iter()
                .map(|endpoint| super::Endpoint {
                    addresses: addresses(endpoint.addresses.unwrap_or_default()),
                    conditions: endpoint.conditions,
                    hostname: endpoint.hostname,
                    node: endpoint.node_name,
                    zone: endpoint.zone,
                    target: endpoint.target_ref.map(|it| target(it, namespace)),
                    hints: endpoint.hints.map(hints),
                })
                .collect();
            Self {
                generate_name: metadata.generate_name,
                uid: metadata.uid,
                version: metadata.resource_version,
                generation: metadata.generation,
                terminating: metadata.deletion_timestamp.is_some(),
                labels: metadata.labels,
                annotations: metadata.annotations,
                owners: super::Slice::share_owners(metadata.owner_references.unwrap_or_default()),
                finalizers: super::Slice::share_finalizers(metadata.finalizers.unwrap_or_default()),
                address_type: match address_type.as_str() {
                    "IPv4" => AddressType::Ip(Family::V4),
                    "IPv6" => AddressType::Ip(Family::V6),
                    _ => AddressType::Other(address_type),
                },
                ports,
                endpoints,
                key: ObjectKey { namespace: metadata.namespace, name: metadata.name },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(json: serde_json::Value) -> Slice {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn decodes_a_slice_of_kube_controller_manager() {
        let slice = decode(serde_json::json!({
            "metadata": {"namespace": "shop", "name": "web-x7k2p", "generateName": "web-", "uid": "u1", "resourceVersion": "77",
                "generation": 3, "labels": {"kubernetes.io/service-name": "web"},
                "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-02T03:04:05Z"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "s1", "controller": true, "blockOwnerDeletion": true}],
                "managedFields": [{}]},
            "addressType": "IPv4",
            "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
            "endpoints": [{"addresses": ["10.244.0.5"], "conditions": {"ready": true, "serving": true, "terminating": false},
                "nodeName": "n1", "zone": "a", "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-0", "uid": "p0"},
                "hints": {"forZones": [{"name": "a"}]}}]
        }));
        assert_eq!(slice.address_type, AddressType::Ip(Family::V4));
        assert_eq!(slice.generation, 3);
        assert_eq!(slice.owners[0].block_owner_deletion, Some(true));
        let endpoint = &slice.endpoints[0];
        assert_eq!(endpoint.addresses, Addresses::One("10.244.0.5".parse().unwrap()));
        assert_eq!(endpoint.target, Some(TargetRef::Pod { name: "web-0".into(), uid: "p0".into() }));
        assert_eq!(endpoint.hints.as_ref().unwrap().zones, ["a"]);
    }

    #[test]
    fn null_lists_are_empty() {
        let slice = decode(serde_json::json!({"addressType": "IPv6", "ports": null, "endpoints": null}));
        assert!(slice.ports.is_empty() && slice.endpoints.is_empty());
    }

    #[test]
    fn irregular_addresses_and_foreign_targets_are_kept_as_written() {
        let slice = decode(
            serde_json::json!({"metadata": {"namespace": "a"}, "addressType": "IPv4", "endpoints": [
            {"addresses": ["010.0.0.1"], "targetRef": {"kind": "Pod", "namespace": "b", "name": "p", "uid": "u"}},
            {"addresses": ["10.0.0.2", "10.0.0.1"], "targetRef": {"kind": "Pod", "namespace": "a", "name": "p", "uid": "u", "resourceVersion": "5"}},
            {}]}),
        );
        let texts = |list: &[&str]| Addresses::Texts(list.iter().copied().map(Istr::from).collect());
        assert_eq!(slice.endpoints[0].addresses, texts(&["010.0.0.1"]));
        assert!(matches!(slice.endpoints[0].target, Some(TargetRef::Other(_))));
        assert_eq!(slice.endpoints[1].addresses, texts(&["10.0.0.1", "10.0.0.2"]));
        assert_eq!(slice.endpoints[1].target, Some(TargetRef::Pod { name: "p".into(), uid: "u".into() }));
        assert_eq!(slice.endpoints[2].addresses, texts(&[]));
    }

    #[test]
    fn an_endpoint_stays_small() {
        // 150,000 endpoints are kept in memory; what a field adds, it adds 150,000 times.
        assert!(size_of::<Endpoint>() <= 104, "{} bytes", size_of::<Endpoint>());
    }
}
