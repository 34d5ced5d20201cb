//! The flags of the loadbalancer-controller, which kube-controller-manager does not have.

use std::time::Duration;

use clap::Args;

use super::values::{NO_TIME, Problems, class, duration, int32};

const HEADING: &str = "Loadbalancer-controller flags";

/// The flags as they were given.
#[derive(Args, Debug)]
pub(super) struct LoadBalancerFlags {
    /// The number of Services of type LoadBalancer that are given addresses at a time, 1 to 50.
    #[arg(long, value_name = "int32", default_value = "10", help_heading = HEADING)]
    concurrent_load_balancer_syncs: String,

    /// Only Services with exactly this spec.loadBalancerClass are given addresses. Default: those without a class, and those
    /// of the class fairlead.dev/layer2.
    #[arg(long, value_name = "string", default_value = "", help_heading = HEADING)]
    load_balancer_class: String,

    /// How long a Service that is moved away from a pool that is being drained keeps its old address beside the new one, where
    /// nobody reports that the new one is announced.
    #[arg(long, value_name = "duration", default_value = "1m0s", help_heading = HEADING)]
    pool_drain_overlap: String,
}

/// What they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoadBalancerConfig {
    /// `--concurrent-load-balancer-syncs`: 1 to 50.
    pub(crate) workers: usize,
    /// `--load-balancer-class`: a valid class; `None`: Services without one, and of our own.
    pub(crate) class: Option<String>,
    /// `--pool-drain-overlap`
    pub(crate) drain_overlap: Duration,
}

impl LoadBalancerFlags {
    /// The meaning of the flags; `None` if one of them is among the problems now.
    pub(super) fn check(&self, problems: &mut Problems) -> Option<LoadBalancerConfig> {
        let workers = problems
            .take("concurrent-load-balancer-syncs", int32(&self.concurrent_load_balancer_syncs, &(1..=50)));
        let class = match self.load_balancer_class.as_str() {
            "" => Some(None),
            text => problems.take("load-balancer-class", class(text)).map(Some),
        };
        let drain_overlap = problems.take("pool-drain-overlap", duration(&self.pool_drain_overlap, NO_TIME));
        Some(LoadBalancerConfig {
            workers: workers?.unsigned_abs() as usize,
            class: class?,
            drain_overlap: drain_overlap?,
        })
    }
}
