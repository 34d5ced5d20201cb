//! Services of type LoadBalancer, and who has which of the addresses that are given to them.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Event, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::error::{Context, Error, Result};
use crate::lab::{Lab, Shared};
use crate::node::parse;
use crate::object::{Kind, PATIENCE};
use crate::wait::NotYet;

/// The condition that says whether a Service has the addresses that it asks for, and why not.
pub const LOAD_BALANCER_READY: &str = "fairlead.dev/LoadBalancerReady";

/// A Service of type LoadBalancer about to be created: see [`Lab::load_balancer`].
#[derive(Clone)]
#[must_use = "nothing happens before `create`"]
pub struct LoadBalancerBuilder {
    handle: LoadBalancer,
    object: Value,
}

impl LoadBalancerBuilder {
    /// An annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.object["metadata"]["annotations"][key] = value.into();
        self
    }

    /// A label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.object["metadata"]["labels"][key] = value.into();
        self
    }

    /// One TCP port with this number in place of port 80.
    pub fn port(self, number: u16) -> Self {
        self.spec(json!({ "ports": [{ "name": "main", "port": number }] }))
    }

    /// Both families, and no less.
    pub fn dual_stack(self) -> Self {
        self.spec(json!({ "ipFamilyPolicy": "RequireDualStack" }))
    }

    /// Further fields of the spec, in place of what was there.
    pub fn spec(mut self, fields: Value) -> Self {
        if let Value::Object(fields) = fields {
            for (key, value) in fields {
                self.object["spec"][key] = value;
            }
        }
        self
    }

    /// Creates it.
    ///
    /// # Errors
    /// [`Error::Api`] with what the API server objects to.
    pub async fn create(self) -> Result<LoadBalancer> {
        let handle = self.handle;
        let created = handle.api.create(&PostParams::default(), &parse(self.object)?).await;
        created.context(|| format!("creating {handle}"))?;
        Ok(handle)
    }
}

/// A Service of type LoadBalancer, there or not.
#[derive(Clone)]
pub struct LoadBalancer {
    shared: Arc<Shared>,
    api: Api<Service>,
    namespace: String,
    name: String,
}

impl LoadBalancer {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `namespace/name`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// All of it.
    ///
    /// # Errors
    /// [`Error::Api`] when it does not exist.
    pub async fn get(&self) -> Result<Service> {
        self.api.get(&self.name).await.context(|| format!("reading {self}"))
    }

    /// The addresses in its status, in their order.
    ///
    /// # Errors
    /// As [`LoadBalancer::get`].
    pub async fn addresses(&self) -> Result<Vec<IpAddr>> {
        Ok(ingress_addresses(&self.get().await?))
    }

    /// The condition [`LOAD_BALANCER_READY`].
    ///
    /// # Errors
    /// As [`LoadBalancer::get`].
    pub async fn condition(&self) -> Result<Option<Condition>> {
        Ok(ready_condition(&self.get().await?))
    }

    /// Merges a patch into it, such as `{"spec": {"type": "ClusterIP"}}`.
    ///
    /// # Errors
    /// [`Error::Api`] with what the API server objects to.
    pub async fn patch(&self, patch: Value) -> Result<()> {
        let patched = self.api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.map(drop).context(|| format!("changing {self}"))
    }

    /// Sets an annotation, or removes it.
    ///
    /// # Errors
    /// As [`LoadBalancer::patch`].
    pub async fn annotate(&self, key: &str, value: Option<&str>) -> Result<()> {
        self.patch(json!({ "metadata": { "annotations": { key: value } } })).await
    }

    /// Writes these addresses into its status, as another implementation would.
    ///
    /// # Errors
    /// As [`LoadBalancer::patch`].
    pub async fn set_addresses(&self, addresses: &[&str]) -> Result<()> {
        let ingress: Vec<_> = addresses.iter().map(|address| json!({ "ip": address })).collect();
        let patch = Patch::Merge(json!({ "status": { "loadBalancer": { "ingress": ingress } } }));
        let patched = self.api.patch_status(&self.name, &PatchParams::default(), &patch).await;
        patched.map(drop).context(|| format!("changing the status of {self}"))
    }

    /// Deletes it.
    ///
    /// # Errors
    /// [`Error::Api`] when it does not exist.
    pub async fn delete(&self) -> Result<()> {
        let deleted = self.api.delete(&self.name, &DeleteParams::default()).await;
        deleted.map(drop).context(|| format!("deleting {self}"))
    }

    /// Waits until `holds` is true of it.
    ///
    /// # Errors
    /// [`Error::Timeout`] with its addresses and condition in the end.
    pub async fn wait_until(&self, what: &str, holds: impl Fn(&Service) -> bool) -> Result<Service> {
        self.shared
            .wait_until(format!("{self} to {what}"), PATIENCE, async || {
                let service = self.get().await?;
                if holds(&service) {
                    return Ok(service);
                }
                let said = ready_condition(&service).map_or_else(
                    || "no condition".to_owned(),
                    |it| format!("{} {}: {}", it.status, it.reason, it.message),
                );
                Err(NotYet::from(format!("{:?}, {said}", ingress_addresses(&service))))
            })
            .await
    }

    /// Waits until its status has so many addresses.
    ///
    /// # Errors
    /// As [`LoadBalancer::wait_until`].
    pub async fn wait_addresses(&self, count: usize) -> Result<Vec<IpAddr>> {
        let what = format!("have {count} addresses");
        let service = self.wait_until(&what, |service| ingress_addresses(service).len() == count).await?;
        Ok(ingress_addresses(&service))
    }

    /// Waits until its status has one address.
    ///
    /// # Errors
    /// As [`LoadBalancer::wait_until`].
    pub async fn wait_address(&self) -> Result<IpAddr> {
        Ok(self.wait_addresses(1).await?[0])
    }

    /// Waits until its status has this one address.
    ///
    /// # Errors
    /// As [`LoadBalancer::wait_until`].
    pub async fn wait_for_address(&self, address: &str) -> Result<()> {
        let wanted: IpAddr =
            address.parse().map_err(|_| Error::Invalid(format!("{address} is no address")))?;
        let what = format!("have {address}");
        self.wait_until(&what, |service| ingress_addresses(service) == [wanted]).await.map(drop)
    }

    /// Waits until its condition has this reason.
    ///
    /// # Errors
    /// As [`LoadBalancer::wait_until`].
    pub async fn wait_reason(&self, reason: &str) -> Result<Condition> {
        let has = |service: &Service| ready_condition(service).filter(|found| found.reason == reason);
        let what = format!("say {reason}");
        let service = self.wait_until(&what, |service| has(service).is_some()).await?;
        has(&service).ok_or_else(|| Error::Invalid(format!("{self} has no condition with {reason}")))
    }

    /// What Fairlead has told about it by events, as `reason: message`. The API server tells things, too.
    ///
    /// # Errors
    /// [`Error::Api`] when they cannot be listed.
    pub async fn events(&self) -> Result<Vec<String>> {
        let api: Api<Event> = Api::namespaced(self.shared.api.clone(), &self.namespace);
        let fields = format!("involvedObject.kind=Service,involvedObject.name={}", self.name);
        let list = api.list(&ListParams::default().fields(&fields)).await;
        let list = list.context(|| format!("listing the events about {self}"))?;
        let is_ours = |event: &Event| {
            let source = event.source.as_ref().and_then(|source| source.component.as_ref());
            let reporter = event.reporting_component.as_ref();
            source.into_iter().chain(reporter).any(|component| component.starts_with("fairlead"))
        };
        let text = |event: Event| {
            format!("{}: {}", event.reason.unwrap_or_default(), event.message.unwrap_or_default())
        };
        Ok(list.items.into_iter().filter(is_ours).map(text).collect())
    }
}

impl fmt::Display for LoadBalancer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the Service {}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for LoadBalancer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The addresses in the status of a Service, in their order; host names are left out.
#[must_use]
pub fn ingress_addresses(service: &Service) -> Vec<IpAddr> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = status.and_then(|it| it.ingress.as_deref()).unwrap_or_default();
    ingress.iter().filter_map(|entry| entry.ip.as_ref()?.parse().ok()).collect()
}

/// The condition [`LOAD_BALANCER_READY`] of a Service.
#[must_use]
pub fn ready_condition(service: &Service) -> Option<Condition> {
    let conditions = service.status.as_ref()?.conditions.as_deref()?;
    conditions.iter().find(|condition| condition.type_ == LOAD_BALANCER_READY).cloned()
}

/// What a `LoadBalancerAddress` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedAddress {
    /// Name of the object.
    pub name: String,
    /// Its `spec.address`.
    pub address: IpAddr,
    /// The pool that it was taken from.
    pub pool: String,
    /// Its holders, as `namespace/name`, with their UIDs.
    pub services: Vec<(String, String)>,
    /// By which others may share it; empty if they may not.
    pub sharing_key: String,
    /// `Bound` or `Cooling`.
    pub phase: String,
}

impl AssignedAddress {
    fn of(object: &Value) -> Result<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, spec) = (text(&object["metadata"]["name"]), &object["spec"]);
        let address = text(&spec["address"]).parse().map_err(|_| {
            Error::Invalid(format!("the LoadBalancerAddress {name} has the address {}", spec["address"]))
        })?;
        let holder =
            |it: &Value| (format!("{}/{}", text(&it["namespace"]), text(&it["name"])), text(&it["uid"]));
        let services = spec["services"].as_array().into_iter().flatten().map(holder).collect();
        Ok(Self {
            name,
            address,
            pool: text(&spec["pool"]),
            services,
            sharing_key: text(&spec["sharingKey"]),
            phase: text(&object["status"]["phase"]),
        })
    }
}

impl Lab {
    /// A Service of type LoadBalancer to be, with TCP port 80 and no node ports. It selects `app=<name>`.
    pub fn load_balancer(&self, namespace: &str, name: &str) -> LoadBalancerBuilder {
        let object = json!({
            "metadata": { "name": name },
            "spec": {
                "type": "LoadBalancer",
                // There are 2,768 node ports, and nobody here asks for one.
                "allocateLoadBalancerNodePorts": false,
                "selector": { "app": name },
                "ports": [{ "name": "main", "port": 80 }],
            },
        });
        LoadBalancerBuilder { handle: self.existing_load_balancer(namespace, name), object }
    }

    /// A Service that has been created elsewhere.
    #[must_use]
    pub fn existing_load_balancer(&self, namespace: &str, name: &str) -> LoadBalancer {
        LoadBalancer {
            shared: self.shared_arc(),
            api: Api::namespaced(self.api(), namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// What all `LoadBalancerAddress` objects say.
    ///
    /// # Errors
    /// [`Error::Api`] when they cannot be listed, [`Error::Invalid`] when one has no address.
    pub async fn assigned_addresses(&self) -> Result<Vec<AssignedAddress>> {
        self.list_objects(Kind::Address).await?.iter().map(AssignedAddress::of).collect()
    }
}
