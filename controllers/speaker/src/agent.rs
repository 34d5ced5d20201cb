//! From what the API server says to what is wanted on each interface, and back: what became of it.
//!
//! One task hears the watches, the interfaces and what happens on them, and changes [`Intent`] and [`Claims`], which are
//! pure. What it sends to the API server is under way beside it: nobody on the network waits for that.

mod caches;
mod cluster;

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fairlead_layer2::Moment;
use fairlead_machinery::admin::Checks;
use fairlead_machinery::clock::Clock;
use fairlead_machinery::complaints::Complaints;
use fairlead_machinery::informer::Change;
use fairlead_machinery::metrics::Informers;
use fairlead_machinery::write::{RateLimit, WriteError, WriteFailure, Writer};
use fairlead_objects::Istr;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use kube::Client;
use prometheus::Registry;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use self::cluster::cluster;

use self::caches::{Fact, watch_objects};

use crate::eligibility::Policy;
use crate::intent::Intent;
use crate::links::{Link, News, Order, Report};
use crate::presence::{self, Fleet, Shell, Statement};
use crate::slices::Watches;
use crate::status::{Claims, Outcome, Pending, StatusWriter, Teller};

/// Writes of statuses: a failed node's addresses are many, and the API server serves others, too.
const STATUS_PACE: RateLimit = RateLimit { qps: 50.0, burst: 25 };
/// As many at a time.
const STATUS_IN_FLIGHT: usize = 8;
/// Statuses of addresses that were taken over are spread over this time: each of the other nodes has some to write.
const TAKE_OVER_SPREAD: Duration = Duration::from_secs(1);
/// So long whoever takes an address over has to say so before this node says that nobody answers.
const SILENCE: Duration = Duration::from_secs(3);
/// How often it is looked whether the statuses are right, and, while nobody is heard, which speakers run.
const LOOK: Duration = Duration::from_mins(1);
/// For how long it is looked whether the Node of a speaker is deleted that is not heard any more: as long as others remember it.
const LOST_FOR: Duration = Duration::from_mins(10);
/// Between two looks which speakers run, where somebody is to be told by name who is not known.
const RELIST: Duration = Duration::from_secs(2);
/// After a failure the Lease is written again after this time.
const RENEWAL_RETRY: Duration = Duration::from_secs(5);
/// An interface that changes often changes more: the Lease is written when it was quiet for so long.
const RESTATE: Duration = Duration::from_millis(500);
/// How long the last write may take.
const LAST_WRITE: Duration = Duration::from_secs(2);
/// What flags decide, already validated.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `--node-name`: the Node that this process runs on.
    pub node: String,
    /// `--namespace`: where the presence of this speaker is told.
    pub namespace: String,
    /// `--weight`: how much of the load this node takes, 100 being normal.
    pub weight: u16,
    /// `--ignore-exclude-lb`: the label node.kubernetes.io/exclude-from-external-load-balancers has no effect.
    pub ignore_exclude_lb: bool,
    /// `--respect-cordon`: a cordoned node answers only if nobody else can.
    pub respect_cordon: bool,
}

/// What connects the agent with the wires.
pub struct Ends {
    /// The interfaces that there are.
    pub links: watch::Receiver<Vec<Link>>,
    /// What is wanted on them.
    pub orders: mpsc::UnboundedSender<Order>,
    /// What happened on them.
    pub reports: mpsc::UnboundedReceiver<Report>,
}

/// Where it is seen how the agent does.
pub struct Shown<'a> {
    /// Readiness.
    pub checks: &'a Checks,
    /// Metrics.
    pub registry: &'a Registry,
}

/// What was under way has ended.
enum Done {
    Status(IpAddr, Outcome),
    Stated(Result<(), WriteError>),
    Fleet(Result<Fleet, WriteError>),
}

/// Works until `stop`, which is to come after the wires have handed over what they had: then the presence of this speaker
/// is taken back.
pub async fn run(
    settings: Settings,
    client: Client,
    writer: Writer,
    ends: Ends,
    shown: Shown<'_>,
    stop: CancellationToken,
) {
    let metrics = Informers::new(shown.registry);
    let (facts, heard) = mpsc::unbounded_channel();
    let watches_stop = CancellationToken::new();
    watch_objects(&settings.node, &client, &metrics, &shown, &facts, &watches_stop);
    let (slice_news, mut slices) = mpsc::unbounded_channel();
    let watches = Watches::new(client.clone(), metrics, slice_news, watches_stop.clone());
    tokio::spawn(async move {
        while let Some(news) = slices.recv().await {
            if facts.send(Fact::Slices(news)).is_err() {
                return;
            }
        }
    });
    let statuses = Writer::new(client, writer.permit().clone(), Some(STATUS_PACE));
    let policy =
        Policy { ignore_exclude_lb: settings.ignore_exclude_lb, respect_cordon: settings.respect_cordon };
    let statement = Statement {
        node: settings.node.as_str().into(),
        node_uid: None,
        namespace: settings.namespace.as_str().into(),
    };
    let now = Instant::now();
    let agent = Agent {
        intent: Intent::new(&settings.node, settings.weight, policy),
        claims: Claims::default(),
        watches,
        orders: ends.orders,
        pending: Pending::default(),
        failures: HashMap::new(),
        fleet: Fleet::default(),
        peers: BTreeMap::new(),
        presence: Shell { statement, writer },
        statuses: StatusWriter::new(statuses),
        stated: Vec::new(),
        state_at: None,
        list_at: Some(now),
        listed_at: None,
        asks_who: false,
        lost_at: None,
        look_at: now + LOOK,
        expire_at: None,
        clock: Clock::boot(),
        complaints: Complaints::default(),
        under_way: FuturesUnordered::new(),
        statuses_under_way: 0,
        node: settings.node.as_str().into(),
    };
    agent.work(heard, ends.links, ends.reports, &stop).await;
    watches_stop.cancel();
}

struct Agent {
    node: Arc<str>,
    intent: Intent,
    claims: Claims,
    watches: Watches,
    orders: mpsc::UnboundedSender<Order>,
    pending: Pending,
    /// How often in a row the status of an address could not be written.
    failures: HashMap<IpAddr, u32>,
    fleet: Fleet,
    /// How many speakers are heard on each interface.
    peers: BTreeMap<u32, usize>,
    presence: Shell,
    statuses: StatusWriter,
    /// The interfaces as they are.
    stated: Vec<Link>,
    /// When the Lease is to be written; none while it is being written, and before the Node is known that it belongs to.
    state_at: Option<Instant>,
    /// When the Leases of all are to be read; none while they are being read.
    list_at: Option<Instant>,
    listed_at: Option<Instant>,
    /// Is somebody to be told by name who is not known yet?
    asks_who: bool,
    /// When fewer speakers than before were heard last.
    lost_at: Option<Instant>,
    look_at: Instant,
    /// When the grace of an address whose object is gone ends.
    expire_at: Option<Instant>,
    clock: Clock,
    complaints: Complaints,
    under_way: FuturesUnordered<BoxFuture<'static, Done>>,
    statuses_under_way: usize,
}

impl Agent {
    async fn work(
        mut self,
        mut facts: mpsc::UnboundedReceiver<Fact>,
        mut links: watch::Receiver<Vec<Link>>,
        mut reports: mpsc::UnboundedReceiver<Report>,
        stop: &CancellationToken,
    ) {
        let now_there = links.borrow_and_update().clone();
        self.take_links(now_there);
        loop {
            self.flush();
            let next = self.next_deadline();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(report) = reports.recv() => {
                    self.take_report(&report);
                    // A claim that was probed is told twice at once: as probed and as owned.
                    while let Ok(report) = reports.try_recv() {
                        self.take_report(&report);
                    }
                }
                Ok(()) = links.changed() => {
                    let now_there = links.borrow_and_update().clone();
                    self.take_links(now_there);
                }
                Some(fact) = facts.recv() => {
                    self.take_fact(fact);
                    while let Ok(fact) = facts.try_recv() {
                        self.take_fact(fact);
                    }
                }
                Some(done) = self.under_way.next(), if !self.under_way.is_empty() => self.take_done(done),
                () = until(next) => {}
            }
        }
        while let Ok(report) = reports.try_recv() {
            self.take_report(&report);
        }
        let end = async {
            self.presence.release().await;
            self.say_that_nobody_answers().await;
        };
        if tokio::time::timeout(LAST_WRITE, end).await.is_err() {
            warn!("the API server did not answer the last writes in time");
        }
    }

    fn moment(&self) -> Moment {
        Moment(self.clock.now())
    }

    fn take_fact(&mut self, fact: Fact) {
        match fact {
            Fact::Address(Change { new: Some(object), .. }) => {
                self.intent.put_address(&object);
                self.look_again(object.address);
            }
            Fact::Address(Change { old: Some(object), new: None }) => {
                self.intent.remove_address(&object, self.moment());
            }
            Fact::Address(Change { old: None, new: None }) => {}
            Fact::Node(node) => {
                if self.presence.statement.node_uid.replace(node.uid.clone()).is_none() {
                    self.state_at = Some(Instant::now());
                }
                self.intent.put_node(&node);
            }
            Fact::Slices(news) => {
                for (service, nodes) in self.watches.hear(&news) {
                    self.intent.put_endpoints(&service, nodes);
                }
            }
        }
    }

    fn take_links(&mut self, links: Vec<Link>) {
        for link in &self.stated {
            let index = link.facts.index;
            if !links.iter().any(|it| it.facts.index == index) {
                self.peers.remove(&index);
                for address in self.claims.lose_link(index) {
                    self.pending.add(address, Instant::now(), SILENCE);
                }
            }
        }
        if presence::stated(&links) != presence::stated(&self.stated) {
            // Written at once if it is being written now.
            self.state_at = self.state_at.map(|at| at.min(Instant::now() + RESTATE));
        }
        self.intent.put_links(&links);
        self.stated = links;
        self.list_segments();
    }

    fn take_report(&mut self, Report { link, news }: &Report) {
        if let News::Heard { peers } = news {
            let before = self.peers.insert(*link, *peers);
            if before.is_some_and(|before| before > *peers) {
                self.lost_at = Some(Instant::now());
            }
            return;
        }
        let is_unknown = match news {
            // One of ours that is new is no stranger.
            News::Conflict { node: None, mac, .. } => !self.fleet.by_mac.contains_key(mac),
            News::Conflict { node: Some(node), .. } => !self.fleet.names.contains_key(node),
            _ => false,
        };
        if is_unknown {
            let earliest = self.listed_at.map_or_else(Instant::now, |at| at + RELIST);
            self.list_at = self.list_at.map(|at| at.min(earliest));
            self.asks_who = true;
        }
        let Some(address) = self.claims.hear(*link, news) else { return };
        debug!(%address, link, ?news, "heard");
        let delay = match news {
            News::Owned { outage: Some(_), .. } => TAKE_OVER_SPREAD.mul_f64(fastrand::f64()),
            News::Lost { .. } => SILENCE + TAKE_OVER_SPREAD.mul_f64(fastrand::f64()),
            _ if is_unknown => RELIST,
            _ => Duration::ZERO,
        };
        self.pending.add(address, Instant::now(), delay);
    }

    fn take_done(&mut self, done: Done) {
        match done {
            Done::Status(address, outcome) => {
                self.statuses_under_way -= 1;
                self.pending.done(address);
                self.take_outcome(address, outcome);
            }
            Done::Stated(outcome) => {
                let pause = match outcome {
                    Ok(()) => presence::RENEWAL.mul_f64(0.9 + fastrand::f64() / 5.0),
                    Err(error) => {
                        self.complain(&error, "could not say that this speaker runs");
                        RENEWAL_RETRY
                    }
                };
                self.state_at = Some(Instant::now() + pause);
            }
            Done::Fleet(outcome) => {
                let now = Instant::now();
                self.listed_at = Some(now);
                self.list_at = Some(now + LOOK);
                match outcome {
                    Ok(fleet) => {
                        let fleet = fleet.after(&self.fleet, Timestamp::now());
                        self.intent.put_deleted(fleet.deleted());
                        let macs = (fleet.by_mac != self.fleet.by_mac).then(|| fleet.by_mac.clone());
                        self.fleet = fleet;
                        self.list_segments();
                        self.send(macs.map(Order::Fleet));
                        self.look_at_all();
                    }
                    Err(error) => self.complain(&error, "could not see which speakers run"),
                }
            }
        }
    }

    fn take_outcome(&mut self, address: IpAddr, outcome: Outcome) {
        match outcome {
            Outcome::Written(object) => {
                self.failures.remove(&address);
                self.intent.put_answer(object);
                self.look_again(address);
            }
            Outcome::Changed(object) => {
                self.intent.put_answer(object);
                self.look_again(address);
            }
            Outcome::Gone => {
                self.failures.remove(&address);
            }
            Outcome::Failed(WriteError { kind: WriteFailure::NotPermitted, .. }) => {}
            Outcome::Failed(error) => {
                let failures = self.failures.entry(address).or_default();
                let pause = match error.kind {
                    WriteFailure::Throttled(pause) => pause,
                    _ => Duration::from_secs(1 << (*failures).min(5)),
                };
                *failures += 1;
                self.pending.add(address, Instant::now(), pause);
                self.complain(&error, "could not write who answers for an address; trying again");
            }
        }
    }

    fn complain(&self, error: &WriteError, what: &str) {
        if let Some(more) = self.complaints.tell(error.kind.cause(), Instant::now()) {
            warn!(%error, more, "{what}");
        } else {
            debug!(%error, "{what}");
        }
    }

    /// Looks at the status of an address if there is something to tell of it.
    fn look_again(&mut self, address: IpAddr) {
        let Some(claim) = self.claims.get(address) else { return };
        // Whoever answers now may not have said so yet.
        let delay = if claim.fell_silent() { SILENCE } else { Duration::ZERO };
        self.pending.add(address, Instant::now(), delay);
    }

    /// Looks at the status of all addresses that there is something to tell of.
    fn look_at_all(&mut self) {
        let addresses: Vec<IpAddr> = self.claims.addresses().collect();
        for address in addresses {
            self.look_again(address);
        }
    }

    /// Tells who is on the segment of each interface as the API server lists them.
    fn list_segments(&mut self) {
        for link in &self.stated {
            self.intent.put_listed(link.facts.index, self.fleet.beside(link, &self.node));
        }
    }

    /// Is somebody not heard who is listed, or nobody at all, or was somebody heard until lately?
    fn misses_somebody(&self) -> bool {
        let lately = |at: Instant| at.elapsed() < LOST_FOR;
        self.lost_at.is_some_and(lately)
            || self.stated.iter().filter(|link| link.facts.running).any(|link| {
                let heard = self.peers.get(&link.facts.index).copied().unwrap_or_default();
                heard == 0 || heard < self.fleet.beside(link, &self.node).len()
            })
    }

    fn send(&self, orders: impl IntoIterator<Item = Order>) {
        for order in orders {
            if self.orders.send(order).is_err() {
                debug!("the wires have ended");
            }
        }
    }

    /// Sends what follows from what was heard, and what is due.
    fn flush(&mut self) {
        let now = Instant::now();
        let moment = self.moment();
        self.expire_at = self.intent.pass_time(moment).map(|at| now + at.since(moment));
        for (service, nodes) in self.watches.want(self.intent.take_services()) {
            self.intent.put_endpoints(&service, nodes);
        }
        let orders = self.intent.take_orders();
        self.send(orders);
        if now >= self.look_at {
            self.look_at = now + LOOK;
            self.look_at_all();
        }
        if self.state_at.is_some_and(|at| at <= now) {
            self.state_at = None;
            let (shell, interfaces) = (self.presence.clone(), presence::stated(&self.stated));
            self.under_way.push(Box::pin(async move { Done::Stated(shell.state(&interfaces).await) }));
        }
        if self.list_at.is_some_and(|at| at <= now) {
            if std::mem::take(&mut self.asks_who) || self.listed_at.is_none() || self.misses_somebody() {
                self.list_at = None;
                let shell = self.presence.clone();
                self.under_way.push(Box::pin(async move { Done::Fleet(shell.fleet().await) }));
            } else {
                self.list_at = Some(now + LOOK);
            }
        }
        self.write_statuses(now);
    }

    fn write_statuses(&mut self, now: Instant) {
        while self.statuses_under_way < STATUS_IN_FLIGHT {
            let Some(address) = self.pending.take(now) else { return };
            let Some((name, patch)) = self.plan(address) else {
                self.pending.done(address);
                continue;
            };
            let statuses = self.statuses.clone();
            self.statuses_under_way += 1;
            self.under_way
                .push(Box::pin(async move { Done::Status(address, statuses.write(&name, &patch).await) }));
        }
    }

    /// What is to be written about an address. What there is nothing to tell of any more is forgotten.
    fn plan(&mut self, address: IpAddr) -> Option<(Istr, serde_json::Value)> {
        let claim = self.claims.get(address)?;
        let planned = self.intent.object(address).and_then(|object| {
            let links: BTreeMap<u32, &Link> = self.stated.iter().map(|it| (it.facts.index, it)).collect();
            let why = links.keys().find_map(|link| self.intent.why_not(address, *link));
            let names = &self.fleet.names;
            let teller = Teller { node: &self.node, links: &links, names, now: Timestamp::now() };
            Some((object.key.name.clone(), teller.plan(object, claim, why.as_ref())?))
        });
        if planned.is_none() {
            self.claims.forget(address);
        }
        planned
    }

    fn next_deadline(&self) -> Option<Instant> {
        let status = self.pending.next().filter(|_| self.statuses_under_way < STATUS_IN_FLIGHT);
        [Some(self.look_at), self.state_at, self.list_at, self.expire_at, status].into_iter().flatten().min()
    }

    /// At the end: what this node answered for, where nobody was heard who could take it.
    async fn say_that_nobody_answers(&mut self) {
        if self.peers.values().any(|peers| *peers > 0) {
            return;
        }
        let addresses: Vec<IpAddr> = self.claims.addresses().collect();
        let patches: Vec<_> = addresses.into_iter().filter_map(|address| self.plan(address)).collect();
        if !patches.is_empty() {
            info!(addresses = patches.len(), "nobody takes over what this node answered for");
        }
        let statuses = &self.statuses;
        let write =
            |(name, patch): (Istr, serde_json::Value)| async move { statuses.write(&name, &patch).await };
        futures::stream::iter(patches)
            .map(write)
            .buffer_unordered(STATUS_IN_FLIGHT)
            .for_each(|_| async {})
            .await;
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
