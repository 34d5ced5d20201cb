//! The show: Pods and a Service, Endpoints and slices, readiness, a database outside of the cluster, and what a client
//! sees of it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use lab::{Error, Lab, NotYet, Pod, Result, cluster_ips, node_port};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(30);
const SELECTOR: &str = "kubernetes.io/service-name=web";
/// So many answers in a row without a Pod mean that it is out: one in 10^10 if it still had a third.
const CERTAIN: usize = 60;

/// Runs the show from start to end.
pub(crate) async fn show(lab: &Lab) -> Result<()> {
    heading("Three Pods and a dual-stack Service of type NodePort");
    let mut pods = Vec::new();
    for name in ["web-1", "web-2", "web-3"] {
        pods.push(lab.pod("default", name).label("app", "web").port("http", 8080).start().await?);
    }
    let created = Instant::now();
    let service = create_service(lab).await?;
    let names = pods.iter().map(Pod::name).collect::<Vec<_>>();
    until_endpoints(lab, 2 * pods.len()).await?;
    println!("All endpoints were in EndpointSlices {} after the Service was sent.\n", milliseconds(created));
    kubectl(lab, &["get", "pods,services", "-l", "app=web", "-o", "wide"]).await?;
    kubectl(lab, &["get", "endpointslices", "-l", SELECTOR, "-o", "wide"]).await?;
    kubectl(lab, &["get", "endpoints", "web"]).await?;

    heading("A client outside of the cluster asks through ClusterIP and NodePort, IPv4 and IPv6");
    let port =
        node_port(&service, 80).ok_or_else(|| Error::Invalid("the Service has no node port".into()))?;
    for address in cluster_ips(&service) {
        ask(lab, "ClusterIP", address, 80, &names).await?;
    }
    if let Some(node) = lab.nodes().last() {
        for address in [IpAddr::from(node.host().ipv4()), node.host().ipv6().into()] {
            ask(lab, &format!("NodePort on {}", node.name()), address, port, &names).await?;
        }
    }

    heading("web-2 stops being ready");
    let address = cluster_ips(&service)[0];
    flip(lab, &pods[1], false, address).await?;
    kubectl(lab, &["get", "endpointslices", "-l", SELECTOR, "-o", COLUMNS]).await?;

    heading("web-2 is ready again");
    flip(lab, &pods[1], true, address).await?;
    kubectl(lab, &["get", "endpointslices", "-l", SELECTOR, "-o", COLUMNS]).await?;

    heading("A database outside of the cluster: a Service without selector, and Endpoints written by hand");
    database(lab).await?;
    lab.check()
}

/// Endpoints by hand are mirrored into a slice, which is what kube-proxy reads.
async fn database(lab: &Lab) -> Result<()> {
    let server = lab.outside_server("database", 5432).await?;
    let ports = json!([{ "name": "postgres", "port": 5432 }]);
    let service = json!({ "metadata": { "name": "database" }, "spec": { "ports": ports } });
    let service: Service = lab.create("default", service).await?;
    let subsets = json!([{ "addresses": [{ "ip": server.ipv4().to_string() }], "ports": ports }]);
    let endpoints = json!({ "metadata": { "name": "database" }, "subsets": subsets });
    let created = Instant::now();
    lab.create::<Endpoints>("default", endpoints).await?;
    lab.wait_until("a slice that mirrors the Endpoints database", PATIENCE, async || {
        let list = slices(lab).list(&ListParams::default().labels(MIRRORED)).await?;
        if list.items.is_empty() { Err("there is none".into()) } else { Ok(()) }
    })
    .await?;
    println!("The Endpoints were mirrored {} after they were sent.\n", milliseconds(created));
    kubectl(lab, &["get", "services,endpoints", "database"]).await?;
    kubectl(lab, &["get", "endpointslices", "-l", MIRRORED]).await?;
    ask(lab, "ClusterIP", cluster_ips(&service)[0], 5432, &[server.name()]).await
}

/// The slices that mirror the Endpoints of the database.
const MIRRORED: &str = "kubernetes.io/service-name=database,\
    endpointslice.kubernetes.io/managed-by=endpointslicemirroring-controller.k8s.io";

/// One row per slice: which Pods, and whether each is ready.
const COLUMNS: &str = "custom-columns=NAME:.metadata.name,TYPE:.addressType,\
    PODS:.endpoints[*].targetRef.name,READY:.endpoints[*].conditions.ready";

async fn create_service(lab: &Lab) -> Result<Service> {
    let object = json!({
        "metadata": { "name": "web", "labels": { "app": "web" } },
        "spec": {
            "type": "NodePort",
            "selector": { "app": "web" },
            "ipFamilyPolicy": "RequireDualStack",
            "ports": [{ "name": "http", "port": 80, "targetPort": "http" }],
        },
    });
    lab.create("default", object).await
}

fn slices(lab: &Lab) -> Api<EndpointSlice> {
    Api::namespaced(lab.api(), "default")
}

async fn until_endpoints(lab: &Lab, count: usize) -> Result<()> {
    let what = format!("{count} ready endpoints in the EndpointSlices of the Service web");
    lab.wait_until(what, PATIENCE, async || {
        let list = slices(lab).list(&ListParams::default().labels(SELECTOR)).await?;
        let ready = list.items.iter().flat_map(|slice| &slice.endpoints).filter(|endpoint| {
            endpoint.conditions.as_ref().is_some_and(|conditions| conditions.ready == Some(true))
        });
        let ready = ready.count();
        if ready == count { Ok(()) } else { Err(format!("{ready} of {count}").into()) }
    })
    .await
}

/// Asks until every Pod has answered, and prints who did.
async fn ask(lab: &Lab, through: &str, address: IpAddr, port: u16, names: &[&str]) -> Result<()> {
    let what = format!("{} to answer through {through} {address}", names.join(", "));
    let answers = lab
        .wait_until(what, PATIENCE, async || {
            let answers = lab.client().who_answers(address, port, 30).await?;
            if answers.len() == names.len() { Ok(answers) } else { Err(NotYet::from(format!("{answers:?}"))) }
        })
        .await?;
    let counts: Vec<_> = answers.iter().map(|(pod, count)| format!("{pod} {count}")).collect();
    println!("  {through:<20} http://{:<34} {}", std::net::SocketAddr::new(address, port), counts.join(", "));
    Ok(())
}

/// Changes the readiness of a Pod and prints when slices and client followed.
async fn flip(lab: &Lab, pod: &Pod, ready: bool, address: IpAddr) -> Result<()> {
    let api = slices(lab);
    let what = || format!("watching the EndpointSlices of the Service web for {}", pod.name());
    let list =
        api.list(&ListParams::default().labels(SELECTOR)).await.map_err(|source| failed(what(), source))?;
    let version = list.metadata.resource_version.unwrap_or_default();
    let events = api.watch(&WatchParams::default().labels(SELECTOR), &version).await;
    let mut events = events.map_err(|source| failed(what(), source))?.boxed();

    let sent = Instant::now();
    pod.set_ready(ready).await?;
    let in_slices = async {
        let mut left = list.items.len();
        while left > 0 {
            let event = events.try_next().await.map_err(|source| failed(what(), source))?;
            match event {
                Some(WatchEvent::Modified(slice)) if says(&slice, pod.name(), ready) => left -= 1,
                Some(_) => {}
                None => return Err(Error::Invalid(format!("{}: the API server ended the watch", what()))),
            }
        }
        Ok(milliseconds(sent))
    };
    let late = || {
        Error::Invalid(format!(
            "{} did not become ready={ready} in its EndpointSlices within {PATIENCE:?}",
            pod.name()
        ))
    };
    let in_slices = async { tokio::time::timeout(PATIENCE, in_slices).await.unwrap_or_else(|_| Err(late())) };
    let at_client = client_follows(lab, pod.name(), ready, address, sent);
    let (in_slices, at_client) = futures::try_join!(in_slices, at_client)?;
    println!("  both EndpointSlices say so after      {in_slices}");
    let text =
        if ready { "its first answer to the client after" } else { "its last answer to the client after" };
    println!("  {text:<37} {at_client}   (kube-proxy writes rules at most once a second)\n");
    Ok(())
}

/// Whether the slice says this readiness of the Pod.
fn says(slice: &EndpointSlice, pod: &str, ready: bool) -> bool {
    slice.endpoints.iter().any(|endpoint| {
        endpoint.target_ref.as_ref().is_some_and(|target| target.name.as_deref() == Some(pod))
            && endpoint.conditions.as_ref().is_some_and(|conditions| conditions.ready == Some(ready))
    })
}

/// When the client met the Pod first, or last.
async fn client_follows(lab: &Lab, pod: &str, ready: bool, address: IpAddr, sent: Instant) -> Result<String> {
    let mut last = String::from("0 ms");
    let mut without = 0;
    while sent.elapsed() < PATIENCE {
        let answer = lab.client().get(address, 80).await?;
        if answer.pod == pod {
            last = milliseconds(sent);
            without = 0;
        } else {
            without += 1;
        }
        if ready && without == 0 || !ready && without == CERTAIN {
            return Ok(last);
        }
    }
    Err(Error::Invalid(format!(
        "the client did not notice within {PATIENCE:?} that {pod} became ready={ready}"
    )))
}

pub(crate) async fn kubectl(lab: &Lab, args: &[&str]) -> Result<()> {
    let typed: Vec<_> = args.iter().map(|arg| quoted(arg)).collect();
    println!("$ kubectl {}\n{}", typed.join(" "), lab.kubectl(args).await?);
    Ok(())
}

/// An argument as one types it into a shell.
fn quoted(arg: &str) -> String {
    if arg.contains([' ', '"', '{', '[', '*', '?', '(']) { format!("'{arg}'") } else { arg.to_owned() }
}

pub(crate) fn heading(text: &str) {
    println!("\n== {text}\n");
}

pub(crate) fn milliseconds(since: Instant) -> String {
    format!("{:.0} ms", since.elapsed().as_secs_f64() * 1000.0)
}

fn failed(what: String, source: kube::Error) -> Error {
    Error::Api { what, source: Box::new(source) }
}
