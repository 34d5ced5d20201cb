//! The informers that the controllers of the process share: one for each kind.

use std::sync::Arc;
use std::time::Duration;

use fairlead_machinery::admin::{Check, Checks};
use fairlead_machinery::informer::{Informer, Store};
use fairlead_machinery::membership::Membership;
use fairlead_machinery::metrics::Informers as InformerMetrics;
use fairlead_machinery::shutdown::Tasks;
use fairlead_machinery::source::JsonSource;
use fairlead_objects::{Node, Pod, Record, Service, Slice};
use kube::Client;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

/// Finished Pods are never endpoints; the API server leaves them out, and a Pod that finishes arrives as
/// deleted.
const UNFINISHED_PODS: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// Informers that do not run yet, so that controllers can follow them.
pub(crate) struct Informers {
    pub(crate) pods: Informer<Pod>,
    pub(crate) services: Informer<Service>,
    pub(crate) nodes: Informer<Node>,
    pub(crate) slices: Informer<Slice>,
    pub(crate) membership: Arc<Membership>,
}

impl Informers {
    pub(crate) fn new(registry: &Registry) -> Self {
        let metrics = InformerMetrics::new(registry);
        let mut pods = Informer::new(&metrics);
        let mut services = Informer::new(&metrics);
        let mut nodes = Informer::new(&metrics);
        let slices = Informer::new(&metrics);
        let membership = Membership::new(&mut pods, &mut services, Some(&mut nodes));
        Self { pods, services, nodes, slices, membership }
    }

    /// Starts them all. What is returned resolves when every cache holds a complete list.
    pub(crate) fn start(
        self,
        client: &Client,
        tasks: &mut Tasks,
        checks: &Checks,
        stop: &CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let pods = start(self.pods, client, Some(UNFINISHED_PODS), tasks, checks, stop);
        let services = start(self.services, client, None, tasks, checks, stop);
        let nodes = start(self.nodes, client, None, tasks, checks, stop);
        let slices = start(self.slices, client, None, tasks, checks, stop);
        async move {
            tokio::join!(pods.synced(), services.synced(), nodes.synced(), slices.synced());
        }
    }
}

fn start<R: Record>(
    informer: Informer<R>,
    client: &Client,
    field_selector: Option<&str>,
    tasks: &mut Tasks,
    checks: &Checks,
    stop: &CancellationToken,
) -> Arc<Store<R>> {
    let store = informer.store();
    let resource = R::RESOURCE.plural;
    let check = checks.add(format!("informer/{resource}"), "waiting for the first complete list");
    let source = JsonSource::new(client, field_selector);
    let (watched, stop) = (Arc::clone(&store), stop.clone());
    tasks.spawn(format!("informer/{resource}"), async move {
        tokio::join!(
            informer.run(source, stop.clone()),
            stop.run_until_cancelled(show_progress(&watched, &check))
        );
    });
    store
}

/// Says in the readiness check what the informer waits for, until it is synced.
async fn show_progress<R: Record>(store: &Store<R>, check: &Check) {
    let mut look = tokio::time::interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            () = store.synced() => return check.ok(),
            _ = look.tick() => {
                if let Some(trouble) = store.trouble() {
                    check.fail(trouble);
                }
            }
        }
    }
}
