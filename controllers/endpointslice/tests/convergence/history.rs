//! What happens to the cluster.

use std::time::Duration;

use fairlead_fake_api::{Author, FakeApi, Kind, NODES, PODS, SERVICES, SLICES, Weather};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::observer::{STEADY, STEADY_PODS};
use crate::process::Process;

pub(crate) const NAMESPACE: &str = "shop";
/// A namespace with a Service `doomed`, which may be deleted.
const DOOMED: &str = "mart";
const STEPS: usize = 35;

/// A seeded history.
pub(crate) struct History {
    rng: fastrand::Rng,
    api: FakeApi,
    steps: usize,
    begun: Instant,
    /// Kinds of which objects are still to be deleted from the namespace, the next one last.
    namespace_ends: Option<Vec<&'static Kind>>,
    log: Option<Vec<(Instant, String)>>,
}

impl History {
    pub(crate) fn new(seed: u64, tell: bool) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let api = FakeApi::new(seed);
        let api = if rng.bool() { api } else { api.listing_by_pages(rng.usize(1..6)) };
        Self { rng, api, steps: STEPS, begun: Instant::now(), namespace_ends: None, log: tell.then(Vec::new) }
    }

    pub(crate) fn api(&self) -> &FakeApi {
        &self.api
    }

    /// What happened, in the order of time.
    pub(crate) fn told(&mut self) -> Vec<String> {
        let mut log = self.log.take().unwrap_or_default();
        log.sort_by_key(|(at, _)| *at);
        let since = |at: Instant| (at - self.begun).as_secs_f64();
        log.iter().map(|(at, text)| format!("{:8.3} {text}", since(*at))).collect()
    }

    fn tell(&mut self, text: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push((Instant::now(), text()));
        }
    }

    /// Adds the changes of slices since then to what is told.
    pub(crate) fn tell_writes(&mut self, version: u64) {
        let Some(log) = &mut self.log else { return };
        for event in self.api.events_after(version).into_iter().filter(|event| event.kind == &SLICES) {
            let who = if event.author == Author::Client { "controller" } else { "world" };
            let state = event.new.as_ref().map_or_else(|| "gone".to_owned(), |slice| brief(slice));
            log.push((event.at, format!("    {who} @{} {}: {state}", event.version, event.key.1)));
        }
    }

    /// What is there from the first.
    pub(crate) fn begin(&mut self) {
        self.node("n0");
        self.node("n1");
        let spec = json!({"type": "ClusterIP", "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"], "selector": {"app": STEADY},
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}]});
        self.api.put(&SERVICES, json!({"metadata": {"namespace": NAMESPACE, "name": STEADY}, "spec": spec}));
        for (number, name) in STEADY_PODS.iter().enumerate() {
            let mut pod = json!({"metadata": {"namespace": NAMESPACE, "name": name, "labels": {"app": STEADY}},
                "spec": {"nodeName": "n0", "containers": [{}]}});
            pod["status"] = running(&format!("10.1.0.{number}"), "fd01::1", true);
            self.api.put(&PODS, pod);
        }
        let mut doomed = json!({"metadata": {"namespace": DOOMED, "name": "doomed"}});
        doomed["spec"] = json!({"type": "ClusterIP", "clusterIP": "10.96.0.8", "ipFamilies": ["IPv4"],
            "selector": {"app": DOOMED}, "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}]});
        self.api.put(&SERVICES, doomed);
        for number in 0..4 {
            self.doomed_pod(number, true);
        }
        self.service(0);
        for number in 0..4 {
            self.pod(number);
        }
    }

    fn doomed_pod(&mut self, number: u8, ready: bool) {
        let name = format!("doomed-{number}");
        self.tell(|| format!("put {DOOMED}/{name}, {ready}"));
        let mut pod = json!({"metadata": {"namespace": DOOMED, "name": name, "labels": {"app": DOOMED}},
            "spec": {"nodeName": "n0", "containers": [{}]}});
        pod["status"] = running(&format!("10.2.0.{number}"), "fd02::1", ready);
        self.api.put(&PODS, pod);
    }

    /// The life of the other namespace, which at some time is deleted. As the namespace controller does it, kind by
    /// kind: the slices may go before the Service, and cannot be made again.
    fn other_namespace(&mut self) {
        match &mut self.namespace_ends {
            Some(kinds) => {
                let Some(kind) = kinds.pop() else { return };
                self.tell(|| format!("delete {} of {DOOMED}", kind.plural));
                for object in self.api.list(kind) {
                    if object["metadata"]["namespace"] == DOOMED {
                        self.api.delete(
                            kind,
                            DOOMED,
                            object["metadata"]["name"].as_str().unwrap_or_default(),
                        );
                    }
                }
            }
            None if self.rng.u8(0..3) == 0 => {
                self.tell(|| format!("{DOOMED} is being deleted"));
                self.api.terminate_namespace(DOOMED);
                let mut kinds = vec![&SLICES, &PODS, &SERVICES];
                self.rng.shuffle(&mut kinds);
                self.namespace_ends = Some(kinds);
                self.other_namespace();
            }
            None => {
                let (number, ready) = (self.rng.u8(0..6), self.rng.bool());
                self.doomed_pod(number, ready);
            }
        }
    }

    /// The next thing; false after the last one.
    pub(crate) async fn step(&mut self, process: &mut Process) -> bool {
        if self.steps == 0 {
            // A namespace that is being deleted is gone in the end.
            while self.namespace_ends.as_ref().is_some_and(|kinds| !kinds.is_empty()) {
                self.other_namespace();
            }
            return false;
        }
        self.steps -= 1;
        // Some things happen at once, some wait for the controller.
        let pause = [0, 0, 50, 1000, 6000][self.rng.usize(0..5)];
        tokio::time::sleep(Duration::from_millis(self.rng.u64(0..=pause))).await;
        match self.rng.u8(0..100) {
            0..8 => {
                let number = self.rng.u8(0..3);
                self.service(number);
            }
            8..20 => self.change_service(),
            20..24 => self.delete_service(),
            24..62 => {
                let number = self.rng.u8(0..8);
                self.pod(number);
            }
            62..68 => {
                let name = format!("n{}", self.rng.u8(1..4));
                self.node(&name);
            }
            68..84 => self.meddle(),
            84..88 => {
                self.tell(|| "restart".to_owned());
                let api = self.api.clone();
                process.restart(&api);
            }
            88..91 => {
                self.tell(|| "compaction".to_owned());
                self.api.compact();
            }
            91..94 => self.other_namespace(),
            _ => {
                let weather = self.weather();
                self.tell(|| format!("{weather:?}"));
                self.api.set_weather(weather);
            }
        }
        true
    }

    fn weather(&mut self) -> Weather {
        let rng = &mut self.rng;
        let mut some = |percent: u8| if rng.u8(0..4) == 0 { percent } else { 0 };
        let some = Weather {
            conflict: some(50),
            throttle: some(30),
            error: some(50),
            unavailable: some(40),
            lost_answer: some(60),
            hang: some(15),
            delay: some(70),
            cut: some(80),
            silence: some(30),
            lag: some(80),
            stale_list: some(60),
            compaction: some(50),
        };
        [Weather::WORST, some, some, Weather::default()][self.rng.usize(0..4)]
    }

    fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.rng.usize(0..list.len())].clone()
    }

    fn put(&mut self, kind: &'static Kind, object: Value) {
        self.tell(|| format!("put {} {object}", kind.plural));
        self.api.put(kind, object);
    }

    fn edit(&mut self, kind: &'static Kind, name: &str, what: &str, change: impl FnOnce(&mut Value)) {
        let namespace = if kind.namespaced { NAMESPACE } else { "" };
        self.tell(|| format!("{} {name}: {what}", kind.plural));
        self.api.edit(kind, namespace, name, change);
    }

    fn remove(&mut self, kind: &'static Kind, name: &str) {
        let namespace = if kind.namespaced { NAMESPACE } else { "" };
        self.tell(|| format!("delete {} {name}", kind.plural));
        self.api.delete(kind, namespace, name);
    }

    /// A new Service, or another one of an old name.
    fn service(&mut self, number: u8) {
        let name = format!("s{number}");
        let spec = json!({"type": "ClusterIP", "clusterIP": "10.96.0.1", "selector": self.selector(),
            "ports": self.ports(), "ipFamilies": self.families()});
        let metadata =
            json!({"namespace": NAMESPACE, "name": name, "labels": {"team": self.pick(&["x", "y"])}});
        self.put(&SERVICES, json!({"metadata": metadata, "spec": spec}));
    }

    fn selector(&mut self) -> Value {
        let one = json!({"app": self.pick(&["a", "b"])});
        let two = json!({"app": "a", "tier": self.pick(&["1", "2"])});
        self.pick(&[one.clone(), one.clone(), one, two, Value::Null])
    }

    fn ports(&mut self) -> Value {
        let port = |name: &str, protocol: &str, target: Value| json!({"name": name, "protocol": protocol, "port": 80, "targetPort": target});
        self.pick(&[
            json!([port("http", "TCP", 8080.into())]),
            json!([port("http", "TCP", "web".into())]),
            json!([port("http", "TCP", 8080.into()), port("admin", "TCP", "web".into())]),
            json!([port("dns", "UDP", 53.into())]),
        ])
    }

    fn families(&mut self) -> Value {
        self.pick(&[json!(["IPv4"]), json!(["IPv6"]), json!(["IPv4", "IPv6"])])
    }

    fn change_service(&mut self) {
        let name = format!("s{}", self.rng.u8(0..3));
        match self.rng.u8(0..7) {
            0 => {
                let selector = self.selector();
                self.edit(&SERVICES, &name, "selector", |it| it["spec"]["selector"] = selector);
            }
            1 => {
                let ports = self.ports();
                self.edit(&SERVICES, &name, "ports", |it| it["spec"]["ports"] = ports);
            }
            2 => {
                let families = self.families();
                self.edit(&SERVICES, &name, "families", |it| it["spec"]["ipFamilies"] = families);
            }
            3 => {
                let kind = self.pick(&["ClusterIP", "ClusterIP", "ExternalName"]);
                self.edit(&SERVICES, &name, kind, |it| it["spec"]["type"] = kind.into());
            }
            4 => {
                let ip = self.pick(&["None", "10.96.0.1"]);
                self.edit(&SERVICES, &name, ip, |it| it["spec"]["clusterIP"] = ip.into());
            }
            5 => {
                let publish = self.rng.bool();
                self.edit(&SERVICES, &name, "publish not ready", |it| {
                    it["spec"]["publishNotReadyAddresses"] = publish.into();
                });
            }
            _ => {
                let team = self.pick(&["x", "y", "z"]);
                self.edit(&SERVICES, &name, "label", |it| it["metadata"]["labels"]["team"] = team.into());
            }
        }
    }

    fn delete_service(&mut self) {
        let number = self.rng.u8(0..3);
        self.remove(&SERVICES, &format!("s{number}"));
        if self.rng.bool() {
            self.service(number);
        }
    }

    /// A new Pod, or the next thing in the life of one.
    fn pod(&mut self, number: u8) {
        let name = format!("p{number}");
        let address = self.rng.u8(1..7);
        let (ipv4, ipv6) = (format!("10.0.0.{address}"), format!("fd00::{address}"));
        let exists = self.api.get(&PODS, NAMESPACE, &name).is_some();
        match self.rng.u8(0..10) {
            0..2 => self.remove(&PODS, &name),
            2 if exists => self.edit(&PODS, &name, "terminating", |it| {
                it["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }),
            3 if exists => {
                let phase = self.pick(&["Succeeded", "Failed"]);
                self.edit(&PODS, &name, phase, |it| it["status"]["phase"] = phase.into());
            }
            4 if exists => {
                let app = self.pick(&["a", "b", STEADY]);
                self.edit(&PODS, &name, app, |it| it["metadata"]["labels"]["app"] = app.into());
            }
            5..8 if exists => {
                let ready = self.rng.u8(0..3) > 0;
                self.edit(&PODS, &name, &format!("runs, {ready}, {ipv4}"), |it| {
                    it["status"] = running(&ipv4, &ipv6, ready);
                });
            }
            _ => {
                let app = self.pick(&["a", "a", "b", STEADY]);
                let labels = json!({"app": app, "tier": self.pick(&["1", "2"])});
                let ports =
                    json!([{"name": "web", "protocol": "TCP", "containerPort": self.pick(&[8080, 9090])}]);
                let mut spec = json!({"containers": [{"ports": ports}]});
                if let Some(node) = self.pick(&[Some("n0"), Some("n1"), Some("n2"), None]) {
                    spec["nodeName"] = node.into();
                }
                let status =
                    if self.rng.bool() { running(&ipv4, &ipv6, true) } else { json!({"phase": "Pending"}) };
                let metadata = json!({"namespace": NAMESPACE, "name": name, "labels": labels});
                self.put(&PODS, json!({"metadata": metadata, "spec": spec, "status": status}));
            }
        }
    }

    /// A Node appears, vanishes or moves to another zone.
    fn node(&mut self, name: &str) {
        let exists = self.api.get(&NODES, "", name).is_some();
        if exists && self.rng.bool() {
            self.remove(&NODES, name);
            return;
        }
        let zone = self.pick(&["z1", "z2"]);
        if exists {
            self.edit(&NODES, name, zone, |it| {
                it["metadata"]["labels"] = json!({"topology.kubernetes.io/zone": zone});
            });
        } else {
            self.put(
                &NODES,
                json!({"metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}}}),
            );
        }
    }

    /// Somebody else changes a slice, but none of the steady Service.
    fn meddle(&mut self) {
        let slices: Vec<_> = self
            .api
            .list(&SLICES)
            .iter()
            .filter(|slice| slice["metadata"]["namespace"] == NAMESPACE)
            .filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] != STEADY)
            .filter_map(|slice| slice["metadata"]["name"].as_str().map(str::to_owned))
            .collect();
        if slices.is_empty() {
            return;
        }
        let name = self.pick(&slices);
        let other = format!("s{}", self.rng.u8(0..3));
        match self.rng.u8(0..12) {
            0..2 => self.remove(&SLICES, &name),
            2 => self.edit(&SLICES, &name, "loses its endpoints", |it| it["endpoints"] = json!([])),
            3 => self.edit(&SLICES, &name, "is not ready", |it| {
                for endpoint in it["endpoints"].as_array_mut().into_iter().flatten() {
                    endpoint["conditions"]["ready"] = false.into();
                }
            }),
            4 => self.edit(&SLICES, &name, "gets other ports", |it| {
                it["ports"] = json!([{"name": "odd", "port": 1, "protocol": "TCP"}]);
            }),
            5 => self
                .edit(&SLICES, &name, "gets a label", |it| it["metadata"]["labels"]["mood"] = "odd".into()),
            6 => self.edit(&SLICES, &name, "goes to another Service", |it| {
                it["metadata"]["labels"]["kubernetes.io/service-name"] = other.into();
            }),
            7 => self.edit(&SLICES, &name, "goes to another controller", |it| {
                it["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = "else".into();
            }),
            8 => self
                .edit(&SLICES, &name, "loses its owner", |it| it["metadata"]["ownerReferences"] = json!([])),
            9 => self.edit(&SLICES, &name, "gets a finalizer", |it| {
                it["metadata"]["finalizers"] = json!(["example.com/hold"]);
            }),
            10 => self
                .edit(&SLICES, &name, "loses its finalizers", |it| it["metadata"]["finalizers"] = json!([])),
            _ => {
                let labels = json!({"kubernetes.io/service-name": other, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"});
                let endpoint = json!({"addresses": ["10.0.0.1"], "conditions": {"ready": true}});
                self.put(
                    &SLICES,
                    json!({"metadata": {"namespace": NAMESPACE, "name": "intruder", "labels": labels},
                    "addressType": "IPv4", "ports": [], "endpoints": [endpoint]}),
                );
            }
        }
    }
}

fn running(ipv4: &str, ipv6: &str, ready: bool) -> Value {
    let status = if ready { "True" } else { "False" };
    json!({"phase": "Running", "podIP": ipv4, "podIPs": [{"ip": ipv4}, {"ip": ipv6}],
        "conditions": [{"type": "Ready", "status": status}]})
}

fn brief(slice: &Value) -> String {
    let metadata = &slice["metadata"];
    let pods: Vec<_> = slice["endpoints"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| it["targetRef"]["name"].as_str().unwrap_or("?"))
        .collect();
    let held = if metadata["deletionTimestamp"].is_null() { "" } else { ", terminating" };
    format!(
        "{} of {}, {pods:?}{held}",
        slice["addressType"], metadata["labels"]["kubernetes.io/service-name"]
    )
}
