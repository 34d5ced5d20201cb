//! The EndpointSlices that `fairlead manager` writes, on a real API server.

mod support;

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, Patch, PatchParams};
use lab::Result;
use serde_json::json;

use support::{
    CONTROLLER, PATIENCE, endpoints, events, label, manager, names, objects_only, patch, restart, service,
    sizes, slices, slices_until,
};

#[tokio::test]
async fn each_family_has_a_slice_from_the_first_moment_until_the_service_is_gone() -> Result<()> {
    let lab = objects_only().start().await?;
    let _manager = manager(&lab).await?;
    let made = service(&lab, "web", json!({ "ipFamilyPolicy": "RequireDualStack" })).await?;
    let empty = slices_until(&lab, "web", "one empty slice per family", |slices| slices.len() == 2).await?;
    for (slice, family) in empty.iter().zip({
        let mut families: Vec<_> = empty.iter().map(|slice| slice.address_type.as_str()).collect();
        families.sort_unstable();
        assert_eq!(families, ["IPv4", "IPv6"]);
        empty.iter().map(|slice| slice.address_type.clone()).collect::<Vec<_>>()
    }) {
        assert_eq!(slice.address_type, family);
        assert!(slice.endpoints.is_empty() && slice.ports.as_ref().is_none_or(Vec::is_empty));
        assert_eq!(slice.metadata.generate_name.as_deref(), Some("web-"));
        let owner = &slice.metadata.owner_references.as_ref().expect("an owner")[0];
        assert_eq!((owner.kind.as_str(), Some(&owner.uid)), ("Service", made.metadata.uid.as_ref()));
        assert_eq!((owner.controller, owner.block_owner_deletion), (Some(true), Some(true)));
    }
    lab.kubectl(&["delete", "service", "web"]).await?;
    slices_until(&lab, "web", "nothing, because the garbage collector took them", <[_]>::is_empty).await?;
    Ok(())
}

#[tokio::test]
async fn an_endpoint_follows_its_pod_through_its_life() -> Result<()> {
    let lab = objects_only().zones(&["zone-a"]).start().await?;
    let manager = manager(&lab).await?;
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
        slices_until(&lab, "web", &format!("{expected:?}"), |it| endpoints(it) == expected).await
    };
    let first = shows(&["web-0:---"]).await?;
    let endpoint = &first[0].endpoints[0];
    assert_eq!(endpoint.addresses, [pod.addresses()[0].to_string()]);
    assert_eq!(endpoint.node_name.as_deref(), Some("node-1"));
    assert_eq!(endpoint.zone.as_deref(), Some("zone-a"));
    assert_eq!(endpoint.hostname.as_deref(), Some("web-0"));
    let target = endpoint.target_ref.as_ref().expect("a target");
    assert_eq!((target.kind.as_deref(), target.namespace.as_deref()), (Some("Pod"), Some("default")));
    let port = &first[0].ports.as_ref().expect("ports")[0];
    assert_eq!(
        (port.name.as_deref(), port.port, port.protocol.as_deref()),
        (Some("http"), Some(8080), Some("TCP"))
    );

    let since = "2033-01-02T03:04:05Z";
    pod.patch_status(
        json!({ "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": since }] }),
    )
    .await?;
    let ready = shows(&["web-0:rs-"]).await?;
    assert_eq!(names(&ready), names(&first), "the slice is updated in place");
    let annotations = ready[0].metadata.annotations.clone().unwrap_or_default();
    assert_eq!(
        annotations.get("endpoints.kubernetes.io/last-change-trigger-time").map(String::as_str),
        Some(since)
    );
    pod.terminate().await?;
    shows(&["web-0:-st"]).await?;
    pod.set_ready(false).await?;
    shows(&["web-0:--t"]).await?;
    let of_pods = manager.metrics().await?.sum("fairlead_endpointslice_plans_total", &[("extent", "pods")]);
    assert!(of_pods >= 2.0, "{of_pods} plans of the Pod alone; all others were of the whole Service");
    pod.remove().await?;
    shows(&[]).await?;

    // A Pod that never became ready and then fails disappears, although its Ready condition did not change.
    let other = lab.pod("default", "web-1").label("app", "web").paper().not_ready().start().await?;
    shows(&["web-1:---"]).await?;
    other.set_phase("Failed").await?;
    shows(&[]).await?;
    Ok(())
}

#[tokio::test]
async fn slices_are_filled_first_and_the_last_one_becomes_the_placeholder() -> Result<()> {
    let lab = objects_only().start().await?;
    let _manager = lab.manager().controllers(CONTROLLER).flag("--max-endpoints-per-slice=10").start().await?;
    service(&lab, "web", json!({})).await?;
    let placeholder = slices_until(&lab, "web", "a placeholder", |slices| slices.len() == 1).await?;
    lab.kubectl(&["annotate", "endpointslice", &names(&placeholder)[0], "example.com/note=keep"]).await?;
    let mut pods = Vec::new();
    for number in 0..25 {
        pods.push(lab.pod("default", &format!("web-{number}")).label("app", "web").paper().start().await?);
    }
    let full =
        slices_until(&lab, "web", "10, 10 and 5 endpoints", |slices| sizes(slices) == [10, 10, 5]).await?;
    for pod in &pods {
        pod.remove().await?;
    }
    let empty = slices_until(&lab, "web", "one empty slice", |slices| sizes(slices) == [0]).await?;
    assert!(names(&full).contains(&names(&empty)[0]), "a slice is rewritten, not replaced");
    assert!(empty[0].ports.as_ref().is_none_or(Vec::is_empty));
    // Issues 98379 and 108267: the slice that was the placeholder before kept what others put on it.
    let annotated = full.iter().filter(|slice| {
        slice
            .metadata
            .annotations
            .as_ref()
            .is_some_and(|all| all.get("example.com/note").is_some_and(|it| it == "keep"))
    });
    assert_eq!(annotated.count(), 1);
    Ok(())
}

#[tokio::test]
async fn changes_of_the_service_are_followed() -> Result<()> {
    let lab = objects_only().start().await?;
    let _manager = manager(&lab).await?;
    service(&lab, "web", json!({})).await?;
    lab.pod("default", "web-0")
        .label("app", "web")
        .port("http", 8080)
        .port("other", 9090)
        .paper()
        .start()
        .await?;
    let first = slices_until(&lab, "web", "the Pod", |it| endpoints(it) == ["web-0:rs-"]).await?;

    patch::<Service>(
        &lab,
        "web",
        json!({ "metadata": { "labels": { "team": "shop", "service.kubernetes.io/headless": "x" } } }),
    )
    .await?;
    let labelled = slices_until(&lab, "web", "the label", |it| label(&it[0], "team") == Some("shop")).await?;
    assert_eq!(label(&labelled[0], "service.kubernetes.io/headless"), None, "a reserved key is not copied");
    assert_eq!(names(&labelled), names(&first));

    patch::<Service>(
        &lab,
        "web",
        json!({ "spec": { "ports": [
        { "name": "other", "port": 90, "targetPort": "other", "appProtocol": "kubernetes.io/h2c" }] } }),
    )
    .await?;
    let ported = slices_until(&lab, "web", "the other port", |slices| {
        slices.len() == 1
            && slices[0]
                .ports
                .iter()
                .flatten()
                .any(|port| port.port == Some(9090) && port.app_protocol.is_some())
    })
    .await?;
    assert_eq!(names(&ported), names(&first), "rewritten in place");

    // The Pods stay, but the Service no longer says which: what was published stays as upstream leaves it.
    patch::<Service>(&lab, "web", json!({ "spec": { "selector": null } })).await?;
    patch::<Service>(&lab, "web", json!({ "metadata": { "labels": { "team": "other" } } })).await?;
    service(&lab, "later", json!({})).await?;
    slices_until(&lab, "later", "that it was looked at", |slices| slices.len() == 1).await?;
    assert_eq!(slices(&lab, "web").await?, ported);
    patch::<Service>(&lab, "web", json!({ "spec": { "selector": { "app": "nobody" } } })).await?;
    slices_until(&lab, "web", "nobody", |it| it.len() == 1 && endpoints(it).is_empty()).await?;
    Ok(())
}

#[tokio::test]
async fn headless_and_external_name_services() -> Result<()> {
    let lab = objects_only().start().await?;
    let _manager = manager(&lab).await?;
    lab.pod("default", "db-0").label("app", "db").paper().start().await?;
    service(&lab, "db", json!({ "clusterIP": "None", "ports": null })).await?;
    let headless = slices_until(&lab, "db", "the Pod", |it| endpoints(it) == ["db-0:rs-"]).await?;
    assert_eq!(label(&headless[0], "service.kubernetes.io/headless"), Some(""));
    assert!(headless[0].ports.as_ref().is_none_or(Vec::is_empty), "a Service without ports");

    lab.create::<Service>(
        "default",
        json!({ "metadata": { "name": "alias" },
        "spec": { "type": "ExternalName", "externalName": "example.com", "selector": { "app": "db" } } }),
    )
    .await?;
    service(&lab, "later", json!({})).await?;
    slices_until(&lab, "later", "that it was looked at", |slices| slices.len() == 1).await?;
    assert!(slices(&lab, "alias").await?.is_empty());
    patch::<Service>(
        &lab,
        "alias",
        json!({ "spec": { "type": "ClusterIP", "externalName": null, "ports": [{ "port": 80 }] } }),
    )
    .await?;
    slices_until(&lab, "alias", "the Pod", |it| endpoints(it) == ["db-0:rs-"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_node_that_appears_later_or_changes_its_zone_reaches_the_endpoints() -> Result<()> {
    let lab = objects_only().start().await?;
    let _manager = manager(&lab).await?;
    service(&lab, "web", json!({})).await?;
    lab.pod("default", "here").label("app", "web").paper().start().await?;
    lab.pod("default", "there").label("app", "web").paper().on("late-node").start().await?;
    slices_until(&lab, "web", "the Pod whose Node exists", |it| endpoints(it) == ["here:rs-"]).await?;
    lab.wait_until("an event that names the missing Node", PATIENCE, async || {
        let events = events(&lab, "web").await?;
        let told = events
            .iter()
            .any(|it| it.starts_with("FailedToUpdateEndpointSlices: ") && it.contains("late-node"));
        if told { Ok(()) } else { Err(format!("{events:?}").into()) }
    })
    .await?;
    lab.paper_node("late-node", Some("zone-x")).await?;
    slices_until(&lab, "web", "both Pods", |it| endpoints(it) == ["here:rs-", "there:rs-"]).await?;

    let nodes: Api<Node> = Api::all(lab.api());
    let zone = json!({ "metadata": { "labels": { "topology.kubernetes.io/zone": "zone-y" } } });
    nodes.patch("late-node", &PatchParams::default(), &Patch::Merge(zone)).await.expect("a patched Node");
    slices_until(&lab, "web", "the new zone", |slices| {
        slices
            .iter()
            .flat_map(|slice| &slice.endpoints)
            .any(|endpoint| endpoint.zone.as_deref() == Some("zone-y"))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn hints_follow_traffic_distribution_and_topology_mode() -> Result<()> {
    let lab = objects_only().nodes(2).start().await?;
    let _manager = manager(&lab).await?;
    service(&lab, "web", json!({ "trafficDistribution": "PreferClose" })).await?;
    for number in 0..4 {
        let node = if number < 3 { "node-1" } else { "node-2" };
        lab.pod("default", &format!("web-{number}")).label("app", "web").paper().on(node).start().await?;
    }
    let hinted = |zones: &'static [&str]| {
        move |slices: &[EndpointSlice]| {
            let mut found: Vec<_> = slices
                .iter()
                .flat_map(|slice| &slice.endpoints)
                .flat_map(|endpoint| endpoint.hints.iter().flat_map(|hints| hints.for_zones.iter().flatten()))
                .map(|zone| zone.name.clone())
                .collect();
            found.sort();
            found == zones && endpoints(slices).len() == 4
        }
    };
    let own = hinted(&["zone-a", "zone-a", "zone-a", "zone-b"]);
    slices_until(&lab, "web", "each endpoint hinted to its own zone", own).await?;
    patch::<Service>(&lab, "web", json!({ "spec": { "trafficDistribution": null } })).await?;
    slices_until(&lab, "web", "no hints", hinted(&[])).await?;
    // Both nodes are of one size, so half of the endpoints belongs to each zone.
    let mode = |mode: serde_json::Value| json!({ "metadata": { "annotations": { "service.kubernetes.io/topology-mode": mode } } });
    patch::<Service>(&lab, "web", mode("Auto".into())).await?;
    let even = hinted(&["zone-a", "zone-a", "zone-b", "zone-b"]);
    slices_until(&lab, "web", "endpoints shared out evenly", even).await?;
    patch::<Service>(&lab, "web", mode(serde_json::Value::Null)).await?;
    slices_until(&lab, "web", "no hints", hinted(&[])).await?;
    lab.wait_until("events about both", PATIENCE, async || {
        let events = events(&lab, "web").await?;
        let told = |reason| events.iter().any(|event| event.starts_with(reason));
        let both = told("TopologyAwareHintsEnabled") && told("TopologyAwareHintsDisabled");
        if both { Ok(()) } else { Err(format!("{events:?}").into()) }
    })
    .await
}

#[tokio::test]
async fn changes_of_pods_are_collected_for_the_batch_period() -> Result<()> {
    let lab = objects_only().start().await?;
    let flag = "--endpointslice-updates-batch-period=6s";
    let manager = lab.manager().controllers(CONTROLLER).flag(flag).start().await?;
    service(&lab, "web", json!({})).await?;
    slices_until(&lab, "web", "a placeholder, at once: the Service is no Pod", |it| it.len() == 1).await?;
    let before = lab.writes().await?;
    for number in 0..5 {
        lab.pod("default", &format!("web-{number}")).label("app", "web").paper().start().await?;
    }
    assert!(endpoints(&slices(&lab, "web").await?).is_empty(), "the window is still open");
    slices_until(&lab, "web", "all five", |it| endpoints(it).len() == 5).await?;
    let log = manager.log()?;
    assert_eq!(lab.writes().await?.since(&before).of_resource("endpointslices"), 1, "{log}");
    Ok(())
}

#[tokio::test]
async fn what_others_do_to_slices_is_put_right_also_after_a_restart() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = manager(&lab).await?;
    service(&lab, "web", json!({})).await?;
    lab.pod("default", "web-0").label("app", "web").paper().start().await?;
    let right = |slices: &[EndpointSlice]| endpoints(slices) == ["web-0:rs-"] && slices.len() == 1;
    let slice = slices_until(&lab, "web", "the Pod", right).await?;
    let name = names(&slice).remove(0);

    for round in ["written by this process", "left by an earlier one"] {
        let edit = json!({ "endpoints": [] });
        patch::<EndpointSlice>(&lab, &name, edit).await?;
        slices_until(&lab, "web", &format!("the edit of a slice {round} undone"), right).await?;

        patch::<EndpointSlice>(&lab, &name, json!({ "metadata": { "labels": { "mine": "x" } } })).await?;
        slices_until(&lab, "web", "the label gone", |it| right(it) && label(&it[0], "mine").is_none())
            .await?;
        if round == "left by an earlier one" {
            break;
        }
        restart(&manager).await?;
    }
    // The new process has written the slice by now. Start once more, so that it never wrote it.
    restart(&manager).await?;
    lab.kubectl(&["delete", "endpointslice", &name]).await?;
    let anew = slices_until(&lab, "web", "a new slice", |it| right(it) && names(it)[0] != name).await?;

    // Moved to another Service by its label: the other one does not keep it, and this one gets a new one.
    let moved = names(&anew).remove(0);
    patch::<EndpointSlice>(
        &lab,
        &moved,
        json!({ "metadata": { "labels": { "kubernetes.io/service-name": "else" } } }),
    )
    .await?;
    let anew = slices_until(&lab, "web", "a new slice", |it| right(it) && names(it)[0] != moved).await?;

    // Held by a finalizer while it is deleted: a new one takes its place, and later changes still arrive.
    let held = names(&anew).remove(0);
    patch::<EndpointSlice>(&lab, &held, json!({ "metadata": { "finalizers": ["example.com/hold"] } }))
        .await?;
    lab.kubectl(&["delete", "endpointslice", &held, "--wait=false"]).await?;
    let live = |slices: &[EndpointSlice]| -> Vec<EndpointSlice> {
        slices.iter().filter(|slice| slice.metadata.deletion_timestamp.is_none()).cloned().collect()
    };
    slices_until(&lab, "web", "a slice beside the held one", |it| right(&live(it))).await?;
    lab.pod("default", "web-1").label("app", "web").paper().start().await?;
    slices_until(&lab, "web", "the second Pod", |it| endpoints(&live(it)) == ["web-0:rs-", "web-1:rs-"])
        .await?;
    patch::<EndpointSlice>(&lab, &held, json!({ "metadata": { "finalizers": null } })).await?;
    slices_until(&lab, "web", "one slice", |it| it.len() == 1).await?;
    Ok(())
}

#[tokio::test]
async fn foreign_slices_are_left_alone_or_taken_over_by_their_labels() -> Result<()> {
    let lab = objects_only().start().await?;
    let _manager = manager(&lab).await?;
    let foreign = |name: &str, manager: &str| {
        json!({ "metadata": { "name": name, "labels": {
            "kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": manager } },
            "addressType": "IPv4", "ports": [], "endpoints": [{ "addresses": ["10.64.9.9"] }] })
    };
    lab.create::<EndpointSlice>("default", foreign("theirs", "example.com")).await?;
    lab.create::<EndpointSlice>("default", foreign("impostor", support::MANAGED_BY)).await?;
    service(&lab, "web", json!({})).await?;
    slices_until(&lab, "web", "only its own", |it| it.len() == 1 && names(it)[0].starts_with("web-")).await?;
    let all = lab.kubectl(&["get", "endpointslices", "-o", "name"]).await?;
    assert!(all.contains("endpointslice.discovery.k8s.io/theirs"), "{all}");
    Ok(())
}
