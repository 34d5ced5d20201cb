//! Metrics under the names of kube-controller-manager's endpointslice-mirroring-controller.

use std::collections::HashMap;
use std::time::Duration;

use fairlead_machinery::metrics::{constant, register};
use fairlead_objects::ObjectKey;
use parking_lot::Mutex;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry, exponential_buckets};

use crate::{Counts, Skipped};

/// The metrics of the controller.
pub(crate) struct Metrics {
    added: Histogram,
    updated: Histogram,
    removed: Histogram,
    skipped: Histogram,
    duration: Histogram,
    endpoints_desired: IntGauge,
    desired_slices: IntGauge,
    actual_slices: IntGauge,
    changes: IntCounterVec,
    mirrored: Mutex<HashMap<ObjectKey, Counts>>,
}

impl Metrics {
    /// Registers them.
    pub(crate) fn new(registry: &Registry) -> Self {
        // 2, 4, ... 32768
        let sizes = constant(exponential_buckets(2.0, 2.0, 15));
        // 1 ms, 2 ms, ... 16.384 s
        let times = constant(exponential_buckets(0.001, 2.0, 15));
        let name = |name: &str| format!("endpoint_slice_mirroring_controller_{name}");
        let histogram = |it: &str, help: &str, buckets: &[f64]| {
            let opts = HistogramOpts::new(name(it), help).buckets(buckets.to_vec());
            register(registry, constant(Histogram::with_opts(opts)))
        };
        let gauge = |it: &str, help: &str| {
            register(registry, constant(IntGauge::with_opts(Opts::new(name(it), help))))
        };
        Self {
            added: histogram(
                "endpoints_added_per_sync",
                "[ALPHA] Number of endpoints added on each Endpoints sync",
                &sizes,
            ),
            updated: histogram(
                "endpoints_updated_per_sync",
                "[ALPHA] Number of endpoints updated on each Endpoints sync",
                &sizes,
            ),
            removed: histogram(
                "endpoints_removed_per_sync",
                "[ALPHA] Number of endpoints removed on each Endpoints sync",
                &sizes,
            ),
            skipped: histogram(
                "addresses_skipped_per_sync",
                "[ALPHA] Number of addresses skipped on each Endpoints sync due to being invalid or exceeding \
                 MaxEndpointsPerSubset",
                &sizes,
            ),
            duration: histogram(
                "endpoints_sync_duration",
                "[ALPHA] Duration of syncEndpoints() in seconds",
                &times,
            ),
            endpoints_desired: gauge("endpoints_desired", "[ALPHA] Number of endpoints desired"),
            desired_slices: gauge(
                "desired_endpoint_slices",
                "[ALPHA] Number of EndpointSlices that would exist with perfect endpoint allocation",
            ),
            actual_slices: gauge("num_endpoint_slices", "[ALPHA] Number of EndpointSlices"),
            changes: register(
                registry,
                constant(IntCounterVec::new(
                    Opts::new(name("changes"), "[ALPHA] Number of EndpointSlice changes"),
                    &["operation"],
                )),
            ),
            mirrored: Mutex::default(),
        }
    }

    /// A write succeeded.
    pub(crate) fn wrote(&self, operation: &str) {
        self.changes.with_label_values(&[operation]).inc();
    }

    /// A round is over.
    pub(crate) fn synced(&self, took: Duration) {
        self.duration.observe(took.as_secs_f64());
    }

    /// Endpoints were planned. The gauges count them as they are now; `None`: they are not mirrored.
    pub(crate) fn planned(&self, key: &ObjectKey, counts: Option<Counts>, skipped: Skipped) {
        if let Some(counts) = counts {
            self.skipped.observe(float(skipped.addresses));
            self.added.observe(float(counts.added));
            self.updated.observe(float(counts.updated));
            self.removed.observe(float(counts.removed));
        }
        let mut mirrored = self.mirrored.lock();
        let before = match counts {
            Some(counts) => mirrored.insert(key.clone(), counts),
            None => mirrored.remove(key),
        };
        let (before, now) = (before.unwrap_or_default(), counts.unwrap_or_default());
        let shift =
            |gauge: &IntGauge, of: fn(&Counts) -> usize| gauge.add(integer(of(&now)) - integer(of(&before)));
        shift(&self.endpoints_desired, |it| it.desired_endpoints);
        shift(&self.desired_slices, |it| it.desired_slices);
        shift(&self.actual_slices, |it| it.actual_slices);
    }
}

fn integer(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Counts are far below 2^52.
#[expect(clippy::cast_precision_loss)]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    fn counts(endpoints: usize, slices: usize) -> Counts {
        Counts {
            added: endpoints,
            updated: 1,
            removed: 2,
            desired_endpoints: endpoints,
            desired_slices: slices,
            actual_slices: slices + 1,
        }
    }

    /// Also upstream's `TestNumEndpointsAndSlices`: what was counted before is replaced, and what is gone is not counted.
    #[test]
    fn num_endpoints_and_slices() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        let key = |name: &str| ObjectKey::new("shop", name);
        let some = Skipped { addresses: 7, invalid: 3 };
        metrics.planned(&key("a"), Some(counts(99, 9)), Skipped::default());
        metrics.planned(&key("a"), Some(counts(20, 2)), some);
        metrics.planned(&key("b"), Some(counts(10, 1)), Skipped::default());
        metrics.planned(&key("c"), Some(counts(5, 5)), Skipped::default());
        metrics.planned(&key("c"), None, Skipped::default());
        metrics.planned(&key("never"), None, Skipped::default());
        metrics.wrote("create");
        metrics.synced(Duration::from_millis(3));
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let prefix = "endpoint_slice_mirroring_controller_";
        for line in [
            "changes{operation=\"create\"} 1",
            "endpoints_desired 30",
            "desired_endpoint_slices 3",
            "num_endpoint_slices 5",
            "endpoints_added_per_sync_bucket{le=\"16\"} 2",
            "endpoints_added_per_sync_bucket{le=\"128\"} 4",
            "endpoints_updated_per_sync_sum 4",
            "endpoints_removed_per_sync_sum 8",
            "addresses_skipped_per_sync_bucket{le=\"8\"} 4",
            "addresses_skipped_per_sync_sum 7",
            "endpoints_sync_duration_bucket{le=\"0.004\"} 1",
            "endpoints_sync_duration_bucket{le=\"16.384\"} 1",
        ] {
            let line = format!("{prefix}{line}");
            assert!(text.lines().any(|it| it == line), "no line {line:?} in\n{text}");
        }
    }
}
