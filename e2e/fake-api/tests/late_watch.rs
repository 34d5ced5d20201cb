//! A watch that is late still has bookmarks, which come in time.

use std::time::Duration;

use fairlead_fake_api::{FakeApi, NODES, Weather};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{WatchEvent, WatchParams};
use serde_json::json;

/// A bookmark that is due while an event is late once made the watch spin, and paused time stand still.
#[tokio::test(start_paused = true)]
async fn time_goes_on_while_events_are_late_and_a_bookmark_is_due() {
    let api = FakeApi::new(1);
    api.set_weather(Weather { lag: 100, ..Weather::default() });
    api.put(&NODES, json!({"metadata": {"name": "first"}}));
    let nodes: Api<Node> = Api::all(api.client());
    let watch = nodes.watch(&WatchParams::default(), &api.version().to_string()).await.unwrap();
    let mut watch = Box::pin(watch);
    let (mut bookmarks, mut applied) = (0, 0);
    for number in 0..200 {
        api.put(&NODES, json!({"metadata": {"name": format!("node-{number}")}}));
        let second = tokio::time::sleep(Duration::from_secs(1));
        tokio::pin!(second);
        loop {
            tokio::select! {
                () = &mut second => break,
                event = watch.next() => match event.expect("the watch goes on").unwrap() {
                    WatchEvent::Bookmark(_) => bookmarks += 1,
                    WatchEvent::Added(_) => applied += 1,
                    other => panic!("unexpected: {other:?}"),
                },
            }
        }
    }
    assert!(bookmarks >= 3, "one a minute: {bookmarks}");
    assert!((170..200).contains(&applied), "up to 20 s late: {applied}");
}
