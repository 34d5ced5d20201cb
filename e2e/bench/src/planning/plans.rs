//! The plan for one endpoint that changed, in Services with few and with many endpoints.
//!
//! Whoever writes a slice writes all of its endpoints, so slices of equal size are compared: with ten endpoints each,
//! and with the default of 100, which a Service of ten endpoints does not fill.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use fairlead_endpointslice::{
    Action, Ahead, Context, Facts, Lookup, Memory, NodeTable, Plan, Written, plan, plan_pods,
};
use fairlead_objects::{Istr, Node, Pod, Service, Slice};
use serde_json::{Value, json};

use super::{FLAT, Options, STEP, decode};
use crate::recorded::{Kind, Recorded, Size};
use crate::report::Report;
use crate::statistics::{cpu_time, number};

/// Endpoints of the Services.
const SIZES: [usize; 3] = [10, 1000, 5000];
/// Changes that are planned one by one in each measurement.
const CHANGES: usize = 200;
/// Plans of everything in each measurement.
const WHOLE: usize = 5;

/// Measures all sizes in turn.
pub(super) fn measure(report: &mut Report, options: &Options) -> io::Result<()> {
    for (capacity, smallest) in [(10, 0), (100, 1)] {
        let changed = format!("plan one of {capacity} in a slice");
        let whole = format!("plan everything, {capacity} in a slice");
        report.progress(&format!("Services of {SIZES:?} endpoints, {capacity} in a slice"));
        let mut services =
            SIZES.iter().map(|&size| Cluster::new(size, capacity)).collect::<io::Result<Vec<_>>>()?;
        for round in 0..options.rounds {
            for turn in 0..services.len() {
                let service = &mut services[(round + turn) % SIZES.len()];
                let side = service.side();
                report.add(&changed, &side, service.changes(round)?, "us")?;
                report.add(&whole, &side, service.everything()?, "us")?;
            }
        }
        // Those whose slices are as large as the others'.
        for larger in &services[smallest + 1..] {
            report.want_ratio(&changed, &larger.side(), &services[smallest].side(), FLAT);
        }
    }
    Ok(())
}

/// A Service with its Pods, Nodes and slices in memory.
struct Cluster {
    service: Arc<Service>,
    pods: Vec<Arc<Pod>>,
    nodes: HashMap<Istr, Arc<Node>>,
    node_table: NodeTable,
    known: Known,
    capacity: NonZeroUsize,
    memory: Memory,
    /// Versions that were given out.
    written: u64,
}

/// What the caches would answer.
#[derive(Default)]
struct Known {
    pods: HashMap<Istr, Arc<Pod>>,
    slices: HashMap<Istr, Arc<Slice>>,
}

impl Lookup for Known {
    fn pod(&self, name: &Istr) -> Option<Arc<Pod>> {
        self.pods.get(name).cloned()
    }

    fn slice(&self, name: &Istr) -> Option<Arc<Slice>> {
        self.slices.get(name).cloned()
    }
}

impl Cluster {
    /// A Service whose slices have been written.
    fn new(endpoints: usize, capacity: usize) -> io::Result<Self> {
        let size = Size { services: 1, pods: endpoints, namespaces: 1, nodes: 100, dual: false };
        let recorded = Recorded::new(size);
        let mut service: Service = decode(&recorded, Kind::Services)?.swap_remove(0);
        service.ip_families.truncate(1);
        let pods: Vec<_> = decode::<Pod>(&recorded, Kind::Pods)?.into_iter().map(Arc::new).collect();
        let nodes: HashMap<Istr, Arc<Node>> = pods
            .iter()
            .filter_map(|pod| pod.node.clone())
            .map(|name| Ok((name.clone(), Arc::new(serde_json::from_value(node(&name))?))))
            .collect::<io::Result<_>>()?;
        let by_name = pods.iter().map(|pod| (pod.key.name.clone(), Arc::clone(pod))).collect();
        let mut cluster = Self {
            service: Arc::new(service),
            node_table: NodeTable::new(nodes.values().map(AsRef::as_ref)),
            pods,
            nodes,
            known: Known { pods: by_name, slices: HashMap::new() },
            capacity: NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN),
            memory: Memory::default(),
            written: 0,
        };
        let plan = cluster.plan_everything();
        cluster.write(plan)?;
        Ok(cluster)
    }

    fn side(&self) -> String {
        format!("{} endpoints", self.pods.len())
    }

    /// Endpoints change one after the other. Microseconds for each plan, and for remembering where its endpoints are.
    fn changes(&mut self, round: usize) -> io::Result<f64> {
        let mut took = Duration::ZERO;
        for change in 0..CHANGES {
            let at = (round * CHANGES + change) * STEP % self.pods.len();
            let mut pod = Pod::clone(&self.pods[at]);
            pod.ready = !pod.ready;
            let (name, pod) = (pod.key.name.clone(), Arc::new(pod));
            self.known.pods.insert(name.clone(), Arc::clone(&pod));
            self.pods[at] = pod;

            let changed = BTreeSet::from([name]);
            let began = cpu_time();
            let plan = self.context(|context| plan_pods(context, &self.known, &changed, &self.memory));
            took += cpu_time().saturating_sub(began);
            match plan {
                Some(plan) if matches!(plan.actions[..], [Action::Update { .. }]) => {
                    took += self.write(plan)?;
                }
                other => {
                    return Err(io::Error::other(format!(
                        "the plan for a Pod of {} is not one update: {:?}",
                        self.pods.len(),
                        other.map(|plan| plan.actions.len())
                    )));
                }
            }
        }
        Ok(took.as_secs_f64() * 1e6 / number(CHANGES))
    }

    /// What planning everything takes, when nothing is to be written. Microseconds.
    fn everything(&self) -> io::Result<f64> {
        let began = cpu_time();
        for _ in 0..WHOLE {
            let plan = self.plan_everything();
            if !plan.actions.is_empty() {
                return Err(io::Error::other("a plan writes what was just written"));
            }
        }
        Ok(cpu_time().saturating_sub(began).as_secs_f64() * 1e6 / number(WHOLE))
    }

    fn context<T>(&self, make: impl FnOnce(&Context<'_>) -> T) -> T {
        make(&Context {
            service: &self.service,
            node: &|name| self.nodes.get(name).cloned(),
            node_table: &self.node_table,
            max_endpoints_per_slice: self.capacity,
            pods_changed: None,
        })
    }

    fn plan_everything(&self) -> Plan {
        let slices: Vec<_> = self.known.slices.values().cloned().collect();
        self.context(|context| {
            let facts = Facts { context: *context, pods: &self.pods, slices: &slices };
            plan(&facts, &self.memory, Ahead::Pods)
        })
    }

    /// Writes a plan as an API server would, and says how long it took to remember what was written.
    fn write(&mut self, plan: Plan) -> io::Result<Duration> {
        let mut answers = Vec::new();
        for action in plan.actions {
            self.written += 1;
            answers.push(match action {
                Action::Create(desired) => {
                    let mut body = serde_json::to_value(desired.create_body())?;
                    body["metadata"]["name"] = format!("slice-{}", self.written).into();
                    body["metadata"]["uid"] = format!("uid-{}", self.written).into();
                    Written::Created(self.store(body)?)
                }
                Action::Update { current, desired } => {
                    let mut body = serde_json::to_value(desired.update_body(&current))?;
                    body["metadata"]["uid"] = current.uid.to_string().into();
                    Written::Updated { after: self.store(body)?, before: current }
                }
                Action::Delete(slice) => {
                    self.known.slices.remove(&slice.key.name);
                    Written::Deleted(slice)
                }
            });
        }
        let began = cpu_time();
        if let Some(next) = plan.next {
            self.memory.written(next, &answers);
        }
        Ok(cpu_time().saturating_sub(began))
    }

    fn store(&mut self, mut body: Value) -> io::Result<Arc<Slice>> {
        body["metadata"]["resourceVersion"] = self.written.to_string().into();
        body["metadata"]["generation"] = self.written.into();
        let slice: Arc<Slice> = Arc::new(serde_json::from_value(body)?);
        self.known.slices.insert(slice.key.name.clone(), Arc::clone(&slice));
        Ok(slice)
    }
}

fn node(name: &Istr) -> Value {
    json!({"metadata": {"name": name.as_str(), "labels": {"topology.kubernetes.io/zone": "zone-a"}},
        "status": {"allocatable": {"cpu": "8"}}})
}
