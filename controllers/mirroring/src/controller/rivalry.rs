//! Others who keep changing the slices of Endpoints.

use std::time::Duration;

use fairlead_machinery::own_writes::Seen;
use fairlead_machinery::rivals::{Deed, PendingRevert, Words};
use fairlead_objects::{Endpoints, ObjectKey, Slice};

use super::Controller;
use crate::Action;
use crate::dirty::Dirty;

pub(super) const WORDS: Words = Words {
    objects: "EndpointSlices that mirror the Endpoints",
    kind: "EndpointSlices",
    still: "changes of the Endpoints are still mirrored",
    instead: ", or give it EndpointSlices of its own with another endpointslice.kubernetes.io/managed-by label",
};

impl Controller {
    /// Others changed a slice. Returns how long to wait before looking at it.
    pub(super) fn others_changed(&self, key: &ObjectKey, seen: &Seen) -> Duration {
        self.rivalry.changed(key, seen.into())
    }

    /// Looks whether the slices are as they should be, though nothing is known to have changed.
    pub(super) fn recheck(&self, key: ObjectKey) {
        let hold = self.rivalry.hold(&key);
        self.queue.add_after(key, Dirty::recheck(), hold);
    }

    /// A plan was made for this reason and is about to be written. Does it put back what others changed?
    pub(super) async fn foresee_revert(
        &self,
        key: &ObjectKey,
        dirty: &Dirty,
        actions: &[Action],
    ) -> Option<PendingRevert> {
        let repair = !dirty.is_called_for();
        let puts_back = |deed: &Deed| {
            if repair { !actions.is_empty() } else { self.puts_back(key, deed, actions) }
        };
        self.rivalry.foresee(&self.writer, key, repair, puts_back).await
    }

    /// Do the writes, which something else called for, undo this as well?
    fn puts_back(&self, key: &ObjectKey, deed: &Deed, actions: &[Action]) -> bool {
        let creates = || actions.iter().any(|action| matches!(action, Action::Create(_)));
        match deed {
            Deed::Deleted(_) => creates(),
            // Taken away from the Endpoints.
            Deed::Changed(name) if self.index.lock().slice_of(key, name).is_none() => creates(),
            Deed::Changed(name) => actions.iter().any(|action| match action {
                Action::Create(_) => false,
                Action::Update { current: slice, .. } | Action::Empty(slice) | Action::Delete(slice) => {
                    slice.key.name == *name
                }
            }),
            // Each answer that is altered was counted.
            Deed::Altered(_) => false,
        }
    }

    /// The plan was written.
    pub(super) fn reverted(&self, endpoints: &Endpoints, pending: Option<PendingRevert>) {
        if let Some(message) = self.rivalry.reverted(&endpoints.key, pending) {
            self.tell_of_rival(endpoints, message);
        }
    }

    /// What was stored is not what was sent: nothing is gained by sending it again at once. (Where it is not even ours,
    /// the write failed, and that is for the retry.)
    pub(super) fn altered(&self, key: &ObjectKey, answer: &Slice, is_ours: bool) {
        let (wait, message) = self.rivalry.altered(key, &answer.key.name);
        if is_ours {
            self.queue.add_after(key.clone(), Dirty::recheck(), wait);
        }
        if let (Some(message), Some(endpoints)) = (message, self.endpoints.get(key)) {
            self.tell_of_rival(&endpoints, message);
        }
    }

    fn tell_of_rival(&self, endpoints: &Endpoints, message: String) {
        tracing::warn!(endpoints = %endpoints.key, "{message}");
        self.warn(endpoints, "EndpointSlicesContested", message);
    }
}
