//! Pods: an API object whose status the lab writes as a kubelet would, with or without a server behind it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::error::{Context, Result};
use crate::host::Host;
use crate::lab::Shared;

/// The only container of a Pod that is not customized.
pub(crate) const CONTAINER: &str = "server";
/// Nobody pulls it.
pub(crate) const IMAGE: &str = "lab.invalid/server";

/// Which addresses a Pod has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Families {
    /// IPv4 and IPv6, IPv4 first.
    #[default]
    Dual,
    /// Only IPv4.
    Ipv4,
    /// Only IPv6.
    Ipv6,
}

/// A Pod of the lab. Dropping this handle leaves the Pod as it is; [`Pod::remove`] removes it.
#[derive(Clone)]
pub struct Pod {
    shared: Arc<Shared>,
    namespace: String,
    name: String,
    node: String,
    addresses: Vec<IpAddr>,
}

impl Pod {
    pub(crate) fn new(
        shared: Arc<Shared>,
        namespace: String,
        name: String,
        node: String,
        addresses: Vec<IpAddr>,
    ) -> Self {
        Self { shared, namespace, name, node, addresses }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Name of its node.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Its addresses, in the order of its status.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Its network namespace; none for a paper Pod or one that was removed.
    #[must_use]
    pub fn host(&self) -> Option<Host> {
        self.shared.bodies.lock().get(&self.key()).map(|body| body.host().clone())
    }

    /// Makes it ready or not ready.
    ///
    /// # Errors
    /// [`crate::Error::Api`] when the API server refuses it.
    pub async fn set_ready(&self, ready: bool) -> Result<()> {
        self.patch_status(readiness(ready)).await
    }

    /// Sets its phase: `Succeeded`, `Failed`, `Pending`, ...
    ///
    /// # Errors
    /// [`crate::Error::Api`] when the API server refuses it.
    pub async fn set_phase(&self, phase: &str) -> Result<()> {
        self.patch_status(json!({ "phase": phase })).await
    }

    /// Merges into its status. Lists, such as conditions, are replaced as a whole.
    ///
    /// # Errors
    /// [`crate::Error::Api`] when the API server refuses it.
    pub async fn patch_status(&self, status: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "status": status }));
        let patched = self.api().patch_status(&self.name, &PatchParams::default(), &patch).await;
        patched
            .map(drop)
            .context(|| format!("writing the status of the Pod {}/{}", self.namespace, self.name))
    }

    /// Merges into the whole object except its status, for example `{"metadata": {"labels": {...}}}`.
    ///
    /// # Errors
    /// [`crate::Error::Api`] when the API server refuses it.
    pub async fn patch(&self, patch: Value) -> Result<()> {
        let patched = self.api().patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.map(drop).context(|| format!("patching the Pod {}/{}", self.namespace, self.name))
    }

    /// Deletes it with its grace period. With a grace period it is terminating from now on, and its servers go on
    /// answering, until [`Pod::remove`].
    ///
    /// # Errors
    /// [`crate::Error::Api`] when the API server refuses it.
    pub async fn terminate(&self) -> Result<()> {
        self.delete(&DeleteParams::default()).await
    }

    /// Deletes it at once, with its servers and its network namespace. One that is gone already is no error.
    ///
    /// # Errors
    /// [`crate::Error::Api`] when the API server refuses it.
    pub async fn remove(&self) -> Result<()> {
        self.delete(&DeleteParams::default().grace_period(0)).await?;
        self.bury();
        Ok(())
    }

    async fn delete(&self, params: &DeleteParams) -> Result<()> {
        match self.api().delete(&self.name, params).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            outcome => {
                outcome.map(drop).context(|| format!("deleting the Pod {}/{}", self.namespace, self.name))
            }
        }
    }

    pub(crate) fn api(&self) -> Api<core::Pod> {
        Api::namespaced(self.shared.api.clone(), &self.namespace)
    }

    /// Namespace and name.
    pub(crate) fn key(&self) -> (String, String) {
        (self.namespace.clone(), self.name.clone())
    }

    /// Takes its body away, if it has one.
    pub(crate) fn bury(&self) {
        let body = self.shared.bodies.lock().remove(&self.key());
        let node = self.shared.nodes.iter().find(|node| node.name() == self.node);
        if let (Some(body), Some(node)) = (body, node) {
            body.remove(&self.shared.site, node);
        }
    }
}

impl fmt::Debug for Pod {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pod")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("node", &self.node)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// What a kubelet keeps in step with readiness.
pub(crate) fn readiness(ready: bool) -> Value {
    let status = if ready { "True" } else { "False" };
    // A kubelet says since when, in whole seconds; the trigger time of slices comes from it.
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default().to_string();
    json!({
        "conditions": [
            { "type": "Ready", "status": status, "lastTransitionTime": now },
            { "type": "ContainersReady", "status": status, "lastTransitionTime": now },
        ],
        "containerStatuses": [{
            "name": CONTAINER, "ready": ready, "started": true, "restartCount": 0,
            "image": IMAGE, "imageID": IMAGE, "state": { "running": {} },
        }],
    })
}
