//! `make bench-loadbalancer`: see [`bench::load_balancer`].

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match bench::load_balancer::run(bench::load_balancer::Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-loadbalancer: {error}");
            ExitCode::FAILURE
        }
    }
}
