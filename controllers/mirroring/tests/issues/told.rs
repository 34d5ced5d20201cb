//! What people are told.

use std::time::Duration;

use fairlead_fake_api::Weather;
use serde_json::json;

use crate::world::{SOON, World, subset};

/// Upstream tells of skipped addresses at every sync. (The API server in memory knows no Events, so those that were
/// recorded are counted by what became of them.)
#[tokio::test(start_paused = true)]
async fn skipped_addresses_are_told_when_their_number_changes() {
    let world = World::new(1, Weather::default()).await;
    let told = async |world: &World| {
        tokio::time::sleep(SOON).await;
        world.process.sum("fairlead_events_total")
    };
    world.put_service();
    for (addresses, expected) in [
        (&["10.0.0.1"][..], 0),
        (&["10.0.0.1", "bad"], 1),
        // Other changes, and other looks at it, are no news.
        (&["10.0.0.2", "bad"], 1),
        (&["10.0.0.2", "worse"], 1),
        (&["10.0.0.2", "bad", "worse"], 2),
        (&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"], 3),
        (&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.6"], 3),
        (&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"], 4),
        (&["10.0.0.1"], 4),
        // It begins anew.
        (&["10.0.0.1", "bad"], 5),
    ] {
        if world.api.get(&fairlead_fake_api::ENDPOINTS, "shop", "db").is_none() {
            world.put_endpoints(&json!([subset(addresses, 1)]));
        } else {
            world.edit_endpoints(|it| it["subsets"] = json!([subset(addresses, 1)]));
        }
        assert_eq!(told(&world).await, expected, "{addresses:?}");
    }
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(told(&world).await, 5, "rechecks tell nothing");
}
