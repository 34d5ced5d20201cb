//! How often large objects are written.
//!
//! Every write of an Endpoints object is sent as a whole to everybody who watches it, however little has changed. So after
//! each round the next one that only Pods call for waits the longer the larger the object is; what changes meanwhile is
//! collected. Small objects are not delayed at all.

use std::collections::HashMap;
use std::time::Duration;

use fairlead_objects::ObjectKey;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::CAPACITY;

/// So many Pods do not make an object large.
const SMALL: usize = 100;
/// For each one more. A full object is written four times a second.
const PER_POD: Duration = Duration::from_micros(250);

/// When large objects are due again.
#[derive(Default)]
pub(super) struct Pace {
    rests: Mutex<HashMap<ObjectKey, Instant>>,
}

impl Pace {
    /// How long a round of this Service has to wait that only Pods call for.
    pub(super) fn rest(&self, service: &ObjectKey) -> Duration {
        let mut rests = self.rests.lock();
        let rest = rests.get(service).map(|until| until.saturating_duration_since(Instant::now()));
        if rest == Some(Duration::ZERO) {
            rests.remove(service);
        }
        rest.unwrap_or_default()
    }

    /// A round of this Service is over, which has so many Pods.
    pub(super) fn worked(&self, service: &ObjectKey, pods: usize) {
        let rest = rest_of(pods);
        if !rest.is_zero() {
            self.rests.lock().insert(service.clone(), Instant::now() + rest);
        }
    }

    /// The Service is gone.
    pub(super) fn forget(&self, service: &ObjectKey) {
        self.rests.lock().remove(service);
    }
}

fn rest_of(pods: usize) -> Duration {
    PER_POD * u32::try_from(pods.min(CAPACITY).saturating_sub(SMALL)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn small_objects_do_not_rest_and_full_ones_a_quarter_of_a_second_at_most() {
        let pace = Pace::default();
        let service = ObjectKey::new("shop", "web");
        for (pods, expected) in [(0, 0), (10, 0), (100, 0), (500, 100), (1000, 225), (5000, 225)] {
            pace.worked(&service, pods);
            assert_eq!(pace.rest(&service), Duration::from_millis(expected), "{pods}");
            tokio::time::advance(Duration::from_millis(expected)).await;
            assert_eq!(pace.rest(&service), Duration::ZERO, "{pods}");
        }
        assert!(pace.rests.lock().is_empty(), "nothing is kept of those that may go");
    }
}
