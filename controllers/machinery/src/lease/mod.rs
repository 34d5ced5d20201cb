//! Leader election on a `coordination.k8s.io/v1` Lease, as client-go does it and together with client-go.
//!
//! ```text
//! watch, answers ──▶ shell ── Input ──▶ Elector (pure) ── Step ──▶ shell ──▶ requests, term begins, term ends
//! ```
//!
//! Who holds the Lease renews it; who does not watches it. A follower takes it over when it has seen no change of it for
//! the holder's duration *by its own clock*: times in the record are for people and are never compared. A leader stops
//! when it could not renew for [`Timing::renew_deadline`], counted from before the last request that succeeded was sent,
//! on a clock that goes on while the machine is suspended. Every write of the Lease carries the version that was seen.
//!
//! This is no fencing: a write that is on its way when the term ends may still arrive. Conditional writes catch that.

mod elector;
#[cfg(test)]
mod elector_tests;
mod record;
mod report;
mod requests;
mod shell;
#[cfg(test)]
mod shell_tests;
#[cfg(test)]
mod simulation;
mod timer;
mod watch;

pub use elector::{Elector, Input, Request, Role, Step};
pub use record::{Record, Seen};
pub use report::{LeaseMetrics, Reporter};
pub use shell::{Candidate, Election, End};

use std::time::Duration;

/// The times of an election (`--leader-elect-lease-duration` and so on).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For how long a record that does not change keeps others from taking the Lease.
    pub lease_duration: Duration,
    /// For how long a leader that cannot renew remains leader.
    pub renew_deadline: Duration,
    /// Time between two attempts.
    pub retry_period: Duration,
}

/// client-go's defaults.
impl Default for Timing {
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

impl Timing {
    /// What is wrong with the times, for a person; client-go's rules.
    ///
    /// # Errors
    /// If a term could outlast the Lease, if there is no time for a second attempt, or if the duration is less than the
    /// whole second that a Lease can tell.
    pub fn check(&self) -> Result<(), String> {
        let Self { lease_duration, renew_deadline, retry_period } = *self;
        if lease_duration <= renew_deadline {
            return Err(format!(
                "the lease duration ({lease_duration:?}) must be greater than the renew deadline ({renew_deadline:?})"
            ));
        }
        if renew_deadline <= retry_period.mul_f64(JITTER) {
            return Err(format!(
                "the renew deadline ({renew_deadline:?}) must be greater than {JITTER} times the retry period \
                 ({retry_period:?})"
            ));
        }
        if lease_duration < Duration::from_secs(1) || retry_period.is_zero() {
            return Err(
                "the lease duration must be a second at least, and the retry period greater than zero".into(),
            );
        }
        Ok(())
    }
}

/// Attempts of followers are spread by so much, so that they do not all come at once.
const JITTER: f64 = 1.2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_must_leave_room_for_one_another() {
        let of = |lease, renew, retry| {
            let [lease_duration, renew_deadline, retry_period] =
                [lease, renew, retry].map(|millis: u64| Duration::from_millis(millis));
            Timing { lease_duration, renew_deadline, retry_period }.check()
        };
        assert!(Timing::default().check().is_ok());
        assert!(of(10_000, 10_000, 2_000).unwrap_err().contains("lease duration (10s)"));
        assert!(of(15_000, 2_400, 2_000).unwrap_err().contains("1.2 times the retry period (2s)"));
        assert!(of(15_000, 2_401, 2_000).is_ok());
        assert!(of(900, 500, 100).is_err());
        assert!(of(15_000, 10_000, 0).is_err());
    }
}
