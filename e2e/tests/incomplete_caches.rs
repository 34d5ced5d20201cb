//! A manager whose caches are not complete yet writes nothing.

mod support;

use lab::{Lab, Result};
use serde_json::json;

use support::endpoints::{ENDPOINTS, endpoints_manager, endpoints_until, paper_pods, published};
use support::{CONTROLLER, PATIENCE, endpoints, manager, objects_only, service};

/// A controller, what it reads and what it writes.
struct Subject {
    controller: &'static str,
    reads: &'static [&'static str],
    writes: &'static str,
    /// Counts what was looked at.
    looked: &'static str,
    queue: &'static str,
}

const OF_SLICES: Subject = Subject {
    controller: CONTROLLER,
    reads: &["pods", "nodes", "services", "endpointslices.discovery.k8s.io"],
    writes: "endpointslices.discovery.k8s.io",
    looked: "endpoint_slice_controller_syncs",
    queue: "endpoint_slice",
};

const OF_ENDPOINTS: Subject = Subject {
    controller: ENDPOINTS,
    reads: &["pods", "services", "endpoints"],
    writes: "endpoints",
    looked: "fairlead_endpoints_plans_total",
    queue: "endpoint",
};

/// Also 23034, 23035. kube-controller-manager once began before its caches were complete, and emptied what it had not
/// seen the Pods and Nodes of.
#[tokio::test]
async fn issue_94086_nothing_is_written_before_every_cache_is_complete() -> Result<()> {
    let lab = objects_only().start().await?;
    let first = manager(&lab).await?;
    service(&lab, "web", json!({})).await?;
    paper_pods(&lab, "web", 0..3).await?;
    support::slices_until(&lab, "web", "all Pods", |it| endpoints(it).len() == 3).await?;
    first.stop().await?;
    nothing_is_written(&lab, &OF_SLICES).await
}

#[tokio::test]
async fn endpoints_are_not_written_before_every_cache_is_complete() -> Result<()> {
    let lab = objects_only().start().await?;
    let first = endpoints_manager(&lab).await?;
    service(&lab, "web", json!({})).await?;
    paper_pods(&lab, "web", 0..3).await?;
    endpoints_until(&lab, "web", "all Pods", |it| published(it).len() == 3).await?;
    first.stop().await?;
    nothing_is_written(&lab, &OF_ENDPOINTS).await
}

async fn nothing_is_written(lab: &Lab, subject: &Subject) -> Result<()> {
    let before = lab.writes().await?;
    let runs = subject.reads.iter().map(|late| starts_late(lab, subject, late));
    for run in futures::future::join_all(runs).await {
        run?;
    }
    let plural = plural(subject.writes);
    assert_eq!(lab.writes().await?.since(&before).of_resource(plural), 0);
    Ok(())
}

/// The resource without its group.
fn plural(resource: &str) -> &str {
    resource.split('.').next().unwrap_or_default()
}

/// A manager that may read everything but one resource waits; then it may.
async fn starts_late(lab: &Lab, subject: &Subject, late: &str) -> Result<()> {
    let account = format!("without-{}", plural(late));
    lab.kubectl(&["create", "serviceaccount", &account]).await?;
    let bind = async |name: &str, verbs: &str, resources: &str| {
        let role = format!("{account}-{name}");
        let (verbs, resources) = (format!("--verb={verbs}"), format!("--resource={resources}"));
        lab.kubectl(&["create", "clusterrole", &role, &verbs, &resources]).await?;
        let (role_flag, subject) =
            (format!("--clusterrole={role}"), format!("--serviceaccount=default:{account}"));
        lab.kubectl(&["create", "clusterrolebinding", &role, &role_flag, &subject]).await
    };
    let rest: Vec<_> = subject.reads.iter().copied().filter(|resource| *resource != late).collect();
    bind("reads", "get,list,watch", &rest.join(",")).await?;
    bind("writes", "create,update,delete", subject.writes).await?;
    bind("owns", "update", "services/finalizers").await?;
    let identity = lab::Identity::service_account("default", &account);
    let manager = lab.manager().controllers(subject.controller).identity(identity).spawn().await?;
    lab.wait_until(format!("{late} alone to be missing"), PATIENCE, async || {
        let body = manager.admin("/readyz?verbose").await?.body;
        let failed: Vec<_> =
            body.lines().filter(|line| line.contains("informer/") && line.contains("failed")).collect();
        if failed.len() == 1 && failed[0].contains(plural(late)) { Ok(()) } else { Err(body.into()) }
    })
    .await?;
    bind("late", "get,list,watch", late).await?;
    manager.wait_ready().await?;
    // It looks at the Service, and finds it as it should be.
    lab.wait_until(format!("the Service to be looked at, {late} being late"), PATIENCE, async || {
        let metrics = manager.metrics().await?;
        let looked = metrics.sum(subject.looked, &[]);
        let waiting = metrics.sum("workqueue_depth", &[("name", subject.queue)]);
        if looked >= 1.0 && waiting == 0.0 { Ok(()) } else { Err(format!("{looked} looks").into()) }
    })
    .await?;
    manager.stop().await?;
    Ok(())
}
