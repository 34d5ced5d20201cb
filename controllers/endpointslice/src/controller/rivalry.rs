//! Others who keep changing the slices of a Service.

use std::time::Duration;

use fairlead_machinery::events::EventType;
use fairlead_machinery::own_writes::Seen;
use fairlead_machinery::rivals::{Deed, PendingRevert, Words};
use fairlead_objects::{ObjectKey, Service, Slice};

use super::Controller;
use crate::action::DesiredSlice;
use crate::dirty::{Dirty, Extent};
use crate::{Action, service_of};

pub(super) const WORDS: Words = Words {
    objects: "EndpointSlices of the Service",
    kind: "EndpointSlices",
    still: "changes of Pods are still published",
    instead: ", or give it EndpointSlices of its own with another endpointslice.kubernetes.io/managed-by label",
};

impl Controller {
    /// Others changed a slice of the Service. Returns how long to wait before looking at it.
    pub(super) fn others_changed(&self, service: &ObjectKey, seen: &Seen) -> Duration {
        self.rivalry.changed(service, seen.into())
    }

    /// Looks whether the Service is as it should be, though nothing is known to have changed.
    pub(super) fn recheck(&self, service: ObjectKey) {
        let hold = self.rivalry.hold(&service);
        self.queue.add_after(service, Dirty::RECHECK, hold);
    }

    /// A plan of the whole Service was made for this reason and is about to be written. Does it put back what others
    /// changed?
    pub(super) async fn foresee_revert(
        &self,
        key: &ObjectKey,
        dirty: &Dirty,
        actions: &[Action],
    ) -> Option<PendingRevert> {
        let repair = !dirty.is_called_for();
        let puts_back = |deed: &Deed| {
            if repair { !actions.is_empty() } else { self.puts_back(key, deed, dirty, actions) }
        };
        self.rivalry.foresee(&self.writer, key, repair, puts_back).await
    }

    /// Do the writes, which something else called for, undo this as well?
    fn puts_back(&self, key: &ObjectKey, deed: &Deed, dirty: &Dirty, actions: &[Action]) -> bool {
        let replaces = || actions.iter().any(|action| !matches!(action, Action::Delete(_)));
        match deed {
            Deed::Deleted(_) => replaces(),
            // Taken away from the Service.
            Deed::Changed(name) if self.index.lock().slice_of(key, name).is_none() => replaces(),
            Deed::Changed(name) => actions.iter().any(|action| match action {
                Action::Create(_) => false,
                Action::Update { current, desired } => {
                    let more = match &dirty.extent {
                        Extent::All => true,
                        Extent::Parts(parts) => desired.changes_more_than(current, &parts.pods),
                    };
                    current.key.name == *name && more
                }
                Action::Delete(slice) => slice.key.name == *name,
            }),
            // Each answer that is altered was counted.
            Deed::Altered(_) => false,
        }
    }

    /// The plan was written.
    pub(super) fn reverted(&self, service: &Service, pending: Option<PendingRevert>) {
        if let Some(message) = self.rivalry.reverted(&service.key, pending) {
            self.tell_of_rival(service, message);
        }
    }

    /// Looks at the answer to a write: if it is not what was sent, nothing is gained by sending it again at once. (Where
    /// it is not even the Service's, the write failed, and that is for the retry.)
    pub(super) fn check_answer(&self, key: &ObjectKey, sent: &DesiredSlice, answer: &Slice) {
        if !sent.is_altered(answer) {
            return;
        }
        let (wait, message) = self.rivalry.altered(key, &answer.key.name);
        if service_of(answer) == Some(&key.name) {
            self.queue.add_after(key.clone(), Dirty::RECHECK, wait);
        }
        if let (Some(message), Some(service)) = (message, self.services.get(key)) {
            self.tell_of_rival(&service, message);
        }
    }

    fn tell_of_rival(&self, service: &Service, message: String) {
        tracing::warn!(service = %service.key, "{message}");
        self.tell(service, EventType::Warning, "EndpointSlicesContested", message);
    }
}
