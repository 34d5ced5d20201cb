//! Metrics of the machinery, under upstream's names where upstream has them.

use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// Registers `collector`, or says which metric could not be registered.
///
/// # Panics
///
/// If a metric of the same name exists: two components of one process would then overwrite each other's
/// figures, which is a mistake in the wiring and shows at the first start.
pub fn register<C: prometheus::core::Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    if let Err(error) = registry.register(Box::new(collector.clone())) {
        panic!("metric cannot be registered: {error}");
    }
    collector
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help)
}

/// Creates a metric whose name and labels are constants of the program.
///
/// # Panics
///
/// If name or labels are not valid: a mistake in the program, shown by the first test that builds it.
pub fn constant<M>(metric: prometheus::Result<M>) -> M {
    match metric {
        Ok(metric) => metric,
        Err(error) => panic!("metric is badly named: {error}"),
    }
}

/// Metrics of all informers of the process, by resource.
#[derive(Clone)]
pub struct Informers {
    objects: IntGaugeVec,
    changes: IntCounterVec,
    lists: IntCounterVec,
    errors: IntCounterVec,
}

impl Informers {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let counter =
            |name, help| register(registry, constant(IntCounterVec::new(opts(name, help), &["resource"])));
        Self {
            objects: register(
                registry,
                constant(IntGaugeVec::new(
                    opts("fairlead_informer_objects", "Number of objects in the local copy of a resource."),
                    &["resource"],
                )),
            ),
            changes: counter(
                "fairlead_informer_changes_total",
                "Number of changes of a resource that a controller could be interested in.",
            ),
            lists: counter(
                "fairlead_informer_lists_total",
                "Number of complete lists of a resource that were begun; more than one means relists.",
            ),
            errors: counter(
                "fairlead_informer_errors_total",
                "Number of times that listing or watching a resource broke off.",
            ),
        }
    }

    pub(crate) fn of(&self, resource: &str) -> InformerMetrics {
        InformerMetrics {
            objects: self.objects.with_label_values(&[resource]),
            changes: self.changes.with_label_values(&[resource]),
            lists: self.lists.with_label_values(&[resource]),
            errors: self.errors.with_label_values(&[resource]),
        }
    }
}

/// Metrics of one informer.
pub(crate) struct InformerMetrics {
    pub(crate) objects: IntGauge,
    pub(crate) changes: IntCounter,
    pub(crate) lists: IntCounter,
    pub(crate) errors: IntCounter,
}

/// The `workqueue_*` metrics of client-go, by queue name.
#[derive(Clone)]
pub struct Workqueues {
    depth: IntGaugeVec,
    adds: IntCounterVec,
    queue_duration: HistogramVec,
    work_duration: HistogramVec,
    unfinished: GaugeVec,
    longest: GaugeVec,
    retries: IntCounterVec,
}

impl Workqueues {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        // component-base: ExponentialBuckets(10e-9, 10, 12).
        let buckets: Vec<f64> = (-8..=3).map(|power| 10_f64.powi(power)).collect();
        let histogram = |name, help| {
            let opts = HistogramOpts::new(name, help).buckets(buckets.clone());
            register(registry, constant(HistogramVec::new(opts, &["name"])))
        };
        let gauge = |name, help| register(registry, constant(GaugeVec::new(opts(name, help), &["name"])));
        let counter =
            |name, help| register(registry, constant(IntCounterVec::new(opts(name, help), &["name"])));
        Self {
            depth: register(
                registry,
                constant(IntGaugeVec::new(
                    opts("workqueue_depth", "[BETA] Current depth of workqueue by workqueue and priority"),
                    &["name"],
                )),
            ),
            adds: counter("workqueue_adds_total", "[BETA] Total number of adds handled by workqueue"),
            queue_duration: histogram(
                "workqueue_queue_duration_seconds",
                "[BETA] How long in seconds an item stays in workqueue before being requested.",
            ),
            work_duration: histogram(
                "workqueue_work_duration_seconds",
                "[BETA] How long in seconds processing an item from workqueue takes.",
            ),
            unfinished: gauge(
                "workqueue_unfinished_work_seconds",
                "[BETA] How many seconds of work has done that is in progress and hasn't been observed by work_duration. \
                 Large values indicate stuck threads. One can deduce the number of stuck threads by observing the rate at which this increases.",
            ),
            longest: gauge(
                "workqueue_longest_running_processor_seconds",
                "[BETA] How many seconds has the longest running processor for workqueue been running.",
            ),
            retries: counter(
                "workqueue_retries_total",
                "[BETA] Total number of retries handled by workqueue",
            ),
        }
    }

    /// The metrics of the queue called `name`.
    #[must_use]
    pub fn of(&self, name: &str) -> WorkqueueMetrics {
        let labels = &[name];
        WorkqueueMetrics {
            depth: self.depth.with_label_values(labels),
            adds: self.adds.with_label_values(labels),
            queue_duration: self.queue_duration.with_label_values(labels),
            work_duration: self.work_duration.with_label_values(labels),
            unfinished: self.unfinished.with_label_values(labels),
            longest: self.longest.with_label_values(labels),
            retries: self.retries.with_label_values(labels),
        }
    }
}

/// Metrics of one queue.
pub struct WorkqueueMetrics {
    pub(crate) depth: IntGauge,
    pub(crate) adds: IntCounter,
    pub(crate) queue_duration: Histogram,
    pub(crate) work_duration: Histogram,
    pub(crate) unfinished: prometheus::Gauge,
    pub(crate) longest: prometheus::Gauge,
    pub(crate) retries: IntCounter,
}
