use proptest::prelude::*;

use super::*;
use crate::testing::pool;

fn compile(record: Pool, nodes: &[&str]) -> CompiledPool {
    let nodes: Vec<IpAddr> = nodes.iter().map(|text| text.parse().unwrap()).collect();
    CompiledPool::new(&Arc::new(record), |_| None, &nodes)
}

fn texts(pool: &CompiledPool, family: Family) -> Vec<String> {
    let intervals = pool.assignable(family).intervals();
    intervals
        .map(|interval| {
            let text = |number| crate::ranges::address(family, number).to_string();
            format!("{}-{}", text(interval.first), text(interval.last))
        })
        .collect()
}

#[test]
fn network_broadcast_and_anycast_addresses_are_left_out_of_cidrs() {
    for (part, family, assignable) in [
        ("198.51.100.0/24", Family::V4, vec!["198.51.100.1-198.51.100.254"]),
        ("198.51.100.0/30", Family::V4, vec!["198.51.100.1-198.51.100.2"]),
        ("198.51.100.0/31", Family::V4, vec!["198.51.100.0-198.51.100.1"]),
        ("198.51.100.7/32", Family::V4, vec!["198.51.100.7-198.51.100.7"]),
        ("198.51.100.0-198.51.100.255", Family::V4, vec!["198.51.100.0-198.51.100.255"]),
        ("2001:db8::/126", Family::V6, vec!["2001:db8::1-2001:db8::3"]),
        ("2001:db8::/127", Family::V6, vec!["2001:db8::-2001:db8::1"]),
        ("2001:db8::-2001:db8::2", Family::V6, vec!["2001:db8::-2001:db8::2"]),
    ] {
        assert_eq!(texts(&compile(pool("p", &[part]), &[]), family), assignable, "{part}");
    }
}

#[test]
fn a_range_gives_out_what_a_cidr_beside_it_leaves_out() {
    let pool = compile(pool("p", &["198.51.100.0/24", "198.51.100.0-198.51.100.1"]), &[]);
    assert_eq!(texts(&pool, Family::V4), ["198.51.100.0-198.51.100.254"]);
}

#[test]
fn exclusions_and_nodes_are_left_out_with_the_reason() {
    let record = Pool {
        exclude: vec!["198.51.100.10-198.51.100.19".into(), "198.51.100.64/26".into(), "bogus".into()],
        avoid_buggy_ips: true,
        ..pool("p", &["198.51.100.0/24", "198.51.101.0-198.51.101.9"])
    };
    let pool = compile(record, &["198.51.100.5", "192.0.2.1"]);
    assert_eq!(
        texts(&pool, Family::V4),
        [
            "198.51.100.1-198.51.100.4",
            "198.51.100.6-198.51.100.9",
            "198.51.100.20-198.51.100.63",
            "198.51.100.128-198.51.100.254",
            "198.51.101.1-198.51.101.9"
        ]
    );
    for (address, why) in [
        ("198.51.100.1", None),
        ("198.51.100.0", Some(Unassignable::Network)),
        ("198.51.100.255", Some(Unassignable::Broadcast)),
        ("198.51.101.0", Some(Unassignable::Buggy)),
        ("198.51.100.12", Some(Unassignable::Excluded)),
        ("198.51.100.5", Some(Unassignable::Node)),
        ("192.0.2.1", None),
    ] {
        assert_eq!(pool.why_unassignable(address.parse().unwrap()), why, "{address}");
    }
    assert_eq!(pool.unreadable_exclusions.len(), 1);
    assert!(pool.keeps("198.51.100.5".parse().unwrap()) && pool.keeps("198.51.100.0".parse().unwrap()));
    assert!(!pool.keeps("198.51.100.12".parse().unwrap()) && !pool.keeps("192.0.2.1".parse().unwrap()));
}

/// TestPoolCount.
#[test]
fn capacity_counts_what_can_be_assigned() {
    for (parts, avoid_buggy_ips, family, capacity) in [
        (&["198.51.100.0-198.51.100.255"][..], false, Family::V4, 256),
        (&["198.51.100.0/24"], false, Family::V4, 254),
        (&["198.51.100.0-198.51.100.255", "203.0.113.0-203.0.113.127"], false, Family::V4, 384),
        (&["198.51.100.0-198.51.100.255", "203.0.113.0-203.0.113.127"], true, Family::V4, 381),
        (&["198.51.100.0/24", "198.51.100.128/25"], false, Family::V4, 254),
        (&["2001:db8::/64"], false, Family::V6, (1 << 64) - 1),
        (&["::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"], false, Family::V6, u128::MAX),
        (&["198.51.100.0/30", "2001:db8::/124"], false, Family::V4, 2),
        (&["198.51.100.0/30", "2001:db8::/124"], false, Family::V6, 15),
    ] {
        let pool = compile(Pool { avoid_buggy_ips, ..pool("p", parts) }, &[]);
        assert_eq!(pool.capacity(family), capacity, "{parts:?}");
    }
}

#[test]
fn parts_that_cannot_be_read_leave_the_rest_working() {
    let pool = compile(pool("p", &["2001:db8::a-2001:db8::1", "198.51.100.0/30"]), &[]);
    assert_eq!(pool.accepted.len(), 1);
    let (text, problem) = &pool.refused[0];
    assert_eq!(
        format!("{text}: {problem}"),
        "2001:db8::a-2001:db8::1: its first address is after its last one; write 2001:db8::1-2001:db8::a"
    );
}

/// A part inside 198.51.100.0/26, and another text for the same family.
fn parts() -> impl Strategy<Value = Vec<(u8, u8, bool)>> {
    prop::collection::vec((0_u8..64, 0_u8..64, any::<bool>()), 0..5)
}

fn text_of((a, b, cidr): (u8, u8, bool)) -> (String, std::ops::RangeInclusive<u8>, Vec<u8>) {
    let (first, last) = (a.min(b), a.max(b));
    if !cidr {
        return (format!("198.51.100.{first}-198.51.100.{last}"), first..=last, vec![]);
    }
    let prefix = 26 + b % 7;
    let size = 1_u8 << (32 - prefix);
    let first = a / size * size;
    let last = first + (size - 1);
    let edges = if prefix <= 30 { vec![first, last] } else { vec![] };
    (format!("198.51.100.{first}/{prefix}"), first..=last, edges)
}

proptest! {
    #[test]
    fn a_compiled_pool_gives_out_what_the_rules_say(parts in parts(), exclude in parts(), buggy: bool, node in 0_u8..64) {
        let parts: Vec<_> = parts.into_iter().map(text_of).collect();
        let exclude: Vec<_> = exclude.into_iter().map(text_of).collect();
        let texts: Vec<&str> = parts.iter().map(|(text, ..)| text.as_str()).collect();
        let record = Pool {
            exclude: exclude.iter().map(|(text, ..)| text.as_str().into()).collect(),
            avoid_buggy_ips: buggy,
            ..pool("p", &texts)
        };
        let pool = compile(record, &[&format!("198.51.100.{node}")]);
        let mut capacity = 0;
        for host in 0_u8..64 {
            let address: IpAddr = [198, 51, 100, host].into();
            let given_by_a_part = parts.iter().any(|(_, range, edges)| range.contains(&host) && !edges.contains(&host));
            let excluded = exclude.iter().any(|(_, range, _)| range.contains(&host));
            let expected = given_by_a_part && !excluded && host != node && !(buggy && host == 0);
            prop_assert_eq!(pool.is_assignable(address), expected, "{}", address);
            prop_assert_eq!(pool.keeps(address), !excluded && parts.iter().any(|(_, range, _)| range.contains(&host)));
            prop_assert_eq!(pool.why_unassignable(address).is_some(), !expected && (excluded || pool.part_of(address).is_some()));
            capacity += u128::from(expected);
        }
        prop_assert_eq!(pool.capacity(Family::V4), capacity);
    }

    #[test]
    fn a_draw_always_begins_in_the_pool(draw: u64, parts in parts()) {
        let texts: Vec<_> = parts.into_iter().map(text_of).collect();
        let texts: Vec<&str> = texts.iter().map(|(text, ..)| text.as_str()).chain(["2001:db8::/48"]).collect();
        let pool = compile(pool("p", &texts), &[]);
        for family in [Family::V4, Family::V6] {
            let place = crate::ranges::address(family, pool.place(family, draw));
            prop_assert!(pool.capacity(family) == 0 || pool.is_assignable(place), "{}", place);
        }
    }
}
