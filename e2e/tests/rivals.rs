//! Others who will not let EndpointSlices be, and slices that their Service leaves behind, on a real API server.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use lab::{Lab, Manager, Result};
use serde_json::{Value, json};

use support::{
    CONTROLLER, PATIENCE, endpoints, events, label, manager, names, objects_only, patch, service, slices,
    slices_until,
};

/// Reverts until they slow down.
const REVERTS: u64 = 5;
/// What happens to a Pod until it is ready; each may put the slices right again.
const POD_CHANGES: u64 = 5;

/// Somebody who does something to every slice of `web`, again and again.
struct Rival {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<u64>,
}

impl Rival {
    /// `act` says which patch a slice needs, if any; `None` in the second place: it is deleted.
    fn start(lab: &Lab, act: fn(&EndpointSlice) -> Option<Option<Value>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, api) = (Arc::clone(&stop), Api::<EndpointSlice>::namespaced(lab.api(), "default"));
        let task = tokio::spawn(async move {
            let mut deeds = 0;
            let params = PatchParams { field_manager: Some("tenant-tool".into()), ..PatchParams::default() };
            while !stopped.load(Ordering::Relaxed) {
                let of_web = ListParams::default().labels("kubernetes.io/service-name=web");
                let list = api.list(&of_web).await.map(|list| list.items);
                for slice in list.unwrap_or_default() {
                    let name = slice.metadata.name.as_deref().unwrap_or_default();
                    let done = match act(&slice) {
                        Some(Some(patch)) => api.patch(name, &params, &Patch::Merge(patch)).await.is_ok(),
                        Some(None) => api.delete(name, &DeleteParams::default()).await.is_ok(),
                        None => false,
                    };
                    deeds += u64::from(done);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            deeds
        });
        Self { stop, task }
    }

    /// Ends it and returns how often it wrote.
    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap_or_default()
    }
}

/// Waits for an event about the Service `web` that has all of these parts.
async fn told(lab: &Lab, parts: &[&str]) -> Result<String> {
    lab.wait_until(format!("an event with {parts:?}"), PATIENCE, async || {
        let events = events(lab, "web").await?;
        let found = events.iter().find(|event| parts.iter().all(|part| event.contains(part)));
        found.cloned().ok_or_else(|| format!("{events:?}").into())
    })
    .await
}

async fn metric(lab: &Lab, manager: &Manager, name: &str, expected: f64) -> Result<()> {
    lab.wait_until(format!("{name} to be {expected}"), PATIENCE, async || {
        let found = manager.metrics().await?.sum(name, &[]);
        if (found - expected).abs() < 0.5 { Ok(()) } else { Err(found.to_string().into()) }
    })
    .await
}

async fn web(lab: &Lab) -> Result<Vec<EndpointSlice>> {
    service(lab, "web", json!({})).await?;
    lab.pod("default", "web-0").label("app", "web").paper().start().await?;
    slices_until(lab, "web", "the Pod", |it| endpoints(it) == ["web-0:rs-"]).await
}

/// Fights with a tenant until it is told, then lets a Pod appear.
async fn fight(act: fn(&EndpointSlice) -> Option<Option<Value>>, says: &[&str]) -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = manager(&lab).await?;
    web(&lab).await?;
    let before = lab.writes().await?;
    let rival = Rival::start(&lab, act);
    told(&lab, &[&["EndpointSlicesContested: ", "only every 5 minutes"], says].concat()).await?;
    metric(&lab, &manager, "fairlead_contested_services", 1.0).await?;
    // A change of the first Pod may have put one right on the way.
    let reverts = manager.metrics().await?.sum("fairlead_reverts_total", &[]);
    assert!((1.0..=5.0).contains(&reverts), "{reverts} reverts");

    // A watch sees also what lasts for a moment only.
    let mut seen = tokio::spawn({
        let log = kube::runtime::watcher(
            Api::<EndpointSlice>::namespaced(lab.api(), "default"),
            kube::runtime::watcher::Config::default(),
        );
        async move {
            let mut log = std::pin::pin!(kube::runtime::WatchStreamExt::applied_objects(log));
            while let Some(Ok(slice)) = futures::StreamExt::next(&mut log).await {
                if endpoints(std::slice::from_ref(&slice)) == ["web-0:rs-", "web-1:rs-"] {
                    return;
                }
            }
        }
    });
    lab.pod("default", "web-1").label("app", "web").paper().start().await?;
    let published = tokio::time::timeout(PATIENCE, &mut seen).await;
    assert!(published.is_ok(), "a change of a Pod waits for the rival: {}", manager.log()?);

    // The rival goes on, and reverts do not.
    service(&lab, "later", json!({})).await?;
    slices_until(&lab, "later", "that it was looked at", |slices| !slices.is_empty()).await?;
    metric(&lab, &manager, "fairlead_reverts_total", reverts).await?;
    let deeds = rival.end().await;
    // The rival patches and deletes.
    let since = lab.writes().await?.since(&before);
    let writes = since.of_verb("endpointslices", "POST") + since.of_verb("endpointslices", "PUT");
    // One is for the other Service.
    assert!(writes <= REVERTS + POD_CHANGES + 1, "{writes} writes against {deeds}: {}", manager.log()?);
    assert!(deeds >= 5, "the rival gave up after {deeds}");
    Ok(())
}

#[tokio::test]
async fn a_tenant_who_empties_slices_in_a_loop_is_named() -> Result<()> {
    let act = |slice: &EndpointSlice| (!slice.endpoints.is_empty()).then(|| Some(json!({ "endpoints": [] })));
    fight(act, &["The field manager \"tenant-tool\" keeps changing", "web-"]).await
}

#[tokio::test]
async fn a_tenant_who_relabels_slices_in_a_loop_is_named() -> Result<()> {
    let act = |slice: &EndpointSlice| {
        let patch = || Some(json!({ "metadata": { "labels": { "mine": "x" } } }));
        label(slice, "mine").is_none().then(patch)
    };
    fight(act, &["The field manager \"tenant-tool\" keeps changing", "web-"]).await
}

#[tokio::test]
async fn a_tenant_who_deletes_slices_in_a_loop_is_reported() -> Result<()> {
    fight(|_| Some(None), &["Somebody (a deleted object does not say who) keeps deleting", "audit log"]).await
}

#[tokio::test]
async fn a_webhook_that_relabels_slices_makes_no_loop() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = manager(&lab).await?;
    let slice = ("discovery.k8s.io", "v1", "endpointslices");
    let webhook = lab
        .mutating_webhook(slice, |_| json!([{ "op": "add", "path": "/metadata/labels/mine", "value": "x" }]))
        .await?;
    // The API server learns of it with a delay, so the first writes may pass.
    let mut pods = Vec::new();
    service(&lab, "web", json!({})).await?;
    lab.wait_until("the webhook to be at work", PATIENCE, async || {
        let pod =
            lab.pod("default", &format!("web-{}", pods.len())).label("app", "web").paper().start().await?;
        pods.push(pod);
        let found = slices(&lab, "web").await?;
        if found.iter().any(|slice| label(slice, "mine").is_some()) { Ok(()) } else { Err("not yet".into()) }
    })
    .await?;
    told(
        &lab,
        &["EndpointSlicesContested: An admission webhook or policy changes", "MutatingWebhookConfigurations"],
    )
    .await?;
    metric(&lab, &manager, "fairlead_contested_services", 1.0).await?;

    let before = lab.writes().await?;
    pods.push(lab.pod("default", "web-last").label("app", "web").paper().start().await?);
    slices_until(&lab, "web", "all Pods", |it| endpoints(it).len() == pods.len()).await?;
    // Another Service shows that the controller has had the time for more.
    service(&lab, "later", json!({})).await?;
    slices_until(&lab, "later", "that it was looked at", |slices| slices.len() == 1).await?;
    let writes = lab.writes().await?.since(&before).of_resource("endpointslices");
    assert!(writes <= 3, "{writes} writes for one Pod and one new Service: {}", manager.log()?);
    webhook.remove().await
}

/// A Service that lost its selector and one that became an ExternalName.
async fn lose_selectors(lab: &Lab) -> Result<()> {
    patch::<Service>(lab, "web", json!({ "spec": { "selector": null } })).await?;
    let alias = json!({ "spec": { "type": "ExternalName", "externalName": "example.com",
        "clusterIP": null, "clusterIPs": null } });
    patch::<Service>(lab, "alias", alias).await
}

#[tokio::test]
async fn leftovers_stay_and_are_reported_once() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = manager(&lab).await?;
    let before = web(&lab).await?;
    service(&lab, "alias", json!({})).await?;
    slices_until(&lab, "alias", "a placeholder", |it| it.len() == 1).await?;
    lose_selectors(&lab).await?;
    metric(&lab, &manager, "fairlead_leftover_slices", 2.0).await?;
    let command =
        "kubectl delete endpointslices --namespace default --selector kubernetes.io/service-name=web,";
    let event = told(&lab, &["EndpointSlicesLeftBehind: ", "has no selector any more", command]).await?;
    assert!(events(&lab, "alias").await?.iter().any(|it| it.contains("is an ExternalName now")), "{event}");

    // Neither another look nor a restart tells it again, and nothing is written.
    patch::<Service>(&lab, "web", json!({ "metadata": { "labels": { "team": "shop" } } })).await?;
    support::restart(&manager).await?;
    metric(&lab, &manager, "fairlead_leftover_slices", 2.0).await?;
    assert_eq!(slices(&lab, "web").await?, before);
    let all = events(&lab, "web").await?;
    assert_eq!(all.iter().filter(|it| it.starts_with("EndpointSlicesLeftBehind")).count(), 1, "{all:?}");

    // What it says to do helps.
    let selector = "kubernetes.io/service-name=alias";
    lab.kubectl(&["delete", "endpointslices", "--selector", selector]).await?;
    metric(&lab, &manager, "fairlead_leftover_slices", 1.0).await?;
    // With the selector back the slice is used again.
    patch::<Service>(&lab, "web", json!({ "spec": { "selector": { "app": "web" } } })).await?;
    let again = slices_until(&lab, "web", "its label", |it| label(&it[0], "team") == Some("shop")).await?;
    assert_eq!(names(&again), names(&before));
    metric(&lab, &manager, "fairlead_leftover_slices", 0.0).await
}

#[tokio::test]
async fn leftovers_are_pruned_on_request_when_they_come_to_be() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = lab.manager().controllers(CONTROLLER).flag("--prune-leftovers").start().await?;
    web(&lab).await?;
    service(&lab, "alias", json!({})).await?;
    slices_until(&lab, "alias", "a placeholder", |it| it.len() == 1).await?;
    lose_selectors(&lab).await?;
    slices_until(&lab, "web", "nothing", <[_]>::is_empty).await?;
    slices_until(&lab, "alias", "nothing", <[_]>::is_empty).await?;
    told(&lab, &["EndpointSlicesPruned: Deleted 1 "]).await?;

    // What became leftover while nobody looked stays.
    patch::<Service>(&lab, "web", json!({ "spec": { "selector": { "app": "web" } } })).await?;
    slices_until(&lab, "web", "the Pod", |it| endpoints(it) == ["web-0:rs-"]).await?;
    manager.stop().await?;
    patch::<Service>(&lab, "web", json!({ "spec": { "selector": null } })).await?;
    manager.restart().await?;
    metric(&lab, &manager, "fairlead_leftover_slices", 1.0).await?;
    assert_eq!(slices(&lab, "web").await?.len(), 1);
    Ok(())
}
