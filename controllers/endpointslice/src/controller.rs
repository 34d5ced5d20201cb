//! The endpointslice-controller: the only module of the crate that talks to the API server.
//!
//! Observe: the informers' changes name Services. Plan: [`plan`] compares what a Service's slices should be
//! with what they are. Apply: the writes of the plan, whose answers are laid over the cache until it shows
//! them.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use fairlead_machinery::events::{EventType, ObjectReference, Recorder};
use fairlead_machinery::informer::{Change, Informer, Store};
use fairlead_machinery::membership::{Cause, Membership};
use fairlead_machinery::metrics::Workqueues;
use fairlead_machinery::own_writes::{Cached, OwnWrites};
use fairlead_machinery::queue::Queue;
use fairlead_machinery::recheck;
use fairlead_machinery::slice_index::SliceIndex;
use fairlead_machinery::worker::{self, Outcome};
use fairlead_machinery::write::{WriteError, WriteFailure, Writer};
use fairlead_objects::{Family, Istr, Node, ObjectKey, Record, Service, Slice};
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::dirty::{Dirty, Parts, SliceSeen};
use crate::hints::{self, HintEvent, Mode};
use crate::metrics::{Metrics, SyncResult};
use crate::{Action, Facts, Memory, MissingNode, plan, service_of};

/// The component in Events, as upstream calls itself.
pub const COMPONENT: &str = "endpoint-slice-controller";
/// Name of the work queue in the `workqueue_*` metrics.
const QUEUE: &str = "endpoint_slice";
/// Writes of one family of one Service that are sent at a time.
const WRITES_AT_A_TIME: usize = 8;
/// How long a Pod's Node may be unknown before people are told. The Node may just be later in its watch than the
/// Pod in its own.
const NODE_GRACE: Duration = Duration::from_secs(3);
/// How long the Pods of a Node that vanished go on serving, unless their Service is planned for another reason: a Node
/// that is registered anew must not be an outage. Upstream does not look again at all.
const NODE_GONE_GRACE: Duration = Duration::from_mins(1);
/// The first change of a slice by others is looked at at once, further ones of the same Service no sooner than this
/// after the one before: somebody may be reverting what we revert. Upstream waits that long each time.
const REVERT_GAP: Duration = Duration::from_secs(1);

/// Settings, already validated.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `--concurrent-service-endpoint-syncs`: Services planned and written at a time.
    pub workers: usize,
    /// `--max-endpoints-per-slice`.
    pub max_endpoints_per_slice: NonZeroUsize,
    /// `--endpointslice-updates-batch-period`: how long changes of Pods are collected. Zero: not at all.
    pub batch_period: Duration,
    /// `--recheck-period`: every Service is looked at again once in this time.
    pub recheck_period: Duration,
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

/// Since when Pods of a Service have been without a Node, and whether people know.
#[derive(Clone, Copy)]
struct Nodeless {
    since: Instant,
    told: bool,
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
    /// When the slices of a Service were last looked at because others had changed them.
    reverts: Mutex<HashMap<ObjectKey, Instant>>,
    hints: Mutex<hints::Registry>,
    queue: Arc<Queue<ObjectKey, Dirty>>,
    writer: Writer,
    recorder: Recorder,
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
            reverts: Mutex::default(),
            hints: Mutex::default(),
            queue: Arc::new(Queue::new(workqueues.of(QUEUE))),
            writer,
            recorder,
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
                this.queue.add(service, Dirty::All);
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
        let queue = Arc::clone(&self.queue);
        let check = move |key| queue.add(key, Dirty::All);
        tokio::join!(work, recheck::run(self.settings.recheck_period, keys, check, stop));
    }

    fn affected(&self, service: &ObjectKey, cause: Cause<'_>) {
        match cause {
            Cause::Service | Cause::Node => self.queue.add(service.clone(), Dirty::All),
            Cause::NodeGone => self.queue.add_after(service.clone(), Dirty::All, NODE_GONE_GRACE),
            Cause::Pod(name) => {
                self.queue.add_after(service.clone(), Dirty::pod(name), self.settings.batch_period);
            }
        }
    }

    fn node_changed(&self, change: &Change<Node>) {
        let due = self.hints.lock().node_changed(change.old.as_deref(), change.new.as_deref());
        for service in due {
            self.queue.add(service, Dirty::All);
        }
    }

    fn slice_changed(&self, change: &Change<Slice>) {
        let services = self.index.lock().slice_changed(change);
        let seen = match (&change.old, &change.new) {
            (Some(old), Some(new)) if is_immaterial(old, new) => return,
            (_, Some(new)) => SliceSeen::Stored { name: new.key.name.clone(), version: new.version.clone() },
            (Some(old), None) => SliceSeen::Deleted { name: old.key.name.clone(), uid: old.uid.clone() },
            (None, None) => return,
        };
        for service in services {
            if self.acknowledge(&service, &seen) || !self.slices.is_synced() {
                // Our own doing, or the first list: every Service is looked at after that anyway.
                continue;
            }
            let delay = self.revert_delay(&service, Instant::now()).max(self.settings.batch_period);
            self.queue.add_after(service, Dirty::slice(seen.clone()), delay);
        }
    }

    /// Takes note of a state that the cache shows; true if we made it ourselves, so that nobody need look.
    fn acknowledge(&self, service: &ObjectKey, seen: &SliceSeen) -> bool {
        match seen {
            SliceSeen::Stored { name, version } => self.own_writes.acknowledge_stored(service, name, version),
            SliceSeen::Deleted { name, uid } => self.own_writes.acknowledge_deleted(service, name, uid),
        }
    }

    /// How long a change of a slice by others waits.
    fn revert_delay(&self, service: &ObjectKey, now: Instant) -> Duration {
        let mut reverts = self.reverts.lock();
        let at = match reverts.get(service) {
            // Planned already, or long ago.
            Some(last) if *last >= now => *last,
            Some(last) => now.max(*last + REVERT_GAP),
            None => now,
        };
        reverts.insert(service.clone(), at);
        at - now
    }

    async fn sync(&self, key: &ObjectKey, dirty: Dirty) -> Outcome<Dirty> {
        if let Dirty::Parts(Parts { pods, slices }) = &dirty
            && pods.is_empty()
            // The watch told of our own writes before their answers were here.
            && slices.iter().all(|seen| self.acknowledge(key, seen))
        {
            return Outcome::Done;
        }
        let Some(service) = self.services.get(key) else {
            // Its slices go with it: the garbage collector follows their owner references.
            self.memories.lock().remove(key);
            self.nodeless.lock().remove(key);
            self.reverts.lock().remove(key);
            self.hints.lock().forget(key);
            self.own_writes.forget(key);
            self.metrics.forget_service(key);
            self.metrics.synced(SyncResult::Success);
            return Outcome::Done;
        };
        let pods = self.membership.members(key);
        let slices = self.own_writes.newest(key, Instant::now(), || {
            // The frontier first: whatever it covers is then in the index.
            let frontier = self.slices.frontier();
            Cached { frontier, objects: self.index.lock().slices_of(key) }
        });
        let memory = self.memories.lock().get(key).cloned().unwrap_or_default();
        let node_table = self.hints.lock().table();
        let node =
            |name: &Istr| self.nodes.get(&ObjectKey { namespace: Istr::default(), name: name.clone() });
        let plan = plan(
            &Facts {
                service: &service,
                pods: &pods,
                node: &node,
                slices: &slices,
                node_table: &node_table,
                max_endpoints_per_slice: self.settings.max_endpoints_per_slice,
            },
            &memory,
        );
        tracing::debug!(service = %key, ?dirty, writes = plan.actions.len(), "planned");

        let mode = Mode::of(&service);
        let wanted: Vec<Family> = plan.families.iter().map(|counts| counts.family).collect();
        let errors = self.apply(key, plan.actions, &wanted).await;
        for counts in &plan.families {
            self.metrics.family(counts, mode, !errors.failed(counts.family));
        }
        self.metrics.count_service(key, &plan.families, mode);
        if errors.is_empty() {
            for event in &plan.events {
                self.report_hints(&service, event);
            }
            if plan.families.is_empty() {
                self.memories.lock().remove(key);
                self.hints.lock().forget(key);
            } else {
                if self.hints.lock().planned(key, &plan.next.hints, &node_table) {
                    self.queue.add(key.clone(), Dirty::All);
                }
                self.memories.lock().insert(key.clone(), plan.next);
            }
            return self.report_nodes(&service, &plan.missing_nodes);
        }
        self.report_errors(&service, &errors);
        Outcome::Retry(dirty, errors.pause())
    }

    /// Sends the writes: the families of the Service side by side, then what families that it no longer has have
    /// left.
    async fn apply(&self, key: &ObjectKey, actions: Vec<Action>, wanted: &[Family]) -> Errors {
        let mut families: Vec<(Option<Family>, Vec<Action>)> = Vec::new();
        for action in actions {
            let family = action.family();
            match families.iter_mut().find(|(known, _)| *known == family) {
                Some((_, actions)) => actions.push(action),
                None => families.push((family, vec![action])),
            }
        }
        let (current, left): (Vec<_>, Vec<_>) = families
            .into_iter()
            .partition(|(family, _)| family.is_some_and(|family| wanted.contains(&family)));
        let mut errors = Errors::default();
        for stage in [current, left] {
            let writes = stage.into_iter().map(async |(family, actions)| {
                self.apply_family(key, actions).await.err().map(|error| (family, error))
            });
            errors.0.extend(futures::future::join_all(writes).await.into_iter().flatten());
        }
        // Nothing can be created in a namespace that is being deleted, and nothing is owed there.
        errors.0.retain(|(_, error)| error.kind != WriteFailure::NamespaceTerminating);
        errors
    }

    /// Creates, then updates, then deletes, each a few at a time. A failed write ends the rest: what was to follow
    /// may take away what it was to put in place.
    async fn apply_family(&self, key: &ObjectKey, actions: Vec<Action>) -> Result<(), WriteError> {
        let (mut creates, mut updates, mut deletes) = (Vec::new(), Vec::new(), Vec::new());
        for action in actions {
            match action {
                Action::Create(_) => creates.push(action),
                Action::Update { .. } => updates.push(action),
                Action::Delete(_) => deletes.push(action),
            }
        }
        for phase in [creates, updates, deletes] {
            // Those that are on their way are waited for: their answers must not get lost.
            let failure = Mutex::new(None);
            stream::iter(phase)
                .for_each_concurrent(WRITES_AT_A_TIME, async |action| {
                    if failure.lock().is_none()
                        && let Err(error) = self.write(key, action).await
                    {
                        failure.lock().get_or_insert(error);
                    }
                })
                .await;
            if let Some(error) = failure.into_inner() {
                return Err(error);
            }
        }
        Ok(())
    }

    async fn write(&self, key: &ObjectKey, action: Action) -> Result<(), WriteError> {
        let resource = &Slice::RESOURCE;
        let namespace = &key.namespace;
        let answer: Slice = match &action {
            Action::Create(desired) => {
                let answer = self.writer.create(resource, namespace, &desired.create_body()).await?;
                self.metrics.wrote("create");
                answer
            }
            Action::Update { current, desired } => {
                let body = desired.update_body(current);
                let answer = self.writer.update(resource, namespace, &current.key.name, &body).await?;
                self.metrics.wrote("update");
                answer
            }
            Action::Delete(slice) => {
                let uid = slice.uid.to_string();
                self.writer.delete(resource, namespace, &slice.key.name, &uid).await?;
                self.metrics.wrote("delete");
                self.own_writes.deleted(key, Arc::clone(slice), Instant::now());
                return Ok(());
            }
        };
        self.own_writes.stored(key, Arc::new(answer), Instant::now());
        Ok(())
    }

    /// Pods without a Node: first they get a moment for the Node to appear, then people are told. Whenever the
    /// Node does appear, the Service is planned again.
    fn report_nodes(&self, service: &Service, missing: &[MissingNode]) -> Outcome<Dirty> {
        let mut nodeless = self.nodeless.lock();
        let Some(first) = missing.first() else {
            nodeless.remove(&service.key);
            self.metrics.synced(SyncResult::Success);
            return Outcome::Done;
        };
        self.metrics.synced(SyncResult::Error);
        let now = Instant::now();
        let state = nodeless.entry(service.key.clone()).or_insert(Nodeless { since: now, told: false });
        let waited = now - state.since;
        if state.told {
            return Outcome::Done;
        }
        if waited < NODE_GRACE {
            return Outcome::Later(Dirty::All, NODE_GRACE.saturating_sub(waited));
        }
        state.told = true;
        let more = match missing.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more Pods for the same reason"),
        };
        let message = format!("Error updating Endpoint Slices for Service {}: {first}{more}", service.key);
        self.warn(service, message);
        Outcome::Done
    }

    fn report_errors(&self, service: &Service, errors: &Errors) {
        let stale = errors
            .0
            .iter()
            .all(|(_, error)| matches!(error.kind, WriteFailure::Conflict(_) | WriteFailure::NotFound(_)));
        self.metrics.synced(if stale { SyncResult::Stale } else { SyncResult::Error });
        for (_, error) in &errors.0 {
            match &error.kind {
                // The cache follows by itself, and a stopping process need not explain itself.
                WriteFailure::Conflict(_) | WriteFailure::NotFound(_) | WriteFailure::NotPermitted => {
                    tracing::debug!(service = %service.key, %error, "planning again");
                }
                // Not the Service's fault: an event on each Service would hide the cause.
                WriteFailure::Throttled(_) | WriteFailure::Unanswered(_) => {
                    tracing::warn!(service = %service.key, %error, "trying again");
                }
                _ => {
                    tracing::warn!(service = %service.key, %error, "trying again");
                    self.warn(
                        service,
                        format!("Error updating Endpoint Slices for Service {}: {error}", service.key),
                    );
                }
            }
        }
    }

    fn report_hints(&self, service: &Service, event: &HintEvent) {
        let kind = if event.is_warning() { EventType::Warning } else { EventType::Normal };
        self.tell(service, kind, event.reason(), event.to_string());
    }

    fn warn(&self, service: &Service, message: String) {
        self.tell(service, EventType::Warning, "FailedToUpdateEndpointSlices", message);
    }

    fn tell(&self, service: &Service, kind: EventType, reason: &'static str, message: String) {
        let object = ObjectReference {
            api_version: "v1",
            kind: Service::RESOURCE.kind,
            namespace: service.key.namespace.to_string(),
            name: service.key.name.to_string(),
            uid: service.uid.to_string(),
        };
        self.recorder.event(object, kind, reason, message);
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

/// The writes of one round that failed: the first of each family.
#[derive(Default)]
struct Errors(Vec<(Option<Family>, WriteError)>);

impl Errors {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn failed(&self, family: Family) -> bool {
        self.0.iter().any(|(failed, _)| *failed == Some(family))
    }

    /// How long the API server asked to wait.
    fn pause(&self) -> Duration {
        let pauses = self.0.iter().map(|(_, error)| match error.kind {
            WriteFailure::Throttled(pause) => pause,
            _ => Duration::ZERO,
        });
        pauses.max().unwrap_or_default()
    }
}
