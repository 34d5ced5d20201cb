//! Objects that kube-controller-manager 1.33 has left (`../captured`) are as they should be: nothing is written.
//!
//! They were captured from a live one, and are captured again, by
//! `FAIRLEAD_KUBERNETES_VERSION=1.33 cargo test --workspace --test capture -- --ignored`.

use std::sync::Arc;

use fairlead_endpointslice::service_of;
use fairlead_objects::{Pod, Service, testing};
use serde::de::DeserializeOwned;

use crate::support::{Cluster, NOTHING, writes};

const SERVICES: &str = include_str!("../captured/services.jsonl");
const PODS: &str = include_str!("../captured/pods.jsonl");
const NODES: &str = include_str!("../captured/nodes.jsonl");
const SLICES: &str = include_str!("../captured/endpointslices.jsonl");
/// How kube-controller-manager was started.
const CAPACITY: usize = 4;

fn records<T: DeserializeOwned>(lines: &str) -> Vec<Arc<T>> {
    lines.lines().map(|line| Arc::new(testing::decode(line))).collect()
}

fn picks(service: &Service, pod: &Pod) -> bool {
    let selector = service.selector.iter().flat_map(|selector| selector.iter());
    pod.key.namespace == service.key.namespace
        && selector.into_iter().all(|(key, value)| pod.labels.get(key) == Some(value))
}

/// Every Service with all that its plan may depend on.
fn clusters() -> Vec<Cluster> {
    let (pods, slices) = (records::<Pod>(PODS), records(SLICES));
    let services = records::<Service>(SERVICES);
    let cluster = |service: &Arc<Service>| {
        let mut cluster = Cluster::new(Service::clone(service));
        cluster.pods = pods.iter().filter(|pod| picks(service, pod)).cloned().collect();
        cluster.nodes = records(NODES);
        cluster.slices.clone_from(&slices);
        cluster.capacity = CAPACITY;
        cluster
    };
    services.iter().map(cluster).collect()
}

#[test]
fn nothing_is_written_on_objects_captured_from_kube_controller_manager() {
    let clusters = clusters();
    assert!(clusters.len() > 15 && clusters[0].slices.len() > 30, "they are all there");
    for cluster in clusters {
        let plan = cluster.plan();
        assert_eq!(writes(&plan), NOTHING, "{}: {:?}", cluster.service.key, plan.actions);
        assert_eq!(plan.missing_nodes, [], "{}", cluster.service.key);
    }
}

/// The test above looks at every one of them.
#[test]
fn a_captured_slice_that_somebody_changes_is_written() {
    let mut changed = 0;
    for cluster in clusters() {
        let is_own = |at: &usize| service_of(&cluster.slices[*at]) == Some(&cluster.service.key.name);
        let has_pods = cluster.service.selector.is_some() && !cluster.pods.is_empty();
        for at in (0..cluster.slices.len()).filter(is_own).filter(|_| has_pods) {
            let mut cluster = cluster.clone();
            cluster.change_slice(at, |slice| {
                for endpoint in &mut slice.endpoints {
                    endpoint.conditions.ready = endpoint.conditions.ready.map(|ready| !ready);
                }
            });
            assert_eq!(writes(&cluster.plan()), (0, 1, 0), "{}", cluster.slices[at].key);
            changed += 1;
        }
    }
    assert!(changed > 20, "{changed}");
}
