//! Metrics under the names of kube-controller-manager's endpointslice-controller.
//!
//! Upstream lets the second family of a dual-stack Service overwrite the first in the gauges
//! (kubernetes/kubernetes issue 126004); here both are counted.

use std::collections::HashMap;

use fairlead_machinery::metrics::{constant, register};
use fairlead_objects::{ObjectKey, TrafficDistribution};
use parking_lot::Mutex;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    exponential_buckets,
};

use crate::FamilyCounts;
use crate::hints::Mode;

/// How the sync of one Service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncResult {
    Success,
    /// A write was refused because the cache was behind; the next round starts from newer state.
    Stale,
    Error,
}

/// What a plan looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planned {
    /// The slices that changed Pods touch.
    Pods,
    /// The whole Service.
    Service,
}

/// What the slices of one Service amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    endpoints: i64,
    desired_slices: i64,
    actual_slices: i64,
    distribution: Option<TrafficDistribution>,
}

/// The metrics of the controller.
pub(crate) struct Metrics {
    added: Histogram,
    removed: Histogram,
    endpoints_desired: IntGauge,
    desired_slices: IntGauge,
    actual_slices: IntGauge,
    changes: IntCounterVec,
    changed: HistogramVec,
    syncs: IntCounterVec,
    distributions: IntGaugeVec,
    plans: IntCounterVec,
    services: Mutex<HashMap<ObjectKey, Totals>>,
}

impl Metrics {
    /// Registers them.
    pub(crate) fn new(registry: &Registry) -> Self {
        // 2, 4, ... 32768
        let sizes = constant(exponential_buckets(2.0, 2.0, 15));
        let name = |name: &str| format!("endpoint_slice_controller_{name}");
        let per_sync = |it: &str, help: &str| {
            register(
                registry,
                constant(Histogram::with_opts(HistogramOpts::new(name(it), help).buckets(sizes.clone()))),
            )
        };
        let gauge = |it: &str, help: &str| {
            register(registry, constant(IntGauge::with_opts(Opts::new(name(it), help))))
        };
        let counter = |it: &str, help: &str, label: &str| {
            register(registry, constant(IntCounterVec::new(Opts::new(name(it), help), &[label])))
        };
        Self {
            added: per_sync(
                "endpoints_added_per_sync",
                "[BETA] Number of endpoints added on each Service sync",
            ),
            removed: per_sync(
                "endpoints_removed_per_sync",
                "[BETA] Number of endpoints removed on each Service sync",
            ),
            endpoints_desired: gauge("endpoints_desired", "[BETA] Number of endpoints desired"),
            desired_slices: gauge(
                "desired_endpoint_slices",
                "[BETA] Number of EndpointSlices that would exist with perfect endpoint allocation",
            ),
            actual_slices: gauge("num_endpoint_slices", "[BETA] Number of EndpointSlices"),
            changes: counter("changes", "[ALPHA] Number of EndpointSlice changes", "operation"),
            changed: register(
                registry,
                constant(HistogramVec::new(
                    HistogramOpts::new(
                        name("endpointslices_changed_per_sync"),
                        "[ALPHA] Number of EndpointSlices changed on each Service sync",
                    ),
                    &["topology", "traffic_distribution"],
                )),
            ),
            syncs: counter("syncs", "[ALPHA] Number of EndpointSlice syncs", "result"),
            distributions: register(
                registry,
                constant(IntGaugeVec::new(
                    Opts::new(
                        name("services_count_by_traffic_distribution"),
                        "[BETA] Number of Services using some specific trafficDistribution",
                    ),
                    &["traffic_distribution"],
                )),
            ),
            plans: register(
                registry,
                constant(IntCounterVec::new(
                    Opts::new(
                        "fairlead_endpointslice_plans_total",
                        "Number of plans by what they looked at: the slices that changed Pods touch, or the whole \
                         Service",
                    ),
                    &["extent"],
                )),
            ),
            services: Mutex::default(),
        }
    }

    pub(crate) fn planned(&self, what: Planned) {
        let label = match what {
            Planned::Pods => "pods",
            Planned::Service => "service",
        };
        self.plans.with_label_values(&[label]).inc();
    }

    pub(crate) fn synced(&self, result: SyncResult) {
        let label = match result {
            SyncResult::Success => "success",
            SyncResult::Stale => "stale",
            SyncResult::Error => "error",
        };
        self.syncs.with_label_values(&[label]).inc();
    }

    pub(crate) fn wrote(&self, operation: &str) {
        self.changes.with_label_values(&[operation]).inc();
    }

    /// One family was planned; `written` if all its writes succeeded.
    pub(crate) fn family(&self, counts: &FamilyCounts, mode: Mode, written: bool) {
        self.added.observe(float(counts.added));
        self.removed.observe(float(counts.removed));
        if written {
            let labels = match mode {
                Mode::Off => ["Disabled", ""],
                Mode::Auto => ["Auto", ""],
                Mode::Distribution(distribution) => ["Disabled", distribution.as_str()],
            };
            self.changed.with_label_values(&labels).observe(float(counts.changed_slices));
        }
    }

    /// The gauges count a Service as it is now.
    pub(crate) fn count_service(&self, key: &ObjectKey, families: &[FamilyCounts], mode: Mode) {
        if families.is_empty() {
            return self.forget_service(key);
        }
        let sum = |count: fn(&FamilyCounts) -> usize| integer(families.iter().map(count).sum());
        let now = Totals {
            endpoints: sum(|it| it.desired_endpoints),
            desired_slices: sum(|it| it.desired_slices),
            actual_slices: sum(|it| it.actual_slices),
            distribution: match mode {
                Mode::Distribution(distribution) => Some(distribution),
                Mode::Off | Mode::Auto => None,
            },
        };
        let before = self.services.lock().insert(key.clone(), now).unwrap_or_default();
        self.shift(before, now);
    }

    /// The Service is gone, or has no slices of this controller any more.
    pub(crate) fn forget_service(&self, key: &ObjectKey) {
        if let Some(before) = self.services.lock().remove(key) {
            self.shift(before, Totals::default());
        }
    }

    fn shift(&self, before: Totals, now: Totals) {
        self.endpoints_desired.add(now.endpoints - before.endpoints);
        self.desired_slices.add(now.desired_slices - before.desired_slices);
        self.actual_slices.add(now.actual_slices - before.actual_slices);
        let of = |distribution: TrafficDistribution| {
            self.distributions.with_label_values(&[distribution.as_str()])
        };
        if let Some(distribution) = before.distribution {
            of(distribution).dec();
        }
        if let Some(distribution) = now.distribution {
            of(distribution).inc();
        }
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
    use fairlead_objects::Family;
    use prometheus::TextEncoder;

    use super::*;

    fn counts(family: Family, endpoints: usize, slices: usize) -> FamilyCounts {
        FamilyCounts {
            family,
            added: endpoints,
            removed: 3,
            desired_endpoints: endpoints,
            desired_slices: slices,
            actual_slices: slices + 1,
            changed_slices: slices,
        }
    }

    #[test]
    fn names_types_and_values_are_upstreams_and_families_add_up() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        let web = ObjectKey::new("shop", "web");
        let families = [counts(Family::V4, 20, 2), counts(Family::V6, 10, 1)];
        let (close, node) = (TrafficDistribution::PreferClose, TrafficDistribution::PreferSameNode);
        metrics.count_service(&web, &[counts(Family::V4, 99, 9)], Mode::Distribution(node));
        metrics.count_service(&web, &families, Mode::Distribution(close));
        metrics.count_service(&ObjectKey::new("shop", "gone"), &families, Mode::Distribution(close));
        metrics.forget_service(&ObjectKey::new("shop", "gone"));
        metrics.count_service(&ObjectKey::new("shop", "auto"), &[counts(Family::V4, 0, 0)], Mode::Auto);
        metrics.family(&families[0], Mode::Off, true);
        metrics.family(&families[0], Mode::Auto, false);
        metrics.family(&families[1], Mode::Auto, true);
        metrics.family(&families[1], Mode::Distribution(close), true);
        metrics.wrote("create");
        metrics.synced(SyncResult::Stale);
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "# TYPE endpoint_slice_controller_changes counter",
            "endpoint_slice_controller_changes{operation=\"create\"} 1",
            "endpoint_slice_controller_endpoints_desired 30",
            "endpoint_slice_controller_desired_endpoint_slices 3",
            "endpoint_slice_controller_num_endpoint_slices 6",
            "endpoint_slice_controller_endpoints_added_per_sync_bucket{le=\"16\"} 2",
            "endpoint_slice_controller_endpoints_added_per_sync_bucket{le=\"32\"} 4",
            "endpoint_slice_controller_endpoints_removed_per_sync_sum 12",
            "endpoint_slice_controller_endpointslices_changed_per_sync_count{topology=\"Disabled\",traffic_distribution=\"\"} 1",
            "endpoint_slice_controller_endpointslices_changed_per_sync_count{topology=\"Auto\",traffic_distribution=\"\"} 1",
            "endpoint_slice_controller_endpointslices_changed_per_sync_count{topology=\"Disabled\",traffic_distribution=\"PreferClose\"} 1",
            "endpoint_slice_controller_services_count_by_traffic_distribution{traffic_distribution=\"PreferClose\"} 1",
            "endpoint_slice_controller_services_count_by_traffic_distribution{traffic_distribution=\"PreferSameNode\"} 0",
            "endpoint_slice_controller_syncs{result=\"stale\"} 1",
        ] {
            assert!(text.lines().any(|it| it == line), "no line {line:?} in\n{text}");
        }
    }
}
