//! Reservations and quotas: what namespaces may count on, and what they may not take.

use lab::{Kind, LoadBalancer, Object, Result};
use serde_json::{Value, json};

use crate::world::{Scene, scene, stays_without_address};

const ADDRESSES: &str = "fairlead.dev/addresses";

async fn reserve(scene: &Scene, name: &str, spec: Value) -> Result<Object> {
    scene.lab.reservation(&scene.namespace, name, spec).await
}

/// A reservation of this address for a Service of this name.
async fn reserve_address(scene: &Scene, name: &str, service: &str, address: &str) -> Result<Object> {
    let spec = json!({ "service": { "name": service }, "loadBalancer": { "addresses": [address] } });
    reserve(scene, name, spec).await
}

async fn wait_phase(reservation: &Object, phase: &str) -> Result<Value> {
    let what = format!("be {phase}");
    reservation.wait_until(&what, |object| object["status"]["phase"] == phase).await
}

/// What the holder of an address is told to those who may not have it.
async fn not_permitted(service: &LoadBalancer, words: &[&str]) -> Result<()> {
    let message = service.wait_reason("NotPermitted").await?.message;
    for word in words {
        assert!(message.contains(word), "{word} is not in {message:?}");
    }
    Ok(())
}

#[test]
fn a_reservation_survives_deletion_and_creation_and_refuses_others_by_name() -> Result<()> {
    scene("reserved", async |scene| {
        scene.plain_pool(&[scene.range(10, 12)]).await?;
        let address = scene.ipv4(11);
        let reservation = reserve_address(scene, "entrance", "web", &address).await?;
        // It waits for the Service.
        let waiting = wait_phase(&reservation, "Waiting").await?;
        assert_eq!(waiting["status"]["addresses"], json!([address]));
        let holder =
            format!("reserved for Service {}/web (ServiceReservation {0}/entrance)", scene.namespace);
        let thief = scene.service("thief").annotation(ADDRESSES, &address).create().await?;
        not_permitted(&thief, &[&address, &holder]).await?;
        scene.service("other-1").create().await?.wait_address().await?;
        scene.service("other-2").create().await?.wait_address().await?;
        let late = scene.service("late").create().await?;
        late.wait_reason("PoolExhausted").await?;

        let service = scene.service("web").create().await?;
        service.wait_for_address(&address).await?;
        let bound = wait_phase(&reservation, "Bound").await?;
        assert_eq!(bound["status"]["boundTo"], "web");
        for _ in 0..2 {
            service.delete().await?;
            wait_phase(&reservation, "Waiting").await?;
            stays_without_address(&thief).await?;
            assert_eq!(late.addresses().await?, Vec::<std::net::IpAddr>::new());
            scene.service("web").create().await?.wait_for_address(&address).await?;
            wait_phase(&reservation, "Bound").await?;
        }
        // The reservation goes: its Service keeps the address, and then others may have it.
        reservation.delete().await?;
        service.delete().await?;
        thief.wait_for_address(&address).await
    })
}

#[test]
fn a_reservation_by_selector_is_for_whoever_matches() -> Result<()> {
    scene("selector", async |scene| {
        scene.plain_pool(&[scene.range(10, 19)]).await?;
        let selector = json!({ "matchLabels": { "role": "entrance" } });
        let spec = json!({ "selector": selector, "loadBalancer": { "addresses": [scene.ipv4(15)] } });
        let reservation = reserve(scene, "entrance", spec).await?;
        wait_phase(&reservation, "Waiting").await?;
        for name in ["blue", "green"] {
            let service = scene.service(name).label("role", "entrance").create().await?;
            service.wait_for_address(&scene.ipv4(15)).await?;
            let bound = wait_phase(&reservation, "Bound").await?;
            assert_eq!(bound["status"]["boundTo"], name);
            service.delete().await?;
            wait_phase(&reservation, "Waiting").await?;
        }
        Ok(())
    })
}

#[test]
fn a_reservation_with_a_pool_alone_keeps_what_was_chosen() -> Result<()> {
    scene("by-pool", async |scene| {
        scene.plain_pool(&[scene.range(10, 19), scene.range6(10, 19)]).await?;
        let spec = json!({
            "service": { "name": "web" }, "loadBalancer": { "pool": scene.pool_name("pool") },
        });
        let reservation = reserve(scene, "entrance", spec).await?;
        let waiting = wait_phase(&reservation, "Waiting").await?;
        let chosen = waiting["status"]["addresses"].clone();
        assert_eq!(chosen.as_array().map(Vec::len), Some(2), "{chosen}");
        for _ in 0..2 {
            let service = scene.service("web").dual_stack().create().await?;
            let addresses = service.wait_addresses(2).await?;
            assert_eq!(json!(addresses), chosen);
            service.delete().await?;
            wait_phase(&reservation, "Waiting").await?;
        }
        Ok(())
    })
}

#[test]
fn the_older_of_two_reservations_counts() -> Result<()> {
    scene("two-reservations", async |scene| {
        scene.plain_pool(&[scene.range(10, 19)]).await?;
        let older = reserve_address(scene, "z-older", "web", &scene.ipv4(10)).await?;
        wait_phase(&older, "Waiting").await?;
        // Creation times have whole seconds.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        let later = reserve_address(scene, "a-later", "shop", &scene.ipv4(10)).await?;
        wait_phase(&later, "Conflict").await?;
        let message = later.wait_condition("Accepted", "False").await?.message;
        assert!(message.contains("z-older"), "{message}");
        older.delete().await?;
        wait_phase(&later, "Waiting").await?;
        scene.service("shop").create().await?.wait_for_address(&scene.ipv4(10)).await
    })
}

#[test]
fn an_address_that_somebody_has_is_reserved_for_later() -> Result<()> {
    scene("reserved-later", async |scene| {
        scene.plain_pool(&[scene.range(10, 10)]).await?;
        let holder = scene.service("holder").create().await?;
        holder.wait_for_address(&scene.ipv4(10)).await?;
        let reservation = reserve_address(scene, "entrance", "web", &scene.ipv4(10)).await?;
        let message = reservation.wait_condition("Accepted", "False").await?.message;
        assert!(message.contains(&holder.key()), "{message}");
        let web = scene.service("web").create().await?;
        stays_without_address(&web).await?;
        assert_eq!(holder.addresses().await?.len(), 1);
        holder.delete().await?;
        web.wait_for_address(&scene.ipv4(10)).await?;
        reservation.wait_condition("Accepted", "True").await?;
        Ok(())
    })
}

#[test]
fn a_reservation_lifts_what_a_pool_denies() -> Result<()> {
    scene("denied", async |scene| {
        scene.pool("pool", json!({ "addresses": [scene.range(10, 19)], "requests": "Denied" })).await?;
        reserve_address(scene, "entrance", "web", &scene.ipv4(12)).await?;
        let web = scene.service("web").annotation(ADDRESSES, &scene.ipv4(12)).create().await?;
        web.wait_for_address(&scene.ipv4(12)).await?;
        let other = scene.service("other").annotation(ADDRESSES, &scene.ipv4(13)).create().await?;
        not_permitted(&other, &[&scene.ipv4(13)]).await
    })
}

#[test]
fn a_quota_counts_addresses_of_all_kinds_and_reservations() -> Result<()> {
    scene("quota", async |scene| {
        let spec = json!({ "addresses": [scene.range(10, 19)], "quota": { "perNamespace": 3 } });
        let pool = scene.pool("pool", spec).await?;
        let first = scene.service("first").create().await?;
        first.wait_address().await?;
        // An address that two share counts once.
        let of_two = |name: &str, port: u16| {
            scene.service(name).annotation("fairlead.dev/sharing-key", "key").port(port).create()
        };
        let tcp = of_two("tcp", 81).await?;
        tcp.wait_address().await?;
        let beside = of_two("beside", 82).await?;
        beside.wait_for_address(&tcp.addresses().await?[0].to_string()).await?;
        let free: Vec<_> = (10..=19).map(|host| scene.ipv4(host)).collect();
        let assigned: Vec<_> = scene.assigned().await?.iter().map(|it| it.address.to_string()).collect();
        let free: Vec<_> = free.into_iter().filter(|it| !assigned.contains(it)).collect();
        let reservation = reserve_address(scene, "entrance", "web", &free[0]).await?;
        wait_phase(&reservation, "Waiting").await?;
        // Three are used: two by Services, one by the reservation. Neither choice nor wish gets a fourth.
        let fourth = scene.service("fourth").create().await?;
        let wish = scene.service("wish").annotation(ADDRESSES, &free[1]).create().await?;
        for service in [&fourth, &wish] {
            let message = service.wait_reason("QuotaExceeded").await?.message;
            assert!(message.contains('3') && message.contains(&scene.pool_name("pool")), "{message}");
        }
        let web = scene.service("web").create().await?;
        web.wait_for_address(&free[0]).await?;
        // The neighbour has a quota of its own.
        scene.lab.namespace(&scene.neighbour()).await?;
        scene.lab.load_balancer(&scene.neighbour(), "web").create().await?.wait_address().await?;
        // What is freed can be used, and so can what is allowed later; addresses over the quota stay.
        first.delete().await?;
        let served = async || {
            let served = [&fourth, &wish].map(LoadBalancer::addresses);
            let served = futures::future::try_join_all(served).await?;
            let count = served.iter().filter(|it| !it.is_empty()).count();
            if count == 1 { Ok(()) } else { Err(format!("{served:?}").into()) }
        };
        scene.lab.wait_until("one of two to be served", crate::world::PATIENCE, served).await?;
        pool.patch(json!({ "spec": { "quota": { "perNamespace": 4 } } })).await?;
        fourth.wait_address().await?;
        wish.wait_for_address(&free[1]).await?;
        pool.patch(json!({ "spec": { "quota": { "perNamespace": 1 } } })).await?;
        stays(&[&fourth, &wish, &web, &tcp, &beside]).await
    })
}

/// Fails when one of them loses its address within a while.
async fn stays(services: &[&LoadBalancer]) -> Result<()> {
    tokio::time::sleep(crate::world::A_WHILE).await;
    for service in services {
        assert_eq!(service.addresses().await?.len(), 1, "{service}");
    }
    Ok(())
}

#[test]
fn a_reserved_address_is_counted_by_its_pool() -> Result<()> {
    scene("counted", async |scene| {
        let pool = scene.plain_pool(&[scene.range(10, 14)]).await?;
        reserve_address(scene, "entrance", "web", &scene.ipv4(10)).await?;
        let reserved = |object: &Value| object["status"]["ipv4"]["reserved"] == 1;
        let object = pool.wait_until("count the reservation", reserved).await?;
        assert_eq!(object["status"]["ipv4"]["free"], 4);
        let objects = scene.lab.list_objects(Kind::Reservation).await?;
        assert!(objects.iter().any(|it| it["metadata"]["namespace"] == scene.namespace.as_str()));
        Ok(())
    })
}
