//! Taking over from kube-controller-manager, and from oneself: nothing changed, so nothing is written.

mod support;

use k8s_openapi::api::core::v1::Service;
use lab::{Families, Lab, Result};
use serde_json::json;

use support::endpoints::{ENDPOINTS, MUCH_PATIENCE, endpoints_manager, endpoints_until, paper_pods};
use support::{CONTROLLER, MANAGED_BY, PATIENCE, manager, objects_only, service, writes_of};

/// Services of all kinds, with what becomes of them in their lives. The returned number is how many there are.
async fn populate(lab: &Lab) -> Result<f64> {
    lab.paper_node("zoned", Some("zone-z")).await?;
    for number in 0..13 {
        let pod = lab.pod("default", &format!("web-{number}")).label("app", "web").paper();
        let pod = if number % 3 == 0 { pod.not_ready() } else { pod.on("zoned") };
        let pod = if number % 4 == 0 { pod.port("http", 8080) } else { pod.port("http", 9090) };
        pod.start().await?;
    }
    let leaving = lab.pod("default", "leaving").label("app", "web").paper().start().await?;
    leaving.terminate().await?;
    let done = lab.pod("default", "done").label("app", "web").paper().start().await?;
    done.set_phase("Succeeded").await?;
    lab.pod("default", "six").label("app", "web").families(Families::Ipv6).paper().start().await?;
    lab.pod("default", "set-0")
        .label("app", "set")
        .paper()
        .customize(|pod| {
            let spec = pod.spec.get_or_insert_default();
            spec.hostname = Some("set-0".into());
            spec.subdomain = Some("set".into());
        })
        .start()
        .await?;

    service(lab, "web", json!({ "ipFamilyPolicy": "RequireDualStack" })).await?;
    let web = json!({ "app": "web" });
    service(
        lab,
        "named",
        json!({ "selector": web, "ports": [
        { "name": "b", "port": 80, "targetPort": "http", "appProtocol": "h2c" },
        { "name": "a", "port": 81, "targetPort": 7 },
        { "name": "u", "port": 80, "targetPort": 53, "protocol": "UDP" },
        { "name": "none", "port": 82, "targetPort": "absent" }] }),
    )
    .await?;
    service(
        lab,
        "six-only",
        json!({ "selector": web, "ipFamilies": ["IPv6"], "ipFamilyPolicy": "SingleStack" }),
    )
    .await?;
    service(lab, "eager", json!({ "selector": web, "publishNotReadyAddresses": true })).await?;
    service(lab, "set", json!({ "clusterIP": "None", "ports": null })).await?;
    service(lab, "empty", json!({ "selector": { "app": "nobody" } })).await?;
    service(lab, "near", json!({ "selector": web, "trafficDistribution": "PreferClose" })).await?;
    lab.create::<Service>(
        "default",
        json!({
        "metadata": { "name": "spread", "annotations": { "service.kubernetes.io/topology-mode": "Auto" } },
        "spec": { "selector": web, "ports": [{ "port": 80, "targetPort": 8080 }] } }),
    )
    .await?;
    service(lab, "unnamed", json!({ "selector": web, "ports": [{ "port": 80 }] })).await?;
    lab.create::<Service>("default", json!({ "metadata": { "name": "labelled", "labels": {
        "team": "shop", "service.kubernetes.io/headless": "", "endpointslice.kubernetes.io/managed-by": "x" } },
        "spec": { "selector": web, "ports": [{ "port": 80, "targetPort": 8080 }] } })).await?;
    let shrunk = service(lab, "shrunk", json!({ "selector": web })).await?;
    drop(shrunk);
    support::patch::<Service>(lab, "shrunk", json!({ "spec": { "selector": { "app": "nobody" } } })).await?;
    lab.create::<Service>(
        "default",
        json!({ "metadata": { "name": "orphan" }, "spec": { "ports": [{ "port": 80 }] } }),
    )
    .await?;
    Ok(12.0)
}

/// All slices of the controller under test, or of upstream's before it, as JSON.
async fn controllers_slices(lab: &Lab) -> Result<String> {
    let ours = format!("endpointslice.kubernetes.io/managed-by={MANAGED_BY}");
    lab.kubectl(&["get", "endpointslices", "-l", &ours, "-o", "json"]).await
}

#[tokio::test]
async fn slices_of_kube_controller_manager_are_taken_over_without_a_write() -> Result<()> {
    let lab = objects_only().controller(CONTROLLER).start().await?;
    let services = populate(&lab).await?;
    let slices = lab
        .wait_until("kube-controller-manager to be at rest", PATIENCE, async || {
            let before = controllers_slices(&lab).await?;
            // Upstream reacts to its own slices after a second.
            tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
            let after = controllers_slices(&lab).await?;
            if before == after { Ok(after) } else { Err("slices still change".into()) }
        })
        .await?;
    // A real switch-over: upstream's controller ends first. The rest of kube-controller-manager ends with it.
    lab.controller_manager().kill().await?;

    let before = lab.writes().await?;
    let ours = manager(&lab).await?;
    assert_eq!(writes_of(&lab, &ours, &before, services).await?, 0, "written at the switch");
    let list = controllers_slices(&lab).await?;
    assert_eq!(list, slices, "byte by byte as upstream left them");

    support::restart(&ours).await?;
    assert_eq!(writes_of(&lab, &ours, &before, services).await?, 0, "written at the restart");
    Ok(())
}

#[tokio::test]
async fn a_restart_writes_nothing_and_a_change_made_meanwhile_is_seen() -> Result<()> {
    let lab = objects_only().start().await?;
    let services = populate(&lab).await?;
    let ours = manager(&lab).await?;
    let nothing = lab::Writes::default();
    assert!(writes_of(&lab, &ours, &nothing, services).await? > 0);

    let before = lab.writes().await?;
    support::restart(&ours).await?;
    assert_eq!(writes_of(&lab, &ours, &before, services).await?, 0, "written at an orderly restart");
    ours.kill().await?;
    lab.pod("default", "meanwhile").label("app", "nobody").paper().start().await?;
    ours.restart().await?;
    support::slices_until(&lab, "empty", "the Pod that came meanwhile", |it| {
        support::endpoints(it) == ["meanwhile:rs-"]
    })
    .await?;
    Ok(())
}

/// All Endpoints, as JSON.
async fn all_endpoints(lab: &Lab) -> Result<String> {
    lab.kubectl(&["get", "endpoints", "-o", "json"]).await
}

/// Waits until the manager has looked at so many Services, and returns the number of writes to Endpoints since `before`.
async fn endpoints_writes(
    lab: &Lab,
    manager: &lab::Manager,
    before: &lab::Writes,
    plans: f64,
) -> Result<u64> {
    lab.wait_until(format!("{plans} Services to be looked at"), PATIENCE, async || {
        let metrics = manager.metrics().await?;
        let done = metrics.sum("fairlead_endpoints_plans_total", &[]);
        let depth = metrics.sum("workqueue_depth", &[("name", "endpoint")]);
        let working = metrics.sum("workqueue_unfinished_work_seconds", &[("name", "endpoint")]);
        let is_done = done >= plans && depth == 0.0 && working == 0.0;
        if is_done { Ok(()) } else { Err(format!("{done} looked at, {depth} waiting").into()) }
    })
    .await?;
    Ok(lab.writes().await?.since(before).of_resource("endpoints"))
}

/// Both ways: what kube-controller-manager has left, one that is over capacity among them, is not written, and what this
/// process has made anew is not written by kube-controller-manager.
#[tokio::test]
async fn endpoints_change_hands_without_a_write() -> Result<()> {
    let lab = objects_only().controller(ENDPOINTS).start().await?;
    // Those without selector are not planned.
    let services = populate(&lab).await? - 1.0;
    paper_pods(&lab, "huge", 0..1100).await?;
    service(&lab, "huge", json!({ "publishNotReadyAddresses": true })).await?;
    let theirs = lab
        .wait_until("kube-controller-manager to be at rest", MUCH_PATIENCE, async || {
            let before = (all_endpoints(&lab).await?, lab.writes().await?.of_resource("endpoints"));
            tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
            // It goes on writing the one that is over capacity, without changing it.
            let after = (all_endpoints(&lab).await?, lab.writes().await?.of_resource("endpoints"));
            let is_complete = after.0.matches("huge-").count() >= 1000;
            if is_complete && before == after { Ok(after.0) } else { Err("they still change".into()) }
        })
        .await?;
    lab.controller_manager().kill().await?;

    // Among the manifests are Endpoints.
    lab.apply_rbac().await?;
    let before = lab.writes().await?;
    let ours = endpoints_manager(&lab).await?;
    assert_eq!(endpoints_writes(&lab, &ours, &before, services + 1.0).await?, 0, "written at the switch");
    assert_eq!(all_endpoints(&lab).await?, theirs, "byte by byte as upstream left them");
    support::restart(&ours).await?;
    assert_eq!(endpoints_writes(&lab, &ours, &before, services + 1.0).await?, 0, "written at the restart");

    // Ours make them all anew, with the same content.
    let selected = [
        "web", "named", "six-only", "eager", "set", "empty", "near", "spread", "unnamed", "labelled",
        "shrunk", "huge",
    ];
    lab.kubectl(&[&["delete", "endpoints"][..], &selected].concat()).await?;
    for name in selected {
        endpoints_until(&lab, name, "something new", |_| true).await?;
    }
    let made = all_endpoints(&lab).await?;
    assert_eq!(content(&made), content(&theirs));
    ours.stop().await?;
    let _theirs = lab.upstream(ENDPOINTS, &[]).await?;
    service(&lab, "marker", json!({})).await?;
    endpoints_until(&lab, "marker", "that kube-controller-manager is at work", |_| true).await?;
    lab.kubectl(&["delete", "service", "marker"]).await?;
    lab.wait_until("the marker to be gone", PATIENCE, async || {
        let now = all_endpoints(&lab).await?;
        if now.contains("marker") { Err("still there".into()) } else { Ok(()) }
    })
    .await?;
    let now = all_endpoints(&lab).await?;
    assert_eq!(content(&now), content(&made), "as we left them");
    // Not even written, but for those that it writes at every sync: over capacity, and with a reserved label.
    let versions = |list: &str| -> Vec<_> {
        let items = items(list).into_iter();
        let metadata = items.map(|mut it| it["metadata"].take());
        let others = metadata.filter(|it| it["name"] != "huge" && it["name"] != "labelled");
        others.map(|it| (it["name"].to_string(), it["resourceVersion"].to_string())).collect()
    };
    assert_eq!(versions(&now), versions(&made));
    Ok(())
}

fn items(list: &str) -> Vec<serde_json::Value> {
    let mut list: serde_json::Value = serde_json::from_str(list).expect("kubectl writes JSON");
    list["items"].as_array_mut().map(std::mem::take).unwrap_or_default()
}

/// What a list says but for what the API server adds, when it happened, and the order of subsets and ports, in which
/// releases of kube-controller-manager differ.
fn content(list: &str) -> Vec<serde_json::Value> {
    let mut items = items(list);
    let sort = |list: &mut serde_json::Value| {
        if let Some(list) = list.as_array_mut() {
            list.sort_by_key(ToString::to_string);
        }
    };
    for item in &mut items {
        for subset in item["subsets"].as_array_mut().into_iter().flatten() {
            sort(&mut subset["ports"]);
        }
        sort(&mut item["subsets"]);
        let metadata = &mut item["metadata"];
        for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
            metadata[field].take();
        }
        if let Some(annotations) = metadata["annotations"].as_object_mut() {
            annotations.remove("endpoints.kubernetes.io/last-change-trigger-time");
        }
        if metadata["annotations"].as_object().is_some_and(serde_json::Map::is_empty) {
            metadata["annotations"].take();
        }
    }
    items
}
