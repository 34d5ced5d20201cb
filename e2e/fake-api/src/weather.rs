//! Faults, decided by dice that a seed loads.
//!
//! What befalls a request depends on the seed, on what the request is and on how often it was made before, not on
//! what else goes on: two runs of one seed differ as little as possible.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use http::Method;

use crate::answer::Refusal;
use crate::kinds::Kind;

/// How often each fault happens, in percent of the requests or watches that it can befall. The default is calm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Updates and deletes: 409 `Conflict`; creates: 409 `AlreadyExists`. Nothing is done.
    pub conflict: u8,
    /// Requests: 429 with `Retry-After` of one to three seconds.
    pub throttle: u8,
    /// Requests: 500.
    pub error: u8,
    /// Requests: 503 without `Retry-After`.
    pub unavailable: u8,
    /// Writes: done, but the answer never comes, or the connection breaks.
    pub lost_answer: u8,
    /// Requests: no answer, ever; nothing is done.
    pub hang: u8,
    /// Requests: served, up to three seconds late.
    pub delay: u8,
    /// Watches: cut within twenty seconds, orderly, with an error or in mid-event.
    pub cut: u8,
    /// Watches: silent from some moment on, as behind a load balancer that dropped the connection.
    pub silence: u8,
    /// Watches: each event comes up to twenty seconds late. The cache lags behind the writes.
    pub lag: u8,
    /// Lists: from up to ten seconds ago, as from another API server that is behind.
    pub stale_list: u8,
    /// Watches: the past was compacted, 410.
    pub compaction: u8,
}

impl Weather {
    /// All faults at once.
    pub const WORST: Self = Self {
        conflict: 10,
        throttle: 5,
        error: 8,
        unavailable: 5,
        lost_answer: 10,
        hang: 3,
        delay: 20,
        cut: 40,
        silence: 5,
        lag: 30,
        stale_list: 20,
        compaction: 15,
    };

    /// The longest time that a list or a watch lags behind.
    pub const LONGEST_LAG: Duration = Duration::from_secs(20);
    const OLDEST_LIST: Duration = Duration::from_secs(10);
}

/// What becomes of a request.
pub(crate) enum Fate {
    Served,
    Refused(Refusal),
    Hangs,
    /// Done, but the answer is lost.
    AnswerHangs,
    AnswerBreaks,
}

/// What becomes of a watch.
pub(crate) struct WatchFate {
    pub(crate) end: Option<(Duration, End)>,
    pub(crate) lag: Duration,
    pub(crate) compaction: bool,
}

/// How a watch ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Orderly,
    Error,
    MidEvent,
    Silence,
}

/// The dice: each thing that happens has its own sequence of throws.
#[derive(Debug)]
pub struct Dice {
    seed: u64,
    rolls: HashMap<String, u64>,
}

impl Dice {
    /// Dice that a seed loads.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, rolls: HashMap::new() }
    }

    /// The next throw for this thing, as randomness for all that is to be decided about it.
    pub fn roll(&mut self, what: &str) -> fastrand::Rng {
        let roll = self.rolls.entry(what.to_owned()).or_default();
        *roll += 1;
        let mut hasher = DefaultHasher::new();
        (self.seed, what, *roll).hash(&mut hasher);
        fastrand::Rng::with_seed(hasher.finish())
    }
}

fn up_to(rng: &mut fastrand::Rng, most: Duration) -> Duration {
    most.mul_f64(rng.f64())
}

impl Weather {
    /// How late the request is served, and what becomes of it.
    pub(crate) fn fate(
        &self,
        mut rng: fastrand::Rng,
        method: &Method,
        kind: &Kind,
        name: &str,
    ) -> (Duration, Fate) {
        let mut happens = |percent: u8| rng.u8(0..100) < percent;
        let write = *method != Method::GET;
        let delayed = happens(self.delay);
        let fate = if happens(self.hang) {
            Fate::Hangs
        } else if happens(self.throttle) {
            Fate::Refused(Refusal::too_many_requests(rng.u64(1..=3)))
        } else if happens(self.error) {
            Fate::Refused(Refusal::internal())
        } else if happens(self.unavailable) {
            Fate::Refused(Refusal::unavailable())
        } else if write && happens(self.conflict) {
            Fate::Refused(match *method {
                Method::POST => Refusal::already_exists(kind, name),
                _ => Refusal::modified(kind, name),
            })
        } else if write && happens(self.lost_answer) {
            if rng.bool() { Fate::AnswerHangs } else { Fate::AnswerBreaks }
        } else {
            Fate::Served
        };
        let delay = if delayed { up_to(&mut rng, Duration::from_secs(3)) } else { Duration::ZERO };
        (delay, fate)
    }

    pub(crate) fn watch_fate(&self, mut rng: fastrand::Rng) -> WatchFate {
        let mut happens = |percent: u8| rng.u8(0..100) < percent;
        let (cut, silence, lag) = (happens(self.cut), happens(self.silence), happens(self.lag));
        let compaction = happens(self.compaction);
        let end = match (cut, silence) {
            (true, _) => Some([End::Orderly, End::Error, End::MidEvent][rng.usize(0..3)]),
            (false, true) => Some(End::Silence),
            (false, false) => None,
        };
        let end = end.map(|end| (up_to(&mut rng, Duration::from_secs(20)), end));
        let lag = if lag { up_to(&mut rng, Self::LONGEST_LAG) } else { Duration::ZERO };
        WatchFate { end, lag, compaction }
    }

    /// How old a list is.
    pub(crate) fn list_age(&self, mut rng: fastrand::Rng) -> Option<Duration> {
        (rng.u8(0..100) < self.stale_list).then(|| up_to(&mut rng, Self::OLDEST_LIST))
    }
}
