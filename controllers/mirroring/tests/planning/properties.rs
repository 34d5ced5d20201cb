//! Whatever the Endpoints and whatever slices are there: the plan makes them right, and right things are left alone.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::sequence::sync_watched;
use crate::support::{NOTHING, World, is_ours, slice, subset_of};

const ADDRESSES: [&str; 8] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.0.4",
    "2001:db8::1",
    "2001:db8::2",
    "not an address",
    "127.0.0.1",
];

fn any_addresses() -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(&ADDRESSES[..], 0..=5)
}

fn any_ports() -> impl Strategy<Value = Vec<i32>> {
    proptest::sample::subsequence(vec![1, 2, 3], 0..=3)
}

fn any_subsets() -> impl Strategy<Value = Value> {
    let subset = (any_addresses(), any_addresses(), any_ports())
        .prop_map(|(ready, not_ready, ports)| subset_of(&ready, &not_ready, &ports));
    proptest::collection::vec(subset, 0..4).prop_map(Value::from)
}

/// A slice of this controller, rightly made or not, or of somebody else.
fn any_slice() -> impl Strategy<Value = Value> {
    let addresses = proptest::sample::subsequence(&ADDRESSES[..4], 0..=4);
    (addresses, any_ports(), 0..8_u8).prop_map(|(addresses, ports, kind)| {
        let mut slice = slice(
            "",
            if kind == 0 { "IPv6" } else { "IPv4" },
            if kind == 0 { &[] } else { &addresses },
            &ports,
        );
        let metadata = &mut slice["metadata"];
        match kind {
            1 => metadata["labels"]["kubernetes.io/service-name"] = "other".into(),
            2 => metadata["labels"]["endpointslice.kubernetes.io/managed-by"] = "example.com".into(),
            3 => metadata["ownerReferences"][0]["uid"] = "former".into(),
            4 => metadata["annotations"] = json!({ "mine": "x" }),
            5 => metadata["deletionTimestamp"] = "2026-01-02T03:04:05Z".into(),
            6 => slice["addressType"] = "FQDN".into(),
            _ => {}
        }
        slice
    })
}

fn named(slices: Vec<Value>) -> Vec<Value> {
    let name = |(at, mut slice): (usize, Value)| {
        slice["metadata"]["name"] = format!("old-{at}").into();
        slice["metadata"]["uid"] = format!("uid-of-{at}").into();
        slice
    };
    slices.into_iter().enumerate().map(name).collect()
}

/// Is it IPv6, and its ports.
type Group = (bool, BTreeSet<i64>);
/// Addresses, and whether they are ready.
type Addresses = BTreeMap<String, bool>;

/// What should be mirrored, worked out independently: by port the addresses and whether they are ready, and from that by
/// family and set of ports.
fn expected(subsets: &Value) -> BTreeMap<Group, Addresses> {
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut by_port: BTreeMap<i64, BTreeMap<String, bool>> = BTreeMap::new();
    for subset in array(subsets) {
        let mut ports: Vec<i64> =
            array(&subset["ports"]).iter().filter_map(|it| it["port"].as_i64()).collect();
        if ports.is_empty() {
            ports.push(-1);
        }
        for (list, ready) in [("addresses", true), ("notReadyAddresses", false)] {
            for address in array(&subset[list]) {
                for port in &ports {
                    let ip = address["ip"].as_str().unwrap_or_default().to_owned();
                    *by_port.entry(*port).or_default().entry(ip).or_insert(true) &= ready;
                }
            }
        }
    }
    let mut ports_of: BTreeMap<BTreeMap<String, bool>, BTreeSet<i64>> = BTreeMap::new();
    for (port, addresses) in by_port {
        ports_of.entry(addresses).or_default().insert(port);
    }
    let mut slices: BTreeMap<_, BTreeMap<String, bool>> = BTreeMap::new();
    for (addresses, mut ports) in ports_of {
        if ports.len() > 1 {
            ports.remove(&-1);
        }
        for (ip, ready) in addresses.into_iter().filter(|(ip, _)| ADDRESSES[..6].contains(&ip.as_str())) {
            slices.entry((ip.contains(':'), ports.clone())).or_default().insert(ip, ready);
        }
    }
    slices
}

fn actual(world: &World) -> Vec<(Group, Addresses)> {
    let live = |it: &&Value| is_ours(it) && it["metadata"]["deletionTimestamp"].is_null();
    let mut slices: Vec<_> = world
        .slices
        .iter()
        .filter(live)
        .map(|slice| {
            let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
            let mut ports: BTreeSet<_> =
                array(&slice["ports"]).iter().filter_map(|it| it["port"].as_i64()).collect();
            if ports.is_empty() {
                ports.insert(-1);
            }
            let endpoints = array(&slice["endpoints"]);
            let ready = |it: &Value| it["conditions"]["ready"] == true;
            let pairs = endpoints
                .iter()
                .map(|it| (it["addresses"][0].as_str().unwrap_or_default().to_owned(), ready(it)));
            ((slice["addressType"] == "IPv6", ports), pairs.collect())
        })
        .collect();
    slices.sort();
    slices
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every valid address is in exactly one slice of its family and ports; nothing else is touched; then nothing is left
    /// to do. On the way no address that stays is missing.
    #[test]
    fn slices_become_right_and_stay_so(
        subsets in any_subsets(), slices in proptest::collection::vec(any_slice(), 0..5), later in any_subsets(),
    ) {
        let mut world = World::with_slices(&subsets, named(slices));
        for subsets in [subsets, later] {
            world.edit(|it| it["subsets"] = subsets.clone());
            let foreign = |world: &World| -> Vec<Value> { world.slices.iter().filter(|it| !is_ours(it)).cloned().collect() };
            let before = foreign(&world);
            let expected: Vec<_> = expected(&subsets).into_iter().collect();
            sync_watched(&mut world, "any");
            prop_assert_eq!(actual(&world), expected);
            prop_assert_eq!(foreign(&world), before);
            for slice in &world.slices {
                let held = slice["metadata"]["deletionTimestamp"].is_string() && is_ours(slice);
                let emptied = slice["endpoints"].as_array().is_none_or(Vec::is_empty);
                prop_assert!(!held || emptied, "what is on its way out holds nothing: {}", slice);
            }
            let again = world.sync();
            prop_assert_eq!(again, NOTHING);
        }
        world.service = None;
        world.sync();
        prop_assert_eq!(actual(&world), []);
        prop_assert_eq!(world.sync(), NOTHING);
    }

    /// At most so many of each subset, ready ones first.
    #[test]
    fn the_limit_holds(subsets in any_subsets(), max in 1..4_usize) {
        let mut world = World { max, ..World::new(&subsets) };
        let skipped = world.plan().skipped;
        world.sync();
        let all = expected(&subsets);
        let mut of_ports: BTreeMap<_, BTreeMap<String, bool>> = BTreeMap::new();
        for ((_, ports), endpoints) in actual(&world) {
            of_ports.entry(ports).or_default().extend(endpoints);
        }
        let mut wanted: BTreeMap<_, BTreeMap<String, bool>> = BTreeMap::new();
        for ((_, ports), endpoints) in all {
            wanted.entry(ports).or_default().extend(endpoints);
        }
        for (ports, endpoints) in &wanted {
            let kept = &of_ports[ports];
            prop_assert_eq!(kept.len(), endpoints.len().min(max));
            let ready = |list: &BTreeMap<String, bool>| list.values().filter(|ready| **ready).count();
            prop_assert_eq!(ready(kept), ready(endpoints).min(max), "ready ones first");
            prop_assert!(kept.iter().all(|(ip, ready)| endpoints.get(ip) == Some(ready)));
        }
        let left: usize = wanted.values().map(|it| it.len().saturating_sub(max)).sum();
        prop_assert_eq!(skipped.is_over_limit(), left > 0);
        prop_assert_eq!(world.sync(), NOTHING);
    }
}
