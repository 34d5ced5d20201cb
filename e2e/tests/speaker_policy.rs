//! What the token of a speaker is good for: its own node, by `config/rbac` and `config/policy` on a real API server.

use std::time::Duration;

use fairlead_crds::LoadBalancerAddress;
use k8s_openapi::api::authentication::v1::BoundObjectReference;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use lab::{Identity, Lab, ProxyMode, Result};
use serde_json::{Value, json};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const NAMESPACE: &str = "fairlead-system";
const ACCOUNT: &str = "fairlead-speaker";
const ADDRESS: &str = "198.51.100.7";
const NO_NODE: &str = "The token of the speaker is not bound to a Pod on a node";

/// A lab with two speakers' tokens, one that is bound to nothing, and an address.
struct Scene {
    lab: Lab,
    speaker_a: Client,
    speaker_b: Client,
    unbound: Client,
}

async fn scene() -> Result<Scene> {
    let lab = Lab::builder().nodes(1).proxy(ProxyMode::None).start().await?;
    lab.apply_rbac().await?;
    lab.apply_crds().await?;
    lab.apply_policy().await?;
    let speaker_a = bound(&lab, "node-a").await?;
    let speaker_b = bound(&lab, "node-b").await?;
    let unbound = lab.api_as(&Identity::service_account(NAMESPACE, ACCOUNT)).await?;
    let address: LoadBalancerAddress = serde_json::from_value(json!({
        "apiVersion": "fairlead.dev/v1alpha1", "kind": "LoadBalancerAddress", "metadata": { "name": ADDRESS },
        "spec": { "address": ADDRESS, "pool": "public",
            "services": [{ "namespace": "shop", "name": "web", "uid": "1234" }] },
    }))
    .expect("an address");
    let addresses: Api<LoadBalancerAddress> = Api::all(lab.api());
    lab.wait_until("the address to be created", PATIENCE, async || {
        Ok(addresses.create(&PostParams::default(), &address).await.map(drop)?)
    })
    .await?;
    // The API server takes a policy to heart some time after it was applied.
    lab.wait_until("both policies to be in force", PATIENCE, async || {
        let address = status(&unbound, json!({ "node": "node-a", "epoch": 1 })).await;
        let lease = state(&unbound, "node-a", "node-a").await;
        match (address, lease) {
            (Err(one), Err(other)) if [&one, &other].iter().all(|it| it.to_string().contains(NO_NODE)) => {
                Ok(())
            }
            _ => Err("something is still accepted".to_owned().into()),
        }
    })
    .await?;
    Ok(Scene { lab, speaker_a, speaker_b, unbound })
}

/// By a token that is bound to a Pod on a node, as a kubelet gets it for one.
async fn bound(lab: &Lab, node: &str) -> Result<Client> {
    lab.paper_node(node, None).await?;
    let name = format!("speaker-on-{node}");
    let pod: Pod = lab
        .create(
            NAMESPACE,
            json!({ "metadata": { "name": name }, "spec": {
                "serviceAccountName": ACCOUNT, "nodeName": node,
                "containers": [{ "name": "speaker", "image": "fairlead" }] } }),
        )
        .await?;
    let bound_to = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(name),
        uid: pod.metadata.uid,
    };
    let (namespace, name) = (NAMESPACE.to_owned(), ACCOUNT.to_owned());
    lab.api_as(&Identity::BoundServiceAccount { namespace, name, bound_to }).await
}

/// Patches the status of the address.
async fn status(client: &Client, status: Value) -> kube::Result<LoadBalancerAddress> {
    let addresses: Api<LoadBalancerAddress> = Api::all(client.clone());
    let patch = Patch::Merge(json!({ "status": status }));
    addresses.patch_status(ADDRESS, &PatchParams::default(), &patch).await
}

/// Has the Lease of a node held by somebody.
async fn state(client: &Client, node: &str, holder: &str) -> kube::Result<Lease> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let name = format!("fairlead-speaker-{node}");
    let lease: Lease = serde_json::from_value(json!({
        "metadata": { "name": name }, "spec": { "holderIdentity": holder } }))
    .expect("a lease");
    match leases.create(&PostParams::default(), &lease).await {
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            let patch = Patch::Merge(json!({ "spec": { "holderIdentity": holder } }));
            leases.patch(&name, &PatchParams::default(), &patch).await
        }
        created => created,
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: kube::Result<T>, expected: &str) {
    let error = outcome.expect_err(expected).to_string();
    assert!(error.contains(expected), "{error}");
}

#[tokio::test]
async fn a_speaker_writes_for_its_own_node_only() -> Result<()> {
    let Scene { lab, speaker_a, speaker_b, unbound } = scene().await?;
    let own = json!({ "node": "node-a", "interface": "eth0", "mac": "02:00:00:00:00:0a", "epoch": 3,
        "since": "2026-01-01T12:00:00.000000Z", "conditions": [{ "type": "Announced", "status": "True",
            "reason": "Answering", "message": "", "lastTransitionTime": "2026-01-01T12:00:00Z" }] });
    let written = status(&speaker_a, own).await?.status.expect("a status");
    assert_eq!((written.node.as_deref(), written.epoch), (Some("node-a"), Some(3)));

    refused(status(&speaker_a, json!({ "node": "node-b", "epoch": 4 })).await, "and not that node-b does");
    refused(status(&speaker_a, json!({ "epoch": 2 })).await, "epoch");
    refused(status(&speaker_b, json!({ "node": null })).await, "and not that node-a does not");
    refused(status(&speaker_b, json!({ "epoch": 4 })).await, "and not that node-a does");
    refused(status(&unbound, json!({ "node": "node-a" })).await, NO_NODE);
    refused(status(&unbound, json!({ "conditions": [] })).await, NO_NODE);
    refused(
        status(&speaker_a, json!({ "phase": "Cooling", "coolingUntil": "2026-01-01T12:00:00.000000Z" }))
            .await,
        "A speaker does not decide whether an address is in use",
    );
    // Another node takes it over, and the first one is late.
    status(&speaker_b, json!({ "node": "node-b", "epoch": 4 })).await?;
    refused(status(&speaker_a, json!({ "node": null })).await, "and not that node-b does not");
    refused(status(&speaker_a, json!({ "node": "node-a", "epoch": 3 })).await, "epoch");
    // Who does not answer any more says so, and where nobody does anybody may say what was seen.
    status(&speaker_b, json!({ "node": null, "interface": null, "mac": null, "since": null })).await?;
    let conflict = json!([{ "type": "Conflict", "status": "True", "reason": "AddressInUse", "message": "",
        "lastTransitionTime": "2026-01-01T12:00:00Z" }]);
    status(&speaker_a, json!({ "conditions": conflict })).await?;
    refused(status(&speaker_a, json!({ "node": "node-b" })).await, "and not that node-b does");
    // Everybody else writes as before.
    status(&lab.api(), json!({ "node": "node-c", "epoch": 9 })).await?;
    Ok(())
}

#[tokio::test]
async fn a_speaker_holds_its_own_lease_and_has_no_further_rights() -> Result<()> {
    let Scene { lab, speaker_a, speaker_b, unbound } = scene().await?;
    state(&speaker_a, "node-a", "node-a").await?;
    state(&speaker_a, "node-a", "").await?;
    refused(state(&speaker_a, "node-a", "node-b").await, "may hold its Lease for its own node only");
    refused(
        state(&speaker_a, "node-b", "node-a").await,
        "may write the Lease fairlead-speaker-node-a, and no other",
    );
    refused(
        state(&speaker_b, "node-a", "node-b").await,
        "may write the Lease fairlead-speaker-node-b, and no other",
    );
    refused(state(&unbound, "node-a", "node-a").await, NO_NODE);
    let leases: Api<Lease> = Api::namespaced(speaker_b.clone(), NAMESPACE);
    let manager = Patch::Merge(json!({ "spec": { "holderIdentity": "node-b" } }));
    let election: Lease =
        lab.create(NAMESPACE, json!({ "metadata": { "name": "fairlead-manager" } })).await?;
    let election = election.metadata.name.expect("a name");
    refused(leases.patch(&election, &PatchParams::default(), &manager).await, "and no other");
    assert_eq!(leases.list(&ListParams::default()).await?.items.len(), 2);

    let forbidden = "is forbidden";
    let addresses: Api<LoadBalancerAddress> = Api::all(speaker_a.clone());
    let spec = Patch::Merge(json!({ "spec": { "pool": "other" } }));
    refused(addresses.patch(ADDRESS, &PatchParams::default(), &spec).await, forbidden);
    refused(addresses.delete(ADDRESS, &DeleteParams::default()).await.map(drop), forbidden);
    let secrets: Api<Secret> = Api::namespaced(speaker_a.clone(), NAMESPACE);
    refused(secrets.get("fairlead-beacon-key").await, forbidden);
    let services: Api<Service> = Api::all(speaker_a.clone());
    refused(services.list(&ListParams::default()).await, forbidden);
    let pods: Api<Pod> = Api::all(speaker_a);
    refused(pods.list(&ListParams::default()).await, forbidden);
    Ok(())
}
