//! What is known before the first question: the stance of the leader before, and whether kube-controller-manager leads.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::LeaseSpec;

use super::inquiry::Stance;

/// For how long what the leader before noted counts. It notes at each question, [`super::PERIOD`] apart, and another one
/// takes over within some 15 s.
pub const FRESH: Duration = Duration::from_mins(1);
/// How far the time in a Lease may be from ours, either way, if somebody holds it: clocks are not trusted with more.
pub const LEASE_TOLERANCE: Duration = Duration::from_mins(5);

/// What a controller did, and when: text of an annotation, such as `working 2026-01-02T03:04:05Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// Did it stand aside, rather than work?
    pub aside: bool,
    /// When that was noted.
    pub at: Timestamp,
}

const WORKING: &str = "working";
const ASIDE: &str = "standing-aside";

impl Note {
    /// Reads an annotation; `None` if it says nothing that a leader would have noted.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (what, at) = text.split_once(' ')?;
        let aside = match what {
            WORKING => false,
            ASIDE => true,
            _ => return None,
        };
        Some(Self { aside, at: at.parse().ok()? })
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        is_near(self.at, now, FRESH)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.aside { ASIDE } else { WORKING }, self.at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

/// The Lease of kube-controller-manager, as far as it could be read.
#[derive(Clone, Debug)]
pub enum UpstreamLease {
    /// There is none.
    Absent,
    /// It cannot be read.
    Unknown,
    /// As it is.
    Present(Box<LeaseSpec>),
}

impl UpstreamLease {
    /// May a kube-controller-manager be at work? If that cannot be told, it may.
    #[must_use]
    pub fn may_be_alive(&self, now: Timestamp) -> bool {
        match self {
            Self::Absent => false,
            Self::Unknown => true,
            Self::Present(spec) => {
                // A Lease that was released has a holder without a name.
                spec.holder_identity.as_deref().is_some_and(|holder| !holder.is_empty())
                    && spec.renew_time.as_ref().is_some_and(|at| is_near(at.0, now, LEASE_TOLERANCE))
            }
        }
    }
}

/// The stance to begin with.
#[must_use]
pub fn first_stance(lease: &UpstreamLease, note: Option<Note>, now: Timestamp) -> Stance {
    match note.filter(|note| note.is_fresh(now)) {
        Some(Note { aside: true, .. }) => Stance::Aside,
        None if lease.may_be_alive(now) => Stance::Asking,
        _ => Stance::Working,
    }
}

fn is_near(time: Timestamp, now: Timestamp, tolerance: Duration) -> bool {
    let tolerance = SignedDuration::try_from(tolerance).unwrap_or(SignedDuration::MAX);
    now.duration_since(time).abs() <= tolerance
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        for aside in [false, true] {
            let note = Note { aside, at: at(5) };
            assert_eq!(Note::parse(&note.to_string()), Some(note));
        }
        assert_eq!(Note { aside: false, at: at(0) }.to_string(), "working 2027-01-15T08:00:00Z");
        for text in ["", "working", "working soon", "idle 2027-01-15T08:00:00Z", "standing aside"] {
            assert_eq!(Note::parse(text), None, "{text}");
        }
    }

    fn lease(holder: Option<&str>, renewed: Option<i64>) -> UpstreamLease {
        UpstreamLease::Present(Box::new(LeaseSpec {
            holder_identity: holder.map(Into::into),
            renew_time: renewed.map(|seconds| MicroTime(at(seconds))),
            ..LeaseSpec::default()
        }))
    }

    fn held(renewed: i64) -> UpstreamLease {
        lease(Some("control-plane_1"), Some(renewed))
    }

    #[test]
    fn a_lease_counts_if_somebody_holds_it_and_its_time_is_near() {
        for (lease, alive) in [
            (UpstreamLease::Absent, false),
            (UpstreamLease::Unknown, true),
            (held(-2), true),
            (held(-299), true),
            (held(299), true),
            (held(-301), false),
            (held(301), false),
            (lease(Some(""), Some(0)), false),
            (lease(None, Some(0)), false),
            (lease(Some("a"), None), false),
        ] {
            assert_eq!(lease.may_be_alive(at(0)), alive, "{lease:?}");
        }
    }

    #[test]
    fn only_a_lease_that_may_be_alive_makes_the_first_write_wait_unless_there_is_a_fresh_note() {
        let note = |aside, seconds| Some(Note { aside, at: at(seconds) });
        for (lease, note, stance) in [
            (UpstreamLease::Absent, None, Stance::Working),
            (held(-400), None, Stance::Working),
            (held(-1), None, Stance::Asking),
            (UpstreamLease::Unknown, None, Stance::Asking),
            // The leader before has just asked.
            (held(-1), note(false, -59), Stance::Working),
            (held(-1), note(true, -59), Stance::Aside),
            (UpstreamLease::Absent, note(true, -59), Stance::Aside),
            // Too long ago, or by a clock that is wrong.
            (held(-1), note(false, -61), Stance::Asking),
            (held(-1), note(false, 61), Stance::Asking),
            (UpstreamLease::Absent, note(true, -61), Stance::Working),
        ] {
            assert_eq!(first_stance(&lease, note, at(0)), stance, "{lease:?} {note:?}");
        }
    }
}
