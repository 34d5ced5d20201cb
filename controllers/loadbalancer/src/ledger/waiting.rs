//! Which Services wait, and for what.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fairlead_objects::{Istr, ObjectKey};
use hashbrown::HashMap;

/// What a Service may wait for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Topic {
    /// Something is given back to this pool.
    Pool(Istr),
    /// Something becomes of this address.
    Address(IpAddr),
    /// Something becomes of an address that is shared by this key.
    SharingKey(Istr),
}

/// Services that wait, by what they wait for, in the order in which they began to.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    next: u64,
    services: HashMap<ObjectKey, (u64, Vec<Topic>)>,
    by_topic: HashMap<Topic, BTreeMap<u64, ObjectKey>>,
}

impl Waiting {
    /// This Service waits for these now, and for nothing else. It keeps its place in the order if it waited before.
    pub(super) fn set(&mut self, key: &ObjectKey, topics: Vec<Topic>) {
        let place = self.remove(key);
        if topics.is_empty() {
            return;
        }
        let place = place.unwrap_or_else(|| {
            self.next += 1;
            self.next
        });
        for topic in &topics {
            self.by_topic.entry(topic.clone()).or_default().insert(place, key.clone());
        }
        self.services.insert(key.clone(), (place, topics));
    }

    fn remove(&mut self, key: &ObjectKey) -> Option<u64> {
        let (place, topics) = self.services.remove(key)?;
        for topic in topics {
            if let Some(waiting) = self.by_topic.get_mut(&topic) {
                waiting.remove(&place);
                if waiting.is_empty() {
                    self.by_topic.remove(&topic);
                }
            }
        }
        Some(place)
    }

    /// Who waits for this, and since when.
    pub(super) fn on(&self, topic: &Topic) -> impl Iterator<Item = (u64, &ObjectKey)> {
        self.by_topic.get(topic).into_iter().flatten().map(|(place, key)| (*place, key))
    }

    /// Who waits for anything, and since when, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &ObjectKey)> {
        self.services.iter().map(|(key, (place, _))| (*place, key))
    }

    pub(super) fn len(&self) -> usize {
        self.services.len()
    }
}
