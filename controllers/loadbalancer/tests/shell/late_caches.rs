//! The cache shows what was written only later.

use std::time::Duration;

use fairlead_fake_api::{SERVICES, Weather};

use crate::world::{NAMESPACE, SOON, World, crimes, put_service, until_right, writes_after};

/// Everything that the watches show is up to twenty seconds late.
const LATE: Weather = Weather {
    conflict: 0,
    throttle: 0,
    error: 0,
    unavailable: 0,
    lost_answer: 0,
    hang: 0,
    delay: 0,
    cut: 0,
    silence: 0,
    lag: 100,
    stale_list: 0,
    compaction: 0,
};

/// Planned from the cache alone, an address would be allocated again, or a status be written over.
#[tokio::test(start_paused = true)]
async fn a_late_cache_makes_neither_second_addresses_nor_conflicts() {
    for seed in 0..5 {
        let world = World::in_weather(seed, LATE).await;
        world.api.set_weather(Weather::default());
        tokio::time::sleep(Duration::from_mins(1)).await;
        world.api.set_weather(LATE);
        let version = world.api.version();
        for number in 0..10 {
            put_service(&world.api, &format!("web-{number}"));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        tokio::time::sleep(Weather::LONGEST_LAG * 2).await;
        world.api.set_weather(Weather::default());
        until_right(&world.api, SOON, &format!("seed {seed}")).await;
        let mut writes = writes_after(&world.api, version);
        writes.retain(|(kind, _)| kind.plural != "loadbalancerpools");
        assert_eq!(writes.len(), 20, "seed {seed}: {writes:?}");
        assert_eq!(world.process.metric("workqueue_retries_total{name=\"loadbalancer\"}"), 0, "seed {seed}");
    }
}

/// All faults at once, and Services that come and go and change their minds.
#[tokio::test(start_paused = true)]
async fn in_the_worst_weather_nobody_has_the_address_of_somebody_else() {
    for seed in 0..5 {
        let mut world = World::in_weather(seed, Weather::WORST).await;
        let mut dice = fastrand::Rng::with_seed(seed);
        for step in 0..60 {
            let name = format!("web-{}", dice.u8(0..8));
            match dice.u8(0..10) {
                0..5 => put_service(&world.api, &name),
                5..7 => drop(world.api.delete(&SERVICES, NAMESPACE, &name)),
                7..9 => drop(world.api.edit(&SERVICES, NAMESPACE, &name, |it| {
                    let address = format!("198.51.100.{}", 1 + step % 14);
                    it["metadata"]["annotations"]["fairlead.dev/addresses"] = address.into();
                })),
                _ => world.process.restart(&world.api),
            }
            tokio::time::sleep(Duration::from_millis(dice.u64(0..3000))).await;
        }
        world.api.set_weather(Weather::default());
        for service in world.api.list(&SERVICES) {
            // Two may have asked for one address.
            let name = service["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            world.api.edit(&SERVICES, NAMESPACE, &name, |it| {
                it["metadata"]["annotations"] = serde_json::json!({});
            });
        }
        until_right(&world.api, Duration::from_mins(5), &format!("seed {seed}")).await;
        assert_eq!(crimes(&world.api), [""; 0], "seed {seed}");
        // A watch that fell silent ends after four minutes.
        tokio::time::sleep(Duration::from_mins(5)).await;
        let version = world.api.version();
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(writes_after(&world.api, version), [], "seed {seed}");
    }
}
