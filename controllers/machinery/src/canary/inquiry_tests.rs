use proptest::prelude::*;

use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;
const SECONDS: fn(u64) -> Duration = Duration::from_secs;

/// What the API server does with questions and looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    Well,
    Refuses,
    Fails,
}

/// A rival that may run, an API server, and a clock, which the inquiry is driven through.
struct World {
    inquiry: Inquiry,
    begun: Instant,
    now: Instant,
    /// Whether a rival runs, from these times on (since the beginning, in order).
    rival: Vec<(Duration, bool)>,
    api: Vec<(Duration, Api)>,
    /// How long the rival takes to answer.
    latency: Duration,
    /// Questions that were put, and when.
    put: Vec<(u64, Instant)>,
    asks: Vec<Duration>,
    verdicts: Vec<Verdict>,
    /// Since when it has which stance.
    stances: Vec<(Duration, Stance)>,
}

fn from_upstream(number: u64) -> Heard {
    Heard { number, from_fairlead: false }
}

#[expect(clippy::unnecessary_wraps, reason = "as a look returns it")]
fn heard(number: u64) -> Result<Option<Heard>, Trouble> {
    Ok(Some(from_upstream(number)))
}

fn at<T: Copy>(history: &[(Duration, T)], time: Duration, before: T) -> T {
    history.iter().rev().find(|(from, _)| *from <= time).map_or(before, |(_, state)| *state)
}

impl World {
    fn new(stance: Stance) -> Self {
        let begun = Instant::now();
        Self {
            inquiry: Inquiry::new(stance, begun),
            begun,
            now: begun,
            rival: Vec::new(),
            api: Vec::new(),
            latency: MS(300),
            put: Vec::new(),
            asks: Vec::new(),
            verdicts: Vec::new(),
            stances: vec![(Duration::ZERO, stance)],
        }
    }

    fn rival(mut self, history: &[(u64, bool)]) -> Self {
        self.rival = history.iter().map(|(from, runs)| (SECONDS(*from), *runs)).collect();
        self
    }

    fn api(mut self, history: &[(u64, Api)]) -> Self {
        self.api = history.iter().map(|(from, api)| (SECONDS(*from), *api)).collect();
        self
    }

    fn elapsed(&self) -> Duration {
        self.now - self.begun
    }

    /// The newest question that the rival has answered by now: it must have run when the answer was due.
    fn answered(&self) -> Option<u64> {
        let runs = |put: Instant| at(&self.rival, put + self.latency - self.begun, false);
        let answered = |(_, put): &&(u64, Instant)| *put + self.latency <= self.now && runs(*put);
        self.put.iter().rev().find(answered).map(|(number, _)| *number)
    }

    fn run(mut self, seconds: u64) -> Self {
        let end = self.begun + SECONDS(seconds);
        while self.now < end {
            let trouble = match at(&self.api, self.elapsed(), Well) {
                Well => Ok(()),
                Refuses => Err(Trouble::Refused),
                Fails => Err(Trouble::Lost),
            };
            let news = match self.inquiry.next(self.now) {
                Step::WaitUntil(time) => {
                    assert!(time > self.now, "waits for what is past");
                    self.now = time;
                    continue;
                }
                Step::Ask(number) => {
                    assert!(self.put.last().is_none_or(|(last, _)| number > *last), "asked twice");
                    self.asks.push(self.elapsed());
                    if trouble.is_ok() {
                        self.put.push((number, self.now));
                    }
                    self.inquiry.asked(trouble, self.now, PERIOD)
                }
                Step::Look => {
                    self.inquiry.looked(trouble.map(|()| self.answered().map(from_upstream)), self.now)
                }
            };
            self.verdicts.extend(news.verdict);
            if let Some(stance) = news.stance {
                assert_eq!(stance, self.inquiry.stance());
                assert_ne!(Some(stance), self.stances.last().map(|(_, stance)| *stance), "no news");
                self.stances.push((self.elapsed(), stance));
            }
        }
        self
    }

    /// When it took which stance, in milliseconds.
    fn turns(&self) -> Vec<(u128, Stance)> {
        self.stances[1..].iter().map(|(time, stance)| (time.as_millis(), *stance)).collect()
    }
}

use Api::{Fails, Refuses, Well};
use Stance::{Aside, Asking, Working};

#[test]
fn what_it_does_follows_from_what_is_answered() {
    type Case =
        (&'static str, Stance, &'static [(u64, bool)], &'static [(u64, Api)], &'static [(u128, Stance)]);
    let cases: &[Case] = &[
        ("nobody answers before the first write", Asking, &[], &[], &[(5_000, Working)]),
        ("a rival answers before the first write", Asking, &[(0, true)], &[], &[(500, Aside)]),
        ("no Lease: works at once, and stands aside soon", Working, &[(0, true)], &[], &[(500, Aside)]),
        ("nobody ever answers", Working, &[], &[], &[]),
        ("a rival starts later: within a round", Working, &[(31, true)], &[], &[(60_500, Aside)]),
        // The question of 30 s was answered; those of 60 s and 90 s were not.
        (
            "a rival ends: within two rounds",
            Asking,
            &[(0, true), (31, false)],
            &[],
            &[(500, Aside), (95_000, Working)],
        ),
        ("one silent round is not enough", Aside, &[(29, true), (31, false), (59, true)], &[], &[]),
        ("a leader that found a note begins aside", Aside, &[], &[], &[(35_000, Working)]),
        ("no rights at the start", Asking, &[], &[(0, Refuses)], &[(5_000, Working)]),
        ("no rights at first", Asking, &[(0, true)], &[(0, Refuses), (3, Well)], &[(3_500, Aside)]),
        ("no API server at the start", Asking, &[], &[(0, Fails)], &[(30_000, Working)]),
        ("no API server at first", Asking, &[(0, true)], &[(0, Fails), (12, Well)], &[(12_500, Aside)]),
        ("rights are taken away while it works", Working, &[], &[(10, Refuses)], &[]),
        (
            "rights are taken away while it stands aside",
            Aside,
            &[(0, true)],
            &[(10, Refuses)],
            &[(60_000, Working)],
        ),
        ("the API server fails while it stands aside", Aside, &[(0, true)], &[(10, Fails), (200, Well)], &[]),
        ("for ever", Aside, &[(0, true)], &[(10, Fails)], &[(330_000, Working)]),
        ("a failed question is no silence", Aside, &[], &[(20, Fails), (50, Well)], &[(55_000, Working)]),
    ];
    for (what, stance, rival, api, turns) in cases {
        let world = World::new(*stance).rival(rival).api(api).run(400);
        assert_eq!(world.turns(), *turns, "{what}");
    }
}

#[test]
fn a_late_answer_counts() {
    let mut world = World::new(Asking).rival(&[(0, true)]);
    world.latency = SECONDS(7);
    let world = world.run(200);
    // Unanswered in time, so it began; the answer is seen before the next question, and from then on always.
    assert_eq!(world.turns(), [(5_000, Working), (30_000, Aside)]);
    assert_eq!(world.verdicts[..3], [Verdict::Unanswered, Verdict::Answered, Verdict::Unanswered]);

    let mut world = World::new(Working).rival(&[(0, true)]);
    world.latency = SECONDS(40);
    let world = world.run(400);
    assert_eq!(world.turns(), [(60_000, Aside)], "answers come after the next question");
}

#[test]
fn an_answer_to_an_earlier_question_counts_once() {
    let now = Instant::now();
    let mut inquiry = Inquiry::new(Working, now);
    inquiry.asked(Ok(()), now, PERIOD);
    for looks in 0..=LOOKS.len() {
        let verdict = (looks == LOOKS.len() - 1).then_some(Verdict::Unanswered);
        assert_eq!(inquiry.looked(Ok(None), now + PERIOD), News { verdict, stance: None });
    }
    inquiry.asked(Ok(()), now + PERIOD, PERIOD);
    let news = News { verdict: Some(Verdict::Answered), stance: Some(Aside) };
    assert_eq!(inquiry.looked(heard(1), now + PERIOD), news);
    // The second one, of the same round, is seen and says nothing more.
    assert_eq!(inquiry.looked(heard(1), now + PERIOD), News::default());
    assert_eq!(inquiry.looked(heard(2), now + PERIOD), News::default());
    assert_eq!(inquiry.next(now + PERIOD), Step::WaitUntil(now + 2 * PERIOD));
}

/// Two that answer each other must not both stand aside.
#[test]
fn another_fairlead_is_heard_only_in_time() {
    let now = Instant::now();
    let from_fairlead = |number| Ok(Some(Heard { number, from_fairlead: true }));
    let mut inquiry = Inquiry::new(Working, now);
    inquiry.asked(Ok(()), now, PERIOD);
    for looks in 0..LOOKS.len() {
        let verdict = (looks == LOOKS.len() - 1).then_some(Verdict::Unanswered);
        assert_eq!(inquiry.looked(Ok(None), now), News { verdict, stance: None });
    }
    assert_eq!(inquiry.looked(from_fairlead(1), now), News::default(), "late");
    inquiry.asked(Ok(()), now, PERIOD);
    assert_eq!(inquiry.looked(from_fairlead(1), now), News::default(), "to the question before");
    let news = News { verdict: Some(Verdict::Answered), stance: Some(Aside) };
    assert_eq!(inquiry.looked(from_fairlead(2), now), news);
}

#[test]
fn what_was_never_asked_is_no_answer() {
    let now = Instant::now();
    let mut inquiry = Inquiry::new(Working, now);
    inquiry.asked(Ok(()), now, PERIOD);
    assert_eq!(inquiry.looked(heard(7), now), News::default());
    assert_eq!(inquiry.looked(heard(0), now), News::default());
    assert_eq!(inquiry.stance(), Working);
}

#[test]
fn a_quiet_cluster_is_asked_twice_a_minute_and_looked_at_six_times_a_question() {
    let world = World::new(Working).run(300);
    let expected: Vec<_> = (0..10).map(|round| round * PERIOD).collect();
    assert_eq!(world.asks, expected);
    assert_eq!(world.verdicts, [Verdict::Unanswered; 10]);
}

fn histories<T: Clone + std::fmt::Debug>(
    state: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<(Duration, T)>> {
    prop::collection::vec((0..600_000_u64, state), 0..8).prop_map(|mut history| {
        history.sort_by_key(|(from, _)| *from);
        history.into_iter().map(|(from, state)| (MS(from), state)).collect()
    })
}

proptest! {
    #[test]
    fn whatever_happens(
        stance in prop_oneof![Just(Asking), Just(Working), Just(Aside)],
        rival in histories(any::<bool>()),
        api in histories(prop_oneof![3 => Just(Well), 1 => Just(Refuses), 1 => Just(Fails)]),
        latency in 100..2_000_u64,
    ) {
        let world = World { rival, api, latency: MS(latency), ..World::new(stance) }.run(2_400);

        // The API server is not flooded.
        for pair in world.asks.windows(2) {
            prop_assert!(pair[1] >= pair[0] + RETRY_AT_START);
        }
        // Nobody waits for ever with the first write, whatever is broken.
        let asking = world.stances.iter().skip(1).find(|(_, it)| *it != Asking);
        if stance == Asking {
            let (began, _) = asking.copied().unwrap_or((Duration::MAX, Asking));
            prop_assert!(began <= LOST_AT_START + LOOKS[4] + 2 * RETRY_AT_START, "{began:?}");
        }
        // In the end nothing changes any more, and it is known who works.
        let last = |times: Vec<Duration>| times.into_iter().max().unwrap_or_default();
        let settled = last(world.rival.iter().map(|it| it.0).chain(world.api.iter().map(|it| it.0)).collect());
        let (turned, stance_at_end) = *world.stances.last().unwrap();
        let rival = at(&world.rival, settled, false);
        match at(&world.api, settled, Well) {
            Well if rival => prop_assert_eq!(stance_at_end, Aside),
            _ => prop_assert_eq!(stance_at_end, Working),
        }
        prop_assert!(turned <= settled + 3 * PERIOD + BLIND + LOOKS[4]);
    }

    /// While somebody answers each question in time, nothing is written once that is known, and if the first write waits
    /// for it, nothing is ever.
    #[test]
    fn a_rival_that_answers_is_alone(
        stance in prop_oneof![Just(Asking), Just(Working), Just(Aside)],
        latency in 1..1_900_u64,
    ) {
        let world = World { latency: MS(latency), ..World::new(stance).rival(&[(0, true)]) }.run(1_200);
        prop_assert_eq!(world.stances.last().unwrap().1, Aside);
        if stance == Working {
            prop_assert!(world.turns().len() == 1 && world.stances[1].0 <= SECONDS(2));
        } else {
            prop_assert!(world.stances.iter().all(|(_, it)| *it != Working));
        }
    }
}
