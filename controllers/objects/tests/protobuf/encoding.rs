//! What is sent to the API server.

use std::collections::BTreeMap;

use fairlead_objects::protobuf::{encode, to_json};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Captured;

/// What is left of an object that is encoded and decoded again.
fn there_and_back<T: Serialize + DeserializeOwned>(api_version: &str, kind: &str, object: &T) -> T {
    let bytes = encode(api_version, kind, object).expect("all of it is known");
    serde_json::from_slice(&to_json(&bytes).unwrap()).unwrap()
}

fn writable(mut metadata: meta::ObjectMeta) -> meta::ObjectMeta {
    metadata.creation_timestamp = None;
    metadata.deletion_timestamp = None;
    metadata.deletion_grace_period_seconds = None;
    metadata.managed_fields = None;
    metadata
}

#[test]
fn all_that_can_be_written_arrives() {
    let mut slice: discovery::EndpointSlice =
        serde_json::from_value(Captured::find("EndpointSlice").json).unwrap();
    slice.metadata = writable(slice.metadata);
    // An empty list is none.
    let found = there_and_back("discovery.k8s.io/v1", "EndpointSlice", &slice);
    assert_eq!(found.metadata, slice.metadata);
    assert_eq!(found.ports, slice.ports);
    assert_eq!(found.endpoints[..2], slice.endpoints[..2]);

    let mut endpoints: core::Endpoints = serde_json::from_value(Captured::find("Endpoints").json).unwrap();
    endpoints.metadata = writable(endpoints.metadata);
    assert_eq!(there_and_back("v1", "Endpoints", &endpoints), endpoints);
}

#[test]
fn what_the_tables_do_not_know_is_not_encoded() {
    #[derive(Serialize)]
    struct Other {
        metadata: meta::ObjectMeta,
        news: u32,
    }

    let slice = discovery::EndpointSlice::default();
    let (group, kind) = ("discovery.k8s.io/v1", "EndpointSlice");
    assert!(encode(group, kind, &slice).is_some());
    let dated = meta::ObjectMeta {
        creation_timestamp: serde_json::from_str("\"2026-01-02T03:04:05Z\"").ok(),
        ..meta::ObjectMeta::default()
    };
    assert_eq!(encode(group, kind, &discovery::EndpointSlice { metadata: dated, ..slice.clone() }), None);
    assert_eq!(encode("v1", "Pod", &core::Pod::default()), None, "much of a Pod is not known");
    assert_eq!(encode("v1", "Node", &core::Node::default()), None);
    assert_eq!(encode(group, kind, &serde_json::json!({"metadata": {}})), None, "it has no declared fields");
    assert_eq!(encode(group, kind, &Other { metadata: meta::ObjectMeta::default(), news: 1 }), None);
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{1,12}", "[a-z]{130,200}", Just("\"\\\n\u{1}".to_owned())]
}

/// Where Go knows no absence of its own, an empty text comes back as none.
fn plain() -> impl Strategy<Value = Option<String>> {
    option::of(text())
}

/// Where it does, empty and absent are two things.
fn pointer() -> impl Strategy<Value = Option<String>> {
    option::of(prop_oneof![text(), Just(String::new())])
}

fn map() -> impl Strategy<Value = Option<BTreeMap<String, String>>> {
    option::of(btree_map(text(), ".{0,4}", 1..4))
}

fn list<T: Strategy>(of: T) -> impl Strategy<Value = Option<Vec<T::Value>>>
where
    T::Value: Clone,
{
    option::of(vec(of, 1..4))
}

fn metadata() -> impl Strategy<Value = meta::ObjectMeta> {
    let owner = (text(), text(), text(), text(), any::<Option<bool>>(), any::<Option<bool>>()).prop_map(
        |(api_version, kind, name, uid, controller, block_owner_deletion)| meta::OwnerReference {
            api_version,
            kind,
            name,
            uid,
            controller,
            block_owner_deletion,
        },
    );
    let names = (plain(), plain(), plain(), plain(), plain());
    (names, map(), map(), list(owner), list(text()), option::of(1..i64::MAX)).prop_map(
        |(
            (name, generate_name, namespace, uid, resource_version),
            labels,
            annotations,
            owner_references,
            finalizers,
            generation,
        )| meta::ObjectMeta {
            name,
            generate_name,
            namespace,
            uid,
            resource_version,
            labels,
            annotations,
            owner_references,
            finalizers,
            generation,
            ..meta::ObjectMeta::default()
        },
    )
}

fn reference() -> impl Strategy<Value = Option<core::ObjectReference>> {
    let parts = (plain(), plain(), plain(), plain(), plain(), plain(), plain());
    option::of(parts.prop_map(|(api_version, kind, namespace, name, uid, resource_version, field_path)| {
        core::ObjectReference { api_version, kind, namespace, name, uid, resource_version, field_path }
    }))
}

fn slice_endpoint() -> impl Strategy<Value = discovery::Endpoint> {
    let conditions =
        any::<(Option<bool>, Option<bool>, Option<bool>)>().prop_map(|(ready, serving, terminating)| {
            discovery::EndpointConditions { ready, serving, terminating }
        });
    let hints = (list(text()), list(text())).prop_map(|(zones, nodes)| discovery::EndpointHints {
        for_zones: zones.map(|names| names.into_iter().map(|name| discovery::ForZone { name }).collect()),
        for_nodes: nodes.map(|names| names.into_iter().map(|name| discovery::ForNode { name }).collect()),
    });
    let parts = (
        vec(text(), 1..3),
        option::of(conditions),
        option::of(hints),
        reference(),
        pointer(),
        pointer(),
        pointer(),
        map(),
    );
    parts.prop_map(
        |(addresses, conditions, hints, target_ref, hostname, node_name, zone, deprecated_topology)| {
            discovery::Endpoint {
                addresses,
                conditions,
                hints,
                target_ref,
                hostname,
                node_name,
                zone,
                deprecated_topology,
            }
        },
    )
}

fn slice_port() -> impl Strategy<Value = discovery::EndpointPort> {
    (pointer(), pointer(), any::<Option<i32>>(), pointer()).prop_map(
        |(name, protocol, port, app_protocol)| discovery::EndpointPort { name, protocol, port, app_protocol },
    )
}

fn subset() -> impl Strategy<Value = core::EndpointSubset> {
    let address = || {
        (text(), plain(), pointer(), reference()).prop_map(|(ip, hostname, node_name, target_ref)| {
            core::EndpointAddress { ip, hostname, node_name, target_ref }
        })
    };
    let port =
        (plain(), plain(), any::<i32>(), pointer()).prop_map(|(name, protocol, port, app_protocol)| {
            core::EndpointPort { name, protocol, port, app_protocol }
        });
    (list(address()), list(address()), list(port)).prop_map(|(addresses, not_ready_addresses, ports)| {
        core::EndpointSubset { addresses, not_ready_addresses, ports }
    })
}

proptest! {
    #[test]
    fn every_slice_survives(
        metadata in metadata(),
        endpoints in vec(slice_endpoint(), 0..4),
        ports in list(slice_port()),
        address_type in text(),
    ) {
        let slice = discovery::EndpointSlice { metadata, address_type, endpoints, ports };
        let found = there_and_back("discovery.k8s.io/v1", "EndpointSlice", &slice);
        prop_assert_eq!(found, slice);
    }

    #[test]
    fn every_endpoints_object_survives(metadata in metadata(), subsets in list(subset())) {
        let endpoints = core::Endpoints { metadata, subsets };
        prop_assert_eq!(there_and_back("v1", "Endpoints", &endpoints), endpoints);
    }
}
