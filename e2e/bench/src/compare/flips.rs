//! Pods that become not ready and ready again.

use std::time::{Duration, Instant};

use lab::{Lab, Pod, Result};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::observer::{Observer, Want};

/// How long a side may go on working after the last change was seen, before its CPU time is read.
const REST: Duration = Duration::from_secs(1);

/// What flips took.
pub(super) struct Flips {
    /// From sending the change of a Pod until a watch shows it, for each observer.
    pub(super) seen: Vec<Vec<Duration>>,
    /// From sending the change until the API server has answered.
    pub(super) answered: Vec<Duration>,
}

/// Makes each Pod not ready and then each of them ready, one every `1/rate` seconds, whether or not the one before
/// has been seen. At the end all is as before. Without observers nothing is waited for but the answers.
pub(super) async fn run(
    lab: &Lab,
    observers: &[&Observer],
    pods: &[Pod],
    rate: u32,
    limit: Duration,
) -> Result<Flips> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sending = JoinSet::new();
    let mut answered = Vec::new();
    for ready in [false, true] {
        for pod in pods {
            ticks.tick().await;
            for observer in observers {
                observer.expect(pod, Want::Ready(ready));
            }
            let pod = pod.clone();
            sending.spawn(async move {
                let began = Instant::now();
                pod.set_ready(ready).await.map(|()| began.elapsed())
            });
        }
        // A Pod that becomes ready before anybody has seen that it was not would never be seen.
        for observer in observers {
            observer.all_seen(lab, limit).await?;
        }
        while let Some(sent) = sending.join_next().await {
            let sent = sent.map_err(|error| lab::Error::Invalid(format!("changing a Pod: {error}")))?;
            answered.push(sent?);
        }
    }
    tokio::time::sleep(REST).await;
    let seen = observers.iter().map(|observer| {
        let mut seen = observer.take_seen(Want::Ready(false));
        seen.extend(observer.take_seen(Want::Ready(true)));
        seen
    });
    Ok(Flips { seen: seen.collect(), answered })
}
