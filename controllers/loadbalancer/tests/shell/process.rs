//! The controller as the manager runs it.

use std::sync::Arc;
use std::time::Duration;

use fairlead_fake_api::FakeApi;
use fairlead_loadbalancer::Config;
use fairlead_loadbalancer::controller::{COMPONENT, Controller, Inputs, Settings};
use fairlead_machinery::admin::Checks;
use fairlead_machinery::clock::WallClock;
use fairlead_machinery::events::{self, EventMetrics};
use fairlead_machinery::informer::{Informer, Store};
use fairlead_machinery::metrics::{Informers, Workqueues};
use fairlead_machinery::permit::{Gate, Permit};
use fairlead_machinery::shutdown::Shutdown;
use fairlead_machinery::source::JsonSource;
use fairlead_machinery::write::Writer;
use fairlead_objects::Record;
use jiff::Timestamp;
use prometheus::{Registry, TextEncoder};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The default of the flag.
pub(crate) const RECHECK_PERIOD: Duration = Duration::from_mins(10);

/// A running controller with its informers.
pub(crate) struct Process {
    tasks: JoinSet<()>,
    stop: CancellationToken,
    registry: Registry,
    checks: Checks,
    /// Closed: the process may not write.
    pub(crate) gate: Gate,
}

impl Process {
    pub(crate) fn start(api: &FakeApi) -> Self {
        Self::start_with(api, api.client())
    }

    /// Starts with a client of its own for what it writes, and reads past its caches.
    pub(crate) fn start_with(api: &FakeApi, writing: kube::Client) -> Self {
        Self::start_gated(api, writing, Gate::opened())
    }

    /// Starts as one that may not write before the gate is opened.
    pub(crate) fn start_standby(api: &FakeApi) -> Self {
        Self::start_gated(api, api.client(), Gate::closed())
    }

    fn start_gated(api: &FakeApi, writing: kube::Client, gate: Gate) -> Self {
        let (client, registry) = (api.client(), Registry::new());
        let stop = CancellationToken::new();
        let checks = Checks::new(Shutdown::new());
        let metrics = Informers::new(&registry);
        let (mut services, mut namespaces) = (Informer::new(&metrics), Informer::new(&metrics));
        let (mut nodes, mut service_cidrs) = (Informer::new(&metrics), Informer::new(&metrics));
        let (mut pools, mut addresses) = (Informer::new(&metrics), Informer::new(&metrics));
        let (mut announcements, mut reservations) = (Informer::new(&metrics), Informer::new(&metrics));
        let mut presences = Informer::new(&metrics);
        let permit = Permit::until(stop.clone()).narrowed(&gate);
        let told = EventMetrics::new(&registry);
        let (recorder, events) = events::channel(client, COMPONENT, told, permit.clone());
        // Paused time is the time of day, too.
        let started = Instant::now();
        let first = Timestamp::now();
        let controller = Controller::new(
            Settings {
                workers: 4,
                config: Config { class: None, drain_overlap: Duration::from_mins(1) },
                recheck_period: RECHECK_PERIOD,
                namespace: "fairlead-system".to_owned(),
                clock: WallClock::new(move || first + started.elapsed()),
            },
            Inputs {
                services: &mut services,
                namespaces: &mut namespaces,
                nodes: &mut nodes,
                service_cidrs: &mut service_cidrs,
                pools: &mut pools,
                addresses: &mut addresses,
                announcements: &mut announcements,
                reservations: &mut reservations,
                presences: &mut presences,
            },
            Writer::new(writing, permit, None),
            recorder,
            checks.add("rival/metallb", "starting"),
            &registry,
            &Workqueues::new(&registry),
        );
        let mut process = Self { tasks: JoinSet::new(), stop: stop.clone(), registry, checks, gate };
        process.tasks.spawn(events.run(stop.clone()));
        let (services, namespaces) = (process.inform(services, api), process.inform(namespaces, api));
        let (nodes, service_cidrs) = (process.inform(nodes, api), process.inform(service_cidrs, api));
        let (pools, addresses) = (process.inform(pools, api), process.inform(addresses, api));
        let (announcements, reservations) =
            (process.inform(announcements, api), process.inform(reservations, api));
        let presences = process.inform(presences, api);
        process.tasks.spawn(async move {
            tokio::join!(
                services.synced(),
                namespaces.synced(),
                nodes.synced(),
                service_cidrs.synced(),
                pools.synced(),
                addresses.synced(),
                announcements.synced(),
                reservations.synced(),
                presences.synced()
            );
            controller.run(stop).await;
        });
        process
    }

    fn inform<R: Record>(&mut self, informer: Informer<R>, api: &FakeApi) -> Arc<Store<R>> {
        let store = informer.store();
        let source = JsonSource::new(&api.client(), None);
        self.tasks.spawn(informer.run(source, self.stop.clone()));
        store
    }

    /// The value of a metric with these labels; zero if there is none.
    pub(crate) fn metric(&self, name: &str) -> usize {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default();
        let value = |line: &str| line.strip_prefix(name)?.trim_start().parse().ok();
        text.lines().find_map(value).unwrap_or_default()
    }

    /// Is there any series of this metric with this text in its labels?
    pub(crate) fn has_series(&self, name: &str, text: &str) -> bool {
        let all = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default();
        all.lines().any(|line| line.starts_with(name) && line.contains(text))
    }

    /// What `/readyz?verbose` says.
    pub(crate) fn checks(&self) -> String {
        self.checks.report().lines().to_owned()
    }

    /// Ends at once, as by SIGKILL: what was sent is sent.
    pub(crate) fn kill(&mut self) {
        self.stop.cancel();
        self.tasks.abort_all();
    }

    /// Ends at once, and goes on as a new process that knows nothing.
    pub(crate) fn restart(&mut self, api: &FakeApi) {
        self.kill();
        *self = Self::start(api);
    }
}
