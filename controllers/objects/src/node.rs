//! Nodes.

use std::net::IpAddr;

use serde::Deserialize;

use crate::address::parse_lenient;
use crate::record::{Record, Resource};
use crate::{Istr, Labels, Millis, ObjectKey, ResourceVersion, Uid};

const ZONE: &str = "topology.kubernetes.io/zone";
/// Nodes with one of these labels, whatever its value, belong to the control plane.
const CONTROL_PLANE: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// Taint of a Node that an administrator knows to be gone, whatever its effect and value (KEP-2268).
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// What endpoints, pools of addresses, and speakers need of a Node.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Wire")]
#[expect(clippy::struct_excessive_bools, reason = "facts of which each may be so or not")]
pub struct Node {
    /// Name; the namespace is empty.
    pub key: ObjectKey,
    /// UID.
    pub uid: Uid,
    /// Version.
    pub version: ResourceVersion,
    /// Label `topology.kubernetes.io/zone`, if not empty.
    pub zone: Option<Istr>,
    /// Is its condition Ready `True`?
    pub ready: bool,
    /// Is it labelled as a Node of the control plane?
    pub control_plane: bool,
    /// `status.allocatable.cpu`; zero if unknown.
    pub cpu: Millis,
    /// `status.addresses` of the types InternalIP and ExternalIP, sorted.
    pub addresses: Box<[IpAddr]>,
    /// Labels.
    pub labels: Labels,
    /// Does it have the taint `node.kubernetes.io/out-of-service`?
    pub out_of_service: bool,
    /// Is its condition NetworkUnavailable `True`?
    pub network_unavailable: bool,
    /// `spec.unschedulable`: is it cordoned?
    pub unschedulable: bool,
}

impl Node {
    /// Do both say the same about endpoints? Addresses, and what load balancers look at, are no change for the controllers
    /// of EndpointSlices.
    #[must_use]
    pub fn same_endpoint_facts(&self, other: &Self) -> bool {
        let Self { key, version: _, zone, ready, control_plane, cpu, .. } = self;
        *key == other.key
            && *zone == other.zone
            && *ready == other.ready
            && *control_plane == other.control_plane
            && *cpu == other.cpu
    }
}

impl Record for Node {
    const RESOURCE: Resource =
        Resource { group: "", version: "v1", kind: "Node", plural: "nodes", namespaced: false };

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn version(&self) -> &ResourceVersion {
        &self.version
    }

    fn same_facts(&self, other: &Self) -> bool {
        self.same_endpoint_facts(other)
            && self.uid == other.uid
            && self.addresses == other.addresses
            && self.labels == other.labels
            && self.out_of_service == other.out_of_service
            && self.network_unavailable == other.network_unavailable
            && self.unschedulable == other.unschedulable
    }
}

#[derive(Deserialize)]
struct Wire {
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
    name: Istr,
    uid: Uid,
    resource_version: ResourceVersion,
    labels: Labels,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spec {
    taints: Option<Vec<Taint>>,
    unschedulable: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Taint {
    key: Istr,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    conditions: Option<Vec<Condition>>,
    allocatable: Option<Allocatable>,
    addresses: Option<Vec<Address>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Address {
    #[serde(rename = "type")]
    kind: Istr,
    address: Istr,
}

impl Address {
    /// The address, unless it is a name.
    fn ip(&self) -> Option<IpAddr> {
        matches!(self.kind.as_str(), "InternalIP" | "ExternalIP").then(|| parse_lenient(&self.address))?
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: Istr,
    status: Istr,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Allocatable {
    cpu: Millis,
}

impl From<Wire> for Node {
    fn from(Wire { metadata, spec, status }: Wire) -> Self {
        let conditions = status.conditions.unwrap_or_default();
        let is_true = |kind: &str| {
            conditions.iter().find(|condition| condition.kind == kind).is_some_and(|it| it.status == "True")
        };
        let addresses = status.addresses.unwrap_or_default();
        let mut addresses: Vec<_> = addresses.iter().filter_map(Address::ip).collect();
        addresses.sort_unstable();
        addresses.dedup();
        Self {
            key: ObjectKey { namespace: Istr::default(), name: metadata.name },
            uid: metadata.uid,
            version: metadata.resource_version,
            zone: metadata.labels.get(ZONE).filter(|zone| !zone.is_empty()).cloned(),
            ready: is_true("Ready"),
            control_plane: CONTROL_PLANE.iter().any(|label| metadata.labels.get(label).is_some()),
            cpu: status.allocatable.unwrap_or_default().cpu,
            addresses: addresses.into(),
            labels: metadata.labels,
            out_of_service: spec.taints.iter().flatten().any(|taint| taint.key == OUT_OF_SERVICE),
            network_unavailable: is_true("NetworkUnavailable"),
            unschedulable: spec.unschedulable,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decode(json: serde_json::Value) -> Node {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn zone_comes_from_the_label_and_heartbeats_are_no_change() {
        let zoned = decode(json!({"metadata": {"name": "n1", "labels": {ZONE: "zone-a"}},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]}}));
        assert_eq!(zoned.zone.as_deref(), Some("zone-a"));
        let beat = decode(
            json!({"metadata": {"name": "n1", "resourceVersion": "9", "labels": {ZONE: "zone-a"}},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:10Z"}]}}),
        );
        assert!(zoned.same_facts(&beat));
        let empty = decode(json!({"metadata": {"name": "n1", "labels": {ZONE: ""}}}));
        assert!(empty.zone.is_none() && !zoned.same_facts(&empty));
    }

    #[test]
    fn only_a_true_ready_condition_makes_a_node_ready() {
        for (conditions, ready) in [
            (json!([{"type": "DiskPressure", "status": "True"}, {"type": "Ready", "status": "True"}]), true),
            (json!([{"type": "Ready", "status": "False"}]), false),
            (json!([{"type": "Ready", "status": "Unknown"}]), false),
            (json!([{"type": "DiskPressure", "status": "True"}]), false),
            (json!(null), false),
        ] {
            let node = decode(json!({"status": {"conditions": conditions}}));
            assert_eq!(node.ready, ready, "{conditions}");
        }
    }

    #[test]
    fn cpu_and_control_plane_are_read_and_each_is_a_change() {
        let node = decode(
            json!({"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "3920m", "memory": "7Gi"}}}),
        );
        assert_eq!((node.cpu, node.control_plane), (Millis(3920), false));
        assert_eq!(decode(json!({"status": {"allocatable": null}})).cpu, Millis(0));
        for label in CONTROL_PLANE {
            let control = decode(
                json!({"metadata": {"name": "n1", "labels": {label: ""}}, "status": {"allocatable": {"cpu": "3920m"}}}),
            );
            assert!(control.control_plane && !control.same_facts(&node), "{label}");
        }
        for other in [Node { cpu: Millis(1), ..node.clone() }, Node { ready: true, ..node.clone() }] {
            assert!(!node.same_facts(&other));
        }
    }

    #[test]
    fn what_speakers_look_at_is_read_and_is_no_change_for_endpoints() {
        let plain = decode(json!({"metadata": {"name": "n1"}, "spec": {"taints": null}}));
        let changed = |json: serde_json::Value| {
            let node = decode(json);
            assert!(!node.same_facts(&plain) && node.same_endpoint_facts(&plain));
            node
        };
        let labelled = changed(json!({"metadata": {"name": "n1", "labels": {"rack": "7"}}}));
        assert_eq!(labelled.labels.get("rack").map(Istr::as_str), Some("7"));
        assert!(
            changed(json!({"metadata": {"name": "n1"}, "spec": {"taints": [
                {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
                {"key": OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"}]}}))
            .out_of_service
        );
        assert!(changed(json!({"metadata": {"name": "n1"}, "spec": {"unschedulable": true}})).unschedulable);
        assert!(
            changed(json!({"metadata": {"name": "n1"},
                "status": {"conditions": [{"type": "NetworkUnavailable", "status": "True"}]}}))
            .network_unavailable
        );
    }

    #[test]
    fn addresses_are_read_and_are_no_change_for_endpoints() {
        let with =
            |addresses| decode(json!({"metadata": {"name": "n1"}, "status": {"addresses": addresses}}));
        let some = with(json!([
            {"type": "Hostname", "address": "10.0.0.9"},
            {"type": "InternalIP", "address": "2001:db8::1"},
            {"type": "ExternalIP", "address": "198.51.100.7"},
            {"type": "InternalIP", "address": "n1.example.com"},
            {"type": "InternalIP", "address": "198.51.100.7"},
        ]));
        let expected: [IpAddr; 2] = ["198.51.100.7".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert_eq!(*some.addresses, expected);
        let none = with(json!(null));
        assert!(!some.same_facts(&none) && some.same_endpoint_facts(&none));
    }
}
