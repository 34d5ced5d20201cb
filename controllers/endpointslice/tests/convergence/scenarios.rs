//! Single histories that are too rare for dice.

use std::time::Duration;

use fairlead_fake_api::{FakeApi, NODES, PODS, SERVICES, SLICES, Weather};
use fairlead_machinery::permit::Gate;
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

/// What a standby finds to be done it does at once when it takes over, and what the leader has done by then it does not.
#[tokio::test(start_paused = true)]
async fn a_standby_writes_nothing_and_begins_with_what_is_left_to_do() {
    let pod = |name: &str, ready: &str, address: u8| {
        json!({"metadata": {"namespace": NAMESPACE, "name": name, "labels": {"app": "a"}}, "spec": {"nodeName": "n"},
            "status": {"podIP": format!("10.0.0.{address}"), "podIPs": [{"ip": format!("10.0.0.{address}")}],
                "conditions": [{"type": "Ready", "status": ready}]}})
    };
    let api = FakeApi::new(1);
    let gate = Gate::closed();
    let (mut leader, mut standby) = (Process::start(&api), Process::behind(&api, &gate));
    api.put(&NODES, json!({"metadata": {"name": "n"}}));
    for number in 0..7 {
        api.put(&PODS, pod(&format!("p-{number}"), "True", number));
    }
    let spec = json!({"ipFamilies": ["IPv4"], "selector": {"app": "a"}, "ports": [{"name": "", "protocol": "TCP", "port": 80, "targetPort": 80}]});
    api.put(&SERVICES, json!({"metadata": {"namespace": NAMESPACE, "name": "s"}, "spec": spec}));
    tokio::time::sleep(Duration::from_secs(10)).await;
    api.put(&PODS, pod("p-3", "False", 3));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(oracle::check(&api), Ok(()));
    assert_eq!(standby.metric("endpoint_slice_controller_changes{operation=\"create\"}"), 0);

    // Nobody leads for an hour.
    leader.kill();
    let before = api.version();
    for (number, ready) in [(3, "True"), (5, "False")] {
        api.put(&PODS, pod(&format!("p-{number}"), ready, number));
    }
    let changed = api.version();
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert!(changed > before && api.version() == changed, "a standby wrote");
    assert!(oracle::check(&api).is_err());

    gate.open();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(oracle::check(&api), Ok(()));
    let written = api.version();

    // Closed and opened again while there is nothing to do: nothing is done.
    gate.close();
    gate.open();
    tokio::time::sleep(Duration::from_mins(30)).await;
    assert_eq!(api.version(), written);
    standby.kill();
}
