//! The loadbalancer-controller among the others: it waits for its own caches, because the kinds that it stands on may not be
//! installed, now or any more, and then holds up nobody.

use std::sync::Arc;
use std::time::Duration;

use fairlead_loadbalancer::controller::{Controller, Inputs, Settings};
use fairlead_machinery::admin::{Check, Checks};
use fairlead_machinery::events::Recorder;
use fairlead_machinery::informer::Store;
use fairlead_machinery::metrics::Workqueues;
use fairlead_machinery::write::Writer;
use fairlead_objects::Record;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The name of its readiness check.
pub(crate) const CHECK: &str = "loadbalancer-controller";

const NOT_INSTALLED: &str = "the CRDs of fairlead.dev are not installed: kubectl apply -k config/crd";

/// A cache of any kind.
trait Cache: Send + Sync {
    fn is_synced(&self) -> bool;
    fn is_missing(&self) -> bool;
    fn synced(&self) -> BoxFuture<'_, ()>;
    fn synced_or_missing(&self) -> BoxFuture<'_, ()>;
}

impl<R: Record> Cache for Store<R> {
    fn is_synced(&self) -> bool {
        self.is_synced()
    }

    fn is_missing(&self) -> bool {
        self.is_missing()
    }

    fn synced(&self) -> BoxFuture<'_, ()> {
        self.synced().boxed()
    }

    fn synced_or_missing(&self) -> BoxFuture<'_, ()> {
        self.synced_or_missing().boxed()
    }
}

/// What the controller reads.
struct Caches {
    /// Kinds of Kubernetes itself.
    core: Vec<Arc<dyn Cache>>,
    /// Our own kinds.
    ours: Vec<Arc<dyn Cache>>,
}

impl Caches {
    fn of(inputs: &Inputs<'_>) -> Self {
        Self {
            core: vec![
                inputs.services.store(),
                inputs.namespaces.store(),
                inputs.nodes.store(),
                inputs.service_cidrs.store(),
                inputs.presences.store(),
            ],
            ours: vec![
                inputs.pools.store(),
                inputs.addresses.store(),
                inputs.announcements.store(),
                inputs.reservations.store(),
            ],
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<dyn Cache>> {
        self.core.iter().chain(&self.ours)
    }

    fn is_missing(&self) -> bool {
        self.ours.iter().any(|cache| cache.is_missing())
    }

    /// Waits until the controller can begin.
    async fn synced(&self) {
        join_all(self.all().map(|cache| cache.synced())).await;
    }
}

/// The controller, which does not run yet, and what it waits for.
pub(crate) struct Beside {
    controller: Arc<Controller>,
    caches: Arc<Caches>,
}

impl Beside {
    /// With what it writes by and records events by.
    pub(crate) fn new(
        settings: Settings,
        inputs: Inputs<'_>,
        (writer, recorder): (Writer, Recorder),
        checks: &Checks,
        registry: &Registry,
        workqueues: &Workqueues,
    ) -> Self {
        let rivals = checks.add("rival/metallb", "starting");
        // It may wait for its kinds for ever.
        rivals.ok_with("nobody looks before the loadbalancer-controller begins");
        let caches = Arc::new(Caches::of(&inputs));
        let controller = Controller::new(settings, inputs, writer, recorder, rivals, registry, workqueues);
        Self { controller, caches }
    }

    /// Resolves when the controller can begin, or has to wait for somebody to install its kinds.
    pub(crate) fn ready(&self) -> impl Future<Output = ()> + Send + use<> {
        let caches = Arc::clone(&self.caches);
        async move {
            join_all(caches.all().map(|cache| cache.synced_or_missing())).await;
        }
    }

    /// Runs the controller as soon as its caches are complete, until `stop`.
    pub(crate) async fn run(self, check: Check, stop: CancellationToken) {
        let Self { controller, caches } = self;
        let work = async {
            if stop.run_until_cancelled(caches.synced()).await.is_some() {
                info!("the caches of the loadbalancer-controller are complete, it begins");
                controller.run(stop.clone()).await;
            }
        };
        tokio::join!(work, stop.run_until_cancelled(show(&caches, &check)));
    }
}

/// Says in the readiness check what the controller waits for. Who has not installed its kinds does not want it, and is ready.
async fn show(caches: &Caches, check: &Check) {
    let mut look = tokio::time::interval(Duration::from_millis(500));
    let mut was_missing = false;
    loop {
        look.tick().await;
        let is_missing = caches.is_missing();
        if is_missing {
            check.ok_with(NOT_INSTALLED);
        } else if caches.all().all(|cache| cache.is_synced()) {
            check.ok();
        } else {
            check.fail("waiting for the caches");
        }
        if is_missing && !was_missing {
            warn!("the loadbalancer-controller waits: {NOT_INSTALLED}");
        } else if was_missing && !is_missing {
            info!("the CRDs of fairlead.dev are installed");
        }
        was_missing = is_missing;
    }
}
