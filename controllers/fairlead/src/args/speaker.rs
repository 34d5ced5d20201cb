//! The flags of `fairlead speaker`, and what they mean once they are checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use fairlead_speaker::interfaces::{DEFAULT_EXCLUDED, Patterns};
use http::Uri;

use super::Environment;
use super::common::{CommonFlags, namespace_or_default};
use super::values::{
    NO_TIME, Problems, boolean, duration_up_to, int32, namespace, object_name, socket_address,
};
use crate::logging::Logging;

const NODE: &str = "Node flags";
const SEGMENT: &str = "Segment flags";
const SERVING: &str = "Serving flags";
const MISC: &str = "Misc flags";

/// The least time between two beacons, and the most.
const LEAST_PERIOD: (Duration, &str) = (Duration::from_millis(50), "50ms");
const MOST_PERIOD: (Duration, &str) = (Duration::from_secs(2), "2s");
/// The most that a drain may take.
const MOST_DRAIN: (Duration, &str) = (Duration::from_mins(1), "1m");
/// The most weight: a hundred times the load of others is as good as all of it.
const MOST_WEIGHT: i32 = 10_000;

/// The flags as they were given. Values stay text until [`SpeakerFlags::check`], which can then name everything that is
/// wrong at once.
#[derive(Args, Debug)]
pub(super) struct SpeakerFlags {
    /// The name of the Node that this process runs on. Default: the environment variable NODE_NAME, else the host name.
    #[arg(long, value_name = "string", default_value = "", help_heading = NODE)]
    node_name: String,

    /// How much of the load this node takes, 0 to 10000: 200 is twice as many addresses as 100, and 0 none at all.
    #[arg(long, value_name = "int32", default_value = "100", help_heading = NODE)]
    weight: String,

    /// Answers for addresses even if the Node has the label node.kubernetes.io/exclude-from-external-load-balancers, as
    /// control planes often have. For clusters of one node.
    #[arg(
        long,
        value_name = "bool",
        default_value = "false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = NODE,
    )]
    ignore_exclude_lb: String,

    /// While the Node is cordoned, answers only for addresses that no other node can answer for. Default: a cordoned node goes
    /// on as before.
    #[arg(
        long,
        value_name = "bool",
        default_value = "false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = NODE,
    )]
    respect_cordon: String,

    /// How often the speakers of a segment tell each other which addresses they have, 50ms to 2s. A node that dies is
    /// replaced after about twice this time. On hypervisors that let machines stand still for longer, 400ms or more keeps
    /// addresses from moving for nothing. Nodes may differ.
    #[arg(long, value_name = "duration", default_value = "200ms", help_heading = SEGMENT)]
    beacon_period: String,

    /// The directory with the keys by which speakers know each other: each file in it is one, of 32 bytes. All are
    /// accepted; the one whose name sorts last is used. Changes are followed. It is where the Secret
    /// fairlead-beacon-key is mounted.
    #[arg(long, value_name = "string", default_value = KEY_DIRECTORY, help_heading = SEGMENT)]
    beacon_key_dir: String,

    /// Does without keys. Whoever reaches the segment can then take addresses away.
    #[arg(
        long,
        value_name = "bool",
        default_value = "false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = SEGMENT,
    )]
    insecure_beacons: String,

    /// Names of interfaces that are left alone, with commas between them; * stands for any characters and ? for one. The
    /// loopback interface, tunnels, and parts of bridges and bonds are left alone in any case.
    #[arg(long, value_name = "string", default_value = DEFAULT_EXCLUDED, help_heading = SEGMENT)]
    excluded_interfaces: String,

    /// How long the process may go on at its end until other nodes have taken all of its addresses, up to 1m. It is to be
    /// shorter than the Pod's terminationGracePeriodSeconds.
    #[arg(long, value_name = "duration", default_value = "5s", help_heading = SEGMENT)]
    drain_limit: String,

    /// IP address and port that serve /livez, /healthz and /readyz, and /metrics while the address is loopback. Port
    /// 0 picks a free one and logs it.
    #[arg(long, value_name = "ip:port", default_value = "127.0.0.1:10271", help_heading = SERVING)]
    admin_bind_address: String,

    #[command(flatten)]
    common: CommonFlags,

    /// Our own namespace. Default: that of the Pod, outside of a Pod fairlead-system.
    #[arg(long, value_name = "string", default_value = "", help_heading = MISC)]
    namespace: String,
}

/// Where the manifests mount the Secret with the keys.
const KEY_DIRECTORY: &str = "/etc/fairlead/beacon-key";

/// What `fairlead speaker` is to do. Every value is within its range.
#[derive(Debug)]
pub(crate) struct SpeakerConfig {
    /// `--kubeconfig`; `None`: the service account of the Pod.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// `--master`: the API server's URL, with scheme and host, in place of the kubeconfig's.
    pub(crate) master: Option<Uri>,
    /// `--namespace`: a valid name.
    pub(crate) namespace: String,
    /// `--node-name`: a valid name.
    pub(crate) node: String,
    /// `--weight`: 0 to 10000.
    pub(crate) weight: u16,
    /// `--ignore-exclude-lb`
    pub(crate) ignore_exclude_lb: bool,
    /// `--respect-cordon`
    pub(crate) respect_cordon: bool,
    /// `--beacon-period`: 50 ms to 2 s.
    pub(crate) beacon_period: Duration,
    /// `--beacon-key-dir`; `None`: without keys (`--insecure-beacons`).
    pub(crate) key_directory: Option<PathBuf>,
    /// `--excluded-interfaces`
    pub(crate) excluded: Patterns,
    /// `--drain-limit`: up to a minute.
    pub(crate) drain_limit: Duration,
    /// `--admin-bind-address`
    pub(crate) admin_bind_address: SocketAddr,
}

impl SpeakerFlags {
    /// The meaning of the flags, or a sentence for each that is wrong.
    pub(super) fn check(&self, environment: &Environment) -> Result<(Logging, SpeakerConfig), Vec<String>> {
        let mut problems = Problems::default();
        let node = problems.take("node-name", self.node(environment));
        let weight = problems.take("weight", int32(&self.weight, &(0..=MOST_WEIGHT)));
        let ignore_exclude_lb = problems.take("ignore-exclude-lb", boolean(&self.ignore_exclude_lb));
        let respect_cordon = problems.take("respect-cordon", boolean(&self.respect_cordon));
        let beacon_period =
            problems.take("beacon-period", duration_up_to(&self.beacon_period, LEAST_PERIOD, MOST_PERIOD));
        let insecure = problems.take("insecure-beacons", boolean(&self.insecure_beacons));
        let excluded = problems.take("excluded-interfaces", self.excluded_interfaces.parse::<Patterns>());
        let drain_limit =
            problems.take("drain-limit", duration_up_to(&self.drain_limit, NO_TIME, MOST_DRAIN));
        let admin_bind_address =
            problems.take("admin-bind-address", socket_address(&self.admin_bind_address));
        let namespace =
            problems.take("namespace", namespace(namespace_or_default(&self.namespace, environment)));
        if self.beacon_key_dir.is_empty() {
            problems
                .add("--beacon-key-dir must be a directory; --insecure-beacons does without keys".to_owned());
        }
        let (logging, master) = self.common.check(environment, &mut problems);
        let config = || {
            Some(SpeakerConfig {
                kubeconfig: self.common.kubeconfig(),
                master: master?,
                namespace: namespace?,
                node: node?,
                weight: u16::try_from(weight?).ok()?,
                ignore_exclude_lb: ignore_exclude_lb?,
                respect_cordon: respect_cordon?,
                beacon_period: beacon_period?,
                key_directory: (!insecure?).then(|| PathBuf::from(&self.beacon_key_dir)),
                excluded: excluded?,
                drain_limit: drain_limit?,
                admin_bind_address: admin_bind_address?,
            })
        };
        match (logging, config()) {
            (Some(logging), Some(config)) if problems.is_empty() => Ok((logging, config)),
            _ => Err(problems.into_sentences()),
        }
    }

    fn node(&self, environment: &Environment) -> Result<String, String> {
        let name = match (self.node_name.as_str(), &environment.node_name, &environment.host_name) {
            ("", Some(name), _) => name,
            // The kubelet makes a Node's name of the host's in this way.
            ("", None, Some(host)) => &host.trim().to_ascii_lowercase(),
            ("", None, None) => return Err("must be given: this host has no name".to_owned()),
            (name, _, _) => name,
        };
        object_name(name)
    }
}

#[cfg(test)]
mod tests;
