//! Kubernetes Events: what a controller tells people about an object, where `kubectl describe` shows it.
//!
//! ```text
//! Recorder::event ── bounded queue ──▶ Writer: correlator (pure) ── create / patch / drop ──▶ API server
//!  never waits                          one task
//! ```
//!
//! Events are best effort by design. Recording one costs a push into a queue; if the API server is slow or away,
//! events are dropped and counted (`fairlead_events_total`), never the work that they are about. They are core/v1
//! Events, in the form that client-go's recorder writes.

mod correlator;
mod lru;
mod writer;

use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::sync::mpsc;
use tracing::debug;

use self::correlator::{Event, Occurrence};
pub use self::writer::Writer;
use crate::metrics::{constant, register};
use crate::permit::Permit;

/// Events that wait for the API server: client-go's `maxQueuedEvents`.
const QUEUE: usize = 1000;
/// The longest message; the API's limit for the newer kind of Events, and more than anybody reads.
const MAX_MESSAGE_BYTES: usize = 1024;

/// The object that an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectReference {
    /// API version, such as `v1` or `discovery.k8s.io/v1`.
    pub api_version: &'static str,
    /// Kind, such as `Service`.
    pub kind: &'static str,
    /// Namespace; empty for objects without one, whose events are in `default`.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID; `kubectl describe` shows only the events whose UID is the object's.
    pub uid: String,
}

/// Whether somebody should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// For information.
    Normal,
    /// Something is wrong.
    Warning,
}

impl EventType {
    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// `fairlead_events_total{result}`: what became of the events of all recorders.
#[derive(Clone)]
pub struct EventMetrics(IntCounterVec);

impl EventMetrics {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let opts = Opts::new(
            "fairlead_events_total",
            "Number of Kubernetes Events recorded, by what became of them.",
        );
        Self(register(registry, constant(IntCounterVec::new(opts, &["result"]))))
    }

    fn count(&self, fate: Fate) {
        self.0.with_label_values(&[fate.label()]).inc();
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// An Event object was created.
    Created,
    /// The count of an Event object was raised.
    Patched,
    /// Nothing may be written now: another process leads, or this one ends.
    NotPermitted,
    /// The queue was full, or the process was about to end.
    QueueFull,
    /// The object has had too many events.
    RateLimited,
    /// We may not write Events there.
    Forbidden,
    /// The namespace is being deleted, or gone.
    NamespaceTerminating,
    /// The API server refused it for another reason.
    Rejected,
    /// The API server gave no answer.
    Unreachable,
}

impl Fate {
    fn label(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Patched => "patched",
            Self::NotPermitted => "not_permitted",
            Self::QueueFull => "queue_full",
            Self::RateLimited => "rate_limited",
            Self::Forbidden => "forbidden",
            Self::NamespaceTerminating => "namespace_terminating",
            Self::Rejected => "rejected",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Makes the recorder of one component, such as `endpoint-slice-controller`, and the writer that has to run for it.
///
/// The events are written with `client`, whose own retries must be off, and only while the permit holds: what a standby
/// notices, the leader tells people.
#[must_use]
pub fn channel(
    client: Client,
    component: &'static str,
    metrics: EventMetrics,
    permit: Permit,
) -> (Recorder, Writer) {
    let (queue, events) = mpsc::channel(QUEUE);
    let writer = Writer::new(client, component, metrics.clone(), permit.clone(), events);
    (Recorder { component, queue, metrics, permit }, writer)
}

/// Records events of one component. Clones share the queue.
#[derive(Clone)]
pub struct Recorder {
    component: &'static str,
    queue: mpsc::Sender<Event>,
    metrics: EventMetrics,
    permit: Permit,
}

impl Recorder {
    /// Records an event, or drops it if nothing may be written now; returns at once. `reason` is a short CamelCase word for programs, `message` a sentence for
    /// people, of which the first 1024 bytes are kept.
    pub fn event(
        &self,
        object: ObjectReference,
        event_type: EventType,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        if !self.permit.holds() {
            return self.metrics.count(Fate::NotPermitted);
        }
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        debug!(
            component = self.component,
            kind = object.kind,
            namespace = object.namespace,
            name = object.name,
            event_type = event_type.as_str(),
            reason,
            note = message,
            "event recorded"
        );
        let what = Occurrence { object: Arc::new(object), event_type, reason, message };
        if self.queue.try_send(Event { what: Arc::new(what), at: Timestamp::now() }).is_err() {
            self.metrics.count(Fate::QueueFull);
        }
    }
}

#[cfg(test)]
mod tests;
