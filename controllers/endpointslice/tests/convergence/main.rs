//! After any history of changes, faults and restarts, once the faults stop, the slices are what a plan from scratch
//! says they should be, and then nothing is written any more.
//!
//! The real controller with real informers, queue and writer runs on an API server in memory under paused time.
//! `FAIRLEAD_SEEDS=n` runs so many histories, `FAIRLEAD_SEED=n` replays one and tells it.

mod history;
mod observer;
mod oracle;
mod process;
mod rivals;
mod scenarios;
mod union;

use std::env;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fairlead_fake_api::{FakeApi, Weather};

use crate::history::History;
use crate::process::{Process, RECHECK_PERIOD};

const SEEDS: u64 = 300;
/// Within this time after the last fault everything must be in order, without the help of the recheck: a watch that
/// fell silent is noticed after four minutes, everything else within one or two.
const PATIENCE: Duration = Duration::from_mins(6);

#[test]
fn every_history_converges_once_the_faults_stop() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("FAIRLEAD_SEED") {
        for line in run(seed, true).unwrap_or_else(|error| panic!("seed {seed}: {error}")) {
            println!("{line}");
        }
        return;
    }
    let seeds = number("FAIRLEAD_SEEDS").unwrap_or(SEEDS);
    let (next, failures) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let outcome = panic::catch_unwind(AssertUnwindSafe(|| run(seed, false)));
                    let outcome = outcome.unwrap_or_else(|_| Err("it panicked".to_owned()));
                    if let Err(error) = outcome {
                        failures.lock().unwrap().push((seed, error));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    let told: Vec<_> = failures
        .iter()
        .map(|(seed, error)| {
            format!("FAIRLEAD_SEED={seed} cargo test -p fairlead-endpointslice --test convergence -- --nocapture\n    {error}")
        })
        .collect();
    assert!(told.is_empty(), "{} of {seeds} histories failed:\n{}", told.len(), told.join("\n"));
}

/// One history; returns what happened, if it is to be told.
fn run(seed: u64, tell: bool) -> Result<Vec<String>, String> {
    // The jitter of backoffs and watches.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut history = History::new(seed, tell);
        let outcome = live(&mut history).await;
        match outcome {
            Ok(()) => Ok(history.told()),
            Err(error) if tell => Err(format!("{error}\n{}", history.told().join("\n"))),
            Err(error) => Err(error),
        }
    })
}

async fn live(history: &mut History) -> Result<(), String> {
    let api = history.api().clone();
    let garbage = tokio::spawn(collect_garbage(api.clone()));
    let mut process = Process::start(&api);
    history.begin();
    tokio::time::sleep(Duration::from_secs(40)).await;
    oracle::check(&api).map_err(|error| format!("before anything happened: {error}"))?;
    let begun = api.version();
    while history.step(&mut process).await {}
    api.set_weather(Weather::default());
    tokio::time::sleep(PATIENCE).await;
    let outcome =
        oracle::check(&api).map_err(|error| format!("not in order {PATIENCE:?} after the faults: {error}"));
    let version = api.version();
    if outcome.is_ok() {
        tokio::time::sleep(RECHECK_PERIOD * 2).await;
    }
    garbage.abort();
    process.kill();
    history.tell_writes(begun);
    outcome?;
    observer::check(&api, begun)?;
    match api.events_after(version).first() {
        None => Ok(()),
        Some(event) => Err(format!(
            "a write after everything was in order: {:?}",
            event.new.as_ref().or(event.old.as_ref())
        )),
    }
}

async fn collect_garbage(api: FakeApi) {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        api.collect_garbage();
    }
}
