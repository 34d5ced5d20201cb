//! The plan for one endpoint that changed, in Services with few and with many endpoints.
//!
//! Whoever writes a slice writes all of its endpoints, so slices of equal size are compared: with ten endpoints each,
//! and with the default of 100, which a Service of ten endpoints does not fill. And whoever looks at few records finds
//! them in the cache of the processor, so there are as many endpoints in all at each size, in more Services or in fewer,
//! and the same ones of them change in the same order, which comes to ever different Services, Pods and slices.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use fairlead_endpointslice::{
    Action, Ahead, Context, Facts, Lookup, Memory, NodeTable, Plan, Written, plan, plan_pods,
};
use fairlead_objects::{Istr, Node, ObjectKey, Pod, Service, Slice};
use serde_json::{Value, json};

use super::{FLAT, Options, decode};
use crate::recorded::{Kind, Recorded, Size, mix};
use crate::report::Report;
use crate::statistics::{cpu_time, number};

/// Endpoints of all Services together. Divisible by all sizes.
const ENDPOINTS: usize = 5000;
/// Endpoints in a slice, the sizes of Services, and which of these is the smallest that fills a slice.
const SHAPES: [(usize, &[usize], usize); 2] = [(10, &[10, 1000, 5000], 0), (100, &[10, 100, 1000, 5000], 1)];
/// Changes that are planned one by one in each measurement.
const CHANGES: usize = 200;
/// Plans of everything in each measurement: at least so many, and at least as many as there are Services.
const WHOLE: usize = 5;

/// Measures all sizes in turn.
pub(super) fn measure(report: &mut Report, options: &Options) -> io::Result<()> {
    for (capacity, sizes, smallest) in SHAPES {
        let changed = format!("plan one of {capacity} in a slice");
        let remembered = format!("plan one of {capacity} in a slice: remembering");
        let whole = format!("plan everything, {capacity} in a slice");
        report.progress(&format!("{ENDPOINTS} endpoints in Services of {sizes:?}, {capacity} in a slice"));
        let mut clusters = sizes
            .iter()
            .map(|&size| Cluster::new(ENDPOINTS / size, size, capacity))
            .collect::<io::Result<Vec<_>>>()?;
        for round in 0..options.rounds {
            for turn in 0..clusters.len() {
                let cluster = &mut clusters[(round + turn) % sizes.len()];
                let side = cluster.side();
                let Took { planning, remembering } = cluster.changes(round)?;
                report.add(&changed, &side, planning + remembering, "us")?;
                report.add(&remembered, &side, remembering, "us")?;
                report.add(&whole, &side, cluster.everything()?, "us")?;
            }
        }
        // Those whose slices are as large as the others'.
        for larger in &clusters[smallest + 1..] {
            report.want_ratio(&changed, &larger.side(), &clusters[smallest].side(), FLAT);
        }
    }
    Ok(())
}

/// Microseconds for each change.
struct Took {
    /// From the change to the writes.
    planning: f64,
    /// From the answers to these until the next plan can be made.
    remembering: f64,
}

/// Services of one size with their Pods, Nodes and slices in memory.
struct Cluster {
    services: Vec<Member>,
    /// Endpoints of each Service.
    size: usize,
    /// Of one Service after the other.
    pods: Vec<Arc<Pod>>,
    nodes: HashMap<Istr, Arc<Node>>,
    node_table: NodeTable,
    known: Known,
    capacity: NonZeroUsize,
    memories: HashMap<ObjectKey, Memory>,
    /// Versions that were given out.
    written: u64,
}

/// A Service and the names of its slices.
struct Member {
    service: Arc<Service>,
    slices: BTreeSet<Istr>,
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
    /// Services whose slices have been written.
    fn new(services: usize, size: usize, capacity: usize) -> io::Result<Self> {
        let recorded = Recorded::new(Size { services, pods: size, namespaces: 1, nodes: 100, dual: false });
        let members = decode::<Service>(&recorded, Kind::Services)?.into_iter().map(|mut service| {
            service.ip_families.truncate(1);
            Member { service: Arc::new(service), slices: BTreeSet::new() }
        });
        let pods: Vec<_> = decode::<Pod>(&recorded, Kind::Pods)?.into_iter().map(Arc::new).collect();
        let nodes: HashMap<Istr, Arc<Node>> = pods
            .iter()
            .filter_map(|pod| pod.node.clone())
            .map(|name| Ok((name.clone(), Arc::new(serde_json::from_value(node(&name))?))))
            .collect::<io::Result<_>>()?;
        let by_name = pods.iter().map(|pod| (pod.key.name.clone(), Arc::clone(pod))).collect();
        let mut cluster = Self {
            services: members.collect(),
            size,
            node_table: NodeTable::new(nodes.values().map(AsRef::as_ref)),
            pods,
            nodes,
            known: Known { pods: by_name, slices: HashMap::new() },
            capacity: NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN),
            memories: HashMap::new(),
            written: 0,
        };
        for at in 0..services {
            let mut memory = Memory::default();
            let mut plan = cluster.plan_everything(at, &memory);
            let answers = cluster.write(at, std::mem::take(&mut plan.actions))?;
            if let Some(next) = plan.next {
                memory.written(next, &answers);
            }
            cluster.memories.insert(cluster.services[at].service.key.clone(), memory);
        }
        Ok(cluster)
    }

    fn side(&self) -> String {
        format!("{} x {} endpoints", self.services.len(), self.size)
    }

    /// Endpoints change one after the other.
    fn changes(&mut self, round: usize) -> io::Result<Took> {
        let (mut planning, mut remembering) = (Duration::ZERO, Duration::ZERO);
        for change in 0..CHANGES {
            let (at, name) = self.flip(changing(round * CHANGES + change, self.pods.len()));
            let key = self.services[at].service.key.clone();
            let changed = BTreeSet::from([name]);

            let began = cpu_time();
            let mut memory = self.memories.remove(&key).unwrap_or_default();
            let plan = self.context(at, |context| plan_pods(context, &self.known, &changed, &memory));
            planning += cpu_time().saturating_sub(began);

            let Some(Plan { actions, next: Some(next), .. }) = plan else {
                return Err(io::Error::other(format!("{key} cannot be planned from one Pod")));
            };
            let [Action::Update { .. }] = actions[..] else {
                let found = actions.len();
                return Err(io::Error::other(format!(
                    "{key}: {found} writes for one Pod, instead of an update"
                )));
            };
            let answers = self.write(at, actions)?;

            let began = cpu_time();
            memory.written(next, &answers);
            self.memories.insert(key, memory);
            remembering += cpu_time().saturating_sub(began);
        }
        let each = |took: Duration| took.as_secs_f64() * 1e6 / number(CHANGES);
        Ok(Took { planning: each(planning), remembering: each(remembering) })
    }

    /// A Pod becomes ready or not ready. Says of which Service, and which one.
    fn flip(&mut self, pod: usize) -> (usize, Istr) {
        let mut changed = Pod::clone(&self.pods[pod]);
        changed.ready = !changed.ready;
        let (name, changed) = (changed.key.name.clone(), Arc::new(changed));
        self.known.pods.insert(name.clone(), Arc::clone(&changed));
        self.pods[pod] = changed;
        (pod / self.size, name)
    }

    /// What planning everything of a Service takes, when nothing is to be written. Microseconds.
    fn everything(&self) -> io::Result<f64> {
        let plans = self.services.len().max(WHOLE);
        let unknown = Memory::default();
        let began = cpu_time();
        for number in 0..plans {
            let at = changing(number, self.pods.len()) / self.size;
            let memory = self.memories.get(&self.services[at].service.key).unwrap_or(&unknown);
            if !self.plan_everything(at, memory).actions.is_empty() {
                return Err(io::Error::other("a plan writes what was just written"));
            }
        }
        Ok(cpu_time().saturating_sub(began).as_secs_f64() * 1e6 / number(plans))
    }

    fn context<T>(&self, at: usize, make: impl FnOnce(&Context<'_>) -> T) -> T {
        make(&Context {
            service: &self.services[at].service,
            node: &|name| self.nodes.get(name).cloned(),
            node_table: &self.node_table,
            max_endpoints_per_slice: self.capacity,
            pods_changed: None,
        })
    }

    fn plan_everything(&self, at: usize, memory: &Memory) -> Plan {
        let names = &self.services[at].slices;
        let slices: Vec<_> = names.iter().filter_map(|name| self.known.slice(name)).collect();
        let pods = &self.pods[at * self.size..][..self.size];
        self.context(at, |context| {
            plan(&Facts { context: *context, pods, slices: &slices }, memory, Ahead::Pods)
        })
    }

    /// Writes for a Service as an API server would, and gives its answers.
    fn write(&mut self, at: usize, actions: Vec<Action>) -> io::Result<Vec<Written>> {
        let mut answers = Vec::new();
        for action in actions {
            self.written += 1;
            answers.push(match action {
                Action::Create(desired) => {
                    let mut body = serde_json::to_value(desired.create_body())?;
                    body["metadata"]["name"] = format!("slice-{}", self.written).into();
                    body["metadata"]["uid"] = format!("uid-{}", self.written).into();
                    let slice = self.store(body)?;
                    self.services[at].slices.insert(slice.key.name.clone());
                    Written::Created(slice)
                }
                Action::Update { current, desired } => {
                    let mut body = serde_json::to_value(desired.update_body(&current))?;
                    body["metadata"]["uid"] = current.uid.to_string().into();
                    Written::Updated { after: self.store(body)?, before: current }
                }
                Action::Delete(slice) => {
                    self.known.slices.remove(&slice.key.name);
                    self.services[at].slices.remove(&slice.key.name);
                    Written::Deleted(slice)
                }
            });
        }
        Ok(answers)
    }

    fn store(&mut self, mut body: Value) -> io::Result<Arc<Slice>> {
        body["metadata"]["resourceVersion"] = self.written.to_string().into();
        body["metadata"]["generation"] = self.written.into();
        let slice: Arc<Slice> = Arc::new(serde_json::from_value(body)?);
        self.known.slices.insert(slice.key.name.clone(), Arc::clone(&slice));
        Ok(slice)
    }
}

/// Which of so many Pods changes: drawn, and the same at every size.
fn changing(change: usize, pods: usize) -> usize {
    // The remainder is less than a number of Pods.
    usize::try_from(mix(change) % pods.max(1) as u64).unwrap_or_default()
}

fn node(name: &Istr) -> Value {
    json!({"metadata": {"name": name.as_str(), "labels": {"topology.kubernetes.io/zone": "zone-a"}},
        "status": {"allocatable": {"cpu": "8"}}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_equal_at_every_size() {
        for (_, sizes, _) in SHAPES {
            assert!(sizes.iter().all(|size| ENDPOINTS.is_multiple_of(*size)), "{sizes:?}");
        }
        let few = Cluster::new(10, 4, 2).unwrap();
        let many = Cluster::new(1, 40, 2).unwrap();
        for cluster in [&few, &many] {
            assert_eq!((cluster.pods.len(), cluster.known.slices.len()), (40, 20));
            assert!(cluster.known.slices.values().all(|slice| slice.endpoints.len() == 2));
        }
        assert_eq!(few.memories.len(), 10);
    }

    #[test]
    fn changes_come_to_all_services_and_each_is_written() {
        let mut cluster = Cluster::new(10, 4, 2).unwrap();
        let begin = cluster.written;
        cluster.changes(0).unwrap();
        assert_eq!(cluster.written - begin, CHANGES as u64);
        let touched: BTreeSet<_> = (0..CHANGES).map(|change| changing(change, 40) / 4).collect();
        assert_eq!(touched.len(), 10);
        // Slices show what the Pods are, so nothing is left to write.
        cluster.everything().unwrap();
    }
}
