//! How fast frames are sent that nobody waits for.

use std::time::Duration;

use crate::moment::Moment;

/// A limit for frames that are sent of our own accord, so that switches and hosts are not flooded when many addresses move
/// at once.
#[derive(Clone, Debug)]
pub(crate) struct Pacer {
    /// How long a frame takes.
    interval: Duration,
    /// How many frames may follow each other after a pause.
    burst: u32,
    /// When the next frame were due if none had come after a pause.
    next: Moment,
}

impl Pacer {
    /// Of so many frames a second, with as many at once as fall into 3 ms.
    pub(crate) fn new(per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second;
        Self { interval, burst: (per_second / 333).max(1), next: Moment::default() }
    }

    /// Whether a frame may be sent now. If so, it counts as sent.
    pub(crate) fn take(&mut self, now: Moment) -> bool {
        let earliest = now - self.interval * (self.burst - 1);
        if self.next > now {
            return false;
        }
        self.next = self.next.max(earliest) + self.interval;
        true
    }

    /// When several frames may be sent again, so that nobody wakes up for each.
    pub(crate) fn ready(&self) -> Moment {
        self.next + self.interval * (self.burst / 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_a_second() {
        let mut pacer = Pacer::new(10_000);
        let mut now = Moment(Duration::from_secs(50));
        let mut sent = 0;
        let until = now + Duration::from_secs(2);
        let mut wakes = 0;
        while now < until {
            let before = sent;
            while pacer.take(now) {
                sent += 1;
            }
            assert!(sent - before <= 30, "{}", sent - before);
            wakes += 1;
            now = now.max(pacer.ready());
        }
        assert!((20_000..20_050).contains(&sent), "{sent}");
        assert!(wakes < 2_100, "{wakes}");
    }

    #[test]
    fn after_a_pause_only_a_burst_is_saved_up() {
        let mut pacer = Pacer::new(10_000);
        for seconds in [1, 2, 1000] {
            let now = Moment(Duration::from_secs(seconds));
            assert_eq!((0..1000).filter(|_| pacer.take(now)).count(), 30);
        }
    }
}
