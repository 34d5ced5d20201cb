//! `make bench-failover`: see [`bench::failover`].

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match bench::failover::run(bench::failover::Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-failover: {error}");
            ExitCode::FAILURE
        }
    }
}
