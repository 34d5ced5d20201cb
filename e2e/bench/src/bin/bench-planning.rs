//! `make bench-planning`: see [`bench::planning`].

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match bench::planning::run(bench::planning::Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-planning: {error}");
            ExitCode::FAILURE
        }
    }
}
