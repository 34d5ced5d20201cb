//! Other interfaces of this node on the same segment, of which the one with the lowest index takes part.

use super::event::{Condition, LossCause};
use super::{Election, Mode};
use crate::beacon::Header;
use crate::moment::Moment;

/// For so many beacon periods without a sign of it, the interface with the lower index is thought to take part.
const PERIODS: u32 = 8;

/// What is known about the other interfaces of this node on the segment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Twins {
    /// The one that this interface gives way to.
    pub(super) lower: Option<LowerTwin>,
    /// Until when one with a higher index is thought to take part.
    higher_until: Moment,
    /// Whether this interface has its last words to say, because it gave way.
    pub(super) farewell: bool,
}

/// An interface of this node that has a lower index, and takes part.
#[derive(Clone, Copy, Debug)]
pub(super) struct LowerTwin {
    /// Since when this interface says nothing.
    silent_since: Moment,
    /// Until when the other one is thought to take part.
    pub(super) until: Moment,
}

impl Election {
    /// A page of another interface of this node was heard.
    pub(super) fn note_twin(&mut self, header: &Header) {
        let until = self.twin_until();
        if header.from.link > self.identity.link {
            self.twins.higher_until = until;
        } else if header.flags.goodbye {
            self.twins.lower = self.twins.lower.map(|lower| LowerTwin { until: self.now, ..lower });
        } else if let Some(lower) = &mut self.twins.lower {
            lower.until = until;
        } else {
            self.twins.lower = Some(LowerTwin { silent_since: self.now, until });
            self.raise(Condition::TwinInterface);
            if matches!(self.mode, Mode::Listening { .. } | Mode::Active { .. }) {
                self.pause();
                self.twins.farewell = true;
            }
        }
    }

    /// Another node says that it hears this one. Once this interface has been silent for long enough, that is about the one
    /// that it gave way to.
    ///
    /// A macvlan and the card below it hear all of the segment but each other: others pass the frames on between them, but
    /// only as long as they hear both.
    pub(super) fn note_listed(&mut self) {
        let until = self.twin_until();
        let forgotten_after = self.timing.dead(self.timing.period) + self.timing.period;
        if let Some(lower) = &mut self.twins.lower
            && self.now.since(lower.silent_since) > forgotten_after
            && self.now >= self.twins.higher_until
        {
            lower.until = until;
        }
    }

    /// Takes part again when nothing shows any more that the other interface does.
    pub(super) fn step_twins(&mut self) {
        if self.twins.lower.is_some_and(|lower| self.now >= lower.until) {
            self.twins.lower = None;
            self.clear(Condition::TwinInterface);
            if self.carrier && self.mode == Mode::Passive {
                self.start(LossCause::Passive);
            }
        }
    }

    /// Until when a sign of another interface counts: whoever gives it may have a longer period than this one.
    fn twin_until(&self) -> Moment {
        let periods = self.peers.live().map(|peer| peer.period);
        self.now + periods.fold(self.timing.period, Ord::max) * PERIODS
    }
}
