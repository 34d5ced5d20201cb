//! The controller as the manager runs it.

use std::sync::Arc;
use std::time::Duration;

use fairlead_endpoints::controller::{COMPONENT, Controller, Inputs, Settings};
use fairlead_fake_api::FakeApi;
use fairlead_machinery::canary::Canaries;
use fairlead_machinery::events::{self, EventMetrics};
use fairlead_machinery::informer::{Informer, Store};
use fairlead_machinery::membership::Membership;
use fairlead_machinery::metrics::{Informers, Workqueues};
use fairlead_machinery::permit::{Gate, Permit};
use fairlead_machinery::source::JsonSource;
use fairlead_machinery::write::Writer;
use fairlead_objects::Record;
use prometheus::{Registry, TextEncoder};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The default of the flag.
pub(crate) const RECHECK_PERIOD: Duration = Duration::from_mins(10);

/// How the controller runs.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) batch_period: Duration,
    pub(crate) prune_leftovers: bool,
    /// Closed: it may not write.
    pub(crate) gate: Gate,
}

impl Default for Options {
    fn default() -> Self {
        Self { batch_period: Duration::ZERO, prune_leftovers: false, gate: Gate::opened() }
    }
}

/// A running controller with its informers.
pub(crate) struct Process {
    tasks: JoinSet<()>,
    stop: CancellationToken,
    registry: Registry,
}

impl Process {
    pub(crate) fn start(api: &FakeApi, options: &Options) -> Self {
        let (client, registry) = (api.client(), Registry::new());
        let stop = CancellationToken::new();
        let metrics = Informers::new(&registry);
        let mut pods = Informer::new(&metrics);
        let mut services = Informer::new(&metrics);
        let mut endpoints = Informer::new(&metrics);
        let membership = Membership::new(&mut pods, &mut services, None);
        let permit = Permit::until(stop.clone()).narrowed(&options.gate);
        // Events are not written: the other half is dropped.
        let events = EventMetrics::new(&registry);
        let (recorder, _) = events::channel(client.clone(), COMPONENT, events, permit.clone());
        let controller = Controller::new(
            Settings {
                canaries: Canaries::of("fairlead-system"),
                workers: 2,
                batch_period: options.batch_period,
                recheck_period: RECHECK_PERIOD,
                prune_leftovers: options.prune_leftovers,
            },
            Inputs { services: &mut services, endpoints: &mut endpoints, membership },
            Writer::new(client, permit, None),
            recorder,
            &registry,
            &Workqueues::new(&registry),
        );
        let mut process = Self { tasks: JoinSet::new(), stop, registry };
        let unfinished = Some("status.phase!=Succeeded,status.phase!=Failed");
        let (pods, services) = (process.inform(pods, api, unfinished), process.inform(services, api, None));
        let endpoints = process.inform(endpoints, api, None);
        let stop = process.stop.clone();
        process.tasks.spawn(async move {
            tokio::join!(pods.synced(), services.synced(), endpoints.synced());
            controller.run(stop).await;
        });
        process
    }

    fn inform<R: Record>(
        &mut self,
        informer: Informer<R>,
        api: &FakeApi,
        fields: Option<&str>,
    ) -> Arc<Store<R>> {
        let store = informer.store();
        let source = JsonSource::new(&api.client(), fields);
        self.tasks.spawn(informer.run(source, self.stop.clone()));
        store
    }

    /// How many plans had this result.
    pub(crate) fn plans(&self, result: &str) -> usize {
        self.metric(&format!("fairlead_endpoints_plans_total{{result=\"{result}\"}}"))
    }

    /// The value of a metric with these labels; zero if there is none.
    pub(crate) fn metric(&self, name: &str) -> usize {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default();
        let value = |line: &str| line.strip_prefix(name)?.trim_start().parse().ok();
        text.lines().find_map(value).unwrap_or_default()
    }

    /// Ends at once, as by SIGKILL: what was sent is sent.
    pub(crate) fn kill(&mut self) {
        self.stop.cancel();
        self.tasks.abort_all();
    }
}
