//! The scenarios, and the bounds that hold in each.

use std::time::Instant;

use crate::explore::explore;
use crate::scenario::{Kind, Scenario};

/// How many states are looked at: so many, to end in some seconds, or what `FAIRLEAD_MODEL` says.
pub(crate) fn most(states: usize) -> usize {
    match std::env::var("FAIRLEAD_MODEL").as_deref() {
        Ok("long") => 2_000_000,
        Ok(number) => number.parse().expect("FAIRLEAD_MODEL is `long` or a number of states"),
        Err(_) => states,
    }
}

fn holds(scenario: &Scenario, states: usize) {
    let began = Instant::now();
    let outcome = explore(scenario, most(states));
    let extent = if outcome.complete { "complete" } else { "cut off" };
    println!("{}: {} states, {extent}, {:.1?}", scenario.name, outcome.states, began.elapsed());
    if let Some((violation, steps)) = outcome.found {
        panic!("{}: {violation:?} after {steps:#?}", scenario.name);
    }
}

#[test]
fn restarts_never_double() {
    for (name, nodes, addresses) in [("J2 restart", 2, 1), ("J3 restart", 3, 2)] {
        holds(
            &Scenario {
                name,
                nodes,
                addresses,
                kinds: &[Kind::Crash],
                never_double: true,
                ..Scenario::default()
            },
            5000,
        );
    }
}

#[test]
fn a_freeze_with_lost_frames_never_doubles() {
    let scenario = Scenario {
        name: "F3 freeze, buffer overflown",
        kinds: &[Kind::Freeze],
        overflow: true,
        never_double: true,
        ..Scenario::default()
    };
    holds(&scenario, 5000);
}

#[test]
fn three_freezes_with_lost_frames_do_not_double() {
    let scenario = Scenario {
        name: "E3 freezes, buffers overflown",
        kinds: &[Kind::Freeze],
        faults: 3,
        overflow: true,
        ..Scenario::default()
    };
    holds(&scenario, 5000);
}

#[test]
fn freezes_crashes_and_restarts_do_not_double() {
    let kinds = &[Kind::Freeze, Kind::Crash];
    for (name, nodes, addresses) in [("A2 freeze, crash, restart", 2, 2), ("A3 freeze, crash, restart", 3, 1)]
    {
        holds(&Scenario { name, nodes, addresses, kinds, faults: 3, ..Scenario::default() }, 5000);
    }
}

#[test]
fn lost_frames_double_for_as_long_as_they_are_lost_and_one_period() {
    let kinds = &[Kind::Freeze, Kind::Crash];
    for (name, nodes, faults) in [("B2 and 3 lost link-ticks", 2, 2), ("B3 and 3 lost link-ticks", 3, 1)] {
        holds(&Scenario { name, nodes, kinds, faults, losses: 3, double: 5, ..Scenario::default() }, 5000);
    }
}

#[test]
fn partitions_and_one_way_cuts_end_with_one_owner() {
    let scenario = Scenario {
        name: "C2 partition, one-way cuts, crash",
        nodes: 2,
        kinds: &[Kind::CutOneWay, Kind::CutPair, Kind::Crash],
        faults: 3,
        // D + 7 T
        double: 19,
        ..Scenario::default()
    };
    holds(&scenario, 5000);
}

#[test]
fn an_isolated_node_doubles_for_one_period_after_the_heal() {
    let scenario = Scenario {
        name: "C3 isolation, crash, freeze",
        kinds: &[Kind::Isolate, Kind::Crash, Kind::Freeze],
        faults: 2,
        double: 2,
        ..Scenario::default()
    };
    holds(&scenario, 5000);
}

#[test]
fn one_way_cuts_among_three_end_with_one_owner() {
    let scenario = Scenario {
        name: "C3 one-way cuts, also of a pair, crash",
        kinds: &[Kind::CutOneWay, Kind::CutPair, Kind::Crash],
        faults: 2,
        double: 19,
        ..Scenario::default()
    };
    holds(&scenario, 5000);
}

#[test]
fn a_paused_machine_doubles_for_one_period() {
    let scenario = Scenario {
        name: "D3 machine paused with its clock, crash",
        kinds: &[Kind::Pause, Kind::Crash],
        faults: 2,
        overflow: true,
        double: 2,
        ..Scenario::default()
    };
    holds(&scenario, 5000);
}

#[test]
fn planned_moves_never_leave_a_gap() {
    let kinds = &[Kind::Drain, Kind::Unfit];
    for (name, nodes, addresses) in [("G2 drain, eligibility", 2, 2), ("G3 drain, eligibility", 3, 1)] {
        let scenario = Scenario {
            name,
            nodes,
            addresses,
            kinds,
            faults: 2,
            always_answered: true,
            ..Scenario::default()
        };
        holds(&scenario, 5000);
    }
}

#[test]
fn planned_moves_amid_crashes_and_freezes_do_not_double() {
    let scenario = Scenario {
        name: "H3 drain, eligibility, crash, freeze",
        kinds: &[Kind::Drain, Kind::Unfit, Kind::Crash, Kind::Freeze],
        faults: 2,
        ..Scenario::default()
    };
    holds(&scenario, 5000);
}
