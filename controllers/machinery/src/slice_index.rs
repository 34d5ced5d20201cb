//! The EndpointSlices of one controller, by Service.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use fairlead_objects::{Istr, ObjectKey, Slice};
use hashbrown::hash_table::{Entry, OccupiedEntry};
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::informer::Change;

/// The name of the Service to which a slice of the controller belongs, in the slice's namespace; `None` for
/// slices of others.
pub type ServiceOf = fn(&Slice) -> Option<&Istr>;

/// The slices of one controller, by Service.
pub struct SliceIndex {
    service_of: ServiceOf,
    hasher: DefaultHashBuilder,
    /// By the names of the slices, which these say themselves: most Services have one slice or two, and there are many
    /// Services.
    slices: HashMap<ObjectKey, HashTable<Arc<Slice>>>,
}

impl SliceIndex {
    /// An empty index of the slices for which `service_of` names a Service.
    #[must_use]
    pub fn new(service_of: ServiceOf) -> Self {
        Self { service_of, hasher: DefaultHashBuilder::default(), slices: HashMap::new() }
    }

    /// Takes in a change of a slice and returns the Services whose set of slices it belongs to or left.
    pub fn slice_changed(&mut self, change: &Change<Slice>) -> Vec<ObjectKey> {
        let old = change.old.as_ref().and_then(|slice| self.service_of(slice));
        let new = change.new.as_ref().and_then(|slice| self.service_of(slice));
        if let (Some(service), Some(slice)) = (&old, &change.old)
            && old != new
            && let Some(slices) = self.slices.get_mut(service)
        {
            let name = &slice.key.name;
            let found = slices.find_entry(self.hasher.hash_one(name), |known| known.key.name == *name);
            drop(found.map(OccupiedEntry::remove));
            if slices.is_empty() {
                self.slices.remove(service);
            }
        }
        if let (Some(service), Some(slice)) = (&new, &change.new) {
            let slices = self.slices.entry(service.clone()).or_default();
            let hash = |slice: &Arc<Slice>| self.hasher.hash_one(&slice.key.name);
            let is_it = |known: &Arc<Slice>| known.key.name == slice.key.name;
            match slices.entry(hash(slice), is_it, hash) {
                Entry::Occupied(mut entry) => *entry.get_mut() = Arc::clone(slice),
                Entry::Vacant(entry) => drop(entry.insert(Arc::clone(slice))),
            }
        }
        let mut services: Vec<_> = old.into_iter().chain(new).collect();
        services.dedup();
        services
    }

    /// Has the Service any slices?
    #[must_use]
    pub fn has_slices(&self, service: &ObjectKey) -> bool {
        self.slices.contains_key(service)
    }

    /// The Services that have slices, in no order.
    pub fn services(&self) -> impl Iterator<Item = &ObjectKey> {
        self.slices.keys()
    }

    /// The slices of a Service, in no order.
    #[must_use]
    pub fn slices_of(&self, service: &ObjectKey) -> Vec<Arc<Slice>> {
        self.slices.get(service).map(|slices| slices.iter().cloned().collect()).unwrap_or_default()
    }

    /// A slice of a Service.
    #[must_use]
    pub fn slice_of(&self, service: &ObjectKey, name: &Istr) -> Option<Arc<Slice>> {
        let slices = self.slices.get(service)?;
        slices.find(self.hasher.hash_one(name), |slice| slice.key.name == *name).cloned()
    }

    fn service_of(&self, slice: &Slice) -> Option<ObjectKey> {
        let name = (self.service_of)(slice)?.clone();
        Some(ObjectKey { namespace: slice.key.namespace.clone(), name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(name: &str, manager: &str, service: &str) -> Arc<Slice> {
        let json = serde_json::json!({"metadata": {"namespace": "n", "name": name,
            "labels": {"manager": manager, "service": service}}, "addressType": "IPv4", "endpoints": []});
        Arc::new(serde_json::from_value(json).unwrap())
    }

    fn ours(slice: &Slice) -> Option<&Istr> {
        slice.labels.get("manager").filter(|manager| *manager == "us")?;
        slice.labels.get("service")
    }

    #[test]
    fn slices_are_found_by_manager_and_service() {
        let mut index = SliceIndex::new(ours);
        let web = ObjectKey::new("n", "web");
        let first = slice("a", "us", "web");
        assert_eq!(
            index.slice_changed(&Change { old: None, new: Some(Arc::clone(&first)) }),
            std::slice::from_ref(&web)
        );
        assert!(index.slice_changed(&Change { old: None, new: Some(slice("b", "them", "web")) }).is_empty());
        assert_eq!(index.slices_of(&web).len(), 1);
        assert!(index.slice_of(&web, &"a".into()).is_some_and(|found| Arc::ptr_eq(&found, &first)));
        assert!(index.slice_of(&web, &"b".into()).is_none());
        assert_eq!(index.services().collect::<Vec<_>>(), [&web]);
        index.slice_changed(&Change { old: Some(first), new: None });
        assert!(!index.has_slices(&web) && index.services().next().is_none());
    }

    #[test]
    fn a_slice_that_moves_concerns_both_services() {
        let mut index = SliceIndex::new(ours);
        let (before, after) = (slice("a", "us", "web"), slice("a", "us", "api"));
        index.slice_changed(&Change { old: None, new: Some(Arc::clone(&before)) });
        let moved = index.slice_changed(&Change { old: Some(before), new: Some(Arc::clone(&after)) });
        assert_eq!(moved, [ObjectKey::new("n", "web"), ObjectKey::new("n", "api")]);
        assert!(index.slices_of(&ObjectKey::new("n", "web")).is_empty());
        let taken = index.slice_changed(&Change { old: Some(after), new: Some(slice("a", "them", "api")) });
        assert_eq!(taken, [ObjectKey::new("n", "api")]);
        assert!(index.slices_of(&ObjectKey::new("n", "api")).is_empty());
    }
}
