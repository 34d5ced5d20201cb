//! Rolling updates, as a Deployment with the default strategy makes them: new Pods become ready one by one, and each
//! lets an old one end and another new one start.
//!
//! The pace is one that a cluster has, far below what the API server can take, so that it is not the API server that
//! is measured. The changes of the Service are then some tens of milliseconds apart, at times a few: more than enough
//! for some to come while a controller still writes the one before or while its cache does not show what it wrote.

use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use lab::{Lab, Pod, Result};

use super::content::{Content, Member, create_pod};
use super::observer::{Observer, Want};
use crate::recorded::mix;

/// Pods of each Service that is updated.
pub(super) const PODS: usize = 50;
/// Milliseconds, at least and at most, from the creation of a Pod until it is ready: its image is on the Node. Half of
/// the Pods start at a time, so that 20 are replaced in a second.
const STARTING: (u64, u64) = (600, 1900);
/// Milliseconds, at least and at most, from asking a Pod to end until the kubelet removes it: a server without open
/// connections, and a kubelet that looks at its containers once in a second.
const ENDING: (u64, u64) = (1000, 2000);

/// What became of the endpoints.
pub(super) struct Rollout {
    /// From writing that a new Pod is ready until a watch of slices shows its endpoint as ready.
    pub(super) ready: Vec<Duration>,
    /// From asking a Pod to end until its endpoint is not ready in a watch of slices, or gone.
    pub(super) not_ready: Vec<Duration>,
    /// From removing a Pod until no slice has it.
    pub(super) gone: Vec<Duration>,
}

/// Replaces all Pods of all Services, one Service after the other.
pub(super) async fn run(
    lab: &Lab,
    observer: &Observer,
    content: &mut Content,
    limit: Duration,
) -> Result<Rollout> {
    for (number, member) in content.services.iter_mut().enumerate() {
        member.pods = update(lab, observer, member, number).await?;
    }
    observer.all_seen(lab, limit).await?;
    Ok(Rollout {
        ready: observer.take_seen(Want::Ready(true)),
        not_ready: observer.take_seen(Want::Ready(false)),
        gone: observer.take_seen(Want::Gone),
    })
}

/// Replaces the Pods of a Service, and says by which.
async fn update(lab: &Lab, observer: &Observer, member: &Member, number: usize) -> Result<Vec<Pod>> {
    let Allowance { surge, unavailable } = Allowance::of(member.pods.len());
    // Times differ from Pod to Pod, but are the same for both sides.
    let numbers = number * member.pods.len()..;
    let mut serving = member.pods.iter().zip(numbers.clone());
    let mut wanted = member.pods.iter().zip(numbers);
    let end = |(pod, number)| end(observer, pod, drawn(2 * number, ENDING));
    let start = |(old, number)| start(lab, observer, member, old, drawn(2 * number + 1, STARTING));

    // A Deployment does not count Pods that have been asked to end, so what may be missing is started at once, too.
    let mut ending: FuturesUnordered<_> = serving.by_ref().take(unavailable).map(end).collect();
    let mut starting: FuturesUnordered<_> = wanted.by_ref().take(surge + unavailable).map(start).collect();
    let mut replaced = Vec::new();
    loop {
        tokio::select! {
            Some(pod) = starting.next() => {
                replaced.push(pod?);
                ending.extend(serving.next().map(end));
                starting.extend(wanted.next().map(start));
            }
            Some(ended) = ending.next() => ended?,
            else => return Ok(replaced),
        }
    }
}

/// How far a Deployment may depart from its number of Pods: 25 % more, rounded up, and 25 % fewer that are ready,
/// rounded down.
#[derive(Debug, PartialEq)]
struct Allowance {
    surge: usize,
    unavailable: usize,
}

impl Allowance {
    fn of(pods: usize) -> Self {
        Self { surge: pods.div_ceil(4), unavailable: pods / 4 }
    }
}

/// A new Pod in place of an old one, which is ready after a while.
async fn start(lab: &Lab, observer: &Observer, member: &Member, old: &Pod, takes: Duration) -> Result<Pod> {
    let new = create_pod(lab, member, &successor(old.name()), false).await?;
    tokio::time::sleep(takes).await;
    observer.expect(&new, Want::Ready(true));
    new.set_ready(true).await?;
    Ok(new)
}

/// An old Pod is asked to end, and is gone after a while.
async fn end(observer: &Observer, old: &Pod, takes: Duration) -> Result<()> {
    observer.expect(old, Want::Ready(false));
    old.terminate().await?;
    tokio::time::sleep(takes).await;
    observer.expect(old, Want::Gone);
    old.remove().await
}

/// A duration between two numbers of milliseconds.
fn drawn(number: usize, (least, most): (u64, u64)) -> Duration {
    Duration::from_micros(least * 1000 + mix(number) % ((most - least) * 1000))
}

/// The suffix of a Pod's successor: `app-1-7` is followed by `app-1-7x`.
fn successor(old: &str) -> String {
    let suffix = old.rsplit('-').next().unwrap_or_default();
    format!("{suffix}x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_rounds_for_availability() {
        assert_eq!(Allowance::of(50), Allowance { surge: 13, unavailable: 12 });
        assert_eq!(Allowance::of(8), Allowance { surge: 2, unavailable: 2 });
        assert_eq!(Allowance::of(1), Allowance { surge: 1, unavailable: 0 });
    }

    #[test]
    fn at_most_about_twenty_pods_are_replaced_in_a_second() {
        let Allowance { surge, unavailable } = Allowance::of(PODS);
        let times: Vec<_> = (0..1000).map(|number| drawn(number, STARTING)).collect();
        let (least, most) = (Duration::from_millis(STARTING.0), Duration::from_millis(STARTING.1));
        assert!(times.iter().all(|time| (least..most).contains(time)));
        let mean = times.iter().sum::<Duration>() / 1000;
        let each = mean / u32::try_from(surge + unavailable).unwrap();
        assert!((47..=53).contains(&each.as_millis()), "{each:?}");
    }
}
