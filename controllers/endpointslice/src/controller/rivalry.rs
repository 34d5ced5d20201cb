//! Others who keep changing the slices of a Service.

use std::time::Duration;

use fairlead_machinery::events::EventType;
use fairlead_machinery::rivals::{Deed, FieldManagers, LastWriter, Revert, RivalMetrics, Rivals, SLOW_GAP};
use fairlead_machinery::write::WriteFailure;
use fairlead_objects::{ObjectKey, Record, Service, Slice};
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::time::{Instant, sleep};

use super::Controller;
use crate::action::DesiredSlice;
use crate::dirty::{Dirty, Extent, SliceSeen};
use crate::{Action, service_of};

/// Rivals that gave up are forgotten, and the gauge falls, this often.
const SWEEP: Duration = Duration::from_secs(15);

/// A plan that puts back what others did, and is about to be written.
pub(super) struct PendingRevert {
    revert: Revert,
    /// Who did it, as the beginning of a sentence; empty if nobody is to be told.
    who: String,
}

/// What is known of rivals.
pub(super) struct Rivalry {
    rivals: Mutex<Rivals<ObjectKey>>,
    metrics: RivalMetrics,
}

impl Rivalry {
    pub(super) fn new(registry: &Registry) -> Self {
        Self { rivals: Mutex::default(), metrics: RivalMetrics::new(registry, Slice::RESOURCE.plural) }
    }

    pub(super) fn forget(&self, service: &ObjectKey) {
        self.rivals.lock().forget(service);
    }

    /// What others did needs no answer.
    pub(super) fn dismiss(&self, service: &ObjectKey) {
        self.rivals.lock().planned(service, true, |_| false, Instant::now());
    }

    /// How long to wait before a plan is made and written only to put right what others did.
    pub(super) fn hold(&self, service: &ObjectKey) -> Duration {
        self.rivals.lock().hold(service, Instant::now())
    }

    /// Is reverting slow?
    pub(super) fn is_slow(&self, service: &ObjectKey) -> bool {
        self.rivals.lock().is_slow(service)
    }

    /// A plan was not written, which was to put back what others did.
    pub(super) fn not_reverted(&self, service: &ObjectKey, pending: Option<PendingRevert>) {
        if let Some(PendingRevert { revert, .. }) = pending {
            self.rivals.lock().not_reverted(service, revert);
        }
    }

    /// Sets the gauge of Services under rivalry and forgets rivals that gave up, every so often. Does not end.
    pub(super) async fn keep_count(&self) {
        loop {
            let slowed = self.rivals.lock().sweep(Instant::now());
            self.metrics.contested.set(i64::try_from(slowed).unwrap_or(i64::MAX));
            sleep(SWEEP).await;
        }
    }
}

impl Controller {
    /// Others changed a slice of the Service. Returns how long to wait before looking at it.
    pub(super) fn others_changed(&self, service: &ObjectKey, seen: &SliceSeen) -> Duration {
        let deed = match seen {
            SliceSeen::Stored { name, .. } => Deed::Changed(name.clone()),
            SliceSeen::Deleted { name, .. } => Deed::Deleted(name.clone()),
        };
        self.rivalry.rivals.lock().changed(service, deed, Instant::now())
    }

    /// Looks whether the Service is as it should be, though nothing is known to have changed.
    pub(super) fn recheck(&self, service: ObjectKey) {
        let hold = self.rivalry.hold(&service);
        self.queue.add_after(service, Dirty::RECHECK, hold);
    }

    /// A plan of the whole Service was made for this reason and is about to be written. If it puts back what others
    /// changed, and that is to be told, this is the time to find out who it was: afterwards nobody can tell any more.
    pub(super) async fn foresee_revert(
        &self,
        key: &ObjectKey,
        dirty: &Dirty,
        actions: &[Action],
    ) -> Option<PendingRevert> {
        let repair = !dirty.is_called_for();
        let puts_back = |deed: &Deed| {
            if repair { !actions.is_empty() } else { self.puts_back(key, deed, dirty, actions) }
        };
        let revert = self.rivalry.rivals.lock().planned(key, repair, puts_back, Instant::now())?;
        let who = if revert.tell { self.who(key, &revert.deed).await } else { String::new() };
        Some(PendingRevert { revert, who })
    }

    /// Do the writes, which something else called for, undo this as well?
    fn puts_back(&self, key: &ObjectKey, deed: &Deed, dirty: &Dirty, actions: &[Action]) -> bool {
        let replaces = || actions.iter().any(|action| !matches!(action, Action::Delete(_)));
        match deed {
            Deed::Deleted(_) => replaces(),
            // Taken away from the Service.
            Deed::Changed(name) if self.index.lock().slice_of(key, name).is_none() => replaces(),
            Deed::Changed(name) => actions.iter().any(|action| match action {
                Action::Create(_) => false,
                Action::Update { current, desired } => {
                    let more = match &dirty.extent {
                        Extent::All => true,
                        Extent::Parts(parts) => desired.changes_more_than(current, &parts.pods),
                    };
                    current.key.name == *name && more
                }
                Action::Delete(slice) => slice.key.name == *name,
            }),
            // Each answer that is altered was counted.
            Deed::Altered(_) => false,
        }
    }

    /// The plan was written. What it put back counts and is now and then told; the metric has only those plans that were
    /// made for nothing else.
    pub(super) fn reverted(&self, service: &Service, pending: Option<PendingRevert>) {
        let Some(PendingRevert { revert, who }) = pending else { return };
        if revert.repair {
            self.rivalry.metrics.reverts.inc();
        }
        if self.rivalry.rivals.lock().reverted(&service.key, &revert, Instant::now()) {
            self.tell_of_rival(service, &revert.deed, &who);
        }
    }

    /// Looks at the answer to a write: if it is not what was sent, nothing is gained by sending it again at once. (Where
    /// it is not even the Service's, the write failed, and that is for the retry.)
    pub(super) fn check_answer(&self, key: &ObjectKey, sent: &DesiredSlice, answer: &Slice) {
        if !sent.is_altered(answer) {
            return;
        }
        let (wait, tell) = self.rivalry.rivals.lock().altered(key, &answer.key.name, Instant::now());
        if service_of(answer) == Some(&key.name) {
            self.queue.add_after(key.clone(), Dirty::RECHECK, wait);
        }
        if tell && let Some(service) = self.services.get(key) {
            self.tell_of_rival(
                &service,
                &Deed::Altered(answer.key.name.clone()),
                "An admission webhook or policy",
            );
        }
    }

    /// Who did it, as the beginning of a sentence.
    async fn who(&self, service: &ObjectKey, deed: &Deed) -> String {
        let name = match deed {
            Deed::Changed(name) => name,
            Deed::Deleted(_) => return "Somebody (a deleted object does not say who)".to_owned(),
            Deed::Altered(_) => return "An admission webhook or policy".to_owned(),
        };
        let read = self.writer.read::<FieldManagers>(&Slice::RESOURCE, &service.namespace, name).await;
        match read {
            Ok(managers) => match managers.last_writer() {
                LastWriter::Other(manager) => format!("The field manager {manager:?}"),
                LastWriter::Ourselves => {
                    "Something that leaves no field manager (admission, or who writes under the name of this process)"
                        .to_owned()
                }
                LastWriter::Unknown => "Somebody (its managedFields do not say who)".to_owned(),
            },
            Err(error) if matches!(error.kind, WriteFailure::NotFound(_)) => {
                "Somebody (it is gone by now, and a deleted object does not say who)".to_owned()
            }
            Err(error) => format!("Somebody (who it is cannot be told: {error})"),
        }
    }

    fn tell_of_rival(&self, service: &Service, deed: &Deed, who: &str) {
        let (does, name, advice) = match deed {
            Deed::Changed(name) => (
                "keeps changing",
                name,
                "Find out what writes under this name and make it stop, or give it EndpointSlices of its own with \
                 another endpointslice.kubernetes.io/managed-by label",
            ),
            Deed::Deleted(name) => {
                ("keeps deleting", name, "The API server's audit log says who it is; make it stop")
            }
            Deed::Altered(name) => (
                "changes what is written to",
                name,
                "Look at the MutatingWebhookConfigurations and MutatingAdmissionPolicies of the cluster, and exclude \
                 EndpointSlices from the one that does it",
            ),
        };
        let message = format!(
            "{who} {does} EndpointSlices of the Service, {name} for one. It is put right only every {} minutes now, until \
             that ends; changes of Pods are still published at once. {advice}.",
            SLOW_GAP.as_secs() / 60,
        );
        tracing::warn!(service = %service.key, "{message}");
        self.tell(service, EventType::Warning, "EndpointSlicesContested", message);
    }
}
