//! Does the API server store what it is sent? Admission webhooks and policies may change it on the way.

use fairlead_discovery::labels::labels_differ;
use fairlead_objects::{Conditions, Endpoint, Istr, Slice, TargetRef};

use crate::action::{DesiredEndpoint, DesiredSlice};
use crate::facts::service_of;

impl DesiredSlice {
    /// Is `answer`, to a write of this slice, anything else in what a plan looks at? Hints do not count: an API server
    /// that does not know a kind of them drops it, and is no rival.
    pub(crate) fn is_altered(&self, answer: &Slice) -> bool {
        labels_differ(&answer.labels, &self.envelope.labels)
            || service_of(answer) != Some(&self.envelope.service)
            || answer.ports != self.ports
            || answer.endpoints.len() != self.endpoints.len()
            || answer.endpoints.iter().zip(&self.endpoints).any(|(stored, sent)| sent.is_altered(stored))
    }
}

impl DesiredEndpoint {
    fn is_altered(&self, stored: &Endpoint) -> bool {
        let text = |text: &Option<Istr>| text.clone().filter(|it| !it.is_empty());
        let conditions = Conditions {
            ready: Some(self.readiness.ready),
            serving: Some(self.readiness.serving),
            terminating: Some(self.readiness.terminating),
        };
        let is_target = matches!(&stored.target, Some(TargetRef::Pod { name, uid })
            if *name == self.pod && *uid == self.pod_uid);
        stored.addresses != self.addresses
            || stored.conditions != conditions
            || text(&stored.hostname) != text(&self.hostname)
            || stored.node != self.node
            || stored.zone != self.zone
            || !is_target
    }
}
