//! All faults at once for minutes, while the objects change at a given rate: how loud, busy and large the manager
//! becomes, and whether everything is right afterwards.
//!
//! `make weather MINUTES=10`, or by hand with the variables `MINUTES`, `RATE` (changes a second) and
//! `FAIRLEAD_BINARY` (a release build, for figures that mean something).

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lab::{Error, Fault, Requests, Result, Weather};
use serde_json::{Map, json};

use crate::cluster::Cluster;
use crate::history::History;
use crate::number;

const SEED: u64 = 1;
const NAMESPACES: u64 = 10;
/// Changes a second, over all namespaces.
const RATE: u64 = 10;
const MINUTES: u64 = 10;
/// In so many minutes even the rarest fault happens.
const ENOUGH: u64 = 5;
/// The API server is away for a moment so often.
const OUTAGES: Duration = Duration::from_secs(20);
const OUTAGE: Duration = Duration::from_secs(2);
/// Nobody ends the silence of a watch but the manager itself: calm breaks it. Backoffs of half a minute remain.
const PATIENCE: Duration = Duration::from_mins(3);

/// What happens in it.
const BY_CHANCE: [Fault; 13] = [
    Fault::Delay,
    Fault::Hang,
    Fault::Conflict,
    Fault::Throttle,
    Fault::Error,
    Fault::Unavailable,
    Fault::LostAnswer,
    Fault::Gone,
    Fault::Expired,
    Fault::Cut,
    Fault::Silence,
    Fault::Lag,
    Fault::Down,
];

#[tokio::test]
#[ignore = "takes ten minutes: make weather"]
async fn the_worst_weather_leaves_no_damage() -> Result<()> {
    let minutes = number("MINUTES").unwrap_or(MINUTES);
    let rate = number("RATE").unwrap_or(RATE).clamp(1, 1_000_000);
    let length = Duration::from_secs(60 * minutes);
    let cluster = Cluster::start(SEED).await?;
    let mut histories = Vec::new();
    for seed in 0..NAMESPACES {
        histories.push(History::begin(&cluster.lab, seed).await?);
    }
    let namespaces: Vec<_> = histories.iter().map(|history| history.namespace().to_owned()).collect();
    let calm = cluster.settle(&namespaces, PATIENCE).await?;
    assert!(calm.is_empty(), "before the weather: {calm:?}");

    let before = Figures::of(&cluster).await?;
    cluster.faults.weather(&Weather::WORST, &Requests::all());
    let churn = async {
        let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / rate));
        loop {
            for history in &mut histories {
                ticks.tick().await;
                history.step().await?;
            }
        }
    };
    let outages = async {
        loop {
            tokio::time::sleep(OUTAGES).await;
            cluster.faults.set_down(true)?;
            tokio::time::sleep(OUTAGE).await;
            cluster.faults.set_down(false)?;
        }
    };
    let ended: Result<Result<(), Error>, _> = tokio::time::timeout(length, async {
        tokio::select! { ended = churn => ended, ended = outages => ended }
    })
    .await;
    if let Ok(ended) = ended {
        ended?;
    }
    let after = Figures::of(&cluster).await?;
    for history in &mut histories {
        history.settle_nodes().await?;
    }
    let begun = Instant::now();
    let wrong = cluster.settle(&namespaces, PATIENCE).await?;
    let settled = begun.elapsed();
    let changes: usize = histories.iter().map(History::steps).sum();
    let rest = if wrong.is_empty() { cluster.needless_writes(&namespaces).await? } else { wrong.clone() };

    let made = cluster.faults.all_made();
    let faults: Map<_, _> = made.iter().map(|(fault, count)| (format!("{fault:?}"), json!(count))).collect();
    let line = json!({
        "name": "worst_weather",
        "minutes": minutes,
        "changes": changes,
        "log_lines_per_minute": per_minute(after.log_lines - before.log_lines, minutes),
        "cpu_seconds": after.cpu_seconds - before.cpu_seconds,
        "rss_peak_mib": after.rss_peak_mib,
        "rss_end_mib": after.rss_mib,
        "rss_start_mib": before.rss_mib,
        "relists": after.lists - before.lists,
        "watch_errors": after.watch_errors - before.watch_errors,
        "slice_writes": after.slice_writes - before.slice_writes,
        "event_writes": after.event_writes - before.event_writes,
        "faults": faults,
        "settled_seconds": settled.as_secs_f64(),
        "state_right": wrong.is_empty(),
        "unwritten_afterwards": rest.is_empty(),
    });
    println!("{line:#}");
    let folder = report()?;
    let (path, log) = (folder.join("weather.jsonl"), folder.join("weather.log"));
    println!("appended to {}; the manager's log is {}", path.display(), log.display());
    fs::write(&log, cluster.manager.log()?)
        .map_err(|error| Error::Invalid(format!("writing {}: {error}", log.display())))?;
    let append = || {
        fs::OpenOptions::new().create(true).append(true).open(&path).and_then(|mut it| writeln!(it, "{line}"))
    };
    append().map_err(|error| Error::Invalid(format!("appending to {}: {error}", path.display())))?;
    assert!(wrong.is_empty(), "after the weather: {wrong:?}");
    assert!(rest.is_empty(), "after the weather: {rest:?}");
    let missing: Vec<_> = BY_CHANCE.iter().filter(|fault| !made.contains_key(fault)).collect();
    assert!(minutes < ENOUGH || missing.is_empty(), "never happened: {missing:?}");
    Ok(())
}

fn per_minute(count: usize, minutes: u64) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX) / minutes.max(1)
}

/// Beside what cargo builds.
fn report() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(folder)
        .map_err(|error| Error::Invalid(format!("making {}: {error}", folder.display())))?;
    Ok(folder.to_owned())
}

/// What the manager has cost so far.
struct Figures {
    log_lines: usize,
    cpu_seconds: f64,
    rss_mib: f64,
    rss_peak_mib: f64,
    lists: f64,
    watch_errors: f64,
    slice_writes: u64,
    event_writes: u64,
}

impl Figures {
    async fn of(cluster: &Cluster) -> Result<Self> {
        let metrics = cluster.manager.metrics().await?;
        let writes = cluster.lab.writes().await?;
        let mib = |bytes: f64| (bytes / f64::from(1 << 20) * 10.0).round() / 10.0;
        Ok(Self {
            log_lines: cluster.manager.log()?.lines().count(),
            cpu_seconds: metrics.sum("process_cpu_seconds_total", &[]),
            rss_mib: mib(metrics.sum("process_resident_memory_bytes", &[])),
            rss_peak_mib: mib(peak(cluster.manager.process().pid())),
            lists: metrics.sum("fairlead_informer_lists_total", &[]),
            watch_errors: metrics.sum("fairlead_informer_errors_total", &[]),
            slice_writes: writes.of_resource("endpointslices"),
            event_writes: writes.of_resource("events"),
        })
    }
}

/// The most memory that a process ever had, in bytes.
fn peak(pid: i32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() * 1024.0
}
