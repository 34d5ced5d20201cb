//! The lab by itself, without anything of Fairlead in it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::core::v1::{self as core, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, ListParams};
use lab::{Error, Families, Identity, Lab, Pod, ProxyMode, Result, cluster_ips, node_port, wait_until};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);

/// A dual-stack Service without a selector, so that nobody but the test says who its endpoints are.
async fn service(lab: &Lab, name: &str) -> Result<Service> {
    let object = json!({
        "metadata": { "name": name },
        "spec": {
            "type": "NodePort",
            "ipFamilyPolicy": "RequireDualStack",
            "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }],
        },
    });
    lab.create("default", object).await
}

/// The slice of one family that upstream's controller would write for these Pods.
async fn slice(lab: &Lab, service: &str, family: &str, pods: &[&Pod]) -> Result<EndpointSlice> {
    let endpoints: Vec<_> = pods
        .iter()
        .filter_map(|pod| {
            let address = pod.addresses().iter().find(|address| address.is_ipv4() == (family == "IPv4"))?;
            Some(json!({ "addresses": [address], "nodeName": pod.node(), "conditions": { "ready": true } }))
        })
        .collect();
    let object = json!({
        "metadata": {
            "name": format!("{service}-{}", family.to_lowercase()),
            "labels": { "kubernetes.io/service-name": service, "endpointslice.kubernetes.io/managed-by": "test.lab" },
        },
        "addressType": family,
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
        "endpoints": endpoints,
    });
    lab.create("default", object).await
}

/// Waits until this many different Pods answer, and returns who they are.
async fn all_answer(
    lab: &Lab,
    address: IpAddr,
    port: u16,
    expected: &[&Pod],
) -> Result<BTreeMap<String, usize>> {
    let what = format!("{} Pods to answer on {address} port {port}", expected.len());
    lab.wait_until(what, PATIENCE, async || {
        let answers = lab.client().who_answers(address, port, 10 * expected.len()).await?;
        let names: Vec<_> = answers.keys().map(String::as_str).collect();
        let wanted: Vec<_> = expected.iter().map(|pod| pod.name()).collect();
        if names == wanted { Ok(answers) } else { Err(format!("{names:?}").into()) }
    })
    .await
}

async fn services_carry_traffic(mode: ProxyMode) -> Result<()> {
    let lab = Lab::builder().proxy(mode).start().await?;
    println!("ready after {:.1?}", lab.start_time());
    let mut pods = Vec::new();
    for name in ["web-1", "web-2", "web-3"] {
        pods.push(lab.pod("default", name).label("app", "web").start().await?);
    }
    let nodes: Vec<_> = pods.iter().map(Pod::node).collect();
    assert_eq!(nodes, ["node-1", "node-2", "node-3"], "nodes take turns");
    let pods: Vec<_> = pods.iter().collect();

    let service = service(&lab, "web").await?;
    slice(&lab, "web", "IPv4", &pods).await?;
    slice(&lab, "web", "IPv6", &pods).await?;
    let addresses = cluster_ips(&service);
    assert_eq!(addresses.iter().map(IpAddr::is_ipv4).collect::<Vec<_>>(), [true, false]);
    let port = node_port(&service, 80).expect("a node port");
    for address in addresses {
        all_answer(&lab, address, 80, &pods).await?;
        // The node masks who comes from outside, so that answers come back through it.
        let seen = lab.client().get(address, 80).await?.client;
        let first = lab.nodes()[0].host();
        let owns = |address: IpAddr| {
            [IpAddr::from(first.ipv4()), first.ipv6().into()].contains(&address)
                || address.to_string().starts_with("10.244.1.")
                || address.to_string().starts_with("fd00:10:244:1:")
        };
        assert!(owns(seen), "seen as {seen}");
    }
    for node in lab.nodes() {
        all_answer(&lab, node.host().ipv4().into(), port, &pods).await?;
        all_answer(&lab, node.host().ipv6().into(), port, &pods).await?;
    }
    // A Pod reaches itself and others through the Service, and a node does.
    for address in cluster_ips(&service) {
        let inside = pods[0].host().expect("a Pod with a host");
        assert_eq!(inside.who_answers(address, 80, 30).await?.len(), 3);
        assert_eq!(lab.nodes()[1].host().who_answers(address, 80, 30).await?.len(), 3);
    }
    // The way through another node.
    lab.route_services_through(lab.node("node-3")?)?;
    all_answer(&lab, cluster_ips(&service)[0], 80, &pods).await?;
    lab.check()
}

#[tokio::test]
async fn services_carry_traffic_with_nftables() -> Result<()> {
    services_carry_traffic(ProxyMode::Nftables).await
}

#[tokio::test]
#[ignore = "needs iptables: run hack/lab-tools --iptables, then with --ignored"]
async fn services_carry_traffic_with_iptables() -> Result<()> {
    services_carry_traffic(ProxyMode::Iptables).await
}

#[tokio::test]
async fn pods_are_what_a_kubelet_would_report() -> Result<()> {
    let lab = Lab::builder().nodes(1).proxy(ProxyMode::None).start().await?;
    println!("ready after {:.1?}", lab.start_time());
    lab.namespace("team").await?;
    let pod = lab
        .pod("team", "web")
        .label("app", "web")
        .port("http", 8080)
        .port("admin", 9090)
        .not_ready()
        .start()
        .await?;
    let api: Api<core::Pod> = Api::namespaced(lab.api(), "team");
    let conditions = async || -> Result<Vec<String>, kube::Error> {
        let status = api.get_status("web").await?.status.unwrap_or_default();
        Ok(status
            .conditions
            .unwrap_or_default()
            .into_iter()
            .map(|c| format!("{}={}", c.type_, c.status))
            .collect())
    };
    assert_eq!(conditions().await.expect("a status"), ["Ready=False", "ContainersReady=False"]);
    pod.set_ready(true).await?;
    assert_eq!(conditions().await.expect("a status"), ["Ready=True", "ContainersReady=True"]);

    // Its servers answer from the client and say whom they see.
    for &address in pod.addresses() {
        for port in [8080, 9090] {
            let answer = lab.client().get(address, port).await?;
            assert_eq!((answer.pod.as_str(), answer.port), ("web", port));
            let own = if address.is_ipv4() {
                IpAddr::from(lab.client().ipv4())
            } else {
                lab.client().ipv6().into()
            };
            assert_eq!(answer.client, own, "nothing in between changes the address");
        }
    }

    pod.terminate().await?;
    let left = api.get("web").await.expect("still there");
    assert!(left.metadata.deletion_timestamp.is_some(), "terminating");
    lab.client().get(pod.addresses()[0], 8080).await?;
    pod.remove().await?;
    assert!(api.get_opt("web").await.expect("an answer").is_none());
    assert!(lab.client().get(pod.addresses()[0], 8080).await.is_err(), "its servers are gone");
    assert!(pod.host().is_none());

    // The same name again, and Pods on paper.
    lab.pod("team", "web").families(Families::Ipv6).start().await?;
    let paper = lab.pod("team", "paper").paper().on("nowhere").start().await?;
    paper.set_phase("Succeeded").await?;
    assert_eq!(paper.addresses().len(), 2);
    let refused = lab.pod("team", "lost").on("nowhere").start().await.expect_err("no such host");
    assert!(matches!(&refused, Error::Invalid(reason) if reason.contains("nowhere")), "{refused}");
    Ok(())
}

#[tokio::test]
async fn two_labs_do_not_see_each_other() -> Result<()> {
    let one = || Lab::builder().nodes(1).start();
    let (left, right) = futures::try_join!(one(), one())?;
    println!("ready after {:.1?} and {:.1?}", left.start_time(), right.start_time());
    assert_ne!(left.number(), right.number());
    // The same names and addresses in both, and yet each client meets its own Pod.
    for lab in [&left, &right] {
        let name = format!("web-{}", lab.number());
        let pod = lab.pod("default", &name).start().await?;
        let service = service(lab, "web").await?;
        slice(lab, "web", "IPv4", &[&pod]).await?;
        all_answer(lab, cluster_ips(&service)[0], 80, &[&pod]).await?;
        assert_eq!(lab.kubectl(&["get", "pods", "-o", "name"]).await?.trim(), format!("pod/{name}"));
    }
    // The end of one is not the end of the other.
    let folder = left.folder().to_owned();
    drop(left);
    assert!(!folder.exists());
    right.check()?;
    assert!(right.kubectl(&["get", "nodes", "-o", "name"]).await?.contains("node/node-1"));
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_after_the_end() -> Result<()> {
    let lab = Lab::builder().nodes(1).start().await?;
    let pod = lab.pod("default", "web").start().await?;
    let number = lab.number();
    let (mark, folder) = (format!("lab{number}-"), lab.folder().display().to_string());
    assert!(namespaces().contains(&mark) && links().contains(&format!("mgmt{number}")));
    assert!(processes().contains(&folder), "components name their files in the lab's folder");
    drop(lab);
    assert!(!namespaces().contains(&mark), "{}", namespaces());
    assert!(!links().contains(&format!("mgmt{number}:")), "{}", links());
    assert!(!processes().contains(&folder), "{}", processes());
    assert!(!Path::new(&folder).exists());
    // A handle that outlives its lab knows that.
    assert!(pod.set_ready(false).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_lab_that_cannot_start_says_why_and_leaves_nothing() {
    let refused =
        Lab::builder().nodes(1).api_server_flag("--no-such-flag").start().await.expect_err("a bad flag");
    let text = refused.to_string();
    assert!(
        text.contains("kube-apiserver of lab") && text.contains("unknown flag: --no-such-flag"),
        "{text}"
    );
    let Error::Component { log, .. } = &refused else { panic!("{refused}") };
    assert!(!log.exists(), "the lab is gone with its log, and the error carries its end");
    assert!(
        !processes().contains(&log.parent().and_then(Path::parent).expect("a folder").display().to_string())
    );
}

#[tokio::test]
async fn the_death_of_a_component_is_told() -> Result<()> {
    let lab = Lab::builder().nodes(1).proxy(ProxyMode::None).start().await?;
    lab.check()?;
    // Somebody else kills it: the lab did not ask for that.
    let pid = lab.etcd().pid().to_string();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().expect("kill").success());
    let outcome: Result<()> =
        lab.wait_until("the impossible", PATIENCE, async || Err("not possible".into())).await;
    let text = outcome.expect_err("etcd is dead").to_string();
    assert!(text.contains(&format!("etcd of lab {}", lab.number())) && text.contains("signal: 9"), "{text}");
    assert!(text.contains("etcd.log"), "{text}");

    // On request it is no failure, and it comes back with its data.
    lab.api_server().kill().await?;
    lab.etcd().restart()?;
    lab.api_server().restart()?;
    lab.wait_until("the API server to be back", PATIENCE, async || {
        Ok(lab.kubectl(&["get", "node", "node-1", "-o", "name"]).await?)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn identities_have_their_own_rights() -> Result<()> {
    let lab = Lab::builder().nodes(0).proxy(ProxyMode::None).start().await?;
    lab.namespace("team").await?;
    let account = lab.api_as(&Identity::service_account("team", "default")).await?;
    let namespaces: Api<core::Namespace> = Api::all(account);
    let refused = namespaces.list(&ListParams::default()).await.expect_err("no rights");
    assert!(refused.to_string().contains("system:serviceaccount:team:default"), "{refused}");
    let missing =
        lab.kubeconfig(&Identity::service_account("team", "nobody")).await.expect_err("no such account");
    assert!(missing.to_string().contains("team/nobody"), "{missing}");
    Ok(())
}

#[tokio::test]
async fn writes_are_counted_by_resource() -> Result<()> {
    let lab = Lab::builder().nodes(0).proxy(ProxyMode::None).start().await?;
    let before = lab.writes().await?;
    let maps: Api<core::ConfigMap> = Api::namespaced(lab.api(), "default");
    lab.create::<core::ConfigMap>("default", json!({ "metadata": { "name": "one" } })).await?;
    maps.get("one").await.expect("it exists");
    maps.delete("one", &DeleteParams::default()).await.expect("deleted");
    // The API server counts after it has answered.
    let added = wait_until("both writes to be counted", PATIENCE, async || {
        let added = lab.writes().await?.since(&before);
        if added.of_resource("configmaps") >= 2 { Ok(added) } else { Err(format!("{added:?}").into()) }
    })
    .await?;
    assert_eq!((added.of_verb("configmaps", "POST"), added.of_verb("configmaps", "DELETE")), (1, 1));
    assert_eq!(added.of_resource("endpointslices"), 0);
    Ok(())
}

/// All network namespaces of the labs around this process.
fn namespaces() -> String {
    output("ip", &["netns", "list"])
}

/// The interfaces in the namespace of this process.
fn links() -> String {
    output("ip", &["-oneline", "link", "show"])
}

/// The command lines of all processes around this one.
fn processes() -> String {
    output("ps", &["-e", "-o", "args"])
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().expect("it runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
