//! Objects without what differs by chance between two clusters: generated names, uids, versions and times.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::mirror::Copy;
use crate::operation::Kind;

const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// What the endpointslice-controller writes in [`MANAGED_BY`].
pub(crate) const SLICE_CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// What the endpointslice-mirroring-controller writes there.
pub(crate) const MIRRORING_CONTROLLER: &str = "endpointslicemirroring-controller.k8s.io";
/// The annotation that operations put on slices and that no controller knows.
pub(crate) const NOTE: &str = "example.com/note";

/// The trigger time of what was written for a Service that was new to the controller.
pub(crate) const CREATION: &str = "creation of the Service";

/// What the API server chose when operations created objects in one namespace of one side.
#[derive(Clone, Debug, Default)]
pub(crate) struct Births {
    uids: BTreeMap<String, String>,
    counts: BTreeMap<(Kind, String), usize>,
    services: BTreeMap<String, Vec<String>>,
}

impl Births {
    /// Remembers an object as the API server returned it from its creation.
    pub(crate) fn remember(&mut self, kind: Kind, object: &Value) {
        let metadata = &object["metadata"];
        let text = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
        let name = text("name");
        let count = self.counts.entry((kind, name.clone())).or_default();
        *count += 1;
        self.uids.insert(text("uid"), format!("{kind:?} {name} #{count}"));
        if kind == Kind::Service {
            self.services.entry(name).or_default().push(text("creationTimestamp"));
        }
    }
}

/// A namespace as it is compared.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) endpoints: BTreeMap<String, Endpoints>,
    pub(crate) slices: Vec<Slice>,
}

/// An Endpoints object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Endpoints {
    /// Subsets in their order, labels and annotations.
    pub(crate) body: Value,
    /// The trigger time annotation.
    pub(crate) trigger: Option<String>,
}

/// A slice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slice {
    /// Value of the label that names the Service.
    pub(crate) service: String,
    pub(crate) managed_by: String,
    pub(crate) family: String,
    /// All else but what follows, as JSON.
    pub(crate) header: String,
    /// The ports, which are in the header, too.
    pub(crate) ports: String,
    pub(crate) endpoints: Vec<Endpoint>,
    /// The trigger time annotation.
    pub(crate) trigger: Option<String>,
    /// The annotation [`NOTE`], unless the mirroring controller rules over the annotations.
    pub(crate) note: Option<String>,
    /// Its name in this cluster, which is not compared.
    pub(crate) name: Name,
}

/// A generated name: all are equal.
#[derive(Clone, Debug)]
pub(crate) struct Name(pub(crate) String);

impl PartialEq for Name {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, _other: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

/// One endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Endpoint {
    /// All but the hints, as JSON.
    pub(crate) body: String,
    /// The hints, as JSON.
    pub(crate) hints: Option<String>,
}

/// The Endpoints and slices of a namespace in comparable form.
pub(crate) fn state(copy: &Copy, births: &Births) -> State {
    let reader = Reader { copy, births };
    let endpoints = copy.of(Kind::Endpoints).map(|(name, it)| (name.to_owned(), reader.endpoints(name, it)));
    let mut slices: Vec<_> = copy.of(Kind::EndpointSlice).map(|(name, it)| reader.slice(name, it)).collect();
    slices.sort();
    State { endpoints: endpoints.collect(), slices }
}

struct Reader<'a> {
    copy: &'a Copy,
    births: &'a Births,
}

impl Reader<'_> {
    fn endpoints(&self, name: &str, object: &Value) -> Endpoints {
        let (mut annotations, trigger) = self.annotations(name, object);
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        let mut subsets = object["subsets"].clone();
        self.replace_uids(&mut subsets);
        order_without_uids(&mut subsets);
        let body = json!({ "labels": object["metadata"]["labels"], "annotations": annotations,
            "owners": self.owners(object), "subsets": subsets });
        Endpoints { body, trigger }
    }

    fn slice(&self, name: &str, object: &Value) -> Slice {
        let metadata = &object["metadata"];
        let label = |key: &str| metadata["labels"][key].as_str().unwrap_or_default().to_owned();
        let (service, managed_by) = (label(SERVICE_NAME), label(MANAGED_BY));
        let (mut annotations, trigger) = self.annotations(&service, object);
        let mut note = None;
        if managed_by != MIRRORING_CONTROLLER {
            note = annotations.remove(NOTE).and_then(|it| it.as_str().map(str::to_owned));
        }
        let ports = sorted(&object["ports"]);
        let header = json!({
            "name": without_suffix(name), "labels": metadata["labels"], "annotations": annotations,
            "owners": self.owners(object), "finalizers": metadata["finalizers"],
            "terminating": !metadata["deletionTimestamp"].is_null(),
            "ports": ports,
        });
        let mut endpoints: Vec<_> =
            object["endpoints"].as_array().into_iter().flatten().map(|it| self.endpoint(it)).collect();
        endpoints.sort();
        let family = object["addressType"].as_str().unwrap_or_default().to_owned();
        let (header, ports, name) = (header.to_string(), ports.join(","), Name(name.to_owned()));
        Slice { service, managed_by, family, header, ports, endpoints, trigger, note, name }
    }

    fn endpoint(&self, endpoint: &Value) -> Endpoint {
        let mut body = endpoint.clone();
        self.replace_uids(&mut body);
        let hints = body.as_object_mut().and_then(|it| it.remove("hints")).map(|hints| hints.to_string());
        Endpoint { body: body.to_string(), hints }
    }

    /// The annotations without the trigger time, and that time: a Service's time of creation differs between
    /// clusters, all others are of operations.
    fn annotations(&self, service: &str, object: &Value) -> (Map<String, Value>, Option<String>) {
        let mut annotations = object["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        let trigger = annotations.remove(TRIGGER_TIME).and_then(|it| it.as_str().map(str::to_owned));
        let created = |time: &String| self.births.services.get(service).is_some_and(|all| all.contains(time));
        let trigger = trigger.map(|time| if created(&time) { CREATION.to_owned() } else { time });
        (annotations, trigger)
    }

    fn owners(&self, object: &Value) -> Value {
        let mut owners = object["metadata"]["ownerReferences"].clone();
        self.replace_uids(&mut owners);
        owners
    }

    /// Puts the name of what a uid belongs to in its place, wherever one is.
    fn replace_uids(&self, value: &mut Value) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(|it| self.replace_uids(it)),
            Value::Object(fields) => {
                if let Some(uid) = fields.get("uid").and_then(Value::as_str) {
                    let known = self.owner(uid);
                    fields.insert("uid".to_owned(), known.into());
                }
                fields.values_mut().for_each(|it| self.replace_uids(it));
            }
            _ => {}
        }
    }

    fn owner(&self, uid: &str) -> String {
        let is_it = |object: &Value| object["metadata"]["uid"] == uid;
        if let Some((name, _)) = self.copy.of(Kind::Endpoints).find(|(_, it)| is_it(it)) {
            return format!("Endpoints {name}, alive");
        }
        let known = self.births.uids.get(uid).cloned();
        // Operations write uids that no API server would make.
        known.unwrap_or_else(|| if uid.len() == 36 { "gone".to_owned() } else { uid.to_owned() })
    }
}

/// Orders what controllers order by uids, which differ between clusters: addresses that are alike up to their Pods, and
/// subsets, whose order is that of hashes over all that is in them. All other order is theirs.
fn order_without_uids(subsets: &mut Value) {
    let Some(subsets) = subsets.as_array_mut() else { return };
    for subset in subsets.iter_mut() {
        for key in ["addresses", "notReadyAddresses"] {
            for alike in subset
                .get_mut(key)
                .and_then(Value::as_array_mut)
                .into_iter()
                .flat_map(|all| all.chunk_by_mut(|a, b| a["ip"] == b["ip"]))
            {
                alike.sort_by_key(Value::to_string);
            }
        }
    }
    subsets.sort_by_key(Value::to_string);
}

/// A name without what the API server appended to it. There is no looking at `generateName`: upstream's mirroring
/// controller drops it where it uses a slice again.
fn without_suffix(name: &str) -> &str {
    let generated =
        |it: &str| it.len() == 5 && it.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit());
    name.rsplit_once('-').filter(|(_, suffix)| generated(suffix)).map_or(name, |(prefix, _)| prefix)
}

/// A list in an order that does not depend on hashes.
fn sorted(list: &Value) -> Vec<String> {
    let mut list: Vec<_> = list.as_array().into_iter().flatten().map(Value::to_string).collect();
    list.sort();
    list
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn slice(name: &str, uid: &str) -> Value {
        json!({
            "metadata": { "name": name, "labels": { SERVICE_NAME: "web" },
                "annotations": { TRIGGER_TIME: "2026-01-01T00:00:00Z" },
                "ownerReferences": [{ "kind": "Service", "name": "web", "uid": uid }] },
            "addressType": "IPv4", "endpoints": [], "ports": [],
        })
    }

    fn copy(name: &str, uid: &str) -> (Copy, Births) {
        let mut copy = Copy::default();
        copy.objects.insert((Kind::EndpointSlice, name.to_owned()), Arc::new(slice(name, uid)));
        let mut births = Births::default();
        let metadata = json!({ "name": "web", "uid": uid, "creationTimestamp": "2026-01-01T00:00:00Z" });
        births.remember(Kind::Service, &json!({ "metadata": metadata }));
        (copy, births)
    }

    #[test]
    fn only_the_order_that_uids_make_is_free() {
        let ordered = |mut subsets: Value| {
            order_without_uids(&mut subsets);
            subsets
        };
        let address = |ip: &str, pod: &str| json!({ "ip": ip, "targetRef": { "uid": pod } });
        let subset =
            |addresses: [Value; 2], port: u16| json!({ "addresses": addresses, "ports": [{ "port": port }] });
        let (one, other) = (address("10.0.0.1", "p"), address("10.0.0.1", "q"));
        let left = json!([subset([one.clone(), other.clone()], 1), subset([one.clone(), other.clone()], 2)]);
        let right = json!([subset([other.clone(), one.clone()], 2), subset([other, one.clone()], 1)]);
        assert_eq!(ordered(left), ordered(right));
        let last = address("10.0.0.2", "r");
        let (right, wrong) = (subset([one.clone(), last.clone()], 1), subset([last, one], 1));
        assert_ne!(ordered(json!([right])), ordered(json!([wrong])));
    }

    #[test]
    fn chance_does_not_count_and_content_does() {
        let uids = ["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"];
        let (one, births) = copy("web-abcde", uids[0]);
        let (other, other_births) = copy("web-fghij", uids[1]);
        let (left, right) = (state(&one, &births), state(&other, &other_births));
        assert_eq!(left.slices, right.slices);
        assert_eq!(left.slices[0].trigger.as_deref(), Some(CREATION));
        let (named, births) = copy("web-by-hand", uids[0]);
        assert_ne!(state(&named, &births).slices, left.slices);
        // The owner of another life is another owner.
        let stale = state(&one, &other_births);
        assert_ne!(stale.slices, right.slices);
        assert!(stale.slices[0].header.contains("gone"), "{}", stale.slices[0].header);
    }
}
