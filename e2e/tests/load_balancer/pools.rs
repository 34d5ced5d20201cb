//! Which pool gives the address, and pools that change or go.

use kube::api::{Api, Patch, PatchParams};
use lab::{LoadBalancer, Result};
use serde_json::{Value, json};

use crate::world::{Scene, manager, objects_only, scene};

/// Waits for an address and says whether its last number is in this range.
async fn lies_between(scene: &Scene, service: &LoadBalancer, first: u8, last: u8) -> Result<()> {
    let address = service.wait_address().await?.to_string();
    assert!((first..=last).any(|host| scene.ipv4(host) == address), "{service} has {address}");
    Ok(())
}

/// Waits until a Service has the old and a new address, and then the new one alone, in this range.
async fn moves_to(scene: &Scene, service: &LoadBalancer, first: u8, last: u8) -> Result<()> {
    service.wait_addresses(2).await?;
    lies_between(scene, service, first, last).await
}

async fn label_namespace(scene: &Scene, labels: Value) -> Result<()> {
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(scene.lab.api());
    let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
    api.patch(&scene.namespace, &PatchParams::default(), &patch).await?;
    Ok(())
}

#[test]
fn b5_priority_decides_between_pools_for_a_service() -> Result<()> {
    scene("b5-priority", async |scene| {
        for (name, first, priority) in [
            ("later", 10, json!({ "priority": 20 })),
            ("first", 20, json!({ "priority": 10 })),
            ("last", 30, json!({})),
        ] {
            let range = scene.range(first, first);
            scene.pool(name, json!({ "addresses": [range], "serviceAllocation": priority })).await?;
        }
        // One address each: the next one comes when the one before is used up.
        for (name, first) in [("a", 20), ("b", 10), ("c", 30)] {
            scene.service(name).create().await?.wait_for_address(&scene.ipv4(first)).await?;
        }
        Ok(())
    })
}

#[test]
fn b5_equal_priorities_are_taken_by_name() -> Result<()> {
    scene("b5-ties", async |scene| {
        for (name, first) in [("c", 30), ("a", 10), ("b", 20)] {
            let range = scene.range(first, first);
            scene.pool(name, json!({ "addresses": [range], "serviceAllocation": { "priority": 5 } })).await?;
        }
        for (name, first) in [("one", 10), ("two", 20), ("three", 30)] {
            scene.service(name).create().await?.wait_for_address(&scene.ipv4(first)).await?;
        }
        Ok(())
    })
}

#[test]
fn b5_a_pool_is_chosen_by_the_labels_of_a_service() -> Result<()> {
    scene("b5-service", async |scene| {
        let tier = |value: &str| json!({ "serviceSelectors": [{ "matchLabels": { "tier": value } }] });
        scene
            .pool("front", json!({ "addresses": [scene.range(10, 19)], "serviceAllocation": tier("front") }))
            .await?;
        scene
            .pool("back", json!({ "addresses": [scene.range(20, 29)], "serviceAllocation": tier("back") }))
            .await?;
        let front = scene.service("front").label("tier", "front").create().await?;
        let back = scene.service("back").label("tier", "back").create().await?;
        lies_between(scene, &front, 10, 19).await?;
        lies_between(scene, &back, 20, 29).await?;
        let neither = scene.service("neither").create().await?;
        let condition = neither.wait_reason("NoPool").await?;
        assert_eq!(condition.status, "False");
        // Its labels change later.
        neither.patch(json!({ "metadata": { "labels": { "tier": "back" } } })).await?;
        lies_between(scene, &neither, 20, 29).await?;
        // One that has an address moves to the pool that is for it now, and has both meanwhile.
        front.patch(json!({ "metadata": { "labels": { "tier": "back" } } })).await?;
        moves_to(scene, &front, 20, 29).await
    })
}

#[test]
fn b5_a_pool_is_chosen_by_the_labels_of_a_namespace() -> Result<()> {
    scene("b5-namespace", async |scene| {
        let team = |value: &str| json!({ "namespaceSelectors": [{ "matchLabels": { "b5-team": value } }] });
        scene
            .pool("red", json!({ "addresses": [scene.range(10, 19)], "serviceAllocation": team("red") }))
            .await?;
        scene
            .pool("blue", json!({ "addresses": [scene.range(20, 29)], "serviceAllocation": team("blue") }))
            .await?;
        let both = json!({
            "namespaceSelectors": [{ "matchLabels": { "b5-team": "red" } }],
            "serviceSelectors": [{ "matchLabels": { "tier": "front" } }],
            "priority": 1,
        });
        scene.pool("both", json!({ "addresses": [scene.range(30, 39)], "serviceAllocation": both })).await?;
        let service = scene.service("web").create().await?;
        service.wait_reason("NoPool").await?;
        label_namespace(scene, json!({ "b5-team": "red" })).await?;
        lies_between(scene, &service, 10, 19).await?;
        let front = scene.service("front").label("tier", "front").create().await?;
        lies_between(scene, &front, 30, 39).await?;
        // The label changes: who has an address moves, and has both meanwhile.
        label_namespace(scene, json!({ "b5-team": "blue" })).await?;
        let later = scene.service("later").create().await?;
        lies_between(scene, &later, 20, 29).await?;
        futures::try_join!(moves_to(scene, &service, 20, 29), moves_to(scene, &front, 20, 29))?;
        // No pool is for it any more: nothing is taken away.
        label_namespace(scene, json!({ "b5-team": null })).await?;
        scene.service("nobody").create().await?.wait_reason("NoPool").await?;
        lies_between(scene, &service, 20, 29).await
    })
}

/// Pools for everybody, which only a lab of their own can have.
#[tokio::test]
async fn b5_pools_for_everybody_come_after_those_for_a_namespace_and_by_name() -> Result<()> {
    let lab = objects_only().start().await?;
    let _manager = manager(&lab).await?;
    let one = |host: u8| json!({ "addresses": [format!("203.0.113.{host}-203.0.113.{host}")] });
    lab.pool("b", one(2)).await?;
    lab.pool("a", one(1)).await?;
    let mut never = one(9);
    never["autoAssign"] = json!(false);
    lab.pool("0-never", never).await?;
    let mut only_priority = one(3);
    only_priority["serviceAllocation"] = json!({ "priority": 7 });
    lab.pool("z-only-priority", only_priority).await?;
    let mut pinned = one(4);
    pinned["serviceAllocation"] = json!({ "priority": 3, "namespaces": ["default"] });
    lab.pool("z-pinned", pinned).await?;
    for host in [4, 3, 1, 2] {
        let service = lab.load_balancer("default", &format!("web-{host}")).create().await?;
        service.wait_for_address(&format!("203.0.113.{host}")).await?;
    }
    let late = lab.load_balancer("default", "late").create().await?;
    late.wait_reason("PoolExhausted").await?;
    Ok(())
}

#[test]
fn b4_addresses_stay_when_their_pool_is_removed() -> Result<()> {
    scene("b4", async |scene| {
        let one =
            scene.pool("one", json!({ "addresses": [scene.range(10, 11)], "order": "Sequential" })).await?;
        let two =
            scene.pool("two", json!({ "addresses": [scene.range(20, 21)], "order": "Sequential" })).await?;
        let first = scene.service("first").create().await?;
        first.wait_for_address(&scene.ipv4(10)).await?;
        // One pool goes: the address stays, and new ones come from the other.
        one.delete().await?;
        let second = scene.service("second").create().await?;
        second.wait_for_address(&scene.ipv4(20)).await?;
        // All go: nothing is taken away, and who comes now waits.
        two.delete().await?;
        let third = scene.service("third").create().await?;
        third.wait_reason("NoPool").await?;
        assert_eq!(first.addresses().await?[0].to_string(), scene.ipv4(10));
        assert_eq!(second.addresses().await?[0].to_string(), scene.ipv4(20));
        // It comes back as a deployment tool brings it back: what is in use is not given to anybody else.
        scene.pool("one", json!({ "addresses": [scene.range(10, 11)], "order": "Sequential" })).await?;
        third.wait_for_address(&scene.ipv4(11)).await?;
        assert_eq!(first.addresses().await?[0].to_string(), scene.ipv4(10));
        Ok(())
    })
}

#[test]
fn an_exhausted_pool_is_enlarged_and_those_who_wait_are_served() -> Result<()> {
    scene("enlarged", async |scene| {
        let pool = scene.plain_pool(&[scene.range(10, 11)]).await?;
        let mut services = Vec::new();
        for number in 0..4 {
            services.push(scene.service(&format!("web-{number}")).create().await?);
        }
        let what = "two of four to wait and say why";
        let waiting = async || {
            let mut waiting = Vec::new();
            for service in &services {
                if service.condition().await?.is_some_and(|it| it.reason == "PoolExhausted") {
                    waiting.push(service.clone());
                }
            }
            if waiting.len() == 2 { Ok(waiting) } else { Err(format!("{waiting:?}").into()) }
        };
        let waiting = scene.lab.wait_until(what, crate::world::PATIENCE, waiting).await?;
        pool.wait_condition("Exhausted", "True").await?;
        pool.patch(json!({ "spec": { "addresses": [scene.range(10, 13)] } })).await?;
        for service in &waiting {
            service.wait_address().await?;
            assert_eq!(service.wait_reason("Assigned").await?.status, "True");
        }
        Ok(())
    })
}

#[test]
fn what_cannot_be_used_of_a_pool_is_said_and_the_rest_works() -> Result<()> {
    scene("accepted", async |scene| {
        let good = scene.pool("good", json!({ "addresses": [scene.range(10, 11)] })).await?;
        good.wait_condition("Accepted", "True").await?;
        // Overlaps the older pool (of the same second the first by name), and lies in the range of ClusterIPs.
        let parts = json!([scene.range(11, 12), "10.96.200.0/28", scene.range(20, 20)]);
        let later = scene.pool("later", json!({ "addresses": parts, "autoAssign": false })).await?;
        let message = later.wait_condition("Accepted", "False").await?.message;
        for part in [scene.range(11, 12), "10.96.200.0/28".to_owned(), scene.pool_name("good")] {
            assert!(message.contains(&part), "{part} is not in {message:?}");
        }
        let service = scene.service("web").annotation("fairlead.dev/pool", &scene.pool_name("later"));
        service.create().await?.wait_for_address(&scene.ipv4(20)).await?;
        // The older one goes, and its addresses can be used.
        good.delete().await?;
        let late = scene.service("late").annotation("fairlead.dev/addresses", &scene.ipv4(12));
        late.create().await?.wait_for_address(&scene.ipv4(12)).await
    })
}

#[test]
fn edges_exclusions_and_addresses_of_nodes_are_never_given() -> Result<()> {
    scene("edges", async |scene| {
        let node = scene.lab.nodes()[0].host().ipv4().to_string();
        let spec = json!({
            // Four addresses, of which network and broadcast are left out, and a node's address with one beside it.
            "addresses": [format!("{}/30", scene.ipv4(8)), "198.51.100.11-198.51.100.12", scene.range(20, 22)],
            "exclude": [scene.range(21, 22)],
        });
        let pool = scene.pool("pool", spec).await?;
        let accepted = pool.wait_condition("Accepted", "True").await?;
        assert!(accepted.message.contains(&node), "{}", accepted.message);
        let capacity = |object: &Value| object["status"]["ipv4"]["capacity"] == 4;
        pool.wait_until("have four addresses", capacity).await?;
        let mut given = Vec::new();
        for name in ["a", "b", "c", "d"] {
            given.push(scene.service(name).create().await?.wait_address().await?.to_string());
        }
        given.sort();
        let mut expected = [scene.ipv4(9), scene.ipv4(10), scene.ipv4(20), "198.51.100.12".to_owned()];
        expected.sort();
        assert_eq!(given, expected);
        scene.service("e").create().await?.wait_reason("PoolExhausted").await?;
        Ok(())
    })
}

#[test]
fn the_same_service_gets_the_same_address_wherever_it_is_created() -> Result<()> {
    scene("same", async |scene| {
        scene.plain_pool(&[scene.range(10, 200)]).await?;
        let first = scene.service("web").create().await?;
        let address = first.wait_address().await?;
        first.delete().await?;
        scene.wait_assigned(&address.to_string(), false).await?;
        // Others come meanwhile, at places of their own.
        for number in 0..5 {
            scene.service(&format!("other-{number}")).create().await?.wait_address().await?;
        }
        let taken = scene.assigned().await?.iter().any(|it| it.address == address);
        let again = scene.service("web").create().await?.wait_address().await?;
        assert!(taken || again == address, "{again}, before {address}");
        Ok(())
    })
}
