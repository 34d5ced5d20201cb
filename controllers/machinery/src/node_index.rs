//! Which Pods are on which Node, so that a Node that appears or changes its zone costs its Pods.

use std::collections::HashMap;

use fairlead_objects::{Istr, Labels, ObjectKey, Pod};

use crate::informer::Change;

/// Pods with their labels by the name of their Node, whether or not such a Node exists.
#[derive(Default)]
pub struct NodeIndex {
    pods: HashMap<Istr, HashMap<ObjectKey, Labels>>,
}

impl NodeIndex {
    /// Takes in a change of a Pod.
    pub fn pod_changed(&mut self, change: &Change<Pod>) {
        if let Some(old) = &change.old
            && let Some(node) = &old.node
            && let Some(pods) = self.pods.get_mut(node)
        {
            pods.remove(&old.key);
            if pods.is_empty() {
                self.pods.remove(node);
            }
        }
        if let Some(new) = &change.new
            && let Some(node) = &new.node
        {
            self.pods.entry(node.clone()).or_default().insert(new.key.clone(), new.labels.clone());
        }
    }

    /// The Pods that were scheduled to a Node, with their labels.
    pub fn pods_on(&self, node: &Istr) -> impl Iterator<Item = (&ObjectKey, &Labels)> {
        self.pods.get(node).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn pod(name: &str, node: &str) -> Arc<Pod> {
        let json =
            serde_json::json!({"metadata": {"namespace": "n", "name": name}, "spec": {"nodeName": node}});
        Arc::new(serde_json::from_value(json).unwrap())
    }

    #[test]
    fn pods_are_found_by_their_node_until_they_are_gone() {
        let mut index = NodeIndex::default();
        let on = |index: &NodeIndex, node: &str| index.pods_on(&node.into()).count();
        let (unscheduled, scheduled) = (pod("p", ""), pod("p", "a"));
        index.pod_changed(&Change { old: None, new: Some(Arc::clone(&unscheduled)) });
        assert_eq!(on(&index, ""), 0);
        index.pod_changed(&Change { old: Some(unscheduled), new: Some(Arc::clone(&scheduled)) });
        index.pod_changed(&Change { old: None, new: Some(pod("q", "a")) });
        assert_eq!(on(&index, "a"), 2);
        index.pod_changed(&Change { old: Some(scheduled), new: None });
        assert_eq!(on(&index, "a"), 1);
    }
}
