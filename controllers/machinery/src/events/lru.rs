//! A map that remembers a bounded number of entries and forgets the least recently used one first.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// See the module. Keys are cloned once per use, so they should be cheap to clone.
pub(super) struct Lru<K, V> {
    capacity: usize,
    /// Grows with every use; in 64 bits it never wraps.
    clock: u64,
    entries: HashMap<K, (u64, V)>,
    by_use: BTreeMap<u64, K>,
}

impl<K: Clone + Eq + Hash, V> Lru<K, V> {
    /// A map for at least one entry.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), clock: 0, entries: HashMap::new(), by_use: BTreeMap::new() }
    }

    /// The entry of `key`, made by `new` if there is none. It becomes the most recently used one; a new one may
    /// push out the least recently used.
    pub(super) fn entry(&mut self, key: &K, new: impl FnOnce() -> V) -> &mut V {
        if self.entries.len() == self.capacity
            && !self.entries.contains_key(key)
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.clock += 1;
        let (used, value) = self.entries.entry(key.clone()).or_insert_with(|| (0, new()));
        // A new entry says 0, which no use ever had.
        self.by_use.remove(used);
        *used = self.clock;
        self.by_use.insert(self.clock, key.clone());
        value
    }

    /// Forgets the entry of `key`.
    pub(super) fn remove(&mut self, key: &K) {
        if let Some((used, _)) = self.entries.remove(key) {
            self.by_use.remove(&used);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the plain list that it stands for.
        #[test]
        fn behaves_like_a_list_ordered_by_use(
            capacity in 0_usize..6,
            steps in prop::collection::vec((0_u8..8, any::<bool>()), 0..60),
        ) {
            let mut lru = Lru::new(capacity);
            let mut model: Vec<(u8, usize)> = Vec::new();
            for (step, (key, remove)) in steps.into_iter().enumerate() {
                let found = model.iter().position(|(known, _)| *known == key).map(|at| model.remove(at));
                if remove {
                    lru.remove(&key);
                } else {
                    let expected = found.unwrap_or((key, step));
                    model.push(expected);
                    if model.len() > capacity.max(1) {
                        model.remove(0);
                    }
                    prop_assert_eq!(*lru.entry(&key, || step), expected.1);
                }
                prop_assert_eq!(lru.entries.len(), model.len());
                prop_assert_eq!(lru.by_use.values().copied().collect::<Vec<_>>(),
                    model.iter().map(|(key, _)| *key).collect::<Vec<_>>());
            }
        }
    }
}
