//! Which endpoint goes into which slice, for one family and one set of ports.
//!
//! Endpoints stay where they are. New ones first fill slices that are written anyway, then go together into one
//! slice that has room for all of them, then into new slices. Slices are never merged, split or balanced: few
//! writes are worth more than few slices, because every node of the cluster watches them (KEP-752).

use std::num::NonZeroUsize;
use std::sync::Arc;

use fairlead_discovery::labels::labels_differ;
use fairlead_objects::{Hints, Istr, Labels, Slice};

use crate::action::DesiredEndpoint;
use crate::desired::{Wanted, WantedSet};
use crate::identity::{is_same, needs_rewrite, pod_of};
use crate::recycling::Homes;

/// What becomes of the slices of one family and one set of ports. No endpoint has hints yet.
#[derive(Default)]
pub(crate) struct Packing<'p> {
    /// Contents of new slices.
    pub(crate) creates: Vec<Vec<DesiredEndpoint>>,
    /// Slices with their new contents.
    pub(crate) updates: Vec<(Arc<Slice>, Vec<DesiredEndpoint>)>,
    /// Slices in which nothing is left.
    pub(crate) deletes: Vec<Arc<Slice>>,
    /// Slices that need not be written, in the order of `existing`.
    pub(crate) unchanged: Vec<Draft<'p>>,
    /// Where the new endpoints went for which slices that are written anyway had no room, but for whole slices full.
    pub(crate) overflow: Option<Overflow>,
    /// Number of endpoints that were in no slice.
    pub(crate) added: usize,
    /// Number of endpoints that were taken out of slices.
    pub(crate) removed: usize,
}

/// New endpoints that went together into one slice, which would else not have been written.
pub(crate) struct Overflow {
    /// How many.
    pub(crate) endpoints: usize,
    /// The slice; `None` if a new one was made because none had room for all of them.
    pub(crate) slice: Option<Istr>,
}

/// An existing slice on the way to what it will be.
pub(crate) struct Draft<'p> {
    pub(crate) slice: &'p Arc<Slice>,
    /// What it will hold.
    endpoints: Vec<&'p Wanted<'p>>,
    /// Is one of them to be written anew?
    changed: bool,
}

impl<'p> Draft<'p> {
    /// What is left of a slice: the endpoints that are still wanted and that no earlier slice has (`placed`).
    /// A slice is never cut to the capacity, so one that was filled under a larger one keeps what it has.
    fn of(slice: &'p Arc<Slice>, set: &'p WantedSet<'_>, placed: &mut [bool]) -> Self {
        let mut draft = Self { slice, endpoints: Vec::with_capacity(slice.endpoints.len()), changed: false };
        for existing in &slice.endpoints {
            let Some(at) = pod_of(existing, &slice.key.namespace).and_then(|pod| set.position(pod)) else {
                continue;
            };
            let wanted = &set.wanted[at];
            if placed[at] || !is_same(existing, wanted) {
                continue;
            }
            placed[at] = true;
            draft.changed |= needs_rewrite(existing, wanted);
            draft.endpoints.push(wanted);
        }
        draft
    }

    fn removed(&self) -> usize {
        self.slice.endpoints.len() - self.endpoints.len()
    }

    fn finish(&self) -> (Arc<Slice>, Vec<DesiredEndpoint>) {
        let endpoints = self.endpoints.iter().map(|wanted| wanted.endpoint(None)).collect();
        (Arc::clone(self.slice), endpoints)
    }

    /// The endpoints with these hints, one for each.
    pub(crate) fn with_hints(&self, hints: Vec<Option<Arc<Hints>>>) -> Vec<DesiredEndpoint> {
        self.endpoints.iter().zip(hints).map(|(wanted, hints)| wanted.endpoint(hints)).collect()
    }
}

/// Distributes the wanted endpoints over the `existing` slices of their family and ports and over new ones of
/// at most `capacity` endpoints. `labels` are those of the Service. New endpoints are taken in the order of their
/// `homes`, and within these by name.
pub(crate) fn pack<'p>(
    existing: &[&'p Arc<Slice>],
    set: &'p WantedSet<'_>,
    labels: &Labels,
    capacity: NonZeroUsize,
    homes: &Homes<'_>,
) -> Packing<'p> {
    let capacity = capacity.get();
    let mut packing = Packing::default();
    let mut placed = vec![false; set.wanted.len()];
    let (mut updates, mut unchanged) = (Vec::new(), Vec::new());
    for slice in existing {
        let draft = Draft::of(slice, set, &mut placed);
        packing.removed += draft.removed();
        if draft.removed() > 0 && draft.endpoints.is_empty() {
            packing.deletes.push(Arc::clone(slice));
        } else if draft.removed() > 0 || draft.changed || labels_differ(&slice.labels, labels) {
            updates.push(draft);
        } else {
            unchanged.push(draft);
        }
    }

    let mut new: Vec<_> =
        set.wanted.iter().zip(&placed).filter(|(_, placed)| !**placed).map(|(wanted, _)| wanted).collect();
    new.sort_unstable_by_key(|wanted| {
        let pod = &wanted.candidate.pod.key.name;
        (homes.of(pod), pod)
    });
    packing.added = new.len();
    let mut new = new.into_iter();

    updates.sort_by_key(|draft| std::cmp::Reverse(draft.endpoints.len()));
    for draft in &mut updates {
        let room = capacity.saturating_sub(draft.endpoints.len());
        draft.endpoints.extend(new.by_ref().take(room));
    }
    while new.len() > 0 {
        let fit = best_fit(&unchanged, new.len(), capacity);
        if new.len() < capacity {
            let slice = fit.map(|at| unchanged[at].slice.key.name.clone());
            packing.overflow = Some(Overflow { endpoints: new.len(), slice });
        }
        if let Some(at) = fit {
            let mut draft = unchanged.remove(at);
            draft.endpoints.extend(new.by_ref());
            updates.push(draft);
        } else {
            packing.creates.push(new.by_ref().take(capacity).map(|wanted| wanted.endpoint(None)).collect());
        }
    }
    packing.updates = updates.iter().map(Draft::finish).collect();
    packing.unchanged = unchanged;
    packing
}

/// The slice in which all `new` endpoints find room and the least room remains. A full slice's worth of
/// endpoints always gets a slice of its own.
fn best_fit(unchanged: &[Draft<'_>], new: usize, capacity: usize) -> Option<usize> {
    let rest = |draft: &Draft<'_>| capacity.checked_sub(draft.endpoints.len() + new);
    unchanged
        .iter()
        .enumerate()
        .filter_map(|(at, draft)| Some((rest(draft)?, at)))
        .min()
        .filter(|_| new < capacity)
        .map(|(_, at)| at)
}
