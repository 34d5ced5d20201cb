//! Endpoints `db` in namespace `shop`, their Service and slices, and the controller at work.

use std::time::Duration;

use fairlead_fake_api::{ENDPOINTS, FakeApi, SERVICES, SLICES, Weather};
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
    /// Nothing yet; the controller has started in this weather.
    pub(crate) async fn new(seed: u64, weather: Weather) -> Self {
        fastrand::seed(seed);
        let api = FakeApi::new(seed);
        api.set_weather(weather);
        let process = Process::start(&api);
        // Lists are there and watches open.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Self { api, process }
    }

    /// Endpoints with these addresses on port 5432, mirrored, in calm weather.
    pub(crate) async fn with(addresses: &[&str]) -> Self {
        let world = Self::new(1, Weather::default()).await;
        world.put_service();
        world.put_endpoints(&json!([subset(addresses, 5432)]));
        world.until("mirror", SOON, |it| it.published() == addresses).await;
        tokio::time::sleep(SOON).await;
        world
    }

    /// Creates the Service, or another one of its name.
    pub(crate) fn put_service(&self) {
        let spec = json!({ "type": "ClusterIP", "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"],
            "ports": [{ "port": 5432, "protocol": "TCP" }] });
        self.api
            .put(&SERVICES, json!({ "metadata": { "namespace": NAMESPACE, "name": "db" }, "spec": spec }));
    }

    /// Gives the Service a selector, or takes it away.
    pub(crate) fn select(&self, selector: Value) {
        assert!(self.api.edit(&SERVICES, NAMESPACE, "db", |it| it["spec"]["selector"] = selector));
    }

    /// Creates the Endpoints, or others of their name.
    pub(crate) fn put_endpoints(&self, subsets: &Value) {
        self.api.put(
            &ENDPOINTS,
            json!({ "metadata": { "namespace": NAMESPACE, "name": "db" }, "subsets": subsets }),
        );
    }

    pub(crate) fn edit_endpoints(&self, change: impl FnOnce(&mut Value)) {
        assert!(self.api.edit(&ENDPOINTS, NAMESPACE, "db", change));
    }

    /// Other addresses on port 5432.
    pub(crate) fn set_addresses(&self, addresses: &[&str]) {
        self.edit_endpoints(|it| it["subsets"] = json!([subset(addresses, 5432)]));
    }

    /// Changes a slice, as somebody else.
    pub(crate) fn edit_slice(&self, name: &str, change: impl FnOnce(&mut Value)) {
        assert!(self.api.edit(&SLICES, NAMESPACE, name, change));
    }

    /// The mirroring slices that are not being deleted.
    pub(crate) fn slices(&self) -> Vec<Value> {
        let mut slices: Vec<Value> = self.api.list(&SLICES).iter().map(|slice| (**slice).clone()).collect();
        slices.retain(|slice| {
            let labels = &slice["metadata"]["labels"];
            labels["kubernetes.io/service-name"] == "db"
                && labels["endpointslice.kubernetes.io/managed-by"]
                    == "endpointslicemirroring-controller.k8s.io"
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

    /// The mirrored addresses, sorted; not ready ones with `!`; one that is there twice is named twice.
    pub(crate) fn published(&self) -> Vec<String> {
        let endpoint = |it: &Value| {
            let mark = if it["conditions"]["ready"] == true { "" } else { "!" };
            format!("{mark}{}", it["addresses"][0].as_str().unwrap_or("?"))
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

    pub(crate) async fn until_published(&self, what: &str, addresses: &[&str]) {
        self.until(what, SOON, |it| it.published() == addresses).await;
    }
}

pub(crate) fn subset(addresses: &[&str], port: i32) -> Value {
    let addresses: Vec<_> = addresses.iter().map(|ip| json!({ "ip": ip })).collect();
    json!({ "addresses": addresses, "ports": [{ "name": "sql", "port": port, "protocol": "TCP" }] })
}
