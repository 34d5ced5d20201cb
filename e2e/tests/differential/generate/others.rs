//! Endpoints by hand, and what others do to Endpoints and slices that controllers write.

use serde_json::{Value, json};

use super::Generator;
use crate::normal::{MIRRORING_CONTROLLER, NOTE, SLICE_CONTROLLER};
use crate::operation::{Kind, Operation};

impl Generator {
    pub(super) fn interference(&mut self) -> Operation {
        match self.rng.u8(0..10) {
            0..5 => self.endpoints_by_hand(),
            5 | 6 => self.delete_slice(),
            _ => self.edit_slice(),
        }
    }

    fn endpoints_by_hand(&mut self) -> Operation {
        let number = self.some_service();
        let name = match self.rng.u8(0..8) {
            0 => "orphan".to_owned(),
            _ => format!("s{number}"),
        };
        let kind = Kind::Endpoints;
        let exists = self.endpoints.contains(&name) || self.services.get(&number) == Some(&true);
        if !exists || self.once_in(6) {
            self.endpoints.insert(name.clone());
            let mut metadata = self.metadata();
            metadata["name"] = name.into();
            let object = json!({ "metadata": metadata, "subsets": self.subsets() });
            return Operation::Create { kind, object };
        }
        match self.rng.u8(0..6) {
            0 => {
                self.endpoints.remove(&name);
                Operation::Delete { kind, name, grace: None }
            }
            1 | 2 => {
                let patch = json!({ "metadata": self.metadata() });
                Operation::Patch { kind, name, status: false, patch }
            }
            _ => Operation::Patch { kind, name, status: false, patch: json!({ "subsets": self.subsets() }) },
        }
    }

    /// Labels and annotations, with those that say something to the mirroring controller.
    fn metadata(&mut self) -> Value {
        let mut labels = json!({ "made": self.pick(&["by-hand", "by-script"]) });
        let mut annotations = json!({ "example.com/note": self.pick(&["1", "2"]) });
        if self.once_in(5) {
            labels["endpointslice.kubernetes.io/skip-mirror"] = self.pick(&["true", "false"]).into();
        }
        if self.once_in(8) {
            labels["kubernetes.io/service-name"] = "another".into();
        }
        if self.once_in(8) {
            labels["endpoints.kubernetes.io/managed-by"] = "somebody".into();
        }
        if self.once_in(8) {
            labels["service.kubernetes.io/headless"] = "".into();
        }
        if self.once_in(8) {
            annotations["control-plane.alpha.kubernetes.io/leader"] = "{}".into();
        }
        if self.once_in(5) {
            annotations["kubectl.kubernetes.io/last-applied-configuration"] = "{}".into();
        }
        if self.once_in(8) {
            annotations["endpoints.kubernetes.io/last-change-trigger-time"] = "2030-01-01T00:00:00Z".into();
        }
        if self.once_in(8) {
            annotations["endpoints.kubernetes.io/over-capacity"] = "warning".into();
        }
        json!({ "labels": labels, "annotations": annotations })
    }

    fn subsets(&mut self) -> Value {
        let ip = |ip: &str| json!({ "ip": ip });
        let http = || json!([{ "name": "http", "port": 80, "protocol": "TCP" }]);
        let named = json!({ "ip": "10.9.0.7", "hostname": "seven", "nodeName": "somewhere",
            "targetRef": { "kind": "Pod", "namespace": "elsewhere", "name": "seven", "uid": "seven-1" } });
        let two =
            json!([{ "name": "http", "port": 80 }, { "name": "admin", "port": 81, "appProtocol": "h2c" }]);
        let many: Vec<_> = (1..=7).map(|it| json!({ "ip": format!("10.9.1.{it}") })).collect();
        self.pick(&[
            json!([{ "addresses": [ip("10.9.0.1")], "ports": http() }]),
            json!([{ "addresses": [ip("10.9.0.1"), ip("10.9.0.2")], "ports": http() }]),
            json!([{ "addresses": [ip("10.9.0.1")], "notReadyAddresses": [ip("10.9.0.2")], "ports": http() }]),
            json!([{ "addresses": [ip("10.9.0.1"), ip("fd00:9::1")], "ports": http() }]),
            json!([{ "addresses": [ip("fd00:9::1")], "ports": two }]),
            json!([{ "addresses": [ip("10.9.0.1")], "ports": http() }, { "addresses": [ip("10.9.0.2")], "ports": two }]),
            // The same again, ready and not ready, and in two subsets.
            json!([{ "addresses": [ip("10.9.0.1"), ip("10.9.0.1")], "notReadyAddresses": [ip("10.9.0.1")], "ports": http() },
                { "addresses": [ip("10.9.0.1")], "ports": two }]),
            json!([{ "addresses": [named], "ports": [{ "port": 1 }] }]),
            json!([{ "addresses": many, "ports": http() }]),
            json!([{ "addresses": [ip("10.9.0.1")] }]),
            // Refused.
            json!([{ "addresses": [ip("127.0.0.1")], "ports": http() }]),
            Value::Null,
        ])
    }

    fn slice(&mut self, patch: Option<Value>) -> Operation {
        let service = format!("s{}", self.some_service());
        Operation::Slice { service, at: self.rng.usize(0..4), patch }
    }

    fn delete_slice(&mut self) -> Operation {
        self.slice(None)
    }

    pub(super) fn relabel_slice(&mut self) -> Operation {
        let other = format!("s{}", self.rng.u8(0..4));
        let (key, value) = self.pick(&[
            ("endpointslice.kubernetes.io/managed-by", "somebody"),
            ("kubernetes.io/service-name", other.as_str()),
        ]);
        self.slice(Some(json!({ "metadata": { "labels": { key: value } } })))
    }

    fn edit_slice(&mut self) -> Operation {
        let endpoint = json!({ "addresses": ["10.9.9.9"], "conditions": { "ready": true } });
        let name = format!("s{}", self.some_service());
        let owner = self.pick(&[SLICE_CONTROLLER, SLICE_CONTROLLER, MIRRORING_CONTROLLER, "somebody"]);
        let patch = match self.rng.u8(0..8) {
            0 => json!({ "endpoints": [] }),
            1 => json!({ "ports": [{ "name": "odd", "port": 1, "protocol": "TCP" }] }),
            2 => json!({ "metadata": { "labels": { "mood": "odd" } } }),
            3 => json!({ "metadata": { "labels": { "team": "odd" } } }),
            4 => json!({ "metadata": { "annotations": { NOTE: "1" } } }),
            _ => {
                let labels = json!({ "kubernetes.io/service-name": name,
                    "endpointslice.kubernetes.io/managed-by": owner });
                let object = json!({ "metadata": { "name": "intruder", "labels": labels }, "addressType": "IPv4",
                    "endpoints": [endpoint], "ports": [{ "name": "http", "port": 80 }] });
                return Operation::Create { kind: Kind::EndpointSlice, object };
            }
        };
        self.slice(Some(patch))
    }
}
