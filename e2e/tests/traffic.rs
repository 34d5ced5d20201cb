//! What a client of a Service sees: Pods, `fairlead manager` and kube-proxy, over both families.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use lab::{Lab, Pod, Result, cluster_ips, node_port};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

async fn create_service(lab: &Lab, name: &str, spec: Value) -> Result<Service> {
    let mut spec = spec;
    spec["ipFamilyPolicy"] = "RequireDualStack".into();
    lab.create("default", json!({ "metadata": { "name": name }, "spec": spec })).await
}

/// Waits until exactly these Pods answer, and no request fails.
async fn answer(lab: &Lab, address: IpAddr, port: u16, expected: &[&Pod]) -> Result<()> {
    let expected: BTreeSet<_> = expected.iter().map(|pod| pod.name().to_owned()).collect();
    lab.wait_until(format!("{expected:?} to answer on {address} port {port}"), PATIENCE, async || {
        let answers = lab.client().who_answers(address, port, 10 * expected.len()).await?;
        let names: BTreeSet<_> = answers.into_keys().collect();
        if names == expected { Ok(()) } else { Err(format!("{names:?} answered").into()) }
    })
    .await
}

/// Waits until nobody answers.
async fn silent(lab: &Lab, address: IpAddr, port: u16) -> Result<()> {
    lab.wait_until(format!("nobody to answer on {address} port {port}"), PATIENCE, async || {
        match lab.client().get(address, port).await {
            Err(_) => Ok(()),
            Ok(answer) => Err(format!("{} answered", answer.pod).into()),
        }
    })
    .await
}

#[tokio::test]
async fn traffic_follows_readiness_scaling_and_recreation() -> Result<()> {
    let lab = Lab::builder().start().await?;
    let _manager = lab.manager().controllers("endpointslice-controller").start().await?;
    let one = lab.pod("default", "web-1").label("app", "web").start().await?;
    let two = lab.pod("default", "web-2").label("app", "web").start().await?;
    lab.pod("default", "other").label("app", "other").start().await?;
    let spec = json!({ "type": "NodePort", "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": 8080 }] });
    let service = create_service(&lab, "web", spec.clone()).await?;

    let node = &lab.nodes()[0].host();
    let port = node_port(&service, 80).expect("a node port");
    for (address, port) in cluster_ips(&service)
        .into_iter()
        .map(|address| (address, 80))
        .chain([(node.ipv4().into(), port), (node.ipv6().into(), port)])
    {
        answer(&lab, address, port, &[&one, &two]).await?;
    }

    let address = cluster_ips(&service)[0];
    one.set_ready(false).await?;
    answer(&lab, address, 80, &[&two]).await?;
    one.set_ready(true).await?;
    answer(&lab, address, 80, &[&one, &two]).await?;
    let three = lab.pod("default", "web-3").label("app", "web").start().await?;
    answer(&lab, address, 80, &[&one, &two, &three]).await?;
    one.patch(json!({ "metadata": { "labels": { "app": "debug" } } })).await?;
    answer(&lab, address, 80, &[&two, &three]).await?;
    two.remove().await?;
    answer(&lab, address, 80, &[&three]).await?;
    three.set_phase("Succeeded").await?;
    silent(&lab, address, 80).await?;

    // Quick deletion and recreation under the same name: new UID, new slices.
    one.patch(json!({ "metadata": { "labels": { "app": "web" } } })).await?;
    answer(&lab, address, 80, &[&one]).await?;
    lab.kubectl(&["delete", "service", "web"]).await?;
    let service = create_service(&lab, "web", spec).await?;
    for address in cluster_ips(&service) {
        answer(&lab, address, 80, &[&one]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn named_ports_resolve_in_each_pod_and_protocols_stay_apart() -> Result<()> {
    let lab = Lab::builder().start().await?;
    let _manager = lab.manager().controllers("endpointslice-controller").start().await?;
    let old = lab.pod("default", "old").label("app", "web").port("http", 8080).start().await?;
    let new = lab.pod("default", "new").label("app", "web").port("http", 9090).start().await?;
    let spec = json!({ "type": "ClusterIP", "selector": { "app": "web" }, "ports": [
        { "name": "http", "port": 80, "targetPort": "http" },
        { "name": "fixed", "port": 81, "targetPort": 9090 },
        { "name": "nobody", "port": 82, "targetPort": "no-such-port" },
    ] });
    let service = create_service(&lab, "web", spec).await?;
    for address in cluster_ips(&service) {
        answer(&lab, address, 80, &[&old, &new]).await?;
        silent(&lab, address, 82).await?;
    }
    // Only one of the two listens there; the other refuses.
    let address = cluster_ips(&service)[0];
    lab.wait_until("the Pod that listens on 9090 to answer", PATIENCE, async || {
        Ok(lab.client().get(address, 81).await?)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn terminating_pods_serve_while_nobody_else_does() -> Result<()> {
    let lab = Lab::builder().start().await?;
    let _manager = lab.manager().controllers("endpointslice-controller").start().await?;
    let leaving = lab.pod("default", "leaving").label("app", "web").grace_seconds(60).start().await?;
    let staying = lab.pod("default", "staying").label("app", "web").start().await?;
    let spec = json!({ "type": "ClusterIP", "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": 8080 }] });
    let service = create_service(&lab, "web", spec).await?;
    let address = cluster_ips(&service)[0];
    answer(&lab, address, 80, &[&leaving, &staying]).await?;
    leaving.terminate().await?;
    answer(&lab, address, 80, &[&staying]).await?;
    // kube-proxy falls back to endpoints that are serving and terminating.
    staying.set_ready(false).await?;
    answer(&lab, address, 80, &[&leaving]).await?;
    leaving.remove().await?;
    silent(&lab, address, 80).await?;
    Ok(())
}

#[tokio::test]
async fn unready_pods_answer_where_the_service_publishes_them() -> Result<()> {
    let lab = Lab::builder().start().await?;
    let _manager = lab.manager().controllers("endpointslice-controller").start().await?;
    let pod = lab.pod("default", "web-1").label("app", "web").not_ready().start().await?;
    let spec = json!({ "type": "ClusterIP", "selector": { "app": "web" }, "publishNotReadyAddresses": true,
        "ports": [{ "port": 80, "targetPort": 8080 }] });
    let service = create_service(&lab, "web", spec).await?;
    for address in cluster_ips(&service) {
        answer(&lab, address, 80, &[&pod]).await?;
    }
    lab.kubectl(&[
        "patch",
        "service",
        "web",
        "--type=merge",
        "-p",
        r#"{"spec":{"publishNotReadyAddresses":false}}"#,
    ])
    .await?;
    silent(&lab, cluster_ips(&service)[0], 80).await
}
