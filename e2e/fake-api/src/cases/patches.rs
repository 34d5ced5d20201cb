//! Patches.

use serde_json::{Value, json};

use super::{Api, Outcome, is, path, slice};

pub(super) async fn a_merge_patch_names_what_changes(api: Api) -> Outcome {
    let mut body = slice("patched");
    body["metadata"]["annotations"] = json!({"keep": "1", "drop": "1"});
    let made = api.create(&body).await?;
    let patch = json!({"metadata": {"annotations": {"drop": null, "add": "1"}}, "endpoints": [{"addresses": ["10.0.0.9"]}]});
    let (code, patched) = api.patch(&path(&made), "merge-patch", &patch).await?;
    is(
        json!([code, patched["metadata"]["annotations"]]),
        json!([200, {"add": "1", "keep": "1"}]),
        "annotations",
    )?;
    let addresses = &patched["endpoints"][0]["addresses"];
    is(json!([addresses, patched["addressType"]]), json!([["10.0.0.9"], "IPv4"]), "content")?;
    let (_, again) = api.patch(&path(&made), "merge-patch", &patch).await?;
    is(
        again["metadata"]["resourceVersion"].clone(),
        patched["metadata"]["resourceVersion"].clone(),
        "version",
    )?;
    api.delete(&made).await.map(drop)
}

const SERVICES: &str = "/api/v1/namespaces/default/services";

/// A Service of a class that nobody serves.
async fn create_service(api: &Api, name: &str) -> Result<Value, String> {
    let spec = json!({"type": "LoadBalancer", "loadBalancerClass": "example.com/nobody",
        "ports": [{"port": 80, "protocol": "TCP"}]});
    let service = json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": name}, "spec": spec});
    api.ok("POST", SERVICES, Some(&service)).await
}

fn condition(kind: &str, status: &str) -> Value {
    json!({"type": kind, "status": status, "reason": "Test", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"})
}

pub(super) async fn a_strategic_patch_of_a_status_merges_conditions_by_type(api: Api) -> Outcome {
    let made = create_service(&api, "conditions").await?;
    let status = format!("{SERVICES}/conditions/status");
    let patch = async |status_part: Value| {
        let body = json!({"spec": {"externalIPs": ["192.0.2.1"]}, "status": status_part});
        let (code, answer) = api.patch(&status, "strategic-merge-patch", &body).await?;
        is(json!(code), 200, &format!("{answer}")).map(|()| answer)
    };
    let types = |service: &Value| -> Value {
        let conditions = service["status"]["conditions"].as_array().into_iter().flatten();
        conditions.map(|it| json!([it["type"], it["status"]])).collect()
    };
    let (ours, theirs) = (condition("fairlead.dev/Test", "False"), condition("example.com/Test", "True"));
    let addresses = json!({"ingress": [{"ip": "198.51.100.7", "ipMode": "VIP"}]});
    let first = patch(json!({"conditions": [theirs], "loadBalancer": addresses})).await?;
    is(
        json!([types(&first), first["spec"]["externalIPs"]]),
        json!([[["example.com/Test", "True"]], null]),
        "one",
    )?;
    let second = patch(json!({"conditions": [ours]})).await?;
    is(second["status"]["loadBalancer"].clone(), addresses, "addresses")?;
    is(json!(second["status"]["conditions"].as_array().map(Vec::len)), 2, "conditions")?;
    let third = patch(json!({"conditions": [condition("fairlead.dev/Test", "True")]})).await?;
    let conditions = third["status"]["conditions"].as_array().into_iter().flatten();
    is(json!(conditions.filter(|it| it["status"] == "True").count()), 2, "conditions that are true")?;
    let gone = json!({"conditions": [{"type": "fairlead.dev/Test", "$patch": "delete"}], "loadBalancer": {"ingress": null}});
    let last = patch(gone).await?;
    is(
        json!([types(&last), last["status"]["loadBalancer"]]),
        json!([[["example.com/Test", "True"]], {}]),
        "the end",
    )?;
    is(made["metadata"]["uid"].clone(), last["metadata"]["uid"].clone(), "uid")?;
    api.ok("DELETE", &format!("{SERVICES}/conditions"), None).await.map(drop)
}

pub(super) async fn a_patch_asks_for_the_version_and_the_uid(api: Api) -> Outcome {
    let made = create_service(&api, "preconditions").await?;
    let status = format!("{SERVICES}/preconditions/status");
    let patch = async |metadata: Value| {
        let body =
            json!({"metadata": metadata, "status": {"conditions": [condition("fairlead.dev/Test", "True")]}});
        let (code, answer) = api.patch(&status, "strategic-merge-patch", &body).await?;
        Ok::<_, String>(json!([code, answer["reason"]]))
    };
    let (uid, version) = (&made["metadata"]["uid"], &made["metadata"]["resourceVersion"]);
    let other = "00000000-0000-4000-8000-00000000ffff";
    is(patch(json!({"uid": other, "resourceVersion": version})).await?, json!([422, "Invalid"]), "uid")?;
    is(patch(json!({"uid": uid, "resourceVersion": version})).await?, json!([200, null]), "both")?;
    is(patch(json!({"uid": uid, "resourceVersion": version})).await?, json!([409, "Conflict"]), "version")?;
    api.ok("DELETE", &format!("{SERVICES}/preconditions"), None).await.map(drop)
}
