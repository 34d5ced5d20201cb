//! Which request meets which fault: rules, and dice that a seed loads.

use std::collections::BTreeMap;
use std::time::Duration;

use fairlead_fake_api::{Dice, Weather};

use super::request::{Asked, Requests, Verb};

/// What can go wrong between a client and the API server. The names are those of [`Weather`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Requests: served, up to a second late.
    Delay,
    /// Requests: no answer, ever; the API server never sees them.
    Hang,
    /// Updates and deletes: 409 `Conflict`; creates: 409 `AlreadyExists`. The API server never sees them.
    Conflict,
    /// Requests: 429 with `Retry-After` of a second.
    Throttle,
    /// Requests: 500.
    Error,
    /// Requests: 503 without `Retry-After`.
    Unavailable,
    /// Writes: done, but the connection breaks before the answer, or by dice the answer never comes.
    LostAnswer,
    /// Watches that resume and further pages of lists: 410 as the status of the answer.
    Gone,
    /// Watches: 410 as an `ERROR` event, at the beginning of a watch that resumes or instead of an event.
    Expired,
    /// Watches: the bytes end in mid-event.
    Cut,
    /// Watches: open, and nothing comes any more.
    Silence,
    /// Watches: each event comes late, up to two seconds.
    Lag,
    /// Connections are refused, and those that are open break: [`super::Faults::set_down`].
    Down,
}

/// Shorter than with the fake, where time costs nothing.
const LONGEST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_LAG: Duration = Duration::from_secs(2);
/// How long a watch that will be cut or fall silent works.
const LONGEST_GRACE: Duration = Duration::from_secs(2);

impl Fault {
    fn befalls(self, asked: &Asked) -> bool {
        match self {
            Self::Delay | Self::Hang | Self::Throttle | Self::Error | Self::Unavailable => true,
            Self::Conflict | Self::LostAnswer => asked.verb.is_write(),
            Self::Gone => asked.resumes,
            Self::Expired | Self::Cut | Self::Silence | Self::Lag => asked.verb == Verb::Watch,
            // Not a matter of single requests.
            Self::Down => false,
        }
    }
}

enum Chance {
    Percent(u8),
    /// So many more times, at the next opportunities.
    Times(u32),
}

struct Rule {
    fault: Fault,
    requests: Requests,
    chance: Chance,
}

/// What becomes of a request.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Fate {
    /// The version of the rules that it comes from.
    pub(crate) rules: u64,
    pub(crate) delay: Option<Duration>,
    pub(crate) verdict: Verdict,
    /// How late a watch's events come.
    pub(crate) lag: Option<Duration>,
    /// When a watch meets its end, and which.
    pub(crate) end: Option<(Duration, Fault)>,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) enum Verdict {
    #[default]
    Served,
    Hangs,
    Refused(Fault),
    AnswerBreaks,
    AnswerHangs,
}

/// All rules of one layer, and what came of them.
pub(crate) struct Rules {
    rules: Vec<Rule>,
    /// Grows with every change of the rules.
    version: u64,
    dice: Dice,
    made: BTreeMap<Fault, u64>,
}

impl Rules {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rules: Vec::new(), version: 0, dice: Dice::new(seed), made: BTreeMap::new() }
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
        self.version += 1;
    }

    pub(crate) fn often(&mut self, fault: Fault, requests: Requests, percent: u8) {
        self.rules.push(Rule { fault, requests, chance: Chance::Percent(percent) });
        self.version += 1;
    }

    pub(crate) fn times(&mut self, fault: Fault, requests: Requests, times: u32) {
        self.rules.push(Rule { fault, requests, chance: Chance::Times(times) });
    }

    /// The percentages of a weather. Stale lists are not of this layer: they need a second API server.
    pub(crate) fn weather(&mut self, weather: &Weather, requests: &Requests) {
        for (fault, percent) in [
            (Fault::Delay, weather.delay),
            (Fault::Hang, weather.hang),
            (Fault::Throttle, weather.throttle),
            (Fault::Error, weather.error),
            (Fault::Unavailable, weather.unavailable),
            (Fault::Conflict, weather.conflict),
            (Fault::LostAnswer, weather.lost_answer),
            (Fault::Gone, weather.compaction.div_ceil(2)),
            (Fault::Expired, weather.compaction.div_ceil(2)),
            (Fault::Cut, weather.cut),
            (Fault::Silence, weather.silence),
            (Fault::Lag, weather.lag),
        ] {
            if percent > 0 {
                self.often(fault, requests.clone(), percent);
            }
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn count(&mut self, fault: Fault) {
        *self.made.entry(fault).or_default() += 1;
    }

    pub(crate) fn made(&self) -> &BTreeMap<Fault, u64> {
        &self.made
    }

    /// Decides about a request. The same sequence of requests of one kind has the same fates, whatever else happens.
    pub(crate) fn decide(&mut self, asked: &Asked) -> Fate {
        let mut rng = self.dice.roll(&asked.identity());
        let mut fate = Fate { rules: self.version, ..Fate::default() };
        for rule in &mut self.rules {
            if !rule.fault.befalls(asked) || !rule.requests.contain(asked) {
                continue;
            }
            let happens = match &mut rule.chance {
                Chance::Percent(percent) => rng.u8(0..100) < *percent,
                // These wait for an event of the watch.
                Chance::Times(_) if matches!(rule.fault, Fault::Cut | Fault::Silence) => false,
                Chance::Times(_) if rule.fault == Fault::Expired && !asked.resumes => false,
                Chance::Times(0) => false,
                Chance::Times(_) if fate.verdict != Verdict::Served => false,
                Chance::Times(left) => {
                    *left -= 1;
                    true
                }
            };
            if !happens {
                continue;
            }
            let by_dice = matches!(rule.chance, Chance::Percent(_));
            match rule.fault {
                Fault::Delay => fate.delay = Some(up_to(&mut rng, LONGEST_DELAY)),
                Fault::Lag => fate.lag = Some(up_to(&mut rng, LONGEST_LAG)),
                Fault::Cut | Fault::Silence => {
                    fate.end.get_or_insert((up_to(&mut rng, LONGEST_GRACE), rule.fault));
                }
                Fault::Expired if !asked.resumes => {
                    fate.end.get_or_insert((up_to(&mut rng, LONGEST_GRACE), Fault::Expired));
                }
                _ if fate.verdict != Verdict::Served => {}
                Fault::Hang => fate.verdict = Verdict::Hangs,
                Fault::LostAnswer if by_dice && rng.u8(0..4) == 0 => fate.verdict = Verdict::AnswerHangs,
                Fault::LostAnswer => fate.verdict = Verdict::AnswerBreaks,
                refusal => fate.verdict = Verdict::Refused(refusal),
            }
        }
        fate
    }

    /// What rules that came later do to a watch that is open: what happens by chance.
    pub(crate) fn of_open_watch(&mut self, asked: &Asked) -> Fate {
        let mut rng = self.dice.roll(&asked.identity());
        let mut fate = Fate { rules: self.version, ..Fate::default() };
        for rule in self.rules.iter().filter(|rule| rule.requests.contain(asked)) {
            let Chance::Percent(percent) = rule.chance else { continue };
            match rule.fault {
                Fault::Lag if rng.u8(0..100) < percent => fate.lag = Some(up_to(&mut rng, LONGEST_LAG)),
                Fault::Expired | Fault::Cut | Fault::Silence if rng.u8(0..100) < percent => {
                    fate.end.get_or_insert((up_to(&mut rng, LONGEST_GRACE), rule.fault));
                }
                _ => {}
            }
        }
        fate
    }

    /// Is the next event of this watch the one that a rule waits for?
    pub(crate) fn at_event(&mut self, asked: &Asked) -> Option<Fault> {
        self.rules.iter_mut().find_map(|rule| match &mut rule.chance {
            Chance::Times(left)
                if *left > 0
                    && matches!(rule.fault, Fault::Cut | Fault::Silence | Fault::Expired)
                    && rule.requests.contain(asked) =>
            {
                *left -= 1;
                Some(rule.fault)
            }
            _ => None,
        })
    }
}

fn up_to(rng: &mut fastrand::Rng, most: Duration) -> Duration {
    most.mul_f64(rng.f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(verb: Verb, resumes: bool) -> Asked {
        let text = str::to_owned;
        Asked {
            verb,
            group: String::new(),
            resource: text("pods"),
            namespace: text("shop"),
            name: text("p"),
            resumes,
        }
    }

    #[test]
    fn calm_rules_serve_everything() {
        assert_eq!(Rules::new(1).decide(&asked(Verb::Update, false)), Fate::default());
    }

    #[test]
    fn a_fault_that_is_to_happen_once_happens_once_and_to_whom_it_can() {
        let mut rules = Rules::new(1);
        rules.times(Fault::Conflict, Requests::all(), 1);
        assert_eq!(rules.decide(&asked(Verb::List, false)).verdict, Verdict::Served);
        assert_eq!(rules.decide(&asked(Verb::Delete, false)).verdict, Verdict::Refused(Fault::Conflict));
        assert_eq!(rules.decide(&asked(Verb::Delete, false)).verdict, Verdict::Served);
    }

    #[test]
    fn two_of_a_kind_befall_two_requests() {
        let mut rules = Rules::new(1);
        rules.times(Fault::Error, Requests::writes(), 1);
        rules.times(Fault::Throttle, Requests::writes(), 1);
        assert_eq!(rules.decide(&asked(Verb::Create, false)).verdict, Verdict::Refused(Fault::Error));
        assert_eq!(rules.decide(&asked(Verb::Create, false)).verdict, Verdict::Refused(Fault::Throttle));
        assert_eq!(rules.decide(&asked(Verb::Create, false)).verdict, Verdict::Served);
    }

    #[test]
    fn cuts_wait_for_an_event_and_expiries_for_a_version_or_an_event() {
        let mut rules = Rules::new(1);
        rules.times(Fault::Cut, Requests::watches(), 1);
        rules.times(Fault::Expired, Requests::watches(), 2);
        assert_eq!(rules.decide(&asked(Verb::Watch, false)), Fate::default());
        assert_eq!(rules.decide(&asked(Verb::Watch, true)).verdict, Verdict::Refused(Fault::Expired));
        assert_eq!(rules.at_event(&asked(Verb::Watch, true)), Some(Fault::Cut));
        assert_eq!(rules.at_event(&asked(Verb::Watch, true)), Some(Fault::Expired));
        assert_eq!(rules.at_event(&asked(Verb::Watch, true)), None);
    }

    #[test]
    fn one_seed_has_one_sequence_of_fates() {
        let fates = |seed| {
            let mut rules = Rules::new(seed);
            rules.weather(&Weather::WORST, &Requests::all());
            (0..200).map(|_| format!("{:?}", rules.decide(&asked(Verb::Update, false)))).collect::<Vec<_>>()
        };
        assert_eq!(fates(7), fates(7));
        assert_ne!(fates(7), fates(8));
        for fault in ["Hangs", "Conflict", "Throttle", "Error", "Unavailable", "AnswerBreaks", "AnswerHangs"]
        {
            assert!(fates(7).iter().any(|fate| fate.contains(fault)), "{fault}");
        }
    }
}
