//! A Service `web` in namespace `shop`, its Pods and Endpoints, and the controller at work.

use std::time::Duration;

use fairlead_fake_api::{Author, ENDPOINTS, FakeApi, PODS, SERVICES, Weather};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::process::{Options, Process};

pub(crate) const NAMESPACE: &str = "shop";
/// Longer than anything takes that does not wait for a fault to end.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// The API server and the controller.
pub(crate) struct World {
    pub(crate) api: FakeApi,
    pub(crate) process: Process,
    pub(crate) options: Options,
}

impl World {
    /// Nothing; the controller has started in this weather.
    pub(crate) async fn new(seed: u64, weather: Weather) -> Self {
        fastrand::seed(seed);
        let api = FakeApi::new(seed);
        api.set_weather(weather);
        Self::on(api, Options::default()).await
    }

    /// The controller has started on this API server.
    pub(crate) async fn on(api: FakeApi, options: Options) -> Self {
        let process = Process::start(&api, &options);
        // Lists are there and watches open.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Self { api, process, options }
    }

    /// The Service with so many ready Pods and with its Endpoints, in calm weather.
    pub(crate) async fn with_pods(count: usize) -> Self {
        Self::with(count, Options::default()).await
    }

    pub(crate) async fn with(count: usize, options: Options) -> Self {
        fastrand::seed(1);
        let world = Self::on(FakeApi::new(1), options).await;
        world.put_service("web");
        for number in 0..count {
            world.put_pod(number, true);
        }
        world
            .until("all Pods", SOON, |it| it.published().len() == count && it.endpoints("web").is_some())
            .await;
        tokio::time::sleep(SOON).await;
        world
    }

    /// The controller ends as by SIGKILL, and another one begins.
    pub(crate) fn restart(&mut self) {
        self.process.kill();
        self.process = Process::start(&self.api, &self.options);
    }

    /// Creates the Service, or another one of its name.
    pub(crate) fn put_service(&self, name: &str) {
        self.api.put(&SERVICES, service(name));
    }

    pub(crate) fn edit_service(&self, name: &str, change: impl FnOnce(&mut Value)) {
        assert!(self.api.edit(&SERVICES, NAMESPACE, name, change));
    }

    /// Creates the Pod `web-<number>`, or another one of its name.
    pub(crate) fn put_pod(&self, number: usize, ready: bool) {
        self.api.put(&PODS, pod(number, ready));
    }

    pub(crate) fn set_ready(&self, number: usize, ready: bool) {
        let status = if ready { "True" } else { "False" };
        self.edit_pod(number, |it| it["status"]["conditions"][0]["status"] = status.into());
    }

    pub(crate) fn edit_pod(&self, number: usize, change: impl FnOnce(&mut Value)) {
        assert!(self.api.edit(&PODS, NAMESPACE, &format!("web-{number}"), change));
    }

    /// Changes the Endpoints of the Service, as somebody else.
    pub(crate) fn edit_endpoints(&self, change: impl FnOnce(&mut Value)) {
        assert!(self.api.edit(&ENDPOINTS, NAMESPACE, "web", change));
    }

    /// Deletes the Endpoints of the Service, as somebody else.
    pub(crate) fn delete_endpoints(&self) {
        assert!(self.api.delete(&ENDPOINTS, NAMESPACE, "web"));
    }

    /// Endpoints that somebody makes by hand.
    pub(crate) fn put_endpoints(&self, name: &str, metadata: &Value) {
        put_endpoints(&self.api, name, metadata);
    }

    pub(crate) fn endpoints(&self, name: &str) -> Option<Value> {
        self.api.get(&ENDPOINTS, NAMESPACE, name).map(|it| (*it).clone())
    }

    /// The addresses as `pod:r` or `pod:-`, sorted.
    pub(crate) fn published(&self) -> Vec<String> {
        let endpoints = self.endpoints("web").unwrap_or_default();
        let of = |list: &str, letter: &str| -> Vec<String> {
            let subsets = endpoints["subsets"].as_array().into_iter().flatten();
            let addresses = subsets.flat_map(|it| it[list].as_array().cloned().unwrap_or_default());
            addresses
                .map(|it| format!("{}:{letter}", it["targetRef"]["name"].as_str().unwrap_or("?")))
                .collect()
        };
        let mut all = [of("addresses", "r"), of("notReadyAddresses", "-")].concat();
        all.sort();
        all
    }

    /// How often clients, and so the controller, have written or deleted Endpoints since this version.
    pub(crate) fn writes_since(&self, version: u64) -> usize {
        let events = self.api.events_after(version);
        events.iter().filter(|it| it.kind == &ENDPOINTS && it.author == Author::Client).count()
    }

    /// Waits until it holds; panics with what is there when it takes longer.
    pub(crate) async fn until(&self, what: &str, limit: Duration, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            let endpoints = self.api.list(&ENDPOINTS);
            assert!(begun.elapsed() < limit, "no {what} after {limit:?}: {endpoints:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) fn put_endpoints(api: &FakeApi, name: &str, metadata: &Value) {
    let mut object = json!({"metadata": metadata, "subsets": [
        {"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 5432, "protocol": "TCP"}]}]});
    object["metadata"]["namespace"] = NAMESPACE.into();
    object["metadata"]["name"] = name.into();
    api.put(&ENDPOINTS, object);
}

pub(crate) fn service(name: &str) -> Value {
    let ports = json!([{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}]);
    let spec = json!({"type": "ClusterIP", "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"],
        "selector": {"app": name}, "ports": ports});
    json!({"metadata": {"namespace": NAMESPACE, "name": name}, "spec": spec})
}

fn pod(number: usize, ready: bool) -> Value {
    let metadata = json!({"namespace": NAMESPACE, "name": format!("web-{number}"), "labels": {"app": "web"}});
    let ip = format!("10.0.{}.{}", number / 250, number % 250 + 1);
    let condition = json!({"type": "Ready", "status": if ready { "True" } else { "False" }});
    let status = json!({"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [condition]});
    json!({"metadata": metadata, "spec": {"nodeName": "node-1", "containers": [{}]}, "status": status})
}
