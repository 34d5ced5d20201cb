//! The endpointslice-mirroring-controller: the only module of the crate that talks to the API server.
//!
//! Observe: the informers' changes name Endpoints. Plan: [`plan`] compares what their slices should be with what they
//! are. Apply: the writes of the plan, whose answers are laid over the cache until it shows them.

mod apply;
mod report;
mod rivalry;

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use fairlead_machinery::canary::Canaries;
use fairlead_machinery::complaints::Complaints;
use fairlead_machinery::events::Recorder;
use fairlead_machinery::informer::{Change, Informer, Store};
use fairlead_machinery::metrics::Workqueues;
use fairlead_machinery::own_writes::{Cached, OwnWrites, Seen};
use fairlead_machinery::queue::Queue;
use fairlead_machinery::recheck;
use fairlead_machinery::rivals::Rivalry;
use fairlead_machinery::slice_index::SliceIndex;
use fairlead_machinery::worker::{self, Outcome};
use fairlead_machinery::write::Writer;
use fairlead_objects::{Endpoints, ObjectKey, Record, Service, Slice};
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::dirty::Dirty;
use crate::metrics::Metrics;
use crate::{Facts, Plan, Skipped, is_mirrored, mirrored_by, plan};

/// The component in Events, as upstream calls itself.
pub const COMPONENT: &str = "endpoint-slice-mirroring-controller";
/// Name of the work queue in the `workqueue_*` metrics.
const QUEUE: &str = "endpoint_slice_mirroring";
/// This controller in the metrics about rivals, where the endpointslice-controller is `endpointslices`.
const RIVALRY: &str = "mirrored-endpointslices";

/// Settings, already validated.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Services, with Endpoints of the same names, that are none of this controller's business.
    pub canaries: Canaries,
    /// `--mirroring-concurrent-service-endpoint-syncs`: Endpoints planned and written at a time.
    pub workers: usize,
    /// `--mirroring-max-endpoints-per-subset`, at most 1000.
    pub max_endpoints_per_subset: NonZeroUsize,
    /// `--mirroring-endpointslice-updates-batch-period`: how long changes of slices by others are collected. Zero: not
    /// at all.
    pub batch_period: Duration,
    /// `--recheck-period`: all Endpoints are looked at again once in this time.
    pub recheck_period: Duration,
}

/// The informers that the controller reads, which must not run yet when it is made.
pub struct Inputs<'a> {
    /// Services.
    pub services: &'a mut Informer<Service>,
    /// Endpoints.
    pub endpoints: &'a mut Informer<Endpoints>,
    /// EndpointSlices of all controllers.
    pub slices: &'a mut Informer<Slice>,
}

/// The endpointslice-mirroring-controller.
pub struct Controller {
    settings: Settings,
    services: Arc<Store<Service>>,
    endpoints: Arc<Store<Endpoints>>,
    slices: Arc<Store<Slice>>,
    index: Mutex<SliceIndex>,
    own_writes: OwnWrites<Slice>,
    /// Addresses that are not mirrored, of which people were told.
    told: Mutex<HashMap<ObjectKey, Skipped>>,
    /// Others who change the slices of Endpoints.
    rivalry: Rivalry,
    queue: Arc<Queue<ObjectKey, Dirty>>,
    writer: Writer,
    recorder: Recorder,
    complaints: Complaints,
    metrics: Metrics,
}

impl Controller {
    /// A controller that follows its inputs and writes nothing before [`Controller::run`].
    #[must_use]
    pub fn new(
        settings: Settings,
        Inputs { services, endpoints, slices }: Inputs<'_>,
        writer: Writer,
        recorder: Recorder,
        registry: &Registry,
        workqueues: &Workqueues,
    ) -> Arc<Self> {
        let controller = Arc::new(Self {
            settings,
            services: services.store(),
            endpoints: endpoints.store(),
            slices: slices.store(),
            index: Mutex::new(SliceIndex::new(mirrored_by)),
            own_writes: OwnWrites::default(),
            told: Mutex::default(),
            rivalry: Rivalry::labelled(registry, RIVALRY, Slice::RESOURCE, rivalry::WORDS),
            queue: Arc::new(Queue::new(workqueues.of(QUEUE))),
            writer,
            recorder,
            complaints: Complaints::default(),
            metrics: Metrics::new(registry),
        });
        let this = Arc::clone(&controller);
        services.on_change(move |change| this.service_changed(change));
        let this = Arc::clone(&controller);
        endpoints.on_change(move |change| this.endpoints_changed(change));
        let this = Arc::clone(&controller);
        slices.on_change(move |change| this.slice_changed(change));
        let this = Arc::clone(&controller);
        slices.on_list(move |asked| {
            for key in this.own_writes.listed(asked) {
                this.recheck(key);
            }
        });
        controller
    }

    /// Works until `stop`. The caches must be synced: Endpoints whose Service is not there yet would lose their slices.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let this = Arc::clone(&self);
        let work =
            worker::run(self.settings.workers, Arc::clone(&self.queue), stop.clone(), move |key, dirty| {
                let this = Arc::clone(&this);
                async move { this.sync(&key, dirty).await }
            });
        let check = |key| self.recheck(key);
        let recheck = recheck::run(self.settings.recheck_period, || self.keys(), check, stop.clone());
        let beside = async {
            tokio::join!(
                self.rivalry.keep_count(),
                self.writer.permit().whenever_granted(|| self.queue.unpark())
            )
        };
        tokio::join!(work, recheck, stop.run_until_cancelled(beside));
    }

    /// All Endpoints that are mirrored, and those that have slices though they may not be.
    fn keys(&self) -> Vec<ObjectKey> {
        let mut keys: HashSet<ObjectKey> = self.index.lock().services().cloned().collect();
        let endpoints = self.endpoints.list();
        keys.extend(endpoints.iter().filter(|it| self.is_mirrored(it)).map(|it| it.key.clone()));
        keys.into_iter().collect()
    }

    fn is_mirrored(&self, endpoints: &Endpoints) -> bool {
        self.services.get(&endpoints.key).is_some_and(|service| is_mirrored(endpoints, &service))
    }

    /// Only whether there is a selector matters, and whether there is a Service at all.
    fn service_changed(&self, change: &Change<Service>) {
        let has_selector = |service: &Option<Arc<Service>>| service.as_ref().map(|it| it.selector.is_some());
        let (old, new) = (has_selector(&change.old), has_selector(&change.new));
        let matters = old != new && [old, new].contains(&Some(false));
        if let Some(service) = change.new.as_ref().or(change.old.as_ref()).filter(|_| matters) {
            self.queue.add(service.key.clone(), Dirty::called_for());
        }
    }

    /// Endpoints of Services with a selector change often, and are none of ours.
    fn endpoints_changed(&self, change: &Change<Endpoints>) {
        let Some(shown) = change.new.as_ref().or(change.old.as_ref()) else { return };
        let mut states = change.old.iter().chain(&change.new);
        if states.any(|it| self.is_mirrored(it)) || self.index.lock().has_slices(&shown.key) {
            self.queue.add(shown.key.clone(), Dirty::called_for());
        }
    }

    fn slice_changed(&self, change: &Change<Slice>) {
        let keys = self.index.lock().slice_changed(change);
        if let (Some(old), Some(new)) = (&change.old, &change.new)
            && is_immaterial(old, new)
        {
            return;
        }
        let Some(seen) = Seen::after(change) else { return };
        for key in keys {
            if !self.slices.is_synced() {
                // What they mirrored may be gone since, so nobody else would name them.
                self.queue.add(key, Dirty::called_for());
            } else if !self.own_writes.acknowledge(&key, &seen) {
                let delay = self.others_changed(&key, &seen).max(self.settings.batch_period);
                self.queue.add_after(key, Dirty::slice(seen.clone()), delay);
            }
        }
    }

    /// The slices as they are now, as far as it is known.
    fn slices_of(&self, key: &ObjectKey) -> Vec<Arc<Slice>> {
        self.own_writes.newest(key, Instant::now(), || {
            // The frontier first: whatever it covers is then in the index.
            let frontier = self.slices.frontier();
            Cached { frontier, objects: self.index.lock().slices_of(key) }
        })
    }

    async fn sync(&self, key: &ObjectKey, mut dirty: Dirty) -> Outcome<Dirty> {
        if self.settings.canaries.has(key) {
            return Outcome::Done;
        }
        // The watch may have told of our own writes before their answers were here.
        dirty.retain_slices(|seen| !self.own_writes.acknowledge(key, seen));
        if !dirty.is_about_others() {
            // Else our own writes would be taken for a rival's, as each change of the Endpoints writes the same slice.
            self.rivalry.dismiss(key);
        }
        if dirty.is_empty() {
            return Outcome::Done;
        }
        let hold = if dirty.is_called_for() { Duration::ZERO } else { self.rivalry.hold(key) };
        if !hold.is_zero() {
            return Outcome::Later(dirty, hold);
        }
        let begun = Instant::now();
        let outcome = self.plan_and_write(key, dirty).await;
        self.metrics.synced(begun.elapsed());
        outcome
    }

    async fn plan_and_write(&self, key: &ObjectKey, dirty: Dirty) -> Outcome<Dirty> {
        let (endpoints, service) = (self.endpoints.get(key), self.services.get(key));
        let Plan { actions, skipped, counts } = plan(&Facts {
            key,
            endpoints: endpoints.as_deref(),
            service: service.as_deref(),
            slices: &self.slices_of(key),
            max_endpoints_per_subset: self.settings.max_endpoints_per_subset,
        });
        tracing::debug!(endpoints = %key, ?dirty, writes = actions.len(), "planned");
        let is_news = self.told.lock().get(key).copied().unwrap_or_default() != skipped;
        let has_to_tell = is_news && skipped != Skipped::default();
        if (has_to_tell || !actions.is_empty()) && !self.writer.may_write() {
            // Nor may people be told.
            return Outcome::Park(dirty);
        }
        let revert = self.foresee_revert(key, &dirty, &actions).await;
        let errors = self.apply(key, actions).await;
        self.metrics.planned(key, counts, skipped);
        if is_news {
            self.report_skipped(key, endpoints.as_deref(), skipped);
        }
        if !errors.is_empty() {
            self.rivalry.not_reverted(key, revert);
            self.report_errors(key, endpoints.as_deref(), &errors);
            return errors.again(dirty);
        }
        if let Some(endpoints) = &endpoints {
            self.reverted(endpoints, revert);
        }
        if counts.is_none() {
            self.rivalry.forget(key);
        }
        Outcome::Done
    }
}

/// Does the change leave alone everything that a plan looks at? The generation grows with labels and content.
fn is_immaterial(old: &Slice, new: &Slice) -> bool {
    old.uid == new.uid
        && old.generation == new.generation
        && old.generation != 0
        && old.labels == new.labels
        && old.annotations == new.annotations
        && old.owners == new.owners
        && old.terminating == new.terminating
}
