//! Issues of kubernetes/kubernetes about caches that are waited for.

use super::*;

/// kubernetes/kubernetes 127370, also 126578, 127417: an update that changes nothing, or that a webhook undoes, is
/// answered with the version that the cache has shown long since. No event follows, so nothing may wait for one.
#[tokio::test(start_paused = true)]
async fn issue_127370_an_update_that_changes_nothing_leaves_nothing_to_wait_for() {
    let now = Instant::now();
    let shown = slice("a", "u1", "8", 2);
    let store = store([SourceEvent::Applied(shown.clone())]).await;
    let writes = OwnWrites::default();
    writes.stored(&owner(), Arc::new(shown), now);
    assert_eq!(newest(&writes, &store, now), ["a@8"]);
    assert!(writes.writes.lock().is_empty());
    // Also where versions cannot be compared.
    let opaque = slice("b", "u2", "v-one", 1);
    let store = self::store([SourceEvent::Applied(opaque.clone())]).await;
    writes.stored(&owner(), Arc::new(opaque), now);
    assert_eq!(newest(&writes, &store, now), ["b@v-one"]);
    assert!(writes.writes.lock().is_empty());
}
