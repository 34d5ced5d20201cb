//! Upstream's `TestReconcile` and `TestRecycleSlices`, by the names of their cases.

use fairlead_mirroring::{Action, Counts};
use serde_json::{Value, json};

use crate::support::{NOTHING, World, Writes, slice, subset, subset_of};

const V6: [&str; 3] = ["2001:db8::1", "2001:db8::2", "2001:db8::3"];

/// Two subsets: `10.0.0.1` and `.2` on two ports, `10.0.1.1`, `.2` and `.3` on two others.
fn two_subsets() -> Value {
    json!([
        subset(&["10.0.0.1", "10.0.0.2"], &[80, 443]),
        subset(&["10.0.1.1", "10.0.1.2", "10.0.1.3"], &[3000, 3001])
    ])
}

fn one() -> Value {
    json!([subset(&["10.0.0.1"], &[80])])
}

fn same(name: &str) -> Value {
    slice(name, "IPv4", &["10.0.0.1"], &[80])
}

fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut slice = same("db-1");
    change(&mut slice);
    slice
}

struct Case {
    name: &'static str,
    subsets: Value,
    existing: Vec<Value>,
    max: usize,
    /// Slices afterwards.
    slices: usize,
    writes: Writes,
    counts: Counts,
    skipped: (usize, usize),
}

fn case(name: &'static str, subsets: Value, existing: Vec<Value>, slices: usize, writes: Writes) -> Case {
    Case { name, subsets, existing, max: 1000, slices, writes, counts: Counts::default(), skipped: (0, 0) }
}

impl Case {
    /// Endpoints added, updated, removed and desired.
    fn counts(self, added: usize, updated: usize, removed: usize, desired: usize) -> Self {
        let counts = Counts {
            added,
            updated,
            removed,
            desired_endpoints: desired,
            desired_slices: self.slices,
            actual_slices: self.slices,
        };
        Self { counts, ..self }
    }

    fn skipped(self, addresses: usize, invalid: usize) -> Self {
        Self { skipped: (addresses, invalid), ..self }
    }

    fn check(self) {
        let name = self.name;
        let mut world = World { max: self.max, ..World::with_slices(&self.subsets, self.existing) };
        let plan = world.plan();
        assert_eq!((plan.skipped.addresses, plan.skipped.invalid), self.skipped, "{name}");
        let (writes, counts) = world.sync_counts();
        assert_eq!(writes, self.writes, "{name}");
        assert_eq!(counts, self.counts, "{name}");
        assert_eq!(world.published().len(), self.slices, "{name}");
        assert_eq!(world.sync(), NOTHING, "{name}: again");
    }
}

#[test]
fn reconcile() {
    let cases = [
        case("Endpoints with no subsets", json!([]), vec![], 0, NOTHING),
        case("Endpoints with no addresses", json!([subset(&[], &[80])]), vec![], 0, NOTHING),
        case("Endpoints with 1 subset, port, and address", one(), vec![], 1, (1, 0, 0)).counts(1, 0, 0, 1),
        case(
            "Endpoints with 2 subset, different port and address",
            json!([subset(&["10.0.0.1"], &[80]), subset(&["10.0.0.2"], &[443])]),
            vec![],
            2,
            (2, 0, 0),
        )
        .counts(2, 0, 0, 2),
        case(
            "Endpoints with 2 subset, different port and same address",
            json!([subset(&["10.0.0.1"], &[80]), subset(&["10.0.0.1"], &[443])]),
            vec![],
            1,
            (1, 0, 0),
        )
        .counts(1, 0, 0, 1),
        case(
            "Endpoints with 2 subset, different address and same port",
            json!([subset(&["10.0.0.1"], &[80]), subset(&["10.0.0.2"], &[80])]),
            vec![],
            1,
            (1, 0, 0),
        )
        .counts(2, 0, 0, 2),
        case("existing EndpointSlice with same fields", one(), vec![same("db-1")], 1, NOTHING)
            .counts(0, 0, 0, 1),
        case(
            "existing EndpointSlice has another owner UID",
            one(),
            vec![changed(|it| it["metadata"]["ownerReferences"][0]["uid"] = "former".into())],
            1,
            (0, 1, 0),
        )
        .counts(0, 0, 0, 1),
        case(
            "existing EndpointSlice with additional annotation",
            one(),
            vec![changed(|it| it["metadata"]["annotations"] = json!({ "foo": "bar" }))],
            1,
            (0, 1, 0),
        )
        .counts(0, 0, 0, 1),
        case(
            "existing EndpointSlice with missing label",
            one(),
            vec![changed(|it| it["metadata"]["labels"]["mine"] = "x".into())],
            1,
            (0, 1, 0),
        )
        .counts(0, 0, 0, 1),
        case(
            "Endpoints with 1 subset, 2 ports, and 2 addresses",
            json!([subset(&["10.0.0.1", "10.0.0.2"], &[80, 443])]),
            vec![],
            1,
            (1, 0, 0),
        )
        .counts(2, 0, 0, 2),
        case(
            "Endpoints with 1 subset, 2 ports, and 2 not ready addresses",
            json!([subset_of(&[], &["10.0.0.1", "10.0.0.2"], &[80, 443])]),
            vec![],
            1,
            (1, 0, 0),
        )
        .counts(2, 0, 0, 2),
        case(
            "Endpoints with 1 subset, 2 ports, and 2 ready and 2 not ready addresses",
            json!([subset_of(&["10.1.1.1", "10.1.1.2"], &["10.0.0.1", "10.0.0.2"], &[80, 443])]),
            vec![],
            1,
            (1, 0, 0),
        )
        .counts(4, 0, 0, 4),
        case("Endpoints with 2 subsets, multiple ports and addresses", two_subsets(), vec![], 2, (2, 0, 0))
            .counts(5, 0, 0, 5),
        case(
            "existing empty EndpointSlice",
            two_subsets(),
            vec![slice("db-1", "IPv4", &[], &[80, 443])],
            2,
            (1, 1, 0),
        )
        .counts(5, 0, 0, 5),
        case(
            "existing EndpointSlice with some addresses",
            two_subsets(),
            vec![{
                let mut some = slice("db-1", "IPv4", &["10.0.0.2", "10.0.0.1"], &[80, 443]);
                some["endpoints"][0]["conditions"] = json!({});
                some["endpoints"][1]["addresses"] = json!(["10.0.0.1", "10.0.0.3"]);
                some
            }],
            2,
            (1, 1, 0),
        )
        .counts(4, 1, 1, 5),
        case(
            "existing EndpointSlice identical to subset",
            two_subsets(),
            vec![slice("db-1", "IPv4", &["10.0.0.1", "10.0.0.2"], &[80, 443])],
            2,
            (1, 0, 0),
        )
        .counts(3, 0, 0, 5),
        case(
            "dual stack addresses",
            json!([
                subset(&[V6[0], "10.0.0.2"], &[80, 443]),
                subset(&["10.0.1.1", "10.0.1.2", V6[2]], &[3000, 3001])
            ]),
            vec![],
            4,
            (4, 0, 0),
        )
        .counts(5, 0, 0, 5),
        case(
            "ipv6 only addresses",
            json!([
                subset(&V6[..2], &[80, 443]),
                subset(&["2001:db8::a", "2001:db8::b", "2001:db8::c"], &[3000, 3001])
            ]),
            vec![],
            2,
            (2, 0, 0),
        )
        .counts(5, 0, 0, 5),
        case(
            "some invalid addresses",
            json!([
                subset(&[V6[0], "this-is-not-an-ip"], &[80, 443]),
                subset(&["this-is-also-not-an-ip", V6[1], V6[2]], &[3000, 3001])
            ]),
            vec![],
            2,
            (2, 0, 0),
        )
        .counts(3, 0, 0, 3)
        .skipped(2, 2),
        case(
            "all invalid addresses",
            json!([
                subset(&["not-1", "not-2"], &[80, 443]),
                subset(&["not-3", "not-4", "not-5"], &[3000, 3001])
            ]),
            vec![],
            0,
            NOTHING,
        )
        .skipped(5, 5),
        Case { max: 2, ..case("1 exceeding maxEndpointsPerSubset", two_subsets(), vec![], 2, (2, 0, 0)) }
            .counts(4, 0, 0, 4)
            .skipped(1, 0),
    ];
    for case in cases {
        case.check();
    }
}

/// Endpoints that are being deleted: upstream creates nothing. Updates and deletes go on.
#[test]
fn reconcile_pending_deletion() {
    for (name, existing, expected) in [
        ("nothing there", vec![], NOTHING),
        ("one that needs an update", vec![slice("db-1", "IPv4", &["10.0.0.9"], &[80])], (0, 1, 0)),
        ("one of other ports is used again", vec![slice("db-1", "IPv4", &["10.0.0.1"], &[81])], (0, 1, 0)),
        ("one too many", vec![same("db-1"), same("db-2")], (0, 0, 1)),
    ] {
        let mut world = World::with_slices(&one(), existing);
        world.edit(|it| it["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z".into());
        assert_eq!(world.sync(), expected, "{name}");
    }
}

/// Upstream's five cases about what kubectl keeps of an object (issue 102684), and the trigger time.
#[test]
fn reconcile_annotations() {
    const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
    const TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";
    for (name, annotations, existing, expected, writes) in [
        (
            "should not mirror last-applied-configuration",
            json!({ APPLIED: "{\"foo\":\"bar\"}" }),
            None,
            json!(null),
            (1, 0, 0),
        ),
        ("nor an empty one", json!({ APPLIED: "" }), None, json!(null), (1, 0, 0)),
        (
            "but other annotations beside it",
            json!({ APPLIED: "x", "foo": "bar" }),
            None,
            json!({ "foo": "bar" }),
            (1, 0, 0),
        ),
        (
            "the slice has only the other ones already",
            json!({ APPLIED: "x", "foo": "bar" }),
            Some(json!({ "foo": "bar" })),
            json!({ "foo": "bar" }),
            NOTHING,
        ),
        (
            "removed from an existing slice",
            json!({ APPLIED: "x" }),
            Some(json!({ APPLIED: "x" })),
            json!(null),
            (0, 1, 0),
        ),
        (
            "no trigger time",
            json!({ TRIGGER: "2026-01-02T03:04:05Z", "foo": "bar" }),
            None,
            json!({ "foo": "bar" }),
            (1, 0, 0),
        ),
        (
            "trigger time removed",
            json!({ TRIGGER: "x" }),
            Some(json!({ TRIGGER: "x" })),
            json!(null),
            (0, 1, 0),
        ),
        (
            "another value",
            json!({ "foo": "new" }),
            Some(json!({ "foo": "old" })),
            json!({ "foo": "new" }),
            (0, 1, 0),
        ),
    ] {
        let existing = existing.map(|annotations| changed(|it| it["metadata"]["annotations"] = annotations));
        let mut world = World::with_slices(&one(), existing);
        world.edit(|it| it["metadata"]["annotations"] = annotations);
        assert_eq!(world.sync(), writes, "{name}");
        assert_eq!(world.slices[0]["metadata"]["annotations"], expected, "{name}");
        assert_eq!(world.sync(), NOTHING, "{name}: again");
    }
}

/// Upstream's `TestRecycleSlices`: creates and deletes of one family become updates.
#[test]
fn recycle_slices() {
    let subsets = |creates: &[(&str, i32)]| {
        Value::from(creates.iter().map(|(address, port)| subset(&[address], &[*port])).collect::<Vec<_>>())
    };
    let (v4, v6) = (("10.0.0.1", 1), (V6[0], 2));
    let old4 = |name| slice(name, "IPv4", &["10.9.9.9"], &[99]);
    let old6 = |name| slice(name, "IPv6", &["2001:db8::99"], &[99]);
    for (name, creates, deletes, expected) in [
        ("Empty slices", vec![], vec![], NOTHING),
        ("1 to create and 1 to delete", vec![v4], vec![old4("a")], (0, 1, 0)),
        (
            "1 to create, update, and delete",
            vec![v4],
            vec![slice("k", "IPv4", &["10.0.0.1"], &[1]), old4("a")],
            (0, 0, 1),
        ),
        ("2 to create and 1 to delete", vec![v4, ("10.0.0.2", 3)], vec![old4("a")], (1, 1, 0)),
        ("1 to create and 2 to delete", vec![v4], vec![old4("a"), old4("b")], (0, 1, 1)),
        (
            "1 to create and 1 to delete for each IP family",
            vec![v4, v6],
            vec![old4("a"), old6("b")],
            (0, 2, 0),
        ),
        ("1 to create and 1 to delete, wrong IP family", vec![v4], vec![old6("b")], (1, 0, 1)),
    ] {
        let mut world = World::with_slices(&subsets(&creates), deletes);
        assert_eq!(world.sync(), expected, "{name}");
        assert_eq!(world.sync(), NOTHING, "{name}: again");
    }
}

/// Upstream can pair the wrong families here and then tries to create a slice under the name of an existing one, again
/// and again.
#[test]
fn gap_dual_stack_port_change_of_endpoints_updates_each_family_in_place() {
    let addresses = ["10.0.0.1", "10.0.0.2", V6[0], V6[1]];
    let mut world = World::new(&json!([subset(&addresses, &[80])]));
    assert_eq!(world.sync(), (2, 0, 0));
    let names = |world: &World| -> Vec<(Value, Value)> {
        world.slices.iter().map(|it| (it["metadata"]["name"].clone(), it["addressType"].clone())).collect()
    };
    let before = names(&world);
    world.edit(|it| it["subsets"] = json!([subset(&addresses, &[81, 82])]));
    assert_eq!(world.sync(), (0, 2, 0));
    assert_eq!(names(&world), before);
    assert_eq!(world.published(), ["IPv4 81,82: 10.0.0.1 10.0.0.2", "IPv6 81,82: 2001:db8::1 2001:db8::2"]);
}

#[test]
fn a_slice_is_used_again_for_what_it_has_most_of() {
    let subsets = |one, other| {
        json!([subset(&["10.0.0.1", "10.0.0.2"], &[one]), subset(&["10.0.1.1", "10.0.1.2"], &[other])])
    };
    let mut world = World::new(&subsets(1, 2));
    assert_eq!(world.sync(), (2, 0, 0));
    world.edit(|it| it["subsets"] = subsets(4, 3));
    for action in world.plan().actions {
        let Action::Update { current, desired } = action else { panic!("only updates: {action:?}") };
        assert_eq!(current.endpoints[0].addresses, desired.endpoints[0].addresses, "{}", current.key);
    }
    assert_eq!(world.sync(), (0, 2, 0));

    // One slice for two contents: it becomes the one that has more of it.
    let mut world = World::new(&json!([subset(&["10.0.0.1", "10.0.0.2", "10.0.0.3"], &[1])]));
    assert_eq!(world.sync(), (1, 0, 0));
    let name = world.slices[0]["metadata"]["name"].clone();
    world.edit(|it| {
        it["subsets"] = json!([subset(&["10.0.0.1"], &[2]), subset(&["10.0.0.2", "10.0.0.3"], &[3])])
    });
    assert_eq!(world.sync(), (1, 1, 0));
    let kept = world.slices.iter().find(|it| it["metadata"]["name"] == name).expect("it is still there");
    assert_eq!(kept["ports"][0]["port"], 3);
}

/// Slices of other address types are none of the two families: deleted, never used again.
#[test]
fn slices_of_other_address_types_are_deleted() {
    let mut world = World::with_slices(&one(), [slice("db-f", "FQDN", &["example.com"], &[80])]);
    assert_eq!(world.sync(), (1, 0, 1));
    assert_eq!(world.published(), ["IPv4 80: 10.0.0.1"]);
}
