//! Beside MetalLB, and after it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};
use lab::{Lab, LoadBalancer, Manager, Result};
use serde_json::{Value, json};

use crate::judge::{self, Subjects};
use crate::observer::Observer;
use crate::world::{PATIENCE, all_addresses, manager, objects_only, services, stays_without_address};

/// Written by MetalLB on each Service that it has given an address to.
const MARK: &str = "metallb.io/ip-allocated-from-pool";

/// What shows that MetalLB is installed: its group in the API, and the Deployment of its controller.
async fn pretend_metallb(lab: &Lab) -> Result<()> {
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let kind = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "ipaddresspools.metallb.io" },
        "spec": {
            "group": "metallb.io",
            "scope": "Namespaced",
            "names": { "kind": "IPAddressPool", "plural": "ipaddresspools" },
            "versions": [{ "name": "v1beta1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } }],
        },
    });
    lab.kubectl_with_input(&["apply", "-f", "-"], &kind.to_string()).await?;
    let name = "crd/ipaddresspools.metallb.io";
    lab.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", name]).await?;
    lab.metallb_deployment().await
}

/// What the manager says of its rival.
async fn reported(lab: &Lab, manager: &Manager) -> Result<()> {
    lab.wait_until("the manager to report MetalLB", PATIENCE, async || {
        let metric = manager.metrics().await?.sum("fairlead_loadbalancer_rival", &[]);
        let checks = manager.admin("/readyz?verbose").await?.body;
        if metric > 0.0 && checks.contains("MetalLB") {
            Ok(())
        } else {
            Err(format!("metric {metric}; {checks}").into())
        }
    })
    .await?;
    let api: Api<Event> = Api::all(lab.api());
    lab.wait_until("an event about MetalLB", PATIENCE, async || {
        let events = api.list(&ListParams::default()).await?.items;
        let about = |it: &&Event| it.message.as_ref().is_some_and(|message| message.contains("MetalLB"));
        match events.iter().filter(about).count() {
            1 => Ok(()),
            count => Err(format!("{count} events").into()),
        }
    })
    .await
}

fn assigned_by_metallb(lab: &Lab, name: &str) -> lab::LoadBalancerBuilder {
    lab.load_balancer("default", name).annotation(MARK, "theirs")
}

#[tokio::test]
async fn while_metallb_runs_its_services_are_left_to_it_and_afterwards_adopted() -> Result<()> {
    let lab = objects_only().audit().start().await?;
    lab.apply_crds().await?;
    pretend_metallb(&lab).await?;
    lab.pool("pool", json!({ "addresses": ["203.0.113.0/28"] })).await?;
    let theirs = assigned_by_metallb(&lab, "theirs").create().await?;
    theirs.set_addresses(&["203.0.113.7"]).await?;
    let manager = manager(&lab).await?;
    reported(&lab, &manager).await?;
    // Whoever names no class is MetalLB's; our class is ours all the same.
    let waiting = lab.load_balancer("default", "waiting").create().await?;
    let class = json!({ "loadBalancerClass": "fairlead.dev/layer2" });
    let ours = lab.load_balancer("default", "ours").spec(class).create().await?;
    let address = ours.wait_address().await?;
    assert_ne!(address.to_string(), "203.0.113.7");
    stays_without_address(&waiting).await?;
    for service in [&theirs, &waiting] {
        assert_eq!(service.condition().await?, None, "{service}");
    }
    let writes = lab.audited_writes()?;
    let touched = writes.iter().filter(|it| {
        it.user.ends_with(":fairlead-manager") && it.resource.starts_with("services") && it.name != "ours"
    });
    assert_eq!(touched.collect::<Vec<_>>(), Vec::<&lab::AuditedWrite>::new());
    // MetalLB is taken away. A manager that starts sees that at once.
    lab.set_metallb_available(false).await?;
    manager.stop().await?;
    manager.restart().await?;
    waiting.wait_address().await?;
    theirs.wait_reason("Assigned").await?;
    theirs.wait_for_address("203.0.113.7").await?;
    assert_eq!(ours.addresses().await?, [address]);
    judge::settled(&lab, &Subjects::all()).await
}

/// With MetalLB's own controller. `make drill-loadbalancer` builds that and sets `FAIRLEAD_METALLB`.
#[tokio::test]
#[ignore = "needs MetalLB's controller: make drill-loadbalancer"]
async fn a_cluster_goes_from_metallb_to_fairlead_and_every_service_keeps_its_address() -> Result<()> {
    let lab = objects_only().start().await?;
    let metallb = lab.metallb().await?;
    lab.metallb_pool("theirs", &["203.0.113.0/26"]).await?;
    let before = services(&lab, "before", 10).await?;
    let addresses = all_addresses(&before).await?;
    let observer = Observer::start(&lab);

    // Both run, and both have the same addresses to give.
    let manager = manager(&lab).await?;
    lab.pool("public", json!({ "addresses": ["203.0.113.0/26"] })).await?;
    reported(&lab, &manager).await?;
    let meanwhile = services(&lab, "meanwhile", 10).await?;
    let newer = all_addresses(&meanwhile).await?;
    let marked = async |service: &LoadBalancer| -> Result<bool> {
        let object: Value = json!(service.get().await?);
        Ok(object["metadata"]["annotations"][MARK] == "theirs")
    };
    for service in before.iter().chain(&meanwhile) {
        assert!(marked(service).await?, "{service}");
        assert_eq!(service.condition().await?, None, "{service}");
    }
    assert_eq!(lab.assigned_addresses().await?, []);

    // MetalLB ends. Fairlead asks every 30 s whether it still runs.
    metallb.process().kill().await?;
    lab.set_metallb_available(false).await?;
    lab.wait_until("all to be adopted", Duration::from_mins(2), async || {
        let assigned = lab.assigned_addresses().await?.len();
        if assigned == 20 { Ok(()) } else { Err(format!("{assigned} of 20").into()) }
    })
    .await?;
    judge::settled(&lab, &Subjects::all()).await?;
    assert_eq!(all_addresses(&before).await?, addresses);
    assert_eq!(all_addresses(&meanwhile).await?, newer);
    let late = lab.load_balancer("default", "late").create().await?.wait_address().await?;
    assert!(!addresses.contains(&late) && !newer.contains(&late), "{late}");
    observer.check();
    Ok(())
}
