//! A lab with a manager behind faults, the weather there, and what there must be once it is calm.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams};
use lab::{Faults, Lab, Manager, Requests, Result, Weather};
use tokio::sync::watch;

use crate::judge::{capacity_flag, judge, writes_at_rest};
use crate::support::{CONTROLLER, objects_only, writes_of};

/// How long one weather lasts at most.
const SPELL: Duration = Duration::from_secs(3);
/// The longest time without an API server.
const OUTAGE: Duration = Duration::from_millis(700);

pub(crate) struct Cluster {
    pub(crate) lab: Lab,
    pub(crate) faults: Faults,
    pub(crate) manager: Manager,
}

impl Cluster {
    pub(crate) async fn start(seed: u64) -> Result<Self> {
        let lab = objects_only().start().await?;
        let faults = lab.faults(seed)?;
        let manager = lab.manager().controllers(CONTROLLER).flag(&capacity_flag()).through(&faults);
        let manager = manager.start().await?;
        Ok(Self { lab, faults, manager })
    }

    /// One spell of weather after the other, with outages, compactions and the manager killed, until `over`.
    /// Returns how often the manager was killed.
    pub(crate) async fn rough_weather(&self, seed: u64, mut over: watch::Receiver<bool>) -> Result<u64> {
        let mut kills = 0;
        let mut rng = fastrand::Rng::with_seed(seed);
        while !*over.borrow() {
            self.faults.calm()?;
            let weather = some_weather(&mut rng);
            self.faults.weather(&weather, &Requests::all());
            // The error is that the time is up.
            let _ =
                tokio::time::timeout(SPELL.mul_f64(0.2 + 0.8 * rng.f64()), over.wait_for(|over| *over)).await;
            match rng.u8(0..6) {
                0 | 1 => {
                    self.manager.kill().await?;
                    self.manager.process().restart()?;
                    kills += 1;
                }
                2 => {
                    self.faults.set_down(true)?;
                    tokio::time::sleep(OUTAGE.mul_f64(rng.f64())).await;
                    self.faults.set_down(false)?;
                }
                3 => drop(self.lab.compact().await?),
                _ => {}
            }
        }
        Ok(kills)
    }

    /// Weather in which most writes fail, and the manager lives.
    pub(crate) fn last_weather(&self) {
        let last = Weather {
            conflict: 30,
            error: 20,
            unavailable: 10,
            lost_answer: 30,
            throttle: 1,
            ..Weather::WORST
        };
        self.faults.weather(&last, &Requests::all());
    }

    /// Ends the faults, and waits until the slices of all namespaces are right. Returns what is wrong where.
    pub(crate) async fn settle(
        &self,
        namespaces: &[String],
        patience: Duration,
    ) -> Result<BTreeMap<String, String>> {
        self.faults.calm()?;
        self.manager.wait_ready().await?;
        let begun = Instant::now();
        let mut wrong: BTreeMap<String, String> =
            namespaces.iter().map(|it| (it.clone(), "not looked at".to_owned())).collect();
        while !wrong.is_empty() && begun.elapsed() < patience {
            wrong = self.look(wrong.keys()).await?;
        }
        Ok(wrong)
    }

    /// What the judges say at this moment.
    async fn look(&self, namespaces: impl Iterator<Item = &String>) -> Result<BTreeMap<String, String>> {
        self.lab.check()?;
        let mut wrong = BTreeMap::new();
        for namespace in namespaces {
            if let Err(reason) = judge(&self.lab, namespace).await {
                wrong.insert(namespace.clone(), reason.to_string());
            }
        }
        Ok(wrong)
    }

    /// What is written although everything is right, while nothing happens and when the manager starts anew; and
    /// what is wrong at the end.
    pub(crate) async fn needless_writes(&self, namespaces: &[String]) -> Result<BTreeMap<String, String>> {
        let versions = self.slices().await?;
        let at_rest = writes_at_rest(&self.lab, &self.manager).await?;
        self.manager.kill().await?;
        let before = self.lab.writes().await?;
        self.manager.restart().await?;
        let services: Api<Service> = Api::all(self.lab.api());
        // The canaries are nobody's business.
        let others = |service: &&Service| service.metadata.namespace.as_deref() != Some("fairlead-system");
        let services = services.list(&ListParams::default()).await?.items.iter().filter(others).count();
        // A number of Services is far below 2^52.
        #[expect(clippy::cast_precision_loss)]
        let anew = writes_of(&self.lab, &self.manager, &before, services as f64).await?;
        let mut found = self.look(namespaces.iter()).await?;
        if at_rest + anew > 0 {
            let now = self.slices().await?;
            for namespace in namespaces {
                let of_namespace = |all: &BTreeMap<(String, String), String>| {
                    all.iter()
                        .filter(|((it, _), _)| it == namespace)
                        .map(|(key, it)| (key.1.clone(), it.clone()))
                        .collect::<BTreeMap<_, _>>()
                };
                let (old, new) = (of_namespace(&versions), of_namespace(&now));
                if old != new {
                    found.insert(
                        namespace.clone(),
                        format!("written after all was right: {old:?}, then {new:?}"),
                    );
                }
            }
            found.insert(
                "all".to_owned(),
                format!(
                    "{at_rest} writes while nothing happened, {anew} after a restart, though all was right"
                ),
            );
        }
        Ok(found)
    }

    /// Versions of all slices.
    async fn slices(&self) -> Result<BTreeMap<(String, String), String>> {
        let slices: Api<EndpointSlice> = Api::all(self.lab.api());
        let list = slices.list(&ListParams::default()).await?;
        let entry = |slice: EndpointSlice| {
            let metadata = slice.metadata;
            let key = (metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default());
            (key, metadata.resource_version.unwrap_or_default())
        };
        Ok(list.items.into_iter().map(entry).collect())
    }
}

/// Everything at once, or a few things often.
fn some_weather(rng: &mut fastrand::Rng) -> Weather {
    let mut some = |percent: u8| if rng.u8(0..4) == 0 { percent } else { 0 };
    let few = Weather {
        conflict: some(50),
        throttle: some(5),
        error: some(50),
        unavailable: some(40),
        lost_answer: some(60),
        hang: some(15),
        delay: some(70),
        cut: some(80),
        silence: some(30),
        lag: some(80),
        stale_list: 0,
        compaction: some(50),
    };
    // Each answer that asks for patience stops all writes for a second: with many of them nothing else would happen.
    [Weather { throttle: 1, ..Weather::WORST }, few, few][rng.usize(0..3)]
}
