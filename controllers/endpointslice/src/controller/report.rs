//! What people are told: events, metrics and log lines.

use std::time::Duration;

use fairlead_machinery::events::{EventType, ObjectReference};
use fairlead_machinery::worker::Outcome;
use fairlead_machinery::write::WriteFailure;
use fairlead_objects::{Record, Service};
use tokio::time::Instant;

use super::Controller;
use super::apply::{Errors, Failure};
use crate::MissingNode;
use crate::dirty::Dirty;
use crate::hints::HintEvent;
use crate::metrics::SyncResult;

/// How long a Pod's Node may be unknown before people are told. The Node may just be later in its watch than the
/// Pod in its own.
const NODE_GRACE: Duration = Duration::from_secs(3);

/// Since when Pods of a Service have been without a Node, and whether people know.
#[derive(Clone, Copy)]
pub(super) struct Nodeless {
    since: Instant,
    told: bool,
}

impl Controller {
    /// Pods without a Node: first they get a moment for the Node to appear, then people are told. Whenever the
    /// Node does appear, the Service is planned again.
    pub(super) fn report_nodes(&self, service: &Service, missing: &[MissingNode]) -> Outcome<Dirty> {
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
            return Outcome::Later(Dirty::ALL, NODE_GRACE.saturating_sub(waited));
        }
        if !self.writer.may_write() {
            // Nor may people be told.
            return Outcome::Park(Dirty::ALL);
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

    pub(super) fn report_errors(&self, service: &Service, errors: &Errors) {
        let stale = errors
            .0
            .iter()
            .all(|(_, it)| matches!(it.error.kind, WriteFailure::Conflict(_) | WriteFailure::NotFound(_)));
        self.metrics.synced(if stale { SyncResult::Stale } else { SyncResult::Error });
        for (_, Failure { error, .. }) in &errors.0 {
            match &error.kind {
                // The cache follows by itself, and who may not write need not explain itself.
                WriteFailure::Conflict(_) | WriteFailure::NotFound(_) | WriteFailure::NotPermitted => {
                    tracing::debug!(service = %service.key, %error, "planning again");
                }
                // Not the Service's fault: an event on each Service would hide the cause.
                WriteFailure::Throttled(_) | WriteFailure::Unanswered(_) => {
                    self.complaints.trying_again(&service.key, error);
                }
                _ => {
                    self.complaints.trying_again(&service.key, error);
                    self.warn(
                        service,
                        format!("Error updating Endpoint Slices for Service {}: {error}", service.key),
                    );
                }
            }
        }
    }

    pub(super) fn report_hints(&self, service: &Service, event: &HintEvent) {
        let kind = if event.is_warning() { EventType::Warning } else { EventType::Normal };
        self.tell(service, kind, event.reason(), event.to_string());
    }

    fn warn(&self, service: &Service, message: String) {
        self.tell(service, EventType::Warning, "FailedToUpdateEndpointSlices", message);
    }

    pub(super) fn tell(&self, service: &Service, kind: EventType, reason: &'static str, message: String) {
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
