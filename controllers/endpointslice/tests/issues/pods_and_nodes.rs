//! Changes of Pods and Nodes that upstream sees late or never.

use std::time::Duration;

use fairlead_fake_api::{NODES, PODS, SERVICES, Weather};
use serde_json::json;

use crate::world::{NAMESPACE, SOON, World, put_node};

/// Upstream compares neither phase nor anything else that changes when a Pod fails that never was ready: it stays until
/// something else happens to the Service. Also 46776: finished Pods of a Job do not pile up.
#[tokio::test(start_paused = true)]
async fn gap_phase_only_change_takes_the_endpoint_away() {
    for phase in ["Failed", "Succeeded"] {
        let world = World::with_pods(0).await;
        world.put_pod(0, false);
        world.until("endpoint that is not ready", SOON, |it| it.published() == ["web-0:-"]).await;
        world.edit_pod(0, |pod| pod["status"]["phase"] = phase.into());
        world.until(&format!("end of a {phase} Pod"), SOON, |it| it.published().is_empty()).await;
    }
}

/// Also 107927. Upstream looks again with the next sync of the Service, which an error brings about for some minutes
/// only.
#[tokio::test(start_paused = true)]
async fn gap_node_appearing_after_the_pod_makes_it_an_endpoint() {
    let world = World::new(1, Weather::default()).await;
    world.put_service("web");
    world.put_pod(0, true);
    world.put_pod(1, true);
    world.edit_pod(1, |pod| pod["spec"]["nodeName"] = "node-2".into());
    world.until("Pod whose Node exists", SOON, |it| it.published() == ["web-0:r"]).await;
    // Longer than errors are retried.
    tokio::time::sleep(Duration::from_mins(5)).await;
    put_node(&world.api, "node-2", Some("zone-b"));
    world.until("other Pod", SOON, |it| it.published() == ["web-0:r", "web-1:r"]).await;
}

/// Upstream sees it with the next sync, at once or in a day. A Node that is registered anew must not cost its endpoints.
#[tokio::test(start_paused = true)]
async fn gap_node_that_is_gone_leaves_its_pods_a_minute() {
    let world = World::with_pods(1).await;
    let node = || world.api.delete(&NODES, "", "node-1");
    node();
    tokio::time::sleep(Duration::from_secs(50)).await;
    put_node(&world.api, "node-1", Some("zone-a"));
    tokio::time::sleep(Duration::from_mins(3)).await;
    assert_eq!(world.published(), ["web-0:r"]);
    node();
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(world.published(), ["web-0:r"]);
    world.until("end of its endpoint", SOON, |it| it.published().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn gap_node_zone_change_reaches_the_endpoints() {
    let world = World::with_pods(2).await;
    let zones = |it: &World| -> Vec<String> {
        let slices = it.slices();
        let endpoints = slices.iter().flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        endpoints.map(|endpoint| endpoint["zone"].as_str().unwrap_or("-").to_owned()).collect()
    };
    assert_eq!(zones(&world), ["zone-a", "zone-a"]);
    for zone in ["zone-b", "zone-c"] {
        world.api.edit(&NODES, "", "node-1", |node| {
            node["metadata"]["labels"]["topology.kubernetes.io/zone"] = zone.into();
        });
        world.until(zone, SOON, |it| zones(it) == [zone, zone]).await;
    }
    assert!(world.api.get(&PODS, NAMESPACE, "web-0").is_some());
}

/// A Service of type LoadBalancer is written whenever its address changes, and Nodes get addresses while they register.
#[tokio::test(start_paused = true)]
async fn what_is_said_about_load_balancers_and_addresses_of_nodes_costs_nothing() {
    let world = World::with_pods(2).await;
    let rounds = || world.process.metric("workqueue_adds_total{name=\"endpoint_slice\"}");
    let before = rounds();
    for number in 0..5 {
        let address = format!("198.51.100.{number}");
        world.api.edit(&SERVICES, NAMESPACE, "web", |it| {
            it["spec"]["type"] = "LoadBalancer".into();
            it["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": address }] } });
        });
        world.api.edit(&NODES, "", "node-1", |it| {
            it["status"]["addresses"] = json!([{ "type": "InternalIP", "address": address }]);
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(rounds(), before);
    assert_eq!(world.published(), ["web-0:r", "web-1:r"]);
}
