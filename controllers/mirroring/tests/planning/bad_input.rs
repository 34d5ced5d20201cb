//! Endpoints that nobody should write.

use serde_json::{Value, json};

use crate::support::{NOTHING, World, subset};

#[test]
fn addresses_of_all_kinds() {
    for (case, addresses, expected, skipped) in [
        ("irregular IPv4", &["010.000.0.09"][..], &["IPv4 80: 10.0.0.9"][..], (0, 0)),
        ("irregular IPv6", &["2001:DB8:0:0::1"], &["IPv6 80: 2001:db8::1"], (0, 0)),
        ("IPv4 in IPv6", &["::ffff:10.0.0.1"], &["IPv4 80: 10.0.0.1"], (0, 0)),
        ("one address written in two ways", &["10.0.0.1", "010.0.0.1"], &["IPv4 80: 10.0.0.1"], (0, 0)),
        (
            "both families",
            &["10.0.0.1", "2001:db8::1"],
            &["IPv4 80: 10.0.0.1", "IPv6 80: 2001:db8::1"],
            (0, 0),
        ),
        ("twice", &["10.0.0.1", "10.0.0.1"], &["IPv4 80: 10.0.0.1"], (0, 0)),
        ("no address", &["example.com", "", "10.0.0", "10.0.0.1"], &["IPv4 80: 10.0.0.1"], (3, 3)),
        ("loopback", &["127.0.0.1", "::1", "10.0.0.1"], &["IPv4 80: 10.0.0.1"], (2, 2)),
        ("link-local", &["169.254.1.1", "fe80::1", "10.0.0.1"], &["IPv4 80: 10.0.0.1"], (2, 2)),
        (
            "link-local multicast",
            &["224.0.0.1", "ff02::1", "ff12::1", "10.0.0.1"],
            &["IPv4 80: 10.0.0.1"],
            (3, 3),
        ),
        ("unspecified", &["0.0.0.0", "::", "10.0.0.1"], &["IPv4 80: 10.0.0.1"], (2, 2)),
        ("loopback, hidden", &["::ffff:127.0.0.1"], &[], (1, 1)),
    ] {
        let mut world = World::new(&json!([subset(addresses, &[80])]));
        let plan = world.plan();
        assert_eq!((plan.skipped.addresses, plan.skipped.invalid), skipped, "{case}");
        world.sync();
        assert_eq!(world.published(), expected, "{case}");
        assert_eq!(world.sync(), NOTHING, "{case}: again");
    }
}

/// Ready ones count first, both families together, and those that are invalid do not count.
#[test]
fn the_limit_is_for_each_subset() {
    let subsets = json!([{
        "addresses": [{ "ip": "10.0.0.1" }, { "ip": "bad" }, { "ip": "2001:db8::1" }],
        "notReadyAddresses": [{ "ip": "10.0.0.2" }, { "ip": "10.0.0.3" }, { "ip": "worse" }],
        "ports": [{ "port": 80, "protocol": "TCP" }],
    }, subset(&["10.0.1.1"], &[81])]);
    for (max, expected, skipped) in [
        (1, &["IPv4 80: 10.0.0.1", "IPv4 81: 10.0.1.1"][..], (5, 2)),
        (2, &["IPv4 80: 10.0.0.1", "IPv4 81: 10.0.1.1", "IPv6 80: 2001:db8::1"], (4, 2)),
        (3, &["IPv4 80: !10.0.0.2 10.0.0.1", "IPv4 81: 10.0.1.1", "IPv6 80: 2001:db8::1"], (3, 2)),
        (4, &["IPv4 80: !10.0.0.2 !10.0.0.3 10.0.0.1", "IPv4 81: 10.0.1.1", "IPv6 80: 2001:db8::1"], (2, 2)),
        (5, &["IPv4 80: !10.0.0.2 !10.0.0.3 10.0.0.1", "IPv4 81: 10.0.1.1", "IPv6 80: 2001:db8::1"], (2, 2)),
    ] {
        let mut world = World { max, ..World::new(&subsets) };
        let plan = world.plan();
        assert_eq!(plan.skipped.addresses, skipped.0, "{max}");
        assert_eq!(plan.skipped.invalid, skipped.1, "{max}: {:?}", plan.skipped);
        world.sync();
        assert_eq!(world.published(), expected, "{max}");
    }
}

#[test]
fn many_addresses_fill_one_slice_and_no_more() {
    for (count, ports, mirrored, skipped) in
        [(1000, 1, 1000, 0), (1001, 1, 1000, 1), (5000, 1, 1000, 4000), (5000, 5, 5000, 0)]
    {
        let addresses = |of: usize| {
            (0..count)
                .filter(|at| at % ports == of)
                .map(|at| json!({ "ip": format!("10.1.{}.{}", at / 250, at % 250) }))
                .collect::<Vec<_>>()
        };
        let subsets: Vec<_> = (0..ports)
            .map(|of| json!({ "addresses": addresses(of), "ports": [{ "port": of + 1, "protocol": "TCP" }] }))
            .collect();
        let mut world = World::new(&json!(subsets));
        let plan = world.plan();
        assert_eq!(plan.skipped.addresses, skipped, "{count} in {ports}");
        assert_eq!(plan.counts.unwrap().desired_endpoints, mirrored, "{count} in {ports}");
        world.sync();
        let largest = world.slices.iter().map(|it| it["endpoints"].as_array().map_or(0, Vec::len)).max();
        assert!(largest <= Some(1000), "what the API admits: {largest:?}");
        assert_eq!(world.sync(), NOTHING);
    }
}

#[test]
fn ports_of_all_kinds() {
    for (case, ports, expected) in [
        ("none", json!([]), "IPv4 : 10.0.0.1"),
        ("null", Value::Null, "IPv4 : 10.0.0.1"),
        (
            "twice",
            json!([{ "port": 80, "protocol": "TCP" }, { "port": 80, "protocol": "TCP" }]),
            "IPv4 80: 10.0.0.1",
        ),
        (
            "two protocols",
            json!([{ "name": "a", "port": 80, "protocol": "TCP" }, { "name": "b", "port": 80, "protocol": "UDP" }]),
            "IPv4 80,80: 10.0.0.1",
        ),
        ("the largest", json!([{ "port": 65535, "protocol": "SCTP" }]), "IPv4 65535: 10.0.0.1"),
        (
            "no numbers",
            json!([{ "name": "a", "port": 0, "protocol": "TCP" }, { "name": "b", "port": -7, "protocol": "TCP" }]),
            "IPv4 : 10.0.0.1",
        ),
        ("beyond", json!([{ "port": 2_147_483_647, "protocol": "TCP" }]), "IPv4 2147483647: 10.0.0.1"),
    ] {
        let mut world = World::new(&json!([{ "addresses": [{ "ip": "10.0.0.1" }], "ports": ports }]));
        world.sync();
        assert_eq!(world.published(), [expected], "{case}");
        assert_eq!(world.sync(), NOTHING, "{case}: again");
    }
}

/// Two subsets where one says ready and the other not: not ready wins. Wrong targets are copied as they are.
#[test]
fn contradictions_and_wrong_targets() {
    let pod =
        |name: &str, uid: &str| json!({ "kind": "Pod", "namespace": "elsewhere", "name": name, "uid": uid });
    let subsets = json!([
        { "addresses": [{ "ip": "10.0.0.1" }, { "ip": "10.0.0.2", "targetRef": pod("a", "u") }], "ports": [{ "port": 1, "protocol": "TCP" }] },
        { "notReadyAddresses": [{ "ip": "10.0.0.1" }], "ports": [{ "port": 1, "protocol": "TCP" }] },
        { "addresses": [{ "ip": "10.0.0.2", "targetRef": pod("b", "v") }, { "ip": "10.0.0.2", "targetRef": { "kind": "" } }],
          "ports": [{ "port": 1, "protocol": "TCP" }] }]);
    let mut world = World::new(&subsets);
    assert_eq!(world.sync(), (1, 0, 0));
    assert_eq!(
        world.published(),
        ["IPv4 1: !10.0.0.1 10.0.0.2 10.0.0.2 10.0.0.2"],
        "each target is an endpoint of its own"
    );
    assert_eq!(world.sync(), NOTHING);

    // One target under two UIDs is one endpoint; the last counts, and a plan makes no loop of it.
    let twins = json!([{ "addresses": [{ "ip": "10.0.0.2", "targetRef": pod("a", "u") }, { "ip": "10.0.0.2", "targetRef": pod("a", "v") }],
        "ports": [{ "port": 1, "protocol": "TCP" }] }]);
    let mut world = World::new(&twins);
    assert_eq!(world.sync(), (1, 0, 0));
    assert_eq!(world.slices[0]["endpoints"].as_array().map(Vec::len), Some(1));
    assert_eq!(world.slices[0]["endpoints"][0]["targetRef"]["uid"], "v");
    assert_eq!(world.sync(), NOTHING);
}

#[test]
fn very_large_annotations_and_long_names_are_written_whole() {
    let mut world = World::new(&json!([subset(&["10.0.0.1"], &[1]), subset(&["10.0.0.2"], &[2])]));
    let bomb = "x".repeat(262_144 - "bomb".len());
    world.edit(|it| it["metadata"]["annotations"] = json!({ "bomb": bomb }));
    assert_eq!(world.sync(), (2, 0, 0));
    assert!(world.slices.iter().all(|it| it["metadata"]["annotations"]["bomb"] == *bomb));
    assert_eq!(world.sync(), NOTHING);
}
