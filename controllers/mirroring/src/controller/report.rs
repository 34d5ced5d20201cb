//! What people are told: events and log lines.

use fairlead_machinery::events::{EventType, ObjectReference};
use fairlead_machinery::write::WriteFailure;
use fairlead_objects::{Endpoints, ObjectKey, Record};
use tokio::time::Instant;

use super::Controller;
use super::apply::{Errors, Failure};
use crate::Skipped;

impl Controller {
    /// Tells of addresses that are not mirrored, when their number is not what people know: upstream tells it again at
    /// every sync.
    pub(super) fn report_skipped(&self, key: &ObjectKey, endpoints: Option<&Endpoints>, skipped: Skipped) {
        let before = {
            let mut told = self.told.lock();
            if skipped == Skipped::default() { told.remove(key) } else { told.insert(key.clone(), skipped) }
        }
        .unwrap_or_default();
        let Some(endpoints) = endpoints else { return };
        let Skipped { addresses, invalid } = skipped;
        if invalid > 0 && invalid != before.invalid {
            let message = format!("Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices");
            self.warn(endpoints, "InvalidIPAddress", message);
        }
        if skipped.is_over_limit() && skipped != before {
            let message = format!(
                "A max of {} addresses can be mirrored to EndpointSlices per Endpoints subset. {addresses} addresses were \
                 skipped",
                self.settings.max_endpoints_per_subset
            );
            self.warn(endpoints, "TooManyAddressesToMirror", message);
        }
    }

    pub(super) fn report_errors(&self, key: &ObjectKey, endpoints: Option<&Endpoints>, errors: &Errors) {
        for Failure { error, .. } in &errors.0 {
            match &error.kind {
                // The cache follows by itself, and who may not write need not explain itself.
                WriteFailure::Conflict(_) | WriteFailure::NotFound(_) | WriteFailure::NotPermitted => {
                    tracing::debug!(endpoints = %key, %error, "planning again");
                    continue;
                }
                // Not the Endpoints' fault: an event on each object would hide the cause.
                WriteFailure::Throttled(_) | WriteFailure::Unanswered(_) => {}
                _ => {
                    if let Some(endpoints) = endpoints {
                        let message = format!("Error mirroring Endpoints {key} to EndpointSlices: {error}");
                        self.warn(endpoints, "FailedToUpdateEndpointSlices", message);
                    }
                }
            }
            match self.complaints.tell(error.kind.cause(), Instant::now()) {
                Some(more) => tracing::warn!(endpoints = %key, %error, more, "trying again"),
                None => tracing::debug!(endpoints = %key, %error, "trying again"),
            }
        }
    }

    pub(super) fn warn(&self, endpoints: &Endpoints, reason: &'static str, message: String) {
        let object = ObjectReference {
            api_version: "v1",
            kind: Endpoints::RESOURCE.kind,
            namespace: endpoints.key.namespace.to_string(),
            name: endpoints.key.name.to_string(),
            uid: endpoints.uid.to_string(),
        };
        self.recorder.event(object, EventType::Warning, reason, message);
    }
}
