//! What the status of a pool counts.

use lab::{Kind, Object, Result};
use serde_json::{Value, json};

use crate::world::scene;

/// Waits for these counts: capacity, assigned, free, reserved, cooling.
async fn counts(pool: &Object, family: &str, counts: [u64; 5]) -> Result<Value> {
    let [capacity, assigned, free, reserved, cooling] = counts;
    let wanted = json!({
        "capacity": capacity, "assigned": assigned, "free": free, "reserved": reserved, "cooling": cooling,
    });
    let what = format!("count {wanted} of {family}");
    pool.wait_until(&what, |object| object["status"][family] == wanted).await
}

#[test]
fn b7_the_status_of_a_pool_follows_what_is_given_and_released() -> Result<()> {
    scene("b7", async |scene| {
        let pool = scene.plain_pool(&[scene.range(10, 14), scene.range6(10, 13)]).await?;
        counts(&pool, "ipv4", [5, 0, 5, 0, 0]).await?;
        counts(&pool, "ipv6", [4, 0, 4, 0, 0]).await?;
        let single = scene.service("single").create().await?;
        let dual = scene.service("dual").dual_stack().create().await?;
        counts(&pool, "ipv4", [5, 2, 3, 0, 0]).await?;
        counts(&pool, "ipv6", [4, 1, 3, 0, 0]).await?;
        pool.patch(json!({ "spec": { "addresses": [scene.range(10, 19), scene.range6(10, 13)] } })).await?;
        let object = counts(&pool, "ipv4", [10, 2, 8, 0, 0]).await?;
        let generation = &object["metadata"]["generation"];
        assert_eq!(&object["status"]["observedGeneration"], generation);
        single.delete().await?;
        dual.patch(json!({ "spec": { "type": "ClusterIP", "allocateLoadBalancerNodePorts": null } })).await?;
        counts(&pool, "ipv4", [10, 0, 10, 0, 0]).await?;
        counts(&pool, "ipv6", [4, 0, 4, 0, 0]).await?;
        Ok(())
    })
}

#[test]
fn b7_a_status_that_somebody_edits_is_put_back() -> Result<()> {
    scene("b7-edit", async |scene| {
        let pool = scene.plain_pool(&[scene.range(10, 14)]).await?;
        counts(&pool, "ipv4", [5, 0, 5, 0, 0]).await?;
        pool.patch_status(json!({ "ipv4": { "assigned": 3, "free": 2 } })).await?;
        counts(&pool, "ipv4", [5, 0, 5, 0, 0]).await?;
        Ok(())
    })
}

#[test]
fn an_object_that_is_deleted_by_hand_comes_back_with_its_address() -> Result<()> {
    scene("by-hand", async |scene| {
        scene.plain_pool(&[scene.range(10, 19)]).await?;
        let service = scene.service("web").create().await?;
        let address = service.wait_address().await?;
        let object = scene.lab.object(Kind::Address, None, &address.to_string());
        let uid = object.get().await?["metadata"]["uid"].clone();
        object.delete().await?;
        object.wait_until("be made anew", |it| it["metadata"]["uid"] != uid).await?;
        assert_eq!(service.addresses().await?, [address]);
        Ok(())
    })
}

#[test]
fn conditions_say_when_a_pool_is_nearly_full_and_exhausted() -> Result<()> {
    scene("nearly-full", async |scene| {
        let pool = scene.plain_pool(&[scene.range(10, 19)]).await?;
        pool.wait_condition("NearlyFull", "False").await?;
        let creating = (0..9).map(|number| scene.service(&format!("web-{number}")).create());
        futures::future::try_join_all(creating).await?;
        pool.wait_condition("NearlyFull", "True").await?;
        pool.wait_condition("Exhausted", "False").await?;
        let last = scene.service("last").create().await?;
        pool.wait_condition("Exhausted", "True").await?;
        last.delete().await?;
        pool.wait_condition("Exhausted", "False").await?;
        Ok(())
    })
}
