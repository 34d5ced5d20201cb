//! The flags of the endpoints-controller.

use std::time::Duration;

use clap::Args;

use super::values::{NO_TIME, Problems, duration, int32};

const HEADING: &str = "Endpoints-controller flags";
/// The most workers, as the flag has no range. Far fewer writes are on their way at a time.
const MOST_WORKERS: u32 = 1000;

/// The flags as they were given.
#[derive(Args, Debug)]
pub(super) struct EndpointsFlags {
    /// The number of endpoint syncing operations that will be done concurrently, at least 1. Larger number = faster
    /// endpoint updating, but more CPU (and network) load. Differs from kube-controller-manager: less than 1 is refused,
    /// with which nothing would be done; more than 1000 are as good as 1000.
    #[arg(long, value_name = "int32", default_value = "5", help_heading = HEADING)]
    concurrent_endpoint_syncs: String,

    /// The length of endpoint updates batching period. Processing of pod changes will be delayed by this duration to
    /// join them with potential upcoming updates and reduce the overall number of endpoints updates. Larger number =
    /// higher endpoint programming latency, but lower number of endpoints revision generated. Without it, too, changes of
    /// Pods of a Service with more than 100 are collected after each write, the longer the more Pods, up to 225ms.
    #[arg(long, value_name = "duration", default_value = "0s", help_heading = HEADING)]
    endpoint_updates_batch_period: String,
}

/// What they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndpointsConfig {
    /// `--concurrent-endpoint-syncs`: 1 to 1000.
    pub(crate) workers: usize,
    /// `--endpoint-updates-batch-period`
    pub(crate) batch_period: Duration,
}

impl EndpointsFlags {
    /// The meaning of the flags; `None` if one of them is among the problems now.
    pub(super) fn check(&self, problems: &mut Problems) -> Option<EndpointsConfig> {
        let workers = problems
            .take("concurrent-endpoint-syncs", int32(&self.concurrent_endpoint_syncs, &(1..=i32::MAX)));
        let batch_period = problems
            .take("endpoint-updates-batch-period", duration(&self.endpoint_updates_batch_period, NO_TIME));
        Some(EndpointsConfig {
            workers: workers?.unsigned_abs().min(MOST_WORKERS) as usize,
            batch_period: batch_period?,
        })
    }
}
