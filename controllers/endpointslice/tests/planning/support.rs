//! A Service with its Pods, Nodes and slices in memory.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use fairlead_discovery::names::{SERVICE_NAME, SLICE_CONTROLLER, SLICE_MANAGED_BY};
use fairlead_discovery::pod_change_time;
use fairlead_endpointslice::{
    Action, Ahead, Context, Facts, FamilyCounts, Lookup, Memory, NodeTable, Plan, Written, plan, plan_pods,
};
use fairlead_objects::{
    AddressType, Addresses, Endpoint, Family, Istr, Node, ObjectKey, OwnerReference, Pod, PortSet,
    ResourceVersion, Service, Slice, TargetRef, testing,
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Numbers of creates, updates and deletes.
pub(crate) type Writes = (usize, usize, usize);

pub(crate) const NOTHING: Writes = (0, 0, 0);

#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) service: Service,
    pub(crate) pods: Vec<Arc<Pod>>,
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) slices: Vec<Arc<Slice>>,
    pub(crate) capacity: usize,
    pub(crate) memory: Memory,
    /// The Pods when the last plan was applied.
    planned_pods: Vec<Arc<Pod>>,
    /// Versions and names that were given out.
    written: u64,
}

impl Cluster {
    /// A Service without Pods in a cluster with the Node `node-1` in `zone-a`.
    pub(crate) fn new(service: Service) -> Self {
        Self {
            service,
            pods: Vec::new(),
            nodes: vec![Arc::new(testing::node("node-1", Some("zone-a")))],
            slices: Vec::new(),
            capacity: 100,
            memory: Memory::default(),
            planned_pods: Vec::new(),
            written: 1,
        }
    }

    /// The ordinary IPv4 Service with so many ready Pods.
    pub(crate) fn with_pods(count: usize) -> Self {
        let mut cluster = Self::new(testing::service("web"));
        cluster.add_pods(0..count);
        cluster
    }

    pub(crate) fn add_pods(&mut self, numbers: std::ops::Range<usize>) {
        self.pods.extend(numbers.map(|n| Arc::new(pod(n))));
    }

    /// Changes one Pod.
    pub(crate) fn change_pod(&mut self, at: usize, change: impl FnOnce(&mut Pod)) {
        change(Arc::make_mut(&mut self.pods[at]));
    }

    /// Changes one slice, as somebody else would.
    pub(crate) fn change_slice(&mut self, at: usize, change: impl FnOnce(&mut Slice)) {
        self.written += 1;
        let slice = Arc::make_mut(&mut self.slices[at]);
        slice.version = ResourceVersion::Number(self.written);
        change(slice);
    }

    fn planned<T>(&self, make: impl FnOnce(&Context<'_>) -> T) -> T {
        let find = |name: &Istr| self.nodes.iter().find(|node| node.key.name == *name).map(Arc::clone);
        let context = Context {
            service: &Arc::new(self.service.clone()),
            node: &find,
            node_table: &NodeTable::new(self.nodes.iter().map(AsRef::as_ref)),
            max_endpoints_per_slice: NonZeroUsize::new(self.capacity).expect("tests give a capacity"),
            pods_changed: self.pods_changed(),
        };
        make(&context)
    }

    /// Plans everything.
    pub(crate) fn plan(&self) -> Plan {
        self.planned(|context| {
            let facts = Facts { context: *context, pods: &self.pods, slices: &self.slices };
            plan(&facts, &self.memory, Ahead::Pods)
        })
    }

    /// Plans these Pods alone, if that is possible.
    pub(crate) fn plan_pods(&self, pods: &BTreeSet<Istr>) -> Option<Plan> {
        self.plan_pods_with(self, pods)
    }

    pub(crate) fn plan_pods_with(&self, lookup: &dyn Lookup, pods: &BTreeSet<Istr>) -> Option<Plan> {
        self.planned(|context| plan_pods(context, lookup, pods, &self.memory))
    }

    /// When the earliest change of a Pod happened since the last plan was applied.
    fn pods_changed(&self) -> Option<Timestamp> {
        let times = self.pods.iter().map(|pod| {
            let old = self.planned_pods.iter().find(|old| old.key == pod.key);
            pod_change_time(old.map(AsRef::as_ref), Some(pod))
        });
        times.flatten().min()
    }

    /// Plans, writes everything and returns what was written.
    pub(crate) fn sync(&mut self) -> Writes {
        let plan = self.plan();
        let writes = writes(&plan);
        self.apply(plan);
        writes
    }

    /// Plans and writes everything, and returns the numbers of the only family.
    pub(crate) fn sync_counts(&mut self) -> FamilyCounts {
        let plan = self.plan();
        let [counts] = plan.families[..] else { panic!("one family expected: {:?}", plan.families) };
        self.apply(plan);
        counts
    }

    /// Writes a plan as an API server would.
    pub(crate) fn apply(&mut self, plan: Plan) {
        let mut answers = Vec::new();
        for action in plan.actions {
            self.written += 1;
            answers.push(match action {
                Action::Create(desired) => {
                    let body = to_json(&desired.create_body());
                    let prefix = body["metadata"]["generateName"].as_str().unwrap_or_default();
                    assert!(body["metadata"].get("name").is_none() && prefix.len() <= 253);
                    let cut = &prefix[..prefix.len().min(58)];
                    let name = format!("{cut}{:05}", self.written);
                    let server =
                        json!({"name": name, "uid": format!("uid-{}", self.written), "generation": 1});
                    let slice = self.stored(body, &server);
                    self.slices.push(Arc::clone(&slice));
                    Written::Created(slice)
                }
                Action::Update { current, desired } => {
                    let body = to_json(&desired.update_body(&current));
                    let at = self.find(&current);
                    let old = &self.slices[at];
                    assert_eq!(body["metadata"]["name"], old.key.name.as_str());
                    assert_eq!(body["metadata"]["resourceVersion"], old.version.to_string(), "conflict");
                    assert_eq!(
                        old.address_type,
                        AddressType::Ip(desired.family),
                        "the address type is immutable"
                    );
                    let server = json!({"uid": old.uid.to_string(), "generation": old.generation + 1});
                    self.slices[at] = self.stored(body, &server);
                    Written::Updated { before: current, after: Arc::clone(&self.slices[at]) }
                }
                Action::Delete(current) => {
                    let at = self.find(&current);
                    Written::Deleted(self.slices.remove(at))
                }
            });
        }
        if let Some(next) = plan.next {
            self.memory.written(next, &answers);
        }
        self.planned_pods.clone_from(&self.pods);
    }

    fn find(&self, slice: &Slice) -> usize {
        let found = self.slices.iter().position(|it| it.uid == slice.uid && it.key == slice.key);
        found.expect("only slices that exist are written")
    }

    /// What the API server makes of a body, read back.
    fn stored(&self, mut body: Value, server: &Value) -> Arc<Slice> {
        let metadata = body["metadata"].as_object_mut().expect("every body has metadata");
        metadata.extend(
            server.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())),
        );
        metadata.insert("resourceVersion".into(), self.written.to_string().into());
        let owners = metadata["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert!(
            owners.iter().filter(|owner| owner["controller"] == true).count() <= 1,
            "one controller at most"
        );
        let endpoints = body["endpoints"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert!(endpoints.len() <= 1000 && endpoints.iter().all(|it| it["addresses"][0].is_string()));
        Arc::new(serde_json::from_value(body).expect("a body is a slice"))
    }

    /// Numbers of endpoints of the slices, greatest first.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        let mut sizes: Vec<_> = self.slices.iter().map(|slice| slice.endpoints.len()).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        sizes
    }

    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.slices.iter().flat_map(|slice| &slice.endpoints)
    }

    /// The endpoint of a Pod; there must be exactly one.
    pub(crate) fn endpoint(&self, pod: &str) -> &Endpoint {
        let mut found = self.endpoints().filter(|it| name_of(it) == pod);
        let endpoint = found.next().unwrap_or_else(|| panic!("{pod} is no endpoint"));
        assert!(found.next().is_none(), "{pod} is an endpoint twice");
        endpoint
    }

    /// Names of the Pods that are endpoints, in order; one that is there twice is named twice.
    pub(crate) fn published(&self) -> Vec<String> {
        let mut names: Vec<_> = self.endpoints().map(|it| name_of(it).to_string()).collect();
        names.sort();
        names
    }

    /// Adds a slice of the Service, as kube-controller-manager would have left it, with the first port set of the
    /// Service and endpoints for these Pods.
    pub(crate) fn add_slice(&mut self, name: &str, family: Family, pods: &[Arc<Pod>]) -> &mut Slice {
        let of_these = Self { pods: pods.to_vec(), slices: Vec::new(), capacity: 1000, ..self.clone() };
        let mut made = Self { memory: Memory::default(), ..of_these };
        made.sync();
        let slice = made.slices.into_iter().find(|slice| slice.address_type == AddressType::Ip(family));
        let mut slice = slice.unwrap_or_else(|| panic!("the Service has no slice of {family:?}"));
        self.written += 1;
        let changed = Arc::make_mut(&mut slice);
        changed.key = ObjectKey::new(testing::NAMESPACE, name);
        changed.uid = format!("uid-of-slice-{name}").as_str().into();
        changed.version = ResourceVersion::Number(self.written);
        self.slices.push(slice);
        Arc::make_mut(self.slices.last_mut().expect("just pushed"))
    }

    /// Adds a slice in the first family with the Pods of these numbers.
    pub(crate) fn add_slice_of(&mut self, name: &str, numbers: std::ops::Range<usize>) -> &mut Slice {
        let pods = self.pods[numbers].to_vec();
        self.add_slice(name, Family::V4, &pods)
    }
}

impl Lookup for Cluster {
    fn pod(&self, name: &Istr) -> Option<Arc<Pod>> {
        self.pods.iter().find(|pod| pod.key.name == *name).cloned()
    }

    fn slice(&self, name: &Istr) -> Option<Arc<Slice>> {
        self.slices.iter().find(|slice| slice.key.name == *name).cloned()
    }
}

/// Ready Pod number `n` with addresses of its own in both families.
pub(crate) fn pod(n: usize) -> Pod {
    let number = u16::try_from(n).expect("tests have fewer Pods");
    let [high, low] = number.to_be_bytes();
    let addresses = [IpAddr::from([10, 244, high, low]), IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 1, number])];
    Pod { addresses: addresses.into(), ..testing::pod(&format!("web-{n:05}")) }
}

pub(crate) fn pod_name(n: usize) -> String {
    pod(n).key.name.to_string()
}

pub(crate) fn writes(plan: &Plan) -> Writes {
    let count = |kind: fn(&Action) -> bool| plan.actions.iter().filter(|action| kind(action)).count();
    (
        count(|action| matches!(action, Action::Create(_))),
        count(|action| matches!(action, Action::Update { .. })),
        count(|action| matches!(action, Action::Delete(_))),
    )
}

pub(crate) fn name_of(endpoint: &Endpoint) -> &str {
    match &endpoint.target {
        Some(TargetRef::Pod { name, .. }) => name,
        other => panic!("every endpoint stands for a Pod, not {other:?}"),
    }
}

pub(crate) fn ips(endpoint: &Endpoint) -> Vec<String> {
    match &endpoint.addresses {
        Addresses::One(address) => vec![address.to_string()],
        Addresses::Texts(texts) => texts.iter().map(ToString::to_string).collect(),
    }
}

/// Ready, serving, terminating.
pub(crate) fn conditions(endpoint: &Endpoint) -> [Option<bool>; 3] {
    let it = endpoint.conditions;
    [it.ready, it.serving, it.terminating]
}

pub(crate) fn port_numbers(ports: &PortSet) -> Vec<i32> {
    ports.iter().filter_map(|port| port.port).collect()
}

/// Labels of a slice without the two that all slices have.
pub(crate) fn labels_of(slice: &Slice) -> Vec<(&str, &str)> {
    assert_eq!(slice.labels.get(SLICE_MANAGED_BY).map(Istr::as_str), Some(SLICE_CONTROLLER));
    assert!(slice.labels.get(SERVICE_NAME).is_some());
    let pairs = slice.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    pairs.filter(|(key, _)| ![SERVICE_NAME, SLICE_MANAGED_BY].contains(key)).collect()
}

/// The one reference that this controller writes.
pub(crate) fn owner(service: &Service) -> OwnerReference {
    OwnerReference {
        api_version: "v1".into(),
        kind: "Service".into(),
        name: service.key.name.clone(),
        uid: service.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

pub(crate) fn to_json(body: &k8s_openapi::api::discovery::v1::EndpointSlice) -> Value {
    serde_json::to_value(body).expect("a body is JSON")
}
