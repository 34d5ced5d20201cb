//! The controller as the manager runs it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use fairlead_endpointslice::controller::{COMPONENT, Controller, Inputs, Settings};
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

/// The default of the flag; longer than a history and the time in which everything must be in order.
pub(crate) const RECHECK_PERIOD: Duration = Duration::from_mins(10);
/// Few, so that there are many slices.
pub(crate) const CAPACITY: NonZeroUsize = NonZeroUsize::new(3).unwrap();

/// A running controller with its informers.
pub(crate) struct Process {
    tasks: JoinSet<()>,
    stop: CancellationToken,
    registry: Registry,
}

impl Process {
    pub(crate) fn start(api: &FakeApi) -> Self {
        Self::behind(api, &Gate::opened())
    }

    /// One that writes only while the gate is open, as a standby does.
    pub(crate) fn behind(api: &FakeApi, gate: &Gate) -> Self {
        let (client, registry) = (api.client(), Registry::new());
        let stop = CancellationToken::new();
        let metrics = Informers::new(&registry);
        let mut pods = Informer::new(&metrics);
        let mut services = Informer::new(&metrics);
        let mut nodes = Informer::new(&metrics);
        let mut slices = Informer::new(&metrics);
        let membership = Membership::new(&mut pods, &mut services, Some(&mut nodes));
        // Events are not written: the other half is dropped.
        let permit = Permit::until(stop.clone()).narrowed(gate);
        let events = EventMetrics::new(&registry);
        let (recorder, _) = events::channel(client.clone(), COMPONENT, events, permit.clone());
        let controller = Controller::new(
            Settings {
                canaries: Canaries::of("fairlead-system"),
                workers: 2,
                max_endpoints_per_slice: CAPACITY,
                batch_period: Duration::ZERO,
                recheck_period: RECHECK_PERIOD,
                prune_leftovers: false,
            },
            Inputs { services: &mut services, nodes: &mut nodes, slices: &mut slices, membership },
            Writer::new(client, permit, None),
            recorder,
            &registry,
            &Workqueues::new(&registry),
        );
        let mut process = Self { tasks: JoinSet::new(), stop, registry };
        let unfinished = Some("status.phase!=Succeeded,status.phase!=Failed");
        let (pods, services) = (process.inform(pods, api, unfinished), process.inform(services, api, None));
        let (nodes, slices) = (process.inform(nodes, api, None), process.inform(slices, api, None));
        let stop = process.stop.clone();
        process.tasks.spawn(async move {
            tokio::join!(pods.synced(), services.synced(), nodes.synced(), slices.synced());
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

    /// How many syncs have had this result.
    #[allow(dead_code, reason = "each test binary uses its part")]
    pub(crate) fn syncs(&self, result: &str) -> usize {
        self.metric(&format!("endpoint_slice_controller_syncs{{result=\"{result}\"}}"))
    }

    /// The value of a metric with these labels; zero if there is none.
    #[allow(dead_code, reason = "each test binary uses its part")]
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

    /// Ends another process, and goes on as a new one that knows nothing.
    pub(crate) fn restart(&mut self, api: &FakeApi) {
        self.kill();
        *self = Self::start(api);
    }
}
