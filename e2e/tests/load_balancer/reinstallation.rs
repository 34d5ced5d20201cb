//! Objects and kinds that are deleted and come back, and Services that come back from a backup.

use std::net::IpAddr;

use lab::{Kind, Lab, LoadBalancer, Result};
use serde_json::{Value, json};

use crate::judge::{self, Subjects};
use crate::observer::Observer;
use crate::world::{manager, objects_only};

const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/crd");
const POOL: &str = "public";

fn pool() -> Value {
    json!({ "addresses": ["203.0.113.0/26", "2001:db8:f::/64"] })
}

/// Services with addresses of every kind: one family and two, shared, wished for, reserved.
async fn a_bit_of_everything(lab: &Lab) -> Result<Vec<(LoadBalancer, Vec<IpAddr>)>> {
    lab.pool(POOL, pool()).await?;
    reserve(lab).await?;
    let service = |name: &str| lab.load_balancer("default", name);
    let shared =
        |name: &str, port: u16| service(name).annotation("fairlead.dev/sharing-key", "key").port(port);
    let mut builders = vec![
        service("reserved"),
        service("wished").annotation("fairlead.dev/addresses", "203.0.113.40"),
        service("field").spec(json!({ "loadBalancerIP": "203.0.113.41" })),
        shared("shared-1", 81),
        shared("shared-2", 82),
    ];
    builders.extend((0..8).map(|number| service(&format!("single-{number}"))));
    builders.extend((0..4).map(|number| service(&format!("dual-{number}")).dual_stack()));
    let mut services = Vec::new();
    for builder in builders {
        services.push(builder.create().await?);
    }
    let mut all = Vec::new();
    for service in services {
        let count = if service.name().starts_with("dual") { 2 } else { 1 };
        let addresses = service.wait_addresses(count).await?;
        all.push((service, addresses));
    }
    judge::settled(lab, &Subjects::all()).await?;
    Ok(all)
}

async fn reserve(lab: &Lab) -> Result<()> {
    let spec =
        json!({ "service": { "name": "reserved" }, "loadBalancer": { "addresses": ["203.0.113.50"] } });
    lab.reservation("default", "kept", spec).await.map(drop)
}

/// Deletes the kinds, with all of their objects, and installs them anew, with none.
async fn reinstall(lab: &Lab) -> Result<()> {
    lab.kubectl(&["delete", "-k", CRDS, "--wait=true"]).await?;
    lab.kubectl(&["apply", "-k", CRDS]).await?;
    let kinds = [Kind::Pool, Kind::Address, Kind::Announcement, Kind::Reservation];
    let names = kinds.map(|kind| format!("crd/{}.fairlead.dev", kind.plural()));
    let mut args = vec!["wait", "--for=condition=Established", "--timeout=30s"];
    args.extend(names.iter().map(String::as_str));
    lab.kubectl(&args).await?;
    assert_eq!(lab.list_objects(Kind::Address).await?, Vec::<Value>::new());
    lab.pool(POOL, pool()).await?;
    reserve(lab).await
}

async fn all_keep_theirs(lab: &Lab, services: &[(LoadBalancer, Vec<IpAddr>)]) -> Result<()> {
    judge::settled(lab, &Subjects::all()).await?;
    for (service, addresses) in services {
        assert_eq!(service.addresses().await?, *addresses, "{service}");
    }
    // One that comes now is given what nobody has.
    let late = lab.load_balancer("default", "late").create().await?;
    let address = late.wait_address().await?;
    assert!(!services.iter().any(|(_, addresses)| addresses.contains(&address)), "{address}");
    late.delete().await?;
    judge::settled(lab, &Subjects::all()).await
}

async fn delete_all_addresses(lab: &Lab) -> Result<()> {
    lab.kubectl(&["delete", "loadbalanceraddresses", "--all"]).await.map(drop)
}

/// The drill: all objects of addresses deleted, the kinds reinstalled, the manager down meanwhile. Then each of them
/// while it runs.
#[tokio::test]
async fn every_service_keeps_its_address_when_objects_and_kinds_are_deleted() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = manager(&lab).await?;
    let services = a_bit_of_everything(&lab).await?;
    let observer = Observer::start_with_sharers(&lab, &["default/shared-1", "default/shared-2"]);

    manager.stop().await?;
    delete_all_addresses(&lab).await?;
    manager.restart().await?;
    all_keep_theirs(&lab, &services).await?;

    manager.kill().await?;
    reinstall(&lab).await?;
    manager.restart().await?;
    all_keep_theirs(&lab, &services).await?;

    delete_all_addresses(&lab).await?;
    all_keep_theirs(&lab, &services).await?;

    reinstall(&lab).await?;
    all_keep_theirs(&lab, &services).await?;
    observer.check();
    Ok(())
}

/// A backup restores Services with new UIDs and, as some tools do, their status; with the objects of their addresses
/// still there, which name Services that are gone, or without them.
#[tokio::test]
async fn services_that_are_restored_from_a_backup_keep_their_addresses() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = manager(&lab).await?;
    let services = a_bit_of_everything(&lab).await?;
    for with_objects in [true, false] {
        manager.stop().await?;
        if !with_objects {
            delete_all_addresses(&lab).await?;
        }
        restore(&lab, &services).await?;
        manager.restart().await?;
        all_keep_theirs(&lab, &services).await?;
    }
    Ok(())
}

/// Deletes the Services and creates them anew with what they had in spec and status.
async fn restore(lab: &Lab, services: &[(LoadBalancer, Vec<IpAddr>)]) -> Result<()> {
    for (service, addresses) in services {
        let old = json!(service.get().await?);
        service.delete().await?;
        let mut spec = old["spec"].clone();
        for field in ["clusterIP", "clusterIPs", "healthCheckNodePort"] {
            spec[field] = Value::Null;
        }
        let metadata = json!({
            "name": service.name(),
            "annotations": old["metadata"]["annotations"],
            "labels": old["metadata"]["labels"],
        });
        let object = json!({ "metadata": metadata, "spec": spec });
        lab.create::<k8s_openapi::api::core::v1::Service>("default", object).await?;
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        service.set_addresses(&addresses.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    }
    Ok(())
}
