//! Objects of our own group, `fairlead.dev`, as JSON: tests know nothing of their Rust types.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::error::{Context, Result};
use crate::lab::{Lab, Shared};
use crate::wait::NotYet;

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A kind of the group `fairlead.dev`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `LoadBalancerPool`, cluster-scoped.
    Pool,
    /// `LoadBalancerAddress`, cluster-scoped.
    Address,
    /// `Layer2Announcement`, cluster-scoped.
    Announcement,
    /// `ServiceReservation`, namespaced.
    Reservation,
}

impl Kind {
    /// Its name in manifests.
    fn name(self) -> &'static str {
        match self {
            Self::Pool => "LoadBalancerPool",
            Self::Address => "LoadBalancerAddress",
            Self::Announcement => "Layer2Announcement",
            Self::Reservation => "ServiceReservation",
        }
    }

    /// Its name in URLs and in the counts of [`crate::Writes`].
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Pool => "loadbalancerpools",
            Self::Address => "loadbalanceraddresses",
            Self::Announcement => "layer2announcements",
            Self::Reservation => "servicereservations",
        }
    }

    fn resource(self) -> ApiResource {
        ApiResource {
            group: "fairlead.dev".to_owned(),
            version: "v1alpha1".to_owned(),
            api_version: "fairlead.dev/v1alpha1".to_owned(),
            kind: self.name().to_owned(),
            plural: self.plural().to_owned(),
        }
    }
}

/// An object of our own group, there or not.
#[derive(Clone)]
pub struct Object {
    shared: Arc<Shared>,
    api: Api<DynamicObject>,
    kind: Kind,
    name: String,
}

impl Object {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All of it.
    ///
    /// # Errors
    /// [`crate::Error::Api`] when it does not exist.
    pub async fn get(&self) -> Result<Value> {
        let object = self.api.get(&self.name).await.context(|| format!("reading {self}"))?;
        Ok(json!(object))
    }

    /// Whether it exists.
    ///
    /// # Errors
    /// [`crate::Error::Api`] when the API server does not say.
    pub async fn exists(&self) -> Result<bool> {
        let found = self.api.get_opt(&self.name).await.context(|| format!("looking for {self}"))?;
        Ok(found.is_some())
    }

    /// Its condition of this type.
    ///
    /// # Errors
    /// As [`Object::get`].
    pub async fn condition(&self, kind: &str) -> Result<Option<Condition>> {
        Ok(condition(&self.get().await?, kind))
    }

    /// Merges a patch into it, such as `{"spec": {"drain": true}}`.
    ///
    /// # Errors
    /// [`crate::Error::Api`] with what the API server objects to.
    pub async fn patch(&self, patch: Value) -> Result<()> {
        let patched = self.api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.map(drop).context(|| format!("changing {self}"))
    }

    /// Merges a patch into its status.
    ///
    /// # Errors
    /// [`crate::Error::Api`] with what the API server objects to.
    pub async fn patch_status(&self, patch: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "status": patch }));
        let patched = self.api.patch_status(&self.name, &PatchParams::default(), &patch).await;
        patched.map(drop).context(|| format!("changing the status of {self}"))
    }

    /// Deletes it.
    ///
    /// # Errors
    /// [`crate::Error::Api`] when it does not exist.
    pub async fn delete(&self) -> Result<()> {
        let deleted = self.api.delete(&self.name, &DeleteParams::default()).await;
        deleted.map(drop).context(|| format!("deleting {self}"))
    }

    /// Waits until it exists and `condition` holds for it.
    ///
    /// # Errors
    /// [`crate::Error::Timeout`] with what it was like in the end.
    pub async fn wait_until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        self.shared
            .wait_until(format!("{self} to {what}"), PATIENCE, async || {
                let object = self.get().await?;
                if holds(&object) {
                    return Ok(object);
                }
                let (spec, status) = (&object["spec"], &object["status"]);
                Err(NotYet::from(format!("spec {spec}, status {status}")))
            })
            .await
    }

    /// Waits for a condition of this type with this status, `True`, `False` or `Unknown`.
    ///
    /// # Errors
    /// [`crate::Error::Timeout`] with what it was like in the end.
    pub async fn wait_condition(&self, kind: &str, status: &str) -> Result<Condition> {
        let has = |object: &Value| condition(object, kind).filter(|found| found.status == status);
        let object = self.wait_until(&format!("be {kind}={status}"), |object| has(object).is_some()).await?;
        has(&object).ok_or_else(|| crate::Error::Invalid(format!("{self} has no condition {kind}={status}")))
    }
}

impl fmt::Display for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the {} {}", self.kind.name(), self.name)
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The condition of this type in the status of an object.
fn condition(object: &Value, kind: &str) -> Option<Condition> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    serde_json::from_value(found.clone()).ok()
}

impl Lab {
    /// An object of our own group, there or not. The namespace is left out for kinds without one.
    #[must_use]
    pub fn object(&self, kind: Kind, namespace: Option<&str>, name: &str) -> Object {
        let api = api(&self.api(), kind, namespace);
        Object { shared: self.shared_arc(), api, kind, name: name.to_owned() }
    }

    /// Creates an object of our own group with this `spec`.
    ///
    /// # Errors
    /// [`crate::Error::Api`] with what the API server objects to.
    pub async fn create_object(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        name: &str,
        spec: Value,
    ) -> Result<Object> {
        let object = self.object(kind, namespace, name);
        let mut wanted = DynamicObject::new(name, &kind.resource()).data(json!({ "spec": spec }));
        wanted.metadata.namespace = namespace.map(str::to_owned);
        let created = object.api.create(&PostParams::default(), &wanted).await;
        created.map(|_| object).context(|| format!("creating the {} {name}", kind.name()))
    }

    /// All objects of a kind of our own group, in all namespaces.
    ///
    /// # Errors
    /// [`crate::Error::Api`] when the API server does not know the kind.
    pub async fn list_objects(&self, kind: Kind) -> Result<Vec<Value>> {
        let list = api(&self.api(), kind, None).list(&ListParams::default()).await;
        let list = list.context(|| format!("listing {}", kind.plural()))?;
        Ok(list.items.into_iter().map(|object| json!(object)).collect())
    }

    /// Creates a `LoadBalancerPool`.
    ///
    /// # Errors
    /// As [`Lab::create_object`].
    pub async fn pool(&self, name: &str, spec: Value) -> Result<Object> {
        self.create_object(Kind::Pool, None, name, spec).await
    }

    /// Creates a `ServiceReservation`.
    ///
    /// # Errors
    /// As [`Lab::create_object`].
    pub async fn reservation(&self, namespace: &str, name: &str, spec: Value) -> Result<Object> {
        self.create_object(Kind::Reservation, Some(namespace), name, spec).await
    }
}

fn api(client: &kube::Client, kind: Kind, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind.resource()),
        None => Api::all_with(client.clone(), &kind.resource()),
    }
}
