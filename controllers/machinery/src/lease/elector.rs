//! Who leads: a state machine without clock, client or async.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;

use super::record::{Seen, first};
use super::{JITTER, Timing};

/// The least time between two attempts to renew after one that failed: a leader must not wait for the next round while
/// its deadline runs.
const HASTE: Duration = Duration::from_millis(500);

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time passed.
    Tick,
    /// The Lease was read, or a watch told of it. `None`: there is none.
    Observed(Option<Seen>),
    /// A [`Request::Create`] or [`Request::Replace`] was answered with the stored Lease. `sent`: the time before it was
    /// sent.
    Written {
        /// Before it was sent.
        sent: Duration,
        /// The answer.
        seen: Seen,
    },
    /// The API server refused the request because the Lease is not as it was seen: 409, or 404.
    Conflict,
    /// The request failed otherwise, or was not answered in time: it may have been carried out.
    Failed,
}

/// What to ask the API server; at most one request is under way.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Read the Lease, and answer with [`Input::Observed`] or [`Input::Failed`].
    Read,
    /// Create it.
    Create(Box<Lease>),
    /// Replace it, on condition of its `metadata.resourceVersion`.
    Replace(Box<Lease>),
}

/// What this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Somebody else leads, or nobody.
    Follower,
    /// This process leads until then, if nothing further happens.
    Leader {
        /// When the term ends; renewals move it.
        valid_until: Duration,
    },
    /// This process led, and must not do so again: its caches and plans may rest on what it no longer is.
    Ended,
}

/// What follows from an input.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What this process is from now on.
    pub role: Role,
    /// What to ask the API server.
    pub request: Option<Request>,
    /// When to come back with [`Input::Tick`] at the latest.
    pub wake: Duration,
}

/// Takes part in an election. All times are those of one clock that counts suspension, since any beginning.
#[derive(Clone, Debug)]
pub struct Elector {
    namespace: String,
    name: String,
    identity: String,
    timing: Timing,
    role: Role,
    /// The newest known state of the Lease, and when it was first seen so. `None` if it must be read.
    known: Option<Known>,
    /// A request is under way.
    asked: bool,
    /// Not before this time is the next request made.
    next: Duration,
    /// Spreads attempts, from 1 to [`JITTER`].
    spread: f64,
}

#[derive(Clone, Debug)]
struct Known {
    lease: Option<Seen>,
    since: Duration,
}

impl Elector {
    /// A follower that knows nothing yet. `identity` must be unique among all that ever take part; `spread` (0 to 1) is
    /// by how much this one waits longer than others between attempts.
    #[must_use]
    pub fn new(namespace: &str, name: &str, identity: &str, timing: Timing, spread: f64) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: identity.to_owned(),
            timing,
            role: Role::Follower,
            known: None,
            asked: false,
            next: Duration::ZERO,
            spread: 1.0 + spread.clamp(0.0, 1.0) * (JITTER - 1.0),
        }
    }

    /// Who holds the Lease, as far as is known.
    #[must_use]
    pub fn holder(&self) -> Option<String> {
        self.known.as_ref()?.lease.as_ref()?.record().holder
    }

    /// The Lease to write when the guarded work has ended in good order, on condition of its version. `None` if this
    /// process does not hold it.
    #[must_use]
    pub fn release(&self, wall: Timestamp) -> Option<Lease> {
        let lease = self.known.as_ref()?.lease.as_ref()?;
        (lease.record().holder.as_deref() == Some(&self.identity)).then(|| lease.released(wall))
    }

    /// Something happened at `now`; `wall` is what people's clocks say, for the record.
    pub fn step(&mut self, now: Duration, wall: Timestamp, input: Input) -> Step {
        // Whatever the news is: who could not renew in time is no longer leader.
        if let Role::Leader { valid_until } = self.role
            && now >= valid_until
        {
            self.role = Role::Ended;
        }
        match input {
            Input::Tick => {}
            Input::Observed(lease) => {
                self.asked = false;
                self.observe(lease, now);
            }
            Input::Written { sent, seen } => {
                self.asked = false;
                self.observe(Some(seen), now);
                self.written(sent, now);
            }
            Input::Conflict => {
                self.asked = false;
                self.known = None;
                self.next = now;
            }
            Input::Failed => {
                self.asked = false;
                // It may have been carried out, so what was known of the Lease may be outdated.
                self.known = match self.role {
                    Role::Leader { .. } => None,
                    _ => self.known.take(),
                };
                self.next = now + self.pause();
            }
        }
        self.lose_to_others();
        let request = self.request(now, wall);
        self.asked |= request.is_some();
        Step { role: self.role, request, wake: self.wake(now) }
    }

    fn observe(&mut self, lease: Option<Seen>, now: Duration) {
        let known = self.known.as_ref().map(|known| &known.lease);
        if known == Some(&lease) {
            return;
        }
        // Versions that go back are an API server's late cache: what was seen newer stands.
        let is_older = match (known, &lease) {
            (Some(Some(known)), Some(lease)) => is_older(lease, known),
            _ => false,
        };
        if !is_older {
            // Any change is a sign of life: renewals need not differ in anything but the version.
            self.known = Some(Known { lease, since: now });
            if self.role == Role::Follower {
                self.next = self.next.min(now);
            }
        }
    }

    fn written(&mut self, sent: Duration, now: Duration) {
        self.next = sent + self.timing.retry_period;
        let valid_until = sent + self.timing.renew_deadline;
        if self.role != Role::Ended && self.is_ours() && now < valid_until {
            self.role = Role::Leader { valid_until };
        }
    }

    fn lose_to_others(&mut self) {
        let Role::Leader { .. } = self.role else { return };
        if self.known.is_some() && !self.is_ours() {
            self.role = Role::Ended;
        }
    }

    fn is_ours(&self) -> bool {
        self.holder().as_deref() == Some(&self.identity)
    }

    fn request(&self, now: Duration, wall: Timestamp) -> Option<Request> {
        if self.asked || self.role == Role::Ended || now < self.next {
            return None;
        }
        let Some(known) = &self.known else { return Some(Request::Read) };
        let duration = self.timing.lease_duration;
        let Some(lease) = &known.lease else {
            let lease = first(&self.namespace, &self.name, &self.identity, duration, wall);
            return Some(Request::Create(Box::new(lease)));
        };
        if now < self.free_at(lease, known.since) {
            return None;
        }
        Some(Request::Replace(Box::new(lease.held_by(&self.identity, duration, wall))))
    }

    /// When this process may write the Lease.
    fn free_at(&self, lease: &Seen, since: Duration) -> Duration {
        let record = lease.record();
        match record.holder {
            Some(holder) if holder != self.identity => {
                since + record.duration.unwrap_or(self.timing.lease_duration)
            }
            _ => Duration::ZERO,
        }
    }

    /// Time until the next attempt after one that failed.
    fn pause(&self) -> Duration {
        match self.role {
            Role::Leader { .. } => self.timing.retry_period.min(HASTE),
            _ => self.timing.retry_period.mul_f64(self.spread),
        }
    }

    fn wake(&self, now: Duration) -> Duration {
        let far = now + self.timing.lease_duration;
        let ends = match self.role {
            Role::Leader { valid_until } => valid_until,
            _ => far,
        };
        let attempt = match &self.known {
            _ if self.asked || self.role == Role::Ended => far,
            Some(Known { lease: Some(lease), since }) => self.next.max(self.free_at(lease, *since)),
            _ => self.next,
        };
        ends.min(attempt).min(far)
    }
}

/// Is `one` surely older than `other`? Versions that are no numbers tell nothing.
fn is_older(one: &Seen, other: &Seen) -> bool {
    let number = |seen: &Seen| seen.version().and_then(|version| version.parse::<u64>().ok());
    match (number(one), number(other)) {
        (Some(one), Some(other)) => one < other,
        _ => false,
    }
}
