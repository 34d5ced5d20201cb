//! Two managers at once, without a lease: the API server lets only one have an address, and they end at one result.

use std::time::Duration;

use fairlead_fake_api::{SERVICES, Weather};

use crate::process::Process;
use crate::world::{NAMESPACE, SOON, World, crimes, published_of, put_service, until_right, writes_after};

async fn side_by_side(seed: u64, weather: Weather) {
    let world = World::in_weather(seed, weather).await;
    let mut second = Process::start(&world.api);
    let mut dice = fastrand::Rng::with_seed(seed);
    put_service(&world.api, "untouched");
    until_right(&world.api, Duration::from_mins(5), &format!("seed {seed}, at the start")).await;
    tokio::time::sleep(SOON).await;
    let untouched = published_of(&world.api, "untouched");
    for _ in 0..40 {
        let name = format!("web-{}", dice.u8(0..12));
        if dice.u8(0..3) == 0 {
            world.api.delete(&SERVICES, NAMESPACE, &name);
        } else {
            put_service(&world.api, &name);
        }
        tokio::time::sleep(Duration::from_millis(dice.u64(0..1000))).await;
    }
    world.api.set_weather(Weather::default());
    until_right(&world.api, Duration::from_mins(5), &format!("seed {seed}")).await;
    assert_eq!(crimes(&world.api), [""; 0], "seed {seed}");
    assert_eq!(published_of(&world.api, "untouched"), untouched, "seed {seed}");
    // A watch that fell silent ends after four minutes; until then the two may count differently.
    tokio::time::sleep(Duration::from_mins(5)).await;
    let version = world.api.version();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(writes_after(&world.api, version), [], "seed {seed}: they do not undo each other's work");
    second.kill();
}

#[tokio::test(start_paused = true)]
async fn two_managers_side_by_side_never_give_an_address_twice() {
    for seed in 0..5 {
        side_by_side(seed, Weather::default()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nor_do_they_in_the_worst_weather() {
    for seed in 0..5 {
        side_by_side(seed, Weather::WORST).await;
    }
}
