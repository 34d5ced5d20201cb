//! Which Services a change of a Node concerns through its zone's share of the CPU.

use std::collections::HashMap;
use std::sync::Arc;

use fairlead_objects::{Node, ObjectKey};

use super::capacity::{Capacity, NodeTable};
use super::state::HintStates;

/// The current Node table, and the Services in topology mode `Auto` with what hints came to.
#[derive(Default)]
pub(crate) struct Registry {
    capacity: Capacity,
    table: Arc<NodeTable>,
    services: HashMap<ObjectKey, HintStates>,
}

impl Registry {
    /// The Node table to plan with.
    pub(crate) fn table(&self) -> Arc<NodeTable> {
        Arc::clone(&self.table)
    }

    /// A Node appeared, changed or vanished. Returns the Services to plan again.
    pub(crate) fn node_changed(&mut self, old: Option<&Node>, new: Option<&Node>) -> Vec<ObjectKey> {
        if let Some(old) = old {
            self.capacity.remove(old);
        }
        if let Some(new) = new {
            self.capacity.add(new);
        }
        let table = self.capacity.table();
        if table == *self.table {
            return Vec::new();
        }
        self.table = Arc::new(table);
        let due = self.services.iter().filter(|(_, states)| states.is_due(&self.table));
        due.map(|(service, _)| service.clone()).collect()
    }

    /// A Service was planned with `table` and written. Returns whether to plan it again, because the table has
    /// changed in the meantime in a way that concerns it.
    pub(crate) fn planned(
        &mut self,
        service: &ObjectKey,
        states: &HintStates,
        table: &Arc<NodeTable>,
    ) -> bool {
        if !states.is_on() {
            self.forget(service);
            return false;
        }
        self.services.insert(service.clone(), states.clone());
        !Arc::ptr_eq(table, &self.table) && states.is_due(&self.table)
    }

    /// The Service is gone, or has no slices of this controller any more.
    pub(crate) fn forget(&mut self, service: &ObjectKey) {
        self.services.remove(service);
    }
}

#[cfg(test)]
mod tests {
    use fairlead_objects::{Family, testing};

    use super::*;
    use crate::hints::{Failure, HintState};

    fn populated(counts: &[(&str, usize)]) -> HintStates {
        let mut states = HintStates::default();
        let counts = counts.iter().map(|(zone, count)| ((*zone).into(), *count)).collect();
        states.set(Family::V4, HintState::Off);
        states.set(Family::V6, HintState::Populated(counts));
        states
    }

    fn failed(failure: Failure, ready: usize) -> HintStates {
        let mut states = HintStates::default();
        states.set(Family::V4, HintState::Failed { failure, ready });
        states
    }

    fn off() -> HintStates {
        let mut states = HintStates::default();
        states.set(Family::V4, HintState::Off);
        states
    }

    fn names(mut services: Vec<ObjectKey>) -> Vec<String> {
        services.sort();
        services.into_iter().map(|service| service.name.to_string()).collect()
    }

    #[test]
    fn a_node_concerns_the_services_that_have_too_few_endpoints_in_a_zone_or_could_have_hints_now() {
        let mut registry = Registry::default();
        let (a, b) = (testing::node("a-0", Some("a")), testing::node("b-0", Some("b")));
        assert!(registry.node_changed(None, Some(&a)).is_empty());
        assert!(registry.node_changed(None, Some(&b)).is_empty());
        let table = registry.table();
        let many = Failure::TooFewEndpoints { endpoints: 2, zones: 3 };
        for (name, states) in [
            ("even", populated(&[("a", 5), ("b", 5)])),
            ("mostly-a", populated(&[("a", 7), ("b", 4)])),
            ("failed-six", failed(Failure::NodeInformation, 6)),
            ("failed-one", failed(Failure::NodeInformation, 1)),
            ("failed-two", failed(many, 2)),
            ("failed-zone", failed(Failure::NoZone, 6)),
            ("off", off()),
        ] {
            assert!(
                !registry.planned(&ObjectKey::new("n", name), &states, &table),
                "{name}: the table is the same"
            );
        }
        // Now b has two thirds of the CPU. Two endpoints for that are too few, six are enough.
        let more = testing::node("b-1", Some("b"));
        let due = registry.node_changed(None, Some(&more));
        assert_eq!(names(due), ["even", "failed-six", "mostly-a"]);
        // Nothing about the table changes.
        let control_plane = Node { control_plane: true, ..testing::node("c-0", None) };
        assert!(registry.node_changed(None, Some(&control_plane)).is_empty());
        // A Node without zone takes all hints away.
        let bare = testing::node("bare", None);
        assert_eq!(names(registry.node_changed(None, Some(&bare))), ["even", "mostly-a"]);
        registry.forget(&ObjectKey::new("n", "even"));
        assert!(!registry.planned(&ObjectKey::new("n", "mostly-a"), &off(), &registry.table()));
        // And its deletion makes them possible again.
        let due = registry.node_changed(Some(&bare), None);
        assert_eq!(names(due), ["failed-six"]);
        let due = registry.node_changed(Some(&more), None);
        assert_eq!(names(due), ["failed-six", "failed-two"]);
    }

    #[test]
    fn a_table_that_changed_during_a_plan_is_looked_at_after_it() {
        let mut registry = Registry::default();
        let web = ObjectKey::new("n", "web");
        let before = registry.table();
        for zone in ["a", "b"] {
            let due = registry.node_changed(None, Some(&testing::node(zone, Some(zone))));
            assert!(due.is_empty(), "the Service is not known yet");
        }
        let states = failed(Failure::NodeInformation, 6);
        assert!(registry.planned(&web, &states, &before));
        assert!(!registry.planned(&web, &failed(Failure::NodeInformation, 1), &before));
        assert!(!registry.planned(&web, &states, &registry.table()));
    }
}
