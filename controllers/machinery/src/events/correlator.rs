//! Which events are written, and how: a pure state machine after client-go's `EventCorrelator`.
//!
//! * An event that was seen before is not written again: the count of the first one is raised.
//! * Each object has a token bucket, so that one that fails in a loop cannot flood etcd. What the bucket refuses
//!   is still counted, and the next write brings the count up to date.
//! * Both memories are bounded; the least recently used entry is forgotten first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::lru::Lru;
use super::{EventType, ObjectReference};

/// Tokens of an object that had no event for long: client-go's `defaultSpamBurst`.
const BURST: u32 = 25;
/// Time for one new token: client-go's `defaultSpamQPS`.
const REFILL: Duration = Duration::from_mins(5);
/// Entries of each memory: client-go's `maxLruCacheEntries`.
const REMEMBERED: usize = 4096;
/// The longest name of an object in the API.
const MAX_NAME_BYTES: usize = 253;

/// Everything that two events must have in common to be the same event again.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Occurrence {
    pub(super) object: Arc<ObjectReference>,
    pub(super) event_type: EventType,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// An event as it was recorded. The component that reports it is the same for all events of a correlator.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) what: Arc<Occurrence>,
    pub(super) at: Timestamp,
}

/// What to do about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Create an Event object.
    Create(Record),
    /// Raise the count of the one that exists.
    Patch(Record),
    /// Write nothing: the object has had too many events.
    Drop,
}

/// The fields of the Event object that depend on earlier events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) count: i32,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
}

pub(super) struct Correlator {
    seen: Lru<Arc<Occurrence>, Seen>,
    buckets: Lru<Arc<ObjectReference>, Bucket>,
    /// The number in the last name; each is larger than the one before, so names do not meet.
    last_suffix: i128,
}

struct Seen {
    /// Name of the Event object, once it was decided to create it.
    name: Option<String>,
    count: i32,
    first: Timestamp,
    last: Timestamp,
}

struct Bucket {
    /// Time saved up, of which a token costs [`REFILL`]: exact, where fractions of tokens would not add up.
    saved: Duration,
    refilled: Instant,
}

impl Correlator {
    pub(super) fn new() -> Self {
        Self::with_capacity(REMEMBERED)
    }

    fn with_capacity(capacity: usize) -> Self {
        Self { seen: Lru::new(capacity), buckets: Lru::new(capacity), last_suffix: 0 }
    }

    /// Takes note of an event and decides. `now` only drives the token buckets.
    pub(super) fn observe(&mut self, now: Instant, event: &Event) -> Decision {
        let seen =
            self.seen.entry(&event.what, || Seen { name: None, count: 0, first: event.at, last: event.at });
        seen.count = seen.count.saturating_add(1);
        seen.last = event.at;
        let bucket =
            self.buckets.entry(&event.what.object, || Bucket { saved: REFILL * BURST, refilled: now });
        if !bucket.take(now) {
            return Decision::Drop;
        }
        if let Some(name) = &seen.name {
            return Decision::Patch(seen.record(name.clone()));
        }
        let name = object_name(&event.what.object, next_suffix(&mut self.last_suffix, event.at));
        seen.name = Some(name.clone());
        Decision::Create(seen.record(name))
    }

    /// The name of `record` is taken by an Event of somebody else: the same record under another name.
    pub(super) fn rename(&mut self, event: &Event, record: &Record) -> Record {
        let name = object_name(&event.what.object, next_suffix(&mut self.last_suffix, event.at));
        let seen = self.seen.entry(&event.what, || Seen {
            name: None,
            count: record.count,
            first: record.first,
            last: record.last,
        });
        Record { name: seen.name.insert(name).clone(), ..record.clone() }
    }

    /// The Event object could not be created, so there is none whose count could be raised: next time a new one is
    /// made.
    pub(super) fn forget(&mut self, event: &Event) {
        self.seen.remove(&event.what);
    }
}

impl Seen {
    fn record(&self, name: String) -> Record {
        Record { name, count: self.count, first: self.first, last: self.last }
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled);
        self.saved = (self.saved + elapsed).min(REFILL * BURST);
        self.refilled = self.refilled.max(now);
        let rest = self.saved.checked_sub(REFILL);
        self.saved = rest.unwrap_or(self.saved);
        rest.is_some()
    }
}

fn next_suffix(last: &mut i128, at: Timestamp) -> i128 {
    *last = at.as_nanosecond().max(*last + 1);
    *last
}

/// `<object>.<nanoseconds in hex>`, as client-go names Events. Names that are longer than the API allows are cut,
/// and those that are no DNS name (an Event's must be one) are replaced by the kind.
fn object_name(object: &ObjectReference, suffix: i128) -> String {
    let suffix = format!(".{suffix:x}");
    let is_dns = |name: &str| {
        name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
    };
    let prefix = if is_dns(&object.name) {
        let end = object.name.floor_char_boundary(MAX_NAME_BYTES - suffix.len());
        object.name[..end].trim_end_matches(['-', '.']).to_owned()
    } else {
        object.kind.to_ascii_lowercase()
    };
    prefix + &suffix
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21T15:00:00Z.
    const START: i64 = 1_795_273_200;

    fn object(name: &str) -> Arc<ObjectReference> {
        Arc::new(ObjectReference {
            api_version: "v1",
            kind: "Service",
            namespace: "default".to_owned(),
            name: name.to_owned(),
            uid: format!("uid-of-{name}"),
        })
    }

    fn event(object_name: &str, message: &str, second: i64) -> Event {
        let what = Occurrence {
            object: object(object_name),
            event_type: EventType::Warning,
            reason: "FailedToUpdateEndpointSlices",
            message: message.to_owned(),
        };
        Event { what: Arc::new(what), at: Timestamp::from_second(START + second).unwrap() }
    }

    /// `create NAME x COUNT FIRST..LAST`, with the times in seconds after START, or `patch ...`, or `drop`.
    fn text(decision: &Decision) -> String {
        let (verb, record) = match decision {
            Decision::Create(record) => ("create", record),
            Decision::Patch(record) => ("patch", record),
            Decision::Drop => return "drop".to_owned(),
        };
        let (first, last) = (record.first.as_second() - START, record.last.as_second() - START);
        format!("{verb} {} x{} {first}..{last}", record.name, record.count)
    }

    #[test]
    fn repeats_raise_the_count_of_the_first() {
        let start = Instant::now();
        let mut correlator = Correlator::new();
        // (object, message, second) -> decision. The suffix is START plus the second, in nanoseconds, in hex.
        for (object, message, second, expected) in [
            ("web", "a", 0_i64, "create web.18ea1776b0c76000 x1 0..0"),
            ("web", "a", 1, "patch web.18ea1776b0c76000 x2 0..1"),
            ("web", "b", 2, "create web.18ea177727fcf400 x1 2..2"),
            ("api", "a", 3, "create api.18ea17776397be00 x1 3..3"),
            ("web", "a", 4, "patch web.18ea1776b0c76000 x3 0..4"),
            ("web", "b", 4, "patch web.18ea177727fcf400 x2 2..4"),
        ] {
            let now = start + Duration::from_secs(second.cast_unsigned());
            let decision = correlator.observe(now, &event(object, message, second));
            assert_eq!(text(&decision), expected, "{object} {message} {second}");
        }
    }

    #[test]
    fn every_part_of_an_occurrence_tells_it_from_others() {
        let base = event("web", "a", 0);
        let other = |change: fn(&mut ObjectReference)| {
            let mut object = ObjectReference::clone(&base.what.object);
            change(&mut object);
            Occurrence {
                object: Arc::new(object),
                event_type: base.what.event_type,
                reason: base.what.reason,
                message: base.what.message.clone(),
            }
        };
        for (what, occurrence) in [
            ("apiVersion", other(|object| object.api_version = "v2")),
            ("kind", other(|object| object.kind = "Pod")),
            ("namespace", other(|object| object.namespace = "kube-system".to_owned())),
            ("name", other(|object| object.name = "api".to_owned())),
            ("uid", other(|object| object.uid = "1".to_owned())),
            ("type", Occurrence { event_type: EventType::Normal, ..other(|_| ()) }),
            ("reason", Occurrence { reason: "Other", ..other(|_| ()) }),
            ("message", Occurrence { message: "b".to_owned(), ..other(|_| ()) }),
        ] {
            let now = Instant::now();
            let mut correlator = Correlator::new();
            correlator.observe(now, &base);
            let decision = correlator.observe(now, &Event { what: Arc::new(occurrence), at: base.at });
            assert!(matches!(decision, Decision::Create(_)), "{what}: {decision:?}");
        }
    }

    #[test]
    fn a_burst_of_25_then_one_per_five_minutes() {
        let start = Instant::now();
        let mut correlator = Correlator::new();
        let mut allowed = |second: u64, message: &str, object: &str| {
            let now = start + Duration::from_secs(second);
            correlator.observe(now, &event(object, message, second.cast_signed())) != Decision::Drop
        };
        for number in 0..25 {
            assert!(allowed(0, &format!("message {number}"), "web"), "{number}");
        }
        for (second, expected) in
            [(0, false), (299, false), (300, true), (301, false), (599, false), (600, true), (1200, true)]
        {
            assert_eq!(allowed(second, "one more", "web"), expected, "after {second} s");
        }
        assert!(allowed(1200, "one more", "web"), "600 s bring two tokens");
        assert!(!allowed(1200, "one more", "web"));
        assert!(allowed(1200, "one more", "api"), "each object has a bucket of its own");

        let much_later = 1200 + 100 * 300;
        let after_rest = (0..40).filter(|number| allowed(much_later, &number.to_string(), "web")).count();
        assert_eq!(after_rest, 25, "the bucket does not overflow");
    }

    #[test]
    fn what_the_bucket_refuses_is_counted() {
        let start = Instant::now();
        let mut correlator = Correlator::new();
        for _ in 0..25 {
            correlator.observe(start, &event("web", "again", 0));
        }
        for second in 1..=10 {
            assert_eq!(correlator.observe(start, &event("web", "again", second)), Decision::Drop);
            assert_eq!(
                correlator.observe(start, &event("web", "first seen when empty", second)),
                Decision::Drop
            );
        }
        let later = start + 2 * REFILL;
        let decision = correlator.observe(later, &event("web", "again", 700));
        assert_eq!(text(&decision), "patch web.18ea1776b0c76000 x36 0..700");
        // Never written before, so it is created, and says when it began.
        let decision = correlator.observe(later, &event("web", "first seen when empty", 701));
        assert_eq!(text(&decision), "create web.18ea1819e7a28200 x11 1..701");
    }

    #[test]
    fn a_clock_that_goes_back_neither_gives_tokens_nor_meets_a_name() {
        let start = Instant::now() + REFILL;
        let mut correlator = Correlator::new();
        let names: Vec<_> = (0..25)
            .map(|number| match correlator.observe(start, &event("web", &number.to_string(), -number)) {
                Decision::Create(record) => record.name,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        assert_eq!(
            correlator.observe(start.checked_sub(REFILL).unwrap(), &event("web", "x", 0)),
            Decision::Drop
        );
        assert_eq!(correlator.observe(start, &event("web", "x", 0)), Decision::Drop);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let now = Instant::now();
        let mut correlator = Correlator::with_capacity(3);
        let mut verb = |object: &str| match correlator.observe(now, &event(object, "m", 0)) {
            Decision::Create(_) => "create",
            Decision::Patch(_) => "patch",
            Decision::Drop => "drop",
        };
        let order = ["a", "b", "c", "a", "d", "a", "c", "b"];
        assert_eq!(
            order.map(&mut verb),
            ["create", "create", "create", "patch", "create", "patch", "patch", "create"]
        );
    }

    #[test]
    fn after_a_failed_create_the_next_is_a_create_again() {
        let now = Instant::now();
        let mut correlator = Correlator::new();
        correlator.observe(now, &event("web", "a", 0));
        correlator.forget(&event("web", "a", 0));
        let decision = correlator.observe(now, &event("web", "a", 5));
        assert_eq!(text(&decision), "create web.18ea1777dacd5200 x1 5..5");
    }

    #[test]
    fn a_renamed_record_keeps_everything_but_its_name() {
        let now = Instant::now();
        let mut correlator = Correlator::new();
        let first = event("web", "a", 0);
        let Decision::Create(record) = correlator.observe(now, &first) else { panic!("not created") };
        let renamed = correlator.rename(&first, &record);
        assert_eq!(renamed, Record { name: "web.18ea1776b0c76001".to_owned(), ..record });
        let decision = correlator.observe(now, &event("web", "a", 1));
        assert_eq!(text(&decision), "patch web.18ea1776b0c76001 x2 0..1");
    }

    #[test]
    fn names_are_valid_whatever_the_object_is_called() {
        let long = format!("{}.{}", "n".repeat(234), "x".repeat(18));
        let dash = format!("{}-{}", "n".repeat(235), "x".repeat(17));
        for (name, expected) in [
            ("web", "web.ff".to_owned()),
            ("node-1.example.org", "node-1.example.org.ff".to_owned()),
            ("system:node", "service.ff".to_owned()),
            ("Upper", "service.ff".to_owned()),
            ("", "service.ff".to_owned()),
            ("ümlaut", "service.ff".to_owned()),
            (&long, format!("{}.{}.ff", "n".repeat(234), "x".repeat(15))),
            (&dash, format!("{}-{}.ff", "n".repeat(235), "x".repeat(14))),
        ] {
            let name = object_name(&object(name), 255);
            assert_eq!(name, expected);
            assert!(name.len() <= MAX_NAME_BYTES);
        }
        // A cut that would leave a dash or a dot at the end goes further back.
        let cut = object_name(&object(&format!("{}-.x", "n".repeat(249))), 255);
        assert_eq!(cut, "service.ff");
        let cut = object_name(&object(&format!("{}.{}", "n".repeat(249), "abc")), 255);
        assert_eq!(cut, format!("{}.ff", "n".repeat(249)));
    }
}
