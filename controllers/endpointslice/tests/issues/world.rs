//! A Service `web` in namespace `shop`, its Pods and slices, and the controller at work.

use std::time::Duration;

use fairlead_fake_api::{FakeApi, NODES, PODS, SERVICES, SLICES, Weather};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::process::Process;

pub(crate) const NAMESPACE: &str = "shop";
/// Longer than anything takes that does not wait for a fault to end.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// The API server and the controller.
pub(crate) struct World {
    pub(crate) api: FakeApi,
    pub(crate) process: Process,
}

impl World {
    /// A Node in a zone and nothing else; the controller has started in this weather.
    pub(crate) async fn new(seed: u64, weather: Weather) -> Self {
        fastrand::seed(seed);
        let api = FakeApi::new(seed);
        api.set_weather(weather);
        put_node(&api, "node-1", Some("zone-a"));
        let process = Process::start(&api);
        // Lists are there and watches open.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Self { api, process }
    }

    /// The Service with so many ready Pods and with its slices, in calm weather.
    pub(crate) async fn with_pods(count: usize) -> Self {
        let world = Self::new(1, Weather::default()).await;
        world.put_service("web");
        for number in 0..count {
            world.put_pod(number, true);
        }
        world.until("all Pods", SOON, |it| it.published().len() == count).await;
        tokio::time::sleep(SOON).await;
        world
    }

    /// Creates the Service, or another one of its name.
    pub(crate) fn put_service(&self, name: &str) {
        self.api.put(&SERVICES, service(name));
    }

    /// Creates the Pod `web-<number>`, or another one of its name.
    pub(crate) fn put_pod(&self, number: usize, ready: bool) {
        self.api.put(&PODS, pod(number, ready));
    }

    /// Changes the Pod `web-<number>`.
    pub(crate) fn set_ready(&self, number: usize, ready: bool) {
        let status = if ready { "True" } else { "False" };
        self.edit_pod(number, |it| it["status"]["conditions"][0]["status"] = status.into());
    }

    pub(crate) fn edit_pod(&self, number: usize, change: impl FnOnce(&mut Value)) {
        assert!(self.api.edit(&PODS, NAMESPACE, &format!("web-{number}"), change));
    }

    /// Changes a slice, as somebody else.
    pub(crate) fn edit_slice(&self, name: &str, change: impl FnOnce(&mut Value)) {
        assert!(self.api.edit(&SLICES, NAMESPACE, name, change));
    }

    /// Deletes a slice, as somebody else.
    pub(crate) fn delete_slice(&self, name: &str) {
        assert!(self.api.delete(&SLICES, NAMESPACE, name));
    }

    /// The slices of the Service that are not being deleted.
    pub(crate) fn slices(&self) -> Vec<Value> {
        let mut slices: Vec<Value> = self.api.list(&SLICES).iter().map(|slice| (**slice).clone()).collect();
        slices.retain(|slice| {
            let labels = &slice["metadata"]["labels"];
            labels["kubernetes.io/service-name"] == "web"
                && labels["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
                && slice["metadata"]["deletionTimestamp"].is_null()
        });
        slices
    }

    /// The name of the only slice.
    pub(crate) fn only_slice(&self) -> String {
        let slices = self.slices();
        let [only] = &slices[..] else { panic!("one slice expected: {slices:?}") };
        only["metadata"]["name"].as_str().unwrap_or_default().to_owned()
    }

    /// The endpoints as `pod:conditions`, sorted, with `r` for ready; one that is there twice is named twice.
    pub(crate) fn published(&self) -> Vec<String> {
        let endpoint = |it: &Value| {
            let ready = if it["conditions"]["ready"] == true { "r" } else { "-" };
            format!("{}:{ready}", it["targetRef"]["name"].as_str().unwrap_or("?"))
        };
        let mut all: Vec<_> = self
            .slices()
            .iter()
            .flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default())
            .map(|it| endpoint(&it))
            .collect();
        all.sort();
        all
    }

    /// How many slices were created so far.
    pub(crate) fn created(&self) -> usize {
        let events = self.api.events_after(0);
        events.iter().filter(|event| event.kind == &SLICES && event.old.is_none()).count()
    }

    /// Waits until it holds; panics with what is there when it takes longer.
    pub(crate) async fn until(&self, what: &str, limit: Duration, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            let slices = self.slices();
            assert!(begun.elapsed() < limit, "no {what} after {limit:?}: {}", json!(slices));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) fn put_node(api: &FakeApi, name: &str, zone: Option<&str>) {
    let labels = zone.map_or(json!({}), |zone| json!({"topology.kubernetes.io/zone": zone}));
    let status = json!({"allocatable": {"cpu": "4"}, "conditions": [{"type": "Ready", "status": "True"}]});
    api.put(&NODES, json!({"metadata": {"name": name, "labels": labels}, "status": status}));
}

pub(crate) fn service(name: &str) -> Value {
    let ports = json!([{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}]);
    let spec = json!({"type": "ClusterIP", "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"],
        "selector": {"app": name}, "ports": ports});
    json!({"metadata": {"namespace": NAMESPACE, "name": name}, "spec": spec})
}

pub(crate) fn pod(number: usize, ready: bool) -> Value {
    let metadata = json!({"namespace": NAMESPACE, "name": format!("web-{number}"), "labels": {"app": "web"}});
    let ip = format!("10.0.0.{}", number + 1);
    let condition = json!({"type": "Ready", "status": if ready { "True" } else { "False" }});
    let status = json!({"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [condition]});
    json!({"metadata": metadata, "spec": {"nodeName": "node-1", "containers": [{}]}, "status": status})
}
