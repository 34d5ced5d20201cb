//! What one change costs, and on what that depends: it should not depend on how large things are.

mod events;

use clap::Parser;

use crate::report::{Output, Report};

/// How much slower a change may be among many than among few.
const FLAT: f64 = 1.2;

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
pub async fn run(options: Options) -> std::io::Result<()> {
    let mut report = Report::new("planning", &options.output)?;
    events::measure(&mut report, &options).await?;
    report.finish()
}
