//! What the scenarios about EndpointSlices have in common.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod endpoints;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::api::{Api, ListParams, Patch, PatchParams};
use lab::{Lab, LabBuilder, Manager, ProxyMode, Result};
use serde_json::{Value, json};

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The controller under test.
pub(crate) const CONTROLLER: &str = "endpointslice-controller";
/// All controllers that `fairlead manager` has; `FAIRLEAD_CONTROLLERS` names others for the tests that use all.
const CONTROLLERS: &str = "endpoints-controller,endpointslice-controller,endpointslice-mirroring-controller";
/// What it calls itself on its slices.
pub(crate) const MANAGED_BY: &str = "endpointslice-controller.k8s.io";

/// The controllers that are tested together, in the syntax of `--controllers`.
pub(crate) fn controllers() -> String {
    std::env::var("FAIRLEAD_CONTROLLERS").unwrap_or_else(|_| CONTROLLERS.to_owned())
}

/// A lab for tests about objects alone: nobody routes packets.
pub(crate) fn objects_only() -> LabBuilder {
    Lab::builder().nodes(1).proxy(ProxyMode::None)
}

/// `fairlead manager` with the controller under test.
pub(crate) async fn manager(lab: &Lab) -> Result<Manager> {
    lab.manager().controllers(CONTROLLER).start().await
}

/// Ends the manager in good order and starts it anew.
pub(crate) async fn restart(manager: &Manager) -> Result<()> {
    manager.stop().await?;
    manager.restart().await
}

/// Creates a Service of namespace `default` that selects `app=<name>`, with `spec` merged over the defaults.
pub(crate) async fn service(lab: &Lab, name: &str, spec: Value) -> Result<Service> {
    let mut object = json!({
        "metadata": { "name": name },
        "spec": { "selector": { "app": name }, "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }] },
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    lab.create("default", object).await
}

/// Merges a patch into an object of namespace `default`.
pub(crate) async fn patch<K>(lab: &Lab, name: &str, patch: Value) -> Result<()>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(lab.api(), "default");
    let patched = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
    patched.map(drop).map_err(|error| lab::Error::Invalid(format!("patching {name}: {error}")))
}

/// The controller's slices of a Service, by name.
pub(crate) async fn slices(lab: &Lab, service: &str) -> Result<Vec<EndpointSlice>> {
    let api: Api<EndpointSlice> = Api::namespaced(lab.api(), "default");
    let labels =
        format!("kubernetes.io/service-name={service},endpointslice.kubernetes.io/managed-by={MANAGED_BY}");
    let list = api.list(&ListParams::default().labels(&labels)).await;
    let mut slices =
        list.map_err(|error| lab::Error::Invalid(format!("listing the slices of {service}: {error}")))?.items;
    slices.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    Ok(slices)
}

/// Waits until the slices of a Service satisfy `condition`, which says what is wrong with them.
pub(crate) async fn slices_until(
    lab: &Lab,
    service: &str,
    what: &str,
    condition: impl Fn(&[EndpointSlice]) -> bool,
) -> Result<Vec<EndpointSlice>> {
    lab.wait_until(format!("the slices of {service} to show {what}"), PATIENCE, async || {
        let slices = slices(lab, service).await?;
        if condition(&slices) { Ok(slices) } else { Err(serde_json::to_string(&slices)?.into()) }
    })
    .await
}

/// The endpoints of these slices as `pod:conditions`, sorted; conditions are letters of ready, serving and
/// terminating.
pub(crate) fn endpoints(slices: &[EndpointSlice]) -> Vec<String> {
    let mut endpoints: Vec<_> = slices.iter().flat_map(|slice| &slice.endpoints).map(describe).collect();
    endpoints.sort();
    endpoints
}

fn describe(endpoint: &Endpoint) -> String {
    let pod = endpoint.target_ref.as_ref().and_then(|target| target.name.clone()).unwrap_or_default();
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let letters: String = [('r', conditions.ready), ('s', conditions.serving), ('t', conditions.terminating)]
        .into_iter()
        .map(|(letter, condition)| match condition {
            Some(true) => letter,
            Some(false) => '-',
            None => '?',
        })
        .collect();
    format!("{pod}:{letters}")
}

/// Number of endpoints in each slice, largest first.
pub(crate) fn sizes(slices: &[EndpointSlice]) -> Vec<usize> {
    let mut sizes: Vec<_> = slices.iter().map(|slice| slice.endpoints.len()).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes
}

/// Names of slices.
pub(crate) fn names(slices: &[EndpointSlice]) -> Vec<String> {
    slices.iter().filter_map(|slice| slice.metadata.name.clone()).collect()
}

/// A label of a slice.
pub(crate) fn label<'a>(slice: &'a EndpointSlice, key: &str) -> Option<&'a str> {
    slice.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// The events about an object of namespace `default`, as `reason: message`.
pub(crate) async fn events(lab: &Lab, name: &str) -> Result<Vec<String>> {
    let api: Api<Event> = Api::namespaced(lab.api(), "default");
    let list = api.list(&ListParams::default().fields(&format!("involvedObject.name={name}"))).await;
    let events = list.map_err(|error| lab::Error::Invalid(format!("listing events: {error}")))?.items;
    let text =
        |event: Event| format!("{}: {}", event.reason.unwrap_or_default(), event.message.unwrap_or_default());
    Ok(events.into_iter().map(text).collect())
}

/// Waits until the manager has looked at everything that it knows of, and returns the number of writes to
/// EndpointSlices since `before`.
pub(crate) async fn writes_of(lab: &Lab, manager: &Manager, before: &lab::Writes, syncs: f64) -> Result<u64> {
    lab.wait_until(format!("{syncs} Services to be synced"), PATIENCE, async || {
        let metrics = manager.metrics().await?;
        let done = metrics.sum("endpoint_slice_controller_syncs", &[]);
        let depth = metrics.sum("workqueue_depth", &[("name", "endpoint_slice")]);
        let working = metrics.sum("workqueue_unfinished_work_seconds", &[("name", "endpoint_slice")]);
        if done >= syncs && depth == 0.0 && working == 0.0 {
            Ok(())
        } else {
            Err(format!("{done} synced, {depth} waiting").into())
        }
    })
    .await?;
    Ok(lab.writes().await?.since(before).of_resource("endpointslices"))
}
