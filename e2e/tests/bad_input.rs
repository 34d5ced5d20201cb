//! Odd objects and a hostile world: nothing panics, nothing loops, nothing is lost.

mod support;

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use lab::{Identity, Result};
use serde_json::json;

use support::{
    CONTROLLER, PATIENCE, endpoints, manager, names, objects_only, service, slices_until, writes_of,
};

#[tokio::test]
async fn odd_pods_and_services_do_no_harm() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = manager(&lab).await?;
    let long = "a-service-name-of-sixty-three-characters-which-is-the-very-most";
    assert_eq!(long.len(), 63);
    let address = |text: &str| text.parse().expect("an address");

    // Two Pods with one address stay two endpoints; of several addresses of one family all are published.
    for name in ["twin-1", "twin-2"] {
        lab.pod("default", name).label("app", long).paper_with(&[address("10.64.7.7")]).start().await?;
    }
    lab.pod("default", "no-address").label("app", long).paper_with(&[]).start().await?;
    lab.pod("default", "six").label("app", long).paper_with(&[address("2001:db8::7")]).start().await?;
    lab.create::<Service>(
        "default",
        json!({ "metadata": { "name": long }, "spec": { "selector": { "app": long },
        "ports": [{ "port": 80, "targetPort": "no-such-port" }] } }),
    )
    .await?;
    let found =
        slices_until(&lab, long, "the twins", |it| endpoints(it) == ["twin-1:rs-", "twin-2:rs-"]).await?;
    assert!(found[0].ports.as_ref().is_none_or(Vec::is_empty), "no Pod has that port");
    assert!(names(&found)[0].len() <= 63 && names(&found)[0].starts_with(&long[..57]));

    // A Service without selector and ports, and one whose Pods are on no Node.
    lab.create::<Service>(
        "default",
        json!({ "metadata": { "name": "bare" }, "spec": { "clusterIP": "None" } }),
    )
    .await?;
    service(&lab, "floating", json!({})).await?;
    lab.pod("default", "floating").label("app", "floating").paper().on("").start().await?;
    slices_until(&lab, "floating", "a placeholder", |it| it.len() == 1 && endpoints(it).is_empty()).await?;

    let before = lab.writes().await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(writes_of(&lab, &manager, &before, 1.0).await?, 0, "nothing is written again and again");
    let text = manager.log()?;
    assert!(!text.contains("panicked"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_namespace_that_is_being_deleted_goes_in_peace() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = manager(&lab).await?;
    lab.namespace("doomed").await?;
    for number in 0..5 {
        let name = format!("web-{number}");
        lab.pod("doomed", &name).label("app", "web").paper().grace_seconds(0).start().await?;
        lab.create::<Service>(
            "doomed",
            json!({ "metadata": { "name": name }, "spec": { "selector": { "app": "web" },
            "ports": [{ "port": 80 }] } }),
        )
        .await?;
    }
    lab.kubectl(&["delete", "namespace", "doomed", "--timeout=60s"]).await?;
    let retries = manager.metrics().await?.sum("workqueue_retries_total", &[("name", "endpoint_slice")]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let later = manager.metrics().await?.sum("workqueue_retries_total", &[("name", "endpoint_slice")]);
    assert!(later - retries < 1.0, "{retries} retries became {later} after the namespace was gone");
    let log = manager.log()?;
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    Ok(())
}

#[tokio::test]
async fn missing_rights_are_named_and_work_begins_when_they_are_given() -> Result<()> {
    let lab = objects_only().start().await?;
    lab.kubectl(&["create", "serviceaccount", "nobody"]).await?;
    let identity = Identity::service_account("default", "nobody");
    let manager = lab.manager().controllers(CONTROLLER).identity(identity).spawn().await?;
    lab.wait_until("/readyz to say what is missing", PATIENCE, async || {
        let answer = manager.admin("/readyz?verbose").await?;
        let told = answer.status == 500
            && answer.body.contains("informer/pods failed")
            && answer.body.contains("forbidden");
        if told { Ok(()) } else { Err(answer.body.into()) }
    })
    .await?;
    service(&lab, "web", json!({})).await?;
    lab.kubectl(&[
        "create",
        "clusterrolebinding",
        "nobody",
        "--clusterrole=system:controller:endpointslice-controller",
        "--serviceaccount=default:nobody",
    ])
    .await?;
    manager.wait_ready().await?;
    slices_until(&lab, "web", "its slice", |it| it.len() == 1).await?;
    let log = manager.log()?;
    let warnings = log.lines().filter(|line| line.contains("WARN")).count();
    assert!((1..=8).contains(&warnings), "{warnings} warnings in\n{log}");
    Ok(())
}

#[tokio::test]
async fn an_unreachable_api_server_is_waited_for() -> Result<()> {
    let lab = objects_only().start().await?;
    lab.apply_rbac().await?;
    let manager = manager(&lab).await?;
    service(&lab, "web", json!({})).await?;
    lab.pod("default", "web-0").label("app", "web").paper().start().await?;
    slices_until(&lab, "web", "the Pod", |it| endpoints(it) == ["web-0:rs-"]).await?;
    let before = lab.writes().await?;

    lab.control_plane().set_connected(false)?;
    manager.kill().await?;
    let restarted = {
        manager.process().restart()?;
        &manager
    };
    lab.wait_until("/livez to be ok and /readyz not to be", PATIENCE, async || {
        let (alive, ready) = (restarted.admin("/livez").await?, restarted.admin("/readyz?verbose").await?);
        if alive.status == 200 && ready.status == 500 && ready.body.contains("informer/") {
            Ok(())
        } else {
            Err(ready.body.into())
        }
    })
    .await?;
    lab.control_plane().set_connected(true)?;
    restarted.wait_ready().await?;
    assert_eq!(writes_of(&lab, restarted, &before, 1.0).await?, 0);
    Ok(())
}
