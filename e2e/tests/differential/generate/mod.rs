//! Operations from a seed: what people, kubelets and other controllers do to a namespace.

mod others;
mod pods;
mod services;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::operation::{Kind, NAMESPACE, Operation};
use crate::side::{NODES, ZONES};

/// Every so many operations is one of others than Services, Pods and Nodes: upstream reacts to those a second late, and
/// histories that run side by side wait for it together.
const INTERFERENCE: usize = 5;

/// What times of changes begin with: later than any cluster of ours was made.
pub(crate) const EPOCH: &str = "2031-01-01T";

/// The history of a seed, of so many operations. The controllers restart once, after two thirds.
pub(crate) fn history(seed: u64, length: usize) -> Vec<Operation> {
    let mut generator = Generator {
        rng: fastrand::Rng::with_seed(seed),
        services: BTreeMap::new(),
        pods: BTreeMap::new(),
        nodes: (0..NODES).collect(),
        endpoints: BTreeSet::new(),
        addresses: 0,
        time: 0,
    };
    let restart = length * 2 / 3;
    let mut operations = vec![generator.create_service(0)];
    for number in 0..4 {
        operations.push(generator.create_pod(number));
    }
    while operations.len() < length {
        let next = match operations.len() {
            at if at == restart => Operation::Restart,
            at if at + 1 == restart && generator.rng.bool() => generator.before_restart(),
            at if at % INTERFERENCE == 0 => generator.interference(),
            _ => generator.next(),
        };
        operations.push(next);
    }
    operations
}

/// What is there, as far as one who does not look at the answers can know.
struct Generator {
    rng: fastrand::Rng,
    /// Whether each Service selects Pods.
    services: BTreeMap<u8, bool>,
    pods: BTreeMap<u8, pods::Life>,
    nodes: BTreeSet<usize>,
    /// Names of Endpoints that were made by hand.
    endpoints: BTreeSet<String>,
    addresses: u8,
    time: u32,
}

impl Generator {
    fn next(&mut self) -> Operation {
        match self.rng.u8(0..100) {
            0..12 => {
                let number = self.rng.u8(0..4);
                if self.services.contains_key(&number) {
                    self.change_service(number)
                } else {
                    self.create_service(number)
                }
            }
            12..30 => {
                let number = self.some_service();
                self.change_service(number)
            }
            30..35 => {
                let number = self.some_service();
                self.delete_service(number)
            }
            35..92 => {
                let number = self.rng.u8(0..9);
                self.live(number)
            }
            _ => self.change_node(),
        }
    }

    fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.rng.usize(0..list.len())].clone()
    }

    /// Whether something happens that happens once in so many times.
    fn once_in(&mut self, times: u8) -> bool {
        self.rng.u8(0..times) == 0
    }

    /// A Service that is there, if there is one.
    fn some_service(&mut self) -> u8 {
        let all: Vec<_> = self.services.keys().copied().collect();
        if all.is_empty() { self.rng.u8(0..4) } else { self.pick(&all) }
    }

    /// The time of the next change.
    fn next_time(&mut self) -> String {
        self.time += 1;
        format!("{EPOCH}{:02}:{:02}:{:02}Z", self.time / 3600, self.time / 60 % 60, self.time % 60)
    }

    /// What is comparable only after a restart.
    fn before_restart(&mut self) -> Operation {
        if self.rng.bool() {
            return self.relabel_slice();
        }
        let number = self.rng.usize(0..NODES);
        self.nodes.remove(&number);
        Operation::Delete { kind: Kind::Node, name: format!("{NAMESPACE}-n{number}"), grace: None }
    }

    fn change_node(&mut self) -> Operation {
        let number = self.rng.usize(0..NODES);
        let (kind, name) = (Kind::Node, format!("{NAMESPACE}-n{number}"));
        let zone = self.pick(&ZONES);
        if !self.nodes.contains(&number) {
            self.nodes.insert(number);
            let object = json!({ "metadata": { "name": name, "labels": {
                "topology.kubernetes.io/zone": zone, "node-role.kubernetes.io/control-plane": "" } },
                "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
            return Operation::Create { kind, object };
        }
        match self.rng.u8(0..4) {
            1 => {
                let status = self.pick(&["True", "False", "Unknown"]);
                let patch = json!({ "status": { "conditions": [{ "type": "Ready", "status": status }] } });
                Operation::Patch { kind, name, status: true, patch }
            }
            other => {
                let zone = if other == 0 { Value::Null } else { zone.into() };
                let patch = json!({ "metadata": { "labels": { "topology.kubernetes.io/zone": zone } } });
                Operation::Patch { kind, name, status: false, patch }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_one_history_and_another_seed_another_one() {
        assert_eq!(history(1, 40), history(1, 40));
        assert_ne!(history(1, 40), history(2, 40));
        assert_eq!(history(1, 40).len(), 40);
        assert_eq!(history(3, 40).iter().filter(|it| **it == Operation::Restart).count(), 1);
    }

    #[test]
    fn seeds_use_all_that_there_is() {
        let all: Vec<_> = (0..200).flat_map(|seed| history(seed, 40)).collect();
        let text = crate::operation::to_lines(&all).expect("lines");
        assert_eq!(crate::operation::from_lines(&text).expect("operations"), all);
        for needle in [
            "LoadBalancer",
            "NodePort",
            "ExternalName",
            "\"clusterIP\":\"None\"",
            "\"selector\":{}",
            "\"selector\":null",
            "appProtocol",
            "UDP",
            "SCTP",
            "RequireDualStack",
            "[\"IPv6\",\"IPv4\"]",
            "publishNotReadyAddresses",
            "PreferClose",
            "PreferSameNode",
            "topology-mode",
            "service.kubernetes.io/headless",
            "Succeeded",
            "Failed",
            "hostNetwork",
            "restartPolicy",
            "subdomain",
            "finalizers",
            "skip-mirror",
            "control-plane.alpha.kubernetes.io/leader",
            "last-applied-configuration",
            "notReadyAddresses",
            "127.0.0.1",
            "endpointslice.kubernetes.io/managed-by",
            "kubernetes.io/service-name",
            "fd00:",
            "\"Restart\"",
            "restart",
        ] {
            assert!(text.contains(needle) || needle == "\"Restart\"", "nobody does anything with {needle}");
        }
    }
}
