//! Pods through their lives.

use serde_json::{Value, json};

use super::Generator;
use crate::operation::{Kind, NAMESPACE, Operation};
use crate::side::NODES;

/// A Pod that is there.
pub(super) struct Life {
    addresses: Vec<String>,
    /// Past its end.
    over: bool,
    /// A finalizer keeps it.
    held: bool,
    /// Whether it is ready: kubelets change the time of a condition only with its status.
    ready: bool,
}

impl Generator {
    pub(super) fn create_pod(&mut self, number: u8) -> Operation {
        let (app, tier) = (self.pick(&["a", "a", "a", "b"]), self.pick(&["1", "2"]));
        let addresses = self.addresses();
        let ready = !self.once_in(3);
        let node = match self.rng.u8(0..14) {
            0 => Some(format!("{NAMESPACE}-unknown")),
            1 => None,
            _ => Some(format!("{NAMESPACE}-n{}", self.rng.usize(0..NODES))),
        };
        let web = self.pick(&[8080, 9090]);
        let mut ports = vec![json!({ "name": "web", "containerPort": web })];
        if self.once_in(3) {
            ports.push(json!({ "name": "dns", "containerPort": 5353, "protocol": "UDP" }));
        }
        if self.once_in(6) {
            ports.clear();
        }
        let mut spec = json!({
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": self.pick(&[0, 30, 30]),
            "containers": [{ "name": "server", "image": "lab.invalid/server", "ports": ports }],
        });
        if let Some(node) = &node {
            spec["nodeName"] = node.as_str().into();
        }
        if self.once_in(8) {
            spec["initContainers"] = json!([{ "name": "side", "image": "lab.invalid/side", "restartPolicy": "Always",
                "ports": [{ "name": "side", "containerPort": 7070 }, { "name": "web", "containerPort": 7071 }] }]);
        }
        if self.once_in(8) {
            spec["hostNetwork"] = true.into();
        }
        if self.once_in(5) {
            spec["hostname"] = format!("host-{number}").into();
            spec["subdomain"] = self.pick(&["s0", "s1", "elsewhere"]).into();
        }
        let held = self.once_in(10);
        let mut metadata = json!({ "name": format!("p{number}"), "labels": { "app": app, "tier": tier } });
        if held {
            metadata["finalizers"] = json!(["example.com/hold"]);
        }
        let mut object = json!({ "metadata": metadata, "spec": spec });
        let mut told = Vec::new();
        // Some have no address yet.
        if node.is_some() && !self.once_in(8) {
            object["status"] = self.status(&addresses, ready);
            told = addresses;
        }
        self.pods.insert(number, Life { addresses: told, over: false, held, ready });
        Operation::Create { kind: Kind::Pod, object }
    }

    /// The next thing in the life of a Pod.
    pub(super) fn live(&mut self, number: u8) -> Operation {
        let Some(life) = self.pods.get(&number) else { return self.create_pod(number) };
        let (over, held, addresses, was_ready) = (life.over, life.held, life.addresses.clone(), life.ready);
        let (kind, name) = (Kind::Pod, format!("p{number}"));
        let status = |patch: Value| Operation::Patch {
            kind,
            name: name.clone(),
            status: true,
            patch: json!({ "status": patch }),
        };
        let plain = |patch: Value| Operation::Patch { kind, name: name.clone(), status: false, patch };
        if addresses.is_empty() && !over {
            let addresses = self.addresses();
            let ready = self.rng.bool();
            let started = self.status(&addresses, ready);
            if let Some(life) = self.pods.get_mut(&number) {
                (life.addresses, life.ready) = (addresses, ready);
            }
            return status(started);
        }
        match self.rng.u8(0..14) {
            0 | 1 => {
                if held {
                    if let Some(life) = self.pods.get_mut(&number) {
                        life.held = false;
                    }
                    return plain(json!({ "metadata": { "finalizers": null } }));
                }
                self.pods.remove(&number);
                Operation::Delete { kind, name: name.clone(), grace: Some(0) }
            }
            2 | 3 => Operation::Delete { kind, name: name.clone(), grace: None },
            4 if !over => {
                let phase = self.pick(&["Succeeded", "Failed"]);
                if let Some(life) = self.pods.get_mut(&number) {
                    life.over = true;
                }
                if !was_ready || self.rng.bool() {
                    return status(json!({ "phase": phase }));
                }
                let mut end = self.conditions(false);
                end["phase"] = phase.into();
                status(end)
            }
            5 => plain(json!({ "metadata": { "labels": { "app": self.pick(&["a", "b"]) } } })),
            6 => {
                let tier = self.pick(&[Value::Null, "1".into(), "2".into()]);
                plain(json!({ "metadata": { "labels": { "tier": tier } } }))
            }
            7 if !over => {
                let addresses = self.addresses();
                let patch = addressed(&addresses);
                if let Some(life) = self.pods.get_mut(&number) {
                    life.addresses = addresses;
                }
                status(patch)
            }
            8 if self.once_in(2) => {
                plain(json!({ "metadata": { "annotations": { "example.com/note": "1" } } }))
            }
            _ => {
                if let Some(life) = self.pods.get_mut(&number) {
                    life.ready = !was_ready;
                }
                let conditions = self.conditions(!was_ready);
                status(conditions)
            }
        }
    }

    fn status(&mut self, addresses: &[String], ready: bool) -> Value {
        let mut status = self.conditions(ready);
        status["phase"] = "Running".into();
        for (key, value) in addressed(addresses).as_object().into_iter().flatten() {
            status[key] = value.clone();
        }
        status
    }

    fn conditions(&mut self, ready: bool) -> Value {
        let status = if ready { "True" } else { "False" };
        let time = self.next_time();
        json!({ "conditions": [{ "type": "Ready", "status": status, "lastTransitionTime": time }] })
    }

    /// Addresses of one or two families. Some Pods have the address of another one, or of their Node.
    fn addresses(&mut self) -> Vec<String> {
        let number = if self.addresses > 0 && self.once_in(6) {
            self.rng.u8(1..=self.addresses)
        } else {
            self.addresses = self.addresses.saturating_add(1);
            self.addresses
        };
        let (four, six) = (format!("10.64.0.{number}"), format!("fd00:10:64::{number:x}"));
        match self.rng.u8(0..8) {
            0 => vec![six],
            1 => vec![six, four],
            2 | 3 => vec![four],
            _ => vec![four, six],
        }
    }
}

fn addressed(addresses: &[String]) -> Value {
    let list: Vec<_> = addresses.iter().map(|ip| json!({ "ip": ip })).collect();
    json!({ "podIP": addresses.first(), "podIPs": list })
}
