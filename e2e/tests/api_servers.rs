//! Two API servers on one etcd: one of them can lag behind the other, and a manager may read from that one.

mod judge;
mod support;

use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, ListParams};
use lab::{ApiServer, Identity, Lab, Requests, Result};
use serde_json::{Value, json};

use judge::{all_right, capacity_flag, process, writes_at_rest};
use support::{CONTROLLER, PATIENCE, endpoints, names, objects_only, service, slices, slices_until};

/// The names of the ConfigMaps in a server's watch cache: version 0 asks for no more.
async fn cached(server: &ApiServer) -> Result<Vec<String>, lab::NotYet> {
    let path = "/api/v1/namespaces/default/configmaps?resourceVersion=0";
    let request = http::Request::get(path).body(Vec::new())?;
    let list: Value = server.api().request(request).await?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    Ok(items.iter().filter_map(|it| it["metadata"]["name"].as_str().map(str::to_owned)).collect())
}

async fn config_map(lab: &Lab, name: &str) -> Result<ConfigMap> {
    lab.create("default", json!({ "metadata": { "name": name } })).await
}

async fn knows(lab: &Lab, server: &ApiServer, name: &str) -> Result<()> {
    lab.wait_until(format!("{} to know {name}", server.process().name()), PATIENCE, async || {
        let names = cached(server).await?;
        if names.iter().any(|found| found == name) { Ok(()) } else { Err(format!("{names:?}").into()) }
    })
    .await
}

#[tokio::test]
async fn both_serve_the_same_and_a_frozen_one_catches_up() -> Result<()> {
    let lab = objects_only().nodes(0).api_servers(2).start().await?;
    let [first, second] = lab.api_servers() else { panic!("two were asked for") };
    config_map(&lab, "one").await?;
    knows(&lab, first, "one").await?;
    knows(&lab, second, "one").await?;
    // What is written through the second is counted, too.
    let before = lab.writes().await?;
    let maps: Api<ConfigMap> = Api::namespaced(second.api(), "default");
    maps.delete("one", &DeleteParams::default()).await.expect("deleted");
    lab.wait_until("the deletion to be counted", PATIENCE, async || {
        let added = lab.writes().await?.since(&before);
        if added.of_verb("configmaps", "DELETE") == 1 { Ok(()) } else { Err(format!("{added:?}").into()) }
    })
    .await?;

    second.process().freeze()?;
    config_map(&lab, "two").await?;
    knows(&lab, first, "two").await?;
    let frozen = tokio::time::timeout(std::time::Duration::from_secs(1), cached(second)).await;
    assert!(frozen.is_err(), "a frozen server answers nothing");
    second.process().thaw()?;
    knows(&lab, second, "two").await?;

    second.process().kill().await?;
    config_map(&lab, "three").await?;
    second.process().restart()?;
    second.wait_ready().await?;
    knows(&lab, second, "three").await?;
    let account = Identity::User { name: "somebody".into(), group: Some("system:masters".into()) };
    let maps: Api<ConfigMap> = Api::namespaced(lab.api_through(second, &account).await?, "default");
    assert!(maps.get("two").await.is_ok(), "a kubeconfig for the second server");
    Ok(())
}

/// The worst that a lagging cache can do: Pods, Services and Nodes are new, the own slices are old.
#[tokio::test]
async fn slices_seen_through_a_frozen_api_server_are_not_written_twice() -> Result<()> {
    let lab = objects_only().api_servers(2).start().await?;
    let second = &lab.api_servers()[1];
    let faults = lab.faults(1)?;
    faults.route(Requests::reads().of("endpointslices"), second);
    let manager = lab.manager().controllers(CONTROLLER).flag(&capacity_flag()).flag("--recheck-period=1s");
    let manager = manager.through(&faults).start().await?;
    let namespace = ["default".to_owned()];
    service(&lab, "web", json!({})).await?;
    let mut pods = Vec::new();
    for number in 0..2 {
        pods.push(lab.pod("default", &format!("web-{number}")).label("app", "web").paper().start().await?);
    }
    all_right(&lab, &namespace, PATIENCE).await?;

    second.process().freeze()?;
    let before = lab.api_servers()[0].writes().await?;
    // Another Service and another slice, both unknown to the cache, and then changes of them.
    service(&lab, "new", json!({ "selector": { "app": "web" } })).await?;
    for number in 2..5 {
        pods.push(lab.pod("default", &format!("web-{number}")).label("app", "web").paper().start().await?);
    }
    for ready in [false, true, false] {
        pods[4].set_ready(ready).await?;
        let letters = if ready { "web-4:rs-" } else { "web-4:---" };
        for name in ["web", "new"] {
            slices_until(&lab, name, letters, |it| {
                endpoints(it).len() == 5 && endpoints(it).contains(&letters.to_owned())
            })
            .await?;
        }
    }
    // Several rechecks look at the same old slices again.
    let syncs =
        async || Ok::<_, lab::Error>(manager.metrics().await?.sum("endpoint_slice_controller_syncs", &[]));
    let from = syncs().await?;
    lab.wait_until("rechecks", PATIENCE, async || {
        let now = syncs().await?;
        if now >= from + 6.0 { Ok(()) } else { Err(format!("{} syncs", now - from).into()) }
    })
    .await?;
    all_right(&lab, &namespace, PATIENCE).await?;
    let written = lab.api_servers()[0].writes().await?.since(&before);
    let creates = written.of_verb("endpointslices", "POST");
    assert_eq!(creates, 3, "one more slice of web, two of new: {written:?}");
    assert_eq!(written.of_verb("endpointslices", "DELETE"), 0, "{written:?}");
    let known = names(&slices(&lab, "web").await?);

    second.process().thaw()?;
    pods[0].set_ready(false).await?;
    slices_until(&lab, "web", "web-0 not ready", |it| endpoints(it).contains(&"web-0:---".to_owned()))
        .await?;
    all_right(&lab, &namespace, PATIENCE).await?;
    assert_eq!(names(&slices(&lab, "web").await?), known, "the same slices");
    assert_eq!(writes_at_rest(&lab, &manager).await?, 0, "written at rest\n{}", manager.log()?);
    Ok(())
}

#[tokio::test]
async fn a_manager_of_a_frozen_api_server_catches_up_with_what_others_did_meanwhile() -> Result<()> {
    let lab = objects_only().api_servers(2).start().await?;
    let second = &lab.api_servers()[1];
    let manager =
        lab.manager().controllers(CONTROLLER).flag(&capacity_flag()).through(second).start().await?;
    let namespace = ["default".to_owned()];
    service(&lab, "web", json!({})).await?;
    service(&lab, "gone", json!({ "selector": { "app": "web" } })).await?;
    let mut pods = Vec::new();
    for number in 0..5 {
        pods.push(lab.pod("default", &format!("web-{number}")).label("app", "web").paper().start().await?);
    }
    all_right(&lab, &namespace, PATIENCE).await?;

    second.process().freeze()?;
    pods[0].set_ready(false).await?;
    pods[1].remove().await?;
    lab.pod("default", "late").label("app", "web").paper().start().await?;
    let services: Api<Service> = Api::namespaced(lab.api(), "default");
    for name in ["web", "gone"] {
        services.delete(name, &DeleteParams::default()).await.expect("deleted");
    }
    let old = service(&lab, "web", json!({})).await?;
    // A slice is deleted by hand, others by the garbage collector, because their Service is another one now.
    let all: Api<EndpointSlice> = Api::namespaced(lab.api(), "default");
    let some = names(&slices(&lab, "web").await?).pop().unwrap_or_default();
    let _ = all.delete(&some, &DeleteParams::default()).await;
    second.process().thaw()?;

    all_right(&lab, &namespace, PATIENCE).await?;
    lab.wait_until("the slices of the Service that is gone to go", PATIENCE, async || {
        let left = slices(&lab, "gone").await?;
        if left.is_empty() { Ok(()) } else { Err(format!("{:?}", names(&left)).into()) }
    })
    .await?;
    let found = slices(&lab, "web").await?;
    assert_eq!(endpoints(&found), ["late:rs-", "web-0:---", "web-2:rs-", "web-3:rs-", "web-4:rs-"]);
    let owner = &found[0].metadata.owner_references.as_ref().expect("an owner")[0].uid;
    assert_eq!(Some(owner), old.metadata.uid.as_ref());
    let everything = all.list(&ListParams::default()).await.expect("a list").items;
    // The slice of the API server's own Service is no controller's.
    assert_eq!(everything.len(), found.len() + 1, "{:?}", names(&everything));
    assert_eq!(writes_at_rest(&lab, &manager).await?, 0, "written at rest\n{}", manager.log()?);
    Ok(())
}
