//! A Service with its Pods and its Endpoints in memory.

use std::sync::Arc;

use fairlead_discovery::names::{ENDPOINTS_CONTROLLER, ENDPOINTS_MANAGED_BY};
use fairlead_discovery::pod_change_time;
use fairlead_endpoints::{Action, Facts, Memory, Plan, plan};
use fairlead_objects::{EndpointAddress, EndpointIp, Endpoints, Istr, Pod, Service, TargetRef, testing};
use jiff::Timestamp;
use serde_json::{Value, json};
use smallvec::smallvec;

/// What a sync wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    Nothing,
    Created,
    Updated,
}

#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) service: Service,
    pub(crate) pods: Vec<Arc<Pod>>,
    pub(crate) endpoints: Option<Arc<Endpoints>>,
    pub(crate) memory: Memory,
    /// The Pods when the last plan was applied.
    planned_pods: Vec<Arc<Pod>>,
    /// Versions that were given out.
    written: u64,
}

impl Cluster {
    /// A Service without Pods.
    pub(crate) fn new(service: Service) -> Self {
        Self {
            service,
            pods: Vec::new(),
            endpoints: None,
            memory: Memory::default(),
            planned_pods: Vec::new(),
            written: 1,
        }
    }

    /// The ordinary IPv4 Service with so many ready Pods.
    pub(crate) fn with_pods(count: usize) -> Self {
        let mut cluster = Self::new(testing::service("web"));
        cluster.pods = (0..count).map(|number| Arc::new(pod(number))).collect();
        cluster
    }

    /// The Endpoints object that is there before anything is planned.
    pub(crate) fn existing(mut self, labels: &[(&str, &str)], subsets: &Value) -> Self {
        let labels: serde_json::Map<_, _> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
        self.put(
            json!({"metadata": {"namespace": testing::NAMESPACE, "name": self.service.key.name.as_str(),
            "uid": "uid-1", "resourceVersion": "1", "labels": labels}, "subsets": subsets}),
        );
        self
    }

    pub(crate) fn put(&mut self, endpoints: Value) {
        self.endpoints =
            Some(Arc::new(serde_json::from_value(endpoints).expect("it is an Endpoints object")));
    }

    /// Changes one Pod.
    pub(crate) fn change_pod(&mut self, at: usize, change: impl FnOnce(&mut Pod)) {
        change(Arc::make_mut(&mut self.pods[at]));
    }

    /// Changes the Endpoints object, as somebody else would.
    pub(crate) fn change_endpoints(&mut self, change: impl FnOnce(&mut Endpoints)) {
        self.written += 1;
        let endpoints = Arc::make_mut(self.endpoints.as_mut().expect("there is an object to change"));
        endpoints.version = self.written.to_string().as_str().into();
        change(endpoints);
    }

    pub(crate) fn plan(&self) -> Plan {
        let service = Arc::new(self.service.clone());
        let facts = Facts {
            service: &service,
            pods: &self.pods,
            current: self.endpoints.as_ref(),
            pods_changed: self.pods_changed(),
        };
        plan(&facts, &self.memory)
    }

    /// When the earliest change of a Pod happened since the last plan was applied.
    fn pods_changed(&self) -> Option<Timestamp> {
        let times = self.pods.iter().map(|pod| {
            let old = self.planned_pods.iter().find(|old| old.key == pod.key);
            pod_change_time(old.map(AsRef::as_ref), Some(pod))
        });
        times.flatten().min()
    }

    /// Plans, and writes as an API server would.
    pub(crate) fn sync(&mut self) -> Wrote {
        let plan = self.plan();
        let (wrote, body) = match &plan.action {
            None => (Wrote::Nothing, None),
            Some(Action::Create(desired)) => {
                assert!(self.endpoints.is_none(), "it exists already");
                (Wrote::Created, Some((desired.create_body(), "uid-1".to_owned())))
            }
            Some(Action::Update { current, desired }) => {
                let stored = self.endpoints.as_ref().expect("only an object that exists is updated");
                let body = desired.update_body(current);
                let version = body.metadata.resource_version.as_deref();
                assert_eq!(version, Some(stored.version.to_string().as_str()), "conflict");
                (Wrote::Updated, Some((body, stored.uid.to_string())))
            }
        };
        if let Some((body, uid)) = body {
            self.written += 1;
            let mut stored = serde_json::to_value(body).expect("bodies are JSON");
            stored["metadata"]["uid"] = uid.into();
            stored["metadata"]["resourceVersion"] = self.written.to_string().into();
            check(&stored);
            self.put(stored);
        }
        let version = self.endpoints.as_ref().map(|it| it.version.clone());
        self.memory.written(plan.next, version);
        self.planned_pods.clone_from(&self.pods);
        wrote
    }

    /// The subsets as text: `ready;not ready;ports`.
    pub(crate) fn subsets(&self) -> Vec<String> {
        let Some(endpoints) = &self.endpoints else { return Vec::new() };
        let subset = |it: &fairlead_objects::EndpointSubset| {
            let addresses = |list: &[EndpointAddress]| list.iter().map(short).collect::<Vec<_>>().join(",");
            let ports: Vec<_> = it
                .ports
                .iter()
                .map(|port| {
                    let name = port.name.as_deref().unwrap_or_default();
                    let protocol = port.protocol.unwrap_or_default().as_str();
                    format!("{name}:{}/{protocol}", port.port.unwrap_or_default())
                })
                .collect();
            format!("{};{};{}", addresses(&it.addresses), addresses(&it.not_ready), ports.join(","))
        };
        let mut subsets: Vec<_> = endpoints.subsets.iter().map(subset).collect();
        subsets.sort();
        subsets
    }

    /// Numbers of addresses that are ready and that are not.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let Some(endpoints) = &self.endpoints else { return (0, 0) };
        let of =
            |count: fn(&fairlead_objects::EndpointSubset) -> usize| endpoints.subsets.iter().map(count).sum();
        (of(|it| it.addresses.len()), of(|it| it.not_ready.len()))
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.endpoints.as_ref()?.annotations.get(key).map(Istr::as_str)
    }

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.endpoints.as_ref()?.labels.get(key).map(Istr::as_str)
    }
}

/// What the API server admits.
fn check(endpoints: &Value) {
    for subset in endpoints["subsets"].as_array().into_iter().flatten() {
        let has = |list: &str| subset[list].as_array().is_some_and(|list| !list.is_empty());
        assert!(has("addresses") || has("notReadyAddresses"), "a subset needs an address: {subset}");
        for port in subset["ports"].as_array().into_iter().flatten() {
            assert!(port["port"].as_i64().is_some_and(|it| (1..=65535).contains(&it)), "{port}");
        }
    }
}

/// The last part of the address, and the name of the Pod.
fn short(address: &EndpointAddress) -> String {
    let ip = match &address.ip {
        EndpointIp::Canonical(ip) => ip.to_string(),
        EndpointIp::Text(text) => format!("text {text}"),
    };
    match &address.target {
        Some(TargetRef::Pod { name, .. }) => format!("{name}@{ip}"),
        _ => ip,
    }
}

/// Ready Pod number `n` with addresses of its own in both families.
pub(crate) fn pod(n: usize) -> Pod {
    let part = |number: usize| u8::try_from(number).expect("part of an address");
    let name = format!("web-{n:04}");
    let (high, low) = (part(n / 250), part(n % 250 + 1));
    Pod {
        uid: format!("uid-of-{name}").as_str().into(),
        addresses: smallvec![
            [10, 0, high, low].into(),
            [0xfd00, 0, 0, 0, 0, 0, u16::from(high), u16::from(low)].into()
        ],
        ..testing::pod(&name)
    }
}

/// The labels of an object that this controller maintains, for a Service as [`testing::service`] makes it.
pub(crate) const LABELS: &[(&str, &str)] =
    &[("team", "checkout"), (ENDPOINTS_MANAGED_BY, ENDPOINTS_CONTROLLER)];

/// The JSON of an address of [`pod`] number `n`.
pub(crate) fn address(n: usize) -> Value {
    let pod = pod(n);
    json!({"ip": pod.addresses[0].to_string(), "nodeName": "node-1",
        "targetRef": {"kind": "Pod", "namespace": testing::NAMESPACE, "name": pod.key.name.as_str(), "uid": pod.uid.to_string()}})
}

/// The JSON of the port that [`testing::service`] has.
pub(crate) fn http() -> Value {
    json!({"name": "http", "port": 8080, "protocol": "TCP"})
}
