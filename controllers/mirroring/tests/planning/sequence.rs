//! The order of writes: an address that stays mirrored is in a slice after every single one.

use std::collections::BTreeSet;

use fairlead_mirroring::Action;
use serde_json::{Value, json};

use crate::support::{World, Writes, is_ours, subset};

/// Addresses in slices that are not on their way out.
pub(crate) fn published_addresses(world: &World) -> BTreeSet<String> {
    let slices =
        world.slices.iter().filter(|it| is_ours(it) && it["metadata"]["deletionTimestamp"].is_null());
    slices
        .flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default())
        .filter_map(|endpoint| endpoint["addresses"][0].as_str().map(str::to_owned))
        .collect()
}

/// Writes the plan of what is there now one by one, and looks after each.
pub(crate) fn sync_watched(world: &mut World, what: &str) -> Writes {
    let before = published_addresses(world);
    let mut after = world.clone();
    let writes = after.sync();
    let stay: BTreeSet<_> = published_addresses(&after).intersection(&before).cloned().collect();
    for action in world.plan().actions {
        world.write(&action);
        let missing: Vec<_> = stay.difference(&published_addresses(world)).cloned().collect();
        assert!(missing.is_empty(), "{what}: {missing:?} missing after {action:?}");
    }
    writes
}

#[test]
fn addresses_that_stay_are_never_missing() {
    let of = |list: &[(&[&str], &[i32])]| {
        Value::from(list.iter().map(|(addresses, ports)| subset(addresses, ports)).collect::<Vec<_>>())
    };
    let (a, b, c) = ("10.0.0.1", "10.0.0.2", "10.0.0.3");
    let cases: [(&str, Value, Value, Writes); 8] = [
        ("ports change", of(&[(&[a, b], &[1])]), of(&[(&[a, b], &[2])]), (0, 1, 0)),
        ("one becomes two", of(&[(&[a, b], &[1])]), of(&[(&[a], &[2]), (&[b], &[3])]), (1, 1, 0)),
        ("two become one", of(&[(&[a], &[1]), (&[b], &[2])]), of(&[(&[a, b], &[3])]), (0, 1, 1)),
        (
            "an address moves",
            of(&[(&[a, b], &[1]), (&[c], &[2])]),
            of(&[(&[a], &[1]), (&[b, c], &[2])]),
            (0, 2, 0),
        ),
        (
            "it moves the other way",
            of(&[(&[a], &[1]), (&[b, c], &[2])]),
            of(&[(&[a, b], &[1]), (&[c], &[2])]),
            (0, 2, 0),
        ),
        (
            "a chain",
            of(&[(&[a], &[1]), (&[b], &[2]), (&[c], &[3])]),
            of(&[(&[b], &[1]), (&[c], &[2]), (&[a, c], &[3])]),
            (0, 3, 0),
        ),
        ("two swap", of(&[(&[a], &[1]), (&[b], &[2])]), of(&[(&[b], &[1]), (&[a], &[2])]), (1, 1, 1)),
        (
            "three go round",
            of(&[(&[a], &[1]), (&[b], &[2]), (&[c], &[3])]),
            of(&[(&[b], &[1]), (&[c], &[2]), (&[a], &[3])]),
            (1, 2, 1),
        ),
    ];
    for (case, before, after, expected) in cases {
        let mut world = World::new(&before);
        world.sync();
        world.edit(|it| it["subsets"] = after);
        assert_eq!(sync_watched(&mut world, case), expected, "{case}");
        assert_eq!(world.sync(), (0, 0, 0), "{case}: again");
    }
}

/// Nothing can be created while the Endpoints are being deleted, so slices that swap do it in place.
#[test]
fn a_swap_while_the_endpoints_are_being_deleted_creates_nothing() {
    let of = |one, other| json!([subset(&[one], &[1]), subset(&[other], &[2])]);
    let mut world = World::new(&of("10.0.0.1", "10.0.0.2"));
    world.sync();
    world.edit(|it| {
        it["subsets"] = of("10.0.0.2", "10.0.0.1");
        it["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z".into();
    });
    assert_eq!(world.sync(), (0, 2, 0));
    assert_eq!(world.published(), ["IPv4 1: 10.0.0.2", "IPv4 2: 10.0.0.1"]);
}

#[test]
fn creates_come_first_and_deletes_last() {
    let mut world = World::new(&json!([
        subset(&["10.0.0.1"], &[1]),
        subset(&["10.0.0.2"], &[2]),
        subset(&["10.0.0.3"], &[3])
    ]));
    world.sync();
    world.edit(|it| {
        it["subsets"] = json!([subset(&["10.0.0.1", "10.0.0.9"], &[1]), subset(&["2001:db8::1"], &[2])]);
    });
    let kinds: Vec<_> = world
        .plan()
        .actions
        .iter()
        .map(|action| match action {
            Action::Create(_) => 0,
            Action::Update { .. } => 1,
            Action::Empty(_) | Action::Delete(_) => 2,
        })
        .collect();
    assert_eq!(kinds, [1, 2, 2, 0], "of IPv4, then of IPv6");
}
