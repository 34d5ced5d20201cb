//! Every fault in turn, while Services, Pods and Endpoints change: afterwards everything is what it should be, and
//! nothing more is written.
//!
//! `make drills` runs them in full length, with those of other files, and `DRILL=name` runs one. Here they are short.

mod churn;
mod clock;
#[path = "../judge/mod.rs"]
mod judge;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::env;
use std::time::{Duration, Instant};

use lab::{Fault, Requests, Result, Verb};

use churn::Churn;
// The oracle looks for it here.
use judge::process;
use world::World;

/// A fault, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drill {
    ApiServerKilled,
    ApiServerHung,
    ApiServerSlow,
    ApiServerRestartedAndStale,
    WatchesCut,
    CompactedDuringRelist,
    ConflictStorm,
    ThrottleStorm,
    AnswersLost,
    ManagerKilled,
    ClockSteps,
}

const ALL: [Drill; 11] = [
    Drill::ApiServerKilled,
    Drill::ApiServerHung,
    Drill::ApiServerSlow,
    Drill::ApiServerRestartedAndStale,
    Drill::WatchesCut,
    Drill::CompactedDuringRelist,
    Drill::ConflictStorm,
    Drill::ThrottleStorm,
    Drill::AnswersLost,
    Drill::ManagerKilled,
    Drill::ClockSteps,
];

/// Resources that the manager watches.
const WATCHED: [&str; 5] = ["services", "pods", "nodes", "endpoints", "endpointslices"];

/// How long and how often.
struct Length {
    hang: Duration,
    storm: Duration,
    kills: usize,
    rounds: usize,
}

impl Length {
    /// As long as the issue of each fault calls for, or just long enough to see it.
    fn of_environment() -> Self {
        if env::var("FAIRLEAD_DRILLS").is_ok_and(|it| it == "long") {
            let (hang, storm) = (Duration::from_mins(1), Duration::from_secs(30));
            Self { hang, storm, kills: 200, rounds: 10 }
        } else {
            Self { hang: Duration::from_millis(1500), storm: Duration::from_millis(800), kills: 4, rounds: 1 }
        }
    }
}

/// Changes for as long as a storm lasts.
async fn storm(churn: &mut Churn<'_>, length: Duration) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < length {
        churn.steps(4).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

impl Drill {
    async fn run(self, world: &World, churn: &mut Churn<'_>, length: &Length) -> Result<()> {
        let (faults, server) = (&world.faults, world.server());
        let writes = || Requests::writes();
        match self {
            Self::ApiServerKilled => {
                for _ in 0..length.rounds {
                    churn.steps(6).await?;
                    server.process().kill().await?;
                    churn.steps(10).await?;
                    server.process().restart()?;
                    server.wait_ready().await?;
                }
            }
            Self::ApiServerHung => {
                churn.steps(3).await?;
                server.process().freeze()?;
                churn.steps(10).await?;
                tokio::time::sleep(length.hang).await;
                server.process().thaw()?;
            }
            Self::ApiServerSlow => {
                faults.often(Fault::Delay, Requests::all(), 100);
                storm(churn, length.storm).await?;
            }
            Self::ApiServerRestartedAndStale => {
                for _ in 0..length.rounds {
                    churn.steps(4).await?;
                    // What it knows is of now; then it hears of nothing new, and the manager reads that.
                    faults.often(Fault::Lag, Requests::watches(), 100);
                    server.process().kill().await?;
                    server.process().restart()?;
                    server.wait_ready().await?;
                    world.manager.kill().await?;
                    world.manager.process().restart()?;
                    churn.steps(10).await?;
                }
            }
            Self::WatchesCut => {
                for _ in 0..length.rounds {
                    for resource in WATCHED {
                        faults.next(Fault::Cut, Requests::watches().of(resource));
                    }
                    churn.steps(16).await?;
                }
            }
            Self::CompactedDuringRelist => {
                for _ in 0..length.rounds {
                    for resource in WATCHED {
                        faults.next(Fault::Expired, Requests::watches().of(resource));
                        faults.next(Fault::Gone, Requests::watches().of(resource));
                        faults.next(Fault::Delay, Requests::of_verbs(&[Verb::List]).of(resource));
                    }
                    churn.steps(6).await?;
                    world.lab.compact().await?;
                    churn.steps(10).await?;
                    world.lab.compact().await?;
                }
            }
            Self::ConflictStorm => {
                faults.often(Fault::Conflict, writes(), 90);
                storm(churn, length.storm).await?;
            }
            Self::ThrottleStorm => {
                faults.often(Fault::Throttle, writes(), 90);
                storm(churn, length.storm).await?;
            }
            Self::AnswersLost => {
                faults.often(Fault::LostAnswer, writes(), 60);
                storm(churn, length.storm).await?;
            }
            Self::ManagerKilled => {
                let mut rng = fastrand::Rng::with_seed(9);
                for _ in 0..length.kills {
                    churn.steps(3).await?;
                    // While it starts, or plans, or waits for an answer.
                    tokio::time::sleep(Duration::from_millis(rng.u64(0..400))).await;
                    world.manager.kill().await?;
                    world.manager.process().restart()?;
                }
            }
            Self::ClockSteps => clock::steps(churn, length.rounds).await?,
        }
        Ok(())
    }

    /// The fault that must have happened at the layer of faults.
    fn evidence(self) -> Option<Fault> {
        match self {
            Self::ApiServerSlow => Some(Fault::Delay),
            Self::ApiServerRestartedAndStale => Some(Fault::Lag),
            Self::WatchesCut => Some(Fault::Cut),
            Self::CompactedDuringRelist => Some(Fault::Expired),
            Self::ConflictStorm => Some(Fault::Conflict),
            Self::ThrottleStorm => Some(Fault::Throttle),
            Self::AnswersLost => Some(Fault::LostAnswer),
            _ => None,
        }
    }
}

#[tokio::test]
async fn after_every_fault_all_is_right_and_nothing_more_is_written() -> Result<()> {
    let only = env::var("DRILL").ok();
    let chosen = |it: &Drill| only.as_ref().is_none_or(|only| format!("{it:?}").eq_ignore_ascii_case(only));
    let drills: Vec<_> = ALL.into_iter().filter(chosen).collect();
    assert!(!drills.is_empty(), "there is no drill {only:?}: {ALL:?}");
    let length = Length::of_environment();
    let clock = clock::Clock::find();
    let environment = clock.as_ref().map(clock::Clock::environment).unwrap_or_default();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let world = World::start(&environment).await?;
    if let Some(clock) = &clock {
        assert!(clock.is_that_of(world.manager.process().pid()), "the manager runs without libfaketime");
    }
    let mut churn = Churn::begin(&world.lab).await?;
    world.end().await?;
    let mut table = Vec::new();
    for drill in drills {
        if drill == Drill::ClockSteps && clock.is_none() {
            table.push(format!(
                "{:<28} left out: libfaketime is not there (hack/lab-tools --faketime)",
                "ClockSteps"
            ));
            continue;
        }
        let begun = Instant::now();
        let before = drill.evidence().map(|fault| world.faults.made(fault));
        drill.run(&world, &mut churn, &length).await?;
        if let Some(fault) = drill.evidence() {
            assert!(Some(world.faults.made(fault)) > before, "{drill:?}: there was no {fault:?}");
        }
        let lasted = begun.elapsed();
        let writes = world.end().await?;
        let settled = begun.elapsed().saturating_sub(lasted);
        let line = format!(
            "{:<28} {:>8.1} s {:>8.1} s {writes:>8}",
            format!("{drill:?}"),
            lasted.as_secs_f64(),
            settled.as_secs_f64()
        );
        println!("{line}");
        table.push(line);
        assert_eq!(writes, 0, "{drill:?}: written after all was right\n{}", world.manager.log()?);
    }
    println!("{:<28} {:>10} {:>10} {:>8}\n{}", "drill", "lasted", "settled", "writes", table.join("\n"));
    Ok(())
}
