//! Whether this node takes part: listening, active, fenced, leaving.

use std::time::Duration;

use super::event::{Condition, Event, LossCause};
use super::timing::part;
use super::{Drain, Election, Mode};
use crate::moment::Moment;

/// How far apart the last words are.
const GOODBYES_APART: Duration = Duration::from_millis(10);
/// How often they are said.
const GOODBYES: u8 = 3;
/// A foreign sender under our name makes this node start anew at most so often.
const CLASH_EVERY: Duration = Duration::from_mins(1);

impl Election {
    /// The interface can send and receive, or can not. At first it can not.
    pub fn set_carrier(&mut self, up: bool) {
        if up && !self.carrier {
            self.start_due = true;
        } else if !up && self.carrier {
            self.pause();
        }
        self.carrier = up;
    }

    /// Hands over all addresses, for at most so long, and leaves.
    pub fn drain(&mut self, limit: Duration) {
        if self.drain.is_none() {
            self.drain = Some(Drain { limit, deadline: None });
            let addresses: Vec<_> = self.owned.keys().copied().collect();
            for address in addresses {
                self.check_urgency(address);
            }
            self.outbox.round_now = true;
        }
    }

    /// Whether everything is handed over and the last words are sent.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.mode == Mode::Left
    }

    /// A wake-up begins. `now` is read before anything is received; `wall` is the wall clock in microseconds since 1970.
    pub fn begin(&mut self, now: Moment, wall: u64) {
        self.now = now;
        self.wall = wall;
        self.hearing.begin();
        if self.start_due && self.carrier && self.twins.lower.is_none() {
            self.start(LossCause::Passive);
        }
        self.start_due = false;
        if matches!(self.mode, Mode::Active { .. }) && self.rules.fence {
            let silent = now.since(self.last_round);
            if silent > self.timing.fence() {
                self.events.push(Event::Fenced { silent });
                self.start(LossCause::Fenced);
            }
        }
    }

    /// Drops all claims and listens.
    pub(super) fn start(&mut self, cause: LossCause) {
        self.started = self.now;
        let least = self.timing.listen();
        let spread = part(self.timing.period, self.timing.listen_spread).mul_f64(self.rng.f64());
        let until = self.now + least + spread;
        self.mode = Mode::Listening { until, latest: until + least };
        self.lose_all(cause);
        for peer in self.peers.all.values_mut() {
            peer.seen = 0;
        }
        self.outbox.start(self.now);
        if !self.rules.listen {
            self.mode = Mode::Active { since: self.now };
            self.placement_due = true;
        }
    }

    /// Stops to take part: nothing can be sent, or another interface of this node does.
    pub(super) fn pause(&mut self) {
        if !matches!(self.mode, Mode::Left) {
            self.mode = Mode::Passive;
            self.lose_all(LossCause::Passive);
            self.outbox.stop();
        }
    }

    /// Goes on to the next mode when it is time.
    pub(super) fn step_mode(&mut self) {
        self.step_twins();
        if let Mode::Listening { until, latest } = self.mode
            && self.now >= until
        {
            let known = self.peers.live().all(super::peers::Peer::is_known_wholly);
            let sending = self.now.since(self.last_round) <= self.timing.fence();
            if sending && (known || self.now >= latest) {
                self.activate();
            }
        }
        self.step_drain();
    }

    fn activate(&mut self) {
        self.mode = Mode::Active { since: self.now };
        self.events.push(Event::Activated);
        for free in self.table.free.values_mut() {
            free.since = Some(self.now);
        }
        self.placement_due = true;
        self.outbox.round_now = true;
    }

    fn step_drain(&mut self) {
        let Some(drain) = &mut self.drain else { return };
        let deadline = *drain.deadline.get_or_insert(self.now + drain.limit);
        match self.mode {
            Mode::Passive => self.mode = Mode::Left,
            Mode::Active { .. } if !self.owned.is_empty() && self.now < deadline => {}
            Mode::Listening { .. } | Mode::Active { .. } => {
                self.lose_all(LossCause::Left);
                self.mode = Mode::Leaving { left: GOODBYES, next: self.now };
            }
            Mode::Leaving { .. } | Mode::Left => {}
        }
    }

    /// Whether the last words are to be said now. Counts them.
    pub(super) fn says_goodbye(&mut self) -> bool {
        let Mode::Leaving { left, next } = &mut self.mode else { return false };
        if self.now < *next {
            return false;
        }
        *left -= 1;
        *next = self.now + GOODBYES_APART;
        if *left == 0 {
            self.mode = Mode::Left;
        }
        true
    }

    /// Somebody else sends under our name.
    pub(super) fn note_clash(&mut self) {
        self.raise(Condition::IdClash);
        let lately = self.last_clash.is_some_and(|at| self.now.since(at) < CLASH_EVERY);
        if !lately && matches!(self.mode, Mode::Active { .. }) {
            self.last_clash = Some(self.now);
            self.start(LossCause::Fenced);
        }
    }

    /// For how many seconds this node has been active, saturating.
    pub(super) fn uptime(&self) -> u16 {
        match self.mode {
            Mode::Active { since } => u16::try_from(self.now.since(since).as_secs()).unwrap_or(u16::MAX),
            _ => 0,
        }
    }
}
