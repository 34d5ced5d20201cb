//! What people are told: events and log lines.

use fairlead_discovery::names::{OVER_CAPACITY, TRUNCATED};
use fairlead_machinery::events::{EventType, ObjectReference};
use fairlead_machinery::write::WriteFailure;
use fairlead_objects::{Endpoints, ObjectKey, Record, Resource, Service, Uid};

use super::Controller;
use super::apply::Failure;
use crate::Action;
use crate::capacity::{CAPACITY, Overflow};

impl Controller {
    /// The write failed and is tried again. Upstream's reasons, on the Endpoints object.
    pub(super) fn report_error(&self, action: &Action, failure: &Failure) {
        let key = &action.desired().key;
        self.complain(key, failure);
        let error = &failure.0;
        if passes_by_itself(&error.kind)
            || matches!(error.kind, WriteFailure::Throttled(_) | WriteFailure::Unanswered(_))
        {
            // Nor the object's fault: an event on each would hide the cause.
            return;
        }
        let (uid, reason, message) = match action {
            Action::Create(_) => {
                let message = format!("Failed to create endpoint for service {key}: {error}");
                (Uid::default(), "FailedToCreateEndpoint", message)
            }
            Action::Update { current, .. } => {
                let message = format!("Failed to update endpoint {key}: {error}");
                (current.uid.clone(), "FailedToUpdateEndpoint", message)
            }
        };
        let object = reference(&Endpoints::RESOURCE, key, &uid);
        self.recorder.event(object, EventType::Warning, reason, message);
    }

    /// Logs a failure that is tried again.
    pub(super) fn complain(&self, key: &ObjectKey, failure: &Failure) {
        let error = &failure.0;
        if passes_by_itself(&error.kind) {
            tracing::debug!(service = %key, %error, "planning again");
        } else {
            self.complaints.trying_again(key, error);
        }
    }

    /// The object that was written does not hold all endpoints, which is new to this process: people hear of it unless
    /// the object said so before.
    pub(super) fn report_overflow(&self, service: &Service, action: &Action, overflow: Overflow) {
        if let Action::Update { current, .. } = action
            && current.annotations.get(OVER_CAPACITY).is_some_and(|value| *value == TRUNCATED)
        {
            return;
        }
        let Overflow { wanted, ready } = overflow;
        let message = format!(
            "The Service has {wanted} endpoints, {ready} of them ready, of which its Endpoints object holds the first \
             {CAPACITY}: who reads Endpoints does not see the others. Let such clients read EndpointSlices, which hold \
             all, or share the Pods out to several Services."
        );
        self.tell(service, EventType::Warning, "EndpointsTruncated", message);
    }

    pub(super) fn tell(&self, service: &Service, kind: EventType, reason: &'static str, message: String) {
        let object = reference(&Service::RESOURCE, &service.key, &service.uid);
        self.recorder.event(object, kind, reason, message);
    }
}

/// The cache follows by itself, and a stopping process need not explain itself.
fn passes_by_itself(failure: &WriteFailure) -> bool {
    matches!(
        failure,
        WriteFailure::Conflict(_)
            | WriteFailure::AlreadyExists(_)
            | WriteFailure::NotFound(_)
            | WriteFailure::NotPermitted
    )
}

fn reference(resource: &Resource, key: &ObjectKey, uid: &Uid) -> ObjectReference {
    ObjectReference {
        api_version: resource.version,
        kind: resource.kind,
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
        uid: uid.to_string(),
    }
}
