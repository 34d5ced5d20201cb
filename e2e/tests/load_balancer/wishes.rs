//! Services that ask for a pool or an address, and the words that they get when that cannot be had.

use lab::{Kind, LoadBalancer, LoadBalancerBuilder, Result};
use serde_json::json;

use crate::world::{Scene, scene, stays_without_address};

/// Our annotation and the two of MetalLB that ask for a pool.
const POOL: [&str; 3] = ["fairlead.dev/pool", "metallb.io/address-pool", "metallb.universe.tf/address-pool"];
/// Those that ask for addresses.
const ADDRESSES: [&str; 3] =
    ["fairlead.dev/addresses", "metallb.io/loadBalancerIPs", "metallb.universe.tf/loadBalancerIPs"];

#[test]
fn a10_a_named_pool_gives_addresses_whether_or_not_it_assigns_by_itself() -> Result<()> {
    scene("a10", async |scene| {
        let ranges = |from: u8| [scene.range(from, from + 9), scene.range6(from.into(), u16::from(from) + 9)];
        scene.pool("auto", json!({ "addresses": ranges(10), "order": "Sequential" })).await?;
        let manual = json!({ "addresses": ranges(20), "autoAssign": false, "order": "Sequential" });
        scene.pool("manual", manual).await?;
        for (pool, from) in [("auto", 10), ("manual", 20)] {
            for (family, first) in [("IPv4", scene.ipv4(from)), ("IPv6", scene.ipv6(from.into()))] {
                let name = format!("{pool}-{}", family.to_lowercase());
                let service = scene.service(&name).annotation(POOL[0], &scene.pool_name(pool));
                let service = service.spec(json!({ "ipFamilies": [family] })).create().await?;
                service.wait_for_address(&first).await?;
            }
        }
        scene.service("no-wish").create().await?.wait_for_address(&scene.ipv4(11)).await
    })
}

#[test]
fn every_way_to_ask_is_heard() -> Result<()> {
    scene("every-way", async |scene| {
        scene.plain_pool(&[scene.range(10, 19), scene.range6(10, 19)]).await?;
        let other = json!({ "addresses": [scene.range(30, 39)], "autoAssign": false });
        scene.pool("other", other).await?;
        for (number, key) in (10..).zip(ADDRESSES) {
            let service = scene.service(&format!("address-{number}")).annotation(key, &scene.ipv4(number));
            service.create().await?.wait_for_address(&scene.ipv4(number)).await?;
        }
        for (number, key) in (0..).zip(POOL) {
            let service = scene.service(&format!("pool-{number}")).annotation(key, &scene.pool_name("other"));
            let address = service.create().await?.wait_address().await?.to_string();
            assert!((30..=39).any(|host| scene.ipv4(host) == address), "{key}: {address}");
        }
        let field = scene.service("field").spec(json!({ "loadBalancerIP": scene.ipv4(17) })).create().await?;
        field.wait_for_address(&scene.ipv4(17)).await?;
        let both = format!("{},{}", scene.ipv6(18), scene.ipv4(18));
        let both = scene.service("both").dual_stack().annotation(ADDRESSES[1], &both).create().await?;
        both.wait_addresses(2).await?;
        // In the order of the Service's families, whatever the order of the wish.
        let addresses = both.addresses().await?;
        assert_eq!(
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [scene.ipv4(18), scene.ipv6(18)]
        );
        // The other family is chosen freely.
        let one =
            scene.service("one").dual_stack().annotation(ADDRESSES[0], &scene.ipv6(19)).create().await?;
        let addresses = one.wait_addresses(2).await?;
        assert_eq!(addresses[1].to_string(), scene.ipv6(19));
        Ok(())
    })
}

#[test]
fn our_annotation_counts_before_metallbs() -> Result<()> {
    scene("ours-first", async |scene| {
        scene.plain_pool(&[scene.range(10, 19)]).await?;
        let service = scene.service("web").annotation(ADDRESSES[2], &scene.ipv4(12));
        let service = service.annotation(ADDRESSES[1], &scene.ipv4(13)).create().await?;
        service.wait_for_address(&scene.ipv4(13)).await?;
        service.annotate(ADDRESSES[0], Some(&scene.ipv4(14))).await?;
        service.wait_for_address(&scene.ipv4(14)).await
    })
}

/// A wish that cannot be met, the reason, and what the message must name.
struct Impossible {
    name: &'static str,
    reason: &'static str,
    words: Vec<String>,
    key: &'static str,
    value: String,
}

/// All of them, in a scene with the pools that [`impossible_pools`] makes.
fn impossible_wishes(scene: &Scene) -> Vec<Impossible> {
    let wish = |name, reason, words: &[&str], key, value: &str| Impossible {
        name,
        reason,
        words: words.iter().map(|&word| word.to_owned()).collect(),
        key,
        value: value.to_owned(),
    };
    let (outside, excluded) = (scene.ipv4(200), scene.ipv4(15));
    let (taken, denied) = (scene.ipv4(10), scene.ipv4(35));
    let foreign = scene.pool_name("foreign");
    vec![
        wish("outside", "AddressNotInPool", &[&outside], ADDRESSES[0], &outside),
        wish("excluded", "AddressNotInPool", &[&excluded], ADDRESSES[0], &excluded),
        wish("taken", "AddressInUse", &[&taken], ADDRESSES[0], &taken),
        wish("unknown-pool", "NoPool", &["no-such-pool"], POOL[0], "no-such-pool"),
        wish("foreign-pool", "NotPermitted", &[&foreign], POOL[0], &foreign),
        wish("foreign-address", "NotPermitted", &[&foreign], ADDRESSES[0], &scene.ipv4(40)),
        wish("denied", "NotPermitted", &[&denied], ADDRESSES[0], &denied),
        wish("full-pool", "PoolExhausted", &[&scene.pool_name("full")], POOL[0], &scene.pool_name("full")),
        wish("garbage", "InvalidRequest", &["203.0.113.300"], ADDRESSES[0], "203.0.113.300"),
        wish("family", "InvalidRequest", &[&scene.ipv6(10)], ADDRESSES[0], &scene.ipv6(10)),
        wish(
            "two-of-a-family",
            "InvalidRequest",
            &["IPv4"],
            ADDRESSES[0],
            &format!("{},{}", scene.ipv4(16), scene.ipv4(17)),
        ),
    ]
}

async fn impossible_pools(scene: &Scene) -> Result<()> {
    let pool =
        json!({ "addresses": [scene.range(10, 19), scene.range6(10, 19)], "exclude": [scene.range(15, 15)] });
    scene.pool("pool", pool).await?;
    let denied = json!({ "addresses": [scene.range(30, 39)], "requests": "Denied", "autoAssign": false });
    scene.pool("denied", denied).await?;
    scene.pool("full", json!({ "addresses": [scene.range(50, 50)], "autoAssign": false })).await?;
    let foreign =
        json!({ "addresses": [scene.range(40, 49)], "serviceAllocation": { "namespaces": ["elsewhere"] } });
    scene.pool("foreign", foreign).await?;
    let holder = scene.service("holder").annotation(ADDRESSES[0], &scene.ipv4(10)).create().await?;
    holder.wait_for_address(&scene.ipv4(10)).await?;
    let full = scene.service("fills").annotation(POOL[0], &scene.pool_name("full")).create().await?;
    full.wait_for_address(&scene.ipv4(50)).await
}

async fn expect_words(service: &LoadBalancer, wish: &Impossible) -> Result<String> {
    let condition = service.wait_reason(wish.reason).await?;
    let missing = wish.words.iter().find(|word| !condition.message.contains(*word));
    assert!(missing.is_none(), "{service}: {missing:?} is not in {:?}", condition.message);
    assert_eq!(condition.status, "False", "{service}: {}", condition.message);
    Ok(condition.message)
}

#[test]
fn an_impossible_wish_is_answered_with_the_reason_in_words() -> Result<()> {
    scene("impossible", async |scene| {
        impossible_pools(scene).await?;
        let wishes = impossible_wishes(scene);
        let creating = wishes.iter().map(|wish| scene.service(wish.name).annotation(wish.key, &wish.value));
        let services = futures::future::try_join_all(creating.map(LoadBalancerBuilder::create)).await?;
        for (service, wish) in services.iter().zip(&wishes) {
            let message = expect_words(service, wish).await?;
            // For those who read the test with --nocapture: what users are told.
            println!("{:>16} {}: {message}", wish.name, wish.reason);
        }
        for service in &services {
            assert!(service.addresses().await?.is_empty(), "{service}");
        }
        // Once there is another reason to look at it, nothing is told again.
        let told = services[0].events().await?;
        services[0].patch(json!({ "metadata": { "labels": { "touched": "yes" } } })).await?;
        stays_without_address(&services[0]).await?;
        assert_eq!(services[0].events().await?, told);
        assert_eq!(told.len(), 1, "{told:?}");
        Ok(())
    })
}

#[test]
fn b6b_an_impossible_wish_leaves_the_working_address_and_a_condition_says_why() -> Result<()> {
    scene("b6b", async |scene| {
        impossible_pools(scene).await?;
        let service = scene.service("web").create().await?;
        let address = service.wait_address().await?;
        let object = scene.lab.object(Kind::Address, None, &address.to_string());
        let before = object.get().await?["metadata"]["uid"].clone();
        for wish in impossible_wishes(scene) {
            service.annotate(wish.key, Some(&wish.value)).await?;
            let message = expect_words(&service, &wish).await?;
            assert!(message.starts_with(&format!("keeps {address}: ")), "{message}");
            assert_eq!(service.addresses().await?, [address], "{}", wish.name);
            service.annotate(wish.key, None).await?;
            assert_eq!(service.wait_reason("Assigned").await?.status, "True");
        }
        assert_eq!(object.get().await?["metadata"]["uid"], before);
        Ok(())
    })
}

#[test]
fn field_and_annotation_that_contradict_each_other_are_no_wish() -> Result<()> {
    scene("contradiction", async |scene| {
        scene.plain_pool(&[scene.range(10, 19)]).await?;
        let field = json!({ "loadBalancerIP": scene.ipv4(11) });
        let service = scene.service("web").spec(field).annotation(ADDRESSES[0], &scene.ipv4(12));
        let service = service.create().await?;
        let message = service.wait_reason("InvalidRequest").await?.message;
        for words in ["spec.loadBalancerIP", ADDRESSES[0], &scene.ipv4(11)] {
            assert!(message.contains(words), "{words} is not in {message:?}");
        }
        stays_without_address(&service).await?;
        service.annotate(ADDRESSES[0], Some(&scene.ipv4(11))).await?;
        service.wait_for_address(&scene.ipv4(11)).await
    })
}

#[test]
fn a_wish_is_met_as_soon_as_it_can_be() -> Result<()> {
    scene("wish-later", async |scene| {
        scene.plain_pool(&[scene.range(10, 19)]).await?;
        let holder = scene.service("holder").annotation(ADDRESSES[0], &scene.ipv4(12)).create().await?;
        holder.wait_for_address(&scene.ipv4(12)).await?;
        let rival = scene.service("rival").create().await?;
        let first = rival.wait_address().await?;
        rival.annotate(ADDRESSES[0], Some(&scene.ipv4(12))).await?;
        let message = rival.wait_reason("AddressInUse").await?.message;
        assert!(message.starts_with(&format!("keeps {first}: ")), "{message}");
        holder.delete().await?;
        rival.wait_for_address(&scene.ipv4(12)).await?;
        scene.wait_assigned(&first.to_string(), false).await
    })
}
