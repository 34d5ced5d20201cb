//! The addresses that are known, found by what their objects say.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use fairlead_layer2::ClassId;
use hashbrown::HashTable;

use crate::facts::Address;

/// An address that is to be answered for.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) object: Arc<Address>,
    pub(super) class: ClassId,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    hasher: RandomState,
    table: HashTable<Known>,
}

impl Addresses {
    pub(super) fn get(&self, address: IpAddr) -> Option<&Known> {
        self.table.find(self.hasher.hash_one(address), |known| known.object.address == address)
    }

    pub(super) fn get_mut(&mut self, address: IpAddr) -> Option<&mut Known> {
        self.table.find_mut(self.hasher.hash_one(address), |known| known.object.address == address)
    }

    /// What was known of the same address before.
    pub(super) fn insert(&mut self, known: Known) -> Option<Known> {
        if let Some(before) = self.get_mut(known.object.address) {
            return Some(std::mem::replace(before, known));
        }
        let hash = |known: &Known| self.hasher.hash_one(known.object.address);
        self.table.insert_unique(hash(&known), known, hash);
        None
    }

    pub(super) fn remove(&mut self, address: IpAddr) -> Option<Known> {
        let hash = self.hasher.hash_one(address);
        let entry = self.table.find_entry(hash, |known| known.object.address == address).ok()?;
        Some(entry.remove().0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = IpAddr> {
        self.table.iter().map(|known| known.object.address)
    }
}
