//! The endpoints-controller: the only module of the crate that talks to the API server.
//!
//! Observe: the informers' changes name Services. Plan: [`plan`] compares what a Service's Endpoints object should be
//! with what it is. Apply: the one write of the plan, whose answer is laid over the cache until it shows it.

mod apply;
mod leftovers;
mod pace;
mod report;
mod rivalry;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fairlead_discovery::pod_change_time;
use fairlead_machinery::canary::Canaries;
use fairlead_machinery::complaints::Complaints;
use fairlead_machinery::events::Recorder;
use fairlead_machinery::informer::{Change, Informer, Store};
use fairlead_machinery::membership::{Cause, Membership};
use fairlead_machinery::metrics::Workqueues;
use fairlead_machinery::own_writes::OwnWrites;
use fairlead_machinery::queue::{Dirt, Queue};
use fairlead_machinery::recheck;
use fairlead_machinery::rivals::Rivalry;
use fairlead_machinery::worker::{self, Outcome};
use fairlead_machinery::write::Writer;
use fairlead_objects::{Endpoints, ObjectKey, Record, Service};
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::pace::Pace;
use crate::dirty::{Dirty, Seen};
use crate::metrics::{Metrics, Planned};
use crate::{Action, Facts, Memory, is_without_service, plan};

/// The component in Events, as upstream calls itself.
pub const COMPONENT: &str = "endpoint-controller";
/// Name of the work queue in the `workqueue_*` metrics.
const QUEUE: &str = "endpoint";

/// Settings, already validated.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Services that are none of this controller's business.
    pub canaries: Canaries,
    /// `--concurrent-endpoint-syncs`: Services planned and written at a time.
    pub workers: usize,
    /// `--endpoint-updates-batch-period`: how long changes of Pods are collected. Zero: not at all.
    pub batch_period: Duration,
    /// `--recheck-period`: every Service is looked at again once in this time.
    pub recheck_period: Duration,
    /// `--prune-leftovers`: Endpoints are deleted when their Service is seen to lose its selector or to become an
    /// ExternalName.
    pub prune_leftovers: bool,
}

/// The informers that the controller reads, which must not run yet when it is made.
pub struct Inputs<'a> {
    /// Services.
    pub services: &'a mut Informer<Service>,
    /// Endpoints of all controllers and of people.
    pub endpoints: &'a mut Informer<Endpoints>,
    /// Services with their Pods.
    pub membership: Arc<Membership>,
}

/// The endpoints-controller.
pub struct Controller {
    settings: Settings,
    services: Arc<Store<Service>>,
    endpoints: Arc<Store<Endpoints>>,
    membership: Arc<Membership>,
    own_writes: OwnWrites<Endpoints>,
    memories: Mutex<HashMap<ObjectKey, Memory>>,
    /// When large objects may be written again because of Pods.
    pace: Pace,
    /// Others who change the Endpoints of a Service.
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
        Inputs { services, endpoints, membership }: Inputs<'_>,
        writer: Writer,
        recorder: Recorder,
        registry: &Registry,
        workqueues: &Workqueues,
    ) -> Arc<Self> {
        let controller = Arc::new(Self {
            settings,
            services: services.store(),
            endpoints: endpoints.store(),
            membership: Arc::clone(&membership),
            own_writes: OwnWrites::default(),
            memories: Mutex::default(),
            pace: Pace::default(),
            rivalry: Rivalry::new(registry, Endpoints::RESOURCE, rivalry::WORDS),
            queue: Arc::new(Queue::new(workqueues.of(QUEUE))),
            writer,
            recorder,
            complaints: Complaints::default(),
            metrics: Metrics::new(registry),
        });
        let this = Arc::clone(&controller);
        membership.on_affected(move |service, cause| this.affected(service, cause));
        let this = Arc::clone(&controller);
        endpoints.on_change(move |change| this.endpoints_changed(change));
        let this = Arc::clone(&controller);
        endpoints.on_list(move |asked| {
            for service in this.own_writes.listed(asked) {
                this.recheck(service);
            }
        });
        controller
    }

    /// Works until `stop`. The caches must be synced: a plan made from half a cache would take endpoints away, and
    /// Endpoints whose Service is not there yet would be taken for leftovers.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        for stray in self.endpoints.list().iter().filter(|it| is_without_service(it)) {
            if self.services.get(&stray.key).is_none() {
                self.queue.add(stray.key.clone(), Dirty::stray());
            }
        }
        let this = Arc::clone(&self);
        let work =
            worker::run(self.settings.workers, Arc::clone(&self.queue), stop.clone(), move |key, dirty| {
                let this = Arc::clone(&this);
                async move { this.sync(&key, dirty).await }
            });
        let services = Arc::clone(&self.services);
        let keys = move || services.list().iter().map(|service| service.key().clone()).collect();
        let check = |key| self.recheck(key);
        let recheck = recheck::run(self.settings.recheck_period, keys, check, stop.clone());
        let beside = async {
            tokio::join!(
                self.rivalry.keep_count(),
                self.writer.permit().whenever_granted(|| self.queue.unpark())
            )
        };
        tokio::join!(work, recheck, stop.run_until_cancelled(beside));
    }

    fn affected(&self, service: &ObjectKey, cause: Cause<'_>) {
        match cause {
            Cause::Service => self.queue.add(service.clone(), Dirty::service()),
            Cause::Pod { old, new, .. } => {
                let dirty = Dirty::pod(pod_change_time(old, new));
                self.queue.add_after(service.clone(), dirty, self.settings.batch_period);
            }
            // Endpoints say nothing about Nodes.
            Cause::Node | Cause::NodeGone => {}
        }
    }

    fn endpoints_changed(&self, change: &Change<Endpoints>) {
        let Some(shown) = change.new.as_ref().or(change.old.as_ref()) else { return };
        let key = &shown.key;
        let seen = match &change.new {
            Some(new) => Seen::Stored(new.version.clone()),
            None => Seen::Deleted(shown.uid.clone()),
        };
        // Our own doing; or the first list, after which every Service is looked at anyway.
        if self.acknowledge(key, &seen) || !self.endpoints.is_synced() {
            return;
        }
        if self.services.get(key).is_none() {
            // What people have made for themselves, without any Service. Or what was left of a Service: if its end could
            // not be written yet, nothing is owed any more, and what somebody makes in its place is not ours.
            if change.new.is_none() {
                self.queue.add(key.clone(), Dirty::seen(seen));
            }
            return;
        }
        if let (Some(old), Some(new)) = (&change.old, &change.new)
            && rivalry::is_immaterial(old, new)
        {
            return;
        }
        let delay = self.others_changed(key, &seen);
        self.queue.add_after(key.clone(), Dirty::seen(seen), delay);
    }

    /// Takes note of a state that the cache shows; true if we made it ourselves, so that nobody need look.
    fn acknowledge(&self, key: &ObjectKey, seen: &Seen) -> bool {
        match seen {
            Seen::Stored(version) => self.own_writes.acknowledge_stored(key, &key.name, version),
            Seen::Deleted(uid) => self.own_writes.acknowledge_deleted(key, &key.name, uid),
        }
    }

    /// The Endpoints object as it is now, as far as it is known.
    fn current(&self, key: &ObjectKey) -> Option<Arc<Endpoints>> {
        self.own_writes.newest_of(key, &key.name, Instant::now(), || {
            // The frontier first: whatever it covers is then in the store.
            let frontier = self.endpoints.frontier();
            (frontier, self.endpoints.get(key))
        })
    }

    async fn sync(&self, key: &ObjectKey, mut dirty: Dirty) -> Outcome<Dirty> {
        if self.settings.canaries.has(key) {
            return Outcome::Done;
        }
        // The watch may have told of our own writes before their answers were here.
        dirty.seen.retain(|seen| !self.acknowledge(key, seen));
        if dirty.is_empty() {
            self.rivalry.dismiss(key);
            return Outcome::Done;
        }
        let Some(service) = self.services.get(key) else {
            return self.service_is_gone(key, dirty).await;
        };
        let hold = if dirty.is_called_for() { Duration::ZERO } else { self.rivalry.hold(key) };
        let rest = if dirty.is_pods_only() { self.pace.rest(key) } else { Duration::ZERO };
        if !hold.max(rest).is_zero() {
            return Outcome::Later(dirty, hold.max(rest));
        }
        if let Some(outcome) = self.leave(&service).await {
            return outcome;
        }
        let memory = self.memories.lock().remove(key).unwrap_or_default();
        let (outcome, memory) = self.plan_and_write(&service, dirty, memory).await;
        self.memories.lock().insert(key.clone(), memory);
        outcome
    }

    async fn plan_and_write(
        &self,
        service: &Arc<Service>,
        mut dirty: Dirty,
        mut memory: Memory,
    ) -> (Outcome<Dirty>, Memory) {
        let key = &service.key;
        let (pods, current) = (self.membership.members(key), self.current(key));
        let facts =
            Facts { service, pods: &pods, current: current.as_ref(), pods_changed: dirty.pods_changed };
        let plan = plan(&facts, &memory);
        tracing::debug!(service = %key, ?dirty, writes = plan.action.is_some(), "planned");
        if plan.action.is_some() && !self.writer.may_write() {
            // Planned anew when it may be written, by what is then known.
            return (Outcome::Park(dirty), memory);
        }
        let revert = self.foresee_revert(key, &dirty, plan.action.as_ref(), &memory).await;
        let Some(action) = plan.action else {
            self.metrics.planned(Planned::Unchanged);
            self.metrics.truncated(key, plan.overflow.is_some());
            memory.written(plan.next, current.map(|it| it.version.clone()));
            self.pace.worked(key, pods.len());
            return (Outcome::Done, memory);
        };
        match self.write(&action).await {
            Ok(answer) => {
                self.metrics.planned(Planned::Written);
                let is_news = self.metrics.truncated(key, plan.overflow.is_some());
                self.reverted(service, revert);
                if let Some(overflow) = plan.overflow.filter(|_| is_news) {
                    self.report_overflow(service, &action, overflow);
                }
                memory.written(plan.next, answer.map(|it| it.version.clone()));
                self.pace.worked(key, pods.len());
                (Outcome::Done, memory)
            }
            Err(failure) => {
                self.metrics.planned(Planned::Failed);
                self.rivalry.not_reverted(key, revert);
                self.report_error(&action, &failure);
                if matches!(action, Action::Create(_)) && failure.is_unanswered() {
                    memory.unanswered();
                }
                // What was to be put right is looked at with everything else.
                dirty.merge(Dirty::recheck());
                (failure.again(dirty), memory)
            }
        }
    }

    /// Nothing is kept of the Service any more, but for writes that the cache does not show yet.
    fn forget(&self, key: &ObjectKey) {
        self.memories.lock().remove(key);
        self.pace.forget(key);
        self.rivalry.forget(key);
        self.metrics.forget(key);
    }
}
