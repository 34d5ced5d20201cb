use fairlead_discovery::Readiness;
use fairlead_objects::{Addresses, Conditions, Millis, Node, TargetRef, testing};

use super::topology::{Transfers, allocate, is_overloaded};
use super::*;

/// Zone, readiness and hinted zones; `None` for no hints at all.
type Spec = (&'static str, Option<bool>, Option<&'static [&'static str]>);

const READY: Option<bool> = Some(true);

fn some(text: &str) -> Option<Istr> {
    Some(text).filter(|it| !it.is_empty()).map(Istr::from)
}

#[expect(clippy::unnecessary_wraps, reason = "as endpoints have them")]
pub(super) fn hints(zones: &[&str], nodes: &[&str]) -> Option<Arc<Hints>> {
    let list = |names: &[&str]| names.iter().copied().map(Istr::from).collect();
    Some(Slice::share_hints(Hints { zones: list(zones), nodes: list(nodes) }))
}

/// One Node per zone, with so many millicores.
pub(super) fn table(zones: &[(&str, u64)]) -> NodeTable {
    let node = |(zone, cpu): &(&str, u64)| Node { cpu: Millis(*cpu), ..testing::node(zone, Some(zone)) };
    NodeTable::new(&zones.iter().map(node).collect::<Vec<_>>())
}

pub(super) fn endpoint(zone: &str, node: &str, ready: Option<bool>, hints: Option<Arc<Hints>>) -> Endpoint {
    Endpoint {
        addresses: Addresses::One([10, 0, 0, 1].into()),
        conditions: Conditions { ready, serving: ready, terminating: Some(false) },
        hostname: None,
        node: some(node),
        zone: some(zone),
        target: Some(TargetRef::Pod { name: "p".into(), uid: "u".into() }),
        hints,
    }
}

pub(super) fn slice(endpoints: Vec<Endpoint>) -> Slice {
    let empty: Slice = testing::decode(r#"{"addressType": "IPv4"}"#);
    Slice { endpoints: endpoints.into(), ..empty }
}

fn slice_of(endpoints: &[Spec]) -> Slice {
    let of =
        |(zone, ready, zones): &Spec| endpoint(zone, "n", *ready, zones.and_then(|zones| hints(zones, &[])));
    slice(endpoints.iter().map(of).collect())
}

pub(super) fn desired(zone: &str, node: &str, ready: bool) -> DesiredEndpoint {
    DesiredEndpoint {
        addresses: Addresses::One([10, 0, 0, 1].into()),
        readiness: Readiness { ready, serving: ready, terminating: false },
        hostname: None,
        node: some(node),
        zone: some(zone),
        pod: "p".into(),
        pod_uid: "u".into(),
        hints: None,
    }
}

/// Slices of ready endpoints in these zones.
fn packed(slices: &[&[&str]]) -> Vec<Vec<DesiredEndpoint>> {
    slices.iter().map(|zones| zones.iter().map(|zone| desired(zone, "n", true)).collect()).collect()
}

pub(super) fn assign_all(
    mode: Mode,
    table: &NodeTable,
    packed: &mut [Vec<DesiredEndpoint>],
    unchanged: &[Slice],
) -> (Vec<Rewrite>, HintState) {
    let packed = Packed(packed.iter_mut().map(Vec::as_mut_slice).collect());
    let unchanged: Vec<_> = unchanged.iter().collect();
    assign(mode, table, packed, &unchanged, &HintTotals::default()).expect("everything is looked at")
}

/// The zone that each endpoint is hinted to, slice by slice; `-` for none.
fn zones_of(packed: &[Vec<DesiredEndpoint>]) -> Vec<Vec<String>> {
    let name = |it: &DesiredEndpoint| match it.hints.as_deref() {
        None => "-".to_owned(),
        Some(hints) => hints.zones.iter().map(Istr::as_str).collect::<Vec<_>>().join("+"),
    };
    packed.iter().map(|slice| slice.iter().map(name).collect()).collect()
}

fn counts(state: &HintState) -> Vec<(&str, usize)> {
    match state {
        HintState::Populated(counts) => counts.iter().map(|(zone, count)| (zone.as_str(), *count)).collect(),
        other => panic!("no hints: {other:?}"),
    }
}

fn populated(counts: &[(&str, usize)]) -> HintState {
    HintState::Populated(counts.iter().map(|(zone, count)| ((*zone).into(), *count)).collect())
}

#[test]
fn every_zone_may_have_its_minimum_and_what_is_left_over() {
    let allocations = allocate(&table(&[("a", 1000), ("b", 1000), ("c", 2000)]), 20).unwrap();
    let found: Vec<_> = allocations.iter().map(|it| (it.minimum, it.maximum)).collect();
    assert_eq!(found, [(5, 6), (5, 6), (9, 10)]);
    assert_eq!(allocations.iter().map(|it| it.desired).collect::<Vec<_>>(), [5.0, 5.0, 10.0]);
    // A small zone desires a whole endpoint.
    let allocations = allocate(&table(&[("a", 9000), ("b", 100)]), 20).unwrap();
    assert!((allocations[1].desired - 1.0).abs() < f64::EPSILON, "{allocations:?}");
}

#[test]
fn numbers_of_endpoints_for_which_the_minima_do_not_add_up() {
    type Case = (&'static [u64], &'static [usize]);
    let cases: [Case; 6] = [
        (&[1, 1], &[3, 5]),
        (&[1, 1, 1], &[4, 5, 8, 11]),
        (&[1, 1, 1, 1], &[5, 6, 7, 10, 11, 15]),
        (&[2, 1], &[2, 4]),
        (&[2, 1, 1], &[3, 5, 6, 10]),
        (&[3, 1], &[2, 5]),
    ];
    for (cpus, failing) in cases {
        let names = ["a", "b", "c", "d"];
        let zones: Vec<_> = names.into_iter().zip(cpus.iter().map(|cpu| cpu * 1000)).collect();
        let table = table(&zones);
        for endpoints in 0..200 {
            let expected = if endpoints < zones.len() {
                Err(Failure::TooFewEndpoints { endpoints, zones: zones.len() })
            } else if failing.contains(&endpoints) {
                Err(Failure::MinimumExceeded { endpoints, zones: zones.len() })
            } else {
                Ok(())
            };
            assert_eq!(allocate(&table, endpoints).map(|_| ()), expected, "{cpus:?}, {endpoints} endpoints");
        }
    }
    assert_eq!(allocate(&NodeTable::default(), 100), Err(Failure::NodeInformation));
}

#[test]
fn endpoints_move_from_the_greatest_surplus_to_the_greatest_want() {
    for (scenario, desired, counts, giving, receiving) in [
        ("no zones", vec![], vec![], vec![], vec![]),
        ("less than one each", vec![1.2, 1.1, 1.0], vec![1, 1, 1], vec![0, 0, 0], vec![0, 0, 0]),
        (
            "traffic stays where it is for less than half an endpoint",
            vec![5.1, 5.1, 5.8],
            vec![16, 0, 0],
            vec![10, 0, 0],
            vec![0, 5, 5],
        ),
        (
            "the rest goes where more is wanted",
            vec![5.0, 5.6, 5.4],
            vec![16, 0, 0],
            vec![11, 0, 0],
            vec![0, 6, 5],
        ),
        ("the fuller zone gives", vec![5.0, 5.6, 5.4], vec![0, 8, 8], vec![0, 2, 3], vec![5, 0, 0]),
        ("more than desired", vec![5.0, 5.0, 5.0], vec![6, 6, 6], vec![0, 0, 0], vec![0, 0, 0]),
        ("fewer than desired", vec![5.0, 5.0, 5.0], vec![4, 3, 2], vec![0, 0, 0], vec![0, 0, 0]),
        ("negative desires", vec![-5.0, -5.0, -5.0], vec![6, 6, 6], vec![0, 0, 0], vec![0, 0, 0]),
        ("one zone is empty", vec![5.0, 5.0, 5.0], vec![0, 20, 20], vec![0, 3, 2], vec![5, 0, 0]),
        ("half an endpoint for a whole one", vec![2.5, 1.0], vec![3, 0], vec![1, 0], vec![0, 1]),
        ("half an endpoint for half a one", vec![2.5, 0.5], vec![3, 0], vec![0, 0], vec![0, 0]),
    ] {
        assert_eq!(Transfers::new(&desired, &counts), Transfers { giving, receiving }, "{scenario}");
    }
}

#[test]
fn endpoints_are_hinted_to_their_zone_as_far_as_it_needs_them() {
    type Case<'a> =
        (&'static str, &'a NodeTable, &'a [&'a [&'a str]], &'a [&'a [&'a str]], &'a [(&'a str, usize)]);

    let two = table(&[("a", 450), ("b", 550)]);
    let three = table(&[("a", 350), ("b", 350), ("c", 300)]);
    let even = table(&[("a", 1000), ("b", 1000), ("c", 1000)]);
    let cases: [Case<'_>; 6] = [
        ("one each", &two, &[&["a", "b"]], &[&["a", "b"]], &[("a", 1), ("b", 1)]),
        (
            "ten over three zones: the first of a zone that has too many go",
            &three,
            &[&["a", "b"], &["c", "c", "a"], &["a", "a"], &["b", "c", "a"]],
            &[&["b", "b"], &["c", "c", "a"], &["a", "a"], &["b", "c", "a"]],
            &[("a", 4), ("b", 3), ("c", 3)],
        ),
        ("all in one zone", &even, &[&["c", "c", "c"]], &[&["a", "b", "c"]], &[("a", 1), ("b", 1), ("c", 1)]),
        (
            "in two of three zones",
            &even,
            &[&["a", "a", "a", "b", "b", "b"]],
            &[&["c", "a", "a", "c", "b", "b"]],
            &[("a", 2), ("b", 2), ("c", 2)],
        ),
        (
            "a zone without Nodes that count keeps its own",
            &two,
            &[&["a", "z", "b", "b", "z", "a"]],
            &[&["a", "z", "b", "b", "z", "a"]],
            &[("a", 2), ("b", 2), ("z", 2)],
        ),
        (
            "a zone too small to be given one",
            &table(&[("a", 97), ("b", 3)]),
            &[&["a"; 10]],
            &[&["a"; 10]],
            &[("a", 10)],
        ),
    ];
    for (scenario, table, zones, expected, in_zones) in cases {
        let mut packed = packed(zones);
        let (rewrites, state) = assign_all(Mode::Auto, table, &mut packed, &[]);
        assert_eq!(rewrites, [], "{scenario}");
        assert_eq!(zones_of(&packed), expected, "{scenario}");
        assert_eq!(counts(&state), in_zones, "{scenario}");
    }
}

#[test]
fn endpoints_that_are_not_ready_neither_count_nor_get_hints() {
    let mut packed = vec![vec![
        desired("a", "n", true),
        desired("b", "n", true),
        desired("b", "n", false),
        desired("", "n", false),
    ]];
    let (_, state) = assign_all(Mode::Auto, &table(&[("a", 450), ("b", 550)]), &mut packed, &[]);
    assert_eq!(zones_of(&packed), [["a", "b", "-", "-"]]);
    assert_eq!(counts(&state), [("a", 1), ("b", 1)]);
}

#[test]
fn without_what_is_needed_there_are_no_hints_and_a_reason() {
    type Case<'a> = (&'static str, &'a NodeTable, &'a [&'a str], Failure);

    let (none, two) = (NodeTable::default(), table(&[("a", 1000), ("b", 1000)]));
    let cases: [Case<'_>; 5] = [
        ("no Node table, nothing new", &none, &[], Failure::NodeInformation),
        ("no Node table", &none, &["a"], Failure::NodeInformation),
        ("fewer endpoints than zones", &two, &[], Failure::TooFewEndpoints { endpoints: 1, zones: 2 }),
        ("minima", &two, &["b", "a"], Failure::MinimumExceeded { endpoints: 3, zones: 2 }),
        ("an endpoint without zone", &two, &["b", "", "a"], Failure::NoZone),
    ];
    for (scenario, table, zones, failure) in cases {
        // One more is in an otherwise unchanged slice and has hints.
        let unchanged = [slice_of(&[("a", READY, Some(&["a"])), ("a", Some(false), Some(&["a"]))])];
        let mut packed = packed(&[zones]);
        let (rewrites, state) = assign_all(Mode::Auto, table, &mut packed, &unchanged);
        assert_eq!(rewrites, [Rewrite { slice: 0, hints: vec![None, None] }], "{scenario}");
        assert!(packed[0].iter().all(|it| it.hints.is_none()), "{scenario}");
        assert_eq!(state, HintState::Failed { failure, ready: zones.len() + 1 }, "{scenario}");
    }
}

#[test]
fn slices_stay_as_long_as_their_hints_are_complete_and_leave_every_zone_its_minimum() {
    type Case<'a> = (&'static str, &'a [Spec], Option<Option<Arc<Hints>>>);

    // Six endpoints: at least two and at most two in each zone.
    let even = table(&[("a", 1000), ("b", 1000), ("c", 1000)]);
    let others = ["a", "b", "b", "c", "c"];
    let a: &[&str] = &["a"];
    let cases: [Case<'_>; 9] = [
        ("its own zone", &[("a", READY, Some(&["a"]))], None),
        ("another zone", &[("b", READY, Some(&["a"]))], None),
        ("besides one that is not ready", &[("a", READY, Some(&["a"])), ("a", Some(false), None)], None),
        ("besides one of unknown readiness", &[("a", READY, Some(&["a"])), ("a", None, Some(&["z"]))], None),
        ("no hints", &[("a", READY, None)], Some(hints(a, &[]))),
        ("empty hints", &[("a", READY, Some(&[]))], Some(hints(a, &[]))),
        ("two zones", &[("a", READY, Some(&["a", "b"]))], Some(hints(a, &[]))),
        ("a zone that is not in the table", &[("a", READY, Some(&["z"]))], Some(hints(a, &[]))),
        ("a zone that has enough", &[("a", READY, Some(&["b"]))], Some(hints(a, &[]))),
    ];
    for (scenario, slice, rewritten) in cases {
        let rest: Vec<Spec> = others
            .map(|zone| {
                (
                    zone,
                    READY,
                    Some(std::slice::from_ref(match zone {
                        "a" => &"a",
                        "b" => &"b",
                        _ => &"c",
                    })),
                )
            })
            .to_vec();
        let unchanged = [slice_of(&rest), slice_of(slice)];
        let (rewrites, state) = assign_all(Mode::Auto, &even, &mut [], &unchanged);
        let expected: Vec<_> = rewritten
            .into_iter()
            .map(|first| {
                let stay = unchanged[1].endpoints.iter().skip(1).map(|it| it.hints.clone());
                Rewrite { slice: 1, hints: std::iter::once(first).chain(stay).collect() }
            })
            .collect();
        assert_eq!(rewrites, expected, "{scenario}");
        assert_eq!(counts(&state), [("a", 2), ("b", 2), ("c", 2)], "{scenario}");
    }
}

#[test]
fn hints_for_nodes_do_not_outlive_their_distribution() {
    let both =
        [endpoint("a", "n", READY, hints(&["a"], &["n"])), endpoint("b", "n", READY, hints(&["b"], &["n"]))];
    let unchanged = [slice(both.to_vec())];
    let (rewrites, _) = assign_all(Mode::Auto, &table(&[("a", 1), ("b", 1)]), &mut [], &unchanged);
    assert_eq!(rewrites, [Rewrite { slice: 0, hints: vec![hints(&["a"], &[]), hints(&["b"], &[])] }]);
}

#[test]
fn slices_that_have_to_be_looked_at_each_time_are_not_written_each_time() {
    let uneven = table(&[("a", 97), ("b", 3)]);
    let even = table(&[("a", 1), ("b", 1), ("c", 1)]);
    let (a, b): (Spec, Spec) = (("a", READY, Some(&["a"])), ("b", READY, Some(&["b"])));
    for (scenario, table, slices) in [
        // Upstream writes each of these again at every sync.
        ("a zone too small to be given an endpoint", &uneven, vec![vec![a; 10]]),
        ("the same in two slices", &uneven, vec![vec![a; 4], vec![a; 6]]),
        ("a zone without Nodes that count", &uneven, vec![vec![a; 5], vec![("z", READY, Some(&["z"])), b]]),
        (
            "the last endpoint of a zone was handed over and not the first",
            &even,
            vec![
                vec![("z", READY, Some(&["z"])), a, a, ("a", READY, Some(&["c"]))],
                vec![a, ("a", READY, Some(&["c"])), b, b, b],
            ],
        ),
    ] {
        let slices: Vec<_> = slices.iter().map(|slice| slice_of(slice)).collect();
        let (rewrites, state) = assign_all(Mode::Auto, table, &mut [], &slices);
        assert_eq!(rewrites, [], "{scenario}");
        assert!(matches!(state, HintState::Populated(_)), "{scenario}: {state:?}");
    }
}

#[test]
fn a_traffic_distribution_names_the_own_zone_and_node() {
    use TrafficDistribution::{PreferClose, PreferSameNode, PreferSameZone};
    let zone = |zone: &str| hints(&[zone], &[]);
    for (distribution, zone_and_node, node_only) in [
        (PreferClose, zone("a"), None),
        (PreferSameZone, zone("a"), None),
        (PreferSameNode, hints(&["a"], &["n1"]), hints(&[], &["n1"])),
    ] {
        let mode = Mode::Distribution(distribution);
        let mut new = vec![vec![
            desired("a", "n1", true),
            desired("", "n1", true),
            desired("a", "n1", false),
            desired("a", "", true),
            desired("", "", true),
        ]];
        let (rewrites, state) = assign_all(mode, &NodeTable::default(), &mut new, &[]);
        assert_eq!((rewrites, state), (vec![], HintState::Off), "{distribution:?}");
        let found: Vec<_> = new[0].iter().map(|it| it.hints.clone()).collect();
        assert_eq!(
            found,
            [zone_and_node.clone(), node_only.clone(), None, zone("a"), None],
            "{distribution:?}"
        );

        for (had, is_right) in [
            (None, false),
            (zone("a"), distribution != PreferSameNode),
            (zone("b"), false),
            (hints(&["a", "b"], &[]), false),
            (hints(&["a"], &["n1"]), distribution == PreferSameNode),
            (hints(&["a"], &["n2"]), false),
            (hints(&[], &["n1"]), false),
        ] {
            let right = slice(vec![endpoint("a", "n1", READY, zone_and_node.clone())]);
            let idle = endpoint("a", "n1", Some(false), zone("b"));
            let other = slice(vec![idle.clone(), endpoint("a", "n1", READY, had.clone())]);
            let (rewrites, _) = assign_all(mode, &NodeTable::default(), &mut [], &[right, other]);
            let wanted = Rewrite { slice: 1, hints: vec![idle.hints, zone_and_node.clone()] };
            let expected: Vec<_> = (!is_right).then_some(wanted).into_iter().collect();
            assert_eq!(rewrites, expected, "{distribution:?}, {had:?}");
        }
        // No zone: hints for one are superfluous.
        let homeless = slice(vec![endpoint("", "n1", READY, zone("a"))]);
        let (rewrites, _) = assign_all(mode, &NodeTable::default(), &mut [], &[homeless]);
        assert_eq!(rewrites, [Rewrite { slice: 0, hints: vec![node_only] }], "{distribution:?}");
        // Endpoints that are not ready, or of unknown readiness, are no reason to write.
        let idle = slice(vec![endpoint("a", "n1", Some(false), None), endpoint("a", "n1", None, zone("b"))]);
        assert_eq!(assign_all(mode, &NodeTable::default(), &mut [], &[idle]).0, [], "{distribution:?}");
    }
}

#[test]
fn hints_that_nobody_asks_for_are_removed_everywhere() {
    let unchanged = [
        slice_of(&[("a", READY, None), ("b", Some(false), None)]),
        slice_of(&[("a", READY, Some(&["a"])), ("b", READY, None)]),
        slice_of(&[("a", Some(false), Some(&["a"]))]),
        slice(vec![endpoint("a", "n", READY, hints(&[], &["n"]))]),
    ];
    let mut packed = packed(&[&["a", "b"]]);
    let (rewrites, state) = assign_all(Mode::Off, &table(&[("a", 1), ("b", 1)]), &mut packed, &unchanged);
    let expected = [(1, 2), (2, 1), (3, 1)];
    assert_eq!(rewrites, expected.map(|(slice, endpoints)| Rewrite { slice, hints: vec![None; endpoints] }));
    assert_eq!(zones_of(&packed), [["-", "-"]]);
    assert_eq!(state, HintState::Off);
}

#[test]
fn a_service_with_too_few_endpoints_in_a_zone_is_looked_at() {
    type Case<'a> = (&'static str, &'a [(&'a str, u64)], &'a [(&'a str, usize)], bool);

    let lopsided: &[(&str, u64)] = &[("a", 100), ("b", 1000), ("c", 2000)];
    let even: &[(&str, u64)] = &[("b", 4000), ("c", 4000)];
    let falling: &[(&str, u64)] = &[("a", 2000), ("b", 1000), ("c", 100)];
    let cases: [Case<'_>; 9] = [
        ("lopsided", lopsided, &[("a", 1), ("b", 2), ("c", 3)], true),
        ("lopsided, and the small zone is gone", &lopsided[1..], &[("a", 1), ("b", 2), ("c", 3)], true),
        ("uneven within the threshold", even, &[("b", 5), ("c", 4)], false),
        ("no table, for want of a zone or of CPU", &[], &[("b", 5), ("c", 4)], true),
        ("uneven beyond the threshold", even, &[("b", 6), ("c", 4)], true),
        ("as uneven as the zones", falling, &[("a", 20), ("b", 10), ("c", 1)], false),
        ("none in a small zone", falling, &[("a", 20), ("b", 10), ("c", 0)], true),
        ("none in a small zone, and not known there", falling, &[("a", 20), ("b", 10)], true),
        ("some in a zone without Nodes", even, &[("b", 5), ("c", 5), ("z", 2)], false),
    ];
    for (scenario, zones, counts, expected) in cases {
        let counts: Vec<_> = counts.iter().map(|(zone, count)| (Istr::from(*zone), *count)).collect();
        assert_eq!(is_overloaded(&counts, &table(zones)), expected, "{scenario}");
    }
}

#[test]
fn people_are_told_of_changes_and_of_nothing_else() {
    let family = fairlead_objects::Family::V6;
    let (on, other_on) = (populated(&[("a", 1), ("b", 1)]), populated(&[("a", 2), ("b", 2)]));
    let failed = |failure| HintState::Failed { failure, ready: 1 };
    let few = |endpoints| Failure::TooFewEndpoints { endpoints, zones: 3 };
    let minimum = Failure::MinimumExceeded { endpoints: 4, zones: 3 };
    let off = HintState::Off;
    let enabled =
        Some("Normal TopologyAwareHintsEnabled Topology Aware Hints has been enabled, addressType: IPv6");
    let disabled = "Warning TopologyAwareHintsDisabled";
    let gone = format!("{disabled} Topology Aware Hints has been disabled, addressType: IPv6");
    let too_few =
        format!("{disabled} Insufficient number of endpoints (1 endpoints, 3 zones), addressType: IPv6");
    let minima = format!(
        "{disabled} Unable to allocate minimum required endpoints to each zone without exceeding overload threshold \
         (4 endpoints, 3 zones), addressType: IPv6"
    );
    let nodes = format!(
        "{disabled} Insufficient Node information: allocatable CPU or zone not specified on one or more nodes, \
         addressType: IPv6"
    );
    let zone = format!("{disabled} One or more endpoints do not have a zone specified, addressType: IPv6");
    for (before, now, hinted, expected) in [
        (None, &on, false, enabled),
        (None, &on, true, None),
        (None, &off, true, None),
        (None, &failed(few(1)), true, Some(&*too_few)),
        (Some(&off), &on, true, enabled),
        (Some(&on), &other_on, false, None),
        (Some(&on), &off, true, Some(&*gone)),
        (Some(&on), &failed(minimum), true, Some(&*minima)),
        (Some(&failed(few(1))), &failed(few(2)), false, None),
        (Some(&failed(few(1))), &failed(minimum), false, Some(&*minima)),
        (Some(&failed(few(1))), &failed(Failure::NodeInformation), false, Some(&*nodes)),
        (Some(&failed(few(1))), &failed(Failure::NoZone), false, Some(&*zone)),
        (Some(&failed(few(1))), &on, false, enabled),
        (Some(&failed(few(1))), &off, false, None),
        (Some(&off), &off, false, None),
    ] {
        let told = event(family, before, now, hinted).map(|event| {
            let kind = if event.is_warning() { "Warning" } else { "Normal" };
            format!("{kind} {} {event}", event.reason())
        });
        assert_eq!(told.as_deref(), expected, "{before:?} became {now:?}");
    }
}
