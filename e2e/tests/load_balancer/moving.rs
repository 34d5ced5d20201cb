//! Addresses that are left: cool-down, and pools that are drained.

use std::time::{Duration, Instant};

use lab::{Kind, Result};
use serde_json::{Value, json};

use crate::world::{A_WHILE, scene};

const COOL_DOWN: Duration = Duration::from_secs(3);

#[test]
fn a_released_address_cools_down_before_somebody_else_gets_it() -> Result<()> {
    scene("cool-down", async |scene| {
        let spec = json!({ "addresses": [scene.range(10, 10)], "coolDown": "3s" });
        let pool = scene.pool("pool", spec).await?;
        let first = scene.service("first").create().await?;
        first.wait_for_address(&scene.ipv4(10)).await?;
        let object = scene.lab.object(Kind::Address, None, &scene.ipv4(10));
        object.wait_until("be bound", |it| it["status"]["phase"] == "Bound").await?;
        let (key, released) = (first.key(), Instant::now());
        first.delete().await?;
        let cooling = object.wait_until("cool down", |it| it["status"]["phase"] == "Cooling").await?;
        assert!(cooling["status"]["coolingUntil"].is_string(), "{cooling}");
        // Who had it last can still be seen.
        let last = &cooling["spec"]["services"][0];
        let last = [&last["namespace"], &last["name"]].map(|it| it.as_str().unwrap_or_default());
        assert_eq!(last.join("/"), key);
        pool.wait_until("count it", |it| it["status"]["ipv4"]["cooling"] == 1).await?;
        let second = scene.service("second").create().await?;
        second.wait_for_address(&scene.ipv4(10)).await?;
        let waited = released.elapsed();
        assert!(waited + Duration::from_secs(1) >= COOL_DOWN, "after {waited:?}");
        Ok(())
    })
}

#[test]
fn a_reservation_gets_its_address_back_while_it_cools_down() -> Result<()> {
    scene("cool-reserved", async |scene| {
        let spec = json!({ "addresses": [scene.range(10, 10)], "coolDown": "1h" });
        scene.pool("pool", spec).await?;
        let reservation =
            json!({ "service": { "name": "web" }, "loadBalancer": { "addresses": [scene.ipv4(10)] } });
        scene.lab.reservation(&scene.namespace, "entrance", reservation).await?;
        let service = scene.service("web").create().await?;
        service.wait_for_address(&scene.ipv4(10)).await?;
        service.delete().await?;
        let object = scene.lab.object(Kind::Address, None, &scene.ipv4(10));
        object.wait_until("cool down", |it| it["status"]["phase"] == "Cooling").await?;
        scene.service("web").create().await?.wait_for_address(&scene.ipv4(10)).await?;
        object.wait_until("be bound again", |it| it["status"]["phase"] == "Bound").await?;
        Ok(())
    })
}

#[test]
fn a_drained_pool_is_left_for_another_with_both_addresses_meanwhile() -> Result<()> {
    scene("drain", async |scene| {
        let old = scene.pool("old", json!({ "addresses": [scene.range(10, 19)] })).await?;
        let mut services = Vec::new();
        for name in ["a", "b", "c"] {
            let service = scene.service(name).create().await?;
            services.push((service.wait_address().await?, service));
        }
        let wish =
            scene.service("wish").annotation("fairlead.dev/pool", &scene.pool_name("old")).create().await?;
        let wished = wish.wait_address().await?;
        scene.pool("new", json!({ "addresses": [scene.range(30, 39)] })).await?;
        old.patch(json!({ "spec": { "drain": true } })).await?;
        let moving = services.iter().map(async |(before, service)| {
            let both = service.wait_addresses(2).await?;
            assert_eq!(both[1], *before, "{service} has {both:?}: the new one comes first");
            let message = service.condition().await?.map(|it| it.message).unwrap_or_default();
            let (from, to) = (format!("moving from {before}"), format!("to {}", both[0]));
            assert!(message.contains(&from) && message.contains(&to), "{message}");
            // The new one is what stays.
            service.wait_for_address(&both[0].to_string()).await?;
            scene.wait_assigned(&before.to_string(), false).await
        });
        futures::future::try_join_all(moving).await?;
        // It asked for this pool.
        assert_eq!(wish.addresses().await?, [wished]);
        let message = wish.condition().await?.map(|it| it.message).unwrap_or_default();
        assert!(message.contains("drain"), "{message}");
        let late = scene.service("late").create().await?.wait_address().await?.to_string();
        assert!((30..=39).any(|host| scene.ipv4(host) == late), "{late}");
        Ok(())
    })
}

#[test]
fn without_room_elsewhere_a_drained_pool_is_not_left() -> Result<()> {
    scene("drain-full", async |scene| {
        let old = scene.pool("old", json!({ "addresses": [scene.range(10, 19)] })).await?;
        let service = scene.service("web").create().await?;
        let address = service.wait_address().await?;
        old.patch(json!({ "spec": { "drain": true } })).await?;
        let told = |it: &k8s_openapi::api::core::v1::Service| {
            lab::ready_condition(it).is_some_and(|it| it.message.contains("drain"))
        };
        service.wait_until("say that it cannot leave", told).await?;
        assert_eq!(service.addresses().await?, [address]);
        // There is room now.
        scene.pool("new", json!({ "addresses": [scene.range(30, 30)] })).await?;
        service.wait_for_address(&scene.ipv4(30)).await
    })
}

#[test]
fn an_address_that_is_excluded_later_is_left_for_another() -> Result<()> {
    scene("excluded", async |scene| {
        let pool = scene.plain_pool(&[scene.range(10, 19)]).await?;
        let service = scene.service("web").create().await?;
        let before = service.wait_address().await?;
        pool.patch(json!({ "spec": { "exclude": [format!("{before}/32")] } })).await?;
        let moved = |it: &k8s_openapi::api::core::v1::Service| matches!(lab::ingress_addresses(it)[..], [only] if only != before);
        service.wait_until("have another address", moved).await?;
        scene.wait_assigned(&before.to_string(), false).await
    })
}

#[test]
fn a_pool_that_shrinks_below_its_use_says_so_and_takes_nothing_away() -> Result<()> {
    scene("shrunk", async |scene| {
        let pool = scene.pool("pool", json!({ "addresses": [scene.range(10, 11)] })).await?;
        let services = [scene.service("a").create().await?, scene.service("b").create().await?];
        let mut before = Vec::new();
        for service in &services {
            before.push(service.wait_address().await?);
        }
        pool.patch(json!({ "spec": { "addresses": [scene.range(10, 10)] } })).await?;
        let message = pool.wait_condition("Degraded", "True").await?.message;
        assert!(message.contains('1'), "{message}");
        tokio::time::sleep(A_WHILE).await;
        for (service, before) in services.iter().zip(&before) {
            assert_eq!(service.addresses().await?, [*before]);
        }
        let counts = |it: &Value| it["status"]["ipv4"]["capacity"] == 1;
        pool.wait_until("count one address", counts).await?;
        Ok(())
    })
}
