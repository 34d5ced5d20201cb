//! Whether two namespaces are alike, and how they differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value;

use crate::generate::EPOCH;
use crate::normal::{CREATION, Endpoints, SLICE_CONTROLLER, Slice, State};
use crate::operation::Operation;
use crate::rules::{Rule, Used, before_restart, ends_pod};

/// When the sides are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// After each operation, when both have come to rest.
    Settle,
    /// After all operations, which follow each other at once.
    Burst,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Settle => "settle",
            Self::Burst => "burst",
        }
    }
}

/// Slices that are compared with each other: those of one Service, family, port set, labels and owner.
type Group = (String, String, String, String);

/// Slices that endpoints may be spread over: those of one Service, family and port set, whatever their labels become.
type Spread = (String, String, String, String);

/// The judge of one history.
pub(crate) struct Judge {
    mode: Mode,
    /// The most endpoints of a slice.
    capacity: usize,
    /// Where endpoints are spread in different ways.
    spread: BTreeSet<Spread>,
    /// Trigger times of upstream's objects that a rule allowed when they were written; they stay until the next write.
    allowed: BTreeSet<Difference>,
}

/// Name of an upstream object, its trigger time and ours.
type Difference = (String, Option<String>, Option<String>);

/// Services for which there are rules.
#[derive(Default)]
pub(crate) struct Special {
    /// In topology mode Auto.
    pub(crate) auto: BTreeSet<String>,
    /// With labels for which upstream writes their Endpoints at every sync.
    pub(crate) rewritten: BTreeSet<String>,
}

/// What has just happened.
#[derive(Clone, Copy, Default)]
pub(crate) struct Happened<'a> {
    /// The last operation.
    pub(crate) last: Option<&'a Operation>,
    /// The one before, if it was not compared.
    pub(crate) unsettled: Option<&'a Operation>,
    /// Upstream had to be touched, and therefore may have written without the time of the change.
    pub(crate) upstream_late: bool,
}

impl Judge {
    pub(crate) fn new(mode: Mode, capacity: usize) -> Self {
        Self { mode, capacity, spread: BTreeSet::new(), allowed: BTreeSet::new() }
    }

    /// What differs, in lines; rules that were needed are counted when nothing does.
    pub(crate) fn compare(
        &mut self,
        (upstream, ours): (&State, &State),
        special: &Special,
        happened: Happened<'_>,
        used: &Used,
    ) -> Result<(), String> {
        let (allowed, rules) = (BTreeSet::new(), BTreeSet::new());
        let as_many_hints = as_many_hints(&upstream.slices, &ours.slices);
        let mut comparison =
            Comparison { judge: self, special, happened, as_many_hints, allowed, rules, text: String::new() };
        comparison.endpoints(&upstream.endpoints, &ours.endpoints);
        let spread = comparison.slices(&upstream.slices, &ours.slices);
        let Comparison { allowed, rules, text, .. } = comparison;
        if !text.is_empty() {
            return Err(text);
        }
        (self.spread, self.allowed) = (spread, allowed);
        for rule in rules {
            used.count(rule);
        }
        Ok(())
    }
}

struct Comparison<'a> {
    judge: &'a Judge,
    special: &'a Special,
    happened: Happened<'a>,
    /// Services and families with as many endpoints hinted to each zone on both sides.
    as_many_hints: BTreeSet<(String, String)>,
    allowed: BTreeSet<Difference>,
    rules: BTreeSet<Rule>,
    text: String,
}

impl Comparison<'_> {
    fn tell(&mut self, side: &str, what: &str) {
        let _ = writeln!(self.text, "  {side:<8} {what}");
    }

    fn endpoints(&mut self, upstream: &BTreeMap<String, Endpoints>, ours: &BTreeMap<String, Endpoints>) {
        let names: BTreeSet<_> = upstream.keys().chain(ours.keys()).collect();
        for name in names {
            let (theirs, mine) = (upstream.get(name), ours.get(name));
            let differ = match (theirs, mine) {
                (Some(theirs), Some(mine)) => {
                    let rewritten = self.special.rewritten.contains(name).then_some(Rule::TriggerOfRewrite);
                    match self.triggers(name, rewritten, theirs.trigger.as_ref(), mine.trigger.as_ref()) {
                        Ok(rule) => {
                            self.rules.extend(rule);
                            let other_order = theirs.body != mine.body
                                && ports_sorted(&theirs.body) == ports_sorted(&mine.body);
                            if other_order {
                                self.rules.insert(Rule::PortOrder);
                            }
                            theirs.body != mine.body && !other_order
                        }
                        Err(()) => true,
                    }
                }
                _ => true,
            };
            if differ {
                let text = |it: Option<&Endpoints>| {
                    it.map_or("none".to_owned(), |it| {
                        format!("{}, trigger time {:?}", it.body, it.trigger.as_deref().unwrap_or("none"))
                    })
                };
                self.tell("upstream", &format!("Endpoints {name}: {}", text(theirs)));
                self.tell("fairlead", &format!("Endpoints {name}: {}", text(mine)));
            }
        }
    }

    /// Returns where endpoints are spread in different ways.
    fn slices(&mut self, upstream: &[Slice], ours: &[Slice]) -> BTreeSet<Spread> {
        let (theirs, mine) = (grouped(upstream), grouped(ours));
        let groups: BTreeSet<_> = theirs.keys().chain(mine.keys()).cloned().collect();
        let mut spread = BTreeSet::new();
        for group in groups {
            let nothing = Vec::new();
            let (theirs, mine) =
                (theirs.get(&group).unwrap_or(&nothing), mine.get(&group).unwrap_or(&nothing));
            match self.group(&group, theirs, mine) {
                Alike::Fully => {}
                Alike::Spread => spread.extend(theirs.iter().chain(mine).map(|it| spread_of(it))),
                Alike::Not => {
                    for slice in theirs {
                        self.tell("upstream", &describe(slice));
                    }
                    for slice in mine {
                        self.tell("fairlead", &describe(slice));
                    }
                }
            }
        }
        spread
    }

    fn group(&mut self, group: &Group, theirs: &[&Slice], mine: &[&Slice]) -> Alike {
        if theirs == mine {
            return Alike::Fully;
        }
        let auto = self.special.auto.contains(&group.0);
        let mut rules = BTreeSet::new();
        let whole = (group.0.clone(), group.2.clone());
        let is_spread = theirs.iter().chain(mine).any(|it| self.judge.spread.contains(&spread_of(it)));
        if auto && hints(theirs) != hints(mine) && self.as_many_hints.contains(&whole) {
            rules.insert(Rule::HintsFollowOrder);
        }
        if group.1 == SLICE_CONTROLLER && more_notes(theirs, mine) {
            rules.insert(Rule::ForeignAnnotations);
        } else if self.judge.mode == Mode::Burst && notes(theirs) != notes(mine) {
            rules.insert(Rule::AnnotationsOfBurst);
        }
        let without_notes =
            rules.contains(&Rule::ForeignAnnotations) || rules.contains(&Rule::AnnotationsOfBurst);
        let left_out = |slices: &[&Slice]| {
            let mut slices: Vec<Slice> = slices.iter().map(|&it| it.clone()).collect();
            for slice in &mut slices {
                slice.note.take_if(|_| without_notes);
                for endpoint in &mut slice.endpoints {
                    endpoint.hints.take_if(|_| rules.contains(&Rule::HintsFollowOrder));
                }
            }
            slices.sort();
            slices
        };
        let (left, right) = (left_out(theirs), left_out(mine));
        let same = left.len() == right.len()
            && left
                .iter()
                .zip(&right)
                .all(|(one, other)| one.endpoints == other.endpoints && one.note == other.note);
        let (mut rules, mut alike) = (rules, Alike::Fully);
        if same {
            for (one, other) in left.iter().zip(&right) {
                // Where the same Pods are in other slices, other slices are written.
                let spread = is_spread.then_some(Rule::Order);
                let free = auto.then_some(Rule::TriggerOfHints).or(spread);
                match self.triggers(&one.name.0, free, one.trigger.as_ref(), other.trigger.as_ref()) {
                    Ok(rule) => rules.extend(rule),
                    Err(()) => return Alike::Not,
                }
            }
        } else {
            let known = is_spread || self.judge.mode == Mode::Burst;
            let within =
                |slices: &[Slice]| sizes(slices).last().is_none_or(|most| *most <= self.judge.capacity);
            let spread = left.len().min(right.len()) > 0
                && left.len().max(right.len()) > 1
                && union(&left) == union(&right)
                && within(&left)
                && within(&right)
                && (known || sizes(&left) == sizes(&right));
            if !spread {
                return Alike::Not;
            }
            rules.insert(Rule::Order);
            alike = Alike::Spread;
        }
        self.rules.extend(rules);
        alike
    }

    /// Whether trigger times of upstream's object of this name and of ours are alike, perhaps by a rule; `free` is one
    /// by which they are not compared.
    fn triggers(
        &mut self,
        name: &str,
        free: Option<Rule>,
        theirs: Option<&String>,
        mine: Option<&String>,
    ) -> Result<Option<Rule>, ()> {
        if theirs == mine {
            return Ok(None);
        }
        if self.judge.mode == Mode::Burst {
            return Ok(Some(Rule::TriggerOfBurst));
        }
        let difference = (name.to_owned(), theirs.cloned(), mine.cloned());
        let rule = if self.judge.allowed.contains(&difference) {
            None
        } else {
            Some(free.or_else(|| self.trigger_rule(theirs, mine)).ok_or(())?)
        };
        self.allowed.insert(difference);
        Ok(rule)
    }

    /// The rule by which trigger times differ.
    fn trigger_rule(&self, theirs: Option<&String>, mine: Option<&String>) -> Option<Rule> {
        let Happened { last, unsettled, upstream_late } = self.happened;
        match (theirs, mine) {
            (None, Some(_)) => upstream_late.then_some(Rule::LateUpstream),
            (Some(time), None) if time == CREATION => unsettled.and_then(before_restart),
            (Some(time), None) if time.starts_with(EPOCH) => match last {
                Some(last) if !says(last, time) => Some(Rule::TriggerOfEarlierChange),
                Some(last) if ends_pod(last) => Some(Rule::TriggerOfEnd),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Whether an operation has this text in it.
fn says(operation: &Operation, text: &str) -> bool {
    serde_json::to_string(operation).is_ok_and(|it| it.contains(text))
}

/// How far a group is alike.
enum Alike {
    Fully,
    /// But for the slices that endpoints are in.
    Spread,
    Not,
}

/// Endpoints with the ports of each subset, and with them the subsets, in an order that no hash makes.
fn ports_sorted(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(subsets) = body["subsets"].as_array_mut() {
        for ports in subsets.iter_mut().filter_map(|it| it.get_mut("ports")?.as_array_mut()) {
            ports.sort_by_key(Value::to_string);
        }
        subsets.sort_by_key(Value::to_string);
    }
    body
}

fn grouped(slices: &[Slice]) -> BTreeMap<Group, Vec<&Slice>> {
    let mut groups: BTreeMap<Group, Vec<&Slice>> = BTreeMap::new();
    for slice in slices {
        let group =
            (slice.service.clone(), slice.managed_by.clone(), slice.family.clone(), slice.header.clone());
        groups.entry(group).or_default().push(slice);
    }
    groups
}

/// All endpoints, each as often as it is there.
fn union(slices: &[Slice]) -> Vec<(&str, Option<&str>)> {
    let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
    let mut all: Vec<_> = endpoints.map(|it| (it.body.as_str(), it.hints.as_deref())).collect();
    all.sort_unstable();
    all
}

fn sizes(slices: &[Slice]) -> Vec<usize> {
    let mut sizes: Vec<_> = slices.iter().map(|it| it.endpoints.len()).collect();
    sizes.sort_unstable();
    sizes
}

/// The hints of each endpoint.
fn hints<'a>(slices: &[&'a Slice]) -> BTreeSet<(&'a str, Option<&'a str>)> {
    slices.iter().flat_map(|it| &it.endpoints).map(|it| (it.body.as_str(), it.hints.as_deref())).collect()
}

/// The Services and families of which as many endpoints are hinted to each zone, and to none, on both sides.
fn as_many_hints(theirs: &[Slice], mine: &[Slice]) -> BTreeSet<(String, String)> {
    let count = |slices: &[Slice]| {
        let mut counts: BTreeMap<(String, String), BTreeMap<Option<String>, usize>> = BTreeMap::new();
        for slice in slices {
            let zones = counts.entry((slice.service.clone(), slice.family.clone())).or_default();
            for endpoint in &slice.endpoints {
                *zones.entry(endpoint.hints.clone()).or_default() += 1;
            }
        }
        counts
    };
    let mine = count(mine);
    count(theirs)
        .into_iter()
        .filter(|(key, zones)| mine.get(key) == Some(zones))
        .map(|(key, _)| key)
        .collect()
}

fn spread_of(slice: &Slice) -> Spread {
    (slice.service.clone(), slice.managed_by.clone(), slice.family.clone(), slice.ports.clone())
}

/// The annotations of others.
fn notes(slices: &[&Slice]) -> BTreeSet<String> {
    slices.iter().filter_map(|it| it.note.clone()).collect()
}

/// Whether ours has annotations of others that upstream has no more.
fn more_notes(theirs: &[&Slice], mine: &[&Slice]) -> bool {
    let (theirs, mine) = (notes(theirs), notes(mine));
    theirs != mine && theirs.is_subset(&mine)
}

fn describe(slice: &Slice) -> String {
    let whose = match slice.managed_by.as_str() {
        SLICE_CONTROLLER => "slice",
        "" => "slice of nobody",
        other => other.split('.').next().unwrap_or(other),
    };
    let endpoints: Vec<_> = slice.endpoints.iter().map(|it| brief(&it.body, it.hints.as_deref())).collect();
    format!(
        "{whose} of {} {}: {}, {}trigger time {:?}, {} endpoints [{}] ({})",
        slice.service,
        slice.family,
        slice.header,
        slice.note.as_ref().map(|note| format!("note {note}, ")).unwrap_or_default(),
        slice.trigger.as_deref().unwrap_or("none"),
        endpoints.len(),
        endpoints.join("; "),
        slice.name.0,
    )
}

/// An endpoint in few words.
fn brief(body: &str, hints: Option<&str>) -> String {
    let value: Value = serde_json::from_str(body).unwrap_or_default();
    let conditions: String = ["ready", "serving", "terminating"]
        .into_iter()
        .map(|key| match value["conditions"][key].as_bool() {
            Some(true) => key.chars().next().unwrap_or('?'),
            Some(false) => '-',
            None => '?',
        })
        .collect();
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    format!(
        "{} {} {conditions} node {} zone {}{}",
        text(&value["targetRef"]["uid"]),
        value["addresses"],
        text(&value["nodeName"]),
        text(&value["zone"]),
        hints.map(|hints| format!(" hints {hints}")).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests;
