//! One interface: a thread that reads its frames, runs its [`Segment`] and sends what that says.
//!
//! Everything between a request and its answer happens on this thread. It shares nothing and waits for nobody: the rest of
//! the process may be as busy as it likes.

mod news;
mod sockets;

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{self, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fairlead_layer2::beacon::keys::KeyRing;
use fairlead_layer2::ethernet::ether_type;
use fairlead_layer2::segment::{
    Clock, Generation, LostCause, Outgoing, OutgoingKind, Report as Reported, ReportKind, Segment, Settings,
    Socket, Surroundings,
};
use fairlead_layer2::{LinkFacts, Moment, Standing, Wanted};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{ClockId, Timespec, clock_gettime};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::alarm::Alarm;
use crate::links::{News, Report};
use crate::metrics::{LinkMetrics, Metrics};
use crate::netlink::Kernel;
use crate::socket::{Groups, NOTHING, PacketSocket, SocketError};
use crate::waker::Waker;
use news::news_of;
use sockets::{Batches, Ready, Sockets};

/// The longest time without a look at the clock, whatever the segment says.
const LONGEST_SLEEP: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
/// How many batches of beacons are read in one go: more than 256 participants send at a time.
const BEACON_BATCHES: usize = 16;

/// What a wire is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// The interface changed.
    Link(LinkFacts),
    /// What is around it changed.
    Surroundings(Surroundings),
    /// The keys changed.
    Keys(KeyRing),
    /// What the API says about this node changed.
    Standing(Standing),
    /// What is known about addresses changed.
    Want(Vec<(IpAddr, Option<Arc<Wanted>>)>),
    /// Hand over everything within this time, and end.
    Drain(Duration),
    /// End at once.
    Stop,
}

/// The handle on the thread of an interface.
pub(crate) struct Wire {
    commands: mpsc::Sender<Command>,
    waker: Arc<Waker>,
    drained: watch::Receiver<bool>,
    thread: JoinHandle<()>,
}

/// Whom a wire reports to.
#[derive(Clone)]
pub(crate) struct Listeners {
    pub(crate) reports: UnboundedSender<Report>,
    pub(crate) metrics: Metrics,
    /// Is told when a thread panicked, with its name.
    pub(crate) failures: Arc<watch::Sender<Option<String>>>,
    /// Is rung when an interface seems to be gone.
    pub(crate) rescan: Arc<Waker>,
}

impl Wire {
    /// Opens the sockets of an interface, in the network namespace of this thread, and starts its own.
    pub(crate) fn start(
        settings: &Settings,
        link: LinkFacts,
        listeners: Listeners,
    ) -> Result<Self, SocketError> {
        let sockets = Sockets::open(&link)?;
        let kernel = Kernel::new().map_err(|error| SocketError::new("opening a netlink socket", error))?;
        let failed = |error: io::Error| SocketError::new("starting a thread for the interface", error);
        let waker = Arc::new(Waker::new().map_err(failed)?);
        let alarm = Alarm::new().map_err(failed)?;
        let (commands, orders) = mpsc::channel();
        let (done, drained) = watch::channel(false);
        let name = link.name.clone();
        let runner = Runner {
            segment: Segment::new(settings, link.clone(), now()),
            metrics: LinkMetrics::new(&listeners.metrics, &link.name),
            groups: Groups::new(link.index),
            peers: 0,
            generation: None,
            period: settings.period,
            received_at: Moment::default(),
            batches: Batches::default(),
            waker: Arc::clone(&waker),
            alarm,
            draining: false,
            link,
            sockets,
            kernel,
            orders,
            done,
            listeners,
        };
        let thread = thread::Builder::new()
            // The kernel keeps 15 bytes of it.
            .name(format!("wire {name}"))
            .spawn(move || runner.run())
            .map_err(failed)?;
        Ok(Self { commands, waker, drained, thread })
    }

    /// Tells it something. A wire that has ended hears nothing.
    pub(crate) fn tell(&self, command: Command) {
        if self.commands.send(command).is_ok() {
            self.waker.wake();
        }
    }

    /// Whether it has ended, so that another one may take its place.
    pub(crate) fn has_ended(&self) -> bool {
        *self.drained.borrow() || self.thread.is_finished()
    }

    /// Turns true when all is handed over; closed when the thread ends.
    pub(crate) fn drained(&self) -> watch::Receiver<bool> {
        self.drained.clone()
    }

    /// Waits for the thread, which was told to end.
    pub(crate) fn join(self) {
        // A panic is known from the listeners.
        let _ = self.thread.join();
    }
}

/// What runs on the thread.
struct Runner {
    link: LinkFacts,
    segment: Segment,
    sockets: Sockets,
    groups: Groups,
    /// That of the filters and groups that are in force.
    generation: Option<Generation>,
    kernel: Kernel,
    period: Duration,
    /// When the interface was last asked how many frames it has received.
    received_at: Moment,
    batches: Batches,
    orders: mpsc::Receiver<Command>,
    waker: Arc<Waker>,
    alarm: Alarm,
    metrics: LinkMetrics,
    /// How many other speakers were heard when it was told last.
    peers: usize,
    listeners: Listeners,
    draining: bool,
    done: watch::Sender<bool>,
}

/// Why a thread ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stopped,
    Drained,
    /// The sockets belong to no interface any more.
    Gone,
}

/// Tells of a panic when it is dropped by one.
struct Bell(Arc<watch::Sender<Option<String>>>, String);

impl Drop for Bell {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.send_replace(Some(format!("the thread of the interface {} panicked", self.1)));
        }
    }
}

impl Runner {
    fn run(mut self) {
        let _bell = Bell(Arc::clone(&self.listeners.failures), self.link.name.to_string());
        info!(interface = %self.link.name, index = self.link.index, mac = %self.link.mac, "answering on an interface begins");
        let end = loop {
            let ready = self.sleep();
            if let Some(end) = self.wake(ready) {
                break end;
            }
        };
        self.report();
        if end != End::Drained {
            self.lose_all();
        }
        info!(interface = %self.link.name, index = self.link.index, ?end, "answering on an interface ends");
        let Self { metrics, done, listeners, .. } = self;
        // Whoever follows on this interface has series of the same names.
        drop(metrics);
        done.send_replace(true);
        if end == End::Gone {
            listeners.rescan.wake();
        }
    }

    /// Waits for a frame, a command or the segment's next wake-up.
    fn sleep(&mut self) -> Ready {
        self.alarm.no_later_than(self.segment.next_wake());
        let sockets = self.sockets.iter().map(|(_, socket)| socket.as_fd());
        let descriptors = [self.alarm.as_fd(), self.waker.as_fd()].into_iter().chain(sockets);
        let mut descriptors: Vec<_> =
            descriptors.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN)).collect();
        // Interrupted is as good as woken by everything.
        let ready = match poll(&mut descriptors, Some(&LONGEST_SLEEP)) {
            Ok(_) => Ready::of(descriptors.iter().map(|descriptor| !descriptor.revents().is_empty())),
            Err(_) => Ready::EVERYTHING,
        };
        if ready.alarm() {
            self.alarm.went_off();
        }
        ready
    }

    /// A wake-up. The order is a part of the protocol: the clock is read before the sockets are, the requests before the
    /// beacons, so that whatever others claimed before a request was read is known when it is answered; and answers are
    /// given only by a clock that was read after everything else was done.
    fn wake(&mut self, ready: Ready) -> Option<End> {
        if ready.waker()
            && let Some(end) = self.obey()
        {
            return Some(end);
        }
        let clock = now();
        if !self.read(ready) {
            return Some(End::Gone);
        }
        self.count_received(clock.boot);
        let received = self.batches.received(clock);
        self.segment.wake(clock, &received);
        // What is asked after a claim has to be heard.
        self.follow_filters();
        let sending = now();
        let all = send(&self.sockets.beacons, self.segment.outgoing());
        self.segment.sent(all, sending);
        let answers = self.segment.answers(now());
        send(&self.sockets.beacons, answers);
        self.follow_filters();
        self.report();
        (self.draining && self.segment.is_drained()).then_some(End::Drained)
    }

    /// Follows the commands that came.
    fn obey(&mut self) -> Option<End> {
        if !self.waker.was_woken() {
            return None;
        }
        loop {
            match self.orders.try_recv() {
                Ok(Command::Link(link)) => self.set_link(link),
                Ok(Command::Surroundings(surroundings)) => self.segment.set_surroundings(surroundings),
                Ok(Command::Keys(keys)) => self.segment.set_keys(keys),
                Ok(Command::Standing(standing)) => self.segment.set_standing(standing),
                Ok(Command::Want(changes)) => {
                    for (address, wanted) in changes {
                        self.segment.want(address, wanted);
                    }
                }
                Ok(Command::Drain(limit)) => {
                    self.draining = true;
                    self.segment.drain(limit);
                }
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return Some(End::Stopped),
                Err(TryRecvError::Empty) => return None,
            }
        }
    }

    fn set_link(&mut self, link: LinkFacts) {
        if link.name != self.link.name {
            info!(interface = %link.name, before = %self.link.name, "an interface was renamed");
            self.metrics.rename(&link.name);
        }
        if link.mac != self.link.mac {
            info!(interface = %link.name, mac = %link.mac, before = %self.link.mac, "the MAC address of an interface changed");
        }
        if link.running != self.link.running {
            info!(interface = %link.name, "an interface {}", if link.running { "runs again" } else { "is down or has no carrier" });
        }
        if link.link_local().is_some() != self.link.link_local().is_some() {
            // The kernel forgets the groups of an interface whose IPv6 is switched off.
            self.groups.clear();
            self.generation = None;
            if let Err(error) = self.set_ipv4(&link) {
                warn!(interface = %link.name, %error, "the beacons' form for interfaces without IPv6 is not received");
            }
        }
        self.segment.set_link(link.clone());
        self.link = link;
    }

    fn set_ipv4(&mut self, link: &LinkFacts) -> Result<(), SocketError> {
        self.sockets.ipv4 = if link.link_local().is_none() {
            Some(PacketSocket::open(link.index, ether_type::IPV4, &NOTHING)?)
        } else {
            None
        };
        Ok(())
    }

    /// Brings filters and groups up to what the segment wants to hear.
    fn follow_filters(&mut self) {
        let generation = self.segment.generation();
        let before = self.generation.replace(generation);
        if before == Some(generation) {
            return;
        }
        for (kind, socket) in self.sockets.iter() {
            if let Err(error) = socket.set_filter(&self.segment.filter(kind)) {
                warn!(interface = %self.link.name, ?kind, %error, "requests for new addresses may not be heard");
            }
        }
        if before.map(Generation::of_groups) != Some(generation.of_groups())
            && let Err(error) = self.groups.set(&self.segment.groups())
            && !error.is_link_down()
        {
            warn!(interface = %self.link.name, %error, "requests for some IPv6 addresses may not be heard");
        }
    }

    /// Reads what has arrived: one batch of requests of each kind, and all beacons, also those that came while requests were
    /// read. Returns false if the sockets are dead.
    fn read(&mut self, ready: Ready) -> bool {
        self.batches.clear();
        for (at, (kind, socket)) in self.sockets.iter().enumerate() {
            if kind != Socket::Beacons && !ready.socket(at) {
                continue;
            }
            let most = if kind == Socket::Beacons { BEACON_BATCHES } else { 1 };
            for _ in 0..most {
                let mut batch = self.batches.spare.pop().unwrap_or_default();
                if let Err(error) = socket.receive(&mut batch) {
                    batch.clear();
                    if !socket.is_bound() {
                        return false;
                    }
                    debug!(interface = %self.link.name, ?kind, %error, "nothing is received");
                }
                let more = batch.is_full();
                self.batches.filled.push((kind, batch));
                if !more {
                    break;
                }
            }
        }
        true
    }

    /// Tells the segment how much the interface has received, once a period.
    fn count_received(&mut self, now: Moment) {
        if now.since(self.received_at) < self.period {
            return;
        }
        self.received_at = now;
        match self.kernel.frames_received(self.link.index) {
            Ok(total) => self.segment.set_frames_received(total),
            Err(error) => {
                debug!(interface = %self.link.name, %error, "the kernel does not say how much was received");
            }
        }
    }

    fn report(&mut self) {
        for report in self.segment.take_reports() {
            self.tell(report);
        }
        let peers = self.segment.peers();
        if std::mem::replace(&mut self.peers, peers) != peers {
            let heard = Report { link: self.link.index, news: News::Heard { peers } };
            // Nobody listens any more only at the very end.
            let _ = self.listeners.reports.send(heard);
        }
        self.metrics.count(self.segment.counters());
    }

    /// Whoever ends without having handed over answers for nothing any more.
    fn lose_all(&mut self) {
        let owned: Vec<_> = self.segment.owned().collect();
        for (address, epoch) in owned {
            let kind = ReportKind::Lost { address, epoch, cause: LostCause::LinkDown };
            self.tell(Reported { link: self.link.index, kind });
        }
    }

    fn tell(&mut self, report: Reported) {
        self.metrics.note(&report);
        if let Some(report) = news_of(report, &self.link.name) {
            // Nobody listens any more only at the very end.
            let _ = self.listeners.reports.send(report);
        }
    }
}

/// Sends frames, and says whether the kernel took all beacons among them.
fn send(socket: &PacketSocket, outgoing: &[Outgoing]) -> bool {
    let frames: Vec<_> = outgoing.iter().map(Outgoing::frame).collect();
    let is_beacon = |outgoing: &Outgoing| outgoing.kind() == OutgoingKind::Beacon;
    let (mut at, mut all) = (0, true);
    while at < frames.len() {
        let Err((taken, error)) = socket.send(&frames[at..]) else { break };
        at += taken;
        if error.is_link_down() {
            return all && !outgoing[at..].iter().any(is_beacon);
        }
        debug!(%error, kind = ?outgoing[at].kind(), "a frame was not sent");
        all &= !is_beacon(&outgoing[at]);
        at += 1;
    }
    all
}

/// The clocks.
pub(crate) fn now() -> Clock {
    let duration = |clock| {
        let time = clock_gettime(clock);
        // Neither is before its beginning, and nanoseconds are less than a second.
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
    };
    let wall = duration(ClockId::Realtime).as_micros();
    Clock { boot: Moment(duration(ClockId::Boottime)), wall: u64::try_from(wall).unwrap_or(u64::MAX) }
}
