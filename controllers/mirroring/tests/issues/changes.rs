//! What brings a mirror about and makes it go.

use std::time::Duration;

use fairlead_fake_api::{ENDPOINTS, SERVICES, SLICES, Weather};
use serde_json::json;

use crate::process::RECHECK_PERIOD;
use crate::world::{NAMESPACE, SOON, World, subset};

/// Also 105997: with the selector the mirror goes, without it it comes back; whichever of the objects changes first.
#[tokio::test(start_paused = true)]
async fn issue_105987_a_selector_ends_the_mirror_and_its_removal_brings_it_back() {
    let world = World::with(&["10.0.0.1"]).await;
    for _ in 0..2 {
        world.select(json!({ "app": "db" }));
        world.until_published("end", &[]).await;
        assert_eq!(world.slices().len(), 0);
        // In the meantime the Endpoints belong to somebody else, and cost nothing here.
        tokio::time::sleep(SOON).await;
        let syncs = world.process.syncs();
        for round in 0..5 {
            world.set_addresses(&[&format!("10.0.1.{round}")]);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(world.process.syncs(), syncs, "looked at for nothing");
        world.select(json!({}));
        world.until_published("mirror of the newest addresses", &["10.0.1.4"]).await;
        world.set_addresses(&["10.0.0.1"]);
        world.until_published("mirror", &["10.0.0.1"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_mirror_follows_endpoints_and_service_in_any_order() {
    let world = World::new(1, Weather::default()).await;
    world.put_endpoints(&json!([subset(&["10.0.0.1"], 5432)]));
    tokio::time::sleep(SOON).await;
    assert_eq!(world.slices().len(), 0, "there is no Service");
    world.put_service();
    world.until_published("mirror", &["10.0.0.1"]).await;
    world.edit_endpoints(|it| {
        it["metadata"]["labels"]["endpointslice.kubernetes.io/skip-mirror"] = "true".into();
    });
    world.until_published("end by a label", &[]).await;
    world.edit_endpoints(|it| it["metadata"]["labels"] = json!({}));
    world.until_published("mirror again", &["10.0.0.1"]).await;
    let leader = "control-plane.alpha.kubernetes.io/leader";
    world.edit_endpoints(|it| it["metadata"]["annotations"][leader] = "{}".into());
    world.until_published("end by an annotation", &[]).await;
    world.edit_endpoints(|it| it["metadata"]["annotations"] = json!({}));
    world.until_published("mirror again", &["10.0.0.1"]).await;
    // Made anew under the same name: another UID, and the same slice with another owner.
    let (slice, before) = (world.only_slice(), world.api.get(&ENDPOINTS, NAMESPACE, "db").unwrap());
    world.put_endpoints(&json!([subset(&["10.0.0.2"], 5432)]));
    world.until_published("other addresses", &["10.0.0.2"]).await;
    let after = world.api.get(&SLICES, NAMESPACE, &world.only_slice()).unwrap();
    assert_ne!(after["metadata"]["ownerReferences"][0]["uid"], before["metadata"]["uid"]);
    assert!(world.created() > 1 || slice == world.only_slice());
    world.api.delete(&ENDPOINTS, NAMESPACE, "db");
    world.until_published("end with the Endpoints", &[]).await;
    world.put_endpoints(&json!([subset(&["10.0.0.3"], 5432)]));
    world.until_published("mirror again", &["10.0.0.3"]).await;
    world.api.delete(&SERVICES, NAMESPACE, "db");
    world.until_published("end with the Service", &[]).await;
    assert_eq!(world.slices().len(), 0);
}

/// Nothing can be created in such a namespace, and nothing is owed there: no error, no retry.
#[tokio::test(start_paused = true)]
async fn gap_namespace_terminating_is_no_error_for_mirrors() {
    let world = World::new(1, Weather::default()).await;
    world.api.terminate_namespace(NAMESPACE);
    world.put_service();
    world.put_endpoints(&json!([subset(&["10.0.0.1"], 5432)]));
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(world.slices().len(), 0);
    assert_eq!(world.process.retries(), 0);
    assert!(world.process.syncs() >= 1, "it was looked at");
}

/// Upstream's resync comes in 12 to 24 hours.
#[tokio::test(start_paused = true)]
async fn gap_resync_looks_at_every_mirror_and_writes_nothing() {
    let world = World::with(&["10.0.0.1"]).await;
    let (version, syncs) = (world.api.version(), world.process.syncs());
    tokio::time::sleep(RECHECK_PERIOD * 3).await;
    assert_eq!(world.api.version(), version, "nothing is written");
    let rechecks = world.process.syncs() - syncs;
    assert!((2..=4).contains(&rechecks), "three periods: {rechecks} syncs");
}

/// A Service of type LoadBalancer is written whenever its address, or a condition about it, changes.
#[tokio::test(start_paused = true)]
async fn what_is_said_about_a_load_balancer_costs_nothing() {
    let world = World::with(&["10.0.0.1"]).await;
    let syncs = world.process.syncs();
    world.api.edit(&SERVICES, NAMESPACE, "db", |it| it["spec"]["type"] = "LoadBalancer".into());
    for number in 0..5 {
        let ingress = json!([{ "ip": format!("198.51.100.{number}") }]);
        world.api.edit(&SERVICES, NAMESPACE, "db", |it| {
            it["status"]["loadBalancer"] = json!({ "ingress": ingress });
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.process.syncs(), syncs);
    assert_eq!(world.published(), ["10.0.0.1"]);
}
