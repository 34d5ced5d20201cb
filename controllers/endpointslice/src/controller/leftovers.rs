//! Services that have no slices of this controller any more.

use std::collections::HashMap;
use std::sync::Arc;

use fairlead_machinery::events::EventType;
use fairlead_machinery::metrics::{constant, register};
use fairlead_machinery::worker::Outcome;
use fairlead_objects::{ObjectKey, Service};
use parking_lot::Mutex;
use prometheus::{IntGauge, Opts, Registry};

use super::Controller;
use crate::dirty::Dirty;
use crate::metrics::SyncResult;
use crate::{Leftovers, Memory};

/// The slices that nobody maintains, counted.
pub(super) struct Left {
    /// By Service; no count is zero.
    counts: Mutex<HashMap<ObjectKey, usize>>,
    slices: IntGauge,
}

impl Left {
    pub(super) fn new(registry: &Registry) -> Self {
        let opts = Opts::new(
            "fairlead_leftover_slices",
            "Number of EndpointSlices that nobody maintains any more, because their Service lost its selector or \
             became an ExternalName.",
        );
        Self { counts: Mutex::default(), slices: register(registry, constant(IntGauge::with_opts(opts))) }
    }

    /// The Service has so many now.
    pub(super) fn count(&self, service: &ObjectKey, slices: usize) {
        let mut counts = self.counts.lock();
        let before = match slices {
            0 => counts.remove(service),
            _ => counts.insert(service.clone(), slices),
        };
        let integer = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.slices.add(integer(slices) - integer(before.unwrap_or_default()));
    }
}

impl Controller {
    /// Leaves the slices of a Service that has no selector, or deletes them if that is wanted, and tells people when it
    /// happens. `None`: the Service has one, and is to be planned.
    pub(super) async fn leave(&self, service: &Arc<Service>) -> Option<Outcome<Dirty>> {
        let key = &service.key;
        let Some(leftovers) = Leftovers::of(service, &self.slices_of(key)) else {
            self.left.count(key, 0);
            return None;
        };
        // A memory means that this process planned the Service when it had a selector.
        let observed = self.memories.lock().get(key).is_some_and(Memory::had_slices);
        let actions = leftovers.actions(observed, self.settings.prune_leftovers);
        let pruned = actions.len();
        if pruned > 0 && !self.writer.may_write() {
            return Some(Outcome::Park(Dirty::ALL));
        }
        let (_, errors) = self.apply(key, actions, &[]).await;
        if !errors.is_empty() {
            self.report_errors(service, &errors);
            return Some(errors.again(Dirty::ALL));
        }
        if pruned > 0 {
            let message = format!(
                "Deleted {pruned} EndpointSlices that the Service left behind when it lost its selector or became an \
                 ExternalName (--prune-leftovers)"
            );
            self.tell(service, EventType::Normal, "EndpointSlicesPruned", message);
        } else if observed && !leftovers.slices.is_empty() {
            self.tell(service, EventType::Warning, "EndpointSlicesLeftBehind", leftovers.to_string());
        } else {
            tracing::debug!(service = %key, slices = leftovers.slices.len(), "not maintained");
        }
        self.left.count(key, leftovers.slices.len() - pruned);
        if let Some(memory) = self.memories.lock().get_mut(key) {
            memory.left();
        }
        self.hints.lock().forget(key);
        self.metrics.forget_service(key);
        self.nodeless.lock().remove(key);
        self.rivalry.forget(key);
        self.metrics.synced(SyncResult::Success);
        Some(Outcome::Done)
    }
}
