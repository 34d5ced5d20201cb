//! The clock of deadlines that other machines rely on, and the time of day.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Tells the time since some beginning. Clones tell the same.
///
/// [`Clock::boot`] goes on while the machine is suspended (`CLOCK_BOOTTIME`). [`std::time::Instant`], and with it tokio's
/// timers, stand still then: whoever woke up after an hour would believe that a lease of 15 s is still its own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// Time since the machine started.
    #[must_use]
    pub fn boot() -> Self {
        Self::new(|| {
            let now = clock_gettime(ClockId::Boottime);
            // The kernel's time since boot is never negative, and its nanoseconds are less than a second.
            let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
            Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
        })
    }

    /// Any other clock, which must never go back.
    pub fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Time since the beginning.
    #[must_use]
    pub fn now(&self) -> Duration {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({:?})", self.now())
    }
}

/// Tells the time of day, for times that are written into objects. It may be set back and forth. Clones tell the same.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl WallClock {
    /// The machine's.
    #[must_use]
    pub fn system() -> Self {
        Self::new(Timestamp::now)
    }

    /// Any other clock.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WallClock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_is_the_one_that_the_kernel_shows() {
        let clock = Clock::boot();
        let before = clock.now();
        // /proc/uptime is the same clock, in hundredths of a second.
        let shown: f64 = std::fs::read_to_string("/proc/uptime")
            .unwrap()
            .split_whitespace()
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let after = clock.now();
        assert!(
            before.as_secs_f64() - 0.02 <= shown && shown <= after.as_secs_f64(),
            "{before:?} {shown} {after:?}"
        );
    }
}
