//! After any history of changes, faults and restarts on a real API server, once the faults stop, the slices are what
//! a plan from scratch and the Pods say they should be, and then nothing is written any more.
//!
//! `FAIRLEAD_SEEDS=n` runs so many histories, `FAIRLEAD_SEED=n` replays one and tells it. A real server has its own
//! pace, so a replay is alike and not the same; `tests/convergence` of the controller replays exactly, on a fake one.

mod cluster;
mod history;
#[path = "../judge/mod.rs"]
mod judge;
#[path = "../support/mod.rs"]
mod support;
mod worst_weather;

use std::collections::BTreeMap;
use std::env;
use std::time::{Duration, Instant};

use lab::Result;

use cluster::Cluster;
use history::History;
// The oracle looks for it here.
use judge::process;

const SEEDS: u64 = 20;
/// Histories that share a lab, a manager and its weather, each in a namespace of its own.
const BATCH: u64 = 20;
const STEPS: usize = 60;
/// Changes of Services and Pods at the end, and then of slices: nothing but a second attempt can put them right.
const LAST_CHANGES: usize = 10;
const LAST_MEDDLING: usize = 3;
/// How long the last weather goes on after each: attempts are to fail in it.
const LAST_SPELL: Duration = Duration::from_millis(1500);
/// Within this time after the last fault everything must be right.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) fn number(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test]
async fn every_history_converges_once_the_faults_stop() -> Result<()> {
    let replayed = number("FAIRLEAD_SEED");
    let seeds: Vec<u64> = match replayed {
        Some(seed) => vec![seed],
        None => (0..number("FAIRLEAD_SEEDS").unwrap_or(SEEDS)).collect(),
    };
    let mut failures = BTreeMap::new();
    for batch in seeds.chunk_by(|one, other| one / BATCH == other / BATCH) {
        failures.extend(run(batch, replayed.is_some()).await?);
    }
    let told: Vec<_> = failures
        .iter()
        .map(|(seed, error)| {
            format!("FAIRLEAD_SEED={seed} cargo test --workspace --test convergence_real -- --nocapture\n    {error}")
        })
        .collect();
    assert!(told.is_empty(), "{} of {} histories failed:\n{}", told.len(), seeds.len(), told.join("\n"));
    Ok(())
}

/// One history from its beginning to its end.
async fn live(cluster: &Cluster, seed: u64) -> Result<History<'_>> {
    let mut history = History::begin(&cluster.lab, seed).await?;
    for _ in 0..STEPS {
        history.pause().await;
        history.step().await?;
    }
    history.settle_nodes().await?;
    Ok(history)
}

/// The histories of one batch, side by side. Returns what is wrong, by seed.
async fn run(seeds: &[u64], tell: bool) -> Result<BTreeMap<u64, String>> {
    let mut last = Instant::now();
    let mut lap = || {
        let now = Instant::now();
        now.duration_since(std::mem::replace(&mut last, now)).as_secs_f64()
    };
    // One seed alone has the weather that its whole batch has.
    let weather = seeds[0] - seeds[0] % BATCH;
    let cluster = Cluster::start(weather).await?;
    let ready = lap();
    let cluster = &cluster;
    let (over, weather_over) = tokio::sync::watch::channel(false);
    let histories = async {
        let histories = futures::future::try_join_all(seeds.iter().map(|&seed| live(cluster, seed))).await;
        over.send_replace(true);
        histories
    };
    let (mut histories, kills) = futures::try_join!(histories, cluster.rough_weather(weather, weather_over))?;
    cluster.last_weather();
    futures::future::try_join_all(histories.iter_mut().map(|it| it.last_changes(LAST_CHANGES))).await?;
    tokio::time::sleep(LAST_SPELL).await;
    futures::future::try_join_all(histories.iter_mut().map(|it| it.last_meddling(LAST_MEDDLING))).await?;
    tokio::time::sleep(LAST_SPELL).await;
    let lived = lap();
    let namespaces: Vec<_> = histories.iter().map(|history| history.namespace().to_owned()).collect();
    let mut wrong = cluster.settle(&namespaces, PATIENCE).await?;
    let settled = lap();
    if wrong.is_empty() {
        wrong = cluster.needless_writes(&namespaces).await?;
    }
    println!(
        "seeds {} to {}: lab {:.1} s, histories {:.1} s, settled after {:.1} s, rest {:.1} s, {kills} kills, faults {:?}",
        seeds[0],
        seeds[seeds.len() - 1],
        ready,
        lived,
        settled,
        lap(),
        cluster.faults.all_made()
    );
    assert!(
        cluster.faults.all_made().values().sum::<u64>() > 0,
        "no fault happened: the weather has no effect"
    );
    let mut failures = BTreeMap::new();
    for (seed, history) in seeds.iter().zip(&histories) {
        if tell {
            println!("{}", history.told().join("\n"));
        }
        if let Some(reason) = wrong.remove(history.namespace()) {
            failures.insert(*seed, reason);
        }
    }
    // What cannot be laid on one seed.
    if let (Some(reason), true) = (wrong.remove("all"), failures.is_empty()) {
        failures.insert(seeds[0], reason);
    }
    if tell && !failures.is_empty() {
        println!("{}", cluster.manager.log()?);
    }
    Ok(failures)
}
