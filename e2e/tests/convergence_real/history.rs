//! What happens to the objects of one namespace.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use lab::{Error, Lab, Pod, Result};
use serde_json::{Value, json};

const ZONE: &str = "topology.kubernetes.io/zone";
const NODES: usize = 3;

/// A seeded history in a namespace and with Nodes of its own. It changes objects as people, kubelets and other
/// controllers do, straight at the API server.
pub(crate) struct History<'a> {
    lab: &'a Lab,
    rng: fastrand::Rng,
    namespace: String,
    pods: BTreeMap<u8, Life>,
    nodes: [bool; NODES],
    steps: usize,
    begun: Instant,
    log: Vec<String>,
}

/// A Pod, and whether it is past its end.
struct Life {
    pod: Pod,
    over: bool,
}

impl<'a> History<'a> {
    /// Makes the namespace, Nodes, a Service and Pods.
    pub(crate) async fn begin(lab: &'a Lab, seed: u64) -> Result<Self> {
        let mut history = Self {
            lab,
            rng: fastrand::Rng::with_seed(seed),
            namespace: format!("seed-{seed}"),
            pods: BTreeMap::new(),
            nodes: [false; NODES],
            steps: 0,
            begun: Instant::now(),
            log: Vec::new(),
        };
        lab.namespace(&history.namespace).await?;
        history.all_nodes().await?;
        history.create_service(0).await?;
        for number in 0..4 {
            history.create_pod(number).await?;
        }
        Ok(history)
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// How many things happened.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    /// What happened, with seconds.
    pub(crate) fn told(&self) -> &[String] {
        &self.log
    }

    /// Some things happen at once, some wait for the controller.
    pub(crate) async fn pause(&mut self) {
        let longest = [0, 0, 30, 200, 800][self.rng.usize(0..5)];
        tokio::time::sleep(Duration::from_millis(self.rng.u64(0..=longest))).await;
    }

    /// The next thing.
    pub(crate) async fn step(&mut self) -> Result<()> {
        self.steps += 1;
        match self.rng.u8(0..100) {
            0..8 => {
                let number = self.rng.u8(0..3);
                self.create_service(number).await
            }
            8..22 => self.change_service().await,
            22..27 => self.delete_service().await,
            27..70 => {
                let number = self.rng.u8(0..8);
                tolerate(self.live(number).await)
            }
            70..77 => self.node().await,
            _ => self.meddle().await,
        }
    }

    /// Nodes that are gone come back: a controller may let the Pods of a Node that is gone serve for a minute.
    pub(crate) async fn settle_nodes(&mut self) -> Result<()> {
        self.all_nodes().await
    }

    /// Changes at once and without Nodes, which would make everybody look at everything again.
    pub(crate) async fn last_changes(&mut self, changes: usize) -> Result<()> {
        for _ in 0..changes {
            self.steps += 1;
            if self.rng.u8(0..4) == 0 {
                self.change_service().await?;
            } else {
                let number = self.rng.u8(0..8);
                tolerate(self.live(number).await)?;
            }
        }
        Ok(())
    }

    /// The very last: what others do to slices, after which no Pod or Service changes.
    pub(crate) async fn last_meddling(&mut self, times: usize) -> Result<()> {
        for _ in 0..times {
            self.steps += 1;
            self.meddle().await?;
        }
        Ok(())
    }

    fn tell(&mut self, what: impl Into<String>) {
        self.log.push(format!("{:8.3} {}", self.begun.elapsed().as_secs_f64(), what.into()));
    }

    fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.rng.usize(0..list.len())].clone()
    }

    fn of<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.lab.api(), &self.namespace)
    }

    // Services.

    fn selector(&mut self) -> Value {
        let (app, tier) = (self.pick(&["a", "b"]), self.pick(&["1", "2"]));
        self.pick(&[
            json!({ "app": app }),
            json!({ "app": app }),
            json!({ "app": "a", "tier": tier }),
            Value::Null,
        ])
    }

    fn ports(&mut self) -> Value {
        let port = |name: &str, protocol: &str, number: u16, target: Value| json!({ "name": name, "protocol": protocol, "port": number, "targetPort": target });
        self.pick(&[
            json!([port("http", "TCP", 80, 8080.into())]),
            json!([port("http", "TCP", 80, "web".into())]),
            json!([port("http", "TCP", 80, 8080.into()), port("admin", "TCP", 81, "web".into())]),
            json!([port("dns", "UDP", 53, 53.into())]),
        ])
    }

    async fn create_service(&mut self, number: u8) -> Result<()> {
        let mut spec = json!({ "selector": self.selector(), "ports": self.ports(),
            "ipFamilyPolicy": self.pick(&["SingleStack", "RequireDualStack"]) });
        let mut metadata =
            json!({ "name": format!("s{number}"), "labels": { "team": self.pick(&["x", "y"]) } });
        match self.rng.u8(0..8) {
            0 => spec["clusterIP"] = "None".into(),
            1 => spec["publishNotReadyAddresses"] = true.into(),
            2 => spec["trafficDistribution"] = "PreferClose".into(),
            3 => metadata["annotations"] = json!({ "service.kubernetes.io/topology-mode": "Auto" }),
            4 => {
                spec = json!({ "type": "ExternalName", "externalName": "example.com", "selector": self.selector() });
            }
            _ => {}
        }
        self.tell(format!("create Service {metadata} {spec}"));
        tolerate(
            self.lab.create::<Service>(&self.namespace, json!({ "metadata": metadata, "spec": spec })).await,
        )
    }

    async fn change_service(&mut self) -> Result<()> {
        let name = format!("s{}", self.rng.u8(0..3));
        let patch = match self.rng.u8(0..8) {
            0 => json!({ "spec": { "selector": null } }),
            1 => {
                json!({ "spec": { "selector": { "app": self.pick(&["a", "b"]), "tier": self.pick(&[Value::Null, "1".into()]) } } })
            }
            2 => json!({ "spec": { "ports": self.ports() } }),
            3 => json!({ "spec": { "ipFamilyPolicy": self.pick(&["SingleStack", "RequireDualStack"]) } }),
            4 => json!({ "spec": { "type": "ExternalName", "externalName": "example.com" } }),
            5 => json!({ "spec": { "type": "ClusterIP", "externalName": null, "ports": self.ports() } }),
            6 => json!({ "spec": { "publishNotReadyAddresses": self.rng.bool() } }),
            _ => json!({ "metadata": { "labels": { "team": self.pick(&["x", "y", "z"]) } } }),
        };
        self.tell(format!("patch Service {name} {patch}"));
        let patched = self.of::<Service>().patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
        tolerate(patched.map_err(Error::from))
    }

    async fn delete_service(&mut self) -> Result<()> {
        let number = self.rng.u8(0..3);
        self.tell(format!("delete Service s{number}"));
        let deleted = self.of::<Service>().delete(&format!("s{number}"), &DeleteParams::default()).await;
        tolerate(deleted.map_err(Error::from))?;
        // Another one of the same name, perhaps before anybody saw the first one go.
        if self.rng.bool() { self.create_service(number).await } else { Ok(()) }
    }

    // Pods.

    async fn create_pod(&mut self, number: u8) -> Result<()> {
        let (app, tier) = (self.pick(&["a", "a", "b"]), self.pick(&["1", "2"]));
        let node = format!("{}-n{}", self.namespace, self.rng.usize(0..NODES));
        let (name, port, ready) = (format!("p{number}"), self.pick(&[8080, 9090]), self.rng.bool());
        self.tell(format!("create Pod {name}, {app}, {tier}, {node}, {port}, ready {ready}"));
        let pod = self.lab.pod(&self.namespace, &name).label("app", app).label("tier", tier);
        let pod = pod.port("web", port).paper().on(&node);
        let pod = if ready { pod } else { pod.not_ready() };
        match pod.start().await {
            Ok(pod) => drop(self.pods.insert(number, Life { pod, over: false })),
            Err(error) => tolerate::<()>(Err(error))?,
        }
        Ok(())
    }

    /// The next thing in the life of a Pod.
    async fn live(&mut self, number: u8) -> Result<()> {
        let Some(life) = self.pods.get(&number) else { return self.create_pod(number).await };
        let (pod, over) = (life.pod.clone(), life.over);
        let name = pod.name().to_owned();
        match self.rng.u8(0..10) {
            0..2 => {
                self.tell(format!("remove Pod {name}"));
                self.pods.remove(&number);
                pod.remove().await
            }
            2 => {
                self.tell(format!("terminate Pod {name}"));
                pod.terminate().await
            }
            3 if !over => {
                let phase = self.pick(&["Succeeded", "Failed"]);
                self.tell(format!("Pod {name} has {phase}"));
                self.pods.insert(number, Life { pod: pod.clone(), over: true });
                pod.set_phase(phase).await
            }
            4 => {
                let app = self.pick(&["a", "b"]);
                self.tell(format!("label Pod {name} {app}"));
                pod.patch(json!({ "metadata": { "labels": { "app": app } } })).await
            }
            5 if !over => {
                let ip = format!("10.65.{}.{}", self.rng.u8(..), self.rng.u8(1..));
                self.tell(format!("Pod {name} has another address {ip}"));
                pod.patch_status(json!({ "podIP": ip, "podIPs": [{ "ip": ip }] })).await
            }
            _ => {
                let ready = self.rng.u8(0..3) > 0;
                self.tell(format!("Pod {name} ready {ready}"));
                pod.set_ready(ready).await
            }
        }
    }

    // Nodes.

    async fn all_nodes(&mut self) -> Result<()> {
        for number in 0..NODES {
            if !self.nodes[number] {
                self.create_node(number).await?;
            }
        }
        Ok(())
    }

    async fn create_node(&mut self, number: usize) -> Result<()> {
        let (name, zone) = (format!("{}-n{number}", self.namespace), self.pick(&["z1", "z2"]));
        self.tell(format!("create Node {name} in {zone}"));
        self.nodes[number] = true;
        self.lab.paper_node(&name, Some(zone)).await
    }

    /// A Node appears, vanishes or moves to another zone.
    async fn node(&mut self) -> Result<()> {
        let number = self.rng.usize(0..NODES);
        if !self.nodes[number] {
            return self.create_node(number).await;
        }
        let name = format!("{}-n{number}", self.namespace);
        let nodes = cluster::<Node>(self.lab);
        if self.rng.bool() {
            self.tell(format!("delete Node {name}"));
            self.nodes[number] = false;
            return tolerate(nodes.delete(&name, &DeleteParams::default()).await.map_err(Error::from));
        }
        let zone = self.pick(&["z1", "z2"]);
        self.tell(format!("move Node {name} to {zone}"));
        let patch = Patch::Merge(json!({ "metadata": { "labels": { ZONE: zone } } }));
        tolerate(nodes.patch(&name, &PatchParams::default(), &patch).await.map_err(Error::from))
    }

    // Others and the slices.

    async fn meddle(&mut self) -> Result<()> {
        let slices = self.of::<EndpointSlice>();
        let found = slices.list(&ListParams::default()).await?.items;
        let other = format!("s{}", self.rng.u8(0..3));
        let ours = json!({ "kubernetes.io/service-name": other,
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io" });
        if found.is_empty() || self.rng.u8(0..10) == 0 {
            self.tell(format!("an intruder in the slices of {other}"));
            let endpoint = json!({ "addresses": ["10.0.0.1"], "conditions": { "ready": true } });
            let intruder = json!({ "metadata": { "name": "intruder", "labels": ours }, "addressType": "IPv4", "endpoints": [endpoint] });
            let intruder =
                serde_json::from_value(intruder).map_err(|error| Error::Invalid(error.to_string()))?;
            return tolerate(slices.create(&PostParams::default(), &intruder).await.map_err(Error::from));
        }
        let name = found[self.rng.usize(0..found.len())].metadata.name.clone().unwrap_or_default();
        let patch = match self.rng.u8(0..11) {
            0..3 => {
                self.tell(format!("delete slice {name}"));
                let deleted = slices.delete(&name, &DeleteParams::default()).await;
                return tolerate(deleted.map_err(Error::from));
            }
            3 => json!({ "endpoints": [] }),
            4 => json!({ "ports": [{ "name": "odd", "port": 1, "protocol": "TCP" }] }),
            5 => json!({ "metadata": { "labels": { "mood": "odd" } } }),
            6 => json!({ "metadata": { "labels": { "kubernetes.io/service-name": other } } }),
            7 => json!({ "metadata": { "labels": { "endpointslice.kubernetes.io/managed-by": "else" } } }),
            8 => json!({ "metadata": { "ownerReferences": [] } }),
            9 => json!({ "metadata": { "finalizers": ["example.com/hold"] } }),
            _ => json!({ "metadata": { "finalizers": [] } }),
        };
        self.tell(format!("patch slice {name} {patch}"));
        let patched = slices.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
        tolerate(patched.map_err(Error::from))
    }
}

fn cluster<K>(lab: &Lab) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = ClusterResourceScope>,
{
    Api::all(lab.api())
}

/// Histories are blind: what they change may be gone by then, exist already, or not be allowed like that.
fn tolerate<T>(outcome: Result<T>) -> Result<()> {
    match outcome {
        Err(Error::Api { what, source }) => match *source {
            kube::Error::Api(status) if matches!(status.code, 404 | 409 | 422) => Ok(()),
            source => Err(Error::Api { what, source: Box::new(source) }),
        },
        outcome => outcome.map(drop),
    }
}
