//! What one change costs, and on what that depends: it should not depend on how large things are.
//!
//! All of it happens in one thread, so the CPU time of the process is what it takes, whoever else uses the machine.

mod events;
mod plans;

use std::io;

use clap::Parser;
use fairlead_objects::Record;

use crate::recorded::{Kind, Recorded};
use crate::report::{Output, Report};

/// How much slower a change may be among many than among few.
const FLAT: f64 = 1.2;
/// A step through the Pods that comes to ever different Services and slices: a prime, and so without a common divisor
/// with the number of Pods at any sensible size.
const STEP: usize = 7919;

/// What to measure.
#[derive(Debug, Parser)]
#[command(name = "bench-planning", about = "The cost of one change at different sizes")]
pub struct Options {
    /// Services in all, in namespaces of different sizes; divisible by 1000
    #[arg(long, default_value_t = 10_000)]
    services: usize,
    /// Pods of each Service
    #[arg(long, default_value_t = 5)]
    pods: usize,
    /// How often each size is measured
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    #[command(flatten)]
    output: Output,
}

/// Measures and prints the figures.
///
/// # Errors
/// When a change affects other Services than it should, or figures cannot be written.
pub async fn run(options: Options) -> io::Result<()> {
    let mut report = Report::new("planning", &options.output)?;
    plans::measure(&mut report, &options)?;
    events::measure(&mut report, &options).await?;
    report.finish()
}

/// All objects of a kind.
fn decode<R: Record>(recorded: &Recorded, kind: Kind) -> io::Result<Vec<R>> {
    let mut text = String::new();
    let objects = (0..recorded.count(kind)).map(|number| {
        text.clear();
        recorded.write(kind, number, &mut text);
        Ok(serde_json::from_str(&text)?)
    });
    objects.collect()
}
