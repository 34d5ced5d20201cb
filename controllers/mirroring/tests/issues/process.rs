//! The controller as the manager runs it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use fairlead_fake_api::FakeApi;
use fairlead_machinery::canary::Canaries;
use fairlead_machinery::events::{self, EventMetrics};
use fairlead_machinery::informer::{Informer, Store};
use fairlead_machinery::metrics::{Informers, Workqueues};
use fairlead_machinery::permit::{Gate, Permit};
use fairlead_machinery::source::JsonSource;
use fairlead_machinery::write::Writer;
use fairlead_mirroring::controller::{COMPONENT, Controller, Inputs, Settings};
use fairlead_objects::Record;
use prometheus::{Registry, TextEncoder};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The default of the flag.
pub(crate) const RECHECK_PERIOD: Duration = Duration::from_mins(10);
/// `--mirroring-max-endpoints-per-subset`: few.
pub(crate) const MAX: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// A running controller with its informers.
pub(crate) struct Process {
    tasks: JoinSet<()>,
    stop: CancellationToken,
    registry: Registry,
    /// Closed: the process may not write.
    pub(crate) gate: Gate,
}

impl Process {
    pub(crate) fn start(api: &FakeApi) -> Self {
        Self::start_with(api, api.client())
    }

    /// Starts with a client of its own for what it writes.
    pub(crate) fn start_with(api: &FakeApi, writing: kube::Client) -> Self {
        let (client, registry) = (api.client(), Registry::new());
        let (stop, gate) = (CancellationToken::new(), Gate::opened());
        let metrics = Informers::new(&registry);
        let mut services = Informer::new(&metrics);
        let mut endpoints = Informer::new(&metrics);
        let mut slices = Informer::new(&metrics);
        let permit = Permit::until(stop.clone()).narrowed(&gate);
        let told = EventMetrics::new(&registry);
        let (recorder, events) = events::channel(client, COMPONENT, told, permit.clone());
        let controller = Controller::new(
            Settings {
                canaries: Canaries::of("fairlead-system"),
                workers: 2,
                max_endpoints_per_subset: MAX,
                batch_period: Duration::ZERO,
                recheck_period: RECHECK_PERIOD,
            },
            Inputs { services: &mut services, endpoints: &mut endpoints, slices: &mut slices },
            Writer::new(writing, permit, None),
            recorder,
            &registry,
            &Workqueues::new(&registry),
        );
        let mut process = Self { tasks: JoinSet::new(), stop: stop.clone(), registry, gate };
        process.tasks.spawn(events.run(stop.clone()));
        let (services, endpoints) = (process.inform(services, api), process.inform(endpoints, api));
        let slices = process.inform(slices, api);
        process.tasks.spawn(async move {
            tokio::join!(services.synced(), endpoints.synced(), slices.synced());
            controller.run(stop).await;
        });
        process
    }

    /// Starts with answers to its writes that come so long after the watch has told of them.
    pub(crate) fn start_with_late_answers(api: &FakeApi, delay: Duration) -> Self {
        let client = api.client();
        let late = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let client = client.clone();
            async move {
                let answer = client.send(request).await;
                tokio::time::sleep(delay).await;
                answer
            }
        });
        Self::start_with(api, kube::Client::new(late, "default"))
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

    /// The sum of a metric over all of its labels.
    pub(crate) fn sum(&self, name: &str) -> usize {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default();
        let of_it =
            text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')));
        of_it.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum()
    }

    /// How many rounds there were.
    pub(crate) fn syncs(&self) -> usize {
        self.metric("endpoint_slice_mirroring_controller_endpoints_sync_duration_count")
    }

    /// How many rounds failed and were tried again.
    pub(crate) fn retries(&self) -> usize {
        self.metric("workqueue_retries_total{name=\"endpoint_slice_mirroring\"}")
    }

    /// Ends at once, as by SIGKILL, and goes on as a new process that knows nothing.
    pub(crate) fn restart(&mut self, api: &FakeApi) {
        self.kill();
        *self = Self::start(api);
    }

    /// Ends at once, as by SIGKILL: what was sent is sent.
    pub(crate) fn kill(&mut self) {
        self.stop.cancel();
        self.tasks.abort_all();
    }
}
