//! Which watches there are to be, and what they have shown.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use fairlead_layer2::NodeId;
use fairlead_machinery::informer::Change;
use fairlead_objects::ObjectKey;

use crate::endpoints::{Endpoints, Slice};

/// Above so many Services all slices are watched at once: a watch costs the API server a connection's share of work.
const MOST_WATCHES: usize = 50;
/// And with so few, each by itself again.
const FEW_WATCHES: usize = 40;

/// What is to be done about watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A watch with this number begins: of the slices of a Service, or of all.
    Begin(u64, Option<ObjectKey>),
    /// The watch with this number ends.
    End(u64),
}

/// A Service and the nodes with its endpoints.
pub(crate) type Told = (ObjectKey, HashSet<NodeId>);

/// The watches by their numbers, the Services that they are for, and what they have shown.
#[derive(Debug, Default)]
pub(super) struct Selection {
    running: BTreeMap<u64, Watch>,
    last: u64,
    wanted: BTreeSet<ObjectKey>,
    endpoints: Endpoints,
}

#[derive(Debug)]
struct Watch {
    /// `None`: all of them.
    service: Option<ObjectKey>,
    listed: bool,
}

impl Selection {
    /// The endpoints of these Services decide from now on, or no longer. What follows, and what is known of them already.
    pub(super) fn want(
        &mut self,
        changes: impl IntoIterator<Item = (ObjectKey, bool)>,
    ) -> (Vec<Step>, Vec<Told>) {
        let (mut steps, mut told) = (Vec::new(), Vec::new());
        let (mut added, mut removed) = (Vec::new(), BTreeSet::new());
        for (service, wanted) in changes {
            if wanted {
                self.wanted.insert(service.clone());
                added.push(service);
            } else if self.wanted.remove(&service) {
                removed.insert(service);
            }
        }
        let all = self.running.values().any(|watch| watch.service.is_none());
        let all_wanted = self.wanted.len() > if all { FEW_WATCHES } else { MOST_WATCHES };
        if all_wanted != all {
            self.end(|_| true, &mut steps);
            self.endpoints = Endpoints::default();
            added = self.wanted.iter().cloned().collect();
        }
        if all_wanted && !all {
            self.begin(None, &mut steps);
        }
        if !removed.is_empty() {
            self.end(|watch| watch.service.as_ref().is_some_and(|it| removed.contains(it)), &mut steps);
        }
        for service in added {
            match self.running.values().find(|it| it.service.as_ref().is_none_or(|it| *it == service)) {
                Some(watch) if watch.listed => told.push(self.tell(service)),
                Some(_) => {}
                None => self.begin(Some(service), &mut steps),
            }
        }
        (steps, told)
    }

    /// A slice changed. The Services that this concerns.
    pub(super) fn change(&mut self, watch: u64, change: &Change<Slice>) -> Vec<Told> {
        let Some(watch) = self.running.get(&watch) else { return Vec::new() };
        let concerned = self.endpoints.change(change.old.as_ref(), change.new.as_ref());
        // An incomplete list would take endpoints away that are there.
        let services = concerned.into_iter().filter(|_| watch.listed);
        services.map(|service| self.tell(service)).collect()
    }

    /// Everything was listed. The Services that this concerns.
    pub(super) fn listed(&mut self, watch: u64) -> Vec<Told> {
        let Some(watch) = self.running.get_mut(&watch) else { return Vec::new() };
        watch.listed = true;
        match watch.service.clone() {
            Some(service) => vec![self.tell(service)],
            None => self.wanted.iter().map(|service| self.tell(service.clone())).collect(),
        }
    }

    fn tell(&self, service: ObjectKey) -> Told {
        let nodes = self.endpoints.nodes(&service);
        (service, nodes)
    }

    fn begin(&mut self, service: Option<ObjectKey>, steps: &mut Vec<Step>) {
        self.last += 1;
        steps.push(Step::Begin(self.last, service.clone()));
        self.running.insert(self.last, Watch { service, listed: false });
    }

    fn end(&mut self, which: impl Fn(&Watch) -> bool, steps: &mut Vec<Step>) {
        for (number, watch) in self.running.extract_if(.., |_, watch| which(watch)) {
            steps.push(Step::End(number));
            if let Some(service) = &watch.service {
                self.endpoints.forget(service);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn service(number: usize) -> ObjectKey {
        ObjectKey::new("shop", format!("web-{number:02}").as_str())
    }

    fn wanted(numbers: impl IntoIterator<Item = usize>, are: bool) -> Vec<(ObjectKey, bool)> {
        numbers.into_iter().map(|number| (service(number), are)).collect()
    }

    fn slice(number: usize, node: &str) -> Change<Slice> {
        let object = json!({
            "metadata": {"name": format!("slice-{number}"), "namespace": "shop",
                "labels": {"kubernetes.io/service-name": service(number).name.to_string()}},
            "addressType": "IPv4", "endpoints": [{"addresses": ["10.244.0.1"], "nodeName": node}]});
        Change { old: None, new: Some(Arc::new(serde_json::from_value(object).unwrap())) }
    }

    fn on(node: &str) -> HashSet<NodeId> {
        [NodeId::of(node)].into()
    }

    #[test]
    fn few_services_have_a_watch_each_and_are_told_when_it_has_listed() {
        let mut selection = Selection::default();
        let (steps, told) = selection.want(wanted([1, 2], true));
        assert_eq!(steps, [Step::Begin(1, Some(service(1))), Step::Begin(2, Some(service(2)))]);
        assert!(told.is_empty());
        assert!(selection.change(1, &slice(1, "a")).is_empty());
        assert_eq!(selection.listed(1), [(service(1), on("a"))]);
        assert_eq!(selection.listed(2), [(service(2), HashSet::new())]);
        assert_eq!(selection.change(2, &slice(2, "b")), [(service(2), on("b"))]);
        // One that went and came again between two looks.
        assert_eq!(selection.want(wanted([1], true)), (vec![], vec![(service(1), on("a"))]));
        assert_eq!(selection.want(wanted([1], false)), (vec![Step::End(1)], vec![]));
        assert!(selection.change(1, &slice(1, "b")).is_empty());
        assert_eq!(selection.want(wanted([1], true)), (vec![Step::Begin(3, Some(service(1)))], vec![]));
        assert_eq!(selection.listed(3), [(service(1), HashSet::new())]);
    }

    #[test]
    fn many_services_share_a_watch_and_who_comes_later_is_told_what_it_has_shown() {
        let mut selection = Selection::default();
        selection.want(wanted(0..MOST_WATCHES, true));
        let (steps, told) = selection.want(wanted([MOST_WATCHES], true));
        assert_eq!(steps.len(), MOST_WATCHES + 1);
        assert_eq!(steps.last(), Some(&Step::Begin(51, None)));
        assert!(told.is_empty());
        assert!(selection.change(51, &slice(60, "a")).is_empty());
        assert!(selection.want(wanted([59], true)).1.is_empty(), "not before all are listed");
        assert_eq!(selection.listed(51).len(), MOST_WATCHES + 2);
        assert_eq!(selection.want(wanted([60], true)), (vec![], vec![(service(60), on("a"))]));
        assert_eq!(selection.want(wanted([61], true)), (vec![], vec![(service(61), HashSet::new())]));
        // Not at once the other way.
        assert_eq!(selection.want(wanted(41..62, false)), (vec![], vec![]));
        let (steps, told) = selection.want(wanted([40], false));
        assert_eq!((steps.len(), &steps[0]), (41, &Step::End(51)));
        assert_eq!(steps[1], Step::Begin(52, Some(service(0))));
        assert!(told.is_empty());
        assert_eq!(selection.listed(52), [(service(0), HashSet::new())]);
    }
}
