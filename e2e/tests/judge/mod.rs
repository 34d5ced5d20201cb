//! Whether the slices and Endpoints of a namespace are what they should be, and whether nobody writes any more.
//!
//! The judges of slices are those of the convergence test on the fake API server: they look at a copy of the real objects.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::time::Duration;

use fairlead_fake_api::{FakeApi, Kind, NODES, PODS, SERVICES, SLICES};
use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, ListParams};
use lab::{Lab, Manager, NotYet, Result};
use serde_json::Value;

mod endpoints;
#[path = "../../../controllers/endpointslice/tests/convergence/oracle.rs"]
mod oracle;

/// What the judges want to know of the process; each test binary that has judges names it at its root.
pub(crate) mod process {
    use std::num::NonZeroUsize;

    /// Endpoints in a slice, few so that there are many slices.
    pub(crate) const CAPACITY: NonZeroUsize = NonZeroUsize::new(3).unwrap();
}

/// How long nothing may be written for it to count as quiet: several times what a manager needs that is at work.
const QUIET: Duration = Duration::from_secs(2);
/// Much longer than a manager is busy with what it still has to do: a machine may stand still for a minute.
const PATIENCE: Duration = Duration::from_mins(3);

/// The flag with which the judges expect a manager to run.
pub(crate) fn capacity_flag() -> String {
    format!("--max-endpoints-per-slice={}", process::CAPACITY)
}

/// Two judges: a complete plan over the objects has nothing to do, and the endpoints are what the Pods say.
pub(crate) async fn judge(lab: &Lab, namespace: &str) -> Result<(), NotYet> {
    let copy = FakeApi::new(0);
    for kind in [&NODES, &SERVICES, &PODS, &SLICES] {
        for object in list(lab, kind, namespace).await? {
            copy.copy(kind, object);
        }
    }
    oracle::check(&copy).map_err(|wrong| format!("{namespace}: {wrong}").into())
}

/// Judges of the controllers that a manager runs with, in the syntax of their flag.
pub(crate) async fn judge_controllers(lab: &Lab, namespace: &str, controllers: &str) -> Result<(), NotYet> {
    let named = |name: &str| controllers.split(',').any(|it| it == name);
    if named("endpointslice-controller") {
        judge(lab, namespace).await?;
    }
    let endpoints: Api<core::Endpoints> = Api::namespaced(lab.api(), namespace);
    let endpoints = endpoints.list(&ListParams::default()).await?;
    let world = endpoints::World {
        services: list(lab, &SERVICES, namespace).await?,
        pods: list(lab, &PODS, namespace).await?,
        endpoints: endpoints.items.iter().map(serde_json::to_value).collect::<Result<_, _>>()?,
        slices: list(lab, &SLICES, namespace).await?,
    };
    if named("endpoints-controller") {
        world.endpoints_are_right()?;
    }
    if named("endpointslice-mirroring-controller") {
        world.mirrored_slices_are_right()?;
    }
    Ok(())
}

pub(crate) async fn list(lab: &Lab, kind: &Kind, namespace: &str) -> Result<Vec<Value>, NotYet> {
    let group = if kind.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", kind.group) };
    let namespace = if kind.namespaced { format!("/namespaces/{namespace}") } else { String::new() };
    let request = http::Request::get(format!("{group}/v1{namespace}/{}", kind.plural)).body(Vec::new())?;
    let mut answer: Value = lab.api().request(request).await?;
    Ok(answer["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

/// Waits until the judges are content with all namespaces.
pub(crate) async fn all_right(lab: &Lab, namespaces: &[String], patience: Duration) -> Result<()> {
    let mut rest = namespaces.to_vec();
    lab.wait_until("the slices to be right", patience, async || {
        while let Some(namespace) = rest.last() {
            judge(lab, namespace).await?;
            rest.pop();
        }
        Ok(())
    })
    .await
}

/// The writes of slices and Endpoints that were attempted while nothing happened. The manager has nothing left to do at the end.
pub(crate) async fn writes_at_rest(lab: &Lab, manager: &Manager) -> Result<u64> {
    writes_during(lab, manager, QUIET).await
}

/// [`writes_at_rest`] for so long.
pub(crate) async fn writes_during(lab: &Lab, manager: &Manager, length: Duration) -> Result<u64> {
    let before = lab.writes().await?;
    let mut quiet = tokio::time::interval(length);
    quiet.tick().await;
    quiet.tick().await;
    lab.wait_until("the manager to have nothing to do", PATIENCE, async || {
        let metrics = manager.metrics().await?;
        let (depth, working) =
            (metrics.sum("workqueue_depth", &[]), metrics.sum("workqueue_unfinished_work_seconds", &[]));
        if depth == 0.0 && working == 0.0 { Ok(()) } else { Err(format!("{depth} keys wait").into()) }
    })
    .await?;
    let writes = lab.writes().await?.since(&before);
    Ok(writes.of_resource("endpointslices") + writes.of_resource("endpoints"))
}
