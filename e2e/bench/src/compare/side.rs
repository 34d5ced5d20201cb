//! The two processes that are compared.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use lab::{Lab, Process, Result, Usage};

use super::{OURS, UPSTREAM};

/// So many objects each controller works on at a time, on both sides.
const WORKERS: [(&str, &str); 3] = [
    ("endpoints-controller", "--concurrent-endpoint-syncs=50"),
    ("endpointslice-controller", "--concurrent-service-endpoint-syncs=50"),
    ("endpointslice-mirroring-controller", "--mirroring-concurrent-service-endpoint-syncs=50"),
];
/// How often a process is looked at until it has settled.
const LOOK: Duration = Duration::from_millis(250);
/// It has settled when it used less than 3 % of a core for three seconds.
const CALM_FOR: Duration = Duration::from_secs(3);
const CALM_CPU: Duration = Duration::from_millis(90);

/// The flags for the workers of these controllers: a controller that is off may not know its own.
fn workers(controllers: &str) -> impl Iterator<Item = &'static str> {
    let is_on = |name: &str| controllers.split(',').any(|controller| controller == name);
    WORKERS.iter().filter(move |(name, _)| is_on(name)).map(|(_, flag)| *flag)
}

/// One of the two. It does not run unless started.
pub(super) struct Side {
    pub(super) name: &'static str,
    process: Process,
}

impl Side {
    /// `fairlead manager` with the ServiceAccount of `config/rbac`.
    pub(super) async fn fairlead(lab: &Lab, controllers: &str) -> Result<Self> {
        let manager = lab.manager().controllers(controllers);
        let manager = workers(controllers).fold(manager, lab::ManagerBuilder::flag);
        Self::ended(OURS, manager.spawn().await?.process().clone()).await
    }

    /// A kube-controller-manager that runs these controllers only and is not held back by its client.
    pub(super) async fn upstream(lab: &Lab, controllers: &str) -> Result<Self> {
        let unlimited = ["--kube-api-qps=10000", "--kube-api-burst=10000"];
        let flags: Vec<_> = unlimited.into_iter().chain(workers(controllers)).collect();
        Self::ended(UPSTREAM, lab.upstream(controllers, &flags).await?).await
    }

    async fn ended(name: &'static str, process: Process) -> Result<Self> {
        process.kill().await?;
        Ok(Self { name, process })
    }

    /// Starts it, and says when.
    pub(super) fn start(&self) -> Result<Instant> {
        let now = Instant::now();
        self.process.restart()?;
        Ok(now)
    }

    /// Ends it.
    pub(super) async fn stop(&self) -> Result<()> {
        self.process.kill().await.map(drop)
    }

    /// What it has used since it was started.
    pub(super) fn usage(&self) -> Result<Usage> {
        self.process.usage()
    }

    /// Waits until it has nothing to do any more, and says what it used until then. The time in which that shows
    /// is not counted.
    pub(super) async fn settled(&self, lab: &Lab, at_least: Duration, limit: Duration) -> Result<Usage> {
        let began = Instant::now();
        let mut looks: VecDeque<(Instant, Usage)> = VecDeque::new();
        while began.elapsed() < limit {
            lab.check()?;
            let (now, usage) = (Instant::now(), self.usage()?);
            while looks.get(1).is_some_and(|(at, _)| now - *at >= CALM_FOR) {
                looks.pop_front();
            }
            if let Some((at, earlier)) = looks.front()
                && began.elapsed() >= at_least
                && now - *at >= CALM_FOR
                && usage.cpu.saturating_sub(earlier.cpu) <= CALM_CPU
            {
                return Ok(*earlier);
            }
            looks.push_back((now, usage));
            tokio::time::sleep(LOOK).await;
        }
        Err(lab::Error::Invalid(format!("{} is still busy after {limit:?}", self.name)))
    }
}
