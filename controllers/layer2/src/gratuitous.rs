//! Announcements that nobody asked for, so that neighbours and switches learn where an address is now.
//!
//! An address is announced when it is claimed, then after 0.2, 1.1, 2.2 and 4.4 s: the second covers a lost frame, the third
//! the second for which Linux ignores a further change (`locktime`). Then it is announced every 30 to 60 s, for switches
//! that forget. In IPv4 an announcement is a request and a reply, as some neighbours heed only one of them.
//!
//! When many addresses are claimed at once, each first has its request, then each its reply, then come repeats.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::moment::Moment;
use crate::pacer::Pacer;

/// How long after each announcement of a claim the next one follows.
const STEPS: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(900),
    Duration::from_millis(1100),
    Duration::from_millis(2200),
];

/// The least time between announcements of an address that has been here for long.
const REFRESH: Duration = Duration::from_secs(30);
/// By how much more it is at most, at random, so that they do not fall together.
const REFRESH_SPREAD: Duration = Duration::from_secs(30);

/// An empty queue keeps room for so many.
const FEW: usize = 64;

/// One frame of an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// The request in IPv4; the advertisement in IPv6.
    First,
    /// The reply in IPv4. There is none in IPv6.
    Reply,
}

/// When which address is announced.
#[derive(Debug)]
pub struct Announcer {
    schedules: HashMap<IpAddr, Schedule>,
    /// Counts schedules, so that what is left in queues and timers of an older one is known as such.
    last: u32,
    timers: BinaryHeap<Reverse<(Moment, IpAddr, u32)>>,
    queues: [VecDeque<Waiting>; 4],
    random: fastrand::Rng,
}

#[derive(Debug)]
struct Schedule {
    id: u32,
    /// How many announcements are done, as far as that matters.
    done: u8,
    /// Whether an announcement out of turn waits.
    extra: bool,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    address: IpAddr,
    id: u32,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// The next announcement of the schedule.
    Step,
    /// An announcement out of turn.
    Extra,
    /// The second frame of an announcement.
    Reply,
}

/// The queues, in the order in which they are served.
mod queue {
    pub(super) const FIRST: usize = 0;
    pub(super) const REPLY: usize = 1;
    pub(super) const REPEAT: usize = 2;
    pub(super) const REFRESH: usize = 3;
}

impl Announcer {
    /// Of nothing at first. The seed spreads what is announced again and again.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            schedules: HashMap::new(),
            last: 0,
            timers: BinaryHeap::new(),
            queues: Default::default(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Begins to announce an address, from the first step on.
    pub fn begin(&mut self, address: IpAddr) {
        self.last = self.last.wrapping_add(1);
        let id = self.last;
        self.schedules.insert(address, Schedule { id, done: 0, extra: false });
        self.queues[queue::FIRST].push_back(Waiting { address, id, what: What::Step });
    }

    /// Announces an address out of turn, if it is one that is announced.
    pub fn repeat(&mut self, address: IpAddr) {
        if let Some(schedule) = self.schedules.get_mut(&address)
            && !schedule.extra
            && schedule.done > 0
        {
            schedule.extra = true;
            self.queues[queue::REPEAT].push_back(Waiting { address, id: schedule.id, what: What::Extra });
        }
    }

    /// Ends the announcements of an address.
    pub fn end(&mut self, address: IpAddr) {
        self.schedules.remove(&address);
    }

    /// The next frame that may be sent now.
    pub(crate) fn next(&mut self, now: Moment, pacer: &mut Pacer) -> Option<(IpAddr, Form)> {
        self.queue_due(now);
        loop {
            let queue = self.queues.iter_mut().find(|queue| !queue.is_empty())?;
            let waiting = *queue.front()?;
            let is_current = self.schedules.get(&waiting.address).is_some_and(|it| it.id == waiting.id);
            if is_current && !pacer.take(now) {
                return None;
            }
            queue.pop_front();
            if queue.is_empty() {
                // Room for all that was claimed at once is hardly needed again.
                queue.shrink_to(FEW);
            }
            if is_current {
                return Some((waiting.address, self.advance(waiting, now)));
            }
        }
    }

    /// When [`Announcer::next`] has something again.
    pub(crate) fn next_wake(&self, pacer: &Pacer) -> Option<Moment> {
        if self.queues.iter().any(|queue| !queue.is_empty()) {
            return Some(pacer.ready());
        }
        self.timers.peek().map(|Reverse((at, ..))| *at)
    }

    fn queue_due(&mut self, now: Moment) {
        while let Some(&Reverse((at, address, id))) = self.timers.peek() {
            if at > now {
                return;
            }
            self.timers.pop();
            if let Some(schedule) = self.schedules.get(&address)
                && schedule.id == id
            {
                let queue =
                    if usize::from(schedule.done) <= STEPS.len() { queue::REPEAT } else { queue::REFRESH };
                self.queues[queue].push_back(Waiting { address, id, what: What::Step });
            }
        }
    }

    /// This frame is sent: notes what comes after it.
    fn advance(&mut self, waiting: Waiting, now: Moment) -> Form {
        let Waiting { address, id, what } = waiting;
        if what == What::Reply {
            return Form::Reply;
        }
        if address.is_ipv4() {
            self.queues[queue::REPLY].push_back(Waiting { what: What::Reply, ..waiting });
        }
        let Some(schedule) = self.schedules.get_mut(&address) else { return Form::First };
        if what == What::Extra {
            schedule.extra = false;
            return Form::First;
        }
        let refresh = || REFRESH + REFRESH_SPREAD.mul_f64(self.random.f64());
        let after = STEPS.get(usize::from(schedule.done)).copied().unwrap_or_else(refresh);
        schedule.done = schedule.done.saturating_add(1);
        self.timers.push(Reverse((now + after, address, id)));
        Form::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u16) -> IpAddr {
        let [high, low] = last.to_be_bytes();
        IpAddr::from([198, 51, high, low])
    }

    fn at(millis: u64) -> Moment {
        Moment(Duration::from_secs(100) + Duration::from_millis(millis))
    }

    /// What is sent until then, with the milliseconds since the start.
    fn run(announcer: &mut Announcer, pacer: &mut Pacer, until: u64) -> Vec<(u128, IpAddr, Form)> {
        let mut sent = Vec::new();
        let mut now = at(0);
        while now < at(until) {
            while let Some((address, form)) = announcer.next(now, pacer) {
                sent.push((now.since(at(0)).as_millis(), address, form));
            }
            let Some(next) = announcer.next_wake(pacer) else { break };
            now = now.max(next);
        }
        sent
    }

    #[test]
    fn an_address_is_announced_five_times_and_then_refreshed() {
        let mut announcer = Announcer::new(1);
        announcer.begin(address(1));
        let sent = run(&mut announcer, &mut Pacer::new(10_000), 200_000);
        let times: Vec<_> = sent.iter().filter(|it| it.2 == Form::First).map(|it| it.0).collect();
        assert_eq!(times[..5], [0, 200, 1100, 2200, 4400]);
        let refreshes: Vec<_> = times[4..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(refreshes.len() >= 3 && refreshes.iter().all(|gap| (30_000..=60_001).contains(gap)));
        let replies: Vec<_> = sent.iter().filter(|it| it.2 == Form::Reply).map(|it| it.0).collect();
        assert_eq!(replies, times);
    }

    #[test]
    fn ipv6_has_no_reply() {
        let mut announcer = Announcer::new(1);
        announcer.begin("2001:db8::1".parse().unwrap());
        let sent = run(&mut announcer, &mut Pacer::new(10_000), 5_000);
        assert_eq!(sent.len(), 5);
        assert!(sent.iter().all(|it| it.2 == Form::First));
    }

    #[test]
    fn of_many_each_is_announced_once_before_any_is_again() {
        let mut announcer = Announcer::new(1);
        for last in 0..2_000 {
            announcer.begin(address(last));
        }
        let sent = run(&mut announcer, &mut Pacer::new(10_000), 6_000);
        let first = sent.iter().take(2_000);
        assert!(first.clone().all(|it| it.2 == Form::First));
        assert!(first.map(|it| it.1).eq((0..2_000).map(address)));
        assert!(sent[1_999].0 <= 200, "{:?}", sent[1_999]);
        // Those that were announced 200 ms ago are due again by then, and wait.
        assert!(sent[2_000..4_000].iter().all(|it| it.2 == Form::Reply));
        assert_eq!(sent.len(), 2_000 * 10);
    }

    #[test]
    fn what_is_lost_is_announced_no_more_and_what_is_claimed_again_from_the_start() {
        let mut announcer = Announcer::new(1);
        let mut pacer = Pacer::new(10_000);
        announcer.begin(address(1));
        announcer.begin(address(2));
        announcer.end(address(1));
        announcer.begin(address(2));
        let sent = run(&mut announcer, &mut pacer, 250);
        assert_eq!(sent.len(), 4);
        assert!(sent.iter().all(|it| it.1 == address(2)));
        announcer.end(address(2));
        assert!(run(&mut announcer, &mut pacer, 100_000).is_empty());
        assert!(announcer.timers.is_empty());
    }

    #[test]
    fn an_announcement_out_of_turn_changes_no_schedule() {
        let mut announcer = Announcer::new(1);
        let mut pacer = Pacer::new(10_000);
        announcer.begin(address(1));
        // What is not announced yet will be.
        announcer.repeat(address(1));
        assert_eq!(run(&mut announcer, &mut pacer, 100).len(), 2);
        for _ in 0..3 {
            announcer.repeat(address(1));
        }
        announcer.repeat(address(9));
        let sent = run(&mut announcer, &mut pacer, 5_000);
        let times: Vec<_> = sent.iter().filter(|it| it.2 == Form::First).map(|it| it.0).collect();
        assert_eq!(times, [0, 200, 1100, 2200, 4400]);
    }
}
