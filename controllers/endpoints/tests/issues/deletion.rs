//! Endpoints of Services that are gone, at the start and later.

use std::time::Duration;

use fairlead_fake_api::{ENDPOINTS, FakeApi, SERVICES, Weather};
use serde_json::json;

use crate::process::Options;
use crate::world::{NAMESPACE, SOON, World, put_endpoints, service};

const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";

/// Upstream's `TestSyncEndpointsServiceNotFound`.
#[tokio::test(start_paused = true)]
async fn test_sync_endpoints_service_not_found() {
    let world = World::with_pods(2).await;
    assert!(world.api.delete(&SERVICES, NAMESPACE, "web"));
    world.until("deletion", SOON, |it| it.endpoints("web").is_none()).await;
    // A custom one of a Service without selector goes with its Service, too.
    world.api.put(&SERVICES, json!({"metadata": {"namespace": NAMESPACE, "name": "db"}, "spec": {}}));
    world.put_endpoints("db", &json!({}));
    tokio::time::sleep(SOON).await;
    assert!(world.endpoints("db").is_some());
    assert!(world.api.delete(&SERVICES, NAMESPACE, "db"));
    world.until("deletion", SOON, |it| it.endpoints("db").is_none()).await;
}

/// Upstream's `TestEndpointsDeletionEvents`.
#[tokio::test(start_paused = true)]
async fn test_endpoints_deletion_events() {
    let world = World::with_pods(2).await;
    world.delete_endpoints();
    let at_once = Duration::from_millis(500);
    world.until("object", at_once, |it| it.published() == ["web-0:r", "web-1:r"]).await;
}

/// Upstream's `TestCheckLeftoverEndpoints`. Also 78933, 76164, 115801, 32801, 45585: that is by design, but only at the
/// start, and never those that serve a leader election.
#[tokio::test(start_paused = true)]
async fn issue_57794_endpoints_without_a_service_are_deleted_at_the_start_and_not_later() {
    let api = FakeApi::new(1);
    put_endpoints(&api, "left", &json!({}));
    put_endpoints(&api, "election", &json!({"annotations": {LEADER: "{}"}}));
    api.put(&SERVICES, json!({"metadata": {"namespace": NAMESPACE, "name": "db"}, "spec": {}}));
    put_endpoints(&api, "db", &json!({}));
    let world = World::on(api, Options::default()).await;
    world.until("deletion", SOON, |it| it.endpoints("left").is_none()).await;
    world.put_endpoints("later", &json!({}));
    tokio::time::sleep(Duration::from_hours(1)).await;
    for name in ["election", "db", "later"] {
        assert!(world.endpoints(name).is_some(), "{name}");
    }
    // Whoever changes or deletes such a one is left alone.
    assert!(world.api.edit(&ENDPOINTS, NAMESPACE, "later", |it| it["subsets"] = json!([])));
    tokio::time::sleep(SOON).await;
    assert!(world.api.delete(&ENDPOINTS, NAMESPACE, "later"));
    world.put_endpoints("later", &json!({}));
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert!(world.endpoints("later").is_some());
}

/// The Service shows up in the cache later than its Endpoints: upstream deletes the Endpoints.
#[tokio::test(start_paused = true)]
async fn issue_104062_endpoints_whose_service_is_only_late_are_not_deleted() {
    let mut late = 0;
    for seed in 0..10 {
        let api = FakeApi::new(seed);
        put_endpoints(&api, "db", &json!({}));
        put_endpoints(&api, "left", &json!({}));
        tokio::time::sleep(Duration::from_mins(1)).await;
        api.put(&SERVICES, json!({"metadata": {"namespace": NAMESPACE, "name": "db"}, "spec": {}}));
        api.set_weather(Weather { stale_list: 100, lag: 100, ..Weather::default() });
        let world = World::on(api, Options::default()).await;
        let versions = || world.process.metric("fairlead_informer_objects{resource=\"services\"}");
        late += usize::from(versions() == 0);
        tokio::time::sleep(Weather::LONGEST_LAG * 2).await;
        assert!(world.endpoints("db").is_some(), "seed {seed}");
        assert!(world.endpoints("left").is_none(), "seed {seed}");
    }
    assert!(late > 0, "the world was too kind");
}

/// Whoever makes Endpoints of his own when the Service is gone keeps them.
#[tokio::test(start_paused = true)]
async fn what_somebody_makes_in_the_place_of_a_deleted_service_stays() {
    let world = World::with_pods(2).await;
    assert!(world.api.delete(&SERVICES, NAMESPACE, "web"));
    world.until("deletion", SOON, |it| it.endpoints("web").is_none()).await;
    world.put_endpoints("web", &json!({}));
    tokio::time::sleep(Duration::from_hours(1)).await;
    let endpoints = world.endpoints("web").expect("it is somebody's own");
    assert_eq!(endpoints["subsets"][0]["addresses"][0]["ip"], "192.0.2.7");
}

/// Even where the cache still shows the old ones: it is they that are deleted, whatever has their name by now.
#[tokio::test(start_paused = true)]
async fn what_the_cache_does_not_show_yet_is_not_deleted_in_the_place_of_something_else() {
    let mut kept = 0;
    for seed in 0..20 {
        let late = Weather { lag: 100, ..Weather::default() };
        let world = World::new(seed, late).await;
        world.api.set_weather(Weather::default());
        world.put_service("web");
        tokio::time::sleep(Duration::from_mins(1)).await;
        world.api.set_weather(late);
        assert!(world.api.delete(&SERVICES, NAMESPACE, "web"));
        assert!(world.api.delete(&ENDPOINTS, NAMESPACE, "web"));
        world.put_endpoints("web", &json!({}));
        tokio::time::sleep(Weather::LONGEST_LAG * 2).await;
        kept += usize::from(world.endpoints("web").is_some());
    }
    // Where the watch of Services was the later one, the new ones were there when the Service was seen to be gone.
    assert!(kept > 2, "{kept} of 20");
}

/// The answer to the creation is lost, and then the Service is deleted: nobody has ever seen the object.
#[tokio::test(start_paused = true)]
async fn gap_endpoints_that_nobody_knows_of_go_with_their_service() {
    for seed in 0..10 {
        let world = World::new(seed, Weather { lag: 100, ..Weather::default() }).await;
        world.api.set_weather(Weather::default());
        tokio::time::sleep(Duration::from_mins(1)).await;
        world.api.set_weather(Weather { lost_answer: 100, lag: 100, ..Weather::default() });
        world.put_service("web");
        tokio::time::sleep(Weather::LONGEST_LAG * 2).await;
        assert!(world.api.delete(&SERVICES, NAMESPACE, "web"));
        tokio::time::sleep(Weather::LONGEST_LAG).await;
        world.api.set_weather(Weather::default());
        tokio::time::sleep(Duration::from_mins(3)).await;
        assert!(world.endpoints("web").is_none(), "seed {seed}");
    }
}

/// Also 110639. Nothing can be created in such a namespace, and nothing is owed there: no error, no retry.
#[tokio::test(start_paused = true)]
async fn gap_endpoints_in_a_terminating_namespace_are_no_error() {
    let world = World::new(1, Weather::default()).await;
    world.api.terminate_namespace(NAMESPACE);
    world.put_pod(0, true);
    world.put_service("web");
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert!(world.endpoints("web").is_none());
    assert_eq!((world.process.plans("written"), world.process.plans("failed")), (1, 0), "once and not again");
}

/// Nothing is kept of Services that are gone.
#[tokio::test(start_paused = true)]
async fn issue_92837_nothing_is_kept_of_services_that_are_gone() {
    let world = World::with_pods(2).await;
    for round in 0..20 {
        let name = format!("s-{round}");
        world.api.put(&SERVICES, service(&name));
        world.until("object", SOON, |it| it.endpoints(&name).is_some()).await;
        assert!(world.api.delete(&SERVICES, NAMESPACE, &name));
        world.until("deletion", SOON, |it| it.endpoints(&name).is_none()).await;
    }
    tokio::time::sleep(SOON).await;
    assert_eq!(world.process.metric("fairlead_informer_objects{resource=\"endpoints\"}"), 1);
    let before = world.api.version();
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(world.writes_since(before), 0);
}
