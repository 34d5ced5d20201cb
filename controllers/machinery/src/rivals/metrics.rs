//! Figures about rivals.

use prometheus::{IntCounter, IntGauge, Opts, Registry};

use crate::metrics::{constant, register};

/// `fairlead_reverts_total` and `fairlead_contested_services` of one controller.
#[derive(Clone, Debug)]
pub struct RivalMetrics {
    /// Counts plans that put back what others had changed, and were made for nothing else.
    pub reverts: IntCounter,
    /// The number of Services for which reverting is slowed down.
    pub contested: IntGauge,
}

impl RivalMetrics {
    /// Registers them for the controller that writes `resource`, such as `endpointslices`.
    #[must_use]
    pub fn new(registry: &Registry, resource: &str) -> Self {
        let opts = |name: &str, help: &str| Opts::new(name, help).const_label("resource", resource);
        let reverts = opts(
            "fairlead_reverts_total",
            "Number of times that objects of this resource were put right because others had changed them.",
        );
        let contested = opts(
            "fairlead_contested_services",
            "Number of Services whose objects of this resource others keep changing, so that reverting is slowed down.",
        );
        Self {
            reverts: register(registry, constant(IntCounter::with_opts(reverts))),
            contested: register(registry, constant(IntGauge::with_opts(contested))),
        }
    }
}
