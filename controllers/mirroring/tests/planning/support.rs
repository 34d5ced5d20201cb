//! Endpoints with their Service and slices in memory.

use std::num::NonZeroUsize;
use std::sync::Arc;

use fairlead_mirroring::{Action, Counts, Facts, Plan, plan};
use fairlead_objects::{Endpoints, ObjectKey, Service, Slice, testing};
use serde_json::{Value, json};

/// Numbers of creates, updates and deletes.
pub(crate) type Writes = (usize, usize, usize);

pub(crate) const NOTHING: Writes = (0, 0, 0);
pub(crate) const NAMESPACE: &str = testing::NAMESPACE;
pub(crate) const UID: &str = "7c3f0a4e-52bb-4d0e-9f0a-0123456789ab";

/// Endpoints `db`, a Service of that name without selector, and all slices of the namespace.
#[derive(Clone)]
pub(crate) struct World {
    /// As it is stored.
    pub(crate) endpoints: Option<Value>,
    pub(crate) service: Option<Service>,
    pub(crate) slices: Vec<Value>,
    pub(crate) max: usize,
    /// Versions that were given out.
    pub(crate) written: u64,
}

/// Endpoints `db` with these subsets.
pub(crate) fn endpoints(subsets: &Value) -> Value {
    json!({ "metadata": { "namespace": NAMESPACE, "name": "db", "uid": UID, "resourceVersion": "1" }, "subsets": subsets })
}

/// A subset with one TCP port for each number, and ready addresses.
pub(crate) fn subset(addresses: &[&str], ports: &[i32]) -> Value {
    subset_of(addresses, &[], ports)
}

/// A subset with ready and other addresses.
pub(crate) fn subset_of(ready: &[&str], not_ready: &[&str], ports: &[i32]) -> Value {
    let list = |addresses: &[&str]| addresses.iter().map(|ip| json!({ "ip": ip })).collect::<Vec<_>>();
    let ports: Vec<_> = ports.iter().map(|port| self::port(*port)).collect();
    json!({ "addresses": list(ready), "notReadyAddresses": list(not_ready), "ports": ports })
}

pub(crate) fn port(number: i32) -> Value {
    json!({ "name": format!("p{number}"), "port": number, "protocol": "TCP" })
}

/// A slice of `db` that this controller could have made.
pub(crate) fn slice(name: &str, family: &str, addresses: &[&str], ports: &[i32]) -> Value {
    let endpoints: Vec<_> =
        addresses.iter().map(|ip| json!({ "addresses": [ip], "conditions": { "ready": true } })).collect();
    let ports: Vec<_> = ports.iter().map(|port| self::port(*port)).collect();
    json!({
        "metadata": {
            "namespace": NAMESPACE, "name": name, "generateName": "db-", "uid": format!("uid-of-{name}"),
            "resourceVersion": "1", "generation": 1,
            "labels": { "kubernetes.io/service-name": "db",
                "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io" },
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Endpoints", "name": "db", "uid": UID,
                "controller": true, "blockOwnerDeletion": true }],
        },
        "addressType": family, "ports": ports, "endpoints": endpoints,
    })
}

pub(crate) fn record(slice: &Value) -> Arc<Slice> {
    Arc::new(testing::decode(&slice.to_string()))
}

impl World {
    pub(crate) fn new(subsets: &Value) -> Self {
        let service = Service { selector: None, ..testing::service("db") };
        Self {
            endpoints: Some(endpoints(subsets)),
            service: Some(service),
            slices: Vec::new(),
            max: 1000,
            written: 1,
        }
    }

    /// With slices that are there already.
    pub(crate) fn with_slices(subsets: &Value, slices: impl IntoIterator<Item = Value>) -> Self {
        Self { slices: slices.into_iter().collect(), ..Self::new(subsets) }
    }

    /// Changes the Endpoints.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        change(self.endpoints.as_mut().expect("there are Endpoints"));
    }

    /// Changes a slice, as somebody else would.
    pub(crate) fn edit_slice(&mut self, at: usize, change: impl FnOnce(&mut Value)) {
        self.written += 1;
        self.slices[at]["metadata"]["resourceVersion"] = self.written.to_string().into();
        change(&mut self.slices[at]);
    }

    pub(crate) fn plan(&self) -> Plan {
        let endpoints: Option<Endpoints> = self.endpoints.as_ref().map(|it| testing::decode(&it.to_string()));
        let slices: Vec<_> = self.slices.iter().map(record).collect();
        plan(&Facts {
            key: &ObjectKey::new(NAMESPACE, "db"),
            endpoints: endpoints.as_ref(),
            service: self.service.as_ref(),
            slices: &slices,
            max_endpoints_per_subset: NonZeroUsize::new(self.max).expect("tests give a maximum"),
        })
    }

    /// Plans, writes everything and returns what was written.
    pub(crate) fn sync(&mut self) -> Writes {
        let plan = self.plan();
        for action in &plan.actions {
            self.write(action);
        }
        writes(&plan)
    }

    /// As [`World::sync`], with the numbers for the metrics.
    pub(crate) fn sync_counts(&mut self) -> (Writes, Counts) {
        let counts = self.plan().counts.unwrap_or_default();
        (self.sync(), counts)
    }

    /// Stores a write as an API server would.
    pub(crate) fn write(&mut self, action: &Action) {
        self.written += 1;
        let version = self.written.to_string();
        match action {
            Action::Create(desired) => {
                let mut body = serde_json::to_value(desired.create_body()).expect("it can be encoded");
                let prefix = body["metadata"]["generateName"].as_str().unwrap_or_default().to_owned();
                assert_eq!(prefix, "db-");
                body["metadata"]["name"] = format!("{prefix}{version}").into();
                body["metadata"]["uid"] = format!("uid-{version}").into();
                body["metadata"]["resourceVersion"] = version.into();
                self.slices.push(body);
            }
            Action::Update { current, desired } => {
                self.replace(current, desired.update_body(current), &version);
            }
            Action::Empty(slice) => self.replace(slice, Action::emptied_body(slice), &version),
            Action::Delete(slice) => {
                let before = self.slices.len();
                self.slices.retain(|it| it["metadata"]["uid"] != slice.uid.to_string());
                assert_eq!(self.slices.len() + 1, before, "{} is there", slice.key);
            }
        }
    }

    fn replace(
        &mut self,
        current: &Slice,
        body: k8s_openapi::api::discovery::v1::EndpointSlice,
        version: &str,
    ) {
        let mut body = serde_json::to_value(body).expect("it can be encoded");
        let is_it = |it: &&mut Value| it["metadata"]["name"] == current.key.name.as_str();
        let stored = self.slices.iter_mut().find(is_it).expect("it is there");
        assert_eq!(
            body["metadata"]["resourceVersion"], stored["metadata"]["resourceVersion"],
            "the version seen"
        );
        assert_eq!(body["addressType"], stored["addressType"], "immutable");
        for field in ["uid", "deletionTimestamp"] {
            body["metadata"][field] = stored["metadata"][field].take();
        }
        body["metadata"]["resourceVersion"] = version.into();
        *stored = body;
    }

    /// What this controller's slices of `db` hold: `family ports: address ...`, not ready ones with `!`, sorted.
    pub(crate) fn published(&self) -> Vec<String> {
        let mut slices: Vec<_> = self.slices.iter().filter(|it| is_ours(it)).map(describe).collect();
        slices.sort();
        slices
    }
}

pub(crate) fn is_ours(slice: &Value) -> bool {
    let labels = &slice["metadata"]["labels"];
    labels["kubernetes.io/service-name"] == "db"
        && labels["endpointslice.kubernetes.io/managed-by"] == "endpointslicemirroring-controller.k8s.io"
}

fn describe(slice: &Value) -> String {
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut endpoints: Vec<_> = array(&slice["endpoints"])
        .iter()
        .map(|it| {
            let mark = if it["conditions"]["ready"] == true { "" } else { "!" };
            format!("{mark}{}", it["addresses"][0].as_str().unwrap_or_default())
        })
        .collect();
    endpoints.sort();
    let mut ports: Vec<_> = array(&slice["ports"]).iter().map(|port| port["port"].to_string()).collect();
    ports.sort();
    let family = slice["addressType"].as_str().unwrap_or_default();
    format!("{family} {}: {}", ports.join(","), endpoints.join(" "))
}

pub(crate) fn writes(plan: &Plan) -> Writes {
    let count = |is: fn(&Action) -> bool| plan.actions.iter().filter(|action| is(action)).count();
    (
        count(|it| matches!(it, Action::Create(_))),
        count(|it| matches!(it, Action::Update { .. } | Action::Empty(_))),
        count(|it| matches!(it, Action::Delete(_))),
    )
}
