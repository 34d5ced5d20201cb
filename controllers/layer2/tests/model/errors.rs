//! The checks notice when a rule of the protocol is left out.

use std::time::Instant;

use fairlead_layer2::ownership::Rules;

use crate::explore::explore;
use crate::scenario::{Kind, Scenario, Violation};

fn finds(scenario: &Scenario, states: usize, expected: impl Fn(&Violation) -> bool) {
    let began = Instant::now();
    let outcome = explore(scenario, states);
    let Some((violation, steps)) = outcome.found else {
        panic!("{}: nothing found in {} states", scenario.name, outcome.states);
    };
    let actions: Vec<_> = steps.iter().filter_map(|step| step.action).collect();
    println!(
        "{}: {violation:?} after {} states, {} ticks and {actions:?}, {:.1?}",
        scenario.name,
        outcome.states,
        steps.len(),
        began.elapsed()
    );
    assert!(expected(&violation), "{violation:?}");
}

fn is_double(violation: &Violation) -> bool {
    matches!(violation, Violation::Double(_) | Violation::DoubleBetweenFrames)
}

#[test]
fn claims_whose_epochs_do_not_count_are_found() {
    let scenario = Scenario {
        name: "epochs ignored, G2",
        nodes: 2,
        addresses: 2,
        kinds: &[Kind::Drain, Kind::Unfit],
        faults: 3,
        always_answered: true,
        rules: Rules { epochs: false, ..Rules::default() },
        ..Scenario::default()
    };
    // The successor claims, does not win, and is offered the address again.
    finds(&scenario, 60_000, |violation| is_double(violation) || *violation == Violation::Storm);
}

#[test]
fn an_owner_that_ignores_better_claims_is_found() {
    let scenario = Scenario {
        name: "better claim ignored, E3",
        kinds: &[Kind::Freeze],
        faults: 3,
        overflow: true,
        rules: Rules { yield_to_better: false, ..Rules::default() },
        ..Scenario::default()
    };
    finds(&scenario, 60_000, |violation| {
        is_double(violation) || matches!(violation, Violation::NoSingleOwner(_) | Violation::Storm)
    });
}

#[test]
fn a_node_that_claims_without_listening_is_found() {
    let scenario = Scenario {
        name: "no listening, J2",
        nodes: 2,
        kinds: &[Kind::Crash],
        never_double: true,
        rules: Rules { listen: false, ..Rules::default() },
        ..Scenario::default()
    };
    finds(&scenario, 20_000, is_double);
}

#[test]
fn a_node_that_does_not_fence_itself_is_found() {
    let scenario = Scenario {
        name: "no self-fence, F3",
        kinds: &[Kind::Freeze],
        overflow: true,
        never_double: true,
        rules: Rules { fence: false, ..Rules::default() },
        ..Scenario::default()
    };
    finds(&scenario, 60_000, is_double);
}

#[test]
fn an_owner_that_stops_when_it_offers_is_found() {
    let scenario = Scenario {
        name: "stops when it offers, G2",
        nodes: 2,
        addresses: 2,
        kinds: &[Kind::Drain, Kind::Unfit],
        faults: 3,
        always_answered: true,
        rules: Rules { keep_offered: false, ..Rules::default() },
        ..Scenario::default()
    };
    finds(&scenario, 20_000, |violation| *violation == Violation::Unanswered);
}

#[test]
fn a_deaf_rival_that_nobody_gives_way_to_is_found() {
    let scenario = Scenario {
        name: "no deaf rule, C2 one-way",
        nodes: 2,
        kinds: &[Kind::CutOneWay, Kind::Crash],
        faults: 2,
        double: 19,
        rules: Rules { deaf: false, ..Rules::default() },
        ..Scenario::default()
    };
    finds(&scenario, 200_000, is_double);
}

#[test]
fn a_pair_that_nobody_passes_frames_on_for_is_found() {
    let scenario = Scenario {
        name: "no relay, C3 pair",
        kinds: &[Kind::CutPair],
        faults: 1,
        double: 19,
        rules: Rules { relay: false, ..Rules::default() },
        ..Scenario::default()
    };
    finds(&scenario, 200_000, is_double);
}
