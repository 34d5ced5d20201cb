//! Slices that are to go are used for endpoints that need new ones: one write in place of two.
//!
//! When ports change, all endpoints move to slices with other ports. A slice becomes the one that has most of its
//! addresses, so that these never leave it. (Upstream pairs slices at random, and where both families are to be created
//! may even try to create a slice under the name of an existing one.)

use std::sync::Arc;

use fairlead_objects::{Addresses, Slice};
use hashbrown::HashMap;

use crate::action::DesiredSlice;

/// Slices to be rewritten, each with its new content.
pub(crate) type Updates = Vec<(Arc<Slice>, DesiredSlice)>;

/// Gives contents of `creates` to slices of `doomed`, all of one family. Returns the updates; what is left stays in the
/// lists.
pub(crate) fn recycle(creates: &mut Vec<DesiredSlice>, doomed: &mut Vec<Arc<Slice>>) -> Updates {
    if creates.is_empty() || doomed.is_empty() {
        return Vec::new();
    }
    let mut contents: Vec<_> = std::mem::take(creates).into_iter().map(Some).collect();
    let mut homes: Vec<_> = std::mem::take(doomed).into_iter().map(Some).collect();
    let mut updates = Vec::new();
    for (content, home) in by_shared_addresses(&contents, &homes) {
        if let (Some(slot), Some(place)) = (contents.get_mut(content), homes.get_mut(home))
            && slot.is_some()
            && let Some(slice) = place.take()
        {
            updates.extend(slot.take().map(|content| (slice, content)));
        }
    }
    // The rest in any order: one write is better than two.
    for slot in &mut contents {
        let Some(home) = homes.iter_mut().find(|home| home.is_some()) else { break };
        if let (Some(content), true) = (slot.take(), home.is_some()) {
            updates.extend(home.take().map(|slice| (slice, content)));
        }
    }
    creates.extend(contents.into_iter().flatten());
    doomed.extend(homes.into_iter().flatten());
    updates
}

/// Pairs of positions that have addresses in common, those with most first.
fn by_shared_addresses(
    contents: &[Option<DesiredSlice>],
    homes: &[Option<Arc<Slice>>],
) -> Vec<(usize, usize)> {
    let mut homes_of: HashMap<&Addresses, Vec<usize>> = HashMap::new();
    for (at, slice) in homes.iter().enumerate() {
        for endpoint in slice.iter().flat_map(|slice| &slice.endpoints) {
            homes_of.entry(&endpoint.addresses).or_default().push(at);
        }
    }
    let mut shared: HashMap<(usize, usize), usize> = HashMap::new();
    for (at, content) in contents.iter().enumerate() {
        for endpoint in content.iter().flat_map(|content| &content.endpoints) {
            for home in homes_of.get(&endpoint.addresses).into_iter().flatten() {
                *shared.entry((at, *home)).or_default() += 1;
            }
        }
    }
    let mut pairs: Vec<_> = shared.into_iter().collect();
    pairs.sort_by(|(one, few), (other, more)| more.cmp(few).then(one.cmp(other)));
    pairs.into_iter().map(|(pair, _)| pair).collect()
}
