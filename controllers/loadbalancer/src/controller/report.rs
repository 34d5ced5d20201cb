//! What people are told: events and log lines.

use fairlead_machinery::events::{EventType, ObjectReference};
use fairlead_machinery::write::WriteFailure;
use fairlead_objects::{ObjectKey, Record, Service};

use super::Controller;
use super::apply::Stop;
use crate::action::{Event, Standing};

impl Controller {
    /// Tells of a change, at the Service.
    pub(super) fn tell(&self, service: &Service, event: &Event) {
        let kind = if event.warning { EventType::Warning } else { EventType::Normal };
        self.recorder.event(reference(service), kind, event.reason.as_str(), event.message.clone());
    }

    /// A round ended before its time.
    pub(super) fn report_stop(&self, key: &ObjectKey, stop: &Stop) {
        let Stop::Failed(error) = stop else {
            tracing::debug!(%key, "planning again");
            return;
        };
        match &error.kind {
            // The cache follows by itself, and who may not write need not explain itself.
            WriteFailure::Conflict(_) | WriteFailure::NotPermitted => {
                tracing::debug!(%key, %error, "planning again");
                return;
            }
            // A person must act, and may look at the Service first.
            WriteFailure::Refused(_) => {
                if let Some(service) = self.services.newest(key) {
                    let message = format!("The load-balancer address cannot be written: {error}");
                    self.recorder.event(reference(&service), EventType::Warning, "FailedToAssign", message);
                }
            }
            _ => {}
        }
        self.complaints.trying_again(key, error);
    }

    /// How a Service stands after a round.
    pub(super) fn stands(&self, key: &ObjectKey, standing: Standing) {
        if matches!(standing, Standing::NotOurs | Standing::LeftAlone) {
            self.not_waiting(key);
        }
        self.metrics.stands(key, standing);
    }
}

fn reference(service: &Service) -> ObjectReference {
    ObjectReference {
        api_version: "v1",
        kind: Service::RESOURCE.kind,
        namespace: service.key.namespace.to_string(),
        name: service.key.name.to_string(),
        uid: service.uid.to_string(),
    }
}
