//! Endpoints as observed.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;

use crate::record::{Record, Resource};
use crate::slice::target;
use crate::{Istr, Labels, ObjectKey, OwnerReference, PortSet, ResourceVersion, Slice, TargetRef, Uid};

/// An address as it is written in an Endpoints object. The API server does not make it canonical.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EndpointIp {
    /// Written canonically: what the controllers make.
    Canonical(IpAddr),
    /// As it was written, in any other way, or no address at all.
    Text(Istr),
}

impl From<&str> for EndpointIp {
    fn from(text: &str) -> Self {
        match text.parse::<IpAddr>() {
            Ok(address) if address.to_canonical().to_string() == text => Self::Canonical(address),
            _ => Self::Text(text.into()),
        }
    }
}

/// One address of a subset.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointAddress {
    /// The address.
    pub ip: EndpointIp,
    /// Host name for DNS.
    pub hostname: Option<Istr>,
    /// Node. Absent and empty are different values.
    pub node: Option<Istr>,
    /// What it stands for.
    pub target: Option<TargetRef>,
}

/// A part of an Endpoints object: all of its addresses have all of its ports.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct EndpointSubset {
    /// Addresses that are ready, in the order in which they are stored.
    pub addresses: Box<[EndpointAddress]>,
    /// Addresses that are not ready, likewise.
    pub not_ready: Box<[EndpointAddress]>,
    /// Ports. An Endpoints port without a name or protocol says `Some("")` and TCP: the API knows no absence there.
    pub ports: PortSet,
}

/// An Endpoints object, with everything that a rewrite must preserve.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "wire::Endpoints")]
pub struct Endpoints {
    /// Namespace and name.
    pub key: ObjectKey,
    /// UID.
    pub uid: Uid,
    /// Version. There is no generation.
    pub version: ResourceVersion,
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
    /// Subsets in the order in which they are stored.
    pub subsets: Box<[EndpointSubset]>,
}

impl Endpoints {
    /// How many addresses there are; one that is in two subsets counts twice.
    #[must_use]
    pub fn address_count(&self) -> usize {
        self.subsets.iter().map(|subset| subset.addresses.len() + subset.not_ready.len()).sum()
    }
}

impl Record for Endpoints {
    const RESOURCE: Resource =
        Resource { group: "", version: "v1", kind: "Endpoints", plural: "endpoints", namespaced: true };

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

mod wire {
    //! The parts of the JSON that are read.

    use serde::Deserialize;

    use super::{Istr, Labels, ObjectKey, OwnerReference, PortSet, ResourceVersion, Slice, Uid, target};
    use crate::slice::ObjectRef;
    use crate::{EndpointPort, Protocol};

    #[derive(Deserialize)]
    pub(super) struct Endpoints {
        #[serde(default)]
        metadata: Metadata,
        subsets: Option<Vec<Subset>>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Metadata {
        namespace: Istr,
        name: Istr,
        uid: Uid,
        resource_version: ResourceVersion,
        deletion_timestamp: Option<serde::de::IgnoredAny>,
        labels: Labels,
        annotations: Labels,
        owner_references: Option<Vec<OwnerReference>>,
        finalizers: Option<Vec<Istr>>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Subset {
        addresses: Option<Vec<Address>>,
        not_ready_addresses: Option<Vec<Address>>,
        ports: Option<Vec<Port>>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Address {
        ip: Istr,
        hostname: Istr,
        node_name: Option<Istr>,
        target_ref: Option<ObjectRef>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Port {
        name: Istr,
        port: i32,
        protocol: Protocol,
        app_protocol: Option<Istr>,
    }

    fn addresses(list: Option<Vec<Address>>, namespace: &Istr) -> Box<[super::EndpointAddress]> {
        let address = |it: Address| super::EndpointAddress {
            ip: it.ip.as_str().into(),
            hostname: Some(it.hostname).filter(|name| !name.is_empty()),
            node: it.node_name,
            target: it.target_ref.map(|reference| target(reference, namespace)),
        };
        list.unwrap_or_default().into_iter().map(address).collect()
    }

    fn ports(list: Option<Vec<Port>>) -> PortSet {
        let port = |it: Port| EndpointPort {
            name: Some(it.name),
            protocol: Some(it.protocol),
            port: Some(it.port),
            app_protocol: it.app_protocol,
        };
        list.unwrap_or_default().into_iter().map(port).collect()
    }

    impl From<Endpoints> for super::Endpoints {
        fn from(Endpoints { metadata, subsets }: Endpoints) -> Self {
            let namespace = &metadata.namespace;
            let subset = |it: Subset| super::EndpointSubset {
                addresses: addresses(it.addresses, namespace),
                not_ready: addresses(it.not_ready_addresses, namespace),
                ports: ports(it.ports),
            };
            Self {
                subsets: subsets.unwrap_or_default().into_iter().map(subset).collect(),
                uid: metadata.uid,
                version: metadata.resource_version,
                terminating: metadata.deletion_timestamp.is_some(),
                labels: metadata.labels,
                annotations: metadata.annotations,
                owners: Slice::share_owners(metadata.owner_references.unwrap_or_default()),
                finalizers: Slice::share_finalizers(metadata.finalizers.unwrap_or_default()),
                key: ObjectKey { namespace: metadata.namespace, name: metadata.name },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(json: serde_json::Value) -> Endpoints {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn decodes_endpoints_of_kube_controller_manager() {
        let endpoints = decode(serde_json::json!({
            "metadata": {"namespace": "shop", "name": "web", "uid": "e1", "resourceVersion": "77",
                "labels": {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}, "managedFields": [{}]},
            "subsets": [{
                "addresses": [{"ip": "10.244.0.5", "hostname": "web-0", "nodeName": "n1",
                    "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-0", "uid": "p0"}}],
                "notReadyAddresses": [{"ip": "10.244.0.6", "nodeName": ""}],
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP", "appProtocol": "dns"}]}]
        }));
        assert_eq!(endpoints.address_count(), 2);
        let subset = &endpoints.subsets[0];
        let address = &subset.addresses[0];
        assert_eq!(address.ip, EndpointIp::Canonical("10.244.0.5".parse().unwrap()));
        assert_eq!(address.target, Some(TargetRef::Pod { name: "web-0".into(), uid: "p0".into() }));
        assert_eq!((address.hostname.as_deref(), address.node.as_deref()), (Some("web-0"), Some("n1")));
        assert_eq!((&subset.not_ready[0].hostname, subset.not_ready[0].node.as_deref()), (&None, Some("")));
        let names: Vec<_> = subset.ports.iter().map(|port| port.name.as_deref()).collect();
        assert_eq!(names, [Some(""), Some("http")]);
    }

    #[test]
    fn addresses_are_kept_as_written() {
        for (text, is_canonical) in [
            ("10.0.0.1", true),
            ("2001:db8::1", true),
            ("010.0.0.1", false),
            ("2001:DB8::1", false),
            ("::ffff:10.0.0.1", false),
            ("example", false),
            ("", false),
        ] {
            assert_eq!(matches!(EndpointIp::from(text), EndpointIp::Canonical(_)), is_canonical, "{text}");
        }
    }

    #[test]
    fn null_lists_are_empty() {
        assert!(decode(serde_json::json!({"subsets": null})).subsets.is_empty());
        let empty = decode(serde_json::json!({"subsets": [{"addresses": null, "ports": null}]}));
        assert_eq!(*empty.subsets, [EndpointSubset::default()]);
    }
}
