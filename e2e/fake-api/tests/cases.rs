//! The server behaves as the cases state, in both ways of listing; `e2e/tests/fake_is_honest.rs` asks a real one.

use fairlead_fake_api::cases::{CASES, ENDING, FORGOTTEN};
use fairlead_fake_api::{FakeApi, NODES};

#[tokio::test(start_paused = true)]
async fn every_case_holds() {
    let mut failures = Vec::new();
    for case in CASES {
        for api in [FakeApi::new(1), FakeApi::new(1).listing_by_pages(100)] {
            api.terminate_namespace(ENDING);
            if let Err(error) = case.run(api.client()).await {
                failures.push(format!("{}: {error}", case.name));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_a_compacted_version_expires_by_an_event() {
    let api = FakeApi::new(1);
    api.put(&NODES, serde_json::json!({"metadata": {"name": "first"}}));
    api.compact();
    assert_eq!(FORGOTTEN.run(api.client()).await, Ok(()));
}
