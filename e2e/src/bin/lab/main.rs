//! `lab demo` shows the Service path from a Pod's readiness to a client, how Services get addresses, and how these are
//! answered for; `lab up` is just a lab to play with.
//!
//! Both run inside `hack/in-namespace`: `make demo`, `make lab`.

mod addresses;
mod announcing;
mod demo;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand, ValueEnum};
use lab::{Lab, ProxyMode, Result};

/// A real Kubernetes control plane and network on this machine.
#[derive(Parser)]
#[command(name = "lab")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a lab, show a Service at work, and leave the lab running until interrupted
    Demo {
        #[command(flatten)]
        lab: LabArguments,
        /// End after the show instead, with status 0 if all went well
        #[arg(long)]
        exit: bool,
    },
    /// Start a lab and leave it running until interrupted
    Up {
        #[command(flatten)]
        lab: LabArguments,
    },
}

#[derive(Args)]
struct LabArguments {
    /// Number of nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=100))]
    nodes: u8,
    /// How kube-proxy programs the nodes
    #[arg(long, value_enum, default_value_t = Proxy::Nftables)]
    proxy: Proxy,
    /// Who writes Endpoints and EndpointSlices: fairlead, or for comparison kube-controller-manager
    #[arg(long, value_enum, default_value_t = Controller::Fairlead)]
    controller: Controller,
}

#[derive(Clone, Copy, ValueEnum)]
enum Proxy {
    Nftables,
    Iptables,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Controller {
    Fairlead,
    Upstream,
}

/// What kube-controller-manager runs in place of `fairlead manager`.
const UPSTREAM: [&str; 3] =
    ["endpoints-controller", "endpointslice-controller", "endpointslice-mirroring-controller"];

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Demo { lab, exit } => run(&lab, true, exit).await,
        Command::Up { lab } => run(&lab, false, false).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &LabArguments, show: bool, exit: bool) -> Result<()> {
    let lab = start(arguments).await?;
    if show {
        demo::show(&lab).await?;
        // Kubernetes' own controllers give no addresses.
        if arguments.controller == Controller::Fairlead {
            addresses::show(&lab).await?;
            announcing::show(&lab).await?;
        }
        lab.check()?;
    }
    if exit {
        return Ok(());
    }
    lab.publish()?;
    println!("{}", invitation());
    // A lab of which a part has died is none: better to end than to puzzle the person who uses it.
    let mut looks = tokio::time::interval(Duration::from_millis(500));
    loop {
        looks.tick().await;
        lab.check()?;
    }
}

async fn start(arguments: &LabArguments) -> Result<Lab> {
    let mut builder = Lab::builder().nodes(arguments.nodes).proxy(match arguments.proxy {
        Proxy::Nftables => ProxyMode::Nftables,
        Proxy::Iptables => ProxyMode::Iptables,
    });
    if arguments.controller == Controller::Upstream {
        builder = UPSTREAM.iter().fold(builder, |builder, name| builder.controller(name));
    }
    println!(
        "Starting etcd, kube-apiserver, kube-controller-manager and {} nodes with kube-proxy ...",
        arguments.nodes
    );
    let lab = builder.start().await?;
    let version = lab.api_version().await?;
    println!("Kubernetes {version} is ready after {:.1} s.", lab.start_time().as_secs_f32());
    match arguments.controller {
        Controller::Fairlead => {
            let began = Instant::now();
            lab.manager().start().await?;
            println!(
                "fairlead manager is ready after {:.1} s, as system:serviceaccount:fairlead-system:fairlead-manager.",
                began.elapsed().as_secs_f32()
            );
            let began = Instant::now();
            lab.speakers(lab.nodes()).await?;
            println!(
                "fairlead speaker is ready on {} nodes after {:.1} s, with no capability but NET_RAW.",
                arguments.nodes,
                began.elapsed().as_secs_f32()
            );
        }
        Controller::Upstream => {
            println!("kube-controller-manager's own controllers write Endpoints and EndpointSlices.");
        }
    }
    Ok(lab)
}

/// How to use the lab from another terminal.
fn invitation() -> String {
    let pid = std::env::var("FAIRLEAD_LAB_PID").unwrap_or_default();
    format!(
        "
The lab runs until you press Ctrl-C; then nothing of it is left. From another terminal:

  hack/in-lab {pid} kubectl get pods,services,endpointslices,loadbalancerpools,lba
  hack/in-lab {pid} --from client curl http://ADDRESS       as the client; also --from node-1, control-plane, ...
  hack/in-lab {pid}                                         a shell with kubectl; logs are in /run/fairlead/labs/0/logs
"
    )
}
