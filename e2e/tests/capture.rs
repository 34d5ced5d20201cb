//! Captures what kube-controller-manager makes of all kinds of Services, for tests that plan the same objects again:
//!
//! ```sh
//! FAIRLEAD_KUBERNETES_VERSION=1.33 cargo test --workspace --test capture -- --ignored
//! ```
//!
//! writes `controllers/endpointslice/tests/captured`.

mod support;

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use lab::{Error, Families, Lab, PodBuilder, Result};
use serde_json::{Value, json};

use support::{CONTROLLER, PATIENCE, objects_only, patch, service, slices_until};

/// Few, so that a few Pods are several slices.
const CAPACITY: usize = 4;

fn paper(lab: &Lab, app: &str, name: &str) -> PodBuilder {
    lab.pod("default", name).label("app", app).paper()
}

/// Pods in all states, in three zones, and Services that look at them in all ways.
async fn populate(lab: &Lab) -> Result<()> {
    for (number, node) in (0..11).zip(["node-1", "node-2", "node-3"].into_iter().cycle()) {
        let pod = paper(lab, "web", &format!("web-{number:02}")).on(node);
        let pod = if number % 4 == 0 { pod.port("http", 8080) } else { pod.port("http", 9090) };
        let pod = if number == 5 { pod.not_ready() } else { pod };
        pod.start().await?;
    }
    for (name, ready) in [("leaving-1", true), ("leaving-2", false)] {
        let pod = paper(lab, "web", name).start().await?;
        pod.set_ready(ready).await?;
        pod.terminate().await?;
    }
    paper(lab, "web", "done").start().await?.set_phase("Succeeded").await?;
    paper(lab, "web", "failed").not_ready().start().await?.set_phase("Failed").await?;
    paper(lab, "web", "six").families(Families::Ipv6).start().await?;
    paper(lab, "web", "twin-of-six").families(Families::Ipv6).start().await?;
    let no_address = lab.pod("default", "no-address").label("app", "web").paper_with(&[]);
    no_address.start().await?;
    paper(lab, "set", "set-0").customize(|pod| with_hostname(pod, "set")).start().await?;
    paper(lab, "set", "set-1").customize(|pod| with_hostname(pod, "another")).start().await?;
    for number in 0..6 {
        let node = ["node-1", "node-2", "node-3"][number % 3];
        paper(lab, "even", &format!("even-{number}")).on(node).start().await?;
    }
    for number in 0..10 {
        paper(lab, "lived", &format!("lived-{number}")).start().await?;
    }

    let web = json!({ "app": "web" });
    service(lab, "web", json!({ "ipFamilyPolicy": "RequireDualStack" })).await?;
    let ports = json!([
        { "name": "b", "port": 80, "targetPort": "http", "appProtocol": "h2c" },
        { "name": "a", "port": 81, "targetPort": 7 },
        { "name": "u", "port": 80, "targetPort": 53, "protocol": "UDP" },
        { "name": "none", "port": 82, "targetPort": "absent" },
    ]);
    service(lab, "named", json!({ "selector": web, "ports": ports })).await?;
    let six = json!({ "selector": web, "ipFamilies": ["IPv6"], "ipFamilyPolicy": "SingleStack" });
    service(lab, "six-only", six).await?;
    service(lab, "eager", json!({ "selector": web, "publishNotReadyAddresses": true })).await?;
    service(lab, "set", json!({ "clusterIP": "None", "ports": null })).await?;
    service(lab, "empty", json!({ "selector": { "app": "nobody" }, "ipFamilyPolicy": "RequireDualStack" }))
        .await?;
    service(lab, "near", json!({ "selector": web, "trafficDistribution": "PreferClose" })).await?;
    service(lab, "unnamed", json!({ "selector": web, "ports": [{ "port": 80 }] })).await?;
    let even = json!({ "app": "even" });
    for (name, selector) in [("hinted", &even), ("hinted-in-vain", &json!({ "app": "set" }))] {
        let metadata =
            json!({ "name": name, "annotations": { "service.kubernetes.io/topology-mode": "Auto" } });
        let spec = json!({ "selector": selector, "ports": [{ "port": 80, "targetPort": 8080 }] });
        lab.create::<Service>("default", json!({ "metadata": metadata, "spec": spec })).await?;
    }
    let labels = json!({ "team": "shop", "service.kubernetes.io/headless": "",
        "endpointslice.kubernetes.io/managed-by": "x", "kubernetes.io/service-name": "y" });
    let spec = json!({ "selector": web, "ports": [{ "port": 80, "targetPort": 8080 }] });
    let metadata = json!({ "name": "labelled", "labels": labels });
    lab.create::<Service>("default", json!({ "metadata": metadata, "spec": spec })).await?;
    let long = "a-service-name-of-sixty-three-characters-which-is-the-very-most";
    service(lab, long, json!({ "selector": even })).await?;
    lab.create::<Service>(
        "default",
        json!({ "metadata": { "name": "bare" }, "spec": { "ports": [{ "port": 80 }] } }),
    )
    .await?;
    lab.create::<Service>(
        "default",
        json!({ "metadata": { "name": "outside" },
            "spec": { "type": "ExternalName", "externalName": "example.com", "selector": even } }),
    )
    .await?;
    Ok(())
}

fn with_hostname(pod: &mut Pod, subdomain: &str) {
    let spec = pod.spec.get_or_insert_default();
    spec.hostname.clone_from(&pod.metadata.name);
    spec.subdomain = Some(subdomain.to_owned());
}

/// Services with a past: what they leave is not what a new one would have.
async fn live(lab: &Lab) -> Result<()> {
    for name in ["lived", "shrunk", "turned", "orphaned"] {
        service(lab, name, json!({ "selector": { "app": "lived" } })).await?;
        slices_until(lab, name, "all Pods", |it| support::endpoints(it).len() == 10).await?;
    }
    // Holes in the middle of slices, then a few more Pods.
    for number in [1, 2, 5, 6, 9] {
        lab.kubectl(&["delete", "pod", &format!("lived-{number}"), "--grace-period=0", "--force"]).await?;
    }
    slices_until(lab, "lived", "what is left", |it| support::endpoints(it).len() == 5).await?;
    paper(lab, "lived", "lived-again").start().await?;
    slices_until(lab, "lived", "the new Pod", |it| support::endpoints(it).len() == 6).await?;
    patch::<Service>(lab, "shrunk", json!({ "spec": { "selector": { "app": "nobody" } } })).await?;
    patch::<Service>(
        lab,
        "turned",
        json!({ "spec": { "ports": [{ "name": "http", "port": 80, "targetPort": 9090 }] } }),
    )
    .await?;
    patch::<Service>(lab, "orphaned", json!({ "spec": { "selector": null } })).await?;
    slices_until(lab, "shrunk", "the placeholder", |it| it.len() == 1 && it[0].endpoints.is_empty()).await?;
    Ok(())
}

/// All objects of a kind that tests read, without what the API server keeps for itself.
async fn objects(lab: &Lab, kind: &str) -> Result<Vec<Value>> {
    let list = lab.kubectl(&["get", kind, "-A", "-o", "json"]).await?;
    let list: Value = serde_json::from_str(&list)
        .map_err(|error| Error::Invalid(format!("reading what kubectl says of {kind}: {error}")))?;
    let mut items = list["items"].as_array().cloned().unwrap_or_default();
    // Those of the control plane itself are none of ours.
    items.retain(|object| object["metadata"]["name"] != "kubernetes");
    for object in &mut items {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        if let Some(status) = object["status"].as_object_mut() {
            status.remove("nodeInfo");
        }
    }
    items.sort_by_key(|object| object["metadata"]["name"].to_string());
    Ok(items)
}

#[tokio::test]
#[ignore = "writes test data into the source tree"]
async fn capture_what_kube_controller_manager_leaves() -> Result<()> {
    let capacity = format!("--max-endpoints-per-slice={CAPACITY}");
    let lab =
        objects_only().nodes(3).controller(CONTROLLER).controller_manager_flag(&capacity).start().await?;
    populate(&lab).await?;
    live(&lab).await?;
    let captured = lab
        .wait_until("kube-controller-manager to be at rest", PATIENCE, async || {
            let before = objects(&lab, "endpointslices").await?;
            // It reacts to its own slices after a second.
            tokio::time::sleep(Duration::from_millis(2500)).await;
            let after = objects(&lab, "endpointslices").await?;
            if before == after { Ok(after) } else { Err("slices still change".into()) }
        })
        .await?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../controllers/endpointslice/tests/captured");
    let failed = |error: std::io::Error| {
        Error::Invalid(format!("writing captured objects to {}: {error}", folder.display()))
    };
    std::fs::create_dir_all(&folder).map_err(failed)?;
    for kind in ["services", "pods", "nodes", "endpointslices"] {
        let objects = if kind == "endpointslices" { captured.clone() } else { objects(&lab, kind).await? };
        // A line for each object.
        let lines: Vec<_> = objects.iter().map(ToString::to_string).collect();
        std::fs::write(folder.join(format!("{kind}.jsonl")), lines.join("\n") + "\n").map_err(failed)?;
    }
    let version = lab.api_version().await?;
    std::fs::write(folder.join("VERSION"), format!("{version} {capacity}\n")).map_err(failed)
}
