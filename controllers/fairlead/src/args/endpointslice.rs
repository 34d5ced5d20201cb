//! The flags of the endpointslice-controller.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;

use super::values::{NO_TIME, Problems, duration, int32};

const HEADING: &str = "Endpointslice-controller flags";

/// The flags as they were given.
#[derive(Args, Debug)]
pub(super) struct EndpointSliceFlags {
    /// The number of service endpoint syncing operations that will be done concurrently, 1 to 50. Larger number =
    /// faster endpoint slice updating, but more CPU (and network) load.
    #[arg(long, value_name = "int32", default_value = "5", help_heading = HEADING)]
    concurrent_service_endpoint_syncs: String,

    /// The length of the endpoint slice updates batching period. Processing of Pod changes will be delayed by this
    /// duration to join them with potential upcoming updates and reduce the overall number of updates. Larger number
    /// = higher endpoint programming latency, but fewer revisions.
    #[arg(long, value_name = "duration", default_value = "0s", help_heading = HEADING)]
    endpointslice_updates_batch_period: String,

    /// The maximum number of endpoints that will be added to an EndpointSlice, 1 to 1000. More endpoints per slice
    /// will result in fewer endpoint slices, but larger resources.
    #[arg(long, value_name = "int32", default_value = "100", help_heading = HEADING)]
    max_endpoints_per_slice: String,
}

/// What they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndpointSliceConfig {
    /// `--concurrent-service-endpoint-syncs`: 1 to 50.
    pub(crate) workers: usize,
    /// `--max-endpoints-per-slice`: 1 to 1000.
    pub(crate) max_endpoints_per_slice: NonZeroUsize,
    /// `--endpointslice-updates-batch-period`
    pub(crate) batch_period: Duration,
}

impl EndpointSliceFlags {
    /// The meaning of the flags; `None` if one of them is among the problems now.
    pub(super) fn check(&self, problems: &mut Problems) -> Option<EndpointSliceConfig> {
        let workers = problems.take(
            "concurrent-service-endpoint-syncs",
            int32(&self.concurrent_service_endpoint_syncs, &(1..=50)),
        );
        let batch_period = problems.take(
            "endpointslice-updates-batch-period",
            duration(&self.endpointslice_updates_batch_period, NO_TIME),
        );
        let max_endpoints =
            problems.take("max-endpoints-per-slice", int32(&self.max_endpoints_per_slice, &(1..=1000)));
        Some(EndpointSliceConfig {
            workers: workers?.unsigned_abs() as usize,
            max_endpoints_per_slice: NonZeroUsize::new(max_endpoints?.unsigned_abs() as usize)?,
            batch_period: batch_period?,
        })
    }
}
