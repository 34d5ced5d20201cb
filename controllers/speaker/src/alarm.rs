//! What wakes a thread that waits for sockets at a time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use fairlead_layer2::Moment;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tracing::warn;

/// Becomes readable at a time that is set before, also if the machine was suspended meanwhile.
///
/// A timeout of `poll` would be set and taken back around each frame, which costs the slowest answers most.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: OwnedFd,
    /// When it goes off, if it is to.
    set: Option<Moment>,
}

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self { timer: timerfd_create(TimerfdClockId::Boottime, flags)?, set: None })
    }

    /// Sees to it that it goes off no later than then. It may go off earlier: a time that was set is not taken back.
    pub(crate) fn no_later_than(&mut self, at: Moment) {
        if self.set.is_some_and(|set| set <= at) {
            return;
        }
        // Zero would mean never.
        let since_boot = at.0.max(Duration::from_nanos(1));
        let time = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: i64::try_from(since_boot.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: since_boot.subsec_nanos().into(),
            },
        };
        match timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &time) {
            Ok(_) => self.set = Some(at),
            Err(error) => warn!(%error, "a wake-up cannot be set"),
        }
    }

    /// It went off, or may have.
    pub(crate) fn went_off(&mut self) {
        // Setting it again makes it unreadable until then.
        self.set = None;
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::time::{ClockId, clock_gettime};

    use super::*;

    fn now() -> Moment {
        let time = clock_gettime(ClockId::Boottime);
        Moment(Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap()))
    }

    fn is_ready(alarm: &Alarm, within: i64) -> bool {
        let wait = Timespec { tv_sec: within, tv_nsec: 0 };
        poll(&mut [PollFd::new(alarm, PollFlags::IN)], Some(&wait)).unwrap() == 1
    }

    #[test]
    fn it_goes_off_at_the_earliest_time_and_not_again_before_it_is_set() {
        let mut alarm = Alarm::new().unwrap();
        assert!(!is_ready(&alarm, 0));
        let hour = Duration::from_hours(1);
        alarm.no_later_than(now() + hour);
        assert!(!is_ready(&alarm, 0));
        let soon = now() + Duration::from_millis(20);
        alarm.no_later_than(soon);
        alarm.no_later_than(now() + hour);
        assert!(is_ready(&alarm, 60));
        assert!(now() >= soon);
        alarm.went_off();
        alarm.no_later_than(now() + hour);
        assert!(!is_ready(&alarm, 0));
        // What is over is now.
        alarm.no_later_than(Moment::default());
        assert!(is_ready(&alarm, 60));
    }
}
