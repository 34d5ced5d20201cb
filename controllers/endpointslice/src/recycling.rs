//! Slices that are to go are used for endpoints that need new ones: one write in place of two.
//!
//! When the ports of a Service change, all of its endpoints move to slices with other ports. Upstream gives them to the
//! old slices in any order, so that an endpoint which is ready all the time is in no slice while its old one has been
//! rewritten and its new one has not. Here endpoints are packed in the order of the slices in which they were, and take
//! these over in the same order: an endpoint stays in its slice, or moves to an earlier one to fill it. That one is sent
//! first; as several are on their way at a time, only such an endpoint can be missing, for a moment, and only if the API
//! server stores the later slice first.

use std::sync::Arc;

use fairlead_objects::{Istr, Slice};
use hashbrown::HashMap;

use crate::action::DesiredSlice;
use crate::identity::pods_of;

/// In which of the slices that are to go a Pod has its endpoint.
#[derive(Debug, Default)]
pub(crate) struct Homes<'a>(HashMap<&'a Istr, usize>);

impl<'a> Homes<'a> {
    /// The homes in these slices. A Pod that is in several is at home in the first.
    pub(crate) fn new(doomed: &[&'a Arc<Slice>]) -> Self {
        let mut homes = HashMap::new();
        for (at, slice) in doomed.iter().enumerate() {
            for pod in pods_of(slice) {
                homes.entry(pod).or_insert(at);
            }
        }
        Self(homes)
    }

    /// Position of the slice; Pods without a home come last.
    pub(crate) fn of(&self, pod: &Istr) -> usize {
        self.0.get(pod).copied().unwrap_or(usize::MAX)
    }
}

/// Slices to be rewritten, each with its new content.
pub(crate) type Updates = Vec<(Arc<Slice>, DesiredSlice)>;

/// Gives contents of `creates` to slices of `deletes` that are usable. Returns the updates, in the order of the slices;
/// what is left stays in the lists.
pub(crate) fn recycle(
    creates: &mut Vec<DesiredSlice>,
    deletes: &mut Vec<Arc<Slice>>,
    homes: &Homes<'_>,
    is_usable: impl Fn(&Slice) -> bool,
) -> Updates {
    creates.sort_by_key(|content| content.endpoints.first().map_or(usize::MAX, |first| homes.of(&first.pod)));
    let mut contents = std::mem::take(creates).into_iter();
    let mut updates = Vec::new();
    for doomed in std::mem::take(deletes) {
        let content = if is_usable(&doomed) { contents.next() } else { None };
        match content {
            Some(desired) => updates.push((doomed, desired)),
            None => deletes.push(doomed),
        }
    }
    creates.extend(contents);
    updates
}
