//! The objects, and every change that ever happened to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use crate::kinds::Kind;

/// Namespace, empty for objects outside of namespaces, and name.
pub type Key = (String, String);

/// Who made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// A client, by a request.
    Client,
    /// The test, or the server itself.
    World,
}

/// A change of one object.
#[derive(Clone, Debug)]
pub struct Event {
    /// The version that it made.
    pub version: u64,
    /// Kind of the object.
    pub kind: &'static Kind,
    /// Namespace and name of the object.
    pub key: Key,
    /// The object before.
    pub old: Option<Arc<Value>>,
    /// The object after.
    pub new: Option<Arc<Value>>,
    /// When.
    pub at: Instant,
    /// Who made it.
    pub author: Author,
}

pub(crate) struct Store {
    objects: BTreeMap<(&'static str, Key), Arc<Value>>,
    /// In the order of their versions, which count from 1. Nothing is ever dropped: compaction moves a mark.
    log: Vec<Event>,
    compacted: u64,
    version: u64,
}

impl Store {
    pub(crate) fn new() -> Self {
        // Real servers have a past, too; 0 means "any version" in requests.
        Self { objects: BTreeMap::new(), log: Vec::new(), compacted: 0, version: 1 }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn compacted(&self) -> u64 {
        self.compacted
    }

    /// Forgets what happened up to now.
    pub(crate) fn compact(&mut self) {
        self.compacted = self.version;
    }

    pub(crate) fn get(&self, kind: &'static Kind, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(&(kind.plural, key.clone())).cloned()
    }

    /// Stores a new state, or removes the object, under the next version. Returns what was stored, or the last
    /// state with the version of its removal.
    pub(crate) fn commit(
        &mut self,
        kind: &'static Kind,
        key: Key,
        new: Option<Value>,
        author: Author,
    ) -> Arc<Value> {
        self.version += 1;
        let place = (kind.plural, key.clone());
        let old = self.objects.get(&place).cloned();
        let new = new.map(|object| Arc::new(with_version(object, self.version)));
        match &new {
            Some(object) => self.objects.insert(place, Arc::clone(object)),
            None => self.objects.remove(&place),
        };
        let answer = match (&new, &old) {
            (Some(object), _) => Arc::clone(object),
            (None, Some(object)) => Arc::new(with_version((**object).clone(), self.version)),
            (None, None) => Arc::new(Value::Null),
        };
        self.log.push(Event { version: self.version, kind, key, old, new, at: Instant::now(), author });
        answer
    }

    /// All objects of a kind, by namespace and name.
    pub(crate) fn list(&self, kind: &'static Kind) -> BTreeMap<Key, Arc<Value>> {
        let of_kind = self.objects.iter().filter(|((plural, _), _)| *plural == kind.plural);
        of_kind.map(|((_, key), object)| (key.clone(), Arc::clone(object))).collect()
    }

    /// All objects of a kind as they were at an earlier version.
    pub(crate) fn list_at(&self, kind: &'static Kind, version: u64) -> BTreeMap<Key, Arc<Value>> {
        let mut objects = self.list(kind);
        let later = self.after(version).iter().rev().filter(|event| event.kind == kind);
        for Event { key, old, .. } in later {
            match old {
                Some(object) => objects.insert(key.clone(), Arc::clone(object)),
                None => objects.remove(key),
            };
        }
        objects
    }

    /// What happened after a version.
    pub(crate) fn after(&self, version: u64) -> &[Event] {
        &self.log[self.log.partition_point(|event| event.version <= version)..]
    }

    /// The version that was the newest at an earlier time.
    pub(crate) fn version_at(&self, time: Instant) -> u64 {
        let at = self.log.partition_point(|event| event.at <= time);
        at.checked_sub(1).map_or(1, |at| self.log[at].version)
    }
}

pub(crate) fn with_version(mut object: Value, version: u64) -> Value {
    object["metadata"]["resourceVersion"] = version.to_string().into();
    object
}
