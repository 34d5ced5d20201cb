//! Services.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::Deserialize;
use smallvec::SmallVec;

use crate::address::{Family, parse_lenient};
use crate::record::{Record, Resource};
use crate::{Istr, Labels, LoadBalancer, ObjectKey, Protocol, ResourceVersion, Uid};

/// `spec.type`, as far as endpoints care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ServiceType {
    /// ClusterIP, NodePort or LoadBalancer: endpoints are the Pods of the selector.
    #[default]
    Cluster,
    /// ExternalName: a DNS alias without endpoints.
    ExternalName,
}

/// `spec.clusterIP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ClusterIp {
    /// Empty: not allocated.
    #[default]
    Unset,
    /// `None`: headless on purpose.
    None,
    /// An address.
    Address(IpAddr),
}

/// `targetPort`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// A number, used as it is, even if no container declares it.
    Number(i32),
    /// The name of a container port, looked up in each Pod.
    Name(Istr),
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Name, empty for the unnamed port.
    pub name: Istr,
    /// Protocol.
    pub protocol: Protocol,
    /// Application protocol.
    pub app_protocol: Option<Istr>,
    /// Where the Pods listen; the Service's own port number where nothing is said.
    pub target: TargetPort,
}

/// `spec.trafficDistribution`: which endpoints clients should prefer (KEP-3015 and KEP-4444).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TrafficDistribution {
    /// Those of the same zone; the older name.
    PreferClose,
    /// Those of the same zone.
    PreferSameZone,
    /// Those on the same Node, then those of the same zone.
    PreferSameNode,
}

impl TrafficDistribution {
    /// The API's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreferClose => "PreferClose",
            Self::PreferSameZone => "PreferSameZone",
            Self::PreferSameNode => "PreferSameNode",
        }
    }
}

/// What endpoints need of a Service.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "wire::Service")]
pub struct Service {
    /// Namespace and name.
    pub key: ObjectKey,
    /// UID.
    pub uid: Uid,
    /// Version.
    pub version: ResourceVersion,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Is `metadata.deletionTimestamp` set?
    pub terminating: bool,
    /// Labels.
    pub labels: Labels,
    /// Type.
    pub kind: ServiceType,
    /// Selector. The API drops an empty one, so `None` also stands for `{}`.
    pub selector: Option<Labels>,
    /// Cluster IP.
    pub cluster_ip: ClusterIp,
    /// `spec.ipFamilies`; may be empty in watch events of Services older than dual stack.
    pub ip_families: SmallVec<[Family; 2]>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// `spec.publishNotReadyAddresses`.
    pub publish_not_ready: bool,
    /// Is topology-aware routing asked for? The annotation `service.kubernetes.io/topology-aware-hints` decides,
    /// or `service.kubernetes.io/topology-mode` where it is absent; `Auto` and `auto` mean yes.
    pub topology_auto: bool,
    /// `spec.trafficDistribution`; `None` also stands for values of another age.
    pub traffic_distribution: Option<TrafficDistribution>,
    /// The load-balancer side; `None` if there is nothing of it.
    pub load_balancer: Option<Box<LoadBalancer>>,
}

impl Record for Service {
    const RESOURCE: Resource =
        Resource { group: "", version: "v1", kind: "Service", plural: "services", namespaced: true };

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn version(&self) -> &ResourceVersion {
        &self.version
    }

    fn same_facts(&self, other: &Self) -> bool {
        // What is written carries the version that was observed, so the newest has to be known of Services whose load
        // balancer somebody may write.
        self.same_endpoint_facts(other)
            && self.load_balancer == other.load_balancer
            && (self.load_balancer.is_none() || self.version == other.version)
    }
}

impl Service {
    /// Do both say the same about endpoints? Whatever else a Service says is no change for the controllers of Endpoints
    /// and EndpointSlices.
    #[must_use]
    pub fn same_endpoint_facts(&self, other: &Self) -> bool {
        let Self {
            key,
            uid,
            version: _,
            created,
            terminating,
            labels,
            kind,
            selector,
            cluster_ip,
            ip_families,
            ports,
            publish_not_ready,
            topology_auto,
            traffic_distribution,
            load_balancer: _,
        } = self;
        *key == other.key
            && *uid == other.uid
            && *created == other.created
            && *terminating == other.terminating
            && *labels == other.labels
            && *kind == other.kind
            && *selector == other.selector
            && *cluster_ip == other.cluster_ip
            && *ip_families == other.ip_families
            && *ports == other.ports
            && *publish_not_ready == other.publish_not_ready
            && *topology_auto == other.topology_auto
            && *traffic_distribution == other.traffic_distribution
    }
}

mod wire {
    //! The parts of the JSON that are read.

    use serde::Deserialize;

    use super::{
        ClusterIp, Family, Istr, Labels, LoadBalancer, ObjectKey, Protocol, ResourceVersion, ServicePort,
        ServiceType, TargetPort, TrafficDistribution, Uid, parse_lenient,
    };
    use crate::load_balancer::wire::{Annotations, Ip, Parts, Status, TOPOLOGY_HINTS, TOPOLOGY_MODE};

    #[derive(Deserialize)]
    pub(super) struct Service {
        #[serde(default)]
        metadata: Metadata,
        #[serde(default)]
        spec: Spec,
        #[serde(default)]
        status: Status,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Metadata {
        namespace: Istr,
        name: Istr,
        uid: Uid,
        resource_version: ResourceVersion,
        creation_timestamp: Option<Istr>,
        deletion_timestamp: Option<serde::de::IgnoredAny>,
        labels: Labels,
        generation: i64,
        annotations: Annotations,
    }

    fn topology_auto(annotations: &Annotations) -> bool {
        let mode = annotations.get(TOPOLOGY_HINTS).or(annotations.get(TOPOLOGY_MODE));
        matches!(mode.map(Istr::as_str), Some("Auto" | "auto"))
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Spec {
        #[serde(rename = "type")]
        kind: Option<Istr>,
        selector: Option<Labels>,
        #[serde(rename = "clusterIP")]
        cluster_ip: Option<Istr>,
        ip_families: Option<Vec<Istr>>,
        ports: Option<Vec<Port>>,
        publish_not_ready_addresses: Option<bool>,
        traffic_distribution: Option<Istr>,
        load_balancer_class: Option<Istr>,
        #[serde(rename = "loadBalancerIP")]
        load_balancer_ip: Option<Istr>,
        external_traffic_policy: Option<Istr>,
        ip_family_policy: Option<Istr>,
        #[serde(rename = "clusterIPs")]
        cluster_ips: Option<Vec<Ip>>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Port {
        #[serde(default)]
        name: Istr,
        #[serde(default)]
        protocol: Protocol,
        app_protocol: Option<Istr>,
        #[serde(default)]
        port: i32,
        target_port: Option<Target>,
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Target {
        Number(i32),
        Name(Istr),
    }

    impl From<Service> for super::Service {
        fn from(Service { metadata, spec, status }: Service) -> Self {
            let ports = spec.ports.unwrap_or_default();
            let load_balancer = LoadBalancer::decode(Parts {
                wanted: spec.kind.as_deref() == Some("LoadBalancer"),
                status,
                class: spec.load_balancer_class,
                requested_address: spec.load_balancer_ip,
                annotations: &metadata.annotations,
                local: spec.external_traffic_policy.as_deref() == Some("Local"),
                family_policy: spec.ip_family_policy.as_deref(),
                cluster_ips: spec.cluster_ips,
                ports: ports.iter().map(|port| (port.protocol, port.port)),
                generation: metadata.generation,
            });
            Self {
                key: ObjectKey { namespace: metadata.namespace, name: metadata.name },
                uid: metadata.uid,
                version: metadata.resource_version,
                created: metadata.creation_timestamp.and_then(|text| text.parse().ok()),
                terminating: metadata.deletion_timestamp.is_some(),
                labels: metadata.labels,
                kind: match spec.kind.as_deref() {
                    Some("ExternalName") => ServiceType::ExternalName,
                    _ => ServiceType::Cluster,
                },
                selector: spec.selector.filter(|selector| !selector.is_empty()),
                cluster_ip: match spec.cluster_ip.as_deref() {
                    None | Some("") => ClusterIp::Unset,
                    Some("None") => ClusterIp::None,
                    Some(text) => parse_lenient(text).map_or(ClusterIp::Unset, ClusterIp::Address),
                },
                ip_families: spec
                    .ip_families
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|family| match family.as_str() {
                        "IPv4" => Some(Family::V4),
                        "IPv6" => Some(Family::V6),
                        _ => None,
                    })
                    .collect(),
                ports: ports
                    .into_iter()
                    .map(|port| ServicePort {
                        name: port.name,
                        protocol: port.protocol,
                        app_protocol: port.app_protocol,
                        target: match port.target_port {
                            Some(Target::Number(number)) if number != 0 => TargetPort::Number(number),
                            Some(Target::Name(name)) if !name.is_empty() => TargetPort::Name(name),
                            _ => TargetPort::Number(port.port),
                        },
                    })
                    .collect(),
                publish_not_ready: spec.publish_not_ready_addresses.unwrap_or_default(),
                topology_auto: topology_auto(&metadata.annotations),
                traffic_distribution: match spec.traffic_distribution.as_deref() {
                    Some("PreferClose") => Some(TrafficDistribution::PreferClose),
                    Some("PreferSameZone") => Some(TrafficDistribution::PreferSameZone),
                    Some("PreferSameNode") => Some(TrafficDistribution::PreferSameNode),
                    _ => None,
                },
                load_balancer,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(json: serde_json::Value) -> Service {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn decodes_what_endpoints_need() {
        let service = decode(serde_json::json!({
            "metadata": {"namespace": "shop", "name": "web", "uid": "u", "labels": {"a": "b"}, "creationTimestamp": "2026-01-02T03:04:05Z"},
            "spec": {"type": "NodePort", "selector": {"app": "web"}, "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4", "IPv6"],
                "publishNotReadyAddresses": true,
                "ports": [{"name": "http", "port": 80, "targetPort": "web", "appProtocol": "h2c"},
                          {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 5353},
                          {"name": "same", "port": 90}]}
        }));
        assert_eq!(service.selector.as_ref().unwrap().len(), 1);
        assert_eq!(service.cluster_ip, ClusterIp::Address("10.96.0.9".parse().unwrap()));
        assert_eq!(service.ip_families.as_slice(), [Family::V4, Family::V6]);
        assert_eq!(service.ports[0].target, TargetPort::Name("web".into()));
        assert_eq!(service.ports[0].app_protocol.as_deref(), Some("h2c"));
        assert_eq!(
            (service.ports[1].protocol, service.ports[1].target.clone()),
            (Protocol::Udp, TargetPort::Number(5353))
        );
        assert_eq!(service.ports[2].target, TargetPort::Number(90));
        assert!(service.publish_not_ready);
    }

    #[test]
    fn headless_external_and_selectorless_services() {
        assert_eq!(decode(serde_json::json!({"spec": {"clusterIP": "None"}})).cluster_ip, ClusterIp::None);
        assert_eq!(decode(serde_json::json!({"spec": {"clusterIP": ""}})).cluster_ip, ClusterIp::Unset);
        assert_eq!(
            decode(serde_json::json!({"spec": {"type": "ExternalName"}})).kind,
            ServiceType::ExternalName
        );
        assert_eq!(decode(serde_json::json!({"spec": {"selector": {}}})).selector, None);
        assert_eq!(decode(serde_json::json!({"spec": {}})).selector, None);
    }

    #[test]
    fn topology_mode_is_auto_or_nothing_and_the_older_annotation_counts_first() {
        const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
        const MODE: &str = "service.kubernetes.io/topology-mode";
        for (annotations, auto) in [
            (serde_json::json!(null), false),
            (serde_json::json!({}), false),
            (serde_json::json!({"topology-hints": "Auto"}), false),
            (serde_json::json!({HINTS: "enabled"}), false),
            (serde_json::json!({HINTS: "aUto"}), false),
            (serde_json::json!({HINTS: "auto"}), true),
            (serde_json::json!({HINTS: "Auto"}), true),
            (serde_json::json!({HINTS: "disabled"}), false),
            (serde_json::json!({MODE: "enabled"}), false),
            (serde_json::json!({MODE: "aUto"}), false),
            (serde_json::json!({MODE: "auto"}), true),
            (serde_json::json!({MODE: "Auto"}), true),
            (serde_json::json!({MODE: " Auto"}), false),
            (serde_json::json!({MODE: ""}), false),
            (serde_json::json!({MODE: "disabled"}), false),
            (serde_json::json!({MODE: "disabled", HINTS: "auto"}), true),
            (serde_json::json!({MODE: "auto", HINTS: "disabled"}), false),
            (serde_json::json!({MODE: "auto", HINTS: ""}), false),
        ] {
            let service = decode(serde_json::json!({"metadata": {"annotations": annotations}}));
            assert_eq!(service.topology_auto, auto, "{annotations}");
            let plain = decode(serde_json::json!({}));
            assert_eq!(service.same_facts(&plain), !auto, "{annotations}");
        }
    }

    #[test]
    fn unknown_traffic_distributions_are_none() {
        use TrafficDistribution::{PreferClose, PreferSameNode, PreferSameZone};
        for known in [PreferClose, PreferSameZone, PreferSameNode] {
            let service = decode(serde_json::json!({"spec": {"trafficDistribution": known.as_str()}}));
            assert_eq!(service.traffic_distribution, Some(known));
            assert!(!service.same_facts(&decode(serde_json::json!({}))));
        }
        for unknown in [serde_json::json!("PreferMoon"), serde_json::json!(""), serde_json::json!(null)] {
            let service = decode(serde_json::json!({"spec": {"trafficDistribution": unknown}}));
            assert_eq!(service.traffic_distribution, None, "{unknown}");
        }
    }

    #[test]
    fn status_changes_of_services_without_a_load_balancer_are_no_change() {
        let base = serde_json::json!({"metadata": {"name": "s", "resourceVersion": "1"}, "spec": {"selector": {"a": "b"}}});
        let mut other = base.clone();
        other["metadata"]["resourceVersion"] = "2".into();
        other["status"] = serde_json::json!({"loadBalancer": {}, "conditions": [{"type": "example.com/Other", "status": "True"}]});
        assert!(decode(base.clone()).same_facts(&decode(other.clone())));
        other["spec"]["publishNotReadyAddresses"] = true.into();
        assert!(!decode(base.clone()).same_facts(&decode(other.clone())));
        assert!(!decode(base).same_endpoint_facts(&decode(other)));
    }
}
