//! Slices that others relabel, hold, edit or delete.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{SOON, World, service};

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// After whatever happened to its slice the Service has its endpoints, and later changes of Pods still arrive.
async fn goes_on(scenario: &str, world: &World) {
    world.until(&format!("{scenario}: endpoints"), SOON, |it| it.published() == ["web-0:r", "web-1:r"]).await;
    world.set_ready(0, false);
    world
        .until(&format!("{scenario}: later change"), SOON, |it| it.published() == ["web-0:-", "web-1:r"])
        .await;
    world.put_pod(2, true);
    world
        .until(&format!("{scenario}: new Pod"), SOON, |it| {
            it.published() == ["web-0:-", "web-1:r", "web-2:r"]
        })
        .await;
}

/// Upstream's tracker misses such a slice among the Service's and calls every later sync stale, until it is restarted.
#[tokio::test(start_paused = true)]
async fn gap_relabelled_managed_slice_is_replaced_and_nothing_gets_stuck() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 6] = [
        ("another Service", |labels| labels[SERVICE_NAME] = "other".into()),
        ("a Service that does not exist", |labels| labels[SERVICE_NAME] = "nobody".into()),
        ("no Service", |labels| {
            labels.as_object_mut().unwrap().remove(SERVICE_NAME);
        }),
        ("another controller", |labels| labels[MANAGED_BY] = "example.com".into()),
        ("no controller", |labels| {
            labels.as_object_mut().unwrap().remove(MANAGED_BY);
        }),
        ("no labels at all", |labels| *labels = json!({})),
    ];
    for (scenario, change) in cases {
        let world = World::with_pods(2).await;
        world.put_service("other");
        tokio::time::sleep(SOON).await;
        let moved = world.only_slice();
        world.edit_slice(&moved, |slice| change(&mut slice["metadata"]["labels"]));
        goes_on(scenario, &world).await;
        assert_ne!(world.only_slice(), moved, "{scenario}");
    }
}

/// Also 108779, 109624. Upstream waits for a slice that it expects to go, or expects to be there, as long as a
/// finalizer holds it.
#[tokio::test(start_paused = true)]
async fn gap_finalizer_held_slice_issue_108267_is_replaced_and_nothing_gets_stuck() {
    let world = World::with_pods(2).await;
    let held = world.only_slice();
    world.edit_slice(&held, |slice| slice["metadata"]["finalizers"] = json!(["example.com/hold"]));
    world.delete_slice(&held);
    assert_eq!(world.slices(), [] as [Value; 0], "it is being deleted");
    goes_on("held", &world).await;
    let heir = world.only_slice();
    world.edit_slice(&held, |slice| slice["metadata"]["finalizers"] = json!([]));
    tokio::time::sleep(SOON).await;
    assert_eq!(world.only_slice(), heir, "the end of the held one changes nothing");

    // Held while this controller itself wants to be rid of it: by its ports there is no use for it any more.
    world.edit_slice(&heir, |slice| slice["metadata"]["finalizers"] = json!(["example.com/hold"]));
    world.put_pod(3, true);
    world.until("second slice", SOON, |it| it.slices().len() == 2).await;
    for number in [1, 2, 3] {
        world.edit_pod(number, |pod| pod["metadata"]["labels"]["app"] = "else".into());
    }
    world.until("one Pod", SOON, |it| it.published() == ["web-0:-"]).await;
    world.set_ready(0, true);
    world.until("one ready Pod", SOON, |it| it.published() == ["web-0:r"]).await;
}

/// Also 85703. Whatever somebody does to a slice is looked at at once, not with the next change of the Service.
#[tokio::test(start_paused = true)]
async fn issue_85353_edits_and_deletions_by_others_are_put_right() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 7] = [
        ("no endpoints", |slice| slice["endpoints"] = json!([])),
        ("a smuggled endpoint", |slice| {
            slice["endpoints"].as_array_mut().unwrap().push(json!({"addresses": ["10.9.9.9"]}));
        }),
        ("not ready", |slice| slice["endpoints"][0]["conditions"]["ready"] = false.into()),
        ("other ports", |slice| slice["ports"][0]["port"] = 9.into()),
        ("a label", |slice| slice["metadata"]["labels"]["mine"] = "x".into()),
        ("hints", |slice| slice["endpoints"][0]["hints"] = json!({"forZones": [{"name": "moon"}]})),
        ("no owner", |slice| slice["metadata"]["ownerReferences"] = json!([])),
    ];
    for (scenario, change) in cases {
        let world = World::with_pods(2).await;
        let name = world.only_slice();
        let content = |world: &World| {
            let slice = world.slices().remove(0);
            let metadata = &slice["metadata"];
            json!([slice["endpoints"], slice["ports"], metadata["labels"], metadata["ownerReferences"]])
        };
        let right = content(&world);
        world.edit_slice(&name, change);
        assert_ne!(content(&world), right, "{scenario}");
        world
            .until(&format!("{scenario}: content"), SOON, |it| it.slices().len() == 1 && content(it) == right)
            .await;
    }
    let world = World::with_pods(2).await;
    world.delete_slice(&world.only_slice());
    goes_on("deleted", &world).await;
}

/// Also 94730. A Service that was deleted and made anew at once never relies on slices of the old one, which the
/// garbage collector takes away.
#[tokio::test(start_paused = true)]
async fn issue_94720_a_service_made_anew_has_slices_of_its_own() {
    let world = World::with_pods(2).await;
    let old = world.only_slice();
    world.api.put(&fairlead_fake_api::SERVICES, service("web"));
    let is_new = |it: &World| {
        it.published() == ["web-0:r", "web-1:r"]
            && it.slices().iter().all(|slice| slice["metadata"]["name"] != *old)
    };
    // Before the garbage collector comes: nothing is missing for a moment.
    world.until("slice of the new Service", SOON, is_new).await;
    world.api.collect_garbage();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(world.published(), ["web-0:r", "web-1:r"]);
}
