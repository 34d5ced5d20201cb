//! Metrics of our own: upstream's endpoints-controller has none but those of its work queue.

use std::collections::HashSet;

use fairlead_machinery::metrics::{constant, register};
use fairlead_objects::ObjectKey;
use parking_lot::Mutex;
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

/// What became of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planned {
    /// There was nothing to write.
    Unchanged,
    /// It was written.
    Written,
    /// It could not be written.
    Failed,
}

/// The metrics of the controller.
pub(crate) struct Metrics {
    writes: IntCounterVec,
    plans: IntCounterVec,
    truncated: Flags,
    leftovers: Flags,
}

impl Metrics {
    /// Registers them.
    pub(crate) fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str, label: &str| {
            register(registry, constant(IntCounterVec::new(Opts::new(name, help), &[label])))
        };
        Self {
            writes: counter(
                "fairlead_endpoints_writes_total",
                "Number of writes to Endpoints objects, by operation.",
                "operation",
            ),
            plans: counter(
                "fairlead_endpoints_plans_total",
                "Number of plans for Endpoints objects, by what became of them.",
                "result",
            ),
            truncated: Flags::new(
                registry,
                "fairlead_endpoints_truncated",
                "Number of Endpoints objects that do not hold all endpoints of their Service, because there are more \
                 than 1000.",
            ),
            leftovers: Flags::new(
                registry,
                "fairlead_leftover_endpoints",
                "Number of Endpoints objects that nobody maintains any more, because their Service lost its selector or \
                 became an ExternalName.",
            ),
        }
    }

    pub(crate) fn wrote(&self, operation: &str) {
        self.writes.with_label_values(&[operation]).inc();
    }

    pub(crate) fn planned(&self, result: Planned) {
        let label = match result {
            Planned::Unchanged => "unchanged",
            Planned::Written => "written",
            Planned::Failed => "failed",
        };
        self.plans.with_label_values(&[label]).inc();
    }

    /// Does the object hold fewer endpoints than there are? Returns whether that is news.
    pub(crate) fn truncated(&self, service: &ObjectKey, is_so: bool) -> bool {
        self.truncated.set(service, is_so)
    }

    /// Is the object left behind by its Service?
    pub(crate) fn left_behind(&self, service: &ObjectKey, is_so: bool) {
        self.leftovers.set(service, is_so);
    }

    /// The Service is gone.
    pub(crate) fn forget(&self, service: &ObjectKey) {
        self.truncated.set(service, false);
        self.leftovers.set(service, false);
    }
}

/// Services of which something holds, counted.
struct Flags {
    services: Mutex<HashSet<ObjectKey>>,
    count: IntGauge,
}

impl Flags {
    fn new(registry: &Registry, name: &str, help: &str) -> Self {
        let count = register(registry, constant(IntGauge::with_opts(Opts::new(name, help))));
        Self { services: Mutex::default(), count }
    }

    /// Returns whether that changes anything.
    fn set(&self, service: &ObjectKey, is_so: bool) -> bool {
        let mut services = self.services.lock();
        let changed = if is_so { services.insert(service.clone()) } else { services.remove(service) };
        if changed {
            self.count.set(i64::try_from(services.len()).unwrap_or(i64::MAX));
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn services_are_counted_once_as_long_as_it_holds() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        let (web, db) = (ObjectKey::new("shop", "web"), ObjectKey::new("shop", "db"));
        for _ in 0..2 {
            metrics.truncated(&web, true);
            metrics.truncated(&db, true);
            metrics.left_behind(&web, true);
        }
        metrics.truncated(&db, false);
        metrics.planned(Planned::Unchanged);
        metrics.wrote("create");
        let lines = || TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "fairlead_endpoints_truncated 1",
            "fairlead_leftover_endpoints 1",
            "fairlead_endpoints_writes_total{operation=\"create\"} 1",
            "fairlead_endpoints_plans_total{result=\"unchanged\"} 1",
        ] {
            assert!(lines().lines().any(|it| it == line), "no line {line:?} in\n{}", lines());
        }
        metrics.forget(&web);
        assert!(lines().contains("\nfairlead_endpoints_truncated 0\n"), "{}", lines());
        assert!(lines().contains("\nfairlead_leftover_endpoints 0\n"), "{}", lines());
    }
}
