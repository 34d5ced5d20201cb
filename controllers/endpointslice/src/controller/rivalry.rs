//! Others who keep changing the slices of a Service.

use std::time::Duration;

use fairlead_machinery::events::EventType;
use fairlead_machinery::rivals::{Deed, FieldManagers, RivalMetrics, Rivals, SLOW_GAP};
use fairlead_machinery::write::WriteFailure;
use fairlead_objects::{ObjectKey, Record, Service, Slice};
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::time::{Instant, sleep};

use super::Controller;
use crate::action::DesiredSlice;
use crate::dirty::{Dirty, SliceSeen};

/// Rivals that gave up are forgotten, and the gauge falls, this often.
const SWEEP: Duration = Duration::from_secs(15);

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
    pub(super) fn is_right(&self, service: &ObjectKey) {
        self.rivals.lock().planned(service, true, false, Instant::now());
    }

    /// Counts for ever.
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
        let hold = self.rivalry.rivals.lock().hold(&service, Instant::now());
        self.queue.add_after(service, Dirty::RECHECK, hold);
    }

    /// How long to wait before a plan for this reason is made and written.
    pub(super) fn hold(&self, service: &ObjectKey, dirty: &Dirty) -> Option<Duration> {
        if dirty.is_called_for() {
            return None;
        }
        let hold = self.rivalry.rivals.lock().hold(service, Instant::now());
        Some(hold).filter(|hold| !hold.is_zero())
    }

    /// A plan was made for this reason and is about to be written. If it puts back what others changed, that is counted
    /// and now and then told, with the name of who did it: once it is put back, nobody can tell any more.
    pub(super) async fn note_revert(&self, service: &Service, dirty: &Dirty, writes: bool) {
        let now = Instant::now();
        let revert = self.rivalry.rivals.lock().planned(&service.key, !dirty.is_called_for(), writes, now);
        let Some(revert) = revert else { return };
        self.rivalry.metrics.reverts.inc();
        if revert.tell {
            let who = self.who(&service.key, &revert.deed).await;
            self.tell_of_rival(service, &revert.deed, &who);
        }
    }

    /// Looks at the answer to a write: if it is not what was sent, nothing is gained by sending it again at once.
    pub(super) fn check_answer(&self, key: &ObjectKey, sent: &DesiredSlice, answer: &Slice) {
        if !sent.is_altered(answer) {
            return;
        }
        let (wait, tell) = self.rivalry.rivals.lock().altered(key, &answer.key.name, Instant::now());
        self.queue.add_after(key.clone(), Dirty::RECHECK, wait);
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
            Ok(managers) => match managers.newest_other() {
                Some(manager) => format!("The field manager {manager:?}"),
                None => "Somebody (its managedFields do not say who)".to_owned(),
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
