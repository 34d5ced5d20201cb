//! Two managers, of which the leader is ended again and again, under churn.
//!
//! `FAIRLEAD_ROUNDS=20 FAIRLEAD_LEASE=15s` is the full drill, with kube-controller-manager's times; by default the rounds
//! are few and the times short.

use std::env;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use lab::{AuditedWrite, Lab, Manager, Result};
use serde_json::json;
use tokio::task::JoinHandle;

use super::support::{objects_only, service};
use super::{NAMESPACE, lease, terms};

const SERVICES: usize = 5;
const PODS: usize = 8;
/// Longer than a lease and all that follows.
const PATIENCE: Duration = Duration::from_mins(2);

/// How a leader ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Killed,
    Told,
    Frozen,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Killed => "kill -9",
            Self::Told => "SIGTERM",
            Self::Frozen => "SIGSTOP",
        })
    }
}

/// One end of one leader.
struct Round {
    exit: Exit,
    at: Timestamp,
    next: String,
}

/// Pods that become ready and not ready, one every 50 ms.
struct Churn {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<()>>,
}

impl Churn {
    async fn start(lab: &Lab) -> Result<Self> {
        let mut pods = Vec::new();
        for number in 0..SERVICES {
            let app = format!("web-{number}");
            service(lab, &app, json!({})).await?;
            for pod in 0..PODS {
                let name = format!("{app}-{pod}");
                pods.push(lab.pod("default", &name).label("app", &app).paper().start().await?);
            }
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut ready = false;
            while !stopped.load(Ordering::Relaxed) {
                for pod in &pods {
                    pod.set_ready(ready).await?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                ready = !ready;
            }
            Ok(())
        });
        Ok(Self { stop, task })
    }

    async fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.map_err(|error| lab::Error::Invalid(format!("the churn panicked: {error}")))?
    }
}

struct Drill {
    lab: Lab,
    managers: [Manager; 2],
    rounds: Vec<Round>,
}

impl Drill {
    /// Waits until another than `last` leads and has written something.
    async fn successor(&self, last: &str) -> Result<String> {
        self.lab
            .wait_until("another to lead and write", PATIENCE, async || {
                let holder = lease(&self.lab).await?.holder_identity.unwrap_or_default();
                let writes = self.lab.audited_writes()?;
                let wrote = first_write(&writes, &holder).is_some();
                if !holder.is_empty() && holder != last && wrote {
                    Ok(holder)
                } else {
                    Err(format!("{holder:?} leads").into())
                }
            })
            .await
    }

    fn manager(&self, identity: &str) -> &Manager {
        let [one, two] = &self.managers;
        if identity.starts_with(&format!("{}_", one.name())) { one } else { two }
    }

    async fn round(&mut self, exit: Exit, leader: &str) -> Result<String> {
        let manager = self.manager(leader).clone();
        let at = Timestamp::now();
        match exit {
            Exit::Killed => drop(manager.kill().await?),
            Exit::Told => assert_eq!(manager.stop().await?.code(), Some(0)),
            Exit::Frozen => manager.process().freeze()?,
        }
        let next = self.successor(leader).await?;
        if exit == Exit::Frozen {
            let end = super::will_end(&manager).await;
            manager.process().thaw()?;
            assert_eq!(end.await.ok().transpose()?.and_then(|status| status.code()), Some(super::LOST));
        }
        manager.restart().await?;
        self.rounds.push(Round { exit, at, next: next.clone() });
        Ok(next)
    }

    fn report(&self, duration: Duration) -> Result<()> {
        let writes = self.lab.audited_writes()?;
        println!(
            "{:<10} {:>6}  {:>28}  {:>28}",
            "leader", "rounds", "end to first write, ms", "lease to first write, ms"
        );
        println!(
            "{:<10} {:>6}  {:>9}{:>9}{:>10}  {:>9}{:>9}{:>10}",
            "", "", "median", "max", "goal", "median", "max", "goal"
        );
        for exit in [Exit::Killed, Exit::Told, Exit::Frozen] {
            let (mut from_end, mut from_lease) = (Vec::new(), Vec::new());
            for round in self.rounds.iter().filter(|round| round.exit == exit) {
                let first = first_write(&writes, &round.next);
                let taken = writes.iter().find(|write| {
                    write.resource == "leases"
                        && write.namespace == NAMESPACE
                        && write.code < 300
                        && terms::identity(write, "leader election").as_ref() == Some(&round.next)
                });
                let (Some(first), Some(taken)) = (first, taken) else {
                    return Err(lab::Error::Invalid(format!("{} has not written", round.next)));
                };
                from_end.push(millis(round.at, time(&first.received)?));
                from_lease.push(millis(time(&taken.answered)?, time(&first.received)?));
            }
            let goal = if exit == Exit::Told {
                1000
            } else {
                duration.as_millis().try_into().unwrap_or(i64::MAX) + 1000
            };
            println!(
                "{exit:<10} {:>6}  {}  {}",
                from_end.len(),
                Figures(from_end, goal),
                Figures(from_lease, 100)
            );
        }
        Ok(())
    }
}

/// Median, maximum and goal.
struct Figures(Vec<i64>, i64);

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(values, goal) = self;
        let mut sorted = values.clone();
        sorted.sort_unstable();
        let most = sorted.last().copied().unwrap_or_default();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        let missed = if most > *goal { "!" } else { "" };
        write!(f, "{median:>9}{most:>9}{:>10}", format!("{missed}{goal}"))
    }
}

/// The first write of its work.
fn first_write<'a>(writes: &'a [AuditedWrite], leader: &str) -> Option<&'a AuditedWrite> {
    let of_work = |write: &AuditedWrite| ["endpointslices", "endpoints"].contains(&write.resource.as_str());
    terms::work(writes).find(|(identity, write)| identity == leader && of_work(write)).map(|(_, write)| write)
}

fn time(text: &str) -> Result<Timestamp> {
    text.parse()
        .map_err(|error| lab::Error::Invalid(format!("{text:?} in the audit log is no time: {error}")))
}

fn millis(from: Timestamp, to: Timestamp) -> i64 {
    (to.as_microsecond() - from.as_microsecond()) / 1000
}

#[tokio::test]
async fn two_managers() -> Result<()> {
    let rounds = env::var("FAIRLEAD_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let seconds = |text: String| text.trim_end_matches('s').parse().ok().map(Duration::from_secs);
    let duration = env::var("FAIRLEAD_LEASE").ok().and_then(seconds).unwrap_or(Duration::from_secs(3));
    // In the proportions of the defaults, with more time for a busy machine.
    let (deadline, retry) = (duration.mul_f64(0.7), duration / 8);

    let lab = objects_only().audit().start().await?;
    let churn = Churn::start(&lab).await?;
    let start =
        async || lab.manager().leader_elect(true).lease_times(duration, deadline, retry).start().await;
    let managers = [start().await?, start().await?];
    let mut drill = Drill { lab, managers, rounds: Vec::new() };
    let mut leader = drill.successor("").await?;
    for _ in 0..rounds {
        for exit in [Exit::Killed, Exit::Told, Exit::Frozen] {
            leader = drill.round(exit, &leader).await?;
        }
    }
    churn.end().await?;
    println!("{rounds} rounds, lease duration {duration:?}, {} writes", drill.lab.audited_writes()?.len());
    drill.report(duration)?;
    let (terms, refused) = terms::check(&drill.lab)?;
    println!("late writes: none done, {refused} refused");
    assert_eq!(terms.len(), 3 * rounds + 1, "each leader wrote, and none after its term");
    Ok(())
}
