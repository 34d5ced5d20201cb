//! Is everything as it should be?

use std::collections::BTreeMap;
use std::sync::Arc;

use fairlead_endpointslice::{Ahead, Context, Facts, Memory, NodeTable, plan, service_of};
use fairlead_fake_api::{FakeApi, NODES, PODS, SERVICES, SLICES};
use fairlead_objects::{Istr, Node, Pod, Service, Slice};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::process::CAPACITY;

/// Two judges: a plan from scratch has nothing to do, and the union of the slices is what a naive model says.
pub(crate) fn check(api: &FakeApi) -> Result<(), String> {
    let (services, pods) = (api.list(&SERVICES), api.list(&PODS));
    let (nodes, slices) = (api.list(&NODES), api.list(&SLICES));
    let world = World { pods: &pods, nodes: &nodes, slices: &slices };
    for service in &services {
        let name = &service["metadata"]["name"];
        world.union_is_right(service).map_err(|error| format!("Service {name}: {error}"))?;
        world.plan_is_idle(service).map_err(|error| format!("Service {name}: {error}"))?;
    }
    Ok(())
}

struct World<'a> {
    pods: &'a [Arc<Value>],
    nodes: &'a [Arc<Value>],
    slices: &'a [Arc<Value>],
}

fn records<T: DeserializeOwned>(objects: &[Arc<Value>]) -> Vec<Arc<T>> {
    objects.iter().map(|object| Arc::new(record(object))).collect()
}

fn record<T: DeserializeOwned>(object: &Value) -> T {
    T::deserialize(object).expect("the object is of its kind")
}

/// Does a selector pick an object?
fn picks(selector: &Value, object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    selector.as_object().is_some_and(|pairs| pairs.iter().all(|(key, value)| labels[key] == *value))
}

impl World<'_> {
    fn plan_is_idle(&self, service: &Value) -> Result<(), String> {
        let picked: Vec<_> =
            self.pods.iter().filter(|pod| picks(&service["spec"]["selector"], pod)).cloned().collect();
        let service = Arc::new(record::<Service>(service));
        let nodes = records::<Node>(self.nodes);
        let find = |name: &Istr| nodes.iter().find(|node| node.key.name == *name).cloned();
        let mut slices = records::<Slice>(self.slices);
        slices.retain(|slice| service_of(slice) == Some(&service.key.name));
        let context = Context {
            service: &service,
            node: &find,
            node_table: &NodeTable::new(nodes.iter().map(AsRef::as_ref)),
            max_endpoints_per_slice: CAPACITY,
            pods_changed: None,
        };
        let facts = Facts { context, pods: &records::<Pod>(&picked), slices: &slices };
        let plan = plan(&facts, &Memory::default(), Ahead::Anything);
        if plan.actions.is_empty() {
            Ok(())
        } else {
            Err(format!("there is something to do: {:?}", plan.actions))
        }
    }

    /// Endpoints as JSON with the number of times that they are there.
    fn union_is_right(&self, service: &Value) -> Result<(), String> {
        let spec = &service["spec"];
        if spec["selector"].is_null() || spec["type"] == "ExternalName" {
            return Ok(());
        }
        let name = &service["metadata"]["name"];
        for family in ["IPv4", "IPv6"] {
            let wanted = spec["ipFamilies"].as_array().is_some_and(|list| list.iter().any(|it| it == family));
            let expected = if wanted { self.expected(service, family) } else { BTreeMap::new() };
            let mut found = BTreeMap::new();
            let mut count = 0;
            for slice in self.slices {
                let metadata = &slice["metadata"];
                let ours = metadata["labels"]["kubernetes.io/service-name"] == *name
                    && metadata["labels"]["endpointslice.kubernetes.io/managed-by"]
                        == "endpointslice-controller.k8s.io";
                if !ours || slice["addressType"] != family || !metadata["deletionTimestamp"].is_null() {
                    continue;
                }
                count += 1;
                // A placeholder is kept whosever it is, as upstream does it.
                let is_empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
                let placeholder = is_empty(&slice["endpoints"]) && is_empty(&slice["ports"]);
                if !placeholder && metadata["ownerReferences"][0]["uid"] != service["metadata"]["uid"] {
                    return Err(format!("{} belongs to another Service", metadata["name"]));
                }
                for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
                    *found.entry(published(slice, endpoint).to_string()).or_insert(0) += 1;
                }
            }
            if (count > 0) != wanted {
                return Err(format!("{count} slices of {family}"));
            }
            if found != expected {
                return Err(format!("{family} endpoints are {found:?}, should be {expected:?}"));
            }
        }
        Ok(())
    }

    fn expected(&self, service: &Value, family: &str) -> BTreeMap<String, usize> {
        let spec = &service["spec"];
        let publish = spec["publishNotReadyAddresses"] == true;
        let mut endpoints = BTreeMap::new();
        for pod in self.pods.iter().filter(|pod| picks(&spec["selector"], pod)) {
            let (metadata, status) = (&pod["metadata"], &pod["status"]);
            if status["phase"] == "Succeeded" || status["phase"] == "Failed" {
                continue;
            }
            let address =
                status["podIPs"].as_array().into_iter().flatten().filter_map(|it| it["ip"].as_str());
            let Some(address) = { address }.find(|ip| ip.contains(':') == (family == "IPv6")) else {
                continue;
            };
            let node = self.nodes.iter().find(|node| node["metadata"]["name"] == pod["spec"]["nodeName"]);
            if node.is_none() && !publish {
                continue;
            }
            let ready = status["conditions"][0]["status"] == "True";
            let terminating = !metadata["deletionTimestamp"].is_null();
            let endpoint = json!({
                "pod": metadata["name"], "uid": metadata["uid"], "address": address,
                "ready": publish || (ready && !terminating), "serving": ready, "terminating": terminating,
                "node": pod["spec"]["nodeName"],
                "zone": node.map_or(&Value::Null, |node| &node["metadata"]["labels"]["topology.kubernetes.io/zone"]),
                "ports": ports(spec, pod),
            });
            *endpoints.entry(endpoint.to_string()).or_insert(0) += 1;
        }
        endpoints
    }
}

/// Name, protocol and number of each port, sorted.
fn ports(spec: &Value, pod: &Value) -> Vec<String> {
    let container = &pod["spec"]["containers"][0]["ports"][0];
    let mut ports: Vec<_> = spec["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|port| {
            let number = match &port["targetPort"] {
                Value::String(name) if container["name"] == *name => container["containerPort"].clone(),
                Value::String(_) => return None,
                number => number.clone(),
            };
            Some(format!("{} {} {number}", port["name"], port["protocol"]))
        })
        .collect();
    ports.sort();
    ports
}

fn published(slice: &Value, endpoint: &Value) -> Value {
    let listed = slice["ports"].as_array().into_iter().flatten();
    let mut ports: Vec<_> =
        listed.map(|port| format!("{} {} {}", port["name"], port["protocol"], port["port"])).collect();
    ports.sort();
    let (target, conditions) = (&endpoint["targetRef"], &endpoint["conditions"]);
    json!({
        "pod": target["name"], "uid": target["uid"], "address": endpoint["addresses"][0],
        "ready": conditions["ready"], "serving": conditions["serving"], "terminating": conditions["terminating"],
        "node": endpoint["nodeName"], "zone": endpoint["zone"], "ports": ports,
    })
}
