//! The EndpointSlices that `fairlead manager` makes of Endpoints written by hand, on a real API server.

mod mirrors;

use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use lab::{Lab, Result, cluster_ips};
use serde_json::{Value, json};

use mirrors::{
    CONTROLLER, PATIENCE, create_endpoints, endpoints, manager, mirrors, objects_only, only, patch, service,
    set_subsets, subset, told, until, writes_of,
};

/// Upstream's integration tests and conformance: created, changed in every way, and gone.
#[tokio::test]
async fn endpoints_are_mirrored_and_followed() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = manager(&lab).await?;
    // Without Endpoints, and without a Service: nothing.
    service(&lab, "lonely", json!({})).await?;
    create_endpoints(&lab, "nobodys", json!([subset(&["10.0.9.9"], 1)])).await?;
    service(&lab, "db", json!({})).await?;
    let metadata = json!({ "labels": { "team": "shop" }, "annotations": { "note": "x",
        "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-02T03:04:05Z",
        "kubectl.kubernetes.io/last-applied-configuration": "{}" } });
    let made: Endpoints =
        lab.create("default", endpoints("db", &metadata, json!([subset(&["10.0.0.1"], 5432)]))).await?;
    let first = until(&lab, "db", &["IPv4 5432: 10.0.0.1"]).await?;
    let slice = &first[0].metadata;
    assert_eq!(slice.generate_name.as_deref(), Some("db-"));
    let text = |value: &Option<std::collections::BTreeMap<String, String>>| json!(value);
    assert_eq!(text(&slice.annotations), json!({ "note": "x" }));
    let labels = json!({ "team": "shop", "kubernetes.io/service-name": "db",
        "endpointslice.kubernetes.io/managed-by": mirrors::MANAGED_BY });
    assert_eq!(text(&slice.labels), labels);
    let owner = &slice.owner_references.as_ref().expect("an owner")[0];
    assert_eq!((owner.kind.as_str(), Some(&owner.uid)), ("Endpoints", made.metadata.uid.as_ref()));
    assert_eq!((owner.controller, owner.block_owner_deletion), (Some(true), Some(true)));
    assert_eq!(json!(first[0].endpoints[0].conditions), json!({ "ready": true }), "nothing else is said");

    // The slice keeps its name whatever changes.
    set_subsets(&lab, "db", json!([subset(&["10.0.0.1", "10.0.0.2"], 5432)])).await?;
    until(&lab, "db", &["IPv4 5432: 10.0.0.1 10.0.0.2"]).await?;
    set_subsets(&lab, "db", json!([subset(&["10.0.0.1", "10.0.0.2"], 5433)])).await?;
    until(&lab, "db", &["IPv4 5433: 10.0.0.1 10.0.0.2"]).await?;
    let not_ready = json!([{ "addresses": [{ "ip": "10.0.0.2" }], "notReadyAddresses": [{ "ip": "10.0.0.1" }],
        "ports": [{ "name": "sql", "port": 5433 }] }]);
    set_subsets(&lab, "db", not_ready).await?;
    let after = until(&lab, "db", &["IPv4 5433: !10.0.0.1 10.0.0.2"]).await?;
    assert_eq!(only(&after), only(&first));
    patch::<Endpoints>(
        &lab,
        "db",
        json!({ "metadata": { "labels": { "team": "other" }, "annotations": { "note": null } } }),
    )
    .await?;
    lab.wait_until("labels and annotations to follow", PATIENCE, async || {
        let slice = mirrors(&lab, "db").await?.remove(0).metadata;
        let team = slice.labels.as_ref().and_then(|labels| labels.get("team").cloned());
        let done = team.as_deref() == Some("other") && slice.annotations.is_none_or(|it| it.is_empty());
        if done { Ok(()) } else { Err(format!("{team:?}").into()) }
    })
    .await?;

    // Several subsets with one address are one slice, with different ones several; families are apart.
    set_subsets(&lab, "db", json!([subset(&["10.0.0.1"], 1), { "addresses": [{ "ip": "10.0.0.1" }], "ports": [{ "name": "b", "port": 2 }] }]))
        .await?;
    until(&lab, "db", &["IPv4 1,2: 10.0.0.1"]).await?;
    set_subsets(&lab, "db", json!([subset(&["10.0.0.1", "2001:db8::1"], 1), subset(&["10.0.0.2"], 2)]))
        .await?;
    let split = until(&lab, "db", &["IPv4 1: 10.0.0.1", "IPv4 2: 10.0.0.2", "IPv6 1: 2001:db8::1"]).await?;
    // Ports of both families change: each slice is rewritten in place.
    set_subsets(&lab, "db", json!([subset(&["10.0.0.1", "2001:db8::1"], 3), subset(&["10.0.0.2"], 4)]))
        .await?;
    let ported = until(&lab, "db", &["IPv4 3: 10.0.0.1", "IPv4 4: 10.0.0.2", "IPv6 3: 2001:db8::1"]).await?;
    let names =
        |slices: &[EndpointSlice]| slices.iter().map(|it| it.metadata.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&ported), names(&split));
    // Two sets of ports swap their addresses.
    set_subsets(&lab, "db", json!([subset(&["10.0.0.2"], 3), subset(&["10.0.0.1"], 4)])).await?;
    until(&lab, "db", &["IPv4 3: 10.0.0.2", "IPv4 4: 10.0.0.1"]).await?;

    set_subsets(&lab, "db", json!([])).await?;
    until(&lab, "db", &[]).await?;
    set_subsets(&lab, "db", json!([subset(&["10.0.0.1"], 1)])).await?;
    until(&lab, "db", &["IPv4 1: 10.0.0.1"]).await?;
    lab.kubectl(&["delete", "endpoints", "db"]).await?;
    until(&lab, "db", &[]).await?;
    create_endpoints(&lab, "db", json!([subset(&["10.0.0.3"], 1)])).await?;
    until(&lab, "db", &["IPv4 1: 10.0.0.3"]).await?;
    lab.kubectl(&["delete", "service", "db"]).await?;
    until(&lab, "db", &[]).await?;
    let all = mirrors(&lab, "lonely").await?.len() + mirrors(&lab, "nobodys").await?.len();
    assert_eq!(all, 0);
    let log = manager.log()?;
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    Ok(())
}

/// Upstream's TestEndpointSliceMirroringSelectorTransition, and the labels and annotations that end a mirror.
#[tokio::test]
async fn a_selector_ends_the_mirror_and_its_removal_brings_it_back() -> Result<()> {
    let lab = objects_only().start().await?;
    let _manager = manager(&lab).await?;
    let mirrored = ["IPv4 5432: 10.0.0.1"];
    let select = async |selector: Value| {
        // A merge patch cannot make an empty selector of one with keys.
        let path = json!([{ "op": "add", "path": "/spec/selector", "value": selector }]).to_string();
        lab.kubectl(&["patch", "service", "db", "--type=json", "-p", &path]).await.map(drop)
    };
    service(&lab, "db", json!({})).await?;
    create_endpoints(&lab, "db", json!([subset(&["10.0.0.1"], 5432)])).await?;
    until(&lab, "db", &mirrored).await?;
    for none in [json!(null), json!({})] {
        select(json!({ "app": "db" })).await?;
        until(&lab, "db", &[]).await?;
        select(none).await?;
        until(&lab, "db", &mirrored).await?;
    }
    let skip = "endpointslice.kubernetes.io/skip-mirror";
    let label = |value: Value| json!({ "metadata": { "labels": { skip: value } } });
    patch::<Endpoints>(&lab, "db", label("true".into())).await?;
    until(&lab, "db", &[]).await?;
    patch::<Endpoints>(&lab, "db", label("yes".into())).await?;
    until(&lab, "db", &mirrored).await?;
    let leader = |value: Value| json!({ "metadata": { "annotations": { "control-plane.alpha.kubernetes.io/leader": value } } });
    patch::<Endpoints>(&lab, "db", leader("".into())).await?;
    until(&lab, "db", &[]).await?;
    patch::<Endpoints>(&lab, "db", leader(Value::Null)).await?;
    until(&lab, "db", &mirrored).await?;
    // An ExternalName without selector has its Endpoints mirrored, too.
    let alias = json!({ "spec": { "type": "ExternalName", "externalName": "example.com", "clusterIP": null, "clusterIPs": null } });
    patch::<Service>(&lab, "db", alias).await?;
    set_subsets(&lab, "db", json!([subset(&["10.0.0.2"], 5432)])).await?;
    until(&lab, "db", &["IPv4 5432: 10.0.0.2"]).await?;
    Ok(())
}

/// All three controllers: the slices of a Service change hands, and Endpoints that were made from Pods are mirrored when
/// the selector is gone (issue 103804, as upstream).
#[tokio::test]
async fn slices_of_pods_and_mirrors_change_hands() -> Result<()> {
    let lab = objects_only().start().await?;
    let controllers = format!("endpoints-controller,endpointslice-controller,{CONTROLLER}");
    let _manager = lab.manager().controllers(&controllers).start().await?;
    let pod = lab.pod("default", "db-0").label("app", "db").paper().start().await?;
    let address = pod.addresses()[0].to_string();
    service(&lab, "db", json!({ "selector": { "app": "db" } })).await?;
    let selector = "kubernetes.io/service-name=db,endpointslice.kubernetes.io/managed-by=endpointslice-controller.k8s.io";
    let of_pods = async |expected: usize| {
        lab.wait_until(format!("{expected} slices of Pods"), PATIENCE, async || {
            let list = lab.kubectl(&["get", "endpointslices", "-l", selector, "-o", "name"]).await?;
            let has_address = lab
                .kubectl(&["get", "endpoints", "db", "-o", "yaml"])
                .await
                .is_ok_and(|it| it.contains(&address));
            if list.lines().count() == expected && has_address { Ok(()) } else { Err(list.into()) }
        })
        .await
    };
    of_pods(1).await?;
    until(&lab, "db", &[]).await?;
    patch::<Service>(&lab, "db", json!({ "spec": { "selector": null } })).await?;
    until(&lab, "db", &[&format!("IPv4 5432: {address}")]).await?;
    of_pods(1).await?;
    patch::<Service>(&lab, "db", json!({ "spec": { "selector": { "app": "db" } } })).await?;
    until(&lab, "db", &[]).await?;
    of_pods(1).await
}

/// A database outside of the cluster: a server that no selector picks, addressed by IP, behind a Service.
#[tokio::test]
async fn an_outside_database_is_reached_through_the_cluster_ip() -> Result<()> {
    let lab = Lab::builder().start().await?;
    let _manager = manager(&lab).await?;
    let one = lab.pod("default", "database-1").port("sql", 8080).port("admin", 9090).start().await?;
    let two = lab.pod("default", "database-2").port("sql", 8080).start().await?;
    let ports = json!([{ "name": "sql", "port": 5432 }, { "name": "admin", "port": 80 }]);
    let db = service(&lab, "db", json!({ "ipFamilyPolicy": "RequireDualStack", "ports": ports })).await?;
    let ips = |pod: &lab::Pod| pod.addresses().iter().map(|ip| json!({ "ip": ip })).collect::<Vec<_>>();
    // Two subsets with one address: traffic on both ports.
    let of = |sql: &lab::Pod, admin: &lab::Pod| {
        json!([{ "addresses": ips(sql), "ports": [{ "name": "sql", "port": 8080 }] },
            { "addresses": ips(admin), "ports": [{ "name": "admin", "port": 9090 }] }])
    };
    create_endpoints(&lab, "db", of(&one, &one)).await?;
    let answers = async |port: u16, expected: &lab::Pod| {
        for address in cluster_ips(&db) {
            let what = format!("{} to answer on {address} port {port}", expected.name());
            lab.wait_until(what, PATIENCE, async || {
                let answer = lab.client().get(address, port).await?;
                if answer.pod == expected.name() {
                    Ok(())
                } else {
                    Err(format!("{} answered", answer.pod).into())
                }
            })
            .await?;
        }
        Ok::<_, lab::Error>(())
    };
    answers(5432, &one).await?;
    answers(80, &one).await?;
    // The database moves; its other port stays.
    set_subsets(&lab, "db", of(&two, &one)).await?;
    answers(5432, &two).await?;
    answers(80, &one).await?;
    lab.kubectl(&["delete", "endpoints", "db"]).await?;
    for address in cluster_ips(&db) {
        lab.wait_until("nobody to answer", PATIENCE, async || match lab.client().get(address, 5432).await {
            Err(_) => Ok(()),
            Ok(answer) => Err(format!("{} answered", answer.pod).into()),
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_others_do_to_mirrors_is_put_right_also_after_a_restart() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = manager(&lab).await?;
    service(&lab, "db", json!({})).await?;
    create_endpoints(&lab, "db", json!([subset(&["10.0.0.1"], 5432)])).await?;
    let right = ["IPv4 5432: 10.0.0.1"];
    let name = only(&until(&lab, "db", &right).await?);
    for round in ["written by this process", "left by an earlier one"] {
        patch::<EndpointSlice>(&lab, &name, json!({ "endpoints": [] })).await?;
        until(&lab, "db", &right).await?;
        let mine = json!({ "metadata": { "annotations": { "mine": "x" }, "labels": { "mine": "x" } } });
        patch::<EndpointSlice>(&lab, &name, mine).await?;
        lab.wait_until(format!("label and annotation to go from a slice {round}"), PATIENCE, async || {
            let slice = json!(mirrors(&lab, "db").await?);
            if slice.to_string().contains("mine") { Err(slice.to_string().into()) } else { Ok(()) }
        })
        .await?;
        manager.stop().await?;
        manager.restart().await?;
    }
    // This process has never written the slice.
    let before = lab.writes().await?;
    assert_eq!(writes_of(&lab, &manager, &before, 1.0).await?, 0);
    lab.kubectl(&["delete", "endpointslice", &name]).await?;
    let anew = only(&until(&lab, "db", &right).await?);
    assert_ne!(anew, name);
    // Moved to another Service by its label: nobody mirrors that, so it goes, and this one gets a new one.
    let moved = json!({ "metadata": { "labels": { "kubernetes.io/service-name": "else" } } });
    patch::<EndpointSlice>(&lab, &anew, moved).await?;
    let held = only(&until(&lab, "db", &right).await?);
    until(&lab, "else", &[]).await?;
    // Held by a finalizer while it is deleted: a new one takes its place, and it is emptied.
    patch::<EndpointSlice>(&lab, &held, json!({ "metadata": { "finalizers": ["example.com/hold"] } }))
        .await?;
    lab.kubectl(&["delete", "endpointslice", &held, "--wait=false"]).await?;
    until(&lab, "db", &["IPv4 5432: ", "IPv4 5432: 10.0.0.1"]).await?;
    set_subsets(&lab, "db", json!([subset(&["10.0.0.2"], 5432)])).await?;
    until(&lab, "db", &["IPv4 5432: ", "IPv4 5432: 10.0.0.2"]).await?;
    patch::<EndpointSlice>(&lab, &held, json!({ "metadata": { "finalizers": null } })).await?;
    until(&lab, "db", &["IPv4 5432: 10.0.0.2"]).await?;

    // What ends while nobody is there.
    manager.kill().await?;
    patch::<Service>(&lab, "db", json!({ "spec": { "selector": { "app": "db" } } })).await?;
    assert_eq!(mirrors(&lab, "db").await?.len(), 1);
    manager.restart().await?;
    until(&lab, "db", &[]).await?;
    Ok(())
}

/// Who edits in a loop is named, and slows nothing but the putting right.
#[tokio::test]
async fn a_tenant_who_edits_mirrors_in_a_loop_is_named() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = manager(&lab).await?;
    service(&lab, "db", json!({})).await?;
    create_endpoints(&lab, "db", json!([subset(&["10.0.0.1"], 5432)])).await?;
    let name = only(&until(&lab, "db", &["IPv4 5432: 10.0.0.1"]).await?);
    let api = kube::Api::<EndpointSlice>::namespaced(lab.api(), "default");
    let params = kube::api::PatchParams { field_manager: Some("tenant-tool".into()), ..Default::default() };
    let edit = json!({ "endpoints": [] });
    let before = lab.writes().await?;
    lab.wait_until("the tenant to be named", PATIENCE, async || {
        if !mirrors(&lab, "db").await?[0].endpoints.is_empty() {
            api.patch(&name, &params, &kube::api::Patch::Merge(&edit)).await?;
        }
        let events = mirrors::events(&lab, "db").await?;
        let named = |it: &String| {
            it.starts_with("EndpointSlicesContested: The field manager \"tenant-tool\" keeps changing EndpointSlices that mirror")
        };
        if events.iter().any(named) { Ok(()) } else { Err(format!("{events:?}").into()) }
    })
    .await?;
    api.patch(&name, &params, &kube::api::Patch::Merge(&edit)).await.ok();
    set_subsets(&lab, "db", json!([subset(&["10.0.0.2"], 5432)])).await?;
    until(&lab, "db", &["IPv4 5432: 10.0.0.2"]).await?;
    let puts = lab.writes().await?.since(&before).of_verb("endpointslices", "PUT");
    assert!(puts <= 7, "{puts} updates: {}", manager.log()?);
    Ok(())
}

/// Addresses that are skipped are told once, not at each look.
#[tokio::test]
async fn skipped_addresses_are_told() -> Result<()> {
    let lab = objects_only().start().await?;
    let flag = "--mirroring-max-endpoints-per-subset=2";
    let _manager = lab.manager().controllers(CONTROLLER).flag(flag).start().await?;
    service(&lab, "db", json!({})).await?;
    create_endpoints(&lab, "db", json!([subset(&["10.0.0.1", "10.0.0.2", "10.0.0.3"], 5432)])).await?;
    until(&lab, "db", &["IPv4 5432: 10.0.0.1 10.0.0.2"]).await?;
    let parts = ["TooManyAddressesToMirror: A max of 2 addresses", "1 addresses were skipped"];
    told(&lab, "db", &parts).await?;
    set_subsets(&lab, "db", json!([subset(&["10.0.0.1", "10.0.0.4", "10.0.0.5"], 5432)])).await?;
    until(&lab, "db", &["IPv4 5432: 10.0.0.1 10.0.0.4"]).await?;
    set_subsets(&lab, "db", json!([subset(&["10.0.0.1", "10.0.0.4", "10.0.0.5", "10.0.0.6"], 5432)])).await?;
    let events = told(&lab, "db", &["2 addresses were skipped"]).await?;
    assert_eq!(events.len(), 2, "{events:?}");
    Ok(())
}
