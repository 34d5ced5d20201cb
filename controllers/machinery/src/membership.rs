//! Services with their Pods and the Pods' Nodes, for all controllers of the process.
//!
//! Joins what the informers of Pods, Services and Nodes tell: it keeps the indexes and says which Services
//! must be looked at, and why.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use fairlead_objects::{Istr, Node, ObjectKey, Pod, Record, Service};
use parking_lot::{Mutex, RwLock};

use crate::informer::{Change, Informer, Store};
use crate::node_index::NodeIndex;
use crate::selector_index::{Concerned, SelectorIndex};

/// Why a Service must be looked at.
#[derive(Clone, Copy)]
pub enum Cause<'a> {
    /// The Service itself was created, changed or deleted.
    Service,
    /// A Pod of its namespace changed, joined or left.
    Pod {
        /// The Pod's name.
        name: &'a Istr,
        /// The Pod as the Service had it before; `None` if it joined.
        old: Option<&'a Pod>,
        /// The Pod as the Service has it now; `None` if it left.
        new: Option<&'a Pod>,
    },
    /// The Node of one of its Pods appeared or moved to another zone. Endpoints objects say nothing about Nodes.
    Node,
    /// The Node of one of its Pods vanished. It may be registered anew in a moment.
    NodeGone,
}

impl fmt::Debug for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service => f.write_str("Service"),
            Self::Pod { name, .. } => write!(f, "Pod {name}"),
            Self::Node => f.write_str("Node"),
            Self::NodeGone => f.write_str("NodeGone"),
        }
    }
}

type Handler = Box<dyn Fn(&ObjectKey, Cause<'_>) + Send + Sync>;

/// Which Pods a Service has.
pub struct Membership {
    pods: Arc<Store<Pod>>,
    indexes: Mutex<Indexes>,
    handlers: RwLock<Vec<Handler>>,
}

/// Under one lock, so that a Node is always looked up in what the Pods' last change left.
struct Indexes {
    selectors: SelectorIndex,
    /// `None` where Nodes are not followed.
    nodes: Option<NodeIndex>,
}

impl Membership {
    /// Follows these informers, which must not run yet. Without Nodes nobody is told of them.
    #[must_use]
    pub fn new(
        pods: &mut Informer<Pod>,
        services: &mut Informer<Service>,
        nodes: Option<&mut Informer<Node>>,
    ) -> Arc<Self> {
        let indexes =
            Indexes { selectors: SelectorIndex::default(), nodes: nodes.is_some().then(NodeIndex::default) };
        let membership =
            Arc::new(Self { pods: pods.store(), indexes: Mutex::new(indexes), handlers: RwLock::default() });
        let this = Arc::clone(&membership);
        pods.on_change(move |change| this.pod_changed(change));
        let this = Arc::clone(&membership);
        services.on_change(move |change| this.service_changed(change));
        if let Some(nodes) = nodes {
            let this = Arc::clone(&membership);
            nodes.on_change(move |change| this.node_changed(change));
        }
        membership
    }

    /// Calls `handler` for every Service that must be looked at. It runs in an informer's task and must not
    /// wait.
    pub fn on_affected(&self, handler: impl Fn(&ObjectKey, Cause<'_>) + Send + Sync + 'static) {
        self.handlers.write().push(Box::new(handler));
    }

    /// The Pods that a Service selects, in no order.
    #[must_use]
    pub fn members(&self, service: &ObjectKey) -> Vec<Arc<Pod>> {
        self.indexes.lock().selectors.members(service)
    }

    /// The Pod of this name, if it exists and the Service selects it.
    #[must_use]
    pub fn member(&self, service: &Service, pod: &Istr) -> Option<Arc<Pod>> {
        let key = ObjectKey { namespace: service.key.namespace.clone(), name: pod.clone() };
        // By the Pod's own labels: the index may not have heard yet that they changed.
        let selector = service.selector.as_ref()?;
        self.pods.get(&key).filter(|pod| selector.selects(&pod.labels))
    }

    fn tell(&self, service: &ObjectKey, cause: Cause<'_>) {
        for handler in self.handlers.read().iter() {
            handler(service, cause);
        }
    }

    fn pod_changed(&self, change: &Change<Pod>) {
        let concerned = {
            let mut indexes = self.indexes.lock();
            if let Some(nodes) = &mut indexes.nodes {
                nodes.pod_changed(change);
            }
            indexes.selectors.pod_changed(change)
        };
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        let Some(pod) = new.or(old) else { return };
        for Concerned { service, had, has } in concerned {
            let service = ObjectKey { namespace: pod.key.namespace.clone(), name: service };
            let (old, new) = (old.filter(|_| had), new.filter(|_| has));
            self.tell(&service, Cause::Pod { name: &pod.key.name, old, new });
        }
    }

    /// A Service of type LoadBalancer changes whenever its status does, which says nothing about endpoints.
    fn service_changed(&self, change: &Change<Service>) {
        if let (Some(old), Some(new)) = (&change.old, &change.new)
            && old.same_endpoint_facts(new)
        {
            return;
        }
        let Some(service) = change.new.as_ref().or(change.old.as_ref()) else { return };
        let selector = change.new.as_ref().and_then(|service| service.selector.as_ref());
        self.indexes.lock().selectors.service_changed(service.key(), selector);
        self.tell(service.key(), Cause::Service);
    }

    /// Whether a Node is ready, or how large it is, says nothing about the endpoints on it.
    fn node_changed(&self, change: &Change<Node>) {
        let (node, cause) = match (&change.old, &change.new) {
            (Some(old), Some(new)) if old.zone == new.zone => return,
            (_, Some(new)) => (new, Cause::Node),
            (Some(old), None) => (old, Cause::NodeGone),
            (None, None) => return,
        };
        let services: HashSet<ObjectKey> = {
            let Indexes { selectors, nodes } = &*self.indexes.lock();
            let pods = nodes.iter().flat_map(|nodes| nodes.pods_on(&node.key.name));
            pods.flat_map(|(pod, labels)| {
                let names = selectors.services_of(&pod.namespace, labels);
                names.into_iter().map(|name| ObjectKey { namespace: pod.namespace.clone(), name })
            })
            .collect()
        };
        for service in services {
            self.tell(&service, cause);
        }
    }
}

#[cfg(test)]
mod tests {
    use fairlead_objects::Labels;
    use serde_json::json;

    use super::*;
    use crate::source::SourceEvent::{Applied, Deleted};
    use crate::testing;

    /// What was told, as `service: cause`.
    #[tokio::test(start_paused = true)]
    async fn pods_services_and_nodes_name_the_services_concerned() {
        let (mut pods, mut services, mut nodes) =
            (testing::informer::<Pod>(), testing::informer::<Service>(), testing::informer::<Node>());
        let membership = Membership::new(&mut pods, &mut services, Some(&mut nodes));
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        membership.on_affected(move |service, cause| log.lock().push(format!("{service}: {cause:?}")));

        let service: Service = serde_json::from_value(json!({
            "metadata": {"namespace": "n", "name": "web"}, "spec": {"selector": {"app": "web"}}}))
        .unwrap();
        testing::play(services, [Ok(Applied(service))]).await;
        let pod = |name: &str, app: &str| -> Pod {
            let json = json!({"metadata": {"namespace": "n", "name": name, "labels": {"app": app}},
                "spec": {"nodeName": "node-1"}});
            serde_json::from_value(json).unwrap()
        };
        testing::play(pods, [Ok(Applied(pod("p", "web"))), Ok(Applied(pod("q", "other")))]).await;
        let node = |name: &str, zone: &str, cpu: &str| -> Node {
            let json = json!({"metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
                "status": {"allocatable": {"cpu": cpu}}});
            serde_json::from_value(json).unwrap()
        };
        let states = [("node-2", "a", "4"), ("node-1", "a", "4"), ("node-1", "a", "8"), ("node-1", "b", "8")];
        let gone = Deleted(node("node-1", "b", "8"));
        let seen = states.map(|(name, zone, cpu)| Applied(node(name, zone, cpu))).into_iter().chain([gone]);
        testing::play(nodes, seen.map(Ok)).await;

        // Twice: when the Node appeared and when its zone changed.
        let of_nodes = ["n/web: Node", "n/web: Node", "n/web: NodeGone"];
        assert_eq!(*told.lock(), [&["n/web: Service", "n/web: Pod p"][..], &of_nodes].concat());
        let members = membership.members(&ObjectKey::new("n", "web"));
        assert_eq!(members.len(), 1);
        let expected: Labels = [("app", "web")].into_iter().collect();
        assert_eq!(members[0].labels, expected);
    }

    /// A Service of type LoadBalancer is written whenever its address or our condition changes.
    #[tokio::test(start_paused = true)]
    async fn what_is_said_about_load_balancers_and_addresses_of_nodes_concerns_no_endpoints() {
        let (mut pods, mut services, mut nodes) =
            (testing::informer::<Pod>(), testing::informer::<Service>(), testing::informer::<Node>());
        let membership = Membership::new(&mut pods, &mut services, Some(&mut nodes));
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        membership.on_affected(move |service, cause| log.lock().push(format!("{service}: {cause:?}")));
        let service = |version: &str, spec: serde_json::Value, status: serde_json::Value| -> Service {
            let metadata = json!({"namespace": "n", "name": "web", "resourceVersion": version});
            serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
        };
        let selector = json!({"app": "web"});
        let spec = |policy: &str| json!({"type": "LoadBalancer", "selector": selector, "externalTrafficPolicy": policy});
        let published = json!({"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}]}});
        let seen = [
            service("1", spec("Cluster"), json!({})),
            service("2", spec("Cluster"), published.clone()),
            service("3", spec("Local"), published.clone()),
            service("4", json!({"type": "ClusterIP", "selector": {"app": "web"}}), json!({})),
            service("5", json!({"type": "ClusterIP", "selector": {"app": "other"}}), json!({})),
        ];
        testing::play(services, seen.into_iter().map(|it| Ok(Applied(it)))).await;
        // When it appeared, and when its selector changed.
        assert_eq!(*told.lock(), ["n/web: Service", "n/web: Service"]);

        let pod = json!({"metadata": {"namespace": "n", "name": "p", "labels": {"app": "other"}},
            "spec": {"nodeName": "node-1"}});
        testing::play(pods, [Ok(Applied(serde_json::from_value(pod).unwrap()))]).await;
        told.lock().clear();
        let node = |version: &str, address: &str| -> Node {
            let addresses = json!([{"type": "InternalIP", "address": address}]);
            let metadata = json!({"name": "node-1", "resourceVersion": version});
            serde_json::from_value(json!({"metadata": metadata, "status": {"addresses": addresses}})).unwrap()
        };
        testing::play(nodes, [Ok(Applied(node("1", "192.0.2.1"))), Ok(Applied(node("2", "192.0.2.2")))])
            .await;
        assert_eq!(*told.lock(), ["n/web: Node"]);
    }

    /// The Node's task runs when a relabelled Pod is in the store, but the index has not heard of it.
    #[tokio::test(start_paused = true)]
    async fn a_node_that_changes_while_its_pod_is_relabelled_is_not_missed() {
        let (mut pods, mut services, mut nodes) =
            (testing::informer::<Pod>(), testing::informer::<Service>(), testing::informer::<Node>());
        let shared: Arc<std::sync::OnceLock<Arc<Membership>>> = Arc::default();
        let early = Arc::clone(&shared);
        pods.on_change(move |change| {
            if let (Some(membership), Some(_)) = (early.get(), &change.old) {
                let node: Node = serde_json::from_value(json!({"metadata": {"name": "node-1"}})).unwrap();
                membership.node_changed(&Change { old: None, new: Some(Arc::new(node)) });
            }
        });
        let membership = Membership::new(&mut pods, &mut services, Some(&mut nodes));
        shared.set(Arc::clone(&membership)).ok().unwrap();
        let service: Service = serde_json::from_value(json!({
            "metadata": {"namespace": "n", "name": "web"}, "spec": {"selector": {"app": "web"}}}))
        .unwrap();
        testing::play(services, [Ok(Applied(service))]).await;
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        membership.on_affected(move |service, cause| log.lock().push(format!("{service}: {cause:?}")));
        let pod = |labels: serde_json::Value| -> Pod {
            let json = json!({"metadata": {"namespace": "n", "name": "p", "labels": labels},
                "spec": {"nodeName": "node-1"}});
            serde_json::from_value(json).unwrap()
        };
        let relabelled = pod(json!({"app": "web", "version": "2"}));
        testing::play(pods, [Ok(Applied(pod(json!({"app": "web"})))), Ok(Applied(relabelled))]).await;
        assert_eq!(*told.lock(), ["n/web: Pod p", "n/web: Node"]);
    }
}
