//! Pools, Services in namespace `shop`, and what became of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fairlead_fake_api::{ADDRESSES, Author, Event, FakeApi, Kind, POOLS, SERVICES, Weather};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::process::Process;

pub(crate) const NAMESPACE: &str = "shop";
/// Longer than anything takes that does not wait for a fault to end.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// An API server with the pool `public`, 198.51.100.0/28: fourteen addresses.
pub(crate) fn api(seed: u64) -> FakeApi {
    fastrand::seed(seed);
    let api = FakeApi::new(seed);
    put_pool(&api, "public", &json!({ "addresses": ["198.51.100.0/28"] }));
    api
}

/// Creates a pool, or another one of its name.
pub(crate) fn put_pool(api: &FakeApi, name: &str, spec: &Value) {
    api.put(&POOLS, json!({ "metadata": { "name": name }, "spec": spec }));
}

/// Creates a Service of type LoadBalancer with this number, or another one of its name.
pub(crate) fn put_service(api: &FakeApi, name: &str) {
    put_service_with(api, name, &json!({}));
}

/// As [`put_service`], with annotations.
pub(crate) fn put_service_with(api: &FakeApi, name: &str, annotations: &Value) {
    let spec = json!({ "type": "LoadBalancer", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"],
        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "selector": { "app": name },
        "ports": [{ "port": 80, "protocol": "TCP" }] });
    let metadata = json!({ "namespace": NAMESPACE, "name": name, "annotations": annotations });
    api.put(&SERVICES, json!({ "metadata": metadata, "spec": spec }));
}

/// The addresses in the status of a Service.
pub(crate) fn published(service: &Value) -> Vec<String> {
    let ingress = service["status"]["loadBalancer"]["ingress"].as_array();
    let addresses = ingress.into_iter().flatten().filter_map(|entry| entry["ip"].as_str());
    addresses.map(str::to_owned).collect()
}

/// The addresses in the status of the Service of this name.
pub(crate) fn published_of(api: &FakeApi, name: &str) -> Vec<String> {
    api.get(&SERVICES, NAMESPACE, name).map(|service| published(&service)).unwrap_or_default()
}

/// Each address that is allocated, with the UIDs of its Services; `None` while it cools down.
pub(crate) fn allocated(api: &FakeApi) -> BTreeMap<String, Option<Vec<String>>> {
    let of = |object: &Value| {
        let services = object["spec"]["services"].as_array().into_iter().flatten();
        let uids = services.filter_map(|it| it["uid"].as_str()).map(str::to_owned).collect();
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        (name, (object["status"]["phase"] != "Cooling").then_some(uids))
    };
    api.list(&ADDRESSES).iter().map(|object| of(object)).collect()
}

/// What is wrong with the addresses now that everything has settled: each Service has one, and its object names just it.
pub(crate) fn wrong(api: &FakeApi) -> Option<String> {
    let mut allocated = allocated(api);
    allocated.retain(|_, holders| holders.is_some());
    for service in api.list(&SERVICES) {
        let (name, uid) = (&service["metadata"]["name"], &service["metadata"]["uid"]);
        let addresses = published(&service);
        let [address] = &addresses[..] else { return Some(format!("Service {name} has {addresses:?}")) };
        let holders = allocated.remove(address).flatten().unwrap_or_default();
        if holders != [uid.as_str().unwrap_or_default()] {
            return Some(format!("{address} of Service {name} ({uid}) belongs to {holders:?}"));
        }
        let conditions = service["status"]["conditions"].as_array().into_iter().flatten();
        let ready = conditions.filter(|it| it["type"] == "fairlead.dev/LoadBalancerReady");
        if ready.map(|it| it["status"].clone()).collect::<Vec<_>>() != ["True"] {
            return Some(format!("the condition of Service {name}: {}", service["status"]["conditions"]));
        }
    }
    (!allocated.is_empty()).then(|| format!("nobody has {allocated:?}"))
}

/// Waits until nothing is wrong; panics with what is when it takes longer.
pub(crate) async fn until_right(api: &FakeApi, limit: Duration, context: &str) {
    until(&format!("right state ({context})"), limit, || wrong(api)).await;
}

/// Waits until there is nothing to say; panics with it when it takes longer.
pub(crate) async fn until(what: &str, limit: Duration, missing: impl Fn() -> Option<String>) {
    let begun = Instant::now();
    while let Some(missing) = missing() {
        assert!(begun.elapsed() < limit, "no {what} after {limit:?}: {missing}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What clients have written since a version, apart from events about objects: kind and what it was.
pub(crate) fn writes_after(api: &FakeApi, version: u64) -> Vec<(&'static Kind, &'static str)> {
    let written = api.events_after(version).into_iter().filter(|event| event.author == Author::Client);
    let verb = |event: &Event| match (&event.old, &event.new) {
        (None, _) => "create",
        (_, None) => "delete",
        _ => "update",
    };
    written.map(|event| (event.kind, verb(&event))).collect()
}

/// What the history says was wrong at some moment: two Services with one address, or a status that names an address which
/// is not allocated to its Service.
pub(crate) fn crimes(api: &FakeApi) -> Vec<String> {
    let mut crimes = Vec::new();
    let mut holders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in api.events_after(0) {
        let name = event.key.1.clone();
        if event.kind == &ADDRESSES {
            let object = event.new.as_deref().unwrap_or(&Value::Null);
            let services = object["spec"]["services"].as_array().into_iter().flatten();
            let uids = services.filter_map(|it| it["uid"].as_str()).map(str::to_owned).collect();
            holders.insert(name.clone(), uids);
            let is_shown = shown.iter().find(|(_, addresses)| addresses.contains(&name));
            let is_bound = !object.is_null() && object["status"]["phase"] != "Cooling";
            if let Some((service, _)) = is_shown.filter(|_| !is_bound && event.author == Author::Client) {
                crimes.push(format!("{}: {name} was released while {service} shows it", event.version));
            }
        } else if event.kind == &SERVICES {
            let now = event.new.as_deref().map(published).unwrap_or_default();
            let uid = event.new.as_deref().and_then(|it| it["metadata"]["uid"].as_str()).unwrap_or_default();
            for address in now.iter().filter(|_| event.author == Author::Client) {
                if !holders.get(address).is_some_and(|uids| uids.contains(uid)) {
                    crimes.push(format!("{}: {name} shows {address}, which is not its own", event.version));
                }
                let other = shown.iter().find(|(other, shown)| **other != name && shown.contains(address));
                if let Some((other, _)) = other {
                    crimes.push(format!("{}: {name} and {other} show {address}", event.version));
                }
            }
            shown.insert(name, now);
        }
    }
    crimes
}

/// The API server and the controller.
pub(crate) struct World {
    pub(crate) api: FakeApi,
    pub(crate) process: Process,
}

impl World {
    /// The pool alone, and a controller that has started, in calm weather.
    pub(crate) async fn new() -> Self {
        Self::in_weather(1, Weather::default()).await
    }

    /// As [`World::new`], in this weather.
    pub(crate) async fn in_weather(seed: u64, weather: Weather) -> Self {
        let api = api(seed);
        api.set_weather(weather);
        let process = Process::start(&api);
        // Lists are there and watches open.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Self { api, process }
    }

    /// With these Services, which have their addresses.
    pub(crate) async fn with(services: &[&str]) -> Self {
        let world = Self::new().await;
        for name in services {
            put_service(&world.api, name);
        }
        until_right(&world.api, SOON, "at the start").await;
        tokio::time::sleep(SOON).await;
        world
    }

    /// Addresses by Service.
    pub(crate) fn addresses(&self) -> BTreeMap<String, Vec<String>> {
        let services = self.api.list(&SERVICES).into_iter();
        let name = |service: &Value| service["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        services.map(|service| (name(&service), published(&service))).collect()
    }
}
