//! The records of a store by their keys. A record has its key, so there is no second one beside it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use fairlead_objects::{ObjectKey, Record};
use hashbrown::HashTable;

/// A record of the store.
pub(super) struct Entry<R> {
    pub(super) record: Arc<R>,
    /// The list that last named the object, or in which it appeared.
    pub(super) list: u32,
}

/// All records, one for each key.
pub(super) struct Entries<R> {
    hasher: RandomState,
    table: HashTable<Entry<R>>,
}

impl<R> Default for Entries<R> {
    fn default() -> Self {
        Self { hasher: RandomState::new(), table: HashTable::new() }
    }
}

impl<R: Record> Entries<R> {
    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Arc<R>> {
        let entry = self.table.find(self.hasher.hash_one(key), |entry| entry.record.key() == key)?;
        Some(&entry.record)
    }

    pub(super) fn get_mut(&mut self, key: &ObjectKey) -> Option<&mut Entry<R>> {
        self.table.find_mut(self.hasher.hash_one(key), |entry| entry.record.key() == key)
    }

    /// Adds a record whose key none has.
    pub(super) fn add(&mut self, entry: Entry<R>) {
        let hash = |entry: &Entry<R>| self.hasher.hash_one(entry.record.key());
        self.table.insert_unique(hash(&entry), entry, hash);
    }

    pub(super) fn remove(&mut self, key: &ObjectKey) -> Option<Arc<R>> {
        let hash = self.hasher.hash_one(key);
        let entry = self.table.find_entry(hash, |entry| entry.record.key() == key).ok()?;
        Some(entry.remove().0.record)
    }

    /// Removes what other lists named last.
    pub(super) fn sweep(&mut self, list: u32) -> Vec<Arc<R>> {
        let gone: Vec<_> =
            self.table.extract_if(|entry| entry.list != list).map(|entry| entry.record).collect();
        if self.table.len() < self.table.capacity() / 4 {
            self.table.shrink_to_fit(|entry| self.hasher.hash_one(entry.record.key()));
        }
        gone
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Arc<R>> {
        self.table.iter().map(|entry| &entry.record)
    }
}

impl<R> Entries<R> {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}
