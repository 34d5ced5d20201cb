//! The informers that the controllers of the process share: one for each kind.

use std::sync::Arc;
use std::time::Duration;

use fairlead_loadbalancer::controller::Inputs;
use fairlead_loadbalancer::records::{Address, Announcement, Pool, Reservation};
use fairlead_machinery::admin::{Check, Checks};
use fairlead_machinery::informer::{Informer, Store};
use fairlead_machinery::membership::Membership;
use fairlead_machinery::metrics::Informers as InformerMetrics;
use fairlead_machinery::shutdown::Tasks;
use fairlead_machinery::source::{JsonSource, Scope, SourceError};
use fairlead_objects::{Endpoints, Namespace, Node, Pod, Presence, Record, Service, ServiceCidr, Slice};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use kube::Client;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use crate::args::{Controller, Controllers};

/// Finished Pods are never endpoints; the API server leaves them out, and a Pod that finishes arrives as
/// deleted.
const UNFINISHED_PODS: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// Informers that do not run yet, so that controllers can follow them. Only those run that a controller follows: the
/// role of one controller has no right to read what another one needs.
pub(crate) struct Informers {
    pods: Wanted<Pod>,
    pub(crate) nodes: Wanted<Node>,
    pub(crate) services: Wanted<Service>,
    pub(crate) slices: Wanted<Slice>,
    pub(crate) endpoints: Wanted<Endpoints>,
    pub(crate) namespaces: Wanted<Namespace>,
    pub(crate) service_cidrs: Wanted<ServiceCidr>,
    pub(crate) pools: Wanted<Pool>,
    pub(crate) addresses: Wanted<Address>,
    pub(crate) announcements: Wanted<Announcement>,
    pub(crate) reservations: Wanted<Reservation>,
    pub(crate) presences: Wanted<Presence>,
    /// Our own namespace, where the Leases of speakers are.
    namespace: String,
    /// Does any controller read Nodes?
    with_nodes: bool,
    membership: Option<Arc<Membership>>,
}

/// An informer that is made when it is first asked for.
pub(crate) struct Wanted<R> {
    metrics: InformerMetrics,
    informer: Option<Informer<R>>,
    /// Do the controllers begin only when it is synced?
    awaited: bool,
}

impl<R: Record> Wanted<R> {
    fn new(metrics: &InformerMetrics) -> Self {
        Self { metrics: metrics.clone(), informer: None, awaited: false }
    }

    /// The informer, which will run. The controllers begin when it is synced.
    pub(crate) fn get(&mut self) -> &mut Informer<R> {
        self.awaited = true;
        self.unawaited()
    }

    /// The informer, which will run, for a controller that waits for it by itself.
    pub(crate) fn unawaited(&mut self) -> &mut Informer<R> {
        self.informer.get_or_insert_with(|| Informer::new(&self.metrics))
    }
}

impl Informers {
    /// For these controllers.
    pub(crate) fn new(registry: &Registry, controllers: &Controllers, namespace: &str) -> Self {
        let metrics = InformerMetrics::new(registry);
        Self {
            pods: Wanted::new(&metrics),
            nodes: Wanted::new(&metrics),
            services: Wanted::new(&metrics),
            slices: Wanted::new(&metrics),
            endpoints: Wanted::new(&metrics),
            namespaces: Wanted::new(&metrics),
            service_cidrs: Wanted::new(&metrics),
            pools: Wanted::new(&metrics),
            addresses: Wanted::new(&metrics),
            announcements: Wanted::new(&metrics),
            reservations: Wanted::new(&metrics),
            presences: Wanted::new(&metrics),
            namespace: namespace.to_owned(),
            with_nodes: controllers.iter().any(|controller| controller == Controller::EndpointSlice),
            membership: None,
        }
    }

    /// Services with their Pods, and with the Pods' Nodes if any controller reads those.
    pub(crate) fn membership(&mut self) -> Arc<Membership> {
        let nodes = self.with_nodes.then_some(&mut self.nodes).map(Wanted::get);
        let make = || Membership::new(self.pods.get(), self.services.get(), nodes);
        Arc::clone(self.membership.get_or_insert_with(make))
    }

    /// What the loadbalancer-controller reads.
    pub(crate) fn of_load_balancers(&mut self) -> Inputs<'_> {
        Inputs {
            services: self.services.unawaited(),
            namespaces: self.namespaces.unawaited(),
            nodes: self.nodes.unawaited(),
            service_cidrs: self.service_cidrs.unawaited(),
            pools: self.pools.unawaited(),
            addresses: self.addresses.unawaited(),
            announcements: self.announcements.unawaited(),
            reservations: self.reservations.unawaited(),
            presences: self.presences.unawaited(),
        }
    }

    /// Starts those that are followed. What is returned resolves when every cache that is awaited holds a complete list.
    pub(crate) fn start(
        self,
        client: &Client,
        tasks: &mut Tasks,
        checks: &Checks,
        stop: &CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let mut start = Start { client, tasks, checks, stop, synced: Vec::new() };
        start.informer(self.pods, Some(UNFINISHED_PODS));
        start.informer(self.services, None);
        start.informer(self.nodes, None);
        start.informer(self.slices, None);
        start.informer(self.endpoints, None);
        start.informer(self.namespaces, None);
        start.informer(self.service_cidrs, None);
        start.informer(self.pools, None);
        start.informer(self.addresses, None);
        start.informer(self.announcements, None);
        start.informer(self.reservations, None);
        let (label, speaker) = Presence::LABEL;
        let speakers =
            Scope { namespace: self.namespace, fields: None, labels: Some(format!("{label}={speaker}")) };
        start.informer_in(self.presences, speakers);
        join_all(start.synced).map(drop)
    }
}

/// What informers are started with.
struct Start<'a> {
    client: &'a Client,
    tasks: &'a mut Tasks,
    checks: &'a Checks,
    stop: &'a CancellationToken,
    /// Each resolves when one of those that are awaited is synced.
    synced: Vec<BoxFuture<'static, ()>>,
}

impl Start<'_> {
    fn informer<R: Record>(&mut self, wanted: Wanted<R>, field_selector: Option<&str>) {
        let fields = field_selector.map(str::to_owned);
        self.informer_in(wanted, Scope { fields, ..Scope::default() });
    }

    fn informer_in<R: Record>(&mut self, wanted: Wanted<R>, scope: Scope) {
        let Some(informer) = wanted.informer else { return };
        let store = informer.store();
        let resource = R::RESOURCE.plural;
        let check = self.checks.add(format!("informer/{resource}"), "waiting for the first complete list");
        let source = JsonSource::of(self.client, scope);
        let (watched, stop, awaited) = (Arc::clone(&store), self.stop.clone(), wanted.awaited);
        self.tasks.spawn(format!("informer/{resource}"), async move {
            tokio::join!(
                informer.run(source, stop.clone()),
                stop.run_until_cancelled(show_progress(&watched, &check, awaited))
            );
        });
        if awaited {
            self.synced.push(async move { store.synced().await }.boxed());
        }
    }
}

/// Says in the readiness check what the informer waits for, until it is synced. A kind that is not installed keeps nobody
/// from being ready, unless it is awaited.
async fn show_progress<R: Record>(store: &Store<R>, check: &Check, awaited: bool) {
    let mut look = tokio::time::interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            () = store.synced() => return check.ok(),
            _ = look.tick() => {
                match store.trouble() {
                    Some(SourceError::Missing(_)) if !awaited => check.ok_with("not served by the API server"),
                    Some(trouble) => check.fail(trouble.to_string()),
                    None => {}
                }
            }
        }
    }
}
