//! Services that lose their selector, or become an ExternalName.

use std::time::Duration;

use serde_json::{Value, json};

use crate::process::Options;
use crate::world::{SOON, World};

const LEFT: &str = "fairlead_leftover_endpoints";

fn lose_selector(service: &mut Value) {
    service["spec"]["selector"] = Value::Null;
}

fn become_alias(service: &mut Value) {
    service["spec"]["type"] = "ExternalName".into();
    service["spec"]["externalName"] = "example.com".into();
}

/// Also 91072, 103576, 103804, 105986, 114814, 120775, 123471, 111929. They stay, are counted, and are used again.
#[tokio::test(start_paused = true)]
async fn issue_118376_endpoints_left_behind_stay_are_counted_and_taken_up_again() {
    for change in [lose_selector, become_alias] {
        let mut world = World::with_pods(2).await;
        let before = world.endpoints("web").unwrap();
        let version = world.api.version();
        world.edit_service("web", change);
        world.until("it counted", SOON, |it| it.process.metric(LEFT) == 1).await;
        world.set_ready(0, false);
        world.restart();
        tokio::time::sleep(Duration::from_hours(1)).await;
        assert_eq!(world.endpoints("web").unwrap(), before);
        assert_eq!((world.writes_since(version), world.process.metric(LEFT)), (0, 1));
        world.edit_service("web", |it| {
            it["spec"]["selector"] = json!({"app": "web"});
            it["spec"]["type"] = "ClusterIP".into();
        });
        world.until("it taken up", SOON, |it| it.published() == ["web-0:-", "web-1:r"]).await;
        assert_eq!(world.process.metric(LEFT), 0);
        assert_eq!(world.endpoints("web").unwrap()["metadata"]["uid"], before["metadata"]["uid"]);
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_left_behind_are_pruned_on_request_when_it_happens() {
    let options = Options { prune_leftovers: true, ..Options::default() };
    for change in [lose_selector, become_alias] {
        let world = World::with(2, options.clone()).await;
        world.edit_service("web", change);
        world.until("it pruned", SOON, |it| it.endpoints("web").is_none()).await;
        assert_eq!(world.process.metric(LEFT), 0);
    }
    // What became so while nobody looked stays.
    let mut world = World::with(2, options.clone()).await;
    world.process.kill();
    world.edit_service("web", lose_selector);
    world.restart();
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!((world.endpoints("web").is_some(), world.process.metric(LEFT)), (true, 1));
}

/// Users who take the selector away to maintain the Endpoints themselves keep them, whenever they make them their own.
#[tokio::test(start_paused = true)]
async fn endpoints_that_somebody_has_taken_over_are_never_pruned() {
    let world = World::with(2, Options { prune_leftovers: true, ..Options::default() }).await;
    let version = world.api.version();
    world.edit_service("web", lose_selector);
    world.edit_endpoints(|it| {
        it["metadata"]["labels"].as_object_mut().unwrap().remove("endpoints.kubernetes.io/managed-by");
        it["subsets"] = json!([{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 5432}]}]);
    });
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(world.writes_since(version), 0);
    assert_eq!((world.endpoints("web").is_some(), world.process.metric(LEFT)), (true, 0));
}

/// Custom Endpoints of Services without selector are nobody's leftovers.
#[tokio::test(start_paused = true)]
async fn custom_endpoints_of_services_without_selector_are_never_touched() {
    let mut world = World::with(0, Options { prune_leftovers: true, ..Options::default() }).await;
    let version = world.api.version();
    world.api.put(
        &fairlead_fake_api::SERVICES,
        json!({"metadata": {"namespace": "shop", "name": "db"}, "spec": {"ports": [{"port": 5432}]}}),
    );
    world.put_endpoints("db", &json!({}));
    tokio::time::sleep(Duration::from_hours(1)).await;
    world.restart();
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!((world.writes_since(version), world.process.metric(LEFT)), (0, 0));
    assert!(world.endpoints("db").is_some());
}
