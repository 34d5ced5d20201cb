//! A large Service at work: how often its Endpoints are written, and how long a change takes to be seen.
//!
//! `FAIRLEAD_ENDPOINTS_PODS` and `FAIRLEAD_ENDPOINTS_FLIPS` make it larger and longer, for a release build say.

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Endpoints;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use lab::{Lab, Pod, Result};
use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use support::endpoints::{ENDPOINTS, MUCH_PATIENCE, counts, endpoints_of, paper_pods};
use support::{objects_only, service};

/// Fifty a second.
const GAP: Duration = Duration::from_millis(20);

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|it| it.parse().ok()).unwrap_or(default)
}

/// A change that is waited for: the Pod's address, whether it is to be there, and since when.
type Awaited = (String, bool, Instant);

/// Changes that are not seen yet, and how long those took that are.
#[derive(Default)]
struct Changes {
    awaited: Vec<Awaited>,
    seen: Vec<Duration>,
}

/// The addresses that are ready.
fn addresses(endpoints: &Endpoints) -> impl Iterator<Item = String> {
    let subsets = endpoints.subsets.iter().flatten();
    subsets.flat_map(|it| it.addresses.iter().flatten()).map(|it| it.ip.clone())
}

/// Follows the Endpoints of `web`.
fn follow(lab: &Lab, changes: Arc<Mutex<Changes>>) -> tokio::task::JoinHandle<()> {
    let config = watcher::Config::default().fields("metadata.name=web");
    let log = watcher(Api::<Endpoints>::namespaced(lab.api(), "default"), config).applied_objects();
    tokio::spawn(async move {
        let mut log = std::pin::pin!(log);
        while let Some(shown) = log.next().await {
            let (Ok(shown), at) = (shown, Instant::now()) else { continue };
            let addresses: HashSet<_> = addresses(&shown).collect();
            let mut changes = changes.lock();
            let (done, awaited): (Vec<_>, Vec<_>) = std::mem::take(&mut changes.awaited)
                .into_iter()
                .partition(|(address, wanted, _)| addresses.contains(address) == *wanted);
            changes.awaited = awaited;
            changes.seen.extend(done.iter().map(|(_, _, since)| at.saturating_duration_since(*since)));
        }
    })
}

/// Those Pods whose addresses are in the object.
async fn shown(lab: &Lab, pods: Vec<Pod>) -> Result<Vec<Pod>> {
    let shown = endpoints_of(lab, "web").await?.expect("they are there");
    let addresses: HashSet<_> = addresses(&shown).collect();
    Ok(pods.into_iter().filter(|pod| addresses.contains(&pod.addresses()[0].to_string())).collect())
}

#[tokio::test]
async fn fifty_changes_a_second_of_a_large_service_are_a_few_writes_and_soon_seen() -> Result<()> {
    let (count, flips) = (number("FAIRLEAD_ENDPOINTS_PODS", 5000), number("FAIRLEAD_ENDPOINTS_FLIPS", 500));
    let lab = objects_only().start().await?;
    let manager = lab.manager().controllers(ENDPOINTS).start().await?;
    service(&lab, "web", json!({})).await?;
    let pods = paper_pods(&lab, "web", 0..count).await?;
    lab.wait_until("a full object", MUCH_PATIENCE, async || {
        let found = endpoints_of(&lab, "web").await?.map(|it| counts(&it)).unwrap_or_default();
        if found == (count.min(1000), 0) { Ok(()) } else { Err(format!("{found:?}").into()) }
    })
    .await?;
    let pods = shown(&lab, pods).await?;
    let changes: Arc<Mutex<Changes>> = Arc::default();
    let follower = follow(&lab, Arc::clone(&changes));

    let (before, began) = (lab.writes().await?, Instant::now());
    let mut ticks = tokio::time::interval(GAP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sending = JoinSet::new();
    // Each Pod changes once.
    for pod in pods.iter().take(flips) {
        ticks.tick().await;
        changes.lock().awaited.push((pod.addresses()[0].to_string(), false, Instant::now()));
        let pod = pod.clone();
        sending.spawn(async move { pod.set_ready(false).await });
    }
    while let Some(sent) = sending.join_next().await {
        sent.map_err(|error| lab::Error::Invalid(format!("changing a Pod: {error}")))??;
    }
    lab.wait_until("all changes to be seen", MUCH_PATIENCE, async || {
        let waiting = changes.lock().awaited.len();
        if waiting == 0 { Ok(()) } else { Err(format!("{waiting} are not").into()) }
    })
    .await?;
    let seconds = began.elapsed().as_secs_f64();
    let writes = lab.writes().await?.since(&before).of_resource("endpoints");
    follower.abort();
    let mut seen = std::mem::take(&mut changes.lock().seen);
    seen.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let rate = writes as f64 / seconds;
    println!(
        "{} changes of a Service of {count} Pods in {seconds:.1} s: {writes} writes, {rate:.1} a second; seen after {:?} \
         (median), {:?} (most)",
        seen.len(),
        seen[seen.len() / 2],
        seen[seen.len() - 1],
    );
    assert!(rate <= 5.0, "{writes} writes in {seconds} s: {}", manager.log()?);
    assert!(seen[seen.len() / 2] < Duration::from_secs(5), "{:?}", seen[seen.len() / 2]);
    Ok(())
}
