//! Services.

use serde_json::{Value, json};

use super::Generator;
use crate::operation::{Kind, Operation};

impl Generator {
    pub(super) fn create_service(&mut self, number: u8) -> Operation {
        let selector = self.selector();
        let mut spec = json!({ "ports": self.ports() });
        if !selector.is_null() {
            spec["selector"] = selector.clone();
        }
        match self.rng.u8(0..12) {
            0 | 1 => {
                spec["clusterIP"] = "None".into();
                if self.once_in(3) {
                    spec["ports"] = Value::Null;
                }
            }
            2 => spec["type"] = "NodePort".into(),
            3 => spec["type"] = "LoadBalancer".into(),
            4 => {
                spec = json!({ "type": "ExternalName", "externalName": "example.com" });
                if self.rng.bool() {
                    spec["selector"] = json!({ "app": "a" });
                }
            }
            _ => {}
        }
        if spec["type"] != "ExternalName" {
            let families = self.families();
            for (key, value) in families.as_object().into_iter().flatten() {
                spec[key] = value.clone();
            }
        }
        if self.once_in(5) {
            spec["publishNotReadyAddresses"] = true.into();
        }
        if self.once_in(5) {
            spec["trafficDistribution"] =
                self.pick(&["PreferClose", "PreferSameZone", "PreferSameNode"]).into();
        }
        let mut metadata = json!({ "name": format!("s{number}"), "labels": self.labels() });
        if self.once_in(6) {
            metadata["annotations"] = self.topology();
        }
        self.services.insert(number, spec["selector"].as_object().is_some_and(|it| !it.is_empty()));
        Operation::Create { kind: Kind::Service, object: json!({ "metadata": metadata, "spec": spec }) }
    }

    pub(super) fn change_service(&mut self, number: u8) -> Operation {
        let patch = match self.rng.u8(0..16) {
            0 | 1 => {
                self.services.insert(number, true);
                let (app, tier) = (self.pick(&["a", "b"]), self.pick(&[Value::Null, "1".into()]));
                json!({ "spec": { "selector": { "app": app, "tier": tier } } })
            }
            2 => {
                self.services.insert(number, false);
                json!({ "spec": { "selector": null } })
            }
            3..6 => json!({ "spec": { "ports": self.ports() } }),
            6 | 7 => json!({ "spec": self.families() }),
            8 => json!({ "spec": { "type": "ExternalName", "externalName": "example.com" } }),
            9 => {
                let kind = self.pick(&["ClusterIP", "NodePort", "LoadBalancer"]);
                json!({ "spec": { "type": kind, "externalName": null, "ports": self.ports() } })
            }
            10 => json!({ "spec": { "publishNotReadyAddresses": self.rng.bool() } }),
            11 => {
                let value = self.pick(&["PreferClose", "PreferSameZone", "PreferSameNode"]);
                let value = if self.once_in(3) { Value::Null } else { value.into() };
                json!({ "spec": { "trafficDistribution": value } })
            }
            12 => {
                let annotations = if self.once_in(3) {
                    json!({ "service.kubernetes.io/topology-mode": null })
                } else {
                    self.topology()
                };
                json!({ "metadata": { "annotations": annotations } })
            }
            _ => json!({ "metadata": { "labels": self.labels() } }),
        };
        Operation::Patch { kind: Kind::Service, name: format!("s{number}"), status: false, patch }
    }

    pub(super) fn delete_service(&mut self, number: u8) -> Operation {
        self.services.remove(&number);
        Operation::Delete { kind: Kind::Service, name: format!("s{number}"), grace: None }
    }

    fn selector(&mut self) -> Value {
        self.pick(&[
            json!({ "app": "a" }),
            json!({ "app": "a" }),
            json!({ "app": "a" }),
            json!({ "app": "b" }),
            json!({ "app": "a", "tier": "1" }),
            json!({}),
            Value::Null,
        ])
    }

    fn ports(&mut self) -> Value {
        let port = |name: &str, protocol: &str, number: u16, target: Value| json!({ "name": name, "protocol": protocol, "port": number, "targetPort": target });
        let mut grpc = port("grpc", "TCP", 82, 9000.into());
        grpc["appProtocol"] = "h2c".into();
        self.pick(&[
            json!([{ "port": 80 }]),
            json!([port("http", "TCP", 80, 8080.into())]),
            json!([port("http", "TCP", 80, 8080.into())]),
            json!([port("http", "TCP", 80, "web".into())]),
            json!([port("http", "TCP", 80, "web".into())]),
            json!([port("http", "TCP", 80, 8080.into()), port("admin", "TCP", 81, "web".into())]),
            json!([port("dns", "UDP", 53, 53.into()), port("dns-tcp", "TCP", 53, 53.into())]),
            json!([port("named", "UDP", 53, "dns".into()), grpc]),
            json!([port("odd", "SCTP", 7, 7.into()), port("side", "TCP", 83, "side".into())]),
            json!([port("nowhere", "TCP", 84, "absent".into())]),
        ])
    }

    fn families(&mut self) -> Value {
        self.pick(&[
            json!({ "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"] }),
            json!({ "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"] }),
            json!({ "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"] }),
            json!({ "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"] }),
            json!({ "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"] }),
            json!({ "ipFamilyPolicy": "PreferDualStack" }),
        ])
    }

    /// Labels of Services, some of them reserved for slices and Endpoints.
    fn labels(&mut self) -> Value {
        let mut labels = json!({ "team": self.pick(&["x", "y", "z"]) });
        if self.once_in(6) {
            labels["service.kubernetes.io/headless"] = self.pick(&["", "odd"]).into();
        }
        if self.once_in(8) {
            labels["endpointslice.kubernetes.io/managed-by"] = "somebody".into();
        }
        if self.once_in(8) {
            labels["kubernetes.io/service-name"] = "another".into();
        }
        if self.once_in(8) {
            labels["endpoints.kubernetes.io/managed-by"] = "somebody".into();
        }
        if self.once_in(5) {
            labels["team"] = Value::Null;
            labels["crew"] = "1".into();
        }
        labels
            .as_object_mut()
            .into_iter()
            .for_each(|it| it.retain(|key, value| key == "team" || !value.is_null()));
        if labels["team"].is_null() {
            labels["team"] = "".into();
        }
        labels
    }

    fn topology(&mut self) -> Value {
        let value = self.pick(&["Auto", "Auto", "auto", "Disabled", "odd"]);
        let key = self.pick(&[
            "service.kubernetes.io/topology-mode",
            "service.kubernetes.io/topology-mode",
            "service.kubernetes.io/topology-aware-hints",
        ]);
        json!({ key: value })
    }
}
