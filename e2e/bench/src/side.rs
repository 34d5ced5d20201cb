//! A process that is compared with another one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use lab::{Lab, Process, Result, Usage};

/// How often a process is looked at until it has settled.
const LOOK: Duration = Duration::from_millis(250);
/// It has settled when it used less than 3 % of a core for three seconds.
const CALM_FOR: Duration = Duration::from_secs(3);
const CALM_CPU: Duration = Duration::from_millis(90);

/// One of those that are compared. It does not run unless started.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    process: Process,
}

impl Side {
    /// A process that runs; it is ended here.
    pub(crate) async fn ended(name: &'static str, process: Process) -> Result<Self> {
        process.kill().await?;
        Ok(Self { name, process })
    }

    /// Starts it, and says when.
    pub(crate) fn start(&self) -> Result<Instant> {
        let now = Instant::now();
        self.process.restart()?;
        Ok(now)
    }

    /// Ends it.
    pub(crate) async fn stop(&self) -> Result<()> {
        self.process.kill().await.map(drop)
    }

    /// What it has used since it was started.
    pub(crate) fn usage(&self) -> Result<Usage> {
        self.process.usage()
    }

    /// Waits until it has nothing to do any more, and says what it used until then. The time in which that shows
    /// is not counted.
    pub(crate) async fn settled(&self, lab: &Lab, at_least: Duration, limit: Duration) -> Result<Usage> {
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
