//! The command line: kube-controller-manager's flags in pflag's syntax, checked once and turned into types.
//!
//! ```text
//! arguments ── clap: known flags, values as text ──▶ …Flags ── check: all problems at once ──▶ …Config
//! ```

mod common;
mod controllers;
mod endpoints;
mod endpointslice;
mod go_duration;
mod leader_election;
mod loadbalancer;
mod manager;
mod mirroring;
mod speaker;
mod values;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use self::controllers::{Controller, Controllers};
pub(crate) use self::leader_election::LeaderElection;
pub(crate) use self::manager::ManagerConfig;
use self::manager::ManagerFlags;
pub(crate) use self::speaker::SpeakerConfig;
use self::speaker::SpeakerFlags;
use crate::logging::Logging;

/// What the process is to do.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// How it logs.
    pub(crate) logging: Logging,
    /// Which role it has.
    pub(crate) role: Role,
}

/// A role, with what it is to do.
#[derive(Debug)]
pub(crate) enum Role {
    /// `fairlead manager`
    Manager(ManagerConfig),
    /// `fairlead speaker`
    Speaker(SpeakerConfig),
}

/// The Kubernetes Service control plane.
#[derive(Parser, Debug)]
#[command(name = "fairlead", version, propagate_version = true, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    role: RoleFlags,
}

#[derive(Subcommand, Debug)]
enum RoleFlags {
    /// Runs the controllers, with the flags of kube-controller-manager.
    ///
    /// Flags that exist in kube-controller-manager have its names, syntax, ranges and defaults; where one differs,
    /// its text says so. Of a flag that is given several times the last counts (--controllers adds up). Several
    /// wrong values are reported together, and nothing is started.
    ///
    /// Exit codes: 0 after SIGTERM or SIGINT, 1 if something failed, 2 for wrong flags, 3 if leadership was lost; in all
    /// cases the log says why, and starting it again is right.
    Manager(Box<ManagerFlags>),

    /// Answers for the addresses of Services of type LoadBalancer on the segments of this node.
    ///
    /// One runs on each node, in the network of the host, as UID 0 with the capability NET_RAW and no other. Which of the
    /// nodes answers for an address they settle among themselves, by frames on the segment, also while the API server is
    /// not there.
    ///
    /// Exit codes: 0 after SIGTERM or SIGINT, 1 if something failed, 2 for wrong flags; in all cases the log says why, and
    /// starting it again is right.
    Speaker(Box<SpeakerFlags>),
}

/// What the arguments mean apart from themselves; read once, so that their meaning can be tested.
#[derive(Debug, Default)]
struct Environment {
    /// The namespace of the Pod that this process runs in.
    pod_namespace: Option<String>,
    /// The variable `NODE_NAME`.
    node_name: Option<String>,
    /// The name of the host.
    host_name: Option<String>,
    /// The variable `RUST_LOG`.
    rust_log: Option<String>,
}

impl Environment {
    fn read() -> Self {
        let pod_namespace =
            std::fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
                .ok()
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty());
        let variable =
            |name| std::env::var_os(name).map(|value: OsString| value.to_string_lossy().into_owned());
        Self {
            pod_namespace,
            node_name: variable("NODE_NAME").filter(|name| !name.is_empty()),
            host_name: std::fs::read_to_string("/proc/sys/kernel/hostname").ok(),
            rust_log: variable("RUST_LOG"),
        }
    }
}

/// Why nothing is to be started.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Help or version was asked for.
    Asked(String),
    /// The arguments cannot be followed: the command that they were for, and a sentence for each problem.
    Refused(&'static str, Vec<String>),
}

impl Answer {
    /// Prints the answer and says how the process ends: 0 with what was asked for, 2 with a refusal.
    pub(crate) fn print(self) -> ExitCode {
        // Whoever closed the pipe does not want to read.
        match self {
            Self::Asked(text) => {
                let _ = io::stdout().write_all(text.as_bytes());
                ExitCode::SUCCESS
            }
            Self::Refused(command, problems) => {
                let text: String =
                    problems.iter().flat_map(|problem| [command, ": ", problem, "\n"]).collect();
                let _ = io::stderr().write_all(text.as_bytes());
                ExitCode::from(2)
            }
        }
    }
}

/// What this process is to do, from its arguments and environment.
pub(crate) fn parse() -> Result<Invocation, Answer> {
    parse_from(std::env::args_os().collect(), &Environment::read())
}

fn parse_from(arguments: Vec<OsString>, environment: &Environment) -> Result<Invocation, Answer> {
    const MANAGER: &str = "fairlead manager";
    const SPEAKER: &str = "fairlead speaker";
    let named = match arguments.get(1).and_then(|role| role.to_str()) {
        Some("manager") => MANAGER,
        Some("speaker") => SPEAKER,
        _ => "fairlead",
    };
    let cli = command()
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(|error| answer(&error, named))?;
    match cli.role {
        RoleFlags::Manager(flags) => match flags.check(environment) {
            Ok((logging, config)) => Ok(Invocation { logging, role: Role::Manager(config) }),
            Err(problems) => Err(Answer::Refused(MANAGER, problems)),
        },
        RoleFlags::Speaker(flags) => match flags.check(environment) {
            Ok((logging, config)) => Ok(Invocation { logging, role: Role::Speaker(config) }),
            Err(problems) => Err(Answer::Refused(SPEAKER, problems)),
        },
    }
}

/// clap's command with what pflag does otherwise.
fn command() -> clap::Command {
    Cli::command().mut_subcommands(|role| role.mut_args(like_pflag).next_line_help(true))
}

/// pflag takes the next argument as the value whatever it looks like (`--controllers -foo`), and shows defaults as
/// `(default 5)`, with quotes around texts, and none that is Go's zero value.
fn like_pflag(arg: Arg) -> Arg {
    if !matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) {
        return arg;
    }
    let kind =
        arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string).unwrap_or_default();
    let default: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let default = default.join(",");
    let shown = match (kind.as_str(), default.as_str()) {
        (_, "" | "0" | "0s" | "false") => String::new(),
        ("string", default) => format!(" (default {default:?})"),
        ("strings", default) => format!(" (default [{default}])"),
        (_, default) => format!(" (default {default})"),
    };
    // clap cuts the dot of a doc comment.
    let help = arg.get_help().map(|help| format!("{help}.{shown}")).unwrap_or_default();
    let takes_next = !arg.is_require_equals_set();
    arg.help(help).hide_default_value(true).allow_hyphen_values(takes_next)
}

/// clap's error in one sentence, about the command that was being read.
fn answer(error: &clap::Error, command: &'static str) -> Answer {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        Some(ContextValue::Strings(texts)) => texts.first().map_or("", String::as_str),
        _ => "",
    };
    let rendered = error.render().to_string();
    let see = format!("\"{command} --help\" lists what there is");
    let problem = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return Answer::Asked(rendered),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            format!("a role is missing; {see}")
        }
        ErrorKind::InvalidSubcommand => {
            format!("unknown role {:?}; {see}", text(ContextKind::InvalidSubcommand))
        }
        ErrorKind::UnknownArgument => {
            let argument = text(ContextKind::InvalidArg);
            let known = match text(ContextKind::SuggestedArg) {
                "" => String::new(),
                known => format!("; did you mean {known}?"),
            };
            if argument.starts_with('-') {
                format!("unknown flag {argument}{known}; {see}")
            } else {
                format!(
                    "does not take any arguments, got {argument:?} (write --flag=value for true and false)"
                )
            }
        }
        ErrorKind::InvalidValue if text(ContextKind::InvalidValue).is_empty() => {
            format!("{} needs a value; {see}", text(ContextKind::InvalidArg).replace(['<', '>'], ""))
        }
        // clap's own first line says what it is; with the flags that there are, nothing else comes up.
        _ => {
            let line = rendered.lines().next().unwrap_or_default();
            line.strip_prefix("error: ").unwrap_or(line).to_owned()
        }
    };
    Answer::Refused(command, vec![problem])
}

#[cfg(test)]
mod tests;
