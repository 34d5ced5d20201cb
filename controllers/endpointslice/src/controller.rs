//! The endpointslice-controller: the only module of the crate that talks to the API server.
//!
//! Observe: the informers' changes name Services. Plan: [`plan`] compares what a Service's slices should be
//! with what they are. Apply: the writes of the plan, whose answers are laid over the cache until it shows
//! them.

mod apply;
mod leftovers;
mod report;
mod rivalry;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use fairlead_discovery::pod_change_time;
use fairlead_machinery::canary::Canaries;
use fairlead_machinery::complaints::Complaints;
use fairlead_machinery::events::Recorder;
use fairlead_machinery::informer::{Change, Informer, Store};
use fairlead_machinery::membership::{Cause, Membership};
use fairlead_machinery::metrics::Workqueues;
use fairlead_machinery::own_writes::{Cached, OwnWrites, Seen};
use fairlead_machinery::queue::{Dirt, Queue};
use fairlead_machinery::recheck;
use fairlead_machinery::rivals::Rivalry;
use fairlead_machinery::slice_index::SliceIndex;
use fairlead_machinery::worker::{self, Outcome};
use fairlead_machinery::write::Writer;
use fairlead_objects::{Family, Istr, Node, ObjectKey, Pod, Record, Service, Slice};
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::leftovers::Left;
use self::report::Nodeless;
use crate::dirty::{Dirty, Extent};
use crate::hints::{self, Mode};
use crate::metrics::{Metrics, Planned, SyncResult};
use crate::{Ahead, Context, Facts, Lookup, Memory, Plan, plan, plan_pods, service_of};

/// The component in Events, as upstream calls itself.
pub const COMPONENT: &str = "endpoint-slice-controller";
/// Name of the work queue in the `workqueue_*` metrics.
const QUEUE: &str = "endpoint_slice";
/// How long the Pods of a Node that vanished go on serving, unless their Service is planned for another reason: a Node
/// that is registered anew must not be an outage. Upstream does not look again at all.
const NODE_GONE_GRACE: Duration = Duration::from_mins(1);

/// Settings, already validated.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Services that are none of this controller's business.
    pub canaries: Canaries,
    /// `--concurrent-service-endpoint-syncs`: Services planned and written at a time.
    pub workers: usize,
    /// `--max-endpoints-per-slice`.
    pub max_endpoints_per_slice: NonZeroUsize,
    /// `--endpointslice-updates-batch-period`: how long changes of Pods are collected. Zero: not at all.
    pub batch_period: Duration,
    /// `--recheck-period`: every Service is looked at again once in this time.
    pub recheck_period: Duration,
    /// `--prune-leftovers`: slices are deleted when their Service is seen to lose its selector or to become an
    /// ExternalName.
    pub prune_leftovers: bool,
}

/// The informers that the controller reads, which must not run yet when it is made.
pub struct Inputs<'a> {
    /// Services.
    pub services: &'a mut Informer<Service>,
    /// Nodes.
    pub nodes: &'a mut Informer<Node>,
    /// EndpointSlices of all controllers.
    pub slices: &'a mut Informer<Slice>,
    /// Services with their Pods.
    pub membership: Arc<Membership>,
}

/// The endpointslice-controller.
pub struct Controller {
    settings: Settings,
    services: Arc<Store<Service>>,
    nodes: Arc<Store<Node>>,
    slices: Arc<Store<Slice>>,
    membership: Arc<Membership>,
    index: Mutex<SliceIndex>,
    own_writes: OwnWrites<Slice>,
    memories: Mutex<HashMap<ObjectKey, Memory>>,
    /// Services with Pods whose Node is unknown.
    nodeless: Mutex<HashMap<ObjectKey, Nodeless>>,
    /// Others who change the slices of a Service.
    rivalry: Rivalry,
    /// Slices of Services that have lost their selector.
    left: Left,
    hints: Mutex<hints::Registry>,
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
        Inputs { services, nodes, slices, membership }: Inputs<'_>,
        writer: Writer,
        recorder: Recorder,
        registry: &Registry,
        workqueues: &Workqueues,
    ) -> Arc<Self> {
        let controller = Arc::new(Self {
            settings,
            services: services.store(),
            nodes: nodes.store(),
            slices: slices.store(),
            membership: Arc::clone(&membership),
            index: Mutex::new(SliceIndex::new(service_of)),
            own_writes: OwnWrites::default(),
            memories: Mutex::default(),
            nodeless: Mutex::default(),
            rivalry: Rivalry::new(registry, Slice::RESOURCE, rivalry::WORDS),
            left: Left::new(registry),
            hints: Mutex::default(),
            queue: Arc::new(Queue::new(workqueues.of(QUEUE))),
            writer,
            recorder,
            complaints: Complaints::default(),
            metrics: Metrics::new(registry),
        });
        let this = Arc::clone(&controller);
        membership.on_affected(move |service, cause| this.affected(service, cause));
        let this = Arc::clone(&controller);
        nodes.on_change(move |change| this.node_changed(change));
        let this = Arc::clone(&controller);
        slices.on_change(move |change| this.slice_changed(change));
        let this = Arc::clone(&controller);
        slices.on_list(move |asked| {
            for service in this.own_writes.listed(asked) {
                this.recheck(service);
            }
        });
        controller
    }

    /// Works until `stop`. The caches must be synced: a plan made from half a cache would take endpoints away.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
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
            Cause::Service | Cause::Node => self.queue.add(service.clone(), Dirty::ALL),
            Cause::NodeGone => self.queue.add_after(service.clone(), Dirty::ALL, NODE_GONE_GRACE),
            Cause::Pod { name, old, new } => {
                let dirty = Dirty::pod(name, pod_change_time(old, new));
                self.queue.add_after(service.clone(), dirty, self.settings.batch_period);
            }
        }
    }

    fn node_changed(&self, change: &Change<Node>) {
        if let (Some(old), Some(new)) = (&change.old, &change.new)
            && old.same_endpoint_facts(new)
        {
            return;
        }
        let due = self.hints.lock().node_changed(change.old.as_deref(), change.new.as_deref());
        for service in due {
            self.queue.add(service, Dirty::ALL);
        }
    }

    fn slice_changed(&self, change: &Change<Slice>) {
        let services = self.index.lock().slice_changed(change);
        if let (Some(old), Some(new)) = (&change.old, &change.new)
            && is_immaterial(old, new)
        {
            return;
        }
        let Some(seen) = Seen::after(change) else { return };
        for service in services {
            if self.own_writes.acknowledge(&service, &seen) || !self.slices.is_synced() {
                // Our own doing, or the first list: every Service is looked at after that anyway.
                continue;
            }
            let delay = self.others_changed(&service, &seen).max(self.settings.batch_period);
            self.queue.add_after(service, Dirty::slice(seen.clone()), delay);
        }
    }

    /// The slices of a Service as they are now, as far as it is known.
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
        if let Extent::Parts(parts) = &mut dirty.extent {
            // The watch may have told of our own writes before their answers were here.
            parts.slices.retain(|seen| !self.own_writes.acknowledge(key, seen));
            if parts.is_empty() {
                self.rivalry.dismiss(key);
                return Outcome::Done;
            }
        }
        let Some(service) = self.services.get(key) else {
            self.forget(key);
            self.metrics.synced(SyncResult::Success);
            return Outcome::Done;
        };
        let hold = self.rivalry.hold(key);
        if !hold.is_zero() && !dirty.is_called_for() {
            return Outcome::Later(dirty, hold);
        }
        if let Some(outcome) = self.leave(&service).await {
            return outcome;
        }
        let mut memory = self.memories.lock().remove(key).unwrap_or_default();
        let node_table = self.hints.lock().table();
        // A change of a Pod does not wait for that, nor need it do more than its own part.
        let owed = if hold.is_zero() { None } else { dirty.split_repairs() };
        let (planned, plan) = self.plan(&service, &dirty, &node_table, &memory);
        self.metrics.planned(planned);
        tracing::debug!(service = %key, ?dirty, writes = plan.actions.len(), "planned");

        let mode = Mode::of(&service);
        let wanted: Vec<Family> = plan.families.iter().map(|counts| counts.family).collect();
        let writes = plan.actions.len();
        if writes > 0 && !self.writer.may_write() {
            self.memories.lock().insert(key.clone(), memory);
            // Planned anew when it may be written, by what is then known.
            if let Some(owed) = owed {
                dirty.merge(owed);
            }
            return Outcome::Park(dirty);
        }
        let revert = match planned {
            Planned::Service => self.foresee_revert(key, &dirty, &plan.actions).await,
            Planned::Pods => None,
        };
        let (answers, errors) = self.apply(key, plan.actions, &wanted).await;
        for counts in &plan.families {
            self.metrics.family(counts, mode, !errors.failed(counts.family));
        }
        self.metrics.count_service(key, &plan.families, mode);
        if !errors.is_empty() {
            memory.not_written();
            self.memories.lock().insert(key.clone(), memory);
            self.rivalry.not_reverted(key, revert);
            self.report_errors(&service, &errors);
            if errors.endpoints_lost() {
                dirty.merge(Dirty::ALL);
            } else if let Some(owed) = owed {
                dirty.merge(owed);
            }
            return errors.again(dirty);
        }
        self.reverted(&service, revert);
        if let Some(owed) = owed.filter(|_| planned == Planned::Pods) {
            self.queue.add_after(key.clone(), owed, hold);
        }
        for event in &plan.events {
            self.report_hints(&service, event);
        }
        if let Some(next) = plan.next {
            memory.written(next, &answers);
            if answers.len() < writes {
                // The namespace is being deleted, and not everything could be created.
                memory.not_written();
            }
            if self.hints.lock().planned(key, memory.hints(), &node_table) {
                self.queue.add(key.clone(), Dirty::ALL);
            }
            self.memories.lock().insert(key.clone(), memory);
        }
        self.report_nodes(&service, &plan.missing_nodes)
    }

    /// Plans what changed; everything if that is not enough. Says which of the two it is.
    fn plan(
        &self,
        service: &Arc<Service>,
        dirty: &Dirty,
        node_table: &hints::NodeTable,
        memory: &Memory,
    ) -> (Planned, Plan) {
        let node =
            |name: &Istr| self.nodes.get(&ObjectKey { namespace: Istr::default(), name: name.clone() });
        let context = Context {
            service,
            node: &node,
            node_table,
            max_endpoints_per_slice: self.settings.max_endpoints_per_slice,
            pods_changed: dirty.pods_changed,
        };
        let key = &service.key;
        let mut ahead = Ahead::Anything;
        if let Extent::Parts(parts) = &dirty.extent {
            if !parts.pods.is_empty() {
                ahead = Ahead::Pods;
                if parts.is_pods_only()
                    && let Some(plan) = plan_pods(&context, &OfService(self, service), &parts.pods, memory)
                {
                    return (Planned::Pods, plan);
                }
            } else if memory.layout.is_some() && self.rivalry.is_slow(key) {
                // Without it the next change of a Pod would have to write whatever others have changed by then.
                ahead = Ahead::Pods;
            }
        }
        let pods = self.membership.members(key);
        let slices = self.slices_of(key);
        let plan = plan(&Facts { context, pods: &pods, slices: &slices }, memory, ahead);
        (Planned::Service, plan)
    }

    /// The Service is gone. Its slices go with it: the garbage collector follows their owner references.
    fn forget(&self, key: &ObjectKey) {
        self.memories.lock().remove(key);
        self.nodeless.lock().remove(key);
        self.rivalry.forget(key);
        self.left.count(key, 0);
        self.hints.lock().forget(key);
        self.own_writes.forget(key);
        self.metrics.forget_service(key);
    }
}

/// What the controller knows of one Service.
struct OfService<'a>(&'a Controller, &'a Service);

impl Lookup for OfService<'_> {
    fn pod(&self, name: &Istr) -> Option<Arc<Pod>> {
        let Self(controller, service) = self;
        controller.membership.member(service, name)
    }

    fn slice(&self, name: &Istr) -> Option<Arc<Slice>> {
        let Self(controller, service) = self;
        controller.own_writes.newest_of(&service.key, name, Instant::now(), || {
            let frontier = controller.slices.frontier();
            (frontier, controller.index.lock().slice_of(&service.key, name))
        })
    }
}

/// Does the change leave alone everything that a plan looks at? The generation grows with labels and content;
/// annotations, which others may keep on a slice, do not count.
fn is_immaterial(old: &Slice, new: &Slice) -> bool {
    old.uid == new.uid
        && old.generation == new.generation
        && old.generation != 0
        && old.labels == new.labels
        && old.owners == new.owners
        && old.terminating == new.terminating
}
