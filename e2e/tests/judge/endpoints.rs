//! Whether Endpoints are what the Pods say, and mirrored slices what the Endpoints say: a model that knows nothing of
//! how they are planned.

use std::collections::BTreeSet;

use serde_json::{Value, json};

const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MIRRORING: &str = "endpointslicemirroring-controller.k8s.io";

/// The objects of one namespace.
pub(crate) struct World {
    pub(crate) services: Vec<Value>,
    pub(crate) pods: Vec<Value>,
    pub(crate) endpoints: Vec<Value>,
    pub(crate) slices: Vec<Value>,
}

/// Address, object behind it, readiness and port, each as often as it is there.
type Entries = Vec<String>;

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn selects(service: &Value) -> bool {
    service["spec"]["selector"].as_object().is_some_and(|it| !it.is_empty())
}

impl World {
    /// Each Service that selects Pods has Endpoints with what they say.
    pub(crate) fn endpoints_are_right(&self) -> Result<(), String> {
        for service in &self.services {
            if !selects(service) || service["spec"]["type"] == "ExternalName" {
                continue;
            }
            let service_name = name(service);
            let Some(endpoints) = self.endpoints.iter().find(|it| name(it) == service_name) else {
                return Err(format!("{service_name} has no Endpoints"));
            };
            let (mut found, mut expected) = (of_endpoints(endpoints), self.expected(service));
            found.sort();
            expected.sort();
            if found != expected {
                return Err(format!("Endpoints {service_name} are {found:?}, should be {expected:?}"));
            }
            let mut labels = service["metadata"]["labels"].as_object().cloned().unwrap_or_default();
            labels.insert("endpoints.kubernetes.io/managed-by".into(), "endpoint-controller".into());
            if service["spec"]["clusterIP"] == "None" {
                labels.insert("service.kubernetes.io/headless".into(), "".into());
            }
            if endpoints["metadata"]["labels"] != Value::Object(labels) {
                return Err(format!(
                    "Endpoints {service_name} have labels {}",
                    endpoints["metadata"]["labels"]
                ));
            }
        }
        Ok(())
    }

    /// Each Endpoints object of a Service that selects none is mirrored, and no other.
    pub(crate) fn mirrored_slices_are_right(&self) -> Result<(), String> {
        let mirrored = |it: &&Value| it["metadata"]["labels"][MANAGED_BY] == MIRRORING;
        let mut owners: BTreeSet<&str> = self.endpoints.iter().map(name).collect();
        owners.extend(
            self.slices
                .iter()
                .filter(mirrored)
                .filter_map(|it| it["metadata"]["labels"][SERVICE_NAME].as_str()),
        );
        for owner in owners {
            let slices: Vec<_> = self
                .slices
                .iter()
                .filter(mirrored)
                .filter(|it| it["metadata"]["labels"][SERVICE_NAME] == owner)
                .collect();
            let service = self.services.iter().find(|it| name(it) == owner);
            let endpoints = self.endpoints.iter().find(|it| name(it) == owner).filter(|it| {
                let metadata = &it["metadata"];
                service.is_some_and(|service| !selects(service))
                    && metadata["labels"][SKIP] != "true"
                    && metadata["annotations"][LEADER].is_null()
            });
            let mut expected = endpoints.map(of_endpoints).unwrap_or_default();
            let mut found: Vec<_> = slices.iter().flat_map(|it| of_slice(it)).collect();
            found.sort();
            expected.sort();
            if found != expected {
                return Err(format!("mirrored slices of {owner} are {found:?}, should be {expected:?}"));
            }
            for slice in &slices {
                let reference = &slice["metadata"]["ownerReferences"][0];
                if endpoints.is_none_or(|it| reference["uid"] != it["metadata"]["uid"]) {
                    return Err(format!("the slice {} of {owner} belongs to another object", name(slice)));
                }
            }
        }
        Ok(())
    }

    fn expected(&self, service: &Value) -> Entries {
        let spec = &service["spec"];
        let publish = spec["publishNotReadyAddresses"] == true;
        let is_ipv6 = spec["ipFamilies"][0] == "IPv6";
        let mut entries = Entries::new();
        for pod in &self.pods {
            let (metadata, status) = (&pod["metadata"], &pod["status"]);
            let picked = spec["selector"]
                .as_object()
                .is_some_and(|it| it.iter().all(|(key, value)| metadata["labels"][key] == *value));
            let over = status["phase"] == "Succeeded" || status["phase"] == "Failed";
            if !picked || over || (!metadata["deletionTimestamp"].is_null() && !publish) {
                continue;
            }
            let address = list(&status["podIPs"])
                .filter_map(|it| it["ip"].as_str())
                .find(|ip| ip.contains(':') == is_ipv6);
            let Some(address) = address else { continue };
            let ready = list(&status["conditions"]).any(|it| it["type"] == "Ready" && it["status"] == "True");
            let uid = metadata["uid"].as_str().unwrap_or_default();
            for port in list(&spec["ports"]) {
                if let Some(number) = port_of(pod, port) {
                    let port = json!([port["name"], number, port["protocol"]]);
                    entries.push(entry(address, uid, ready || publish, &port));
                }
            }
        }
        entries
    }
}

fn of_endpoints(endpoints: &Value) -> Entries {
    let mut entries = Entries::new();
    for subset in list(&endpoints["subsets"]) {
        for (key, ready) in [("addresses", true), ("notReadyAddresses", false)] {
            for address in list(&subset[key]) {
                let uid = address["targetRef"]["uid"].as_str().unwrap_or_default();
                for port in list(&subset["ports"]) {
                    let port = json!([port["name"], port["port"], port["protocol"]]);
                    entries.push(entry(address["ip"].as_str().unwrap_or_default(), uid, ready, &port));
                }
            }
        }
    }
    entries
}

fn of_slice(slice: &Value) -> Entries {
    let mut entries = Entries::new();
    for endpoint in list(&slice["endpoints"]) {
        let uid = endpoint["targetRef"]["uid"].as_str().unwrap_or_default();
        let ready = endpoint["conditions"]["ready"] == true;
        for port in list(&slice["ports"]) {
            let port = json!([port["name"], port["port"], port["protocol"]]);
            entries.push(entry(endpoint["addresses"][0].as_str().unwrap_or_default(), uid, ready, &port));
        }
    }
    entries
}

fn entry(address: &str, uid: &str, ready: bool, port: &Value) -> String {
    // No name and an empty one are the same in Endpoints.
    let port = if port[0].is_null() { json!(["", port[1], port[2]]) } else { port.clone() };
    format!("{address} {uid} {} {port}", if ready { "ready" } else { "not ready" })
}

/// The number of a Service's port at a Pod.
fn port_of(pod: &Value, port: &Value) -> Option<Value> {
    let Value::String(wanted) = &port["targetPort"] else { return Some(port["targetPort"].clone()) };
    list(&pod["spec"]["containers"])
        .flat_map(|container| list(&container["ports"]))
        .find(|it| it["name"] == *wanted && it["protocol"] == port["protocol"])
        .map(|it| it["containerPort"].clone())
}
