//! Endpoints that others change or delete, that nobody maintains any more, or whose Service is gone.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Endpoints, Service};
use kube::api::{Api, Patch, PatchParams};
use lab::{Lab, Manager, Result};
use serde_json::json;

use support::endpoints::{
    ENDPOINTS, endpoints_manager, endpoints_of, endpoints_until, label_of, paper_pods, published,
};
use support::{PATIENCE, events, objects_only, patch, restart, service};

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";

async fn web(lab: &Lab) -> Result<Endpoints> {
    service(lab, "web", json!({})).await?;
    paper_pods(lab, "web", 0..2).await?;
    endpoints_until(lab, "web", "both Pods", |it| published(it) == ["web-0:r", "web-1:r"]).await
}

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

async fn gone(lab: &Lab, name: &str) -> Result<()> {
    lab.wait_until(format!("the Endpoints {name} to be gone"), PATIENCE, async || {
        if endpoints_of(lab, name).await?.is_none() { Ok(()) } else { Err("still there".into()) }
    })
    .await
}

/// Creates Endpoints by hand.
async fn by_hand(lab: &Lab, metadata: serde_json::Value) -> Result<()> {
    let subsets = json!([{ "addresses": [{ "ip": "192.0.2.7" }], "ports": [{ "port": 5432 }] }]);
    lab.create::<Endpoints>("default", json!({ "metadata": metadata, "subsets": subsets })).await.map(drop)
}

#[tokio::test]
async fn what_others_do_to_endpoints_is_put_right_also_after_a_restart() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = endpoints_manager(&lab).await?;
    web(&lab).await?;
    let right = |it: &Endpoints| {
        published(it) == ["web-0:r", "web-1:r"]
            && label_of(it, MANAGED_BY).is_some()
            && label_of(it, "mine").is_none()
    };
    for round in ["written by this process", "left by an earlier one"] {
        for edit in [
            json!({ "subsets": null }),
            json!({ "metadata": { "labels": { "mine": "x" } } }),
            json!({ "metadata": { "labels": { MANAGED_BY: null } } }),
        ] {
            patch::<Endpoints>(&lab, "web", edit.clone()).await?;
            endpoints_until(&lab, "web", &format!("{edit} undone, {round}"), right).await?;
        }
        lab.kubectl(&["delete", "endpoints", "web"]).await?;
        endpoints_until(&lab, "web", &format!("new ones, {round}"), right).await?;
        restart(&manager).await?;
    }
    // An annotation is anybody's.
    let before = endpoints_of(&lab, "web").await?.and_then(|it| it.metadata.resource_version);
    patch::<Endpoints>(&lab, "web", json!({ "metadata": { "annotations": { "mine": "x" } } })).await?;
    service(&lab, "later", json!({})).await?;
    endpoints_until(&lab, "later", "that it was looked at", |_| true).await?;
    let after = endpoints_of(&lab, "web").await?.expect("they are there");
    assert_ne!(after.metadata.resource_version, before);
    assert_eq!(after.metadata.annotations.expect("annotations").get("mine").map(String::as_str), Some("x"));
    Ok(())
}

/// After five reverts one follows every five minutes; the event names the tenant, and Pods are published all the same.
#[tokio::test]
async fn a_tenant_who_edits_endpoints_in_a_loop_is_named() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = endpoints_manager(&lab).await?;
    web(&lab).await?;
    let before = lab.writes().await?;
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, api) = (Arc::clone(&stop), Api::<Endpoints>::namespaced(lab.api(), "default"));
    let tenant = tokio::spawn(async move {
        let params = PatchParams { field_manager: Some("tenant-tool".into()), ..PatchParams::default() };
        let mut edits = 0;
        while !stopped.load(Ordering::Relaxed) {
            let right = api.get("web").await.is_ok_and(|it| published(&it).contains(&"web-0:r".to_owned()));
            let other = Patch::Merge(json!({ "subsets": [{ "addresses": [{ "ip": "192.0.2.7" }] }] }));
            edits += u64::from(right && api.patch("web", &params, &other).await.is_ok());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        edits
    });
    let who = "EndpointsContested: The field manager \"tenant-tool\" keeps changing the Endpoints of the Service, web";
    told(&lab, &[who, "only every 5 minutes"]).await?;
    metric(&lab, &manager, "fairlead_contested_services", 1.0).await?;

    // A watch sees also what lasts for a moment only.
    let mut seen = tokio::spawn({
        let config = kube::runtime::watcher::Config::default().fields("metadata.name=web");
        let log = kube::runtime::watcher(Api::<Endpoints>::namespaced(lab.api(), "default"), config);
        async move {
            let mut log = std::pin::pin!(kube::runtime::WatchStreamExt::applied_objects(log));
            while let Some(Ok(it)) = futures::StreamExt::next(&mut log).await {
                if published(&it).len() == 3 {
                    return;
                }
            }
        }
    });
    paper_pods(&lab, "web", 2..3).await?;
    let published = tokio::time::timeout(PATIENCE, &mut seen).await;
    assert!(published.is_ok(), "a change of a Pod waits for the rival: {}", manager.log()?);
    stop.store(true, Ordering::Relaxed);
    let edits = tenant.await.unwrap_or_default();
    let puts = lab.writes().await?.since(&before).of_verb("endpoints", "PUT");
    assert!(edits >= 5 && puts <= 5 + 3, "{puts} writes against {edits}");
    Ok(())
}

#[tokio::test]
async fn a_webhook_that_relabels_endpoints_makes_no_loop() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = endpoints_manager(&lab).await?;
    web(&lab).await?;
    let relabel =
        |_: &serde_json::Value| json!([{ "op": "add", "path": "/metadata/labels/mine", "value": "x" }]);
    let webhook = lab.mutating_webhook(("", "v1", "endpoints"), relabel).await?;
    let mut number = 2;
    lab.wait_until("the webhook to be at work", PATIENCE, async || {
        paper_pods(&lab, "web", number..number + 1).await?;
        number += 1;
        let found = endpoints_of(&lab, "web").await?.expect("they are there");
        if label_of(&found, "mine").is_some() { Ok(()) } else { Err("not yet".into()) }
    })
    .await?;
    told(&lab, &["EndpointsContested: An admission webhook or policy changes", "exclude Endpoints from"])
        .await?;
    metric(&lab, &manager, "fairlead_contested_services", 1.0).await?;
    let before = lab.writes().await?;
    paper_pods(&lab, "web", number..number + 1).await?;
    endpoints_until(&lab, "web", "all Pods", |it| published(it).len() == number + 1).await?;
    service(&lab, "later", json!({})).await?;
    endpoints_until(&lab, "later", "that it was looked at", |_| true).await?;
    let writes = lab.writes().await?.since(&before).of_resource("endpoints");
    assert!(writes <= 3, "{writes} writes for one Pod and one new Service: {}", manager.log()?);
    webhook.remove().await
}

#[tokio::test]
async fn endpoints_left_behind_stay_and_are_reported_once() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = endpoints_manager(&lab).await?;
    let before = web(&lab).await?;
    let bare = json!({ "metadata": { "name": "custom" }, "spec": { "ports": [{ "port": 5432 }] } });
    lab.create::<Service>("default", bare).await?;
    by_hand(&lab, json!({ "name": "custom" })).await?;
    patch::<Service>(&lab, "web", json!({ "spec": { "selector": null } })).await?;
    metric(&lab, &manager, "fairlead_leftover_endpoints", 1.0).await?;
    let command = "kubectl delete endpoints web --namespace default";
    told(&lab, &["EndpointsLeftBehind: ", "has no selector any more", command]).await?;
    patch::<Service>(&lab, "web", json!({ "metadata": { "labels": { "team": "shop" } } })).await?;
    restart(&manager).await?;
    metric(&lab, &manager, "fairlead_leftover_endpoints", 1.0).await?;
    assert_eq!(endpoints_of(&lab, "web").await?.as_ref(), Some(&before));
    let all = events(&lab, "web").await?;
    assert_eq!(all.iter().filter(|it| it.starts_with("EndpointsLeftBehind")).count(), 1, "{all:?}");
    patch::<Service>(&lab, "web", json!({ "spec": { "selector": { "app": "web" } } })).await?;
    let again = endpoints_until(&lab, "web", "its label", |it| label_of(it, "team") == Some("shop")).await?;
    assert_eq!(again.metadata.uid, before.metadata.uid);
    metric(&lab, &manager, "fairlead_leftover_endpoints", 0.0).await?;
    assert!(endpoints_of(&lab, "custom").await?.is_some());
    Ok(())
}

#[tokio::test]
async fn endpoints_left_behind_are_pruned_on_request_when_they_come_to_be() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = lab.manager().controllers(ENDPOINTS).flag("--prune-leftovers").start().await?;
    web(&lab).await?;
    let alias = json!({ "spec": { "type": "ExternalName", "externalName": "example.com",
        "clusterIP": null, "clusterIPs": null } });
    patch::<Service>(&lab, "web", alias).await?;
    gone(&lab, "web").await?;
    told(&lab, &["EndpointsPruned: "]).await?;
    // What became so while nobody looked stays, and so does what somebody has made his own.
    for name in ["looked-away", "taken-over"] {
        service(&lab, name, json!({})).await?;
        endpoints_until(&lab, name, "nothing", |_| true).await?;
    }
    manager.stop().await?;
    patch::<Service>(&lab, "looked-away", json!({ "spec": { "selector": null } })).await?;
    let own = json!({ "metadata": { "labels": { MANAGED_BY: null } },
        "subsets": [{ "addresses": [{ "ip": "192.0.2.7" }], "ports": [{ "port": 5432 }] }] });
    patch::<Endpoints>(&lab, "taken-over", own).await?;
    patch::<Service>(&lab, "taken-over", json!({ "spec": { "selector": null } })).await?;
    manager.restart().await?;
    metric(&lab, &manager, "fairlead_leftover_endpoints", 1.0).await?;
    assert!(endpoints_of(&lab, "looked-away").await?.is_some());
    assert!(endpoints_of(&lab, "taken-over").await?.is_some());
    Ok(())
}

#[tokio::test]
async fn endpoints_without_a_service_go_at_the_start_and_stay_later() -> Result<()> {
    let lab = objects_only().start().await?;
    by_hand(&lab, json!({ "name": "stray" })).await?;
    let leader = json!({ "control-plane.alpha.kubernetes.io/leader": "{}" });
    by_hand(&lab, json!({ "name": "election", "annotations": leader })).await?;
    let bare = json!({ "metadata": { "name": "custom" }, "spec": { "ports": [{ "port": 5432 }] } });
    lab.create::<Service>("default", bare).await?;
    by_hand(&lab, json!({ "name": "custom" })).await?;
    let _manager = endpoints_manager(&lab).await?;
    gone(&lab, "stray").await?;
    by_hand(&lab, json!({ "name": "later" })).await?;
    patch::<Endpoints>(&lab, "later", json!({ "metadata": { "labels": { "a": "b" } } })).await?;
    web(&lab).await?;
    for name in ["election", "custom", "later"] {
        assert!(endpoints_of(&lab, name).await?.is_some(), "{name}");
    }
    // The API server's own are nobody's business.
    assert!(endpoints_of(&lab, "kubernetes").await?.is_some());
    Ok(())
}
