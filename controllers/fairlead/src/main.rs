//! `fairlead`: the Kubernetes Service control plane in one binary, with its roles as subcommands.

mod args;
mod controllers;
mod identity;
mod informers;
mod leadership;
mod loadbalancer;
mod logging;
mod manager;
mod rivals;
mod role;
mod speaker;

use std::process::ExitCode;

use args::{Answer, Invocation, Role};

fn main() -> ExitCode {
    // kube installs a TLS provider by itself only for aws-lc. An error says that one is installed, which will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    run().unwrap_or_else(Answer::print)
}

fn run() -> Result<ExitCode, Answer> {
    let Invocation { logging, role } = args::parse()?;
    logging.start().map_err(|problem| Answer::Refused("fairlead", vec![problem]))?;
    Ok(match role {
        Role::Manager(config) => manager::run(config),
        Role::Speaker(config) => speaker::run(config),
    })
}
