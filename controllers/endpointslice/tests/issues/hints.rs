//! Topology-aware hints that come back.

use fairlead_fake_api::{NODES, SERVICES};
use serde_json::{Value, json};

use crate::world::{NAMESPACE, SOON, World, put_node};

/// Also 117245, 114215, 101525. A Node without a zone takes the hints of all Services away, as upstream does it; when it
/// gets its zone or goes, they come back without any change of the Service, its Pods or the Nodes of its Pods.
#[tokio::test(start_paused = true)]
async fn issue_123401_hints_come_back_when_the_nodes_make_them_possible() {
    let world = World::with_pods(0).await;
    put_node(&world.api, "node-2", Some("zone-b"));
    world.api.edit(&SERVICES, NAMESPACE, "web", |service| {
        service["metadata"]["annotations"] = json!({"service.kubernetes.io/topology-mode": "Auto"});
    });
    for (number, node) in ["node-1", "node-2"].into_iter().cycle().take(6).enumerate() {
        world.put_pod(number, true);
        world.edit_pod(number, |pod| pod["spec"]["nodeName"] = node.into());
    }
    let hinted = |it: &World| -> usize {
        let slices = it.slices();
        let endpoints = slices.iter().flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        endpoints.filter(|endpoint| endpoint["hints"]["forZones"] != Value::Null).count()
    };
    world.until("hints", SOON, |it| hinted(it) == 6).await;
    put_node(&world.api, "bare", None);
    // A Service is looked at for it with its next change only: hints that are there do no harm.
    world.put_pod(6, true);
    world.until("hints gone", SOON, |it| hinted(it) == 0 && it.published().len() == 7).await;
    world.edit_pod(6, |pod| pod["metadata"]["labels"]["app"] = "else".into());
    world.until("six Pods", SOON, |it| it.published().len() == 6).await;
    tokio::time::sleep(SOON).await;
    assert_eq!(hinted(&world), 0);

    world.api.edit(&NODES, "", "bare", |node| {
        node["metadata"]["labels"]["topology.kubernetes.io/zone"] = "zone-a".into();
    });
    world.until("hints again", SOON, |it| hinted(it) == 6).await;
}
