//! Objects that are deleted by hand, and kinds that are not installed, or installed again.

use std::collections::BTreeMap;

use fairlead_fake_api::{ADDRESSES, ANNOUNCEMENTS, Author, FakeApi, POOLS, RESERVATIONS, SERVICES};
use serde_json::json;

use crate::process::Process;
use crate::world::{
    SOON, World, allocated, api, crimes, published, put_pool, put_service, until, until_right,
};

/// How often anybody wrote a status that names other addresses than the one before.
fn moves(api: &FakeApi, version: u64) -> usize {
    let events = api.events_after(version).into_iter().filter(|event| event.kind == &SERVICES);
    let changed = events.filter(|event| match (&event.old, &event.new) {
        (Some(old), Some(new)) => published(old) != published(new),
        _ => false,
    });
    changed.filter(|event| event.author == Author::Client).count()
}

#[tokio::test(start_paused = true)]
async fn objects_that_are_deleted_by_hand_come_back_with_their_services() {
    let world = World::with(&["a", "b", "c"]).await;
    let (before, version) = (allocated(&world.api), world.api.version());
    for address in before.keys() {
        world.api.delete(&ADDRESSES, "", address);
    }
    until("objects", SOON, || {
        (allocated(&world.api) != before).then(|| format!("{:?}", allocated(&world.api)))
    })
    .await;
    until_right(&world.api, SOON, "after all were deleted").await;
    assert_eq!(moves(&world.api, version), 0);
}

/// As above, while no manager runs, and with others that want the addresses when it starts.
#[tokio::test(start_paused = true)]
async fn objects_that_were_deleted_while_nobody_looked_come_back() {
    let mut world = World::with(&["a", "b", "c"]).await;
    let (before, version) = (world.addresses(), world.api.version());
    world.process.kill();
    for address in allocated(&world.api).keys() {
        world.api.delete(&ADDRESSES, "", address);
    }
    for number in 0..11 {
        put_service(&world.api, &format!("0-new-{number}"));
    }
    world.process.restart(&world.api);
    until_right(&world.api, SOON * 4, "after a start").await;
    let after = world.addresses();
    assert!(before.iter().all(|(name, addresses)| after[name] == *addresses), "{before:?} {after:?}");
    assert_eq!(moves(&world.api, version), 11);
    assert_eq!(crimes(&world.api), [""; 0]);
}

fn set_installed(api: &FakeApi, installed: bool) {
    for kind in [&POOLS, &ADDRESSES, &ANNOUNCEMENTS, &RESERVATIONS] {
        api.set_served(kind, installed);
    }
}

async fn reinstalled(down: bool) {
    let mut world = World::with(&["a", "b", "c"]).await;
    let (before, version) = (world.addresses(), world.api.version());
    let objects: Vec<String> = allocated(&world.api).into_keys().collect();
    if down {
        world.process.kill();
    }
    set_installed(&world.api, false);
    tokio::time::sleep(SOON * 60).await;
    assert_eq!(world.addresses(), before, "nobody takes them away");
    set_installed(&world.api, true);
    put_pool(&world.api, "public", &json!({ "addresses": ["198.51.100.0/28"] }));
    if down {
        world.process.restart(&world.api);
    }
    let shown = || allocated(&world.api).into_keys().collect::<Vec<_>>();
    until("objects", SOON, || (shown() != objects).then(|| format!("{:?}", shown()))).await;
    until_right(&world.api, SOON, "after the CRDs were installed again").await;
    assert_eq!(world.addresses(), before);
    assert_eq!(moves(&world.api, version), 0);
    put_service(&world.api, "new");
    until_right(&world.api, SOON, "and goes on").await;
}

#[tokio::test(start_paused = true)]
async fn kinds_that_are_installed_again_find_every_service_with_its_address() {
    reinstalled(false).await;
}

#[tokio::test(start_paused = true)]
async fn kinds_that_were_installed_again_while_nobody_ran_find_every_service_with_its_address() {
    reinstalled(true).await;
}

#[tokio::test(start_paused = true)]
async fn kinds_may_be_installed_long_after_the_start() {
    let api = api(1);
    set_installed(&api, false);
    put_service(&api, "web");
    let _process = Process::start(&api);
    tokio::time::sleep(SOON * 60).await;
    assert_eq!(allocated(&api), BTreeMap::new());
    set_installed(&api, true);
    put_pool(&api, "public", &json!({ "addresses": ["198.51.100.0/28"] }));
    until_right(&api, SOON, "after the CRDs were installed").await;
}
