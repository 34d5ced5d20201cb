//! A cluster in which the kinds of Fairlead are not installed: all that needs none of them works.

mod support;

use std::time::Duration;

use lab::{Error, NotYet, Result};
use serde_json::json;

const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/crd");
const CHECK: &str = "loadbalancer-controller";
const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_others_work_and_the_loadbalancer_controller_begins_when_its_kinds_are_there() -> Result<()> {
    let lab = support::objects_only().start().await?;
    let manager = lab.manager().start().await?;
    lab.kubectl(&["delete", "-k", CRDS, "--wait=true"]).await?;
    manager.stop().await?;
    // It is ready without them.
    manager.restart().await?;
    let check = async || {
        let checks = manager.admin("/readyz?verbose").await?;
        let of_it = |line: &&str| line.split_once(']').is_some_and(|(_, rest)| rest.starts_with(CHECK));
        let line = checks.body.lines().find(of_it).unwrap_or_default().to_owned();
        Ok::<_, Error>(line)
    };
    let waits =
        format!("[+]{CHECK} ok: the CRDs of fairlead.dev are not installed: kubectl apply -k config/crd");
    let told = async || {
        let line = check().await?;
        if line == waits { Ok(()) } else { Err(NotYet::from(line)) }
    };
    lab.wait_until("the check to say what is missing", LIMIT, told).await?;

    let service = lab.load_balancer("default", "web").create().await?;
    let slices = async || {
        let list = lab
            .kubectl(&["get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", "name"])
            .await?;
        if list.trim().is_empty() { Err(NotYet::from("none")) } else { Ok(()) }
    };
    lab.wait_until("the slice of a Service", LIMIT, slices).await?;

    lab.kubectl(&["apply", "-k", CRDS]).await?;
    let begun = async || {
        let line = check().await?;
        if line == format!("[+]{CHECK} ok") { Ok(()) } else { Err(NotYet::from(line)) }
    };
    lab.wait_until("the loadbalancer-controller to begin", LIMIT, begun).await?;
    lab.pool("public", json!({ "addresses": ["203.0.113.0/26"] })).await?;
    service.wait_addresses(1).await?;
    Ok(())
}
