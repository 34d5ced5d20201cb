//! One and two families of addresses.

use std::net::IpAddr;

use lab::{LoadBalancer, Result};
use serde_json::json;

use crate::world::{A_WHILE, scene, stays_without_address};

fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

async fn changes_nothing(service: &LoadBalancer, addresses: &[IpAddr]) -> Result<()> {
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(service.addresses().await?, addresses, "{service}");
    Ok(())
}

#[test]
fn b6_a_pool_with_both_families_is_chosen_before_pools_with_one() -> Result<()> {
    scene("b6-dual-pool", async |scene| {
        scene.pool("a-ipv4", json!({ "addresses": [scene.range(10, 19)] })).await?;
        scene.pool("b-ipv6", json!({ "addresses": [scene.range6(10, 19)] })).await?;
        scene.pool("c-both", json!({ "addresses": [scene.range(20, 20), scene.range6(20, 20)] })).await?;
        let service =
            scene.service("web").spec(json!({ "ipFamilyPolicy": "PreferDualStack" })).create().await?;
        let addresses = texts(&service.wait_addresses(2).await?);
        assert_eq!(addresses, [scene.ipv4(20), scene.ipv6(20)]);
        Ok(())
    })
}

#[test]
fn both_families_are_given_from_different_pools_where_none_has_both() -> Result<()> {
    scene("two-pools", async |scene| {
        scene.pool("ipv4", json!({ "addresses": [scene.range(10, 10)] })).await?;
        scene.pool("ipv6", json!({ "addresses": [scene.range6(10, 10)] })).await?;
        let service = scene.service("web").dual_stack().create().await?;
        assert_eq!(texts(&service.wait_addresses(2).await?), [scene.ipv4(10), scene.ipv6(10)]);
        let message = service.wait_reason("Assigned").await?.message;
        for pool in ["ipv4", "ipv6"] {
            assert!(message.contains(&scene.pool_name(pool)), "{message}");
        }
        Ok(())
    })
}

#[test]
fn b6_the_first_family_of_a_service_comes_first() -> Result<()> {
    scene("b6-order", async |scene| {
        scene.plain_pool(&[scene.range(10, 19), scene.range6(10, 19)]).await?;
        let spec = json!({ "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"] });
        let service = scene.service("web").spec(spec).create().await?;
        let addresses = service.wait_addresses(2).await?;
        assert!(addresses[0].is_ipv6() && addresses[1].is_ipv4(), "{addresses:?}");
        Ok(())
    })
}

#[test]
fn b6_a_service_that_prefers_two_families_takes_one_and_later_the_other() -> Result<()> {
    scene("b6-later", async |scene| {
        scene.pool("ipv4", json!({ "addresses": [scene.range(10, 19)] })).await?;
        let service =
            scene.service("web").spec(json!({ "ipFamilyPolicy": "PreferDualStack" })).create().await?;
        let first = service.wait_address().await?;
        assert!(first.is_ipv4());
        scene.pool("ipv6", json!({ "addresses": [scene.range6(10, 19)] })).await?;
        let both = service.wait_addresses(2).await?;
        assert_eq!(both[0], first);
        // A pool that would suit better is no reason to move.
        scene.pool("0-both", json!({ "addresses": [scene.range(30, 39), scene.range6(30, 39)] })).await?;
        changes_nothing(&service, &both).await
    })
}

#[test]
fn b6_a_service_that_requires_two_families_gets_both_or_none() -> Result<()> {
    scene("b6-require", async |scene| {
        scene.pool("ipv4", json!({ "addresses": [scene.range(10, 19)] })).await?;
        let service = scene.service("web").dual_stack().create().await?;
        let condition = service.wait_reason("NoPool").await?;
        assert!(condition.message.contains("IPv6"), "{}", condition.message);
        stays_without_address(&service).await?;
        scene.pool("ipv6", json!({ "addresses": [scene.range6(10, 19)] })).await?;
        service.wait_addresses(2).await?;
        Ok(())
    })
}

#[test]
fn b6_policies_are_switched_and_the_first_address_stays() -> Result<()> {
    scene("b6-switch", async |scene| {
        scene.plain_pool(&[scene.range(10, 19), scene.range6(10, 19)]).await?;
        let service = scene.service("web").create().await?;
        let first = service.wait_address().await?;
        for policy in ["PreferDualStack", "RequireDualStack"] {
            service.patch(json!({ "spec": { "ipFamilyPolicy": policy } })).await?;
            let both = service.wait_addresses(2).await?;
            assert_eq!(both[0], first);
            let single = json!({ "spec": {
                "ipFamilyPolicy": "SingleStack",
                "ipFamilies": ["IPv4"],
                "clusterIPs": [service.get().await?.spec.and_then(|spec| spec.cluster_ip)],
            } });
            service.patch(single).await?;
            assert_eq!(service.wait_address().await?, first);
            scene.wait_assigned(&both[1].to_string(), false).await?;
        }
        Ok(())
    })
}

#[test]
fn b6_a_pool_that_loses_a_family_takes_nothing_away() -> Result<()> {
    scene("b6-loses", async |scene| {
        let pool = scene.plain_pool(&[scene.range(10, 19), scene.range6(10, 19)]).await?;
        let service =
            scene.service("web").spec(json!({ "ipFamilyPolicy": "PreferDualStack" })).create().await?;
        let both = service.wait_addresses(2).await?;
        pool.patch(json!({ "spec": { "addresses": [scene.range(10, 19)] } })).await?;
        pool.wait_condition("Degraded", "True").await?;
        changes_nothing(&service, &both).await
    })
}
