//! What each zone can carry: the allocatable CPU of its Nodes.

use std::collections::BTreeMap;

use fairlead_objects::{Istr, Node};

/// The zones that Services spread over in topology mode `Auto`, with their share of the cluster's CPU.
///
/// Nodes of the control plane and Nodes that are not ready do not count. If one of the others tells no zone or no
/// CPU, or if all are in one zone, the table is empty, and hints are removed: better none than wrong ones
/// (KEP-2433).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeTable {
    zones: Box<[Zone]>,
}

/// A zone of the table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Zone {
    pub(crate) name: Istr,
    /// Its part of the CPU of all zones, above 0 and up to 1.
    pub(crate) ratio: f64,
}

impl NodeTable {
    /// The table of these Nodes.
    #[must_use]
    pub fn new<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Self {
        let mut capacity = Capacity::default();
        for node in nodes {
            capacity.add(node);
        }
        capacity.table()
    }

    /// The zones in the order of their names; none if hints cannot be computed.
    pub(crate) fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// Where in the table the zone is.
    pub(crate) fn position(&self, zone: &Istr) -> Option<usize> {
        self.zones.iter().position(|it| it.name == *zone)
    }
}

/// The sums that a [`NodeTable`] is made from, kept up to date Node by Node, so that a cluster of thousands of Nodes
/// is not added up anew for each of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capacity {
    /// Nodes that count but tell no zone or no CPU.
    incomplete: usize,
    /// Number of Nodes and their millicores, by zone.
    zones: BTreeMap<Istr, (usize, u128)>,
}

impl Capacity {
    /// Takes in a Node as it is now, or as it appeared.
    pub(crate) fn add(&mut self, node: &Node) {
        match counted(node) {
            Counted::No => {}
            Counted::Incomplete => self.incomplete += 1,
            Counted::In(zone, millicores) => {
                let (nodes, sum) = self.zones.entry(zone.clone()).or_default();
                *nodes += 1;
                *sum += millicores;
            }
        }
    }

    /// Takes out a Node as it was added.
    pub(crate) fn remove(&mut self, node: &Node) {
        match counted(node) {
            Counted::No => {}
            Counted::Incomplete => self.incomplete -= 1,
            Counted::In(zone, millicores) => {
                if let Some((nodes, sum)) = self.zones.get_mut(zone) {
                    *nodes -= 1;
                    *sum -= millicores;
                    if *nodes == 0 {
                        self.zones.remove(zone);
                    }
                }
            }
        }
    }

    pub(crate) fn table(&self) -> NodeTable {
        if self.incomplete > 0 || self.zones.len() < 2 {
            return NodeTable::default();
        }
        let all = self.zones.values().map(|(_, millicores)| *millicores).sum();
        let zone = |(name, (_, of_zone)): (&Istr, &(_, u128))| Zone {
            name: name.clone(),
            ratio: ratio(*of_zone, all),
        };
        NodeTable { zones: self.zones.iter().map(zone).collect() }
    }
}

enum Counted<'a> {
    No,
    Incomplete,
    In(&'a Istr, u128),
}

fn counted(node: &Node) -> Counted<'_> {
    if node.control_plane || !node.ready {
        return Counted::No;
    }
    match &node.zone {
        Some(zone) if node.cpu.0 > 0 => Counted::In(zone, node.cpu.0.into()),
        _ => Counted::Incomplete,
    }
}

/// In floating point, as upstream computes it, so that both round alike.
#[expect(clippy::cast_precision_loss)]
fn ratio(part: u128, whole: u128) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use fairlead_objects::{Millis, testing};

    use super::*;

    fn node(zone: &str, millicores: u64) -> Node {
        Node { cpu: Millis(millicores), ..testing::node("n", Some(zone).filter(|it| !it.is_empty())) }
    }

    fn unready(zone: &str) -> Node {
        Node { ready: false, ..node(zone, 1000) }
    }

    fn control_plane(zone: &str) -> Node {
        Node { control_plane: true, ..node(zone, 1000) }
    }

    fn ratios(nodes: &[Node]) -> Vec<(String, f64)> {
        NodeTable::new(nodes).zones().iter().map(|zone| (zone.name.to_string(), zone.ratio)).collect()
    }

    #[test]
    fn zones_share_the_cpu_of_ready_workers() {
        let halves = vec![("a".to_owned(), 0.5), ("b".to_owned(), 0.5)];
        let even = [node("a", 1000), node("b", 1000)];
        let with = |more: Node| [even.to_vec(), vec![more]].concat();
        let uneven =
            [("a", 1000), ("a", 1000), ("a", 1000), ("a", 2000), ("b", 3000), ("b", 1500), ("c", 500)];
        for (scenario, nodes, expected) in [
            ("no Node", vec![], vec![]),
            ("one Node", vec![node("a", 1000)], vec![]),
            ("one zone", vec![node("a", 1000), node("a", 1000)], vec![]),
            ("two zones", even.to_vec(), halves.clone()),
            ("unready in the other zone", vec![unready("a"), node("b", 1000)], vec![]),
            ("control plane in the other zone", vec![node("a", 1000), control_plane("b")], vec![]),
            ("one more, unready", with(unready("b")), halves.clone()),
            ("one more, of the control plane", with(control_plane("b")), halves.clone()),
            ("one more, unready and without zone", with(unready("")), halves),
            ("one without zone", with(node("", 1000)), vec![]),
            ("one without CPU", with(node("b", 0)), vec![]),
            (
                "uneven zones",
                uneven.map(|(zone, millicores)| node(zone, millicores)).to_vec(),
                vec![("a".to_owned(), 0.5), ("b".to_owned(), 0.45), ("c".to_owned(), 0.05)],
            ),
            (
                "more CPU than a word holds",
                vec![node("a", u64::MAX), node("a", u64::MAX), node("b", u64::MAX), node("b", u64::MAX)],
                vec![("a".to_owned(), 0.5), ("b".to_owned(), 0.5)],
            ),
        ] {
            assert_eq!(ratios(&nodes), expected, "{scenario}");
        }
    }

    #[test]
    fn sums_follow_nodes_that_come_change_and_go() {
        let states = [
            node("a", 1000),
            node("a", 500),
            node("b", 700),
            node("", 100),
            node("c", 0),
            unready("d"),
            control_plane("e"),
        ];
        let base = [node("a", 300), node("b", 300)];
        let mut capacity = Capacity::default();
        for node in &base {
            capacity.add(node);
        }
        for old in &states {
            for new in &states {
                capacity.add(old);
                capacity.remove(old);
                capacity.add(new);
                let all = [base.as_slice(), std::slice::from_ref(new)].concat();
                assert_eq!(capacity.table(), NodeTable::new(&all), "{old:?} became {new:?}");
                capacity.remove(new);
            }
        }
        assert_eq!(capacity.table(), NodeTable::new(&base));
    }
}
