//! The shell: puts the questions of one controller, looks for the answers, and opens and closes its gate.

use std::time::Duration;

use fairlead_objects::{Endpoints, Record, Resource, Service, Slice};
use futures::future::join;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::inquiry::{Heard, Inquiry, News, PERIOD, SHORTEST_PERIOD, Stance, Step, Trouble, Verdict};
use super::note::{Note, UpstreamLease, first_stance};
use super::objects::{Answer, Canary};
use super::report::Report;
use crate::events::ObjectReference;
use crate::permit::Gate;
use crate::rivals::{FieldManagers, LastWriter};
use crate::write::{WriteError, WriteFailure, Writer};

const ENDPOINTS_MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const SLICE_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const SLICE_SERVICE: &str = "kubernetes.io/service-name";
const LEASES: Resource = Resource {
    group: "coordination.k8s.io",
    version: "v1",
    kind: "Lease",
    plural: "leases",
    namespaced: true,
};
/// Where kube-controller-manager has its Lease.
const UPSTREAM_LEASE: (&str, &str) = ("kube-system", "kube-controller-manager");
/// How long the API server may take for the question.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks for one controller whether another one of its kind runs.
pub struct Asker {
    canary: Canary,
    namespace: String,
    /// Tells our questions from those of other processes: lower-case letters and digits.
    nonce: String,
    writer: Writer,
    gate: Gate,
    report: Report,
    /// UID of the Service that the question is about, for events.
    service_uid: String,
    /// Did a question end since we lead, so that our stance is worth a note?
    is_sure: bool,
}

impl Asker {
    /// Asks by the canary objects of `namespace` while `writer` may write, which the gate, closed at first, must not keep it
    /// from.
    #[must_use]
    pub fn new(canary: Canary, namespace: &str, writer: Writer, gate: Gate, report: Report) -> Self {
        let nonce =
            std::iter::repeat_with(|| fastrand::alphanumeric().to_ascii_lowercase()).take(10).collect();
        Self {
            canary,
            namespace: namespace.to_owned(),
            nonce,
            writer,
            gate,
            report,
            service_uid: String::new(),
            is_sure: false,
        }
    }

    /// Asks until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let work = async {
            loop {
                self.gate.close();
                self.report.waits();
                self.writer.permit().granted().await;
                self.lead().await;
            }
        };
        // The stop is all that ends it.
        let _: Option<()> = stop.run_until_cancelled(work).await;
    }

    /// Asks as long as this process may write.
    async fn lead(&mut self) {
        let (lease, note) = join(self.upstream_lease(), self.note()).await;
        let mut inquiry = Inquiry::new(first_stance(&lease, note, Timestamp::now()), Instant::now());
        self.is_sure = false;
        self.swing_gate(inquiry.stance());
        self.report.begins(inquiry.stance());
        while self.writer.may_write() {
            match inquiry.next(Instant::now()) {
                Step::WaitUntil(at) => sleep_until(at).await,
                Step::Ask(number) => {
                    let outcome = self.ask(number, inquiry.stance()).await;
                    let (outcome, error) = told(outcome);
                    let news = inquiry.asked(outcome, Instant::now(), period());
                    self.follow(news, inquiry.stance(), "", error).await;
                }
                Step::Look => {
                    let (heard, who, error) = match self.look().await {
                        Ok(Some((heard, who))) => (Ok(Some(heard)), who, None),
                        Ok(None) => (Ok(None), String::new(), None),
                        Err(error) => (Err(trouble(&error.kind)), String::new(), Some(error)),
                    };
                    let news = inquiry.looked(heard, Instant::now());
                    self.follow(news, inquiry.stance(), &who, error).await;
                }
            }
        }
    }

    /// Does and says what follows from an event. The gate comes first.
    async fn follow(&mut self, news: News, stance: Stance, who: &str, error: Option<WriteError>) {
        if news.stance.is_some() {
            self.swing_gate(stance);
        }
        let Some(verdict) = news.verdict else { return };
        if !self.writer.may_write() {
            // It failed because we may not write any more.
            return;
        }
        self.report.ended(verdict, stance, news.stance.is_some(), error.as_ref());
        if news.stance.is_some() {
            let service = ObjectReference {
                api_version: "v1",
                kind: Service::RESOURCE.kind,
                namespace: self.namespace.clone(),
                name: self.canary.service().to_owned(),
                uid: self.service_uid.clone(),
            };
            self.report.turned(stance, verdict, who, service);
        }
        let is_sure = !matches!(verdict, Verdict::Failed(_));
        if is_sure && (news.stance.is_some() || !self.is_sure) {
            self.is_sure = true;
            self.write_note(stance).await;
        }
    }

    fn swing_gate(&self, stance: Stance) {
        match stance {
            Stance::Working => self.gate.open(),
            Stance::Asking | Stance::Aside => self.gate.close(),
        }
    }

    /// Puts a question, with what we know by now, and makes the objects for it if there are none.
    async fn ask(&mut self, number: u64, stance: Stance) -> Result<(), WriteError> {
        let question = format!("{}-{number}", self.nonce);
        let note = self.is_sure.then(|| note(stance).to_string());
        let objects = self.canary.objects(&self.namespace, &question, note.as_deref());
        let put = async {
            for (resource, object) in objects {
                let stored = self.put(resource, &object).await?;
                if resource.kind == Service::RESOURCE.kind {
                    stored["metadata"]["uid"].as_str().unwrap_or_default().clone_into(&mut self.service_uid);
                }
            }
            Ok(())
        };
        match timeout(ASK_TIMEOUT, put).await {
            Ok(outcome) => outcome,
            Err(_) => Err(WriteError {
                what: format!(
                    "put a question to {} {}/{}",
                    Service::RESOURCE.kind,
                    self.namespace,
                    self.canary.service()
                ),
                kind: WriteFailure::Unanswered(format!("none within {ASK_TIMEOUT:?}")),
            }),
        }
    }

    /// Merges without a resourceVersion: whoever leads asks, and what others put on the object does not matter.
    async fn put(&self, resource: &Resource, object: &Value) -> Result<Value, WriteError> {
        let merged = self.writer.merge(resource, &self.namespace, self.canary.service(), object).await;
        match merged {
            Err(WriteError { kind: WriteFailure::NotFound(_), .. }) => {}
            merged => return merged,
        }
        match self.writer.create(resource, &self.namespace, object).await {
            // Two of our controllers share a canary, and each may be the first.
            Err(WriteError { kind: WriteFailure::AlreadyExists(_), .. }) => {
                self.writer.merge(resource, &self.namespace, self.canary.service(), object).await
            }
            created => created,
        }
    }

    /// Notes at the question what we do, for whoever leads next. Nothing depends on it.
    async fn write_note(&self, stance: Stance) {
        let annotations = json!({ self.canary.note_annotation(): note(stance).to_string() });
        let patch = json!({ "metadata": { "annotations": annotations } });
        let (resource, name) = (self.canary.questioned(), self.canary.service());
        let merged = self.writer.merge::<Value>(resource, &self.namespace, name, &patch);
        if let Ok(Err(error)) = timeout(ASK_TIMEOUT, merged).await {
            tracing::debug!(controller = self.canary.controller, %error, "the note for the next leader was not written");
        }
    }

    /// The newest of our questions that is answered, and who did it.
    async fn look(&self) -> Result<Option<(Heard, String)>, WriteError> {
        let (namespace, name) = (&self.namespace, self.canary.service());
        let (answers, managed_by) = match self.canary.answer() {
            Answer::Endpoints(manager) => {
                let answers = match self.writer.read::<Value>(&Endpoints::RESOURCE, namespace, name).await {
                    Ok(endpoints) => vec![endpoints],
                    Err(WriteError { kind: WriteFailure::NotFound(_), .. }) => Vec::new(),
                    Err(error) => return Err(error),
                };
                (answers, (ENDPOINTS_MANAGED_BY, manager))
            }
            Answer::Slices(manager) => {
                let labels = [(SLICE_SERVICE, name), (SLICE_MANAGED_BY, manager)];
                let answers =
                    self.writer.read_labelled::<Value>(&Slice::RESOURCE, namespace, &labels).await?;
                (answers, (SLICE_MANAGED_BY, manager))
            }
        };
        let question = self.canary.question_label();
        let numbered = answers.iter().filter_map(|answer| {
            let label = |key: &str| answer["metadata"]["labels"][key].as_str();
            if label(managed_by.0) != Some(managed_by.1) {
                return None;
            }
            let (nonce, number) = label(&question)?.split_once('-')?;
            (nonce == self.nonce).then_some((number.parse::<u64>().ok()?, answer))
        });
        let newest = numbered.max_by_key(|(number, _)| *number);
        Ok(newest.map(|(number, answer)| {
            let (who, from_fairlead) = who(answer);
            (Heard { number, from_fairlead }, who)
        }))
    }

    async fn upstream_lease(&self) -> UpstreamLease {
        let (namespace, name) = UPSTREAM_LEASE;
        match self.writer.read::<Lease>(&LEASES, namespace, name).await {
            Ok(lease) => {
                lease.spec.map_or(UpstreamLease::Absent, |spec| UpstreamLease::Present(Box::new(spec)))
            }
            Err(WriteError { kind: WriteFailure::NotFound(_), .. }) => UpstreamLease::Absent,
            Err(error) => {
                tracing::info!(
                    controller = self.canary.controller,
                    %error,
                    "cannot tell whether kube-controller-manager runs, so the first write waits until it is asked"
                );
                UpstreamLease::Unknown
            }
        }
    }

    /// What the leader before has noted, if that can be read.
    async fn note(&self) -> Option<Note> {
        let (resource, name) = (self.canary.questioned(), self.canary.service());
        let object = self.writer.read::<Value>(resource, &self.namespace, name).await.ok()?;
        Note::parse(object["metadata"]["annotations"][self.canary.note_annotation()].as_str()?)
    }
}

fn note(stance: Stance) -> Note {
    Note { aside: stance == Stance::Aside, at: Timestamp::now() }
}

/// Time to the next question.
fn period() -> Duration {
    SHORTEST_PERIOD + PERIOD.saturating_sub(SHORTEST_PERIOD).mul_f64(fastrand::f64())
}

fn told(outcome: Result<(), WriteError>) -> (Result<(), Trouble>, Option<WriteError>) {
    match outcome {
        Ok(()) => (Ok(()), None),
        Err(error) => (Err(trouble(&error.kind)), Some(error)),
    }
}

fn trouble(failure: &WriteFailure) -> Trouble {
    match failure {
        WriteFailure::NotFound(_) | WriteFailure::NamespaceTerminating | WriteFailure::Refused(_) => {
            Trouble::Refused
        }
        WriteFailure::Conflict(_)
        | WriteFailure::AlreadyExists(_)
        | WriteFailure::Throttled(_)
        | WriteFailure::ServerError(_)
        | WriteFailure::Unanswered(_)
        | WriteFailure::NotPermitted => Trouble::Lost,
    }
}

/// Who answered, as the beginning of a sentence, and whether it is a Fairlead.
fn who(answer: &Value) -> (String, bool) {
    let managers: FieldManagers = serde_json::from_value(answer.clone()).unwrap_or_default();
    match managers.last_writer() {
        LastWriter::Other(manager) => (manager.to_owned(), false),
        LastWriter::Ourselves => ("another Fairlead".to_owned(), true),
        LastWriter::Unknown => ("another process".to_owned(), false),
    }
}

#[cfg(test)]
#[path = "ask_tests.rs"]
mod tests;
