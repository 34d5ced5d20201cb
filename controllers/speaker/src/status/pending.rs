//! Which status is written next.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Without any entries there is room for so many.
const FEW: usize = 64;

/// Addresses whose status is to be looked at: of those that are due, the one that changed last comes first, since people
/// wait for that, and what changed long ago may have changed again.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    entries: HashMap<IpAddr, Entry>,
    waiting: BTreeSet<(Instant, IpAddr)>,
    due: BTreeSet<(Reverse<u64>, IpAddr)>,
    in_work: HashSet<IpAddr>,
    changes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Instant,
    change: u64,
}

impl Pending {
    /// An address changed, and is to be looked at after `delay`, or earlier if it is to be looked at anyway.
    pub(crate) fn add(&mut self, address: IpAddr, now: Instant, delay: Duration) {
        self.changes += 1;
        let mut entry = Entry { at: now + delay, change: self.changes };
        if let Some(before) = self.entries.get(&address) {
            entry.at = entry.at.min(before.at);
            self.waiting.remove(&(before.at, address));
            self.due.remove(&(Reverse(before.change), address));
        }
        self.entries.insert(address, entry);
        self.waiting.insert((entry.at, address));
    }

    /// The next one, which is in work until [`Pending::done`].
    pub(crate) fn take(&mut self, now: Instant) -> Option<IpAddr> {
        while let Some(&(at, address)) = self.waiting.first().filter(|(at, _)| *at <= now) {
            self.waiting.remove(&(at, address));
            if let Some(entry) = self.entries.get(&address) {
                self.due.insert((Reverse(entry.change), address));
            }
        }
        let next = self.due.iter().find(|(_, address)| !self.in_work.contains(address)).copied()?;
        self.due.remove(&next);
        self.entries.remove(&next.1);
        if self.entries.is_empty() {
            // Room for all that a failed node had is hardly needed again.
            self.entries.shrink_to(FEW);
        }
        self.in_work.insert(next.1);
        Some(next.1)
    }

    /// It has been looked at.
    pub(crate) fn done(&mut self, address: IpAddr) {
        self.in_work.remove(&address);
    }

    /// When [`Pending::take`] gives something that is not in work, if nothing is added.
    pub(crate) fn next(&self) -> Option<Instant> {
        let is_free = |address: &IpAddr| !self.in_work.contains(address);
        let due = self.due.iter().filter(|(_, address)| is_free(address));
        let due = due.filter_map(|(_, address)| self.entries.get(address)).map(|entry| entry.at).next();
        due.or_else(|| self.waiting.iter().find(|(_, address)| is_free(address)).map(|(at, _)| *at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [198, 51, 100, last].into()
    }

    #[test]
    fn the_newest_comes_first_and_each_once() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        for last in [1, 2, 3, 1] {
            pending.add(ip(last), now, Duration::ZERO);
        }
        assert_eq!(pending.next(), Some(now));
        let order: Vec<_> = std::iter::from_fn(|| pending.take(now)).collect();
        assert_eq!(order, [ip(1), ip(3), ip(2)]);
        assert_eq!(pending.next(), None);
    }

    #[test]
    fn what_is_put_off_waits_unless_it_is_due_earlier() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        let second = Duration::from_secs(1);
        pending.add(ip(1), now, 3 * second);
        pending.add(ip(2), now, second);
        pending.add(ip(1), now, 2 * second);
        assert_eq!((pending.take(now), pending.next()), (None, Some(now + second)));
        assert_eq!(pending.take(now + second), Some(ip(2)));
        assert_eq!(pending.next(), Some(now + 2 * second));
        // Later is no earlier.
        pending.add(ip(1), now, 9 * second);
        assert_eq!(pending.take(now + 2 * second), Some(ip(1)));
    }

    #[test]
    fn one_in_work_is_not_taken_again_before_it_is_done() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        pending.add(ip(1), now, Duration::ZERO);
        assert_eq!(pending.take(now), Some(ip(1)));
        pending.add(ip(1), now, Duration::ZERO);
        assert_eq!((pending.take(now), pending.next()), (None, None));
        pending.done(ip(1));
        assert_eq!(pending.take(now), Some(ip(1)));
        pending.done(ip(1));
        assert_eq!(pending.take(now), None);
    }
}
