//! Metrics of the loadbalancer-controller.

use std::collections::HashMap;
use std::time::Duration;

use fairlead_machinery::metrics::{constant, register};
use fairlead_objects::{Istr, ObjectKey};
use parking_lot::Mutex;
use prometheus::{Histogram, HistogramOpts, IntGauge, IntGaugeVec, Opts, Registry, exponential_buckets};

use crate::action::Standing;
use crate::records::PoolStatus;

/// States of addresses, as they are labelled.
const STATES: [&str; 5] = ["capacity", "assigned", "free", "reserved", "cooling"];
const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];

/// The metrics of the controller.
pub(crate) struct Metrics {
    addresses: IntGaugeVec,
    services: IntGaugeVec,
    assign_duration: Histogram,
    rival: IntGauge,
    /// Services that are counted, with the state that they are counted in.
    counted: Mutex<HashMap<ObjectKey, &'static str>>,
}

impl Metrics {
    /// Registers them.
    pub(crate) fn new(registry: &Registry) -> Self {
        let addresses = Opts::new(
            "fairlead_loadbalancer_addresses",
            "Number of addresses of each pool, by family and state.",
        );
        let services = Opts::new(
            "fairlead_loadbalancer_services",
            "Number of Services of type LoadBalancer that are served, by whether they have an address.",
        );
        // 1 ms, 2 ms, ... 131 s
        let assign_duration = HistogramOpts::new(
            "fairlead_loadbalancer_assign_duration_seconds",
            "Time from when a Service without an address was seen until its status named one.",
        )
        .buckets(constant(exponential_buckets(0.001, 2.0, 18)));
        let rival = Opts::new(
            "fairlead_loadbalancer_rival",
            "1 while a MetalLB is seen to run in the cluster, else 0.",
        );
        let metrics = Self {
            addresses: register(
                registry,
                constant(IntGaugeVec::new(addresses, &["pool", "family", "state"])),
            ),
            services: register(registry, constant(IntGaugeVec::new(services, &["state"]))),
            assign_duration: register(registry, constant(Histogram::with_opts(assign_duration))),
            rival: register(registry, constant(IntGauge::with_opts(rival))),
            counted: Mutex::default(),
        };
        for state in [ASSIGNED, PENDING] {
            metrics.services.with_label_values(&[state]).set(0);
        }
        metrics
    }

    /// A pool stands so.
    pub(crate) fn pool(&self, name: &Istr, status: &PoolStatus) {
        for (family, usage) in FAMILIES.into_iter().zip([status.ipv4, status.ipv6]) {
            let usage = usage.unwrap_or_default();
            let numbers = [usage.capacity, usage.assigned, usage.free, usage.reserved, usage.cooling];
            for (state, number) in STATES.into_iter().zip(numbers) {
                self.addresses.with_label_values(&[name.as_str(), family, state]).set(number);
            }
        }
    }

    /// A pool is gone, and its series with it.
    pub(crate) fn pool_gone(&self, name: &Istr) {
        for family in FAMILIES {
            for state in STATES {
                // It may never have been there.
                let _ = self.addresses.remove_label_values(&[name.as_str(), family, state]);
            }
        }
    }

    /// A Service stands so.
    pub(crate) fn stands(&self, key: &ObjectKey, standing: Standing) {
        let state = match standing {
            Standing::NotOurs | Standing::LeftAlone => None,
            Standing::Ready | Standing::Unsatisfied(_) => Some(ASSIGNED),
            Standing::Pending(_) => Some(PENDING),
        };
        let mut counted = self.counted.lock();
        let before = match state {
            Some(state) => counted.insert(key.clone(), state),
            None => counted.remove(key),
        };
        if before == state {
            return;
        }
        if let Some(before) = before {
            self.services.with_label_values(&[before]).dec();
        }
        if let Some(state) = state {
            self.services.with_label_values(&[state]).inc();
        }
    }

    /// A Service that had waited for so long has an address.
    pub(crate) fn assigned(&self, waited: Duration) {
        self.assign_duration.observe(waited.as_secs_f64());
    }

    /// Does a MetalLB run?
    pub(crate) fn rival(&self, runs: bool) {
        self.rival.set(runs.into());
    }
}

const ASSIGNED: &str = "assigned";
const PENDING: &str = "pending";

#[cfg(test)]
mod tests {
    use fairlead_crds::FamilyUsage;
    use prometheus::TextEncoder;

    use super::*;
    use crate::words::Reason;

    fn text(registry: &Registry) -> String {
        TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    #[test]
    fn the_series_of_a_pool_vanish_with_it() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        let usage = FamilyUsage { capacity: 9, assigned: 3, free: 4, reserved: 1, cooling: 1 };
        metrics.pool(&"public".into(), &PoolStatus { ipv4: Some(usage), ..PoolStatus::default() });
        let name = "fairlead_loadbalancer_addresses";
        let shown = text(&registry);
        for (state, number) in STATES.into_iter().zip([9, 3, 4, 1, 1]) {
            let line = format!("{name}{{family=\"ipv4\",pool=\"public\",state=\"{state}\"}} {number}");
            assert!(shown.lines().any(|it| it == line), "no {line:?} in\n{shown}");
        }
        metrics.pool_gone(&"public".into());
        assert!(!text(&registry).contains(name));
    }

    #[test]
    fn each_service_is_counted_once() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        let [a, b, c] = ["a", "b", "c"].map(|name| ObjectKey::new("shop", name));
        metrics.stands(&a, Standing::Pending(Reason::NoPool));
        metrics.stands(&a, Standing::Ready);
        metrics.stands(&a, Standing::Ready);
        metrics.stands(&b, Standing::Unsatisfied(Reason::AddressInUse));
        metrics.stands(&c, Standing::Pending(Reason::PoolExhausted));
        let count = |state: &str| metrics.services.with_label_values(&[state]).get();
        assert_eq!((count("assigned"), count("pending")), (2, 1));
        metrics.stands(&b, Standing::NotOurs);
        metrics.stands(&c, Standing::LeftAlone);
        assert_eq!((count("assigned"), count("pending")), (1, 0));
        metrics.assigned(Duration::from_millis(3));
        metrics.rival(true);
        let shown = text(&registry);
        assert!(shown.contains("assign_duration_seconds_bucket{le=\"0.004\"} 1"), "{shown}");
        assert!(shown.contains("fairlead_loadbalancer_rival 1"), "{shown}");
    }
}
