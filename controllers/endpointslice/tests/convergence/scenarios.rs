//! Single histories that are too rare for dice.

use std::time::Duration;

use fairlead_fake_api::{FakeApi, NODES, PODS, SERVICES, SLICES, Weather};
use serde_json::json;

use crate::history::NAMESPACE;
use crate::oracle;
use crate::process::Process;

/// Our slice is deleted by somebody before the cache shows that we made it, and the cache learns neither: its watch
/// expires and the next list does not have the slice. Nothing in the cache changes, so nobody would look again.
#[tokio::test(start_paused = true)]
async fn a_slice_that_went_while_the_cache_was_blind_is_made_again() {
    for seed in 0..5 {
        let api = FakeApi::new(seed);
        api.set_weather(Weather { lag: 100, ..Weather::default() });
        let mut process = Process::start(&api);
        tokio::time::sleep(Duration::from_secs(1)).await;
        api.put(&NODES, json!({"metadata": {"name": "n"}}));
        let spec = json!({"ipFamilies": ["IPv4"], "selector": {"app": "a"}, "ports": [{"name": "", "protocol": "TCP", "port": 80, "targetPort": 80}]});
        api.put(&PODS, json!({"metadata": {"namespace": NAMESPACE, "name": "p", "labels": {"app": "a"}}, "spec": {"nodeName": "n"},
            "status": {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "conditions": [{"type": "Ready", "status": "True"}]}}));
        tokio::time::sleep(Weather::LONGEST_LAG).await;
        api.put(&SERVICES, json!({"metadata": {"namespace": NAMESPACE, "name": "s"}, "spec": spec}));
        while api.list(&SLICES).is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let slice = api.list(&SLICES)[0]["metadata"]["name"].as_str().map(str::to_owned);
        assert!(api.delete(&SLICES, NAMESPACE, &slice.unwrap()));
        api.compact();
        api.set_weather(Weather::default());
        tokio::time::sleep(Duration::from_mins(2)).await;
        let outcome = oracle::check(&api);
        process.kill();
        assert_eq!(outcome, Ok(()), "seed {seed}");
    }
}
