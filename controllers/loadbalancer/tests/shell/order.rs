//! What is written, how often, and in which order.

use std::time::Duration;

use fairlead_fake_api::{ADDRESSES, POOLS, SERVICES};
use serde_json::json;
use tokio::time::Instant;

use crate::process::RECHECK_PERIOD;
use crate::world::{
    NAMESPACE, SOON, World, allocated, crimes, published_of, put_pool, put_service, put_service_with, until,
    until_right, writes_after, wrong,
};

/// Creating the object is the allocation, and comes first; the status is one write, condition and all.
#[tokio::test(start_paused = true)]
async fn an_address_costs_two_writes_and_no_waiting() {
    let world = World::new().await;
    let (version, begun) = (world.api.version(), Instant::now());
    put_service(&world.api, "web");
    until_right(&world.api, SOON, "one Service").await;
    assert!(begun.elapsed() <= Duration::from_millis(10), "{:?}", begun.elapsed());
    tokio::time::sleep(SOON).await;
    let mut writes = writes_after(&world.api, version);
    writes.retain(|(kind, _)| *kind != &POOLS);
    assert_eq!(writes, [(&ADDRESSES, "create"), (&SERVICES, "update")]);
    let count = "fairlead_loadbalancer_assign_duration_seconds_count";
    assert_eq!(world.process.metric(count), 1);
    assert_eq!(world.process.metric("fairlead_loadbalancer_services{state=\"assigned\"}"), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_when_nothing_has_changed() {
    let names: Vec<String> = (0..14).map(|number| format!("web-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::with(&names).await;
    let version = world.api.version();
    tokio::time::sleep(RECHECK_PERIOD * 2).await;
    assert_eq!(writes_after(&world.api, version), [], "after a recheck");
    world.process.restart(&world.api);
    tokio::time::sleep(RECHECK_PERIOD * 2).await;
    assert_eq!(writes_after(&world.api, version), [], "after a restart");
}

/// The first write about a pool's usage comes soon, and then one a second at most.
#[tokio::test(start_paused = true)]
async fn the_status_of_a_pool_follows_at_its_pace() {
    let world = World::new().await;
    let (version, begun) = (world.api.version(), Instant::now());
    for number in 0..14 {
        put_service(&world.api, &format!("web-{number}"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(SOON).await;
    let writes = writes_after(&world.api, version);
    let statuses = writes.iter().filter(|(kind, _)| *kind == &POOLS).count();
    let most = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    assert!((2..=most.min(5)).contains(&statuses), "{statuses} writes");
    let pool = world.api.get(&POOLS, "", "public").unwrap();
    let usage = &pool["status"]["ipv4"];
    assert_eq!((&usage["capacity"], &usage["assigned"], &usage["free"]), (&json!(14), &json!(14), &json!(0)));
    let name = "fairlead_loadbalancer_addresses";
    let series = format!("{name}{{family=\"ipv4\",pool=\"public\",state=\"assigned\"}}");
    assert_eq!(world.process.metric(&series), 14);
    world.api.delete(&POOLS, "", "public");
    tokio::time::sleep(SOON).await;
    assert!(!world.process.has_series(name, "public"));
}

/// A change of mind: the new address is allocated and published before the old one is released.
#[tokio::test(start_paused = true)]
async fn a_working_address_is_released_last() {
    let world = World::with(&["web"]).await;
    let [old] = &published_of(&world.api, "web")[..] else { panic!("no address") };
    let new = if old == "198.51.100.7" { "198.51.100.8" } else { "198.51.100.7" };
    let version = world.api.version();
    world.api.edit(&SERVICES, NAMESPACE, "web", |it| {
        it["metadata"]["annotations"]["fairlead.dev/addresses"] = new.into();
    });
    until("new address", SOON, || (published_of(&world.api, "web") != [new]).then(|| "the old one".into()))
        .await;
    until_right(&world.api, SOON, "after the change").await;
    let mut writes = writes_after(&world.api, version);
    writes.retain(|(kind, _)| *kind != &POOLS);
    assert_eq!(writes, [(&ADDRESSES, "create"), (&SERVICES, "update"), (&ADDRESSES, "delete")]);
    assert_eq!(crimes(&world.api), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_service_gives_its_address_back_and_another_gets_it() {
    let world = World::new().await;
    put_pool(&world.api, "public", &json!({ "addresses": ["198.51.100.1/32"] }));
    put_service(&world.api, "first");
    until_right(&world.api, SOON, "first").await;
    put_service(&world.api, "second");
    tokio::time::sleep(SOON).await;
    let waiting = world.api.get(&SERVICES, NAMESPACE, "second").unwrap();
    assert_eq!(waiting["status"]["conditions"][0]["reason"], "PoolExhausted");
    assert_eq!(world.process.metric("fairlead_loadbalancer_services{state=\"pending\"}"), 1);
    world.api.delete(&SERVICES, NAMESPACE, "first");
    until_right(&world.api, SOON, "second").await;
    assert_eq!(crimes(&world.api), [""; 0]);
}

/// The address is nobody's until the time that is in the object is over, whoever runs then.
#[tokio::test(start_paused = true)]
async fn a_cool_down_ends_by_itself() {
    let mut world = World::new().await;
    put_pool(&world.api, "public", &json!({ "addresses": ["198.51.100.1/32"], "coolDown": "5m" }));
    put_service(&world.api, "web");
    until_right(&world.api, SOON, "web").await;
    world.api.delete(&SERVICES, NAMESPACE, "web");
    tokio::time::sleep(SOON).await;
    assert_eq!(allocated(&world.api).get("198.51.100.1"), Some(&None), "cools down");
    world.process.restart(&world.api);
    put_service(&world.api, "next");
    tokio::time::sleep(Duration::from_mins(4)).await;
    assert!(wrong(&world.api).is_some_and(|it| it.contains("next")), "{:?}", wrong(&world.api));
    until_right(&world.api, Duration::from_mins(2), "after the cool-down").await;
}

/// A pending condition tells of trouble that lasts, not of the second in which everything is created.
#[tokio::test(start_paused = true)]
async fn who_is_served_within_a_second_was_never_pending() {
    let world = World::new().await;
    world.api.delete(&POOLS, "", "public");
    tokio::time::sleep(SOON).await;
    put_service_with(&world.api, "web", &json!({}));
    tokio::time::sleep(Duration::from_millis(800)).await;
    put_pool(&world.api, "public", &json!({ "addresses": ["198.51.100.0/28"] }));
    until_right(&world.api, SOON, "web").await;
    let mut writes = writes_after(&world.api, 0);
    writes.retain(|(kind, _)| *kind == &SERVICES);
    assert_eq!(writes, [(&SERVICES, "update")]);
}
