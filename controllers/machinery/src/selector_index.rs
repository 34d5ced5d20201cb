//! Which Pods belong to which Services, kept up to date change by change.
//!
//! Pods of one namespace with equal labels form a *group*; the Pods of a ReplicaSet are one group. Services
//! and groups know each other, so a Pod event looks up its group and has its Services, whatever the number of
//! Services or Pods in the namespace. Only a group that appears for the first time is matched against the
//! Services: each Service is filed under that label of its selector which the fewest other Services are filed
//! under, so a label that all have (`app.kubernetes.io/managed-by=Helm`) is not searched. A new Service in
//! turn finds its groups through the rarest label of its selector.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use fairlead_objects::{Istr, Labels, ObjectKey, Pod, Record};

use crate::informer::Change;

type Pair = (Istr, Istr);

/// Membership of Pods in Services by selector, for all namespaces.
#[derive(Default)]
pub struct SelectorIndex {
    namespaces: HashMap<Istr, Namespace>,
}

#[derive(Default)]
struct Namespace {
    groups: HashMap<Labels, Group>,
    groups_by_pair: HashMap<Pair, HashSet<Labels>>,
    services: HashMap<Istr, Selecting>,
    services_by_anchor: HashMap<Pair, HashSet<Istr>>,
}

#[derive(Default)]
struct Group {
    pods: HashMap<Istr, Arc<Pod>>,
    services: HashSet<Istr>,
}

struct Selecting {
    selector: Labels,
    anchor: Pair,
    groups: HashSet<Labels>,
}

impl SelectorIndex {
    /// Takes in a change of a Pod and returns the Services (of the Pod's namespace) that must look at it:
    /// where only labels changed, those that the Pod left or joined; otherwise those that have or had it.
    pub fn pod_changed(&mut self, change: &Change<Pod>) -> Vec<Concerned> {
        let Some(pod) = change.new.as_ref().or(change.old.as_ref()) else { return Vec::new() };
        let namespace = pod.key().namespace.clone();
        let space = self.namespaces.entry(namespace.clone()).or_default();
        let mut before = HashSet::new();
        if let Some(old) = &change.old {
            before = space.services_of(&old.labels);
            if change.new.as_ref().is_none_or(|new| new.labels != old.labels) {
                space.remove_pod(old);
            }
        }
        let mut after = HashSet::new();
        if let Some(new) = &change.new {
            space.insert_pod(new);
            after = space.services_of(&new.labels);
        }
        if space.is_empty() {
            self.namespaces.remove(&namespace);
        }
        let all = before.union(&after).map(|service| Concerned {
            service: service.clone(),
            had: before.contains(service),
            has: after.contains(service),
        });
        let labels_alone = only_labels_changed(change);
        all.filter(|concerned| !labels_alone || concerned.had != concerned.has).collect()
    }

    /// Takes in what a Service now selects; `None` if it is gone, has no selector or needs no endpoints.
    pub fn service_changed(&mut self, key: &ObjectKey, selector: Option<&Labels>) {
        if selector.is_none() && !self.namespaces.contains_key(&key.namespace) {
            return;
        }
        let space = self.namespaces.entry(key.namespace.clone()).or_default();
        if space.services.get(&key.name).map(|known| &known.selector) != selector {
            space.remove_service(&key.name);
            if let Some(selector) = selector {
                space.insert_service(&key.name, selector);
            }
        }
        if space.is_empty() {
            self.namespaces.remove(&key.namespace);
        }
    }

    /// The Pods of a Service, in no order.
    #[must_use]
    pub fn members(&self, service: &ObjectKey) -> Vec<Arc<Pod>> {
        let Some(space) = self.namespaces.get(&service.namespace) else { return Vec::new() };
        let Some(selecting) = space.services.get(&service.name) else { return Vec::new() };
        selecting
            .groups
            .iter()
            .filter_map(|labels| space.groups.get(labels))
            .flat_map(|group| group.pods.values().cloned())
            .collect()
    }

    /// The Services that have Pods with these labels.
    #[must_use]
    pub fn services_of(&self, namespace: &Istr, labels: &Labels) -> Vec<Istr> {
        self.namespaces
            .get(namespace)
            .and_then(|space| space.groups.get(labels))
            .map(|group| group.services.iter().cloned().collect())
            .unwrap_or_default()
    }
}

/// A Service that a change of a Pod concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concerned {
    /// Its name, in the Pod's namespace.
    pub service: Istr,
    /// Did it select the Pod before?
    pub had: bool,
    /// Does it select the Pod now?
    pub has: bool,
}

fn only_labels_changed(change: &Change<Pod>) -> bool {
    let (Some(old), Some(new)) = (&change.old, &change.new) else { return false };
    old.labels != new.labels && Pod { labels: old.labels.clone(), ..Pod::clone(new) }.same_facts(old)
}

impl Namespace {
    fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.services.is_empty()
    }

    fn services_of(&self, labels: &Labels) -> HashSet<Istr> {
        self.groups.get(labels).map(|group| group.services.clone()).unwrap_or_default()
    }

    fn insert_pod(&mut self, pod: &Arc<Pod>) {
        if !self.groups.contains_key(&pod.labels) {
            self.insert_group(&pod.labels);
        }
        if let Some(group) = self.groups.get_mut(&pod.labels) {
            group.pods.insert(pod.key.name.clone(), Arc::clone(pod));
        }
    }

    fn remove_pod(&mut self, pod: &Pod) {
        let Some(group) = self.groups.get_mut(&pod.labels) else { return };
        group.pods.remove(&pod.key.name);
        if !group.pods.is_empty() {
            return;
        }
        if let Some(group) = self.groups.remove(&pod.labels) {
            for service in &group.services {
                if let Some(selecting) = self.services.get_mut(service) {
                    selecting.groups.remove(&pod.labels);
                }
            }
        }
        for pair in &pod.labels {
            remove_from(&mut self.groups_by_pair, pair, &pod.labels);
        }
    }

    fn insert_group(&mut self, labels: &Labels) {
        let mut group = Group::default();
        for pair in labels {
            for service in self.services_by_anchor.get(pair).into_iter().flatten() {
                if let Some(selecting) = self.services.get_mut(service)
                    && selecting.selector.selects(labels)
                {
                    selecting.groups.insert(labels.clone());
                    group.services.insert(service.clone());
                }
            }
            self.groups_by_pair.entry(pair.clone()).or_default().insert(labels.clone());
        }
        self.groups.insert(labels.clone(), group);
    }

    fn insert_service(&mut self, name: &Istr, selector: &Labels) {
        let count = |index: Option<usize>| index.unwrap_or_default();
        // The API drops empty selectors, so there is always a pair to file under.
        let Some(anchor) =
            selector.iter().min_by_key(|pair| count(self.services_by_anchor.get(*pair).map(HashSet::len)))
        else {
            return;
        };
        let rarest =
            selector.iter().min_by_key(|pair| count(self.groups_by_pair.get(*pair).map(HashSet::len)));
        let groups: HashSet<Labels> = rarest
            .and_then(|pair| self.groups_by_pair.get(pair))
            .into_iter()
            .flatten()
            .filter(|labels| selector.selects(labels))
            .cloned()
            .collect();
        for labels in &groups {
            if let Some(group) = self.groups.get_mut(labels) {
                group.services.insert(name.clone());
            }
        }
        self.services_by_anchor.entry(anchor.clone()).or_default().insert(name.clone());
        let selecting = Selecting { selector: selector.clone(), anchor: anchor.clone(), groups };
        self.services.insert(name.clone(), selecting);
    }

    fn remove_service(&mut self, name: &Istr) {
        let Some(selecting) = self.services.remove(name) else { return };
        remove_from(&mut self.services_by_anchor, &selecting.anchor, name);
        for labels in &selecting.groups {
            if let Some(group) = self.groups.get_mut(labels) {
                group.services.remove(name);
            }
        }
    }
}

/// Removes a member of a set, and the set with its last member.
fn remove_from<K, V>(index: &mut HashMap<K, HashSet<V>>, key: &K, value: &V)
where
    K: Eq + std::hash::Hash,
    V: Eq + std::hash::Hash,
{
    if let Some(set) = index.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
