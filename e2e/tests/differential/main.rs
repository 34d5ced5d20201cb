//! Fairlead against the real kube-controller-manager: the same operations on two clusters lead to the same Endpoints
//! and slices.
//!
//! `make differential SEEDS=200` runs more histories, `SEED=n` replays one and tells it, `REPEAT=n` so often side by
//! side, for what happens by chance, `MODE=settle` or `burst` compares only one way.

mod compare;
mod generate;
mod mirror;
mod normal;
mod operation;
mod rules;
mod run;
mod shrink;
mod side;
#[path = "../support/mod.rs"]
mod support;

use std::env;
use std::fmt::Write;
use std::time::{Duration, Instant};

use lab::{Error, Result};

use compare::Mode;
use rules::Used;
use run::{History, Pair, Verdict};

/// Histories when nobody says how many, and the operations of each.
const FEW: (u64, usize) = (10, 12);
/// The operations of each when somebody asks for a number of histories.
const MANY: usize = 40;
/// Histories that run side by side.
const BATCH: usize = 40;
/// Upstream tries again after one second, two, four, and eight. A machine may stand still for a while besides.
const PATIENCE: Duration = Duration::from_secs(45);

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The ways of comparing that are asked for.
fn modes() -> Result<Vec<Mode>> {
    match env::var("FAIRLEAD_MODE").unwrap_or_default().as_str() {
        "" | "both" => Ok(vec![Mode::Settle, Mode::Burst]),
        "settle" => Ok(vec![Mode::Settle]),
        "burst" => Ok(vec![Mode::Burst]),
        other => Err(Error::Invalid(format!("there is no mode {other:?}: settle, burst or both"))),
    }
}

/// A history with where it comes from: a seed, or the name of a file.
struct Origin {
    seed: Option<u64>,
    name: String,
    history: History,
}

fn histories(pair: &Pair, mode: Mode) -> Result<Vec<Origin>> {
    let seeded = |seeds: std::ops::Range<u64>, length: usize| -> Vec<Origin> {
        let of_seed = |seed: u64| {
            let name = format!("seed-{seed}");
            let history = pair.history(&name, generate::history(seed, length));
            Origin { seed: Some(seed), name, history }
        };
        seeds.map(of_seed).collect()
    };
    if let Some(seed) = number("FAIRLEAD_SEED") {
        let times = number("FAIRLEAD_REPEAT").unwrap_or(1);
        return Ok((0..times).flat_map(|_| seeded(seed..seed + 1, MANY)).collect());
    }
    let mut all: Vec<_> = shrink::saved(mode)?
        .into_iter()
        .map(|(name, operations)| Origin { seed: None, name, history: pair.history("found", operations) })
        .collect();
    all.extend(match number("FAIRLEAD_SEEDS") {
        Some(seeds) => seeded(0..seeds, MANY),
        None => seeded(0..FEW.0, FEW.1),
    });
    Ok(all)
}

/// Runs all histories in one way, and returns an account of those that differ.
async fn compare(pair: &Pair, mode: Mode, used: &Used) -> Result<Vec<String>> {
    let begun = Instant::now();
    let mut origins = histories(pair, mode)?;
    let (count, mut operations, mut accounts) = (origins.len(), 0, Vec::new());
    while !origins.is_empty() {
        let rest = origins.split_off(origins.len().min(BATCH));
        let (batch, names): (Vec<_>, Vec<_>) = std::mem::replace(&mut origins, rest)
            .into_iter()
            .map(|origin| (origin.history, (origin.seed, origin.name)))
            .unzip();
        operations += batch.iter().map(|it| it.operations.len()).sum::<usize>();
        let verdicts = pair.run(mode, &batch, PATIENCE, used).await?;
        for ((history, (seed, name)), verdict) in batch.iter().zip(names).zip(verdicts) {
            if let Verdict::Differ { after, how } = verdict {
                let how = how + &pair.ours.warnings(&history.namespace)?;
                let account = account(pair, mode, &history.operations[..after], seed, &how).await?;
                println!("{name}, {}: {account}", mode.name());
                accounts.push(format!("{name}, {}: {account}", mode.name()));
            }
        }
        println!(
            "{}: {} histories to go, {:.0} s",
            mode.name(),
            origins.len(),
            begun.elapsed().as_secs_f64()
        );
    }
    println!(
        "{}: {count} histories, {operations} operations, {} differ, {:.1} s",
        mode.name(),
        accounts.len(),
        begun.elapsed().as_secs_f64()
    );
    Ok(accounts)
}

/// Tells of a difference, in as few operations as make it, and saves them if they are new.
async fn account(
    pair: &Pair,
    mode: Mode,
    operations: &[operation::Operation],
    seed: Option<u64>,
    how: &str,
) -> Result<String> {
    let mut text = format!("after {} operations\n{how}", operations.len());
    let Some(seed) = seed else { return Ok(text) };
    let _ = writeln!(text, "replay: make differential SEED={seed} MODE={}", mode.name());
    if env::var_os("FAIRLEAD_NO_SHRINKING").is_some() {
        let _ = writeln!(text, "{}", operation::to_lines(operations)?);
        return Ok(text);
    }
    match shrink::shrink(pair, mode, operations).await? {
        None => text.push_str("a second time it made no difference\n"),
        Some(found) => {
            let path = shrink::save(mode, seed, &found)?;
            let lines = operation::to_lines(&found.operations)?;
            let _ = write!(
                text,
                "{} operations are enough, saved in {}:\n{lines}{}",
                found.operations.len(),
                path.display(),
                found.how
            );
        }
    }
    Ok(text)
}

#[tokio::test]
async fn fairlead_and_kube_controller_manager_write_the_same() -> Result<()> {
    let (pair, used) = (Pair::start().await?, Used::default());
    let mut accounts = Vec::new();
    for mode in modes()? {
        accounts.extend(compare(&pair, mode, &used).await?);
    }
    println!("how often which rule was used:\n{}", used.table());
    assert!(accounts.is_empty(), "{} histories differ:\n{}", accounts.len(), accounts.join("\n"));
    Ok(())
}
