//! Pods.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use serde::Deserialize;
use smallvec::SmallVec;

use crate::address::parse_lenient;
use crate::intern::Table;
use crate::record::{Record, Resource};
use crate::{Istr, Labels, ObjectKey, Protocol, ResourceVersion, Uid};

/// What a Pod's phase means to endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Phase {
    /// Pending, Running or Unknown: the Pod may become or be an endpoint.
    #[default]
    Active,
    /// Failed or Succeeded: never an endpoint.
    Finished,
}

/// A named port of a container.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// Name; ports without one cannot be referred to and are not kept.
    #[serde(default)]
    pub name: Istr,
    /// Protocol, TCP by default.
    #[serde(default)]
    pub protocol: Protocol,
    /// Number; not checked for its range, as upstream does not.
    #[serde(default)]
    pub container_port: i32,
}

static PORTS: LazyLock<Table<Arc<[ContainerPort]>>> = LazyLock::new(Table::new);

/// What endpoints need of a Pod.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "wire::Pod")]
pub struct Pod {
    /// Namespace and name.
    pub key: ObjectKey,
    /// UID.
    pub uid: Uid,
    /// Version.
    pub version: ResourceVersion,
    /// Labels.
    pub labels: Labels,
    /// `spec.nodeName`, once scheduled.
    pub node: Option<Istr>,
    /// `spec.hostname`, if not empty.
    pub hostname: Option<Istr>,
    /// `spec.subdomain`, if not empty.
    pub subdomain: Option<Istr>,
    /// `status.podIPs`, parsed leniently; texts that are no address are left out.
    pub addresses: SmallVec<[IpAddr; 2]>,
    /// Is there any entry in `status.podIP` or `status.podIPs`?
    pub has_address: bool,
    /// Finished or not.
    pub phase: Phase,
    /// Is the Ready condition True?
    pub ready: bool,
    /// `lastTransitionTime` of the Ready condition, if there is one.
    pub ready_since: Option<Timestamp>,
    /// Is `metadata.deletionTimestamp` set?
    pub terminating: bool,
    /// Named ports: those of the containers in their order, then those of restartable init containers
    /// (sidecars). The first of a name and protocol counts.
    pub ports: Arc<[ContainerPort]>,
}

impl Record for Pod {
    const RESOURCE: Resource =
        Resource { group: "", version: "v1", kind: "Pod", plural: "pods", namespaced: true };

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn version(&self) -> &ResourceVersion {
        &self.version
    }

    fn same_facts(&self, other: &Self) -> bool {
        let Self {
            key,
            uid,
            version: _,
            labels,
            node,
            hostname,
            subdomain,
            addresses,
            has_address,
            phase,
            ready,
            ready_since,
            terminating,
            ports,
        } = self;
        *key == other.key
            && *uid == other.uid
            && *labels == other.labels
            && *node == other.node
            && *hostname == other.hostname
            && *subdomain == other.subdomain
            && *addresses == other.addresses
            && *has_address == other.has_address
            && *phase == other.phase
            && *ready == other.ready
            && *ready_since == other.ready_since
            && *terminating == other.terminating
            && Arc::ptr_eq(ports, &other.ports)
    }
}

impl Pod {
    /// Shares a list of named ports between the Pods that have the same one.
    #[must_use]
    pub fn share_ports(ports: Vec<ContainerPort>) -> Arc<[ContainerPort]> {
        PORTS.intern(ports)
    }
}

mod wire {
    //! The parts of the JSON that are read.

    use serde::Deserialize;

    use super::{ContainerPort, Istr, Labels, ObjectKey, Phase, ResourceVersion, Uid, parse_lenient};

    #[derive(Deserialize)]
    pub(super) struct Pod {
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
        labels: Labels,
        deletion_timestamp: Option<serde::de::IgnoredAny>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Spec {
        node_name: Option<Istr>,
        hostname: Option<Istr>,
        subdomain: Option<Istr>,
        containers: Option<Vec<Container>>,
        init_containers: Option<Vec<Container>>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Container {
        ports: Option<Vec<ContainerPort>>,
        restart_policy: Option<Istr>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Status {
        phase: Option<Istr>,
        #[serde(rename = "podIP")]
        pod_ip: Option<Istr>,
        #[serde(rename = "podIPs")]
        pod_ips: Option<Vec<PodIp>>,
        conditions: Option<Vec<Condition>>,
    }

    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct PodIp {
        ip: Istr,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Condition {
        #[serde(rename = "type")]
        kind: Istr,
        status: Istr,
        last_transition_time: Option<Istr>,
    }

    impl From<Pod> for super::Pod {
        fn from(Pod { metadata, spec, status }: Pod) -> Self {
            let ready = status.conditions.unwrap_or_default().into_iter().find(|it| it.kind == "Ready");
            let pod_ips = status.pod_ips.unwrap_or_default();
            let sidecars = spec
                .init_containers
                .unwrap_or_default()
                .into_iter()
                .filter(|container| container.restart_policy.as_ref().is_some_and(|it| it == "Always"));
            let ports = spec
                .containers
                .unwrap_or_default()
                .into_iter()
                .chain(sidecars)
                .flat_map(|container| container.ports.unwrap_or_default())
                .filter(|port| !port.name.is_empty())
                .collect();
            let non_empty = |text: Option<Istr>| text.filter(|text| !text.is_empty());
            Self {
                key: ObjectKey { namespace: metadata.namespace, name: metadata.name },
                uid: metadata.uid,
                version: metadata.resource_version,
                labels: metadata.labels,
                node: non_empty(spec.node_name),
                hostname: non_empty(spec.hostname),
                subdomain: non_empty(spec.subdomain),
                addresses: pod_ips.iter().filter_map(|entry| parse_lenient(&entry.ip)).collect(),
                has_address: !pod_ips.is_empty() || non_empty(status.pod_ip).is_some(),
                phase: match status.phase.as_deref() {
                    Some("Failed" | "Succeeded") => Phase::Finished,
                    _ => Phase::Active,
                },
                ready: ready.as_ref().is_some_and(|it| it.status == "True"),
                ready_since: ready.and_then(|it| it.last_transition_time?.parse().ok()),
                terminating: metadata.deletion_timestamp.is_some(),
                ports: super::Pod::share_ports(ports),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(json: serde_json::Value) -> Pod {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn decodes_what_endpoints_need() {
        let pod = decode(serde_json::json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "shop", "name": "web-0", "uid": "7c3f0a4e-52bb-4d0e-9f0a-0123456789ab",
                "resourceVersion": "42", "labels": {"app": "web"}, "creationTimestamp": null,
                "managedFields": [{"manager": "kubelet"}]},
            "spec": {"nodeName": "node-a", "hostname": "web-0", "subdomain": "web", "containers": [
                {"name": "a", "image": "x", "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}, {"containerPort": 9}]},
                {"name": "b", "image": "y"}],
                "initContainers": [
                    {"name": "side", "restartPolicy": "Always", "ports": [{"name": "admin", "containerPort": 1, "protocol": "UDP"}]},
                    {"name": "init", "ports": [{"name": "never", "containerPort": 2}]}]},
            "status": {"phase": "Running", "podIP": "10.244.0.5", "podIPs": [{"ip": "10.244.0.5"}, {"ip": "fd00:0::5"}],
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z"}]}
        }));
        assert_eq!(pod.key.to_string(), "shop/web-0");
        assert_eq!(pod.version, ResourceVersion::Number(42));
        assert_eq!(pod.labels.get("app").unwrap(), &"web");
        assert_eq!(pod.node.as_deref(), Some("node-a"));
        assert_eq!(
            pod.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.244.0.5", "fd00::5"]
        );
        assert!(pod.ready && !pod.terminating && pod.has_address);
        assert_eq!(pod.ready_since.unwrap().to_string(), "2026-01-02T03:04:05Z");
        assert_eq!(pod.ports.iter().map(|port| port.name.as_str()).collect::<Vec<_>>(), ["http", "admin"]);
    }

    #[test]
    fn an_empty_or_odd_object_is_still_a_record() {
        let pod = decode(
            serde_json::json!({"metadata": {"name": "p", "labels": null}, "spec": {"containers": null}}),
        );
        assert!(!pod.ready && !pod.has_address && pod.node.is_none() && pod.phase == Phase::Active);
        let pod = decode(serde_json::json!({"status": {"podIPs": [{"ip": "nonsense"}], "phase": "Failed",
            "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "yesterday"}]}}));
        assert!(pod.addresses.is_empty() && pod.has_address && pod.phase == Phase::Finished);
        assert_eq!(pod.ready_since, None);
    }

    #[test]
    fn only_changes_that_endpoints_use_are_changes() {
        type Change = fn(&mut serde_json::Value);
        let base = serde_json::json!({
            "metadata": {"name": "p", "resourceVersion": "1", "labels": {"app": "web"}},
            "spec": {"nodeName": "n1", "containers": [{"image": "x"}]},
            "status": {"phase": "Pending", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                "conditions": [{"type": "Ready", "status": "False"}, {"type": "Initialized", "status": "True"}]}});
        let cases: [(&str, bool, Change); 17] = [
            ("nothing", false, |_| {}),
            ("version", false, |pod| pod["metadata"]["resourceVersion"] = "2".into()),
            ("annotations", false, |pod| pod["metadata"]["annotations"] = serde_json::json!({"a": "b"})),
            ("image", false, |pod| pod["spec"]["containers"][0]["image"] = "y".into()),
            ("Pending to Running", false, |pod| pod["status"]["phase"] = "Running".into()),
            ("another condition", false, |pod| pod["status"]["conditions"][1]["status"] = "False".into()),
            ("first address", true, |pod| pod["status"]["podIPs"][0]["ip"] = "10.0.0.2".into()),
            ("second address", true, |pod| pod["status"]["podIPs"][1]["ip"] = "fd00::2".into()),
            ("an address less", true, |pod| {
                pod["status"]["podIPs"] = serde_json::json!([{"ip": "10.0.0.1"}]);
            }),
            ("readiness", true, |pod| pod["status"]["conditions"][0]["status"] = "True".into()),
            ("deletion", true, |pod| pod["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z".into()),
            ("finished", true, |pod| pod["status"]["phase"] = "Failed".into()),
            ("label added", true, |pod| pod["metadata"]["labels"]["tier"] = "front".into()),
            ("label changed", true, |pod| pod["metadata"]["labels"]["app"] = "db".into()),
            ("labels removed", true, |pod| pod["metadata"]["labels"] = serde_json::json!({})),
            ("host name", true, |pod| pod["spec"]["hostname"] = "h".into()),
            // Upstream misses it until the next sync: a Pod is published only once its Node is known.
            ("scheduled", true, |pod| pod["spec"]["nodeName"] = "n2".into()),
        ];
        for (scenario, expected, change) in cases {
            let mut changed = base.clone();
            change(&mut changed);
            assert_eq!(!decode(base.clone()).same_facts(&decode(changed)), expected, "{scenario}");
        }
    }
}
