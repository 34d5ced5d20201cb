//! What the scenarios about mirrored Endpoints have in common.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::time::Duration;

use k8s_openapi::api::core::v1::{Endpoints, Event, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use lab::{Error, Lab, LabBuilder, Manager, ProxyMode, Result};
use serde_json::{Value, json};

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The controller under test.
pub(crate) const CONTROLLER: &str = "endpointslice-mirroring-controller";
/// What it calls itself on its slices.
pub(crate) const MANAGED_BY: &str = "endpointslicemirroring-controller.k8s.io";

/// A lab for tests about objects alone: nobody routes packets.
pub(crate) fn objects_only() -> LabBuilder {
    Lab::builder().nodes(1).proxy(ProxyMode::None)
}

/// `fairlead manager` with the controller under test.
pub(crate) async fn manager(lab: &Lab) -> Result<Manager> {
    lab.manager().controllers(CONTROLLER).start().await
}

/// Creates a Service of namespace `default` without selector, with `spec` merged over the defaults.
pub(crate) async fn service(lab: &Lab, name: &str, spec: Value) -> Result<Service> {
    let mut object =
        json!({ "metadata": { "name": name }, "spec": { "ports": [{ "name": "sql", "port": 5432 }] } });
    for (key, value) in spec.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    lab.create("default", object).await
}

/// Endpoints of namespace `default`; `metadata` is merged over the name.
pub(crate) fn endpoints(name: &str, metadata: &Value, subsets: Value) -> Value {
    let mut all = json!({ "name": name });
    for (key, value) in metadata.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    let mut object = json!({ "metadata": all });
    object["subsets"] = subsets;
    object
}

/// A subset of ready addresses with one TCP port `sql`.
pub(crate) fn subset(addresses: &[&str], port: u16) -> Value {
    let addresses: Vec<_> = addresses.iter().map(|ip| json!({ "ip": ip })).collect();
    json!({ "addresses": addresses, "ports": [{ "name": "sql", "port": port }] })
}

/// Creates them.
pub(crate) async fn create_endpoints(lab: &Lab, name: &str, subsets: Value) -> Result<Endpoints> {
    lab.create("default", endpoints(name, &json!({}), subsets)).await
}

/// Creates them, and returns what the API server says if it refuses.
pub(crate) async fn try_endpoints(lab: &Lab, object: Value) -> Result<std::result::Result<(), String>> {
    let api: Api<Endpoints> = Api::namespaced(lab.api(), "default");
    let object: Endpoints =
        serde_json::from_value(object).map_err(|error| Error::Invalid(format!("no Endpoints: {error}")))?;
    Ok(api.create(&PostParams::default(), &object).await.map(drop).map_err(|error| error.to_string()))
}

/// Merges a patch into an object of namespace `default`.
pub(crate) async fn patch<K>(lab: &Lab, name: &str, patch: Value) -> Result<()>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(lab.api(), "default");
    let patched = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
    patched.map(drop).map_err(|error| Error::Invalid(format!("patching {name}: {error}")))
}

/// Other subsets.
pub(crate) async fn set_subsets(lab: &Lab, name: &str, subsets: Value) -> Result<()> {
    patch::<Endpoints>(lab, name, json!({ "subsets": subsets })).await
}

/// The slices that mirror these Endpoints, by name.
pub(crate) async fn mirrors(lab: &Lab, name: &str) -> Result<Vec<EndpointSlice>> {
    let api: Api<EndpointSlice> = Api::namespaced(lab.api(), "default");
    let labels =
        format!("kubernetes.io/service-name={name},endpointslice.kubernetes.io/managed-by={MANAGED_BY}");
    let list = api.list(&ListParams::default().labels(&labels)).await;
    let mut slices =
        list.map_err(|error| Error::Invalid(format!("listing the slices of {name}: {error}")))?.items;
    slices.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    Ok(slices)
}

/// Waits until these slices hold exactly this ([`describe`]), and returns them.
pub(crate) async fn until(lab: &Lab, name: &str, expected: &[&str]) -> Result<Vec<EndpointSlice>> {
    lab.wait_until(format!("the slices of {name} to be {expected:?}"), PATIENCE, async || {
        let slices = mirrors(lab, name).await?;
        let found = describe(&slices);
        if found == expected { Ok(slices) } else { Err(format!("{found:?}").into()) }
    })
    .await
}

/// `family ports: address ...` of each slice, addresses that are not ready with `!`; all sorted.
pub(crate) fn describe(slices: &[EndpointSlice]) -> Vec<String> {
    let describe = |slice: &EndpointSlice| {
        let mut endpoints: Vec<_> = slice
            .endpoints
            .iter()
            .map(|it| {
                let ready = it.conditions.as_ref().and_then(|it| it.ready) == Some(true);
                format!("{}{}", if ready { "" } else { "!" }, it.addresses.join("+"))
            })
            .collect();
        endpoints.sort();
        let mut ports: Vec<_> =
            slice.ports.iter().flatten().filter_map(|port| port.port).map(|port| port.to_string()).collect();
        ports.sort();
        format!("{} {}: {}", slice.address_type, ports.join(","), endpoints.join(" "))
    };
    let mut all: Vec<_> = slices.iter().map(describe).collect();
    all.sort();
    all
}

/// Name of the only slice.
pub(crate) fn only(slices: &[EndpointSlice]) -> String {
    assert_eq!(slices.len(), 1, "{slices:?}");
    slices[0].metadata.name.clone().unwrap_or_default()
}

/// Waits for an event about the Endpoints that has all of these parts, and returns all events as `reason: message`.
pub(crate) async fn told(lab: &Lab, name: &str, parts: &[&str]) -> Result<Vec<String>> {
    lab.wait_until(format!("an event about {name} with {parts:?}"), PATIENCE, async || {
        let events = events(lab, name).await?;
        let found = events.iter().any(|event| parts.iter().all(|part| event.contains(part)));
        if found { Ok(events) } else { Err(format!("{events:?}").into()) }
    })
    .await
}

/// The events about these Endpoints, as `reason: message`.
pub(crate) async fn events(lab: &Lab, name: &str) -> Result<Vec<String>> {
    let api: Api<Event> = Api::namespaced(lab.api(), "default");
    let fields = format!("involvedObject.name={name},involvedObject.kind=Endpoints");
    let list = api.list(&ListParams::default().fields(&fields)).await;
    let events = list.map_err(|error| Error::Invalid(format!("listing events: {error}")))?.items;
    let text =
        |event: Event| format!("{}: {}", event.reason.unwrap_or_default(), event.message.unwrap_or_default());
    Ok(events.into_iter().map(text).collect())
}

/// Waits until the manager has looked at everything that it knows of, and returns the number of writes to
/// EndpointSlices since `before`.
pub(crate) async fn writes_of(lab: &Lab, manager: &Manager, before: &lab::Writes, syncs: f64) -> Result<u64> {
    lab.wait_until(format!("{syncs} Endpoints to be looked at"), PATIENCE, async || {
        let metrics = manager.metrics().await?;
        let done = metrics.sum("endpoint_slice_mirroring_controller_endpoints_sync_duration_count", &[]);
        let queue = [("name", "endpoint_slice_mirroring")];
        let depth = metrics.sum("workqueue_depth", &queue);
        let working = metrics.sum("workqueue_unfinished_work_seconds", &queue);
        if done >= syncs && depth == 0.0 && working == 0.0 {
            Ok(())
        } else {
            Err(format!("{done} looked at, {depth} waiting").into())
        }
    })
    .await?;
    Ok(lab.writes().await?.since(before).of_resource("endpointslices"))
}
