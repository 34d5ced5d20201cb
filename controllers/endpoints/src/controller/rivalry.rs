//! Others who keep changing the Endpoints of a Service.

use std::time::Duration;

use fairlead_discovery::names::OVER_CAPACITY;
use fairlead_machinery::events::EventType;
use fairlead_machinery::rivals::{Deed, PendingRevert, Words};
use fairlead_objects::{Endpoints, ObjectKey, Service};

use super::Controller;
use crate::dirty::{Dirty, Seen};
use crate::{Action, Desired, Memory};

pub(super) const WORDS: Words = Words {
    objects: "the Endpoints of the Service",
    kind: "Endpoints",
    still: "changes of Pods are still published",
    instead: ", or take the selector away from the Service to maintain its Endpoints by hand",
};

/// Does the change leave alone everything that a plan looks at? Annotations of others do not count.
pub(super) fn is_immaterial(old: &Endpoints, new: &Endpoints) -> bool {
    old.uid == new.uid
        && old.labels == new.labels
        && old.terminating == new.terminating
        && old.annotations.get(OVER_CAPACITY) == new.annotations.get(OVER_CAPACITY)
        && old.subsets == new.subsets
}

impl Controller {
    /// Others changed the object. Returns how long to wait before looking at it.
    pub(super) fn others_changed(&self, key: &ObjectKey, seen: &Seen) -> Duration {
        let name = key.name.clone();
        let deed = match seen {
            Seen::Stored(_) => Deed::Changed(name),
            Seen::Deleted(_) => Deed::Deleted(name),
        };
        self.rivalry.changed(key, deed)
    }

    /// Looks whether the Service is as it should be, though nothing is known to have changed.
    pub(super) fn recheck(&self, key: ObjectKey) {
        let hold = self.rivalry.hold(&key);
        self.queue.add_after(key, Dirty::recheck(), hold);
    }

    /// A plan was made for this reason and is about to be written. Does it put back what others changed?
    pub(super) async fn foresee_revert(
        &self,
        key: &ObjectKey,
        dirty: &Dirty,
        action: Option<&Action>,
        memory: &Memory,
    ) -> Option<PendingRevert> {
        let repair = !dirty.is_called_for();
        let puts_back = |deed: &Deed| match action {
            None => false,
            Some(Action::Create(_)) => true,
            // The object is always written as a whole. If it is not as it was left, what others did to it goes.
            Some(Action::Update { current, .. }) => {
                repair || (matches!(deed, Deed::Changed(_)) && !memory.was_right_at(&current.version))
            }
        };
        self.rivalry.foresee(&self.writer, key, repair, puts_back).await
    }

    /// The plan was written.
    pub(super) fn reverted(&self, service: &Service, pending: Option<PendingRevert>) {
        if let Some(message) = self.rivalry.reverted(&service.key, pending) {
            self.tell_of_rival(service, message);
        }
    }

    /// Looks at the answer to a write: if it is not what was sent, nothing is gained by sending it again at once.
    pub(super) fn check_answer(&self, sent: &Desired, answer: &Endpoints) {
        if sent.is_met_by(answer) {
            return;
        }
        let key = &sent.key;
        let (wait, message) = self.rivalry.altered(key, &key.name);
        self.queue.add_after(key.clone(), Dirty::recheck(), wait);
        if let (Some(message), Some(service)) = (message, self.services.get(key)) {
            self.tell_of_rival(&service, message);
        }
    }

    fn tell_of_rival(&self, service: &Service, message: String) {
        tracing::warn!(service = %service.key, "{message}");
        self.tell(service, EventType::Warning, "EndpointsContested", message);
    }
}
