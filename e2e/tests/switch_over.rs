//! Taking over from kube-controller-manager, and from oneself: nothing changed, so nothing is written.

mod support;

use k8s_openapi::api::core::v1::Service;
use lab::{Families, Lab, Result};
use serde_json::json;

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
