//! Services with their Pods and the Pods' Nodes, for all controllers of the process.
//!
//! Joins what the informers of Pods, Services and Nodes tell: it keeps the indexes and says which Services
//! must be looked at, and why.

use std::collections::HashSet;
use std::sync::Arc;

use fairlead_objects::{Istr, Node, ObjectKey, Pod, Record, Service};
use parking_lot::{Mutex, RwLock};

use crate::informer::{Change, Informer, Store};
use crate::node_index::NodeIndex;
use crate::selector_index::SelectorIndex;

/// Why a Service must be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause<'a> {
    /// The Service itself was created, changed or deleted.
    Service,
    /// This Pod of its namespace changed, joined or left.
    Pod(&'a Istr),
    /// The Node of one of its Pods appeared, changed or vanished. Endpoints objects say nothing about Nodes.
    Node,
}

type Handler = Box<dyn Fn(&ObjectKey, Cause<'_>) + Send + Sync>;

/// Which Pods a Service has.
pub struct Membership {
    selectors: Mutex<SelectorIndex>,
    nodes: Mutex<NodeIndex>,
    pods: Arc<Store<Pod>>,
    handlers: RwLock<Vec<Handler>>,
}

impl Membership {
    /// Follows these informers, which must not run yet.
    #[must_use]
    pub fn new(
        pods: &mut Informer<Pod>,
        services: &mut Informer<Service>,
        nodes: &mut Informer<Node>,
    ) -> Arc<Self> {
        let membership = Arc::new(Self {
            selectors: Mutex::default(),
            nodes: Mutex::default(),
            pods: pods.store(),
            handlers: RwLock::default(),
        });
        let this = Arc::clone(&membership);
        pods.on_change(move |change| this.pod_changed(change));
        let this = Arc::clone(&membership);
        services.on_change(move |change| this.service_changed(change));
        let this = Arc::clone(&membership);
        nodes.on_change(move |change| this.node_changed(change));
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
        self.selectors.lock().members(service)
    }

    fn tell(&self, service: &ObjectKey, cause: Cause<'_>) {
        for handler in self.handlers.read().iter() {
            handler(service, cause);
        }
    }

    fn pod_changed(&self, change: &Change<Pod>) {
        self.nodes.lock().pod_changed(change);
        let services = self.selectors.lock().pod_changed(change);
        let Some(pod) = change.new.as_ref().or(change.old.as_ref()) else { return };
        for name in services {
            let service = ObjectKey { namespace: pod.key.namespace.clone(), name };
            self.tell(&service, Cause::Pod(&pod.key.name));
        }
    }

    fn service_changed(&self, change: &Change<Service>) {
        let Some(service) = change.new.as_ref().or(change.old.as_ref()) else { return };
        let selector = change.new.as_ref().and_then(|service| service.selector.as_ref());
        self.selectors.lock().service_changed(service.key(), selector);
        self.tell(service.key(), Cause::Service);
    }

    fn node_changed(&self, change: &Change<Node>) {
        let Some(node) = change.new.as_ref().or(change.old.as_ref()) else { return };
        let pods: Vec<ObjectKey> = self.nodes.lock().pods_on(&node.key.name).cloned().collect();
        let mut services = HashSet::new();
        {
            let selectors = self.selectors.lock();
            for pod in pods.iter().filter_map(|key| self.pods.get(key)) {
                let namespace = &pod.key.namespace;
                let names = selectors.services_of(namespace, &pod.labels);
                services
                    .extend(names.into_iter().map(|name| ObjectKey { namespace: namespace.clone(), name }));
            }
        }
        for service in services {
            self.tell(&service, Cause::Node);
        }
    }
}

#[cfg(test)]
mod tests {
    use fairlead_objects::Labels;
    use serde_json::json;

    use super::*;
    use crate::source::SourceEvent::Applied;
    use crate::testing;

    /// What was told, as `service: cause`.
    #[tokio::test(start_paused = true)]
    async fn pods_services_and_nodes_name_the_services_concerned() {
        let (mut pods, mut services, mut nodes) =
            (testing::informer::<Pod>(), testing::informer::<Service>(), testing::informer::<Node>());
        let membership = Membership::new(&mut pods, &mut services, &mut nodes);
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
        let node: Node = serde_json::from_value(json!({"metadata": {"name": "node-1"}})).unwrap();
        let other: Node = serde_json::from_value(json!({"metadata": {"name": "node-2"}})).unwrap();
        testing::play(nodes, [Ok(Applied(other)), Ok(Applied(node))]).await;

        assert_eq!(*told.lock(), ["n/web: Service", "n/web: Pod(\"p\")", "n/web: Node"]);
        let members = membership.members(&ObjectKey::new("n", "web"));
        assert_eq!(members.len(), 1);
        let expected: Labels = [("app", "web")].into_iter().collect();
        assert_eq!(members[0].labels, expected);
    }
}
