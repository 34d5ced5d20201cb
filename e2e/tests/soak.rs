//! Very many Services come and go: what a manager keeps of them must not grow.
//!
//! `make soak`, or by hand with the variables `SERVICES`, `MINUTES` and `FAIRLEAD_BINARY` (a release build, for figures
//! that mean something).

use std::fmt::Debug;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Resource;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::core::NamespaceResourceScope;
use lab::{Error, Lab, Manager, Pod, ProxyMode, Result};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

const SERVICES: u64 = 100_000;
const MINUTES: u64 = 60;
/// So many Services exist at a time.
const ALIVE: u64 = 300;
/// Pods, in groups of [`GROUP`] with a label of their own, that the Services select.
const PODS: u64 = 60;
const GROUP: u64 = 3;
/// A Pod changes its readiness after so many Services.
const FLIP: u64 = 5;
/// Requests at a time: enough to keep the pace when the API server is slow for a moment.
const AT_A_TIME: usize = 64;
/// Memory at the end, as a multiple of what it was when a fifth of the Services had gone, and MiB on top, as allocators
/// keep what they had.
const GROWTH: (f64, f64) = (1.1, 2.0);
/// The garbage collector may be behind by far.
const PATIENCE: Duration = Duration::from_mins(15);

#[tokio::test]
#[ignore = "takes an hour: make soak"]
async fn services_that_are_gone_leave_nothing_behind() -> Result<()> {
    let services = variable("SERVICES", SERVICES).max(10 * ALIVE);
    let length = Duration::from_secs(60 * variable("MINUTES", MINUTES));
    // With its 20 requests a second the garbage collector would leave more and more slices for the manager to know.
    let lab = Lab::builder()
        .nodes(1)
        .proxy(ProxyMode::None)
        .controller_manager_flag("--kube-api-qps=1000")
        .controller_manager_flag("--kube-api-burst=1000")
        .start()
        .await?;
    let mut pods = Vec::new();
    for number in 0..PODS {
        let group = format!("group-{}", number / GROUP);
        let pod = lab.pod("default", &format!("pod-{number}")).label("app", &group).paper().start().await?;
        pods.push(pod);
    }
    let manager = lab.manager().start().await?;

    let mut soak = Soak { lab: &lab, manager: &manager, pods, samples: Vec::new(), begun: Instant::now() };
    soak.run(services, length).await?;
    let left = soak.wait_for_the_end().await?;
    soak.sample(services).await?;
    let (early, late) = soak.early_and_late();
    let allowed = early * GROWTH.0 + GROWTH.1;
    let writes = lab.writes().await?;
    let line = json!({
        "name": "soak",
        "services": services,
        "minutes": soak.begun.elapsed().as_secs_f64() / 60.0,
        "rss_mib": soak.samples,
        "rss_mib_early": early,
        "rss_mib_late": late,
        "cpu_seconds": manager.process().usage()?.cpu.as_secs_f64(),
        "slice_writes": writes.of_resource("endpointslices"),
        "endpoints_writes": writes.of_resource("endpoints"),
        "log_lines": manager.log()?.lines().count(),
        "left": left,
        "flat": late <= allowed,
    });
    println!("{line:#}");
    assert!(left.is_empty(), "still there: {left:?}");
    assert!(late <= allowed, "memory grew from {early:.1} to {late:.1} MiB: {:?}", soak.samples);
    Ok(())
}

struct Soak<'a> {
    lab: &'a Lab,
    manager: &'a Manager,
    pods: Vec<Pod>,
    /// Resident MiB, at equal distances.
    samples: Vec<f64>,
    begun: Instant,
}

impl Soak<'_> {
    /// Creates all Services in this time, and deletes each when [`ALIVE`] younger ones exist.
    async fn run(&mut self, services: u64, length: Duration) -> Result<()> {
        let each = length.div_f64(f64::from(u32::try_from(services).unwrap_or(u32::MAX)));
        let mut ticks = tokio::time::interval(each.max(Duration::from_micros(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut under_way = JoinSet::new();
        for number in 0..services + ALIVE {
            ticks.tick().await;
            if number < services {
                under_way.spawn(create(self.lab.api(), number));
            }
            if let Some(old) = number.checked_sub(ALIVE) {
                under_way.spawn(delete(self.lab.api(), old));
            }
            if number % FLIP == 0 {
                let flips = number / FLIP;
                let pod = self.pods[usize::try_from(flips % PODS).unwrap_or_default()].clone();
                under_way.spawn(async move { pod.set_ready((flips / PODS) % 2 == 1).await });
            }
            while under_way.len() > AT_A_TIME {
                finished(under_way.join_next().await)?;
            }
            if number % (services / 50).max(1) == 0 {
                self.sample(number).await?;
            }
        }
        while let Some(ended) = under_way.join_next().await {
            finished(Some(ended))?;
        }
        Ok(())
    }

    async fn sample(&mut self, services: u64) -> Result<()> {
        self.lab.check()?;
        let metrics = self.manager.metrics().await?;
        let resident = metrics.sum("process_resident_memory_bytes", &[]) / f64::from(1 << 20);
        eprintln!("[{:>6.0} s] {services} Services, {resident:.1} MiB", self.begun.elapsed().as_secs_f64());
        self.samples.push((resident * 10.0).round() / 10.0);
        Ok(())
    }

    /// The most memory in the second fifth of the time, and in the last one.
    fn early_and_late(&self) -> (f64, f64) {
        let fifth = (self.samples.len() / 5).max(1);
        let most = |samples: &[f64]| samples.iter().copied().fold(0.0, f64::max);
        let (early, late) = (self.samples.chunks(fifth).nth(1), self.samples.rchunks(fifth).next());
        (most(early.unwrap_or_default()), most(late.unwrap_or_default()))
    }

    /// Waits until nothing is left of the Services; returns what remains.
    async fn wait_for_the_end(&self) -> Result<Vec<String>> {
        let begun = Instant::now();
        loop {
            let mut left = names::<Service>(self.lab).await?;
            left.extend(names::<Endpoints>(self.lab).await?);
            left.extend(names::<EndpointSlice>(self.lab).await?);
            if left.is_empty() || begun.elapsed() > PATIENCE {
                return Ok(left);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn finished(ended: Option<std::result::Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    match ended {
        None => Ok(()),
        Some(ended) => ended.map_err(|error| Error::Invalid(format!("a request: {error}")))?,
    }
}

/// Every fourth Service is headless, every fourth has both families, every fourth no selector but Endpoints by hand.
async fn create(api: kube::Client, number: u64) -> Result<()> {
    let name = name(number);
    let group = format!("group-{}", number % (PODS / GROUP));
    let mut spec = json!({ "selector": { "app": group }, "ports": [{ "name": "http", "port": 80 }] });
    match number % 4 {
        0 => spec["clusterIP"] = "None".into(),
        1 => spec["ipFamilyPolicy"] = "PreferDualStack".into(),
        2 => spec["selector"] = Value::Null,
        _ => {}
    }
    put::<Service>(&api, json!({ "metadata": { "name": name }, "spec": spec })).await?;
    if number % 4 == 2 {
        let address = format!("198.51.100.{}", number % 200 + 1);
        let subset = json!({ "addresses": [{ "ip": address }], "ports": [{ "name": "http", "port": 5432 }] });
        put::<Endpoints>(&api, json!({ "metadata": { "name": name }, "subsets": [subset] })).await?;
    }
    Ok(())
}

async fn put<K>(api: &kube::Client, object: Value) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug,
    K: DeserializeOwned + serde::Serialize,
{
    let failed =
        |error: &dyn std::fmt::Display| Error::Invalid(format!("creating {}: {error}", K::kind(&())));
    let object: K = serde_json::from_value(object).map_err(|error| failed(&error))?;
    let created = Api::namespaced(api.clone(), "default").create(&PostParams::default(), &object).await;
    created.map(drop).map_err(|error| failed(&error))
}

async fn delete(api: kube::Client, number: u64) -> Result<()> {
    let services: Api<Service> = Api::namespaced(api, "default");
    let name = name(number);
    let deleted = services.delete(&name, &DeleteParams::default()).await;
    deleted.map(drop).map_err(|error| Error::Invalid(format!("deleting the Service {name}: {error}")))
}

fn name(number: u64) -> String {
    format!("soaked-{number}")
}

/// The objects of the soak that exist.
async fn names<K>(lab: &Lab) -> Result<Vec<String>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(lab.api(), "default");
    let found = api.list_metadata(&ListParams::default()).await;
    let found = found.map_err(|error| Error::Invalid(format!("listing {}: {error}", K::plural(&()))))?;
    let names = found.items.into_iter().filter_map(|object| object.metadata.name);
    Ok(names
        .filter(|name| name.starts_with("soaked-"))
        .map(|name| format!("{} {name}", K::kind(&())))
        .collect())
}
