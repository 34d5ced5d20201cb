//! How long things take.

use std::time::Duration;

/// The times of an election. All of them follow from the beacon period, which each frame carries: nodes with different
/// periods understand each other, so that the period can change by a rolling update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// T: how often a round is sent. 50 ms to 2 s.
    pub period: Duration,
    /// By how much of itself the period varies, in thousandths, so that rounds of many nodes do not fall together.
    pub jitter: u32,
    /// Q: after what part of its period a silent peer is asked, in thousandths. One round missed, with time for a late one.
    pub question: u32,
    /// After what part of its period it is asked again, in thousandths, but at least after 20 ms.
    pub repeat_question: u32,
    /// D: after what part of its period a silent peer is dead, in thousandths. 2,100 to 5,000.
    pub dead: u32,
    /// S: after what part of the period a node whose own round was not sent stops to answer, in thousandths. At most nine
    /// tenths of `dead`: the rest is for frames on their way and clocks that differ by 1 %.
    pub fence: u32,
    /// L: for what part of the period a node listens before its first claim, in thousandths. More than `dead` and half a period.
    pub listen: u32,
    /// By how much more of the period it listens at most, at random, in thousandths.
    pub listen_spread: u32,
    /// When a claim is said again, beside in each round.
    pub claim_repeats: Vec<Duration>,
    /// How long an answer to a question waits at most, at random, so that answers of many do not fall together.
    pub reply_spread: Duration,
    /// Answers of one kind are at least so far apart.
    pub reply_spacing: Duration,
    /// How long an offer stays open for one successor.
    pub offer: Duration,
    /// How long nobody takes an address that its owner says is deleted; longer than views of the API usually lag.
    pub tombstone: Duration,
    /// W: how long silent peers are remembered, and how far the clock of an unknown one may be off.
    pub memory: Duration,
    /// How often a node looks whether it has more than its share.
    pub rebalance: Duration,
    /// For how long it has too much before it offers any of it.
    pub overload: Duration,
    /// For how long a node is active before it is offered a share; doubled for each time that it started lately.
    pub settled: Duration,
}

/// A beacon period out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a beacon period is 50 ms to 2 s, not {0:?}")]
pub struct PeriodOutOfRange(pub Duration);

impl Timing {
    /// The shortest beacon period.
    pub const SHORTEST_PERIOD: Duration = Duration::from_millis(50);
    /// The longest beacon period.
    pub const LONGEST_PERIOD: Duration = Duration::from_secs(2);

    /// The times for a beacon period of 50 ms to 2 s.
    pub fn of_period(period: Duration) -> Result<Self, PeriodOutOfRange> {
        if (Self::SHORTEST_PERIOD..=Self::LONGEST_PERIOD).contains(&period) {
            Ok(Self { period, ..Self::default() })
        } else {
            Err(PeriodOutOfRange(period))
        }
    }

    /// When a peer with this period is asked: Q.
    #[must_use]
    pub fn question(&self, period: Duration) -> Duration {
        part(period, self.question)
    }

    /// When it is asked again.
    #[must_use]
    pub fn repeat_question(&self, period: Duration) -> Duration {
        part(period, self.repeat_question).max(Duration::from_millis(20))
    }

    /// When it is dead: D.
    #[must_use]
    pub fn dead(&self, period: Duration) -> Duration {
        part(period, self.dead)
    }

    /// When a node whose rounds are not sent stops to answer: S.
    #[must_use]
    pub fn fence(&self) -> Duration {
        part(self.period, self.fence)
    }

    /// How long a node listens, without the random part: L.
    #[must_use]
    pub fn listen(&self) -> Duration {
        part(self.period, self.listen)
    }
}

/// So many thousandths of it.
pub(super) fn part(whole: Duration, thousandths: u32) -> Duration {
    whole * thousandths / 1000
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            period: Duration::from_millis(200),
            jitter: 50,
            question: 1200,
            repeat_question: 200,
            dead: 2100,
            fence: 1850,
            listen: 3000,
            listen_spread: 500,
            claim_repeats: [20, 60, 140].map(Duration::from_millis).to_vec(),
            reply_spread: Duration::from_millis(5),
            reply_spacing: Duration::from_millis(20),
            offer: Duration::from_millis(300),
            tombstone: Duration::from_secs(5),
            memory: Duration::from_mins(10),
            rebalance: Duration::from_secs(5),
            overload: Duration::from_secs(10),
            settled: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn times_of_the_default_period() {
        let timing = Timing::default();
        let period = timing.period;
        assert_eq!(timing.question(period), 240 * MS);
        assert_eq!(timing.repeat_question(period), 40 * MS);
        assert_eq!(timing.dead(period), 420 * MS);
        assert_eq!(timing.fence(), 370 * MS);
        assert_eq!(timing.listen(), 600 * MS);
    }

    #[test]
    fn a_fenced_node_is_silent_before_it_is_replaced() {
        for period in [50, 200, 400, 2000] {
            let timing = Timing::of_period(period * MS).unwrap();
            // Clocks of both sides are off by 1 %, and a frame may be 10 ms on its way.
            assert!(timing.fence() * 101 / 100 + 10 * MS < timing.dead(timing.period) * 99 / 100);
            assert!(timing.listen() > timing.dead(timing.period) + timing.period / 2);
            assert!(timing.question(timing.period) > timing.period * 105 / 100);
        }
    }

    #[test]
    fn periods_have_a_range() {
        assert!(Timing::of_period(49 * MS).is_err());
        assert_eq!(
            Timing::of_period(2001 * MS).unwrap_err().to_string(),
            "a beacon period is 50 ms to 2 s, not 2.001s"
        );
    }
}
