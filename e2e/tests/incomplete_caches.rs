//! A manager whose caches are not complete yet writes nothing.

mod support;

use lab::{Lab, Result};
use serde_json::json;

use support::{CONTROLLER, endpoints, manager, objects_only, service};

/// Also 23034, 23035. kube-controller-manager once began before its caches were complete, and emptied what it had not
/// seen the Pods and Nodes of.
#[tokio::test]
async fn issue_94086_nothing_is_written_before_every_cache_is_complete() -> Result<()> {
    let lab = objects_only().start().await?;
    let first = manager(&lab).await?;
    service(&lab, "web", json!({})).await?;
    for number in 0..3 {
        lab.pod("default", &format!("web-{number}")).label("app", "web").paper().start().await?;
    }
    support::slices_until(&lab, "web", "all Pods", |it| endpoints(it).len() == 3).await?;
    first.stop().await?;
    let before = lab.writes().await?;
    let resources = ["pods", "nodes", "services", "endpointslices.discovery.k8s.io"];
    let runs = resources.into_iter().map(|late| starts_late(&lab, late));
    for run in futures::future::join_all(runs).await {
        run?;
    }
    assert_eq!(lab.writes().await?.since(&before).of_resource("endpointslices"), 0);
    Ok(())
}

/// A manager that may read everything but one resource waits; then it may.
async fn starts_late(lab: &Lab, late: &str) -> Result<()> {
    let account = format!("without-{}", late.split('.').next().unwrap_or_default());
    lab.kubectl(&["create", "serviceaccount", &account]).await?;
    let bind = async |name: &str, verbs: &str, resources: &str| {
        let role = format!("{account}-{name}");
        let (verbs, resources) = (format!("--verb={verbs}"), format!("--resource={resources}"));
        lab.kubectl(&["create", "clusterrole", &role, &verbs, &resources]).await?;
        let (role_flag, subject) =
            (format!("--clusterrole={role}"), format!("--serviceaccount=default:{account}"));
        lab.kubectl(&["create", "clusterrolebinding", &role, &role_flag, &subject]).await
    };
    let all = ["pods", "nodes", "services", "endpointslices.discovery.k8s.io"];
    let rest: Vec<_> = all.into_iter().filter(|resource| *resource != late).collect();
    bind("reads", "get,list,watch", &rest.join(",")).await?;
    bind("writes", "create,update,delete", "endpointslices.discovery.k8s.io").await?;
    bind("owns", "update", "services/finalizers").await?;
    let identity = lab::Identity::service_account("default", &account);
    let manager = lab.manager().controllers(CONTROLLER).identity(identity).spawn().await?;
    let resource = late.split('.').next().unwrap_or_default().to_owned();
    lab.wait_until(format!("{late} alone to be missing"), support::PATIENCE, async || {
        let body = manager.admin("/readyz?verbose").await?.body;
        let failed: Vec<_> =
            body.lines().filter(|line| line.contains("informer/") && line.contains("failed")).collect();
        if failed.len() == 1 && failed[0].contains(&resource) { Ok(()) } else { Err(body.into()) }
    })
    .await?;
    let nothing = lab.writes().await?;
    bind("late", "get,list,watch", late).await?;
    manager.wait_ready().await?;
    // It looks at the Service, and finds it as it should be.
    let written = support::writes_of(lab, &manager, &nothing, 1.0).await?;
    assert_eq!(written, 0, "{late}");
    manager.stop().await?;
    Ok(())
}
