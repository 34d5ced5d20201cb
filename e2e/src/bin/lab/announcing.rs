//! The show's third act: a client outside of the cluster uses the address of a Service, and the node that answers for it
//! loses its power meanwhile.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use lab::{Kind, Lab, Result, ready_condition};
use serde_json::json;

use crate::demo::{heading, kubectl, milliseconds};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the client asks before the power goes, and after it.
const BEFORE: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_secs(3);

/// Runs it from start to end.
pub(crate) async fn show(lab: &Lab) -> Result<()> {
    heading(
        "A Service of type LoadBalancer: an address, a node that answers for it, and a client that uses it",
    );
    println!("$ kubectl create service loadbalancer front --tcp=80:8080\n");
    let ports = json!([{ "name": "main", "port": 80, "targetPort": 8080 }]);
    let created = Instant::now();
    let service = lab.load_balancer("default", "front").spec(json!({ "ports": ports })).create().await?;
    let address = service.wait_address().await?;
    println!("It had its address {address} {} after it was sent.\n", milliseconds(created));
    let object = lab.object(Kind::Address, None, &address.to_string().replace(':', "-"));
    let named = object.wait_until("name a node", |object| object["status"]["node"].is_string()).await?;
    let owner = named["status"]["node"].as_str().unwrap_or_default().to_owned();
    let service = service.wait_until("say who answers", |service| {
        ready_condition(service).is_some_and(|condition| condition.message.contains(&owner))
    });
    let said = ready_condition(&service.await?).map(|condition| condition.message).unwrap_or_default();
    println!("The Service says: {said}\n");
    kubectl(lab, &["get", "lba", object.name(), "-o", "wide"]).await?;

    // Pods on the other nodes: those on a node without power would be missed for as long as Kubernetes takes to notice.
    let others: Vec<_> = lab.nodes().iter().filter(|node| node.name() != owner).collect();
    for (number, node) in others.iter().enumerate() {
        let pod = lab.pod("default", &format!("front-{number}")).label("app", "front").on(node.name());
        pod.port("http", 8080).start().await?;
    }
    if others.is_empty() {
        println!("With a single node there is nobody to take over; `--nodes 3` shows how that goes.\n");
        return Ok(());
    }
    let answer = lab
        .wait_until(format!("an answer from {address}"), PATIENCE, async || {
            Ok(lab.client().get(address, 80).await?)
        })
        .await?;
    println!("$ curl http://{address}          # from the client\n{}\n", answer.pod);
    power_off(lab, address, &owner).await
}

/// Takes the power from the node that answers, while the client asks every 10 ms, and says what it missed.
async fn power_off(lab: &Lab, address: IpAddr, owner: &str) -> Result<()> {
    heading("The node that answers loses its power, while the client begins a request every 10 ms");
    let node = lab.node(owner)?;
    let observer = lab.observer("observer").await?;
    let census = observer.census(&[address])?;
    let requests = lab.client().requests(SocketAddr::new(address, 80))?;
    tokio::time::sleep(BEFORE).await;
    println!("{owner} is without power now: its cable is dead, and all of its processes are killed.");
    lab.power_off(node).await?;
    tokio::time::sleep(AFTER).await;
    let (tally, record) = (requests.end().await?, census.end()?);
    let outage = tally.outage().unwrap_or(BEFORE + AFTER);
    println!(
        "The client missed answers for {:.0} ms: {} of {} requests failed.",
        outage.as_secs_f64() * 1000.0,
        tally.failed(),
        tally.requests.len()
    );
    println!("Two nodes answered at once for {} ms.\n", record.contested(address).as_millis());
    let object = lab.object(Kind::Address, None, &address.to_string().replace(':', "-"));
    object.wait_until("name another node", |object| object["status"]["node"] != owner).await?;
    kubectl(lab, &["get", "lba", object.name(), "-o", "wide"]).await?;
    lab.power_on(node)?;
    println!("{owner} has its power back. It takes nothing away from the node that answers now.\n");
    Ok(())
}
