//! Captures Endpoints that kube-controller-manager makes of Services with several ports and subsets, for the test that
//! packs their subsets again and must find them in the same order:
//!
//! ```sh
//! FAIRLEAD_KUBERNETES_VERSION=1.33 cargo test --workspace --test capture_subsets -- --ignored
//! ```
//!
//! writes `controllers/discovery/tests/captured`.

mod support;

use std::path::Path;
use std::time::Duration;

use lab::{Error, Families, Lab, Result};
use serde_json::{Value, json};

use support::{PATIENCE, objects_only, service};

/// Services whose ports resolve differently in different Pods, so that there are several subsets.
async fn populate(lab: &Lab) -> Result<usize> {
    for number in 0..12_u16 {
        let name = format!("web-{number:02}");
        let mut pod =
            lab.pod("default", &name).label("app", "web").on(["node-1", "node-2"][usize::from(number % 2)]);
        for (port, other, every) in [("http", 8080, 2), ("admin", 9090, 3), ("metrics", 7070, 5)] {
            if number % every != 0 {
                pod = pod.declared_port(port, other, "TCP");
            } else if number % 4 != 0 {
                pod = pod.declared_port(port, other + number % 4, "TCP");
            }
        }
        if number % 6 == 5 {
            pod = pod.not_ready();
        }
        let pod = pod.paper().customize(move |pod| {
            let spec = pod.spec.get_or_insert_default();
            spec.hostname = Some(format!("host-{number}"));
            spec.subdomain = Some("headless".into());
        });
        pod.start().await?;
    }
    lab.pod("default", "six").label("app", "web").families(Families::Ipv6).paper().start().await?;
    let web = json!({ "app": "web" });
    let tcp =
        |name: &str, port: u16, target: &str| json!({ "name": name, "port": port, "targetPort": target });
    let cases: [(&str, Value); 8] = [
        ("one", json!([tcp("http", 80, "http")])),
        ("two", json!([tcp("http", 80, "http"), tcp("admin", 81, "admin")])),
        ("three", json!([tcp("a", 80, "http"), tcp("b", 81, "admin"), tcp("c", 82, "metrics")])),
        (
            "fixed",
            json!([{ "name": "x", "port": 80, "targetPort": 1 }, { "name": "y", "port": 81, "targetPort": 2 },
            { "name": "z", "port": 82, "targetPort": 3, "appProtocol": "kubernetes.io/h2c" }]),
        ),
        (
            "protocols",
            json!([{ "name": "t", "port": 53 }, { "name": "u", "port": 53, "protocol": "UDP" }, { "name": "s", "port": 53, "protocol": "SCTP" }]),
        ),
        (
            "mixed",
            json!([tcp("http", 80, "http"), { "name": "n", "port": 81, "targetPort": 7 }, tcp("nobody", 82, "no-such-port")]),
        ),
        (
            "app-protocols",
            json!([{ "name": "h", "port": 80, "targetPort": "http", "appProtocol": "http" }, tcp("m", 81, "metrics")]),
        ),
        ("unnamed", json!([{ "port": 80, "targetPort": "admin" }])),
    ];
    let count = cases.len() + 3;
    for (name, ports) in cases {
        service(lab, name, json!({ "selector": web, "ports": ports })).await?;
    }
    service(lab, "headless", json!({ "selector": web, "clusterIP": "None", "ports": [tcp("a", 80, "http"), tcp("b", 81, "admin")] })).await?;
    service(lab, "portless", json!({ "selector": web, "clusterIP": "None", "ports": null })).await?;
    service(lab, "eager", json!({ "selector": web, "publishNotReadyAddresses": true, "ports": [tcp("a", 80, "admin"), tcp("b", 81, "metrics")] }))
        .await?;
    Ok(count)
}

async fn endpoints(lab: &Lab, expected: usize) -> Result<Vec<Value>> {
    let list = lab.kubectl(&["get", "endpoints", "-n", "default", "-o", "json"]).await?;
    let list: Value =
        serde_json::from_str(&list).map_err(|error| Error::Invalid(format!("reading Endpoints: {error}")))?;
    let mut items = list["items"].as_array().cloned().unwrap_or_default();
    items.retain(|it| it["metadata"]["name"] != "kubernetes" && it["subsets"].is_array());
    for object in &mut items {
        object["metadata"] = json!({ "namespace": "default", "name": object["metadata"]["name"] });
    }
    if items.len() == expected {
        Ok(items)
    } else {
        Err(Error::Invalid(format!("{} of {expected}", items.len())))
    }
}

#[tokio::test]
#[ignore = "writes test data into the source tree"]
async fn capture_the_order_of_subsets() -> Result<()> {
    let lab = objects_only().nodes(2).start().await?;
    let count = populate(&lab).await?;
    // After the Pods are all there, so that each object is written once and as a whole.
    let upstream = lab.upstream("endpoints-controller", &[]).await?;
    let captured = lab
        .wait_until("kube-controller-manager to be at rest", PATIENCE, async || {
            let before = endpoints(&lab, count).await.map_err(|error| error.to_string())?;
            tokio::time::sleep(Duration::from_secs(2)).await;
            let after = endpoints(&lab, count).await.map_err(|error| error.to_string())?;
            if before == after { Ok(after) } else { Err("they still change".into()) }
        })
        .await?;
    upstream.kill().await?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../controllers/discovery/tests/captured");
    let failed = |error: std::io::Error| {
        Error::Invalid(format!("writing captured objects to {}: {error}", folder.display()))
    };
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let lines: Vec<_> = captured.iter().map(ToString::to_string).collect();
    std::fs::write(folder.join("endpoints.jsonl"), lines.join("\n") + "\n").map_err(failed)?;
    std::fs::write(folder.join("VERSION"), format!("{}\n", lab.api_version().await?)).map_err(failed)
}
