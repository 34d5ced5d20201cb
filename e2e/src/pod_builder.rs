//! Making Pods.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::body::Body;
use crate::error::{Context, Error, Result};
use crate::lab::Shared;
use crate::network;
use crate::node::parse;
use crate::pod::{CONTAINER, Families, IMAGE, Pod, readiness};

/// A Pod about to be made: see [`crate::Lab::pod`].
#[derive(Clone)]
#[must_use = "nothing happens before `start`"]
pub struct PodBuilder {
    shared: Arc<Shared>,
    namespace: String,
    name: String,
    node: Option<String>,
    labels: BTreeMap<String, String>,
    ports: Vec<Port>,
    families: Families,
    body: Wanted,
    ready: bool,
    grace_seconds: u32,
    customize: Option<Arc<Customize>>,
}

type Customize = dyn Fn(&mut core::Pod) + Send + Sync;

/// What is to stand behind the Pod.
#[derive(Clone)]
enum Wanted {
    /// A namespace with servers.
    Real,
    /// Nothing, at addresses of the lab's choice.
    Paper,
    /// Nothing, at these addresses.
    PaperWith(Vec<IpAddr>),
}

#[derive(Clone)]
struct Port {
    name: String,
    number: u16,
    protocol: &'static str,
    served: bool,
}

impl PodBuilder {
    pub(crate) fn new(shared: Arc<Shared>, namespace: &str, name: &str) -> Self {
        let families = shared.families;
        Self {
            shared,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            node: None,
            labels: BTreeMap::new(),
            ports: Vec::new(),
            families,
            body: Wanted::Real,
            ready: true,
            grace_seconds: 30,
            customize: None,
        }
    }

    /// The node it runs on, by name. Without this, nodes take turns.
    pub fn on(mut self, node: &str) -> Self {
        self.node = Some(node.to_owned());
        self
    }

    /// A label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// A TCP port with an HTTP server. Without any port there is `http`, 8080.
    pub fn port(mut self, name: &str, number: u16) -> Self {
        self.ports.push(Port { name: name.to_owned(), number, protocol: "TCP", served: true });
        self
    }

    /// A UDP port with a server that answers every datagram.
    pub fn udp_port(mut self, name: &str, number: u16) -> Self {
        self.ports.push(Port { name: name.to_owned(), number, protocol: "UDP", served: true });
        self
    }

    /// A port of another protocol (UDP or SCTP), in the object only.
    pub fn declared_port(mut self, name: &str, number: u16, protocol: &'static str) -> Self {
        self.ports.push(Port { name: name.to_owned(), number, protocol, served: false });
        self
    }

    /// Its addresses.
    pub fn families(mut self, families: Families) -> Self {
        self.families = families;
        self
    }

    /// Only the API object: no network namespace and no server, for tests with many Pods. Its addresses are from
    /// 10.64.0.0/11 and `fd00:10:64::/96`, and any node name will do.
    pub fn paper(mut self) -> Self {
        self.body = Wanted::Paper;
        self
    }

    /// A paper Pod with these addresses, for example ones that another Pod has too, or none.
    pub fn paper_with(mut self, addresses: &[IpAddr]) -> Self {
        self.body = Wanted::PaperWith(addresses.to_vec());
        self
    }

    /// Starts without being ready.
    pub fn not_ready(mut self) -> Self {
        self.ready = false;
        self
    }

    /// Seconds that a deletion leaves it, default 30. As there is no kubelet, a Pod with a grace period stays
    /// terminating until [`Pod::remove`]; with 0 it is gone at once.
    pub fn grace_seconds(mut self, seconds: u32) -> Self {
        self.grace_seconds = seconds;
        self
    }

    /// Changes the object before it is created: init containers, `hostname`, conditions to gate on, ...
    pub fn customize(mut self, change: impl Fn(&mut core::Pod) + Send + Sync + 'static) -> Self {
        self.customize = Some(Arc::new(change));
        self
    }

    /// Starts the servers, creates the object and writes its status: running, with addresses, ready or not.
    ///
    /// # Errors
    /// [`Error::Api`] when the API server refuses it; [`Error::Invalid`] for a node that does not exist.
    pub async fn start(mut self) -> Result<Pod> {
        if self.ports.is_empty() {
            self = self.port("http", 8080);
        }
        let pod = self.place()?;
        let made = self.create(&pod).await;
        if made.is_err() {
            pod.bury();
        }
        made.map(|()| pod)
    }

    async fn create(&self, pod: &Pod) -> Result<()> {
        let mut object: core::Pod = parse(self.manifest(pod.node()))?;
        if let Some(change) = &self.customize {
            change(&mut object);
        }
        let created = pod.api().create(&PostParams::default(), &object).await;
        created.context(|| format!("creating the Pod {}/{}", self.namespace, self.name))?;
        pod.patch_status(self.first_status(pod.addresses())).await
    }

    /// Finds a node, and makes a body on it unless the Pod is on paper only.
    fn place(&self) -> Result<Pod> {
        let shared = &self.shared;
        let pod = |node: &str, addresses| {
            Pod::new(shared.clone(), self.namespace.clone(), self.name.clone(), node.to_owned(), addresses)
        };
        let on_paper = match &self.body {
            Wanted::Real => None,
            Wanted::Paper => Some(self.pick(shared.next_paper_address())),
            Wanted::PaperWith(addresses) => Some(addresses.clone()),
        };
        if let Some(addresses) = on_paper {
            let turn = || shared.next_node().map(|node| node.name().to_owned()).unwrap_or_default();
            return Ok(pod(&self.node.clone().unwrap_or_else(turn), addresses));
        }
        let node = match &self.node {
            Some(name) => shared.nodes.iter().find(|node| node.name() == name),
            None => shared.next_node(),
        };
        let node = node.ok_or_else(|| {
            let wanted = self.node.as_deref().unwrap_or("any");
            Error::Invalid(format!(
                "the Pod {} needs a node with a host of its own, and there is none ({wanted})",
                self.name
            ))
        })?;
        let number = node.take_address()?;
        let (ipv4, ipv6) = network::pod_address(node.index(), number);
        let pod = pod(node.name(), self.pick((ipv4, ipv6)));
        let ports = |protocol: &str| {
            let served = self.ports.iter().filter(|port| port.served && port.protocol == protocol);
            served.map(|port| port.number).collect::<Vec<_>>()
        };
        match Body::make(&shared.site, node, &pod.key(), number, (&ports("TCP"), &ports("UDP"))) {
            Ok(body) => shared.bodies.lock().insert(pod.key(), body),
            Err(error) => {
                node.release_address(number);
                return Err(error);
            }
        };
        Ok(pod)
    }

    fn pick(&self, (ipv4, ipv6): (Ipv4Addr, Ipv6Addr)) -> Vec<IpAddr> {
        match self.families {
            Families::Dual => vec![ipv4.into(), ipv6.into()],
            Families::Ipv4 => vec![ipv4.into()],
            Families::Ipv6 => vec![ipv6.into()],
        }
    }

    fn manifest(&self, node: &str) -> Value {
        let ports: Vec<_> = self
            .ports
            .iter()
            .map(|port| json!({ "name": port.name, "containerPort": port.number, "protocol": port.protocol }))
            .collect();
        let mut spec = json!({
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": self.grace_seconds,
            "containers": [{ "name": CONTAINER, "image": IMAGE, "ports": ports }],
        });
        if !node.is_empty() {
            spec["nodeName"] = json!(node);
        }
        json!({
            "metadata": { "name": self.name, "namespace": self.namespace, "labels": self.labels },
            "spec": spec,
        })
    }

    fn first_status(&self, addresses: &[IpAddr]) -> Value {
        let mut status = readiness(self.ready);
        status["phase"] = json!("Running");
        if let Some(first) = addresses.first() {
            status["podIP"] = json!(first);
            status["podIPs"] = addresses.iter().map(|address| json!({ "ip": address })).collect();
        }
        status
    }
}
