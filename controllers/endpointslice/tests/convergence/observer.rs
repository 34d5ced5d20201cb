//! Endpoints that must be there at every moment.

use std::collections::BTreeMap;

use fairlead_fake_api::{FakeApi, SLICES};
use serde_json::Value;

/// A Service that nobody changes. Pods come and go in it.
pub(crate) const STEADY: &str = "steady";
/// Pods of it that stay as they are. They are older than the oldest list that is ever served.
pub(crate) const STEADY_PODS: [&str; 4] = ["steady-0", "steady-1", "steady-2", "steady-3"];

/// Replays all writes and looks for moments in which one of the steady Pods was in no slice as ready.
pub(crate) fn check(api: &FakeApi, begun: u64) -> Result<(), String> {
    let mut slices = BTreeMap::new();
    let mut moments = Vec::new();
    for event in api.events_after(0).into_iter().filter(|event| event.kind == &SLICES) {
        let of_steady = |slice: &Value| slice["metadata"]["labels"]["kubernetes.io/service-name"] == STEADY;
        match event.new.filter(|slice| of_steady(slice)) {
            Some(slice) => slices.insert(event.key.clone(), slice),
            None => slices.remove(&event.key),
        };
        if event.version <= begun {
            continue;
        }
        for pod in STEADY_PODS {
            let shows = |endpoint: &Value| {
                endpoint["targetRef"]["name"] == pod && endpoint["conditions"]["ready"] == true
            };
            let found = slices
                .values()
                .any(|slice| slice["endpoints"].as_array().is_some_and(|list| list.iter().any(shows)));
            if !found {
                moments.push(format!("{pod} @{}", event.version));
            }
        }
    }
    if moments.is_empty() {
        return Ok(());
    }
    Err(format!("{} moments without an endpoint that is always ready: {moments:?}", moments.len()))
}
