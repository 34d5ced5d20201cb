//! `make bench-speaker`: see [`bench::speaker`].

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match bench::speaker::run(bench::speaker::Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-speaker: {error}");
            ExitCode::FAILURE
        }
    }
}
