//! A process that may not write.

use std::time::Duration;

use fairlead_fake_api::{ENDPOINTS, FakeApi, SERVICES};
use fairlead_machinery::permit::Gate;
use serde_json::json;

use crate::process::Options;
use crate::world::{NAMESPACE, SOON, World, put_endpoints, service};

#[tokio::test(start_paused = true)]
async fn what_somebody_makes_after_a_service_ended_during_standby_stays() {
    let api = FakeApi::new(1);
    api.put(&SERVICES, service("gone"));
    put_endpoints(&api, "gone", &json!({}));
    let options = Options { gate: Gate::closed(), ..Options::default() };
    let world = World::on(api, options.clone()).await;
    // As the API server does it: first the Service, then its Endpoints.
    assert!(world.api.delete(&SERVICES, NAMESPACE, "gone"));
    tokio::time::sleep(SOON).await;
    assert!(world.api.delete(&ENDPOINTS, NAMESPACE, "gone"));
    tokio::time::sleep(SOON).await;
    put_endpoints(&world.api, "gone", &json!({}));
    tokio::time::sleep(SOON).await;
    options.gate.open();
    tokio::time::sleep(SOON).await;
    assert!(world.endpoints("gone").is_some());
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_written_is_written_as_soon_as_it_may_and_by_what_is_then_known() {
    let api = FakeApi::new(1);
    put_endpoints(&api, "left", &json!({}));
    let options = Options { gate: Gate::closed(), ..Options::default() };
    let world = World::on(api, options.clone()).await;
    world.put_service("web");
    world.put_pod(0, false);
    world.api.put(&SERVICES, service("gone"));
    put_endpoints(&world.api, "gone", &json!({}));
    tokio::time::sleep(SOON).await;
    assert!(world.api.delete(&SERVICES, NAMESPACE, "gone"));
    let before = world.api.version();
    tokio::time::sleep(Duration::from_mins(30)).await;
    assert_eq!((world.writes_since(before), world.process.plans("failed")), (0, 0));
    world.set_ready(0, true);
    tokio::time::sleep(SOON).await;
    options.gate.open();
    let at_once = Duration::from_millis(200);
    world.until("the newest state", at_once, |it| it.published() == ["web-0:r"]).await;
    world
        .until("what is left deleted", at_once, |it| {
            it.endpoints("left").is_none() && it.endpoints("gone").is_none()
        })
        .await;
    options.gate.close();
    world.set_ready(0, false);
    tokio::time::sleep(Duration::from_mins(30)).await;
    assert_eq!(world.published(), ["web-0:r"]);
    options.gate.open();
    world.until("change", at_once, |it| it.published() == ["web-0:-"]).await;
    assert_eq!(world.process.plans("failed"), 0);
}
