//! A MetalLB in the same cluster.

use std::time::Duration;

use fairlead_fake_api::SERVICES;
use serde_json::json;

use crate::world::{NAMESPACE, SOON, World, published_of, put_service, until};

const MARK: &str = "metallb.io/ip-allocated-from-pool";

/// Somebody who marks Services as MetalLB does is one that runs; what he has marked and what is new is his, for as long as he
/// is heard of, and what we have given stays ours.
#[tokio::test(start_paused = true)]
async fn who_marks_services_as_metallb_does_is_left_the_rest() {
    let world = World::with(&["ours"]).await;
    let ours = published_of(&world.api, "ours");
    put_service(&world.api, "theirs");
    tokio::time::sleep(SOON).await;
    world.api.edit(&SERVICES, NAMESPACE, "theirs", |it| it["metadata"]["annotations"][MARK] = "pool".into());
    tokio::time::sleep(SOON).await;
    assert_eq!(world.process.metric("fairlead_loadbalancer_rival"), 1);
    let checks = world.process.checks();
    assert!(checks.contains("[+]rival/metallb ok: a MetalLB runs (its mark on a Service)"), "{checks}");
    put_service(&world.api, "new");
    tokio::time::sleep(SOON * 10).await;
    assert_eq!(published_of(&world.api, "new"), [""; 0]);
    let new = world.api.get(&SERVICES, NAMESPACE, "new").unwrap();
    assert_eq!(new["status"], json!(null), "no condition on what is left to others");
    assert_eq!(published_of(&world.api, "ours"), ours);
    until("address when MetalLB is not heard of any more", Duration::from_mins(6), || {
        published_of(&world.api, "new").is_empty().then(|| "none".to_owned())
    })
    .await;
    assert_eq!(world.process.metric("fairlead_loadbalancer_rival"), 0);
}
