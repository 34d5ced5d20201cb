//! The state machine at work in a controller: metrics, who it was, and the words for people.

use std::time::Duration;

use fairlead_objects::{Istr, ObjectKey, Resource};
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::time::{Instant, sleep};

use super::{Deed, FieldManagers, LastWriter, Revert, RivalMetrics, Rivals, SLOW_GAP};
use crate::write::{WriteFailure, Writer};

/// Rivals that gave up are forgotten, and the gauge falls, this often.
const SWEEP: Duration = Duration::from_secs(15);
const ADMISSION: &str = "An admission webhook or policy";

/// What a controller calls its objects when it tells of rivals.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// The objects of one key: `EndpointSlices of the Service`.
    pub objects: &'static str,
    /// Their kind in the plural: `EndpointSlices`.
    pub kind: &'static str,
    /// What goes on at once all the same: `changes of Pods are still published`.
    pub still: &'static str,
    /// What who changes them could do instead, as the end of a sentence: `, or give it ...`; may be empty.
    pub instead: &'static str,
}

/// The rivals of one controller, by the key that its work is done for.
pub struct Rivalry {
    resource: Resource,
    words: Words,
    rivals: Mutex<Rivals<ObjectKey>>,
    metrics: RivalMetrics,
}

/// A plan that puts back what others did, and is about to be written.
pub struct PendingRevert {
    revert: Revert,
    /// Who did it, as the beginning of a sentence; empty if nobody is to be told.
    who: String,
}

impl Rivalry {
    /// For a controller that writes `resource`; registers its metrics.
    #[must_use]
    pub fn new(registry: &Registry, resource: Resource, words: Words) -> Self {
        Self::labelled(registry, resource.plural, resource, words)
    }

    /// As [`Rivalry::new`], for one of several controllers that write `resource`: its metrics have another label.
    #[must_use]
    pub fn labelled(registry: &Registry, label: &str, resource: Resource, words: Words) -> Self {
        let metrics = RivalMetrics::new(registry, label);
        Self { resource, words, rivals: Mutex::default(), metrics }
    }

    /// The key is gone.
    pub fn forget(&self, key: &ObjectKey) {
        self.rivals.lock().forget(key);
    }

    /// Others did something to an object of the key. Returns how long to wait before looking at it.
    pub fn changed(&self, key: &ObjectKey, deed: Deed) -> Duration {
        self.rivals.lock().changed(key, deed, Instant::now())
    }

    /// What others did needs no answer.
    pub fn dismiss(&self, key: &ObjectKey) {
        self.rivals.lock().planned(key, true, |_| false, Instant::now());
    }

    /// How long to wait before a plan is made and written only to put right what others did.
    pub fn hold(&self, key: &ObjectKey) -> Duration {
        self.rivals.lock().hold(key, Instant::now())
    }

    /// Is reverting slow?
    pub fn is_slow(&self, key: &ObjectKey) -> bool {
        self.rivals.lock().is_slow(key)
    }

    /// The answer to a write is not what was sent. Returns how long to wait before it is tried again, and what people are
    /// to be told, if they are.
    pub fn altered(&self, key: &ObjectKey, name: &Istr) -> (Duration, Option<String>) {
        let (wait, tell) = self.rivals.lock().altered(key, name, Instant::now());
        (wait, tell.then(|| self.message(&Deed::Altered(name.clone()), ADMISSION)))
    }

    /// A plan was made from all that is known and is about to be written. If it puts back what others changed, and that is
    /// to be told, this is the time to find out who it was: afterwards nobody can tell any more. `repair` says that
    /// nothing in the world called for the plan.
    pub async fn foresee(
        &self,
        writer: &Writer,
        key: &ObjectKey,
        repair: bool,
        puts_back: impl FnOnce(&Deed) -> bool,
    ) -> Option<PendingRevert> {
        let revert = self.rivals.lock().planned(key, repair, puts_back, Instant::now())?;
        let who =
            if revert.tell { self.who(writer, &key.namespace, &revert.deed).await } else { String::new() };
        Some(PendingRevert { revert, who })
    }

    /// The plan was written. What it put back counts; the metric has only those plans that were made for nothing else.
    /// Returns what people are to be told now, if anything.
    pub fn reverted(&self, key: &ObjectKey, pending: Option<PendingRevert>) -> Option<String> {
        let PendingRevert { revert, who } = pending?;
        if revert.repair {
            self.metrics.reverts.inc();
        }
        let tell = self.rivals.lock().reverted(key, &revert, Instant::now());
        tell.then(|| self.message(&revert.deed, &who))
    }

    /// The plan was not, or not completely, written.
    pub fn not_reverted(&self, key: &ObjectKey, pending: Option<PendingRevert>) {
        if let Some(PendingRevert { revert, .. }) = pending {
            self.rivals.lock().not_reverted(key, revert);
        }
    }

    /// Sets the gauge of contested keys and forgets rivals that gave up, every so often. Does not end.
    pub async fn keep_count(&self) {
        loop {
            let slowed = self.rivals.lock().sweep(Instant::now());
            self.metrics.contested.set(i64::try_from(slowed).unwrap_or(i64::MAX));
            sleep(SWEEP).await;
        }
    }

    /// Who did it, as the beginning of a sentence.
    async fn who(&self, writer: &Writer, namespace: &str, deed: &Deed) -> String {
        let name = match deed {
            Deed::Changed(name) => name,
            Deed::Deleted(_) => return "Somebody (a deleted object does not say who)".to_owned(),
            Deed::Altered(_) => return ADMISSION.to_owned(),
        };
        match writer.read::<FieldManagers>(&self.resource, namespace, name).await {
            Ok(managers) => match managers.last_writer() {
                LastWriter::Other(manager) => format!("The field manager {manager:?}"),
                LastWriter::Ourselves => {
                    "Something that leaves no field manager (admission, who only takes fields away, or who writes under \
                     the name of this process)"
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

    fn message(&self, deed: &Deed, who: &str) -> String {
        let Words { objects, kind, still, instead } = self.words;
        let (does, name, advice) = match deed {
            Deed::Changed(name) => (
                "keeps changing",
                name,
                format!("Find out what writes under this name and make it stop{instead}"),
            ),
            Deed::Deleted(name) => {
                ("keeps deleting", name, "The API server's audit log says who it is; make it stop".to_owned())
            }
            Deed::Altered(name) => (
                "changes what is written to",
                name,
                format!(
                    "Look at the MutatingWebhookConfigurations and MutatingAdmissionPolicies of the cluster, and \
                     exclude {kind} from the one that does it"
                ),
            ),
        };
        format!(
            "{who} {does} {objects}, {name} for one. It is put right only every {} minutes now, until that ends; \
             {still} at once. {advice}.",
            SLOW_GAP.as_secs() / 60,
        )
    }
}
