//! Does the API server store what it is sent? Admission webhooks and policies may change it on the way.

use std::collections::BTreeSet;

use fairlead_discovery::labels::labels_differ;
use fairlead_objects::{Endpoint, Istr, Slice};

use crate::action::{DesiredEndpoint, DesiredSlice};
use crate::facts::service_of;
use crate::identity::{conditions_of, pod_of, stands_for};

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

    /// Does this change anything about `current` but the endpoints of these Pods?
    pub(crate) fn changes_more_than(&self, current: &Slice, pods: &BTreeSet<Istr>) -> bool {
        let namespace = &self.envelope.namespace;
        let is_other = |pod: Option<&Istr>| pod.is_none_or(|pod| !pods.contains(pod));
        let mut stored = current.endpoints.iter().filter(|it| is_other(pod_of(it, namespace)));
        let mut sent = self.endpoints.iter().filter(|it| is_other(Some(&it.pod)));
        let endpoints_differ = loop {
            match (stored.next(), sent.next()) {
                (None, None) => break false,
                (Some(stored), Some(sent)) if !sent.is_altered(stored) => {}
                _ => break true,
            }
        };
        endpoints_differ
            || labels_differ(&current.labels, &self.envelope.labels)
            || service_of(current) != Some(&self.envelope.service)
            || current.ports != self.ports
    }
}

impl DesiredEndpoint {
    fn is_altered(&self, stored: &Endpoint) -> bool {
        let text = |text: &Option<Istr>| text.clone().filter(|it| !it.is_empty());
        stored.addresses != self.addresses
            || stored.conditions != conditions_of(self.readiness)
            || text(&stored.hostname) != text(&self.hostname)
            || stored.node != self.node
            || stored.zone != self.zone
            || !stands_for(stored, &self.pod, &self.pod_uid)
    }
}
