//! Random histories: after any sequence of changes, late caches, crashes and restarts, with two controllers side by side
//! that know of each other only what they read, every address has one owner, nothing is leaked, whoever can have an address
//! has one, whoever was not touched keeps it, and a restart writes nothing.
//!
//! `FAIRLEAD_SEEDS=n` runs so many histories, `FAIRLEAD_SEED=n` replays one and tells it.

mod history;
mod oracle;

use std::env;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use history::History;

const SEEDS: u64 = 200;

#[test]
fn every_history_ends_well() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("FAIRLEAD_SEED") {
        let mut history = History::new(seed, true);
        history.run();
        return;
    }
    let seeds = number("FAIRLEAD_SEEDS").unwrap_or(SEEDS);
    let (next, operations, failures) = (AtomicU64::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let run = || {
                        let mut history = History::new(seed, false);
                        history.run();
                        history.operations
                    };
                    match panic::catch_unwind(AssertUnwindSafe(run)) {
                        Ok(done) => drop(operations.fetch_add(done, Ordering::Relaxed)),
                        Err(error) => {
                            let words = error.downcast_ref::<String>().cloned();
                            failures.lock().unwrap().push((seed, words.unwrap_or_default()));
                        }
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    println!("{seeds} histories, {} operations", operations.into_inner());
    let told: Vec<_> = failures
        .iter()
        .map(|(seed, error)| {
            format!("FAIRLEAD_SEED={seed} cargo test -p fairlead-loadbalancer --test planning every_history -- --nocapture\n    {error}")
        })
        .collect();
    assert!(told.is_empty(), "{} of {seeds} histories failed:\n{}", told.len(), told.join("\n"));
}
