use fairlead_objects::Node;
use parking_lot::Mutex;

use super::*;
use crate::testing;

fn node(name: &str, zone: &str, version: u64) -> Node {
    serde_json::from_value(
        serde_json::json!({"metadata": {"name": name, "resourceVersion": version.to_string(),
        "labels": {"topology.kubernetes.io/zone": zone}}}),
    )
    .unwrap()
}

struct Seen {
    store: Arc<Store<Node>>,
    changes: Vec<String>,
}

/// Plays a script and returns the store and the changes that a handler was told, as `old>new` zones.
async fn play(script: impl IntoIterator<Item = Result<SourceEvent<Node>, SourceError>>) -> Seen {
    let mut informer = testing::informer::<Node>();
    let store = informer.store();
    let changes = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&changes);
    informer.on_change(move |change| {
        let zone =
            |node: &Option<Arc<Node>>| node.as_ref().and_then(|it| it.zone.clone()).unwrap_or_default();
        let key = change.new.as_ref().or(change.old.as_ref()).unwrap().key().clone();
        told.lock().push(format!("{key}:{}>{}", zone(&change.old), zone(&change.new)));
    });
    testing::play(informer, script).await;
    let changes = changes.lock().clone();
    Seen { store, changes }
}

fn broken() -> Result<SourceEvent<Node>, SourceError> {
    Err(SourceError::Broken("cut".into()))
}

#[tokio::test(start_paused = true)]
async fn changes_carry_old_and_new_and_no_ops_are_dropped() {
    let seen = play([
        Ok(SourceEvent::ListBegins),
        Ok(SourceEvent::Listed(node("n", "a", 5))),
        Ok(SourceEvent::ListEnds),
        Ok(SourceEvent::Applied(node("n", "a", 6))),
        Ok(SourceEvent::Applied(node("n", "b", 7))),
        Ok(SourceEvent::Deleted(node("n", "b", 8))),
    ])
    .await;
    assert_eq!(seen.changes, ["n:>a", "n:a>b", "n:b>"]);
    assert!(seen.store.is_synced() && seen.store.is_empty());
    assert_eq!(seen.store.frontier(), ResourceVersion::Number(8));
}

#[tokio::test(start_paused = true)]
async fn a_relist_sweeps_what_vanished_and_keeps_quiet_about_the_rest() {
    let seen = play([
        Ok(SourceEvent::ListBegins),
        Ok(SourceEvent::Listed(node("gone", "a", 1))),
        Ok(SourceEvent::Listed(node("stays", "a", 2))),
        Ok(SourceEvent::ListEnds),
        Ok(SourceEvent::ListBegins),
        Ok(SourceEvent::Listed(node("stays", "a", 2))),
        Ok(SourceEvent::ListEnds),
    ])
    .await;
    assert_eq!(seen.changes, ["gone:>a", "stays:>a", "gone:a>"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_breaks_off_midway_loses_nothing() {
    let seen = play([
        Ok(SourceEvent::ListBegins),
        Ok(SourceEvent::Listed(node("x", "a", 1))),
        Ok(SourceEvent::Listed(node("y", "a", 2))),
        Ok(SourceEvent::ListEnds),
        Ok(SourceEvent::ListBegins),
        Ok(SourceEvent::Listed(node("x", "a", 1))),
        broken(),
        Ok(SourceEvent::ListBegins),
        Ok(SourceEvent::Listed(node("y", "b", 4))),
        Ok(SourceEvent::ListEnds),
    ])
    .await;
    assert_eq!(seen.changes, ["x:>a", "y:>a", "y:a>b", "x:a>"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_synced_before_a_list_is_complete() {
    let seen =
        play([Ok(SourceEvent::ListBegins), Ok(SourceEvent::Listed(node("x", "a", 9))), broken()]).await;
    assert!(!seen.store.is_synced());
    assert_eq!(seen.store.frontier(), ResourceVersion::default(), "half a list is no frontier");
    assert_eq!(seen.store.trouble(), Some(SourceError::Broken("cut".into())));
    assert!(!seen.store.is_missing());
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_is_not_served_is_missing_until_it_is() {
    let missing = || Err(SourceError::Missing("404".into()));
    let seen = play([Ok(SourceEvent::ListBegins), missing()]).await;
    assert!(seen.store.is_missing() && !seen.store.is_synced());
    seen.store.synced_or_missing().await;
    let list = || {
        [Ok(SourceEvent::ListBegins), Ok(SourceEvent::Listed(node("x", "a", 9))), Ok(SourceEvent::ListEnds)]
    };
    let seen = play(list().into_iter().chain([missing()])).await;
    assert!(seen.store.is_missing() && seen.store.is_synced());
    assert_eq!(seen.store.len(), 1, "an API server that has just started may not know its resources yet");
    let seen = play([missing()].into_iter().chain(list())).await;
    assert!(!seen.store.is_missing() && seen.store.is_synced());
}

#[test]
fn what_is_installed_later_is_noticed_within_two_seconds() {
    let mut backoff = Backoff::default();
    let error = SourceError::Missing("404".into());
    let delays: Vec<_> = (0..20).map(|_| backoff.failed(&error, Instant::now())).collect();
    assert!(delays[0] <= Duration::from_millis(100), "{delays:?}");
    assert!(delays[19] > Duration::from_millis(900) && delays[19] <= Duration::from_secs(2), "{delays:?}");
}

#[test]
fn failing_lists_back_off_and_success_resets() {
    let mut backoff = Backoff::default();
    let now = Instant::now();
    let error = SourceError::Broken("x".into());
    let delays: Vec<_> = (0..12).map(|_| backoff.failed(&error, now)).collect();
    for (n, delay) in delays.iter().enumerate() {
        let full = Duration::from_millis(100 << n.min(10)).min(Duration::from_secs(30));
        assert!(*delay >= full / 2 && *delay <= full, "{n}: {delay:?}");
    }
    backoff.worked();
    assert!(backoff.failed(&error, now) <= Duration::from_millis(100));
}

#[test]
fn expired_watches_back_off_although_each_relist_works() {
    let mut backoff = Backoff::default();
    let now = Instant::now();
    let error = SourceError::Expired("410".into());
    let mut last = Duration::ZERO;
    for _ in 0..12 {
        last = backoff.failed(&error, now);
        backoff.worked();
    }
    assert!(last >= Duration::from_secs(15), "{last:?}");
    assert!(backoff.failed(&error, now + Duration::from_secs(121)) <= Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn lists_that_break_off_after_their_first_object_back_off() {
    /// Lists one object, breaks off, and so on; counts the lists.
    struct Breaking(u32, Arc<Mutex<u32>>);

    impl Source<Node> for Breaking {
        async fn next(&mut self) -> Result<SourceEvent<Node>, SourceError> {
            self.0 += 1;
            match self.0 % 3 {
                1 => {
                    *self.1.lock() += 1;
                    Ok(SourceEvent::ListBegins)
                }
                2 => Ok(SourceEvent::Listed(node("x", "a", 1))),
                _ => broken(),
            }
        }
    }

    let lists = Arc::new(Mutex::new(0));
    let stop = CancellationToken::new();
    let source = Breaking(0, Arc::clone(&lists));
    let task = tokio::spawn(testing::informer::<Node>().run(source, stop.clone()));
    tokio::time::sleep(Duration::from_mins(10)).await;
    stop.cancel();
    task.await.unwrap();
    assert!(*lists.lock() < 60, "{} lists in ten minutes", lists.lock());
}
