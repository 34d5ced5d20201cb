//! Waiting by a clock that counts suspension.

use std::time::Duration;

use tokio::time::sleep;

use crate::clock::Clock;

/// tokio's timers stand still while the machine is suspended, so that the clock is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// Waits until this time of the clock, or a second longer if the machine was suspended meanwhile.
pub(super) async fn sleep_until(clock: &Clock, at: Duration) {
    while let Some(rest) = at.checked_sub(clock.now()).filter(|rest| !rest.is_zero()) {
        sleep(rest.min(LOOK)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_suspended_machine_does_not_sleep_on() {
        let (begun, suspended) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let slept = Arc::clone(&suspended);
        let clock = Clock::new(move || begun.elapsed() + Duration::from_secs(slept.load(Ordering::SeqCst)));
        let wake = async {
            sleep(Duration::from_secs(5)).await;
            suspended.store(3600, Ordering::SeqCst);
        };
        tokio::join!(sleep_until(&clock, Duration::from_mins(30)), wake);
        assert!(begun.elapsed() <= Duration::from_secs(6), "{:?}", begun.elapsed());
        let begun = Instant::now();
        sleep_until(&clock, clock.now() + Duration::from_millis(2300)).await;
        assert_eq!(begun.elapsed(), Duration::from_millis(2300));
    }
}
