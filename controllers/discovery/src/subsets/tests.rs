use fairlead_objects::{EndpointIp, Istr, ObjectRef, Protocol};
use proptest::prelude::*;

use super::*;

const NAMESPACE: &str = "shop";

fn port(number: i32) -> EndpointPort {
    EndpointPort {
        name: Some(Istr::default()),
        protocol: Some(Protocol::Tcp),
        port: Some(number),
        app_protocol: None,
    }
}

/// `1.2.3.4`; with `/uid` (perhaps empty) or `@name` of what it stands for.
fn address(text: &str) -> EndpointAddress {
    let reference = |it: ObjectRef| Some(TargetRef::Other(Box::new(it)));
    let (ip, target) = if let Some((ip, uid)) = text.split_once('/') {
        (ip, reference(ObjectRef { uid: Some(uid.into()), ..ObjectRef::default() }))
    } else if let Some((ip, name)) = text.split_once('@') {
        (ip, reference(ObjectRef { name: Some(name.into()), ..ObjectRef::default() }))
    } else {
        (text, None)
    };
    EndpointAddress { ip: EndpointIp::from(ip), hostname: None, node: None, target }
}

/// Addresses, those that are not ready with `!`, and behind the last dash the ports: `1.2.3.4 !5.6.7.8/uid - 111 222`.
fn subset(text: &str) -> EndpointSubset {
    let (addresses, ports) = text.rsplit_once('-').unwrap();
    let (not_ready, ready): (Vec<&str>, Vec<&str>) =
        addresses.split_whitespace().partition(|it| it.starts_with('!'));
    EndpointSubset {
        addresses: ready.into_iter().map(address).collect(),
        not_ready: not_ready.into_iter().map(|it| address(&it[1..])).collect(),
        ports: ports.split_whitespace().map(|number| port(number.parse().unwrap())).collect(),
    }
}

fn subsets(texts: &[&str]) -> Vec<EndpointSubset> {
    let mut subsets: Vec<_> = texts.iter().map(|text| subset(text)).collect();
    digest::sort_subsets(&mut subsets, NAMESPACE);
    subsets
}

/// Upstream's `TestPackSubsets`, by the names of its cases.
#[test]
fn pack_subsets() {
    #[rustfmt::skip]
    let cases: [(&str, &[&str], &[&str]); 33] = [
        ("empty everything", &["-"], &[]),
        ("empty addresses", &["- 111"], &[]),
        ("empty ports", &["1.2.3.4 -"], &["1.2.3.4 -"]),
        ("empty ports (notReady)", &["!1.2.3.4 -"], &["!1.2.3.4 -"]),
        ("one set, one ip, one port", &["1.2.3.4 - 111"], &["1.2.3.4 - 111"]),
        ("one set, one ip, one port (IPv6)", &["beef::1:2:3:4 - 111"], &["beef::1:2:3:4 - 111"]),
        ("one set, one notReady ip, one port", &["!1.2.3.4 - 111"], &["!1.2.3.4 - 111"]),
        ("one set, one ip, one UID, one port", &["1.2.3.4/uid-1 - 111"], &["1.2.3.4/uid-1 - 111"]),
        ("one set, one notReady ip, one UID, one port", &["!1.2.3.4/uid-1 - 111"], &["!1.2.3.4/uid-1 - 111"]),
        ("one set, one ip, empty UID, one port", &["1.2.3.4/ - 111"], &["1.2.3.4/ - 111"]),
        ("one set, one notReady ip, empty UID, one port", &["!1.2.3.4/ - 111"], &["!1.2.3.4/ - 111"]),
        ("one set, two ips, one port", &["1.2.3.4 5.6.7.8 - 111"], &["1.2.3.4 5.6.7.8 - 111"]),
        ("one set, two mixed ips, one port", &["1.2.3.4 !5.6.7.8 - 111"], &["1.2.3.4 !5.6.7.8 - 111"]),
        ("one set, two duplicate ips, one port, notReady is covered by ready",
            &["1.2.3.4 !1.2.3.4 - 111"], &["!1.2.3.4 - 111"]),
        ("one set, one ip, two ports", &["1.2.3.4 - 111 222"], &["1.2.3.4 - 111 222"]),
        ("one set, dup ips, one port", &["1.2.3.4 1.2.3.4 - 111"], &["1.2.3.4 - 111"]),
        ("one set, dup ips, one port (IPv6)", &["beef::1 beef::1 - 111"], &["beef::1 - 111"]),
        ("one set, dup ips with target-refs, one port", &["1.2.3.4@foo 1.2.3.4@bar - 111"], &["1.2.3.4@foo - 111"]),
        ("one set, dup mixed ips with target-refs, one port",
            &["1.2.3.4@foo !1.2.3.4@bar - 111"], &["!1.2.3.4@foo - 111"]),
        ("one set, one ip, dup ports", &["1.2.3.4 - 111 111"], &["1.2.3.4 - 111"]),
        ("two sets, dup ip, dup port", &["1.2.3.4 - 111", "1.2.3.4 - 111"], &["1.2.3.4 - 111"]),
        ("two sets, dup mixed ip, dup port", &["1.2.3.4 - 111", "!1.2.3.4 - 111"], &["!1.2.3.4 - 111"]),
        ("two sets, dup ip, two ports", &["1.2.3.4 - 111", "1.2.3.4 - 222"], &["1.2.3.4 - 111 222"]),
        ("two sets, dup ip, dup uids, two ports",
            &["1.2.3.4/uid-1 - 111", "1.2.3.4/uid-1 - 222"], &["1.2.3.4/uid-1 - 111 222"]),
        ("two sets, dup mixed ip, dup uids, two ports",
            &["1.2.3.4/uid-1 - 111", "!1.2.3.4/uid-1 - 222"], &["1.2.3.4/uid-1 - 111", "!1.2.3.4/uid-1 - 222"]),
        ("two sets, two ips, dup port", &["1.2.3.4 - 111", "5.6.7.8 - 111"], &["1.2.3.4 5.6.7.8 - 111"]),
        ("two set, dup ip, two uids, dup ports",
            &["1.2.3.4/uid-1 - 111", "1.2.3.4/uid-2 - 111"], &["1.2.3.4/uid-1 1.2.3.4/uid-2 - 111"]),
        ("two set, dup ip, with and without uid, dup ports",
            &["1.2.3.4 - 111", "1.2.3.4/uid-2 - 111"], &["1.2.3.4 1.2.3.4/uid-2 - 111"]),
        ("two sets, two ips, two dup ip with uid, dup port, wrong order",
            &["5.6.7.8 - 111", "5.6.7.8/uid-1 - 111", "1.2.3.4/uid-1 - 111", "1.2.3.4 - 111"],
            &["1.2.3.4 1.2.3.4/uid-1 5.6.7.8 5.6.7.8/uid-1 - 111"]),
        ("two sets, two mixed ips, two dup ip with uid, dup port, wrong order, ends up with split addresses",
            &["5.6.7.8 - 111", "!5.6.7.8/uid-1 - 111", "!1.2.3.4/uid-1 - 111", "!1.2.3.4 - 111"],
            &["5.6.7.8 !1.2.3.4 !1.2.3.4/uid-1 !5.6.7.8/uid-1 - 111"]),
        ("two sets, two ips, two ports", &["1.2.3.4 - 111", "5.6.7.8 - 222"], &["1.2.3.4 - 111", "5.6.7.8 - 222"]),
        ("four sets, three ips, three ports, jumbled",
            &["1.2.3.4 - 111", "1.2.3.5 - 222", "1.2.3.6 - 111", "1.2.3.5 - 333"],
            &["1.2.3.4 1.2.3.6 - 111", "1.2.3.5 - 222 333"]),
        ("four sets, three mixed ips, three ports, jumbled",
            &["1.2.3.4 - 111", "!1.2.3.5 - 222", "!1.2.3.6 - 111", "!1.2.3.5 - 333"],
            &["1.2.3.4 !1.2.3.6 - 111", "!1.2.3.5 - 222 333"]),
    ];
    for (case, given, expected) in cases {
        let given: Vec<_> = given.iter().map(|text| subset(text)).collect();
        assert_eq!(repack(&given, NAMESPACE), subsets(expected), "{case}");
    }
}

#[test]
fn addresses_without_ports() {
    for (case, given, expected) in [
        ("the same addresses with a port", &["1.2.3.4 -", "1.2.3.4 - 111"][..], &["1.2.3.4 - 111"][..]),
        ("other readiness with a port", &["!1.2.3.4 -", "1.2.3.4 - 111"], &["!1.2.3.4 -", "1.2.3.4 - 111"]),
        ("other addresses", &["1.2.3.4 -", "5.6.7.8 - 111"], &["1.2.3.4 -", "5.6.7.8 - 111"]),
        ("twice", &["1.2.3.4 -", "5.6.7.8 -"], &["1.2.3.4 5.6.7.8 -"]),
        ("numbers that are no ports", &["1.2.3.4 - 0"], &["1.2.3.4 -"]),
    ] {
        let given: Vec<_> = given.iter().map(|text| subset(text)).collect();
        assert_eq!(repack(&given, NAMESPACE), subsets(expected), "{case}");
    }
}

/// Issue 121556, upstream's `TestEndpointSubsetsEqualIgnoreResourceVersion` and its retry with repacked subsets.
#[test]
fn equality_ignores_order_and_versions_of_targets() {
    let desired = subsets(&["1.2.3.4/a 5.6.7.8 - 111 222", "!1.2.3.4/a - 333"]);
    let mut jumbled: Vec<_> =
        ["5.6.7.8 1.2.3.4/a - 222", "!1.2.3.4/a - 333", "1.2.3.4/a - 111", "5.6.7.8 - 111"]
            .iter()
            .map(|text| subset(text))
            .collect();
    assert!(are_equal(&jumbled, &desired));
    for subset in &mut jumbled {
        for address in subset.addresses.iter_mut().chain(&mut subset.not_ready) {
            if let Some(TargetRef::Other(reference)) = &mut address.target {
                reference.resource_version = Some("77".into());
            }
        }
    }
    assert!(are_equal(&jumbled, &desired), "only versions differ");
    for other in [
        &["1.2.3.4/a 5.6.7.8 - 111 222"][..],
        &["1.2.3.4/a 5.6.7.9 - 111 222", "!1.2.3.4/a - 333"],
        &["1.2.3.4/a 5.6.7.8 - 111 222", "!1.2.3.4/b - 333"],
        &["1.2.3.4/a 5.6.7.8 - 111 223", "!1.2.3.4/a - 333"],
        &["1.2.3.4/a !5.6.7.8 - 111 222", "!1.2.3.4/a - 333"],
        &[],
    ] {
        assert!(!are_equal(&subsets(other), &desired), "{other:?}");
    }
}

/// What each address offers on each port, and whether it is ready there.
fn meaning(subsets: &[EndpointSubset]) -> std::collections::BTreeMap<(Option<i32>, String), bool> {
    let mut meaning = std::collections::BTreeMap::new();
    for offer in offers_of(subsets) {
        let EndpointIp::Canonical(ip) = offer.address.ip else { continue };
        let key = format!("{ip} {:?}", target_uid(&offer.address));
        let none = offer.ports.is_empty().then_some(None);
        for port in offer.ports.iter().map(|port| port.port).chain(none) {
            *meaning.entry((port, key.clone())).or_insert(true) &= offer.ready;
        }
    }
    meaning
}

fn any_subset() -> impl Strategy<Value = EndpointSubset> {
    let member = (0..6_u8, 0..3_u8, any::<bool>());
    let ports = proptest::collection::vec(1..5_i32, 0..4);
    (proptest::collection::vec(member, 0..6), ports).prop_map(|(members, ports)| {
        let of = |wanted| {
            let chosen = members.iter().filter(move |(_, _, ready)| *ready == wanted);
            chosen
                .map(|(ip, uid, _)| match uid {
                    0 => address(&format!("10.0.0.{ip}")),
                    _ => address(&format!("10.0.0.{ip}/{uid}")),
                })
                .collect()
        };
        EndpointSubset {
            addresses: of(true),
            not_ready: of(false),
            ports: ports.into_iter().map(port).collect(),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packing_keeps_the_meaning_whatever_the_order_and_only_once(
        given in proptest::collection::vec(any_subset(), 0..6),
        turn in 0..6_usize,
    ) {
        let packed = repack(&given, NAMESPACE);
        let mut without_ports = meaning(&given);
        if !packed.iter().any(|subset| subset.ports.is_empty()) {
            // They have exactly the addresses of a subset with ports.
            without_ports.retain(|(port, _), _| port.is_some());
        }
        prop_assert_eq!(meaning(&packed), without_ports);
        let mut seen = std::collections::BTreeSet::new();
        for subset in &packed {
            prop_assert!(!subset.addresses.is_empty() || !subset.not_ready.is_empty());
            let none = subset.ports.is_empty().then_some(None);
            for port in subset.ports.iter().map(|port| port.port).chain(none) {
                prop_assert!(seen.insert(port), "a port in two subsets");
            }
        }
        prop_assert_eq!(&repack(&packed, NAMESPACE), &packed);
        let mut turned = given.clone();
        turned.rotate_left(turn.min(given.len()));
        prop_assert!(are_equal(&turned, &packed));
        prop_assert_eq!(repack(&turned, NAMESPACE), packed);
    }
}
