//! The task that writes events: a thin shell around the correlator.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::Status;
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::correlator::{Correlator, Decision, Event, Record};
use super::{EventMetrics, Fate};
use crate::permit::Permit;

/// How long the API server may take for one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a call is made that gets no answer.
const ATTEMPTS: u32 = 3;
/// Pause before the second attempt; the third waits twice as long.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long what is still queued may take at the end.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Where events about objects without a namespace are, as client-go has it.
const DEFAULT_NAMESPACE: &str = "default";

/// Writes the events of one recorder; nothing is written unless [`Writer::run`] runs.
pub struct Writer {
    client: Client,
    component: &'static str,
    metrics: EventMetrics,
    permit: Permit,
    queue: mpsc::Receiver<Event>,
    correlator: Correlator,
}

/// How one call ended, other than well.
enum Failure {
    /// The API server's refusal.
    Refused(Box<Status>),
    /// Nothing may be written now, and nothing was sent.
    NotPermitted,
    /// Nothing is known: no connection, no answer in time, or an answer that is not the API server's.
    NoAnswer(String),
}

impl Writer {
    pub(super) fn new(
        client: Client,
        component: &'static str,
        metrics: EventMetrics,
        permit: Permit,
        queue: mpsc::Receiver<Event>,
    ) -> Self {
        Self { client, component, metrics, permit, queue, correlator: Correlator::new() }
    }

    /// Writes events until all recorders are gone, or until `stop` is cancelled; then what is already queued is
    /// written, for three seconds at most.
    pub async fn run(mut self, stop: CancellationToken) {
        let work = async {
            loop {
                // Biased: after the stop the queue is emptied before the stop is looked at.
                let next = tokio::select! {
                    biased;
                    next = self.queue.recv() => next,
                    () = stop.cancelled() => None,
                };
                let Some(event) = next else { return };
                let fate = self.handle(&event).await;
                self.metrics.count(fate);
            }
        };
        let end = async {
            stop.cancelled().await;
            sleep(LAST_WORDS).await;
        };
        tokio::select! {
            () = work => {}
            () = end => debug!(component = self.component, "events were still queued at the end"),
        }
    }

    async fn handle(&mut self, event: &Event) -> Fate {
        match self.correlator.observe(Instant::now().into_std(), event) {
            Decision::Drop => Fate::RateLimited,
            Decision::Create(record) => self.create(event, record).await,
            Decision::Patch(record) => match self.patch(event, &record).await {
                Ok(()) => Fate::Patched,
                // Events live for an hour, or as long as the API server was told.
                Err(Failure::Refused(status)) if status.is_not_found() => self.create(event, record).await,
                Err(failure) => self.give_up(event, &failure),
            },
        }
    }

    async fn patch(&self, event: &Event, record: &Record) -> Result<(), Failure> {
        let api = self.api(event);
        let body = json!({ "count": record.count, "lastTimestamp": Time(record.last) });
        let (params, patch) = (PatchParams::default(), Patch::Merge(body));
        // Setting a count to the same number twice does no harm, so every lost answer is worth another attempt.
        let mut attempt = 1;
        loop {
            let failure = match self.call(api.patch(&record.name, &params, &patch)).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if !matches!(failure, Failure::NoAnswer(_)) || attempt == ATTEMPTS {
                return Err(failure);
            }
            sleep(RETRY_PAUSE * attempt).await;
            attempt += 1;
        }
    }

    async fn create(&mut self, event: &Event, mut record: Record) -> Fate {
        let api = self.api(event);
        let mut lost_answers = 0;
        let mut renamed = false;
        let failure = loop {
            let object = object(self.component, event, &record);
            let failure = match self.call(api.create(&PostParams::default(), &object)).await {
                Ok(()) => return Fate::Created,
                Err(failure) => failure,
            };
            match &failure {
                // An earlier attempt got through, only its answer did not.
                Failure::Refused(status) if status.is_already_exists() && lost_answers > 0 => {
                    return Fate::Created;
                }
                // Another process named an Event of this object in the same nanosecond.
                Failure::Refused(status) if status.is_already_exists() && !renamed => {
                    record = self.correlator.rename(event, &record);
                    renamed = true;
                }
                Failure::Refused(_) | Failure::NotPermitted => break failure,
                Failure::NoAnswer(_) => {
                    lost_answers += 1;
                    if lost_answers == ATTEMPTS {
                        break failure;
                    }
                    sleep(RETRY_PAUSE * lost_answers).await;
                }
            }
        };
        self.correlator.forget(event);
        self.give_up(event, &failure)
    }

    async fn call(&self, request: impl Future<Output = kube::Result<v1::Event>>) -> Result<(), Failure> {
        if !self.permit.holds() {
            return Err(Failure::NotPermitted);
        }
        match timeout(CALL_TIMEOUT, request).await {
            // The API server took it, whatever it sent back.
            Ok(Ok(_) | Err(kube::Error::SerdeError(_))) => Ok(()),
            Ok(Err(kube::Error::Api(status))) => Err(Failure::Refused(status)),
            Ok(Err(error)) => Err(Failure::NoAnswer(error.to_string())),
            Err(_) => Err(Failure::NoAnswer(format!("no answer within {CALL_TIMEOUT:?}"))),
        }
    }

    fn api(&self, event: &Event) -> Api<v1::Event> {
        Api::namespaced(self.client.clone(), namespace(event))
    }

    /// Says what was lost. Quietly where it is nobody's mistake or would be said for each event.
    fn give_up(&self, event: &Event, failure: &Failure) -> Fate {
        let (object, reason) = (&event.what.object, event.what.reason);
        let (fate, error) = match failure {
            Failure::NotPermitted => return Fate::NotPermitted,
            Failure::Refused(status) => (fate_of(status), status.message.as_str()),
            Failure::NoAnswer(error) => (Fate::Unreachable, error.as_str()),
        };
        let (component, kind, namespace, name) =
            (self.component, object.kind, &object.namespace, &object.name);
        if matches!(fate, Fate::Forbidden | Fate::NamespaceTerminating) {
            debug!(
                component,
                kind, namespace, name, reason, error, "event dropped: the API server does not take it"
            );
        } else {
            warn!(component, kind, namespace, name, reason, error, "event dropped: it could not be written");
        }
        fate
    }
}

fn fate_of(status: &Status) -> Fate {
    let terminating = status
        .details
        .as_ref()
        .is_some_and(|details| details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"));
    if terminating || status.is_not_found() {
        Fate::NamespaceTerminating
    } else if status.is_forbidden() {
        Fate::Forbidden
    } else {
        Fate::Rejected
    }
}

fn namespace(event: &Event) -> &str {
    let namespace = event.what.object.namespace.as_str();
    if namespace.is_empty() { DEFAULT_NAMESPACE } else { namespace }
}

fn object(component: &'static str, event: &Event, record: &Record) -> v1::Event {
    let what = &event.what;
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let time = |at: Timestamp| Some(Time(at));
    v1::Event {
        metadata: ObjectMeta {
            name: Some(record.name.clone()),
            namespace: Some(namespace(event).to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: v1::ObjectReference {
            api_version: text(what.object.api_version),
            kind: text(what.object.kind),
            namespace: text(&what.object.namespace),
            name: text(&what.object.name),
            uid: text(&what.object.uid),
            ..v1::ObjectReference::default()
        },
        type_: Some(what.event_type.as_str().to_owned()),
        reason: Some(what.reason.to_owned()),
        message: Some(what.message.clone()),
        count: Some(record.count),
        first_timestamp: time(record.first),
        last_timestamp: time(record.last),
        source: Some(v1::EventSource { component: Some(component.to_owned()), host: None }),
        reporting_component: Some(component.to_owned()),
        // client-go writes the source's host here, which kube-controller-manager leaves empty.
        reporting_instance: Some(String::new()),
        ..v1::Event::default()
    }
}
