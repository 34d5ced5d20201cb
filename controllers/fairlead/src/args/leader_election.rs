//! The flags of leader election.

use clap::Args;
use fairlead_machinery::lease::Timing;

use super::values::{NO_TIME, Problems, boolean, duration, namespace, object_name};

const HEADING: &str = "Leader election flags";
/// The Lease of kube-controller-manager itself.
const UPSTREAM: &str = "kube-controller-manager";

/// The flags as they were given.
#[derive(Args, Debug)]
pub(super) struct LeaderElectionFlags {
    /// Start a leader election client and gain leadership before writing anything. Enable this when running replicated
    /// components for high availability. Those that do not lead stand by with warm caches. Whoever loses leadership ends
    /// with exit code 3. Differs from kube-controller-manager: that ends with 1, and does not give leadership back when
    /// it is told to end.
    #[arg(
        long,
        value_name = "bool",
        default_value = "true",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = HEADING,
    )]
    leader_elect: String,

    /// The duration that non-leader candidates will wait after observing a leadership renewal until attempting to
    /// acquire leadership of a led but unrenewed leader slot, at least 1s. This is effectively the maximum duration that
    /// a leader can be stopped before it is replaced by another candidate. This is only applicable if leader election is
    /// enabled.
    #[arg(long, value_name = "duration", default_value = "15s", help_heading = HEADING)]
    leader_elect_lease_duration: String,

    /// The duration for which the acting master retries to renew a leadership slot before it stops leading. This must be
    /// less than the lease duration. This is only applicable if leader election is enabled.
    #[arg(long, value_name = "duration", default_value = "10s", help_heading = HEADING)]
    leader_elect_renew_deadline: String,

    /// The type of resource object that is used for locking during leader election. Supported options are 'leases'.
    #[arg(long, value_name = "string", default_value = "leases", help_heading = HEADING)]
    leader_elect_resource_lock: String,

    /// The name of resource object that is used for locking during leader election. Differs from
    /// kube-controller-manager: its own name is the default there, and is refused here, because whoever holds that
    /// lease stops the cluster's own controllers.
    #[arg(long, value_name = "string", default_value = "fairlead-manager", help_heading = HEADING)]
    leader_elect_resource_name: String,

    /// The namespace of resource object that is used for locking during leader election. Differs from
    /// kube-controller-manager: by default it is our own namespace (see --namespace) instead of kube-system.
    #[arg(long, value_name = "string", default_value = "", help_heading = HEADING)]
    leader_elect_resource_namespace: String,

    /// The duration the clients should wait between attempting acquisition and renewal of a leadership. This is only
    /// applicable if leader election is enabled. Differs from kube-controller-manager: a candidate does not look this
    /// often, but is told of changes by a watch; it looks if the watch fails.
    #[arg(long, value_name = "duration", default_value = "2s", help_heading = HEADING)]
    leader_elect_retry_period: String,
}

/// What they mean, if leader election is enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaderElection {
    /// `--leader-elect-resource-namespace`; `None`: our own.
    pub(crate) namespace: Option<String>,
    /// `--leader-elect-resource-name`
    pub(crate) name: String,
    /// The durations, which go together.
    pub(crate) timing: Timing,
}

impl LeaderElectionFlags {
    /// The meaning of the flags; `None` without leader election, or if one of them is among the problems now.
    pub(super) fn check(&self, problems: &mut Problems) -> Option<LeaderElection> {
        let enabled = problems.take("leader-elect", boolean(&self.leader_elect));
        let mut time = |flag, text| problems.take(flag, duration(text, NO_TIME));
        let lease_duration = time("leader-elect-lease-duration", &self.leader_elect_lease_duration);
        let renew_deadline = time("leader-elect-renew-deadline", &self.leader_elect_renew_deadline);
        let retry_period = time("leader-elect-retry-period", &self.leader_elect_retry_period);
        let lock = match self.leader_elect_resource_lock.as_str() {
            "leases" => Ok(()),
            other => {
                Err(format!("must be \"leases\", the only kind of lock that there is, but got {other:?}"))
            }
        };
        let lock = problems.take("leader-elect-resource-lock", lock);
        let name = object_name(&self.leader_elect_resource_name).and_then(|name| {
            if name == UPSTREAM {
                return Err(format!(
                    "must not be {UPSTREAM:?}: holding that lease would stop the cluster's own controllers; leave the \
                     flag out"
                ));
            }
            Ok(name)
        });
        let name = problems.take("leader-elect-resource-name", name);
        let namespace = match self.leader_elect_resource_namespace.as_str() {
            "" => Some(None),
            other => problems.take("leader-elect-resource-namespace", namespace(other)).map(Some),
        };
        let timing = Timing {
            lease_duration: lease_duration?,
            renew_deadline: renew_deadline?,
            retry_period: retry_period?,
        };
        if !enabled? {
            return None;
        }
        if let Err(problem) = timing.check() {
            problems.add(format!("the --leader-elect-* flags do not go together: {problem}"));
        }
        lock?;
        Some(LeaderElection { namespace: namespace?, name: name?, timing })
    }
}
