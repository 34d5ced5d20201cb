//! Taking over mirrored slices from kube-controller-manager, and from oneself: nothing changed, so nothing is written.

mod mirrors;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Endpoints, Service};
use lab::{Lab, Result};
use serde_json::{Value, json};

use mirrors::{
    CONTROLLER, MANAGED_BY, PATIENCE, create_endpoints, endpoints, manager, objects_only, patch, service,
    set_subsets, subset, writes_of,
};

/// Endpoints of all kinds, with what becomes of them in their lives. The returned number is how many are mirrored.
async fn populate(lab: &Lab) -> Result<f64> {
    let target =
        json!({ "kind": "Pod", "namespace": "default", "name": "p", "uid": "u", "resourceVersion": "7" });
    let foreign = json!({ "apiVersion": "v1", "kind": "VirtualMachine", "namespace": "other", "name": "vm", "fieldPath": "x" });
    let many: Vec<_> =
        (0..1003).map(|at| json!({ "ip": format!("10.1.{}.{}", at / 250, at % 250) })).collect();
    let mixed = json!([
        { "addresses": [{ "ip": "10.0.0.1", "hostname": "h", "nodeName": "node-1", "targetRef": target }, { "ip": "2001:db8::1" }],
          "notReadyAddresses": [{ "ip": "10.0.0.2", "targetRef": foreign }],
          "ports": [{ "name": "b", "port": 2, "appProtocol": "h2c" }, { "name": "a", "port": 1, "protocol": "UDP" }, { "name": "c", "port": 2 }] },
        { "addresses": [{ "ip": "10.0.0.1" }], "notReadyAddresses": [{ "ip": "10.0.0.3" }], "ports": [{ "name": "d", "port": 3 }] }]);
    let cases: [(&str, Value); 6] = [
        ("plain", json!([subset(&["10.0.0.1", "10.0.0.2"], 5432)])),
        ("mixed", mixed),
        ("portless", json!([{ "addresses": [{ "ip": "10.0.0.1" }] }])),
        ("many", json!([{ "addresses": many, "ports": [{ "port": 1 }] }])),
        (
            "twins",
            json!([{ "addresses": [{ "ip": "10.0.0.1", "targetRef": { "kind": "Pod", "name": "a", "uid": "a" } },
            { "ip": "10.0.0.1", "targetRef": { "kind": "Pod", "name": "b", "uid": "b" } }], "ports": [{ "port": 1 }] }]),
        ),
        ("empty", json!([])),
    ];
    for (name, subsets) in cases {
        service(lab, name, json!({})).await?;
        create_endpoints(lab, name, subsets).await?;
    }
    let metadata = json!({ "labels": { "team": "shop", "service.kubernetes.io/headless": "", "endpoints.kubernetes.io/managed-by": "x" },
        "annotations": { "note": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-02T03:04:05Z" } });
    service(lab, "labelled", json!({ "clusterIP": "None" })).await?;
    lab.create::<Endpoints>("default", endpoints("labelled", &metadata, json!([subset(&["10.0.0.1"], 1)])))
        .await?;
    lab.create::<Service>(
        "default",
        json!({ "metadata": { "name": "alias" },
        "spec": { "type": "ExternalName", "externalName": "example.com" } }),
    )
    .await?;
    create_endpoints(lab, "alias", json!([subset(&["10.0.0.1"], 1)])).await?;
    // Not mirrored.
    service(lab, "selected", json!({ "selector": { "app": "x" } })).await?;
    create_endpoints(lab, "selected", json!([subset(&["10.0.0.1"], 1)])).await?;
    service(lab, "skipped", json!({})).await?;
    let skip = json!({ "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" } });
    lab.create::<Endpoints>("default", endpoints("skipped", &skip, json!([subset(&["10.0.0.1"], 1)])))
        .await?;
    // With a past.
    service(lab, "lived", json!({})).await?;
    create_endpoints(
        lab,
        "lived",
        json!([subset(&["10.0.0.1"], 1), subset(&["10.0.0.2", "2001:db8::1"], 2)]),
    )
    .await?;
    mirrors::until(lab, "lived", &["IPv4 1: 10.0.0.1", "IPv4 2: 10.0.0.2", "IPv6 2: 2001:db8::1"]).await?;
    set_subsets(lab, "lived", json!([subset(&["10.0.0.1"], 4), subset(&["10.0.0.9"], 2)])).await?;
    patch::<Endpoints>(lab, "lived", json!({ "metadata": { "labels": { "late": "x" } } })).await?;
    mirrors::until(lab, "lived", &["IPv4 2: 10.0.0.9", "IPv4 4: 10.0.0.1"]).await?;
    Ok(9.0)
}

/// Shows that a controller works.
const PROBE: &str = "zz-new";

/// All mirrored slices but the probe's, with their versions.
async fn all_mirrors(lab: &Lab) -> Result<String> {
    let theirs =
        format!("endpointslice.kubernetes.io/managed-by={MANAGED_BY},kubernetes.io/service-name!={PROBE}");
    lab.kubectl(&["get", "endpointslices", "-l", &theirs, "-o", "json"]).await
}

#[tokio::test]
async fn mirrors_of_kube_controller_manager_are_taken_over_without_a_write() -> Result<()> {
    let lab = objects_only().controller(CONTROLLER).start().await?;
    let mirrored = populate(&lab).await?;
    let slices = lab
        .wait_until("kube-controller-manager to be at rest", PATIENCE, async || {
            let before = all_mirrors(&lab).await?;
            // Upstream reacts to its own slices after a second.
            tokio::time::sleep(Duration::from_millis(2500)).await;
            let after = all_mirrors(&lab).await?;
            if before == after { Ok(after) } else { Err("slices still change".into()) }
        })
        .await?;
    let count = slices.matches("\"addressType\"").count();
    assert!(count >= 10, "{count} slices");
    // A real switch-over: upstream's controller ends first. The rest of kube-controller-manager ends with it.
    lab.controller_manager().kill().await?;

    let before = lab.writes().await?;
    let ours = manager(&lab).await?;
    assert_eq!(writes_of(&lab, &ours, &before, mirrored).await?, 0, "written at the switch: {}", ours.log()?);
    assert_eq!(all_mirrors(&lab).await?, slices, "byte by byte as upstream left them");
    ours.stop().await?;
    ours.restart().await?;
    assert_eq!(writes_of(&lab, &ours, &before, mirrored).await?, 0, "written at the restart");
    Ok(())
}

/// And back: kube-controller-manager finds nothing to write on what Fairlead has left.
#[tokio::test]
async fn kube_controller_manager_takes_mirrors_back_without_a_write() -> Result<()> {
    let lab = objects_only().start().await?;
    let ours = manager(&lab).await?;
    let mirrored = populate(&lab).await?;
    let nothing = lab::Writes::default();
    assert!(writes_of(&lab, &ours, &nothing, mirrored).await? > 0);
    ours.stop().await?;
    let slices = all_mirrors(&lab).await?;
    let upstream = lab.upstream(CONTROLLER, &[]).await?;
    // That it works is seen by what it does to something new; before that it looked at everything.
    service(&lab, PROBE, json!({})).await?;
    create_endpoints(&lab, PROBE, json!([subset(&["10.0.0.1"], 1)])).await?;
    mirrors::until(&lab, PROBE, &["IPv4 1: 10.0.0.1"]).await?;
    // It looks again at slices that it has seen for the first time, after a second.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(all_mirrors(&lab).await?, slices, "byte by byte as Fairlead left them");
    upstream.kill().await?;
    Ok(())
}
