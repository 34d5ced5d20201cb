//! Log lines about what fails for many objects for one reason: a few, however many objects there are.
//!
//! When the API server is away, every Service fails and tries again. The first says so, and after that one in
//! [`GAP`], with the number of those that kept silent.

use std::collections::HashMap;
use std::time::Duration;

use fairlead_objects::ObjectKey;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::write::WriteError;

/// Time between two lines for one cause.
pub const GAP: Duration = Duration::from_secs(10);

/// Decides which complaints are logged.
#[derive(Debug, Default)]
pub struct Complaints {
    causes: Mutex<HashMap<&'static str, Told>>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    silent: u64,
}

impl Complaints {
    /// Logs a failed write for an object that is tried again: the first of many that fail for one reason as a warning.
    pub fn trying_again(&self, key: &ObjectKey, error: &WriteError) {
        match self.tell(error.kind.cause(), Instant::now()) {
            Some(0) => tracing::warn!(service = %key, %error, "trying again"),
            Some(more) => {
                tracing::warn!(service = %key, %error, more, "trying again; more failed in the same way");
            }
            None => tracing::debug!(service = %key, %error, "trying again"),
        }
    }

    /// Something failed for this cause. `Some` if that is to be logged, with the number of complaints for the same cause
    /// that were not since the last one that was.
    pub fn tell(&self, cause: &'static str, now: Instant) -> Option<u64> {
        let mut causes = self.causes.lock();
        match causes.get_mut(cause) {
            Some(told) if now.saturating_duration_since(told.at) < GAP => {
                told.silent += 1;
                None
            }
            told => {
                let silent = told.map_or(0, |told| told.silent);
                causes.insert(cause, Told { at: now, silent: 0 });
                Some(silent)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_for_each_cause_now_and_then_with_the_number_of_the_others() {
        let complaints = Complaints::default();
        let begun = Instant::now();
        assert_eq!(complaints.tell("no answer", begun), Some(0));
        assert_eq!(complaints.tell("refused", begun), Some(0));
        for second in 1..10 {
            assert_eq!(complaints.tell("no answer", begun + Duration::from_secs(second)), None);
        }
        assert_eq!(complaints.tell("no answer", begun + GAP), Some(9));
        assert_eq!(complaints.tell("no answer", begun + 3 * GAP), Some(0));
    }
}
