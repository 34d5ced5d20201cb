//! A lab whose second API server is the manager's, behind faults; everything else happens at the first one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fairlead_fake_api::SLICES;
use lab::{ApiServer, Faults, Lab, Manager, Requests, Result};

use crate::judge::{capacity_flag, judge_controllers, list, writes_during};
use crate::support::{controllers, objects_only};

/// How often the manager looks at everything again.
pub(crate) const RECHECK: Duration = Duration::from_secs(1);
/// A write that is not answered is given up after half a minute, and then tried again after up to a minute.
const PATIENCE: Duration = Duration::from_mins(3);
/// How long an endpoint may be in two slices once the caches agree.
const TWICE: Duration = Duration::from_secs(1);
/// How often somebody looks for that.
const PERIOD: Duration = Duration::from_millis(100);

pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) faults: Faults,
    pub(crate) manager: Manager,
}

impl World {
    /// Everything is calm.
    pub(crate) async fn start(environment: &[(&str, &str)]) -> Result<Self> {
        let lab = objects_only().api_servers(2).start().await?;
        let faults = lab.faults(1)?;
        faults.route(Requests::all(), &lab.api_servers()[1]);
        let recheck = format!("--recheck-period={}s", RECHECK.as_secs());
        let manager = lab.manager().controllers(&controllers()).flag("--rival-check=false");
        let manager = manager.flag(&capacity_flag()).flag(&recheck);
        let manager = environment.iter().fold(manager, |it, (name, value)| it.environment(name, value));
        let manager = manager.through(&faults).start().await?;
        Ok(Self { lab, faults, manager })
    }

    /// The API server that the manager talks to.
    pub(crate) fn server(&self) -> &ApiServer {
        &self.lab.api_servers()[1]
    }

    /// The end of every drill: calm, then all is as the objects say, then nothing is written for two rechecks and no
    /// endpoint is in two slices for long. Returns the number of writes in that time.
    pub(crate) async fn end(&self) -> Result<u64> {
        self.faults.calm()?;
        self.manager.wait_ready().await?;
        self.right().await?;
        let measure = async || {
            let measured = futures::try_join!(
                writes_during(&self.lab, &self.manager, 2 * RECHECK),
                self.nothing_twice()
            )?;
            self.right().await?;
            Ok(measured.0)
        };
        // What is right for a moment may still be overtaken by what is on its way.
        match measure().await? {
            0 => Ok(0),
            _ => measure().await,
        }
    }

    async fn right(&self) -> Result<()> {
        let names = controllers();
        let right = async || judge_controllers(&self.lab, "default", &names).await;
        self.lab.wait_until("Endpoints and slices to be right", PATIENCE, right).await
    }

    /// Looks at the slices for two rechecks, and fails when an endpoint is in two of them for too long.
    async fn nothing_twice(&self) -> Result<()> {
        let begun = Instant::now();
        let mut since: BTreeMap<String, Instant> = BTreeMap::new();
        while begun.elapsed() < 2 * RECHECK {
            let slices = list(&self.lab, &SLICES, "default").await;
            let slices = slices.map_err(|error| lab::Error::Invalid(format!("listing slices: {error}")))?;
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for slice in &slices {
                let labels = &slice["metadata"]["labels"];
                for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
                    let key = format!(
                        "{} {} {} {}",
                        labels["kubernetes.io/service-name"],
                        slice["ports"],
                        endpoint["addresses"],
                        endpoint["targetRef"]["uid"]
                    );
                    *counts.entry(key).or_default() += 1;
                }
            }
            counts.retain(|_, count| *count > 1);
            since.retain(|key, _| counts.contains_key(key));
            for key in counts.into_keys() {
                let first = *since.entry(key.clone()).or_insert_with(Instant::now);
                assert!(first.elapsed() <= TWICE, "{key} is in two slices for {:?}", first.elapsed());
            }
            tokio::time::sleep(PERIOD).await;
        }
        Ok(())
    }
}
