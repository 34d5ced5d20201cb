//! What may happen on a segment, and which bounds hold.

use fairlead_layer2::ownership::Rules;

/// What may go wrong, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) nodes: usize,
    pub(crate) addresses: usize,
    /// Kinds of faults that may start.
    pub(crate) kinds: &'static [Kind],
    /// How many of them start in all.
    pub(crate) faults: u8,
    /// How many times a link loses all frames of a tick.
    pub(crate) losses: u8,
    /// For how many ticks in a row two may answer the same clients.
    pub(crate) double: u8,
    /// For how many ticks in a row nobody may answer although a node could: D, and T for each of two
    /// places, and one.
    pub(crate) gap: u8,
    /// Whether two may not even answer between two frames.
    pub(crate) never_double: bool,
    /// Whether there is always somebody who answers, once somebody does and as long as a node could.
    pub(crate) always_answered: bool,
    /// What a frozen node does not read is lost.
    pub(crate) overflow: bool,
    pub(crate) rules: Rules,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "",
            nodes: 3,
            addresses: 1,
            kinds: &[],
            faults: 1,
            losses: 0,
            double: 0,
            gap: 10,
            never_double: false,
            always_answered: false,
            overflow: false,
            rules: Rules::default(),
        }
    }
}

/// A kind of fault, or of a planned change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Crash,
    Freeze,
    /// As a freeze, but the clock of the node stands still, too.
    Pause,
    CutOneWay,
    /// Neither of two hears the other.
    CutPair,
    /// Nobody hears a node, and it hears nobody.
    Isolate,
    Drain,
    /// A node may not have the address any more; the others learn of it later.
    Unfit,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Start(Kind, usize, usize),
    /// Crashed and drained nodes start, frozen ones run again.
    Revive(usize),
    Heal,
    /// All nodes know whether a node may have the address.
    Sync,
    FitAgain(usize),
    Lose(usize, usize),
}

/// Why a state is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    Double(u8),
    DoubleBetweenFrames,
    Unanswered,
    Gap(u8),
    NoSingleOwner(Vec<usize>),
    Storm,
}
