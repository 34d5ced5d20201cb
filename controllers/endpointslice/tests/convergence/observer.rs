//! Endpoints that must be there at every moment.

use fairlead_fake_api::{FakeApi, SLICES};
use serde_json::Value;

use crate::union::Union;

/// A Service that nobody changes. Pods come and go in it.
pub(crate) const STEADY: &str = "steady";
/// Pods of it that stay as they are. They are older than the oldest list that is ever served.
pub(crate) const STEADY_PODS: [&str; 4] = ["steady-0", "steady-1", "steady-2", "steady-3"];

/// Replays all writes and looks for moments in which one of the steady Pods was in no slice as ready.
pub(crate) fn check(api: &FakeApi, begun: u64) -> Result<(), String> {
    let mut union = Union::new(&STEADY_PODS);
    for event in api.events_after(0).into_iter().filter(|event| event.kind == &SLICES) {
        if event.version > begun {
            union.begin();
        }
        let of_steady = |slice: &Value| slice["metadata"]["labels"]["kubernetes.io/service-name"] == STEADY;
        let slice = event.new.filter(|slice| of_steady(slice)).map(|slice| Value::clone(&slice));
        union.see(&event.key.1, slice, event.version);
    }
    let moments = union.moments();
    if moments.is_empty() {
        return Ok(());
    }
    Err(format!("{} moments without an endpoint that is always ready: {moments:?}", moments.len()))
}

/// A history in which somebody takes an endpoint away for one write.
#[tokio::test(start_paused = true)]
async fn a_gap_in_a_history_is_found() {
    let api = FakeApi::new(1);
    let labels = serde_json::json!({"kubernetes.io/service-name": STEADY});
    let endpoint =
        |pod: &&str| serde_json::json!({"targetRef": {"name": pod}, "conditions": {"ready": true}});
    let endpoints: Vec<_> = STEADY_PODS.iter().map(endpoint).collect();
    let metadata = serde_json::json!({"namespace": "shop", "name": "s", "labels": labels});
    api.put(&SLICES, serde_json::json!({"metadata": metadata, "endpoints": endpoints}));
    let begun = api.version();
    api.edit(&SLICES, "shop", "s", |slice| slice["ports"] = serde_json::json!([]));
    assert_eq!(check(&api, begun), Ok(()));
    api.edit(&SLICES, "shop", "s", |slice| slice["endpoints"] = endpoints[1..].into());
    api.edit(&SLICES, "shop", "s", |slice| slice["endpoints"] = endpoints.into());
    let error = check(&api, begun).unwrap_err();
    assert!(error.starts_with("1 moments ") && error.contains("steady-0"), "{error}");
}
