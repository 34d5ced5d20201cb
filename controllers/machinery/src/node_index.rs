//! Which Pods are on which Node, so that a Node that appears, vanishes or changes its zone costs its Pods.

use std::collections::{HashMap, HashSet};

use fairlead_objects::{Istr, ObjectKey, Pod};

use crate::informer::Change;

/// Pods by the name of their Node, whether or not such a Node exists.
#[derive(Default)]
pub struct NodeIndex {
    pods: HashMap<Istr, HashSet<ObjectKey>>,
}

impl NodeIndex {
    /// Takes in a change of a Pod.
    pub fn pod_changed(&mut self, change: &Change<Pod>) {
        let node_of = |pod: &Option<std::sync::Arc<Pod>>| pod.as_ref().and_then(|pod| pod.node.clone());
        let (old, new) = (node_of(&change.old), node_of(&change.new));
        if old == new {
            return;
        }
        if let (Some(node), Some(pod)) = (old, &change.old)
            && let Some(pods) = self.pods.get_mut(&node)
        {
            pods.remove(&pod.key);
            if pods.is_empty() {
                self.pods.remove(&node);
            }
        }
        if let (Some(node), Some(pod)) = (new, &change.new) {
            self.pods.entry(node).or_default().insert(pod.key.clone());
        }
    }

    /// The Pods that were scheduled to a Node.
    pub fn pods_on(&self, node: &Istr) -> impl Iterator<Item = &ObjectKey> {
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
