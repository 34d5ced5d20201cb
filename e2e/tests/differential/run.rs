//! Histories on both sides, side by side in namespaces of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures::StreamExt;
use lab::Result;

use crate::compare::{Happened, Judge, Mode};
use crate::operation::{Kind, Operation};
use crate::rules::{Rule, Used, before_restart, nudge};
use crate::side::{CAPACITY, Side};

/// How long nothing may change for it to count as rest, once the controllers have passed the sentinels.
const REST: Duration = Duration::from_millis(400);
/// The same after what upstream reacts to a second late.
const LONG_REST: Duration = Duration::from_millis(1500);
/// When upstream is touched where a difference lasts: its first attempts are over by then.
const NUDGE: Duration = Duration::from_secs(9);
/// How often a difference is looked at again.
const PERIOD: Duration = Duration::from_millis(50);
/// How often a burst interferes with one Service: who does it five times has reverting slow down for minutes.
const INTERFERENCES: usize = 2;
/// Requests that are under way at once on each side: the order of one history's is kept all the same.
const AT_ONCE: usize = 12;

/// Both clusters.
pub(crate) struct Pair {
    pub(crate) upstream: Side,
    pub(crate) ours: Side,
    namespaces: std::sync::atomic::AtomicU64,
}

/// What happens, and to which namespace.
pub(crate) struct History {
    pub(crate) namespace: String,
    pub(crate) operations: Vec<Operation>,
}

/// What became of a history.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Alike,
    /// After so many operations.
    Differ {
        after: usize,
        how: String,
    },
}

/// One history on its way.
struct Course<'a> {
    history: &'a History,
    judge: Judge,
    done: usize,
    /// The last operation is one that upstream reacts to late.
    late: bool,
    /// It is one that is not compared before the next one.
    unsettled: bool,
    /// Upstream did not come to what ours has before its Services were touched.
    upstream_late: bool,
    verdict: Option<Verdict>,
}

impl<'a> Course<'a> {
    /// The operation so many before the next one.
    fn before(&self, count: usize) -> Option<&'a Operation> {
        self.history.operations.get(self.done.checked_sub(count)?)
    }

    fn has_restarted(&self) -> bool {
        self.history.operations[..self.done].contains(&Operation::Restart)
    }

    fn last(&self) -> Option<&'a Operation> {
        self.before(1)
    }

    fn next(&self) -> Option<&'a Operation> {
        if self.verdict.is_some() { None } else { self.history.operations.get(self.done) }
    }
}

impl Pair {
    /// Starts both.
    pub(crate) async fn start() -> Result<Self> {
        let (upstream, ours) = futures::try_join!(Side::upstream(), Side::fairlead())?;
        Ok(Self { upstream, ours, namespaces: std::sync::atomic::AtomicU64::new(0) })
    }

    /// Operations for a namespace that no other history has.
    pub(crate) fn history(&self, prefix: &str, operations: Vec<Operation>) -> History {
        let number = self.namespaces.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        History { namespace: format!("{prefix}-{number}"), operations }
    }

    /// Runs histories side by side and says what became of each. A difference counts when it lasts for so long.
    pub(crate) async fn run(
        &self,
        mode: Mode,
        histories: &[History],
        patience: Duration,
        used: &Used,
    ) -> Result<Vec<Verdict>> {
        let mut courses: Vec<_> = histories
            .iter()
            .map(|history| Course {
                history,
                judge: Judge::new(mode, CAPACITY),
                done: 0,
                late: false,
                unsettled: false,
                upstream_late: false,
                verdict: None,
            })
            .collect();
        let begin = histories.iter().map(|it| async {
            let (one, other) = (&self.upstream, &self.ours);
            futures::try_join!(one.begin_namespace(&it.namespace), other.begin_namespace(&it.namespace))
        });
        all(begin).await?;
        match mode {
            Mode::Settle => self.step_by_step(&mut courses, patience, used).await?,
            Mode::Burst => self.at_once(&mut courses, patience, used).await?,
        }
        let end = histories.iter().map(|it| async {
            let (one, other) = (&self.upstream, &self.ours);
            futures::try_join!(one.end_namespace(&it.namespace), other.end_namespace(&it.namespace))
        });
        all(end).await?;
        Ok(courses.into_iter().map(|it| it.verdict.unwrap_or(Verdict::Alike)).collect())
    }

    async fn step_by_step(&self, courses: &mut [Course<'_>], patience: Duration, used: &Used) -> Result<()> {
        loop {
            let waiting = |course: &&mut Course<'_>| course.next().is_some();
            if courses.iter_mut().filter(waiting).count() == 0 {
                return Ok(());
            }
            let at_restart = |course: &Course<'_>| matches!(course.next(), Some(Operation::Restart) | None);
            if courses.iter().all(at_restart) {
                // One restart is that of all.
                futures::try_join!(self.upstream.restart(), self.ours.restart())?;
                for course in courses.iter_mut().filter(|course| course.next().is_some()) {
                    course.done += 1;
                    (course.late, course.unsettled, course.upstream_late) = (true, false, false);
                }
            } else {
                let due = courses.iter_mut().filter(|course| !at_restart(course));
                all(due.map(|course| self.step(course, used))).await?;
            }
            self.settle(courses, patience, used).await?;
        }
    }

    /// The next operation of a history, on both sides.
    async fn step(&self, course: &mut Course<'_>, used: &Used) -> Result<()> {
        let Some(operation) = course.next().cloned() else { return Ok(()) };
        let namespace = &course.history.namespace;
        course.done += 1;
        (course.late, course.unsettled, course.upstream_late) = (operation.is_interference(), false, false);
        if let Some(rule) = before_restart(&operation) {
            if course.next() != Some(&Operation::Restart) {
                return Ok(());
            }
            used.count(rule);
            course.unsettled = true;
        }
        if let Operation::Slice { service, at, .. } = &operation
            && self.upstream.slice(namespace, service, *at) != self.ours.slice(namespace, service, *at)
        {
            // It would be another deed.
            used.count(Rule::Order);
            return Ok(());
        }
        let (theirs, mine) = futures::try_join!(
            self.upstream.perform(namespace, &operation),
            self.ours.perform(namespace, &operation)
        )?;
        if theirs != mine {
            let how = format!("  the API servers answer {theirs} and {mine}");
            course.verdict = Some(Verdict::Differ { after: course.done, how });
            return Ok(());
        }
        if let Some(rule) = nudge(&operation, course.has_restarted()).filter(|_| theirs < 300) {
            used.count(rule);
            self.upstream.touch(namespace).await?;
        }
        Ok(())
    }

    /// Waits until both sides have come to rest and are alike; those that do not become so in time differ.
    async fn settle(&self, courses: &mut [Course<'_>], patience: Duration, used: &Used) -> Result<()> {
        let from = Instant::now();
        futures::try_join!(self.upstream.pass_sentinels(), self.ours.pass_sentinels())?;
        let passed = Instant::now();
        let late = courses.iter().any(|course| course.late && course.verdict.is_none());
        let rest = if late { LONG_REST } else { REST };
        let mut open: BTreeSet<usize> = (0..courses.len())
            .filter(|&at| courses[at].verdict.is_none() && !courses[at].unsettled)
            .collect();
        let mut looked: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        let mut differences: BTreeMap<usize, String> = BTreeMap::new();
        let mut nudged = false;
        loop {
            self.upstream.lab.check()?;
            self.ours.lab.check()?;
            for at in open.clone() {
                let course = &mut courses[at];
                let namespace = &course.history.namespace;
                let ((theirs, one), (mine, other)) =
                    (self.upstream.version(namespace), self.ours.version(namespace));
                let changed = one.max(other).map_or(passed, |it| it.max(passed));
                let seen = (theirs, mine);
                if changed.elapsed() < rest || looked.get(&at) == Some(&seen) {
                    continue;
                }
                looked.insert(at, seen);
                match self.compare(course, used) {
                    Ok(()) => {
                        open.remove(&at);
                        if course.upstream_late {
                            used.count(Rule::LateUpstream);
                            let how = differences.get(&at).map(String::as_str).unwrap_or_default();
                            println!("{namespace}: upstream was late after {:?}\n{how}", course.last());
                        }
                    }
                    Err(how) => drop(differences.insert(at, how)),
                }
            }
            if open.is_empty() {
                return Ok(());
            }
            if from.elapsed() > patience {
                break;
            }
            if !nudged && from.elapsed() > NUDGE.min(patience / 2) {
                nudged = true;
                for at in &open {
                    courses[*at].upstream_late = true;
                    looked.remove(at);
                    self.upstream.touch(&courses[*at].history.namespace).await?;
                }
            }
            tokio::time::sleep(PERIOD).await;
        }
        for at in open {
            let how =
                differences.remove(&at).unwrap_or_else(|| "  the objects never come to rest".to_owned());
            let after = courses[at].done;
            courses[at].verdict = Some(Verdict::Differ { after, how });
        }
        Ok(())
    }

    fn compare(&self, course: &mut Course<'_>, used: &Used) -> Result<(), String> {
        let namespace = &course.history.namespace;
        let (theirs, mine) = (self.upstream.state(namespace), self.ours.state(namespace));
        let last = course.last();
        let unsettled =
            course.before(2).filter(|it| last == Some(&Operation::Restart) && before_restart(it).is_some());
        let happened = Happened { last, unsettled, upstream_late: course.upstream_late };
        course.judge.compare((&theirs, &mine), &self.ours.special(namespace), happened, used)
    }

    /// All operations as fast as each API server takes them, with a restart on the way.
    async fn at_once(&self, courses: &mut [Course<'_>], patience: Duration, used: &Used) -> Result<()> {
        let histories: Vec<_> = courses.iter().map(|course| course.history).collect();
        let restarts =
            histories.iter().any(|it| it.operations.iter().any(|it| matches!(it, Operation::Restart)));
        let whole = async |side: &Side| {
            let operations = all(histories.iter().map(|history| async {
                for operation in of_burst(&history.operations) {
                    side.perform(&history.namespace, operation).await?;
                }
                Ok(())
            }));
            let restart = async { if restarts { side.restart().await } else { Ok(()) } };
            futures::try_join!(operations, restart)?;
            let level = async |it: &History| side.level(&it.namespace, &selecting(&it.operations)).await;
            all(histories.iter().map(|it| level(it))).await
        };
        futures::try_join!(whole(&self.upstream), whole(&self.ours))?;
        for history in &histories {
            let interferences = |operations: &mut dyn Iterator<Item = &Operation>| {
                operations.filter(|it| it.is_interference() && before_restart(it).is_none()).count()
            };
            let left_out = interferences(&mut history.operations.iter())
                - interferences(&mut of_burst(&history.operations));
            (0..left_out).for_each(|_| used.count(Rule::SlowReverts));
        }
        for course in courses.iter_mut() {
            (course.done, course.late) = (course.history.operations.len(), true);
        }
        self.settle(courses, patience, used).await
    }
}

/// What a burst does of a history: neither restarts, nor what is compared only after them, nor interference beyond
/// [`INTERFERENCES`].
fn of_burst(operations: &[Operation]) -> impl Iterator<Item = &Operation> {
    let mut interferences: BTreeMap<&str, usize> = BTreeMap::new();
    operations.iter().filter(|it| !matches!(it, Operation::Restart) && before_restart(it).is_none()).filter(
        move |it| {
            it.interferes_with().is_none_or(|with| {
                let count = interferences.entry(with).or_default();
                *count += 1;
                *count <= INTERFERENCES
            })
        },
    )
}

/// The Services that selected Pods at some time.
fn selecting(operations: &[Operation]) -> BTreeSet<String> {
    let service = |operation: &Operation| {
        let (name, spec) = match operation {
            Operation::Create { kind: Kind::Service, object } => {
                (object["metadata"]["name"].as_str()?, &object["spec"])
            }
            Operation::Patch { kind: Kind::Service, name, patch, .. } => (name.as_str(), &patch["spec"]),
            _ => return None,
        };
        spec["selector"].is_object().then(|| name.to_owned())
    };
    operations.iter().filter_map(service).collect()
}

/// Does all of it, some at a time.
async fn all(work: impl Iterator<Item = impl Future<Output = Result<impl Sized>>>) -> Result<()> {
    let mut outcomes = futures::stream::iter(work).buffer_unordered(AT_ONCE);
    while let Some(outcome) = outcomes.next().await {
        outcome?;
    }
    Ok(())
}
