//! The show's second act: addresses for Services of type LoadBalancer, and the words that those get who have to wait.

use std::time::Instant;

use lab::{Lab, LoadBalancer, Result};

use crate::demo::{heading, kubectl, milliseconds};

/// One row per Service: its addresses, and why they are what they are.
const COLUMNS: &str = "custom-columns=NAME:.metadata.name,ADDRESSES:.status.loadBalancer.ingress[*].ip,\
    REASON:.status.conditions[?(@.type==\"fairlead.dev/LoadBalancerReady\")].reason,\
    MESSAGE:.status.conditions[?(@.type==\"fairlead.dev/LoadBalancerReady\")].message";

const POOL: &str = "apiVersion: fairlead.dev/v1alpha1
kind: LoadBalancerPool
metadata:
  name: public
spec:
  addresses:
    - 198.51.100.64-198.51.100.67
    - 2001:db8:1::64-2001:db8:1::67
";

/// For the Service `entrance`.
fn reservation_of(address: &str) -> String {
    format!(
        "apiVersion: fairlead.dev/v1alpha1
kind: ServiceReservation
metadata:
  name: entrance
spec:
  service:
    name: entrance
  loadBalancer:
    addresses: [{address}]
"
    )
}

/// Runs it from start to end.
pub(crate) async fn show(lab: &Lab) -> Result<()> {
    heading("A Service of type LoadBalancer, while there is no pool of addresses");
    let shop = service(lab, "shop", "").await?;
    shop.wait_reason("NoPool").await?;
    kubectl(lab, &["get", "service", "shop"]).await?;
    why(lab, &["shop"]).await?;

    heading("A pool: the Service gets an address");
    let sent = Instant::now();
    apply(lab, POOL).await?;
    let address = shop.wait_address().await?;
    println!("The Service had its address {} after kubectl was started.\n", milliseconds(sent));
    kubectl(lab, &["get", "service", "shop"]).await?;
    kubectl(lab, &["get", "lba,loadbalancerpools", "-o", "wide"]).await?;

    heading(
        "Services that ask for an address outside of the pool, for one that is taken, and for an unknown pool",
    );
    impossible(lab, &shop, &address.to_string()).await?;

    heading("A reservation: its address is for one Service, also when that is deleted and created again");
    let free = if address.to_string() == "198.51.100.65" { "198.51.100.64" } else { "198.51.100.65" };
    reservation(lab, free).await?;

    heading("The pool is used up, and then enlarged");
    exhaustion(lab).await
}

async fn impossible(lab: &Lab, shop: &LoadBalancer, taken: &str) -> Result<()> {
    let wish = |address: &str| format!("fairlead.dev/addresses={address}");
    let wishes = [
        ("foreign", wish("203.0.113.9"), "AddressNotInPool"),
        ("taken", wish(taken), "AddressInUse"),
        ("unknown", "fairlead.dev/pool=gold".to_owned(), "NoPool"),
    ];
    for (name, wish, reason) in &wishes {
        service(lab, name, wish).await?.wait_reason(reason).await?;
    }
    println!("One that has an address keeps it:\n");
    kubectl(lab, &["annotate", "service", "shop", "fairlead.dev/pool=gold"]).await?;
    shop.wait_reason("NoPool").await?;
    why(lab, &["foreign", "taken", "unknown", "shop"]).await?;
    kubectl(lab, &["annotate", "service", "shop", "fairlead.dev/pool-"]).await?;
    shop.wait_reason("Announced").await?;
    kubectl(lab, &["delete", "service", "foreign", "taken", "unknown"]).await
}

async fn reservation(lab: &Lab, address: &str) -> Result<()> {
    apply(lab, &reservation_of(address)).await?;
    let held = lab.object(lab::Kind::Reservation, Some("default"), "entrance");
    held.wait_until("wait", |object| object["status"]["phase"] == "Waiting").await?;
    let thief = service(lab, "thief", &format!("fairlead.dev/addresses={address}")).await?;
    thief.wait_reason("NotPermitted").await?;
    let entrance = service(lab, "entrance", "").await?;
    entrance.wait_for_address(address).await?;
    why(lab, &["thief", "entrance"]).await?;
    kubectl(lab, &["delete", "service", "entrance"]).await?;
    held.wait_until("wait", |object| object["status"]["phase"] == "Waiting").await?;
    kubectl(lab, &["get", "servicereservations"]).await?;
    service(lab, "entrance", "").await?.wait_for_address(address).await?;
    kubectl(lab, &["get", "service", "entrance"]).await?;
    kubectl(lab, &["delete", "service", "thief"]).await
}

async fn exhaustion(lab: &Lab) -> Result<()> {
    let mut services = Vec::new();
    for name in ["one", "two", "three"] {
        services.push(service(lab, name, "").await?);
    }
    let pool = lab.object(lab::Kind::Pool, None, "public");
    pool.wait_condition("Exhausted", "True").await?;
    services[2].wait_reason("PoolExhausted").await?;
    why(lab, &["one", "two", "three"]).await?;
    kubectl(lab, &["get", "loadbalancerpools"]).await?;
    let larger = r#"{"spec":{"addresses":["198.51.100.64-198.51.100.79","2001:db8:1::64-2001:db8:1::67"]}}"#;
    let sent = Instant::now();
    kubectl(lab, &["patch", "loadbalancerpool", "public", "--type=merge", "-p", larger]).await?;
    services[2].wait_address().await?;
    println!("The Service had its address {} after kubectl was started.\n", milliseconds(sent));
    pool.wait_condition("Exhausted", "False").await?;
    why(lab, &["three"]).await?;
    kubectl(lab, &["get", "lba,loadbalancerpools", "-o", "wide"]).await
}

/// Creates a Service in front of the Pods of the first act, with an annotation if there is one, and says how a person
/// would.
async fn service(lab: &Lab, name: &str, annotation: &str) -> Result<LoadBalancer> {
    println!("$ kubectl create service loadbalancer {name} --tcp=80");
    let mut builder = lab.load_balancer("default", name);
    if let Some((key, value)) = annotation.split_once('=') {
        println!("$ kubectl annotate service {name} {annotation}");
        builder = builder.annotation(key, value);
    }
    println!();
    builder.create().await
}

/// What users of Services are told.
async fn why(lab: &Lab, services: &[&str]) -> Result<()> {
    let args: Vec<_> = ["get", "services"].iter().chain(services).chain(&["-o", COLUMNS]).copied().collect();
    println!(
        "$ kubectl get services {} -o custom-columns=...\n{}",
        services.join(" "),
        lab.kubectl(&args).await?
    );
    Ok(())
}

async fn apply(lab: &Lab, manifest: &str) -> Result<()> {
    println!("$ kubectl apply -f - <<END\n{manifest}END");
    println!("{}", lab.kubectl_with_input(&["apply", "-f", "-"], manifest).await?);
    Ok(())
}
