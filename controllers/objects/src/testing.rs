//! Ready-made records for tests. Each is an ordinary case; a test states what differs:
//! `Pod { ready: false, ..testing::pod("web-0") }`.

use serde::de::DeserializeOwned;
use smallvec::smallvec;

use crate::{
    ClusterIp, ContainerPort, Family, Istr, Labels, Millis, Node, ObjectKey, Phase, Pod, Protocol,
    ResourceVersion, Service, ServicePort, ServiceType, TargetPort, Uid,
};

/// The namespace of all records.
pub const NAMESPACE: &str = "shop";

/// A record from JSON, as it would come from the API server.
///
/// # Panics
/// If the text is not JSON of that record: a mistake in the test.
#[must_use]
pub fn decode<T: DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("not a record ({error}): {json}"))
}

/// A ready Pod with the label `app: web` on `node-1`, with one address of each family and a container port
/// `web` (8080/TCP).
#[must_use]
pub fn pod(name: &str) -> Pod {
    Pod {
        key: ObjectKey::new(NAMESPACE, name),
        uid: Uid::from(format!("uid-of-{name}").as_str()),
        version: ResourceVersion::Number(1),
        labels: [("app", "web")].into_iter().collect(),
        node: Some("node-1".into()),
        hostname: None,
        subdomain: None,
        addresses: smallvec![[10, 0, 0, 1].into(), [0xfd00, 0, 0, 0, 0, 0, 0, 1].into()],
        has_address: true,
        phase: Phase::Active,
        ready: true,
        ready_since: None,
        terminating: false,
        ports: Pod::share_ports(vec![ContainerPort {
            name: "web".into(),
            protocol: Protocol::Tcp,
            container_port: 8080,
        }]),
    }
}

/// A ready Node with 4 CPUs, in a zone or in none.
#[must_use]
pub fn node(name: &str, zone: Option<&str>) -> Node {
    Node {
        key: ObjectKey::new("", name),
        uid: Uid::from(format!("uid-of-{name}").as_str()),
        version: ResourceVersion::Number(1),
        zone: zone.map(Istr::from),
        ready: true,
        control_plane: false,
        cpu: Millis(4000),
        addresses: Box::default(),
        labels: Labels::default(),
        out_of_service: false,
        network_unavailable: false,
        unschedulable: false,
    }
}

/// An IPv4 Service with the selector `app: web` and the port `http` to 8080/TCP.
#[must_use]
pub fn service(name: &str) -> Service {
    Service {
        key: ObjectKey::new(NAMESPACE, name),
        uid: Uid::from(format!("uid-of-{name}").as_str()),
        version: ResourceVersion::Number(1),
        created: None,
        terminating: false,
        labels: [("team", "checkout")].into_iter().collect(),
        kind: ServiceType::Cluster,
        selector: Some([("app", "web")].into_iter().collect()),
        cluster_ip: ClusterIp::Address([10, 96, 0, 10].into()),
        ip_families: smallvec![Family::V4],
        ports: vec![service_port("http", TargetPort::Number(8080))],
        publish_not_ready: false,
        topology_auto: false,
        traffic_distribution: None,
        load_balancer: None,
    }
}

/// A TCP port of a Service.
#[must_use]
pub fn service_port(name: &str, target: TargetPort) -> ServicePort {
    ServicePort { name: name.into(), protocol: Protocol::Tcp, app_protocol: None, target }
}
