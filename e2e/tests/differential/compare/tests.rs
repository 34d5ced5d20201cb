use super::*;
use crate::normal::{Endpoint, Name};

fn slice(endpoints: &[&str]) -> Slice {
    let endpoint = |it: &&str| Endpoint { body: (*it).to_owned(), hints: None };
    Slice {
        service: "web".into(),
        managed_by: SLICE_CONTROLLER.into(),
        family: "IPv4".into(),
        header: "{}".into(),
        ports: "[]".into(),
        endpoints: endpoints.iter().map(endpoint).collect(),
        trigger: None,
        note: None,
        name: Name(String::new()),
    }
}

fn state(slices: Vec<Slice>) -> State {
    State { endpoints: BTreeMap::new(), slices }
}

fn alike(judge: &mut Judge, upstream: Vec<Slice>, ours: Vec<Slice>) -> bool {
    let used = Used::default();
    let last = Operation::Patch {
        kind: crate::operation::Kind::Pod,
        name: "p".into(),
        status: true,
        patch: serde_json::json!({ "status": { "conditions": [{ "lastTransitionTime": "2031-01-01T00:00:09Z" }] } }),
    };
    let happened = Happened { last: Some(&last), ..Happened::default() };
    judge.compare((&state(upstream), &state(ours)), &Special::default(), happened, &used).is_ok()
}

#[test]
fn the_order_of_new_endpoints_is_free_and_their_number_is_not() {
    let mut judge = Judge::new(Mode::Settle, 2);
    assert!(!alike(&mut judge, vec![slice(&["a", "b"])], vec![slice(&["a"]), slice(&["b"])]));
    assert!(alike(
        &mut judge,
        vec![slice(&["a", "b"]), slice(&["c", "d"])],
        vec![slice(&["a", "c"]), slice(&["b", "d"])]
    ));
    // From then on the numbers may differ as well, but no endpoint and no slice above its capacity.
    assert!(alike(&mut judge, vec![slice(&["c", "d"])], vec![slice(&["c"]), slice(&["d"])]));
    assert!(!alike(&mut judge, vec![slice(&["c", "d"])], vec![slice(&["c"]), slice(&["e"])]));
    assert!(!alike(&mut judge, vec![slice(&["c", "d", "e"])], vec![slice(&["c", "d"]), slice(&["e"])]));
    // A label that is changed on all of them makes them no other slices, but other ports do.
    let changed = |mut slice: Slice, change: fn(&mut Slice)| {
        change(&mut slice);
        slice
    };
    let label = |it: &mut Slice| it.header = "{1}".into();
    let ports = |it: &mut Slice| it.ports = "[1]".into();
    for (change, is_free) in [(label as fn(&mut Slice), true), (ports, false)] {
        let mut judge = Judge::new(Mode::Settle, 2);
        judge.spread.insert(spread_of(&slice(&[])));
        let theirs = vec![changed(slice(&["c", "d"]), change)];
        let ours = vec![changed(slice(&["c"]), change), changed(slice(&["d"]), change)];
        assert_eq!(alike(&mut judge, theirs, ours), is_free);
    }
    // Once they are alike, the numbers count again.
    assert!(alike(&mut judge, vec![slice(&["c", "d"])], vec![slice(&["c", "d"])]));
    assert!(!alike(&mut judge, vec![slice(&["c", "d"])], vec![slice(&["c"]), slice(&["d"])]));
}

#[test]
fn ports_of_endpoints_may_have_another_order_and_addresses_may_not() {
    let endpoints = |addresses: [&str; 2], ports: [u16; 2]| {
        let body = serde_json::json!({ "subsets": [{ "addresses": addresses, "ports": ports }] });
        let endpoints = BTreeMap::from([("web".to_owned(), Endpoints { body, trigger: None })]);
        State { endpoints, slices: Vec::new() }
    };
    let mut judge = Judge::new(Mode::Settle, 2);
    let mut alike = |left: State, right: State| {
        judge.compare((&left, &right), &Special::default(), Happened::default(), &Used::default()).is_ok()
    };
    assert!(alike(endpoints(["a", "b"], [1, 2]), endpoints(["a", "b"], [2, 1])));
    assert!(!alike(endpoints(["a", "b"], [1, 2]), endpoints(["b", "a"], [1, 2])));
    assert!(!alike(endpoints(["a", "b"], [1, 2]), endpoints(["a", "b"], [1, 3])));
}

#[test]
fn labels_annotations_and_trigger_times_count() {
    let mut judge = Judge::new(Mode::Settle, 2);
    let change = |change: fn(&mut Slice)| {
        let mut slice = slice(&["a"]);
        change(&mut slice);
        vec![slice]
    };
    let plain = || vec![slice(&["a"])];
    assert!(!alike(&mut judge, plain(), change(|it| it.header = "{1}".into())));
    assert!(!alike(&mut judge, plain(), change(|it| it.trigger = Some("now".into()))));
    assert!(!alike(&mut judge, plain(), change(|it| it.endpoints[0].hints = Some("{}".into()))));
    // An annotation of somebody else may be kept, and not be lost.
    assert!(alike(&mut judge, plain(), change(|it| it.note = Some("1".into()))));
    assert!(!alike(&mut judge, change(|it| it.note = Some("1".into())), plain()));
    // After a burst it may have been put on a slice that is gone.
    assert!(alike(&mut Judge::new(Mode::Burst, 2), change(|it| it.note = Some("1".into())), plain()));
    assert!(!alike(&mut judge, plain(), Vec::new()));
    // The time of an earlier change of a Pod may be missing, that of the last one not.
    assert!(alike(&mut judge, change(|it| it.trigger = Some("2031-01-01T00:00:08Z".into())), plain()));
    assert!(!alike(&mut judge, change(|it| it.trigger = Some("2031-01-01T00:00:09Z".into())), plain()));
}
