//! Breadth first through all that may happen.

use std::collections::{HashSet, VecDeque};

use crate::scenario::{Action, Scenario, Violation};
use crate::segment::Segment;

/// What was seen.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) states: usize,
    /// Whether each state was seen that can be reached.
    pub(crate) complete: bool,
    /// What went wrong first, and what led to it.
    pub(crate) found: Option<(Violation, Vec<Step>)>,
}

/// What happened in one tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) action: Option<Action>,
    /// Whether the last node ran first.
    #[expect(dead_code, reason = "shown in traces")]
    pub(crate) backwards: bool,
}

/// From each of so many states everything is repaired, and each address has one owner again.
const RECOVERY_EACH: u32 = 64;

/// Looks at so many states of a scenario, the nearest ones first.
pub(crate) fn explore(scenario: &Scenario, most: usize) -> Outcome {
    let mut seen = HashSet::new();
    let mut paths: Vec<(u32, Option<Step>)> = Vec::new();
    let mut queue = VecDeque::new();
    let orders = orders(scenario.nodes);
    for phases in phases(scenario.nodes) {
        let segment = Segment::settled(scenario, &phases);
        if seen.insert(segment.fingerprint()) {
            queue.push_back((number(&paths), segment));
            paths.push((0, None));
        }
    }
    while let Some((at, segment)) = queue.pop_front() {
        if at % RECOVERY_EACH == 0
            && let Err(violation) = segment.recovers(scenario)
        {
            return Outcome {
                states: seen.len(),
                complete: false,
                found: Some((violation, trace(&paths, at))),
            };
        }
        let actions = segment.actions(scenario);
        for action in std::iter::once(None).chain(actions.into_iter().map(Some)) {
            for (order, backwards) in orders.iter().zip([false, true]) {
                let step = Step { action, backwards };
                match segment.next(scenario, action, order) {
                    Err(violation) => {
                        let mut steps = trace(&paths, at);
                        steps.push(step);
                        return Outcome {
                            states: seen.len(),
                            complete: false,
                            found: Some((violation, steps)),
                        };
                    }
                    Ok(next) => {
                        if seen.insert(next.fingerprint()) {
                            if seen.len() > most {
                                return Outcome { states: most, complete: false, found: None };
                            }
                            queue.push_back((number(&paths), next));
                            paths.push((at, Some(step)));
                        }
                    }
                }
            }
        }
    }
    Outcome { states: seen.len(), complete: true, found: None }
}

/// The number of the next state.
fn number(paths: &[(u32, Option<Step>)]) -> u32 {
    u32::try_from(paths.len()).expect("fewer states than memory has room for")
}

fn trace(paths: &[(u32, Option<Step>)], mut at: u32) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some((before, Some(step))) = paths.get(at as usize) {
        steps.push(*step);
        at = *before;
    }
    steps.reverse();
    steps
}

/// In which order nodes run within a tick: there and back.
fn orders(nodes: usize) -> [Vec<usize>; 2] {
    [(0..nodes).collect(), (0..nodes).rev().collect()]
}

/// When nodes start; a beacon period has two ticks.
fn phases(nodes: usize) -> Vec<Vec<u32>> {
    (0..1_u32 << (nodes - 1)).map(|bits| (0..nodes).map(|node| bits >> node & 1).collect()).collect()
}
