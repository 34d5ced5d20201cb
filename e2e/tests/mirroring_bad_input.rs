//! Endpoints that nobody should write, on a real API server: what it admits is mirrored, and what cannot be mirrored is
//! told.

mod mirrors;

use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use lab::Result;
use serde_json::{Value, json};

use mirrors::{
    MANAGED_BY, PATIENCE, create_endpoints, endpoints, manager, mirrors, objects_only, patch, service,
    set_subsets, subset, told, try_endpoints, until,
};

#[tokio::test]
async fn what_the_api_server_admits_is_mirrored_and_the_rest_never_gets_that_far() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = manager(&lab).await?;
    for address in [
        "127.0.0.1",
        "169.254.1.1",
        "224.0.0.1",
        "0.0.0.0",
        "::1",
        "fe80::1",
        "ff02::1",
        "db.example.com",
        "",
    ] {
        let refused =
            try_endpoints(&lab, endpoints("refused", &json!({}), json!([subset(&[address], 1)]))).await?;
        let reason = refused.expect_err(address);
        assert!(reason.contains("invalid") || reason.contains("Invalid"), "{address}: {reason}");
    }
    for (port, reason) in
        [(0, "between 1 and 65535"), (65536, "between 1 and 65535"), (-1, "between 1 and 65535")]
    {
        let subsets = json!([{ "addresses": [{ "ip": "10.0.0.1" }], "ports": [{ "port": port }] }]);
        let refused =
            try_endpoints(&lab, endpoints("refused", &json!({}), subsets)).await?.expect_err("refused");
        assert!(refused.contains(reason), "{port}: {refused}");
    }
    let pod =
        |namespace: &str| json!({ "kind": "Pod", "namespace": namespace, "name": "no-such-pod", "uid": "u" });
    let cases: [(&str, Value, &[&str]); 9] = [
        ("irregular", json!([subset(&["2001:DB8:0::1"], 1)]), &["IPv6 1: 2001:db8::1"]),
        ("zeros", json!([subset(&["010.000.0.09"], 1)]), &["IPv4 1: 10.0.0.9"]),
        ("mapped", json!([subset(&["::ffff:10.0.0.1"], 1)]), &["IPv4 1: 10.0.0.1"]),
        (
            "twice",
            json!([subset(&["10.0.0.1", "10.0.0.1"], 1), subset(&["10.0.0.1"], 1)]),
            &["IPv4 1: 10.0.0.1"],
        ),
        (
            "both",
            json!([subset(&["10.0.0.1"], 1), { "notReadyAddresses": [{ "ip": "10.0.0.1" }], "ports": [{ "name": "sql", "port": 1 }] }]),
            &["IPv4 1: !10.0.0.1"],
        ),
        ("portless", json!([{ "addresses": [{ "ip": "10.0.0.1" }] }]), &["IPv4 : 10.0.0.1"]),
        ("highest", json!([subset(&["10.0.0.1"], 65535)]), &["IPv4 65535: 10.0.0.1"]),
        (
            "targets",
            json!([{ "addresses": [{ "ip": "10.0.0.1", "targetRef": pod("elsewhere"), "nodeName": "no-such-node" }],
            "ports": [{ "name": "sql", "port": 1 }] }]),
            &["IPv4 1: 10.0.0.1"],
        ),
        ("empty", json!([{ "addresses": [], "ports": [{ "name": "sql", "port": 1 }] }]), &[]),
    ];
    for (name, subsets, expected) in cases {
        service(&lab, name, json!({})).await?;
        // Some of these only some releases admit.
        match try_endpoints(&lab, endpoints(name, &json!({}), subsets)).await? {
            Ok(()) => drop(until(&lab, name, expected).await?),
            Err(reason) => assert!(["zeros", "mapped", "twice", "empty"].contains(&name), "{name}: {reason}"),
        }
    }
    let log = manager.log()?;
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    Ok(())
}

#[tokio::test]
async fn very_many_addresses() -> Result<()> {
    let lab = objects_only().start().await?;
    let _manager = manager(&lab).await?;
    let addresses = |count: usize| {
        (0..count).map(|at| json!({ "ip": format!("10.1.{}.{}", at / 250, at % 250) })).collect::<Vec<_>>()
    };
    let size = async |expected: usize| {
        lab.wait_until(format!("{expected} addresses"), PATIENCE, async || {
            let sizes: Vec<_> = mirrors(&lab, "db").await?.iter().map(|it| it.endpoints.len()).collect();
            if sizes == [expected] { Ok(()) } else { Err(format!("{sizes:?}").into()) }
        })
        .await
    };
    service(&lab, "db", json!({})).await?;
    for (count, mirrored) in [(1000, 1000), (1001, 1000), (5000, 1000), (400, 400)] {
        let subsets = json!([{ "addresses": addresses(count), "ports": [{ "name": "sql", "port": 1 }] }]);
        if count == 1000 {
            create_endpoints(&lab, "db", subsets).await?;
        } else {
            set_subsets(&lab, "db", subsets).await?;
        }
        size(mirrored).await?;
        if count > 1000 {
            let skipped = format!("{} addresses were skipped", count - 1000);
            told(&lab, "db", &["TooManyAddressesToMirror: A max of 1000 addresses", &skipped]).await?;
        }
    }
    Ok(())
}

/// The most annotations that the API server admits on an object fit on its slices, too.
#[tokio::test]
async fn annotations_of_the_largest_size_are_mirrored() -> Result<()> {
    let lab = objects_only().start().await?;
    let _manager = manager(&lab).await?;
    service(&lab, "db", json!({})).await?;
    let metadata = |bytes: usize| json!({ "annotations": { "bomb": "x".repeat(bytes - "bomb".len()) } });
    let subsets = json!([subset(&["10.0.0.1"], 1), subset(&["10.0.0.2"], 2)]);
    let limit = 256 * 1024;
    let refused = try_endpoints(&lab, endpoints("db", &metadata(limit + 1), subsets.clone()))
        .await?
        .expect_err("too large");
    assert!(refused.contains("Too long"), "{refused}");
    lab.create::<Endpoints>("default", endpoints("db", &metadata(limit), subsets)).await?;
    for slice in until(&lab, "db", &["IPv4 1: 10.0.0.1", "IPv4 2: 10.0.0.2"]).await? {
        let bomb = slice.metadata.annotations.and_then(|mut it| it.remove("bomb")).unwrap_or_default();
        assert_eq!(bomb.len() + "bomb".len(), limit);
    }
    Ok(())
}

/// What the API server refuses is told on the Endpoints; what it admits is mirrored all the same, and nothing is lost.
#[tokio::test]
async fn a_refusal_is_told_and_nothing_is_lost() -> Result<()> {
    let lab = objects_only().start().await?;
    let _manager = manager(&lab).await?;
    service(&lab, "db", json!({})).await?;
    create_endpoints(&lab, "db", json!([subset(&["10.0.0.1"], 1)])).await?;
    until(&lab, "db", &["IPv4 1: 10.0.0.1"]).await?;
    // No IPv6 slices here.
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": { "name": "no-ipv6" },
        "spec": { "failurePolicy": "Fail",
            "matchConstraints": { "resourceRules": [{ "apiGroups": ["discovery.k8s.io"], "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE"], "resources": ["endpointslices"] }] },
            "validations": [{ "expression": "object.addressType != 'IPv6'", "message": "IPv6 is not for us" }] },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": { "name": "no-ipv6" },
        "spec": { "policyName": "no-ipv6", "validationActions": ["Deny"] },
    });
    for object in [&policy, &binding] {
        lab.kubectl_with_input(&["apply", "-f", "-"], &object.to_string()).await?;
    }
    let probe = |name: String| json!({ "metadata": { "name": name }, "addressType": "IPv6", "endpoints": [], "ports": [] });
    let mut round = 0;
    lab.wait_until("the policy to be in force", PATIENCE, async || {
        round += 1;
        match lab.create::<EndpointSlice>("default", probe(format!("probe-{round}"))).await {
            Ok(_) => Err("not yet".into()),
            Err(_) => Ok(()),
        }
    })
    .await?;
    set_subsets(&lab, "db", json!([subset(&["10.0.0.2", "2001:db8::1"], 2)])).await?;
    until(&lab, "db", &["IPv4 2: 10.0.0.2"]).await?;
    told(
        &lab,
        "db",
        &["FailedToUpdateEndpointSlices: Error mirroring Endpoints default/db", "IPv6 is not for us"],
    )
    .await?;
    lab.kubectl(&["delete", "validatingadmissionpolicybinding", "no-ipv6"]).await?;
    // A change of the Endpoints tries again at once; otherwise it would take as long as the next try.
    lab.wait_until("the refused part", PATIENCE, async || {
        let now =
            json!({ "metadata": { "annotations": { "again": format!("{:?}", std::time::Instant::now()) } } });
        patch::<Endpoints>(&lab, "db", now).await?;
        let found = mirrors::describe(&mirrors(&lab, "db").await?);
        if found == ["IPv4 2: 10.0.0.2", "IPv6 2: 2001:db8::1"] {
            Ok(())
        } else {
            Err(format!("{found:?}").into())
        }
    })
    .await
}

#[tokio::test]
async fn long_names_and_names_that_collide() -> Result<()> {
    let lab = objects_only().start().await?;
    let _manager = manager(&lab).await?;
    let long = "a-name-of-sixty-three-characters-which-is-the-very-most-allowed";
    assert_eq!(long.len(), 63);
    service(&lab, long, json!({})).await?;
    create_endpoints(&lab, long, json!([subset(&["10.0.0.1"], 1), subset(&["10.0.0.2"], 2)])).await?;
    let slices = until(&lab, long, &["IPv4 1: 10.0.0.1", "IPv4 2: 10.0.0.2"]).await?;
    for slice in &slices {
        let name = slice.metadata.name.as_deref().unwrap_or_default();
        assert!(name.len() == 63 && name.starts_with(&long[..58]), "{name}");
    }
    // Another Service whose name begins alike: neither touches the other's.
    let twin = &format!("{}-x", &long[..58]);
    service(&lab, twin, json!({})).await?;
    create_endpoints(&lab, twin, json!([subset(&["10.0.0.3"], 1)])).await?;
    until(&lab, twin, &["IPv4 1: 10.0.0.3"]).await?;
    lab.kubectl(&["delete", "endpoints", twin]).await?;
    until(&lab, twin, &[]).await?;
    until(&lab, long, &["IPv4 1: 10.0.0.1", "IPv4 2: 10.0.0.2"]).await?;
    // Slices of others that are called as ours could be, and of an unknown manager, are left alone.
    let foreign = |name: &str, manager: &str| {
        json!({ "metadata": { "name": name, "labels": { "kubernetes.io/service-name": "db",
            "endpointslice.kubernetes.io/managed-by": manager } }, "addressType": "IPv4", "ports": [],
            "endpoints": [{ "addresses": ["10.0.9.9"] }] })
    };
    lab.create::<EndpointSlice>("default", foreign("db-abcde", "example.com")).await?;
    // One that claims to be ours, with other content: adopted and put right.
    lab.create::<EndpointSlice>("default", foreign("db-mine", MANAGED_BY)).await?;
    until(&lab, "db", &[]).await?;
    service(&lab, "db", json!({})).await?;
    create_endpoints(&lab, "db", json!([subset(&["10.0.0.1"], 1)])).await?;
    until(&lab, "db", &["IPv4 1: 10.0.0.1"]).await?;
    let all = lab.kubectl(&["get", "endpointslices", "-o", "name"]).await?;
    assert!(all.contains("/db-abcde"), "{all}");
    // Names that no Service can have are nobody's.
    let dotted = "a.name.with.dots";
    create_endpoints(&lab, dotted, json!([subset(&["10.0.0.1"], 1)])).await?;
    assert_eq!(mirrors(&lab, dotted).await?.len(), 0);
    Ok(())
}

/// Namespaces go away with everything in them, without a fuss.
#[tokio::test]
async fn a_namespace_that_is_being_deleted_is_no_error() -> Result<()> {
    let lab = objects_only().start().await?;
    let manager = manager(&lab).await?;
    lab.namespace("doomed").await?;
    for number in 0..5 {
        let name = format!("db-{number}");
        let spec = json!({ "ports": [{ "port": 1 }] });
        lab.create::<Service>("doomed", json!({ "metadata": { "name": name }, "spec": spec })).await?;
        lab.create::<Endpoints>("doomed", endpoints(&name, &json!({}), json!([subset(&["10.0.0.1"], 1)])))
            .await?;
    }
    lab.wait_until("the mirrors", PATIENCE, async || {
        let list = lab.kubectl(&["get", "endpointslices", "-n", "doomed", "-o", "name"]).await?;
        if list.lines().count() == 5 { Ok(()) } else { Err(list.into()) }
    })
    .await?;
    lab.kubectl(&["delete", "namespace", "doomed", "--timeout=60s"]).await?;
    let log = manager.log()?;
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    Ok(())
}
