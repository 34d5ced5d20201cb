//! The flags of the endpointslice-mirroring-controller.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;

use super::values::{NO_TIME, Problems, duration, int32};

const HEADING: &str = "Endpointslice-mirroring-controller flags";

/// The flags as they were given.
#[derive(Args, Debug)]
pub(super) struct MirroringFlags {
    /// The number of service endpoint syncing operations that will be done concurrently by the
    /// endpointslice-mirroring-controller, 1 to 50. Larger number = faster endpoint slice updating, but more CPU (and
    /// network) load.
    #[arg(long, value_name = "int32", default_value = "5", help_heading = HEADING)]
    mirroring_concurrent_service_endpoint_syncs: String,

    /// The length of EndpointSlice updates batching period for endpointslice-mirroring-controller. Processing of
    /// EndpointSlice changes will be delayed by this duration to join them with potential upcoming updates and reduce
    /// the overall number of EndpointSlice updates. Larger number = higher endpoint programming latency, but fewer
    /// revisions.
    #[arg(long, value_name = "duration", default_value = "0s", help_heading = HEADING)]
    mirroring_endpointslice_updates_batch_period: String,

    /// The maximum number of addresses of one subset of Endpoints that will be mirrored by the
    /// endpointslice-mirroring-controller, 1 to 1000.
    #[arg(long, value_name = "int32", default_value = "1000", help_heading = HEADING)]
    mirroring_max_endpoints_per_subset: String,
}

/// What they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MirroringConfig {
    /// `--mirroring-concurrent-service-endpoint-syncs`: 1 to 50.
    pub(crate) workers: usize,
    /// `--mirroring-max-endpoints-per-subset`: 1 to 1000.
    pub(crate) max_endpoints_per_subset: NonZeroUsize,
    /// `--mirroring-endpointslice-updates-batch-period`
    pub(crate) batch_period: Duration,
}

impl MirroringFlags {
    /// The meaning of the flags; `None` if one of them is among the problems now.
    pub(super) fn check(&self, problems: &mut Problems) -> Option<MirroringConfig> {
        let workers = problems.take(
            "mirroring-concurrent-service-endpoint-syncs",
            int32(&self.mirroring_concurrent_service_endpoint_syncs, &(1..=50)),
        );
        let batch_period = problems.take(
            "mirroring-endpointslice-updates-batch-period",
            duration(&self.mirroring_endpointslice_updates_batch_period, NO_TIME),
        );
        let max_endpoints = problems.take(
            "mirroring-max-endpoints-per-subset",
            int32(&self.mirroring_max_endpoints_per_subset, &(1..=1000)),
        );
        Some(MirroringConfig {
            workers: workers?.unsigned_abs() as usize,
            max_endpoints_per_subset: NonZeroUsize::new(max_endpoints?.unsigned_abs() as usize)?,
            batch_period: batch_period?,
        })
    }
}
