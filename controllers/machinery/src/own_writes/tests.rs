use super::*;
use crate::informer::Store;
use crate::source::SourceEvent;
use crate::testing;

mod issues;

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
    // Asked one by one, the answer is the same.
    let of = |name: &str| {
        let shown = || (store.frontier(), store.get(&ObjectKey::new("n", name)));
        writes.newest_of(&owner(), &name.into(), now, shown)
    };
    let single: Vec<_> = ["a", "b", "old", "new"].into_iter().filter_map(of).collect();
    let read = || Cached { frontier: store.frontier(), objects: store.list() };
    let all = names(&writes.newest(&owner(), now, read));
    assert_eq!(names(&single), all);
    all
}

fn names(slices: &[Arc<Slice>]) -> Vec<String> {
    let mut names: Vec<_> =
        slices.iter().map(|slice| format!("{}@{}", slice.key.name, slice.version)).collect();
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
    let much_later = now + 100 * EXPIRY;
    assert_eq!(newest(&writes, &store, much_later), ["new@9", "old@8"], "however long the watch is down");
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

/// An object that somebody moved to another owner by its labels is no longer among those of this one.
#[tokio::test(start_paused = true)]
async fn a_write_that_was_relabelled_away_is_not_missed() {
    let now = Instant::now();
    let writes = OwnWrites::default();
    writes.stored(&owner(), Arc::new(slice("a", "u1", "8", 1)), now);
    let read = || Cached { frontier: "9".into(), objects: Vec::new() };
    assert!(writes.newest(&owner(), now, read).is_empty());
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
async fn issue_108267_a_deleted_object_that_the_cache_still_shows_stays_out_of_sight() {
    let now = Instant::now();
    let held = Arc::new(slice("a", "u1", "5", 1));
    let shows_it = store([SourceEvent::Applied(Slice::clone(&held))]).await;
    let writes = OwnWrites::default();
    writes.deleted(&owner(), Arc::clone(&held), now);
    assert!(newest(&writes, &shows_it, now).is_empty());
    let gone = store([SourceEvent::Deleted(slice("a", "u1", "6", 1))]).await;
    assert!(newest(&writes, &gone, now).is_empty());
    assert!(writes.writes.lock().is_empty());
}

/// Who plans must know of it: what it holds is still read by consumers.
#[tokio::test(start_paused = true)]
async fn a_deleted_object_that_a_finalizer_holds_is_seen_as_being_deleted() {
    let now = Instant::now();
    let writes = OwnWrites::default();
    writes.deleted(&owner(), Arc::new(slice("a", "u1", "5", 1)), now);
    let held = Slice { terminating: true, ..slice("a", "u1", "6", 2) };
    let store = store([SourceEvent::Applied(held)]).await;
    assert_eq!(newest(&writes, &store, now), ["a@6"]);
    assert!(writes.writes.lock().is_empty());
}

/// The watch shows a write just when the cache is being read for a plan.
#[tokio::test(start_paused = true)]
async fn a_write_that_the_cache_shows_a_moment_after_it_was_read_is_not_lost() {
    let now = Instant::now();
    let writes = Arc::new(OwnWrites::default());
    writes.stored(&owner(), Arc::new(slice("a", "u1", "8", 1)), now);
    let watch = {
        let writes = Arc::clone(&writes);
        move || writes.acknowledge_stored(&owner(), &"a".into(), &"8".into())
    };
    let (read_done, told) = std::sync::mpsc::channel();
    let watch = std::thread::spawn(move || {
        told.recv().unwrap();
        watch()
    });
    let seen = writes.newest(&owner(), now, || {
        read_done.send(()).unwrap();
        // The thread can acknowledge only after this plan has seen the write.
        std::thread::sleep(Duration::from_millis(50));
        Cached { frontier: "5".into(), objects: Vec::new() }
    });
    assert_eq!(names(&seen), ["a@8"]);
    assert!(watch.join().unwrap());
}

/// Created by us, deleted by others while the watch was down: the list does not name it, and nothing newer.
#[tokio::test(start_paused = true)]
async fn a_write_that_a_later_list_does_not_show_is_gone_and_its_owner_is_told() {
    let answered = Instant::now();
    let writes = OwnWrites::default();
    writes.stored(&owner(), Arc::new(slice("a", "u1", "8", 1)), answered);
    assert!(writes.listed(answered).is_empty(), "the list may have been made before the write");
    assert_eq!(writes.listed(answered + Duration::from_millis(1)), [owner()]);
    let read = || Cached { frontier: "5".into(), objects: Vec::new() };
    assert!(writes.newest(&owner(), answered, read).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_is_acknowledged_once() {
    let now = Instant::now();
    let writes = OwnWrites::default();
    writes.stored(&owner(), Arc::new(slice("a", "u1", "8", 1)), now);
    writes.deleted(&owner(), Arc::new(slice("b", "u2", "7", 1)), now);
    let version = |text: &str| ResourceVersion::from(text);
    assert!(!writes.acknowledge_stored(&owner(), &"a".into(), &version("9")));
    assert!(writes.acknowledge_stored(&owner(), &"a".into(), &version("8")));
    assert!(!writes.acknowledge_stored(&owner(), &"a".into(), &version("8")));
    assert!(!writes.acknowledge_deleted(&owner(), &"b".into(), &"other".into()));
    assert!(writes.acknowledge_deleted(&owner(), &"b".into(), &"u2".into()));
    assert!(writes.writes.lock().is_empty());
}

/// Endpoints have no generation: where versions cannot be compared, only time ends what was written.
#[tokio::test(start_paused = true)]
async fn without_generations_a_write_is_believed_until_it_is_shown_or_expires() {
    let endpoints = |version: &str| -> Endpoints {
        serde_json::from_value(serde_json::json!({"metadata": {"namespace": "n", "name": "web", "uid": "u1",
            "resourceVersion": version}}))
        .unwrap()
    };
    let now = Instant::now();
    let writes = OwnWrites::default();
    let newest = |shown: &str, now| {
        let shown = Arc::new(endpoints(shown));
        let read = || (shown.version.clone(), Some(Arc::clone(&shown)));
        writes.newest_of(&owner(), &"web".into(), now, read).map(|it| it.version.to_string())
    };
    writes.stored(&owner(), Arc::new(endpoints("b")), now);
    assert_eq!(newest("a", now).as_deref(), Some("b"));
    assert_eq!(newest("a", now + EXPIRY).as_deref(), Some("b"));
    assert_eq!(newest("a", now + 2 * EXPIRY).as_deref(), Some("a"));
    writes.stored(&owner(), Arc::new(endpoints("8")), now);
    assert_eq!(newest("7", now + 2 * EXPIRY).as_deref(), Some("8"), "these can be compared");
    assert_eq!(newest("9", now).as_deref(), Some("9"));
}
