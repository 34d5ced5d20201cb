//! The Endpoints that `fairlead manager` writes, on a real API server.

mod support;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Endpoints, Service};
use lab::{Families, Identity, Result};
use serde_json::json;

use support::endpoints::{
    ENDPOINTS, annotation, counts, endpoints_manager, endpoints_of, endpoints_until, label_of, paper_pods,
    published,
};
use support::{PATIENCE, events, objects_only, patch, service};

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const HEADLESS: &str = "service.kubernetes.io/headless";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

#[tokio::test]
async fn a_service_has_endpoints_from_the_first_moment_until_it_is_gone() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = endpoints_manager(&lab).await?;
    service(&lab, "web", json!({})).await?;
    let empty = endpoints_until(&lab, "web", "nothing", |_| true).await?;
    assert_eq!(published(&empty), [""; 0]);
    assert_eq!(label_of(&empty, MANAGED_BY), Some("endpoint-controller"));
    assert_eq!(empty.metadata.owner_references, None);
    paper_pods(&lab, "web", 0..3).await?;
    endpoints_until(&lab, "web", "all Pods", |it| published(it) == ["web-0:r", "web-1:r", "web-2:r"]).await?;
    lab.kubectl(&["delete", "service", "web"]).await?;
    lab.wait_until("the Endpoints to be gone", PATIENCE, async || match endpoints_of(&lab, "web").await? {
        None => Ok(()),
        Some(_) => Err("still there".into()),
    })
    .await?;
    let log = manager.log()?;
    assert!(!log.contains("WARN") && !log.contains("deprecated"), "{log}");
    Ok(())
}

#[tokio::test]
async fn an_endpoints_address_follows_its_pod_through_its_life() -> Result<()> {
    let lab = objects_only().start().await?;
    let _manager = endpoints_manager(&lab).await?;
    service(&lab, "web", json!({})).await?;
    let pod = lab.pod("default", "web-0").label("app", "web").paper().not_ready();
    let pod = pod
        .customize(|pod| {
            let spec = pod.spec.get_or_insert_default();
            spec.hostname = Some("web-0".into());
            spec.subdomain = Some("web".into());
        })
        .start()
        .await?;
    let shows = async |expected: &[&str]| {
        endpoints_until(&lab, "web", &format!("{expected:?}"), |it| published(it) == expected).await
    };
    let first = shows(&["web-0:-"]).await?;
    let subset = &first.subsets.as_ref().expect("a subset")[0];
    let address = &subset.not_ready_addresses.as_ref().expect("an address")[0];
    assert_eq!(address.ip, pod.addresses()[0].to_string());
    assert_eq!((address.hostname.as_deref(), address.node_name.as_deref()), (Some("web-0"), Some("node-1")));
    let port = &subset.ports.as_ref().expect("a port")[0];
    assert_eq!(
        (port.name.as_deref(), port.port, port.protocol.as_deref()),
        (Some("http"), 8080, Some("TCP"))
    );

    let since = "2033-01-02T03:04:05Z";
    let ready = json!({ "type": "Ready", "status": "True", "lastTransitionTime": since });
    pod.patch_status(json!({ "conditions": [ready] })).await?;
    let ready = shows(&["web-0:r"]).await?;
    assert_eq!(annotation(&ready, "endpoints.kubernetes.io/last-change-trigger-time"), Some(since));
    pod.set_ready(false).await?;
    shows(&["web-0:-"]).await?;
    pod.set_ready(true).await?;
    shows(&["web-0:r"]).await?;
    pod.terminate().await?;
    shows(&[]).await?;
    patch::<Service>(&lab, "web", json!({ "spec": { "publishNotReadyAddresses": true } })).await?;
    shows(&["web-0:r"]).await?;
    pod.remove().await?;
    shows(&[]).await?;

    // A Pod that never became ready and then fails disappears, although its Ready condition did not change.
    patch::<Service>(&lab, "web", json!({ "spec": { "publishNotReadyAddresses": false } })).await?;
    let other = lab.pod("default", "web-1").label("app", "web").paper().not_ready().start().await?;
    shows(&["web-1:-"]).await?;
    other.set_phase("Failed").await?;
    shows(&[]).await?;
    Ok(())
}

/// The numbers of the ports of each subset, sorted.
fn ports(endpoints: &Endpoints) -> Vec<Vec<i32>> {
    let subsets = endpoints.subsets.iter().flatten();
    let of = |ports: &Option<Vec<_>>| {
        let mut numbers: Vec<i32> =
            ports.iter().flatten().map(|it: &k8s_openapi::api::core::v1::EndpointPort| it.port).collect();
        numbers.sort_unstable();
        numbers
    };
    let mut all: Vec<_> = subsets.map(|subset| of(&subset.ports)).collect();
    all.sort();
    all
}

#[tokio::test]
async fn endpoints_of_all_kinds_of_services() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = endpoints_manager(&lab).await?;
    for (name, number) in [("db-0", 5432), ("db-1", 5433), ("db-2", 5432)] {
        lab.pod("default", name).label("app", "db").port("sql", number).paper().start().await?;
    }
    let all = ["db-0:r", "db-1:r", "db-2:r"];
    let db = json!({ "app": "db" });

    service(&lab, "headless", json!({ "selector": db, "clusterIP": "None", "ports": null })).await?;
    let headless = endpoints_until(&lab, "headless", "all Pods", |it| published(it) == all).await?;
    assert_eq!(label_of(&headless, HEADLESS), Some(""));
    assert_eq!(ports(&headless), [[0; 0]], "without ports");

    let two = json!([{ "name": "sql", "port": 1, "targetPort": "sql" }, { "name": "all", "port": 2, "targetPort": 9 },
        { "name": "none", "port": 3, "targetPort": "absent" }]);
    service(&lab, "named", json!({ "selector": db, "ports": two })).await?;
    let named = endpoints_until(&lab, "named", "three subsets", |it| ports(it).len() == 3).await?;
    assert_eq!(ports(&named), [[9], [5432], [5433]]);

    let six_first =
        json!({ "selector": db, "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"] });
    service(&lab, "six-first", six_first).await?;
    let six = endpoints_until(&lab, "six-first", "all Pods", |it| published(it) == all).await?;
    let addresses = six.subsets.iter().flatten().flat_map(|it| it.addresses.iter().flatten());
    assert!(addresses.into_iter().all(|it| it.ip.contains(':')), "{six:?}");
    lab.pod("default", "db-3").label("app", "db").families(Families::Ipv4).paper().start().await?;
    endpoints_until(&lab, "headless", "the fourth", |it| published(it).len() == 4).await?;
    endpoints_until(&lab, "six-first", "those that have IPv6", |it| published(it) == all).await?;

    let long = "a-service-name-of-sixty-three-characters-which-is-the-very-most";
    service(&lab, long, json!({ "selector": db })).await?;
    endpoints_until(&lab, long, "all Pods", |it| published(it).len() == 4).await?;

    let alias = json!({ "metadata": { "name": "alias" },
        "spec": { "type": "ExternalName", "externalName": "example.com", "selector": db } });
    lab.create::<Service>("default", alias).await?;
    service(&lab, "later", json!({})).await?;
    endpoints_until(&lab, "later", "that it was looked at", |_| true).await?;
    assert_eq!(endpoints_of(&lab, "alias").await?, None);
    let back = json!({ "spec": { "type": "ClusterIP", "externalName": null, "ports": [{ "port": 80 }] } });
    patch::<Service>(&lab, "alias", back).await?;
    endpoints_until(&lab, "alias", "all Pods", |it| published(it).len() == 4).await?;
    let text = manager.log()?;
    assert!(!text.contains("WARN") && !text.contains("ERROR"), "{text}");
    Ok(())
}

#[tokio::test]
async fn labels_of_the_service_are_followed() -> Result<()> {
    let lab = objects_only().start().await?;
    let _manager = endpoints_manager(&lab).await?;
    for (name, cluster_ip) in [("plain", json!(null)), ("headless", json!("None"))] {
        let labels = json!({ "team": "shop", "old": "1", HEADLESS: "x", MANAGED_BY: "y" });
        lab.create::<Service>(
            "default",
            json!({ "metadata": { "name": name, "labels": labels },
                "spec": { "clusterIP": cluster_ip, "selector": { "app": name }, "ports": [{ "port": 80 }] } }),
        )
        .await?;
        let made =
            endpoints_until(&lab, name, "its labels", |it| label_of(it, "team") == Some("shop")).await?;
        let headless = (name == "headless").then_some("");
        assert_eq!(
            (label_of(&made, HEADLESS), label_of(&made, MANAGED_BY)),
            (headless, Some("endpoint-controller"))
        );
        patch::<Service>(&lab, name, json!({ "metadata": { "labels": { "old": null, "new": "2" } } }))
            .await?;
        let swapped =
            endpoints_until(&lab, name, "the new label", |it| label_of(it, "new") == Some("2")).await?;
        assert_eq!((label_of(&swapped, "old"), label_of(&swapped, HEADLESS)), (None, headless));
        // Neither of the Service's own reserved labels makes it write again and again.
        let version = swapped.metadata.resource_version.clone();
        service(&lab, &format!("after-{name}"), json!({})).await?;
        endpoints_until(&lab, &format!("after-{name}"), "that it was looked at", |_| true).await?;
        assert_eq!(endpoints_of(&lab, name).await?.and_then(|it| it.metadata.resource_version), version);
    }
    Ok(())
}

#[tokio::test]
async fn more_than_a_thousand_addresses_are_truncated_and_told() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = endpoints_manager(&lab).await?;
    service(&lab, "web", json!({})).await?;
    let pods = paper_pods(&lab, "web", 0..1001).await?;
    let truncated = endpoints_until(&lab, "web", "a thousand", |it| {
        counts(it) == (1000, 0) && annotation(it, OVER_CAPACITY) == Some("truncated")
    })
    .await?;
    let told = lab
        .wait_until("an event", PATIENCE, async || {
            let events = events(&lab, "web").await?;
            let found = events.iter().find(|it| it.starts_with("EndpointsTruncated: ")).cloned();
            found.ok_or_else(|| format!("{events:?}").into())
        })
        .await?;
    assert!(told.contains("1001 endpoints") && told.contains("EndpointSlices"), "{told}");
    assert!((manager.metrics().await?.sum("fairlead_endpoints_truncated", &[]) - 1.0).abs() < 0.1);

    // The one that has no room changes: nothing is written.
    let all = published(&truncated);
    let hidden =
        pods.iter().find(|pod| !all.contains(&format!("{}:r", pod.name()))).expect("one is left out");
    for _ in 0..5 {
        hidden.patch(json!({ "metadata": { "annotations": { "a": "b" } } })).await?;
        hidden.set_ready(false).await?;
        hidden.set_ready(true).await?;
    }
    // Another one that has room makes it take its place.
    let shown = pods.iter().find(|pod| pod.name() != hidden.name()).expect("others");
    shown.set_ready(false).await?;
    let replaced = format!("{}:r", hidden.name());
    endpoints_until(&lab, "web", "the hidden one", |it| published(it).contains(&replaced)).await?;
    shown.set_ready(true).await?;
    for pod in &pods[..501] {
        pod.remove().await?;
    }
    endpoints_until(&lab, "web", "the rest", |it| {
        counts(it) == (500, 0) && annotation(it, OVER_CAPACITY).is_none()
    })
    .await?;
    assert!(manager.metrics().await?.sum("fairlead_endpoints_truncated", &[]) < 0.1);
    let told = events(&lab, "web").await?;
    assert_eq!(told.iter().filter(|it| it.starts_with("EndpointsTruncated")).count(), 1, "{told:?}");
    Ok(())
}

/// The role of one controller has no right to list what another one needs.
#[tokio::test]
async fn the_controller_alone_needs_its_own_role_alone() -> Result<()> {
    let lab = objects_only().start().await?;
    lab.kubectl(&["create", "serviceaccount", "alone"]).await?;
    let role = "--clusterrole=system:controller:endpoint-controller";
    let subject = "--serviceaccount=default:alone";
    lab.kubectl(&["create", "clusterrolebinding", "alone", role, subject]).await?;
    let identity = Identity::service_account("default", "alone");
    let manager = lab.manager().controllers(ENDPOINTS).identity(identity).start().await?;
    service(&lab, "web", json!({})).await?;
    paper_pods(&lab, "web", 0..1).await?;
    endpoints_until(&lab, "web", "the Pod", |it| published(it) == ["web-0:r"]).await?;
    let ready = manager.admin("/readyz?verbose").await?.body;
    for resource in ["pods", "services", "endpoints"] {
        assert!(ready.contains(&format!("informer/{resource} ok")), "{ready}");
    }
    assert!(!ready.contains("informer/nodes") && !ready.contains("informer/endpointslices"), "{ready}");
    Ok(())
}

#[tokio::test]
async fn refused_writes_are_told_on_the_endpoints_and_tried_again() -> Result<()> {
    let lab = objects_only().start().await?;
    let _manager = endpoints_manager(&lab).await?;
    service(&lab, "web", json!({})).await?;
    endpoints_until(&lab, "web", "nothing", |_| true).await?;
    let spoil = |_: &serde_json::Value| json!([{ "op": "add", "path": "/metadata/labels/bad", "value": "no label!" }]);
    let webhook = lab.mutating_webhook(("", "v1", "endpoints"), spoil).await?;
    // The API server learns of it with a delay.
    let mut number = 0;
    for (name, reason) in [("web", "FailedToUpdateEndpoint: "), ("fresh", "FailedToCreateEndpoint: ")] {
        lab.wait_until(format!("an event {reason}"), PATIENCE, async || {
            number += 1;
            paper_pods(&lab, "web", number..number + 1).await?;
            if name == "fresh" && endpoints_of(&lab, "fresh").await?.is_none() {
                let _ = service(&lab, "fresh", json!({})).await;
            }
            let events = events(&lab, name).await?;
            let found = events.iter().any(|it| it.starts_with(reason) && it.contains("no label!"));
            if found { Ok(()) } else { Err(format!("{events:?}").into()) }
        })
        .await?;
    }
    webhook.remove().await?;
    endpoints_until(&lab, "web", "all Pods", |it| published(it).len() == number).await?;
    endpoints_until(&lab, "fresh", "nothing", |_| true).await?;
    Ok(())
}

#[tokio::test]
async fn endpoints_of_a_namespace_that_is_being_deleted_go_in_peace() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = endpoints_manager(&lab).await?;
    lab.namespace("doomed").await?;
    for number in 0..5 {
        let name = format!("web-{number}");
        lab.pod("doomed", &name).label("app", "web").paper().grace_seconds(0).start().await?;
        let spec = json!({ "selector": { "app": "web" }, "ports": [{ "port": 80 }] });
        lab.create::<Service>("doomed", json!({ "metadata": { "name": name }, "spec": spec })).await?;
    }
    lab.kubectl(&["delete", "namespace", "doomed", "--timeout=60s"]).await?;
    let retries = manager.metrics().await?.sum("workqueue_retries_total", &[("name", "endpoint")]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let later = manager.metrics().await?.sum("workqueue_retries_total", &[("name", "endpoint")]);
    assert!(later - retries < 1.0, "{retries} retries became {later} after the namespace was gone");
    let log = manager.log()?;
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    Ok(())
}
