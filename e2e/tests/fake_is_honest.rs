//! The fake API server of other tests behaves as a real one: one list of cases is tried on both. Its own tests try
//! it on the fake.

mod support;

use std::time::Duration;

use fairlead_fake_api::cases::{CASES, ENDING};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams};
use lab::Result;
use serde_json::json;

#[tokio::test]
async fn every_case_holds_on_a_real_api_server() -> Result<()> {
    let lab = support::objects_only().start().await?;
    lab.namespace(ENDING).await?;
    // Something in it that does not go keeps the namespace from going.
    let metadata = json!({ "name": "holds", "finalizers": ["example.com/hold"] });
    let body = json!({ "metadata": metadata, "addressType": "IPv4", "endpoints": [] });
    lab.create::<EndpointSlice>(ENDING, body).await?;
    let namespaces: Api<Namespace> = Api::all(lab.api());
    let deleted = namespaces.delete(ENDING, &DeleteParams::default()).await;
    deleted.map_err(|error| lab::Error::Invalid(format!("deleting {ENDING}: {error}")))?;

    let mut failures = Vec::new();
    for case in CASES {
        let run = tokio::time::timeout(Duration::from_mins(1), case.run(lab.api())).await;
        if let Err(error) = run.unwrap_or_else(|_| Err("it takes more than a minute".to_owned())) {
            failures.push(format!("{}: {error}", case.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}
