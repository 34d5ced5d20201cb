//! The definitions of our kinds on a real API server: what they accept, the sentence with which they refuse, and what
//! people see of them.

mod bad_samples;
mod names;

use std::time::Duration;

use fairlead_crds::{LoadBalancerAddress, LoadBalancerPool};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use lab::{Error, Lab, ProxyMode, Result};
use serde_json::{Value, json};

use bad_samples::BAD;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn folder(name: &str) -> String {
    format!("{}/../config/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A lab that knows our kinds.
async fn lab_with_kinds() -> Result<Lab> {
    let lab = Lab::builder().nodes(1).proxy(ProxyMode::None).start().await?;
    let applied = lab.kubectl(&["apply", "-k", &folder("crd")]).await?;
    assert_eq!(applied.lines().filter(|line| line.ends_with(" created")).count(), 4, "{applied}");
    let definitions: Api<CustomResourceDefinition> = Api::all(lab.api());
    for kind in ["loadbalancerpools", "layer2announcements", "loadbalanceraddresses", "servicereservations"] {
        lab.wait_until(format!("{kind} to be served"), PATIENCE, async || {
            let found = definitions.get(&format!("{kind}.fairlead.dev")).await?;
            let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
            let is = |kind: &str| conditions.iter().any(|it| it.type_ == kind && it.status == "True");
            // What is not structural would be served, too, but without pruning and defaults.
            let structural = !conditions.iter().any(|it| it.type_ == "NonStructuralSchema");
            if is("Established") && structural { Ok(()) } else { Err(format!("{conditions:?}").into()) }
        })
        .await?;
    }
    Ok(lab)
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "fairlead.dev/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec })
}

/// Objects as kubectl takes them. Not a List: kubectl checks those itself, with other words than the API server's.
fn manifests(objects: &[Value]) -> String {
    objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n")
}

/// Applies objects with kubectl and returns what it complained about.
async fn refusals(lab: &Lab, objects: &[Value]) -> Result<String> {
    match lab.kubectl_with_input(&["apply", "-f", "-"], &manifests(objects)).await {
        Ok(_) => Ok(String::new()),
        Err(Error::Command { stderr, .. }) => Ok(stderr),
        Err(other) => Err(other),
    }
}

#[tokio::test]
async fn samples_are_accepted_and_mistakes_are_answered_with_a_sentence() -> Result<()> {
    let lab = lab_with_kinds().await?;
    let again = lab.kubectl(&["apply", "-k", &folder("crd")]).await?;
    assert_eq!(again.lines().filter(|line| line.ends_with(" unchanged")).count(), 4, "{again}");
    let applied = lab.kubectl(&["apply", "-f", &folder("samples")]).await?;
    println!("{applied}");
    let again = lab.kubectl(&["apply", "-f", &folder("samples")]).await?;
    assert!(again.lines().all(|line| line.ends_with(" unchanged")), "{again}");

    let named = |index: usize| format!("bad-{index}");
    let objects: Vec<_> = BAD
        .iter()
        .enumerate()
        .map(|(index, bad)| {
            let spec: Value = serde_json::from_str(bad.spec).expect(bad.spec);
            object(bad.kind, &named(index), &spec)
        })
        .collect();
    let said = refusals(&lab, &objects).await?;
    let mut wrong = Vec::new();
    for (index, bad) in BAD.iter().enumerate() {
        let about = format!("\"{}\" is invalid: ", named(index));
        let sentence =
            said.lines().find_map(|line| line.split_once(&about)).map_or("(accepted)", |(_, it)| it);
        println!("{} {}\n    {sentence}", bad.kind, bad.spec);
        if !sentence.contains(&format!("{}: ", bad.at)) || !sentence.contains(bad.says) {
            wrong.push(format!(
                "{} {}\n  wanted {}: {}\n  said   {sentence}",
                bad.kind, bad.spec, bad.at, bad.says
            ));
        }
    }
    assert!(wrong.is_empty(), "{}\n\n{said}", wrong.join("\n"));
    assert_eq!(said.lines().count(), BAD.len(), "one line for each: {said}");

    // What the API server says by itself of fields that there are not.
    let typo =
        object("LoadBalancerPool", "typo", &json!({ "addresses": ["198.51.100.0/24"], "autoassign": false }));
    let said = refusals(&lab, &[typo]).await?;
    assert!(said.contains("unknown field \"spec.autoassign\""), "{said}");
    Ok(())
}

#[tokio::test]
async fn the_largest_objects_are_within_the_cost_that_rules_may_have() -> Result<()> {
    let lab = lab_with_kinds().await?;
    let ranges: Vec<_> = (0..256)
        .map(|index| {
            format!("2001:db8:1111:2222:3333:4444:{index:x}:1 - 2001:db8:1111:2222:3333:4444:{index:x}:ffff")
        })
        .collect();
    let values: Vec<_> = (0..32).map(|index| format!("value-{index}")).collect();
    let expressions: Vec<_> = (0..16)
        .map(|index| json!({ "key": format!("example.com/a-key-{index}"), "operator": "In", "values": values }))
        .collect();
    let selectors: Vec<_> = (0..32).map(|_| json!({ "matchExpressions": expressions })).collect();
    let namespaces: Vec<_> =
        (0..256).map(|index| format!("a-namespace-with-a-rather-long-name-{index}")).collect();
    let nodes: Vec<_> = (0..32).map(|_| json!({ "weight": 1, "selector": selectors[0] })).collect();
    let addresses: Vec<_> =
        (0..32).map(|index| format!("2001:db8:1111:2222:3333:4444:5555:{index:x}")).collect();
    let objects = [
        object(
            "LoadBalancerPool",
            "large",
            &json!({
                "addresses": ranges, "exclude": ranges,
                "serviceAllocation": { "namespaces": namespaces, "serviceSelectors": selectors },
            }),
        ),
        object(
            "Layer2Announcement",
            "large",
            &json!({ "pools": namespaces, "nodeSelectors": selectors, "preferredNodes": nodes }),
        ),
        object(
            "ServiceReservation",
            "large",
            &json!({ "service": { "name": "web" }, "loadBalancer": { "addresses": addresses } }),
        ),
    ];
    // Not `apply`, which would keep a copy in an annotation, and those are bounded, too.
    let created = lab.kubectl_with_input(&["create", "-f", "-"], &manifests(&objects)).await?;
    assert_eq!(created.lines().filter(|line| line.ends_with(" created")).count(), 3, "{created}");
    Ok(())
}

#[tokio::test]
async fn columns_and_explanations_read_well() -> Result<()> {
    let lab = lab_with_kinds().await?;
    lab.kubectl(&["apply", "-f", &folder("samples")]).await?;
    let address = object(
        "LoadBalancerAddress",
        "198.51.100.7",
        &json!({
            "address": "198.51.100.7", "pool": "public", "sharingKey": "edge",
            "services": [{ "namespace": "default", "name": "web", "uid": "8b7e" }],
        }),
    );
    assert_eq!(refusals(&lab, &[address]).await?, "");
    let now = "2026-01-02T03:04:05.123456Z";
    let accepted = |status: &str, message: &str| json!([{ "type": "Accepted", "status": status, "reason": "Checked", "message": message, "lastTransitionTime": now }]);
    let pools: Api<LoadBalancerPool> = Api::all(lab.api());
    let status = json!({ "status": {
        "ipv4": { "capacity": 254, "assigned": 12, "free": 238, "reserved": 3, "cooling": 1 },
        "ipv6": { "capacity": i64::MAX, "assigned": 5, "free": i64::MAX, "reserved": 0, "cooling": 0 },
        "conditions": accepted("False", "198.51.100.0/24 is of pool older"),
    } });
    pools.patch_status("public", &PatchParams::default(), &Patch::Merge(&status)).await?;
    let addresses: Api<LoadBalancerAddress> = Api::all(lab.api());
    let status = json!({ "status": { "node": "node-1", "interface": "eth0", "mac": "02:00:5e:10:00:01", "since": now, "epoch": 3 } });
    addresses.patch_status("198.51.100.7", &PatchParams::default(), &Patch::Merge(&status)).await?;

    let shown = lab.kubectl(&["get", "fairlead", "-A"]).await?;
    println!("$ kubectl get fairlead -A\n{shown}");
    for (what, columns, row) in [
        (
            "lbpools",
            "NAME ADDRESSES AUTO-ASSIGN ASSIGNED-IPV4 FREE-IPV4 ASSIGNED-IPV6 FREE-IPV6 RESERVED-IPV4 COOLING-IPV4 DRAIN \
             ACCEPTED MESSAGE AGE",
            "public [\"198.51.100.0/24\",\"2001:db8:0:1::/64\"] true 12 238 5 9223372036854775807 3 1 false False \
             198.51.100.0/24 is of pool older",
        ),
        (
            "l2a",
            "NAME POOLS INTERFACES ACCEPTED POOL-SELECTORS SERVICE-SELECTORS NODE-SELECTORS MESSAGE AGE",
            "edge [\"payments\"] [\"eth0\",\"bond*\"]",
        ),
        (
            "lba",
            "NAME POOL NAMESPACE SERVICE PHASE NODE INTERFACE MAC SINCE SHARING-KEY COOLING-UNTIL CONFLICT AGE",
            "198.51.100.7 public default web Bound node-1 eth0 02:00:5e:10:00:01",
        ),
        ("svcres", "NAME SERVICE ADDRESSES PHASE BOUND-TO POOL ACCEPTED MESSAGE AGE", "web web"),
    ] {
        let shown = lab.kubectl(&["get", what, "-o", "wide"]).await?;
        println!("$ kubectl get {what} -o wide\n{shown}");
        let lines: Vec<_> =
            shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[0], columns);
        assert!(lines.iter().any(|line| line.starts_with(row)), "{row}\n{shown}");
    }
    let shown = lab
        .kubectl(&["get", "lba", "--field-selector", "spec.pool=public,status.node=node-1", "-o", "name"])
        .await?;
    assert_eq!(shown.trim(), "loadbalanceraddress.fairlead.dev/198.51.100.7");

    for (what, words) in [
        ("loadbalancerpool", "A pool with nothing but `spec.addresses` is complete"),
        ("loadbalancerpool.spec.addresses", "a range from the first to the last address"),
        ("lbpool.spec.coolDown", "as a duration such as 30s, 5m or 1h30m. Default: 0s."),
        ("lbpool.spec.order", "ENUM: Random Sequential"),
        ("lbpool.status.ipv4.cooling", "wait for the end of the cool-down"),
        ("l2a.spec.interfaces", "* stands for any text and ? for any character"),
        ("l2a.spec.preferredNodes.weight", "from 1 to 100"),
        ("lba.status.epoch", "it never falls"),
        ("svcres.spec.loadBalancer.pool", "The name of a LoadBalancerPool"),
        ("svcres.spec.selector.matchExpressions.operator", "ENUM: In NotIn Exists DoesNotExist"),
    ] {
        // What `explain` reads is published some moments after a kind is served.
        let explained = lab
            .wait_until(format!("{what} to be explained"), PATIENCE, async || {
                Ok(lab.kubectl(&["explain", what]).await?)
            })
            .await?;
        let text = explained.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(words), "{words}\n{explained}");
    }
    let explained = lab.kubectl(&["explain", "loadbalancerpool.spec"]).await?;
    println!("$ kubectl explain loadbalancerpool.spec\n{explained}");
    Ok(())
}
