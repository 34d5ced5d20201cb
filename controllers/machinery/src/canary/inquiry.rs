//! What becomes of questions, and what follows from it: a pure state machine of one controller.

use std::time::Duration;

use tokio::time::Instant;

/// Time from one question to the next, at most. Whoever asks draws a time between [`SHORTEST_PERIOD`] and this one, so
/// that two that answer each other do not stand aside and resume in step for ever.
pub const PERIOD: Duration = Duration::from_secs(30);
/// Time from one question to the next, at least.
pub const SHORTEST_PERIOD: Duration = Duration::from_secs(25);
/// When to look for the answer, counted from the question. kube-controller-manager answers in 0.15 to 0.4 s. After the
/// last of these the question counts as unanswered; it is looked at once more before the next one is put.
pub const LOOKS: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];
/// Unanswered questions in a row after which a controller that stands aside works again.
pub const SILENT_ROUNDS: u32 = 2;
/// How long the first write waits, at most, for a question that the API server refuses to take.
pub const REFUSED_AT_START: Duration = Duration::from_secs(5);
/// How long the first write waits, at most, while the API server gives no usable answer.
pub const LOST_AT_START: Duration = Duration::from_secs(30);
/// How long a controller stands aside, at most, while nothing can be learned about its rival.
pub const BLIND: Duration = Duration::from_mins(5);
/// Time to the next try before the first write.
const RETRY_AT_START: Duration = Duration::from_secs(1);
/// Time to the next try after the API server gave no usable answer.
const RETRY: Duration = Duration::from_secs(5);

/// What a controller does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// It waits with its first write for the answer to the first question.
    Asking,
    /// It works: nobody else does.
    Working,
    /// Somebody else does its work, and it writes nothing.
    Aside,
}

/// Why nothing was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The API server refuses: no rights, no object, an admission policy. A person must act, so this counts as silence.
    Refused,
    /// The API server fails, is overloaded, or cannot be reached. It will pass.
    Lost,
}

/// An answer that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The question that it answers.
    pub number: u64,
    /// Is it another Fairlead's? That counts only in time: it may have begun to work when the question had long been
    /// put, and have stood aside since, because we answered it. Otherwise both would.
    pub from_fairlead: bool,
}

/// How a question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody answered.
    Answered,
    /// Nobody did.
    Unanswered,
    /// It could not be put, or the answer not be read.
    Failed(Trouble),
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Put the question of this number, then call [`Inquiry::asked`].
    Ask(u64),
    /// Look for the answer, then call [`Inquiry::looked`].
    Look,
    /// Nothing until then.
    WaitUntil(Instant),
}

/// What an event led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// A question ended like this. One that is answered late first ends unanswered, then answered.
    pub verdict: Option<Verdict>,
    /// The stance that the controller takes from now on, if it is another one.
    pub stance: Option<Stance>,
}

/// The questions of one controller, from when it may write.
#[derive(Clone, Debug)]
pub struct Inquiry {
    stance: Stance,
    begun: Instant,
    /// The last question.
    number: u64,
    /// The newest question that was answered.
    answered: u64,
    round: Round,
    /// While standing aside: unanswered questions in a row.
    silent: u32,
    /// While standing aside: since when nothing was learned.
    blind_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Round {
    /// The next question is to be put then.
    Due(Instant),
    /// The question was put; `looks` looks were made.
    Open { asked: Instant, looks: usize, next: Instant, ended: bool },
}

impl Inquiry {
    /// Begins with this stance ([`super::first_stance`]); the first question is due at once.
    #[must_use]
    pub fn new(stance: Stance, now: Instant) -> Self {
        Self {
            stance,
            begun: now,
            number: 0,
            answered: 0,
            round: Round::Due(now),
            silent: 0,
            blind_since: None,
        }
    }

    /// What the controller does now. It may write only while it is [`Stance::Working`].
    #[must_use]
    pub fn stance(&self) -> Stance {
        self.stance
    }

    /// What is to be done.
    #[must_use]
    pub fn next(&self, now: Instant) -> Step {
        let (due, step) = match self.round {
            Round::Due(at) => (at, Step::Ask(self.number + 1)),
            Round::Open { asked, looks, next, .. } => {
                (LOOKS.get(looks).map_or(next, |after| asked + *after), Step::Look)
            }
        };
        if now >= due { step } else { Step::WaitUntil(due) }
    }

    /// The question was put, or could not be. The next one follows after `period`.
    pub fn asked(&mut self, outcome: Result<(), Trouble>, now: Instant, period: Duration) -> News {
        // Even if nothing came back: it may have arrived.
        self.number += 1;
        match outcome {
            Ok(()) => {
                self.round = Round::Open { asked: now, looks: 0, next: now + period, ended: false };
                News::default()
            }
            Err(trouble) => {
                let retry = match (self.stance, trouble) {
                    (Stance::Asking, _) => RETRY_AT_START,
                    (_, Trouble::Refused) => period,
                    (_, Trouble::Lost) => RETRY,
                };
                self.round = Round::Due(now + retry);
                self.end(Verdict::Failed(trouble), now)
            }
        }
    }

    /// The answer was looked for: the newest of our questions that is answered.
    pub fn looked(&mut self, outcome: Result<Option<Heard>, Trouble>, now: Instant) -> News {
        let Round::Open { asked, looks, next, ended } = self.round else { return News::default() };
        let looks = looks + 1;
        let late = looks > LOOKS.len();
        if let Ok(Some(Heard { number, from_fairlead })) = outcome
            && number > self.answered
            && number <= self.number
            && !(from_fairlead && (late || number < self.number))
        {
            self.answered = number;
            let current = number == self.number;
            self.round = if current || late {
                Round::Due(next)
            } else {
                // To an earlier question, so that the answer to this one must not be taken for news later.
                Round::Open { asked, looks, next, ended: true }
            };
            return if ended && !late { News::default() } else { self.end(Verdict::Answered, now) };
        }
        self.round = if late {
            Round::Due(next)
        } else {
            Round::Open { asked, looks, next, ended: ended || looks == LOOKS.len() }
        };
        if ended || looks != LOOKS.len() {
            return News::default();
        }
        match outcome {
            Ok(_) => self.end(Verdict::Unanswered, now),
            Err(trouble) => {
                let news = self.end(Verdict::Failed(trouble), now);
                if self.stance == Stance::Asking {
                    self.round = Round::Due(now + RETRY_AT_START);
                }
                news
            }
        }
    }

    fn end(&mut self, verdict: Verdict, now: Instant) -> News {
        let stance = match (self.stance, verdict) {
            (_, Verdict::Answered) => {
                (self.silent, self.blind_since) = (0, None);
                Stance::Aside
            }
            (Stance::Working, _) | (Stance::Asking, Verdict::Unanswered) => Stance::Working,
            (Stance::Asking, Verdict::Failed(trouble)) => {
                let patience = match trouble {
                    Trouble::Refused => REFUSED_AT_START,
                    Trouble::Lost => LOST_AT_START,
                };
                if now - self.begun >= patience { Stance::Working } else { Stance::Asking }
            }
            (Stance::Aside, Verdict::Unanswered | Verdict::Failed(Trouble::Refused)) => {
                self.blind_since = None;
                self.silent += 1;
                if self.silent >= SILENT_ROUNDS { Stance::Working } else { Stance::Aside }
            }
            (Stance::Aside, Verdict::Failed(Trouble::Lost)) => {
                let since = *self.blind_since.get_or_insert(now);
                if now - since >= BLIND { Stance::Working } else { Stance::Aside }
            }
        };
        let changed = stance != self.stance;
        self.stance = stance;
        if changed {
            (self.silent, self.blind_since) = (0, None);
        }
        News { verdict: Some(verdict), stance: changed.then_some(stance) }
    }
}

#[cfg(test)]
#[path = "inquiry_tests.rs"]
mod tests;
