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
    /// This process could do the work: from now on it may take the Lease. Until then it only follows it.
    Ready,
    /// A watch told of the Lease. `None`: it was deleted.
    Told(Option<Seen>),
    /// The watch broke: until it tells of the Lease again, it has to be read.
    Blind,
    /// A [`Request::Read`] was answered. `None`: there is no Lease.
    Read(Option<Seen>),
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
    /// Read the Lease.
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
    /// The newest version that was known; a watch may tell of older ones afterwards.
    newest: Option<u64>,
    /// Until then the Lease is still another process's, though it was deleted: the holder does not know that yet.
    reserved_until: Duration,
    /// May this process lead?
    ready: bool,
    /// Does a watch tell of changes?
    watching: bool,
    /// Requests in a row that were refused as [`Input::Conflict`].
    conflicts: u32,
    /// A request is under way.
    asked: bool,
    /// No request is made before this time: a leader's next round, or a pause after trouble.
    not_before: Duration,
    /// When the Lease is read again if no watch tells of it.
    read_at: Duration,
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
            newest: None,
            reserved_until: Duration::ZERO,
            ready: false,
            watching: false,
            conflicts: 0,
            asked: false,
            not_before: Duration::ZERO,
            read_at: Duration::ZERO,
            spread: 1.0 + spread.clamp(0.0, 1.0) * (JITTER - 1.0),
        }
    }

    /// `namespace/name` of the Lease.
    pub(super) fn lease(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// Has the Lease, or that there is none, been seen, and may it still be so?
    pub(super) fn knows(&self) -> bool {
        self.known.is_some()
    }

    /// The UID of the Lease; empty if that is not known.
    pub(super) fn uid(&self) -> String {
        let lease = self.known.as_ref().and_then(|known| known.lease.as_ref());
        lease.and_then(|lease| lease.0.metadata.uid.clone()).unwrap_or_default()
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
            Input::Ready => self.ready = true,
            Input::Told(lease) => {
                self.watching = true;
                let is_late = lease.as_ref().and_then(Seen::number) < self.newest;
                // A deletion does not say of which version; what is refused then is read.
                if lease.is_none() || !is_late {
                    self.observe(lease, now);
                }
            }
            Input::Blind => self.watching = false,
            Input::Read(lease) => {
                self.asked = false;
                self.read_at = now + self.pause();
                let is_late = self.known.is_some() && lease.as_ref().and_then(Seen::number) < self.newest;
                if !is_late {
                    self.observe(lease, now);
                }
            }
            Input::Written { sent, seen } => {
                self.asked = false;
                self.conflicts = 0;
                self.observe(Some(seen), now);
                self.written(sent, now);
            }
            Input::Conflict => {
                self.asked = false;
                self.known = None;
                // Had a watch told of the change, there would have been no conflict.
                self.watching = false;
                // The first is read about at once; but whatever refuses each time must not be asked in a loop.
                self.not_before = if self.conflicts == 0 { now } else { now + self.pause() };
                self.conflicts = self.conflicts.saturating_add(1);
            }
            Input::Failed => {
                self.asked = false;
                // It may have been carried out, so what was known of the Lease may be outdated.
                self.known = match self.role {
                    Role::Leader { .. } => None,
                    _ => self.known.take(),
                };
                self.not_before = now + self.pause();
            }
        }
        self.lose_to_others();
        let request = self.request(now, wall);
        self.asked |= request.is_some();
        Step { role: self.role, request, wake: self.wake(now) }
    }

    fn observe(&mut self, lease: Option<Seen>, now: Duration) {
        if self.known.as_ref().is_some_and(|known| known.lease == lease) {
            return;
        }
        if let Some(lease) = &lease {
            self.newest = lease.number();
        } else {
            let held = self.known.as_ref().and_then(|known| {
                let lease = known.lease.as_ref()?;
                Some(self.free_at(lease, known.since))
            });
            self.reserved_until = held.unwrap_or(self.reserved_until);
        }
        // A leader waits for its round, unless there is nothing left to renew; others must not wait at all.
        let waits = matches!(self.role, Role::Leader { .. }) && lease.is_some();
        if !waits && self.conflicts == 0 {
            self.not_before = self.not_before.min(now);
        }
        // Any change is a sign of life: renewals need not differ in anything but the version.
        self.known = Some(Known { lease, since: now });
    }

    fn written(&mut self, sent: Duration, now: Duration) {
        self.not_before = sent + self.timing.retry_period;
        let valid_until = sent + self.timing.renew_deadline;
        if self.role != Role::Ended && self.is_ours() && now < valid_until {
            self.role = Role::Leader { valid_until };
        }
    }

    /// Who leads and sees that another holds the Lease, or that somebody took it away, leads no longer. One that was
    /// deleted is only made anew.
    fn lose_to_others(&mut self) {
        let Role::Leader { .. } = self.role else { return };
        if self.known.as_ref().is_some_and(|known| known.lease.is_some()) && !self.is_ours() {
            self.role = Role::Ended;
        }
    }

    fn is_ours(&self) -> bool {
        self.holder().as_deref() == Some(&self.identity)
    }

    fn request(&self, now: Duration, wall: Timestamp) -> Option<Request> {
        if self.asked || self.role == Role::Ended || now < self.not_before {
            return None;
        }
        let Some(known) = &self.known else { return Some(Request::Read) };
        if !self.ready || now < self.may_write_at(known) {
            return (!self.watching && now >= self.read_at).then_some(Request::Read);
        }
        let duration = self.timing.lease_duration;
        Some(match &known.lease {
            None => {
                Request::Create(Box::new(first(&self.namespace, &self.name, &self.identity, duration, wall)))
            }
            Some(lease) => Request::Replace(Box::new(lease.held_by(&self.identity, duration, wall))),
        })
    }

    /// When this process may write the Lease, or create it.
    fn may_write_at(&self, known: &Known) -> Duration {
        match (&known.lease, self.role) {
            (Some(lease), _) => self.free_at(lease, known.since),
            (None, Role::Leader { .. }) => Duration::ZERO,
            (None, _) => self.reserved_until,
        }
    }

    /// When the holder's claim ends: at once if that is this process, or nobody.
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
            Some(_) if !self.ready => {
                if self.watching {
                    far
                } else {
                    self.read_at.max(self.not_before)
                }
            }
            Some(known) if self.watching => self.may_write_at(known).max(self.not_before),
            Some(known) => self.may_write_at(known).min(self.read_at).max(self.not_before),
            None => self.not_before,
        };
        ends.min(attempt).min(far)
    }
}
