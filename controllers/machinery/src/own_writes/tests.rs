use super::*;
use crate::source::SourceEvent;
use crate::testing;

fn slice(name: &str, uid: &str, version: &str, generation: i64) -> Slice {
    serde_json::from_value(serde_json::json!({"metadata": {"namespace": "n", "name": name, "uid": uid,
        "resourceVersion": version, "generation": generation}, "addressType": "IPv4"}))
    .unwrap()
}

/// A store after these events.
async fn store(events: impl IntoIterator<Item = SourceEvent<Slice>>) -> Arc<Store<Slice>> {
    let informer = testing::informer();
    let store = informer.store();
    testing::play(informer, events.into_iter().map(Ok)).await;
    store
}

fn owner() -> ObjectKey {
    ObjectKey::new("n", "web")
}

/// `name@version` of what is the newest state, when the cache holds everything in the store.
fn newest(writes: &OwnWrites<Slice>, store: &Store<Slice>, now: Instant) -> Vec<String> {
    let frontier = store.frontier();
    let mut names: Vec<_> = writes
        .newest(&owner(), store.list(), store, &frontier, now)
        .iter()
        .map(|slice| format!("{}@{}", slice.key.name, slice.version))
        .collect();
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn a_write_that_the_cache_does_not_show_yet_is_laid_over_it() {
    let now = Instant::now();
    let store = store([SourceEvent::Applied(slice("old", "u1", "5", 1))]).await;
    let writes = OwnWrites::default();
    writes.stored(&owner(), Arc::new(slice("old", "u1", "8", 2)), now);
    writes.stored(&owner(), Arc::new(slice("new", "u2", "9", 1)), now);
    assert_eq!(newest(&writes, &store, now), ["new@9", "old@8"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_cache_shows_newer_counts() {
    let now = Instant::now();
    let store = store([SourceEvent::Applied(slice("a", "u1", "9", 3))]).await;
    let writes = OwnWrites::default();
    writes.stored(&owner(), Arc::new(slice("a", "u1", "8", 2)), now);
    assert_eq!(newest(&writes, &store, now), ["a@9"]);
    assert!(writes.writes.lock().is_empty());
}

/// kubernetes/kubernetes 141592: the object was written and is gone again before the answer was noted.
#[tokio::test(start_paused = true)]
async fn issue_141592_a_write_that_is_gone_again_leaves_no_residue() {
    let now = Instant::now();
    let store = store([
        SourceEvent::Applied(slice("a", "u1", "8", 1)),
        SourceEvent::Deleted(slice("a", "u1", "9", 1)),
    ])
    .await;
    let writes = OwnWrites::default();
    writes.stored(&owner(), Arc::new(slice("a", "u1", "8", 1)), now);
    assert!(newest(&writes, &store, now).is_empty());
}

#[tokio::test(start_paused = true)]
async fn another_object_of_the_same_name_replaces_ours() {
    let now = Instant::now();
    let store = store([SourceEvent::Applied(slice("a", "u2", "7", 1))]).await;
    let writes = OwnWrites::default();
    writes.stored(&owner(), Arc::new(slice("a", "u1", "8", 1)), now);
    assert_eq!(newest(&writes, &store, now), ["a@7"]);
}

#[tokio::test(start_paused = true)]
async fn versions_that_cannot_be_compared_fall_back_to_generations_and_time() {
    let now = Instant::now();
    let store = store([SourceEvent::Applied(slice("a", "u1", "v-one", 1))]).await;
    let writes = OwnWrites::default();
    writes.stored(&owner(), Arc::new(slice("a", "u1", "v-two", 2)), now);
    writes.stored(&owner(), Arc::new(slice("b", "u2", "v-three", 1)), now);
    assert_eq!(newest(&writes, &store, now), ["a@v-two", "b@v-three"]);
    assert_eq!(newest(&writes, &store, now + EXPIRY + Duration::from_secs(1)), ["a@v-one"]);
}

/// kubernetes/kubernetes 108267: a finalizer holds a deleted slice; it must neither block nor come back.
#[tokio::test(start_paused = true)]
async fn issue_108267_a_deleted_object_that_a_finalizer_holds_stays_out_of_sight() {
    let now = Instant::now();
    let held = slice("a", "u1", "5", 1);
    let store = store([SourceEvent::Applied(held.clone())]).await;
    let writes = OwnWrites::default();
    writes.deleted(&owner(), &held, now);
    assert!(newest(&writes, &store, now).is_empty());
    assert!(!writes.writes.lock().is_empty());
    assert_eq!(newest(&writes, &store, now + EXPIRY + Duration::from_secs(1)), ["a@5"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_is_explained_once() {
    let now = Instant::now();
    let writes = OwnWrites::default();
    writes.stored(&owner(), Arc::new(slice("a", "u1", "8", 1)), now);
    writes.deleted(&owner(), &slice("b", "u2", "7", 1), now);
    let version = |text: &str| ResourceVersion::from(text);
    assert!(!writes.explains_version(&owner(), &"a".into(), &version("9")));
    assert!(writes.explains_version(&owner(), &"a".into(), &version("8")));
    assert!(!writes.explains_version(&owner(), &"a".into(), &version("8")));
    assert!(!writes.explains_deletion(&owner(), &"b".into(), &"other".into()));
    assert!(writes.explains_deletion(&owner(), &"b".into(), &"u2".into()));
    assert!(writes.writes.lock().is_empty());
}
