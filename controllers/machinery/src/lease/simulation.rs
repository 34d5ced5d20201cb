//! Several electors on one simulated API server: with delays, losses, late watches, suspended machines and clocks that
//! run at different rates, never do two lead at once; and when the trouble ends, one does.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use proptest::prelude::*;

use super::*;

/// Clocks run at most so many percent too fast or too slow: 10 s of the slowest are less than 15 s of the fastest.
const SKEW: u64 = 15;
/// How long trouble lasts, and how long it is then quiet, in milliseconds.
const TROUBLE: u64 = 120_000;
const QUIET: u64 = 60_000;

#[derive(Clone, Debug)]
struct World {
    seed: u64,
    electors: usize,
    /// Percent of requests and answers that get lost.
    loss: u64,
    /// Longest way of a request, an answer or an event, in milliseconds.
    delay: u64,
    /// Percent of steps after which a machine is suspended for a while.
    suspend: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Tick(usize),
    /// A request arrives at the API server.
    Arrives(usize, u64),
    /// Its answer arrives.
    Answered(usize, u64),
    /// A watch tells of this version.
    Told(usize, u64),
    /// A watch breaks.
    Blind(usize),
}

struct Process {
    elector: Elector,
    /// Per mille.
    rate: u64,
    suspended_until: u64,
    role: Role,
    tick: u64,
}

struct Simulation {
    world: World,
    rng: fastrand::Rng,
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    count: u64,
    processes: Vec<Process>,
    /// All states of the Lease; the version is the position.
    history: Vec<Option<Lease>>,
    /// Requests under way, with the local time before they were sent.
    requests: Vec<(Request, Duration)>,
    answers: Vec<Input>,
    terms: u64,
}

fn elector(identity: &str, spread: f64) -> Elector {
    let mut elector = Elector::new("n", "l", identity, Timing::default(), spread);
    elector.step(Duration::ZERO, wall(), Input::Ready);
    elector.step(Duration::ZERO, wall(), Input::Failed);
    elector
}

fn wall() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

impl Simulation {
    fn new(world: World) -> Self {
        let mut rng = fastrand::Rng::with_seed(world.seed);
        let processes = (0..world.electors)
            .map(|n| Process {
                elector: elector(&format!("process-{n}"), rng.f64()),
                rate: 1000 - 10 * SKEW + rng.u64(0..=20 * SKEW),
                suspended_until: 0,
                role: Role::Follower,
                tick: 0,
            })
            .collect();
        let mut simulation = Self {
            world,
            rng,
            now: 0,
            events: BinaryHeap::new(),
            count: 0,
            processes,
            history: vec![None],
            requests: Vec::new(),
            answers: Vec::new(),
            terms: 0,
        };
        for n in 0..simulation.processes.len() {
            simulation.after(0, Event::Tick(n));
        }
        simulation
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.count += 1;
        self.events.push(Reverse((self.now + delay, self.count, event)));
    }

    fn trouble(&self) -> bool {
        self.now < TROUBLE
    }

    fn way(&mut self) -> u64 {
        let longest = if self.trouble() { self.world.delay } else { 20 };
        self.rng.u64(0..=longest)
    }

    fn is_lost(&mut self) -> bool {
        self.trouble() && self.rng.u64(0..100) < self.world.loss
    }

    fn clock(&self, n: usize) -> Duration {
        Duration::from_millis(self.now * self.processes[n].rate / 1000)
    }

    fn leaders(&self) -> Vec<usize> {
        let leads = |n: &usize| matches!(self.processes[*n].role, Role::Leader { valid_until } if self.clock(*n) < valid_until);
        (0..self.processes.len()).filter(leads).collect()
    }

    fn seen(&self, version: usize) -> Option<Seen> {
        self.history[version].clone().map(Seen)
    }

    fn run(&mut self) -> Result<(), TestCaseError> {
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > TROUBLE + QUIET {
                break;
            }
            self.now = at;
            self.happen(event);
            prop_assert!(self.leaders().len() <= 1, "two lead at {} ms: {:?}", self.now, self.leaders());
        }
        self.now = TROUBLE + QUIET;
        prop_assert_eq!(self.leaders().len(), 1, "nobody leads after a minute of quiet");
        Ok(())
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick(n) if self.processes[n].suspended_until > self.now => {
                let rest = self.processes[n].suspended_until - self.now;
                self.after(rest, Event::Tick(n));
            }
            Event::Answered(n, _) | Event::Told(n, _) | Event::Blind(n)
                if self.processes[n].suspended_until > self.now =>
            {
                let rest = self.processes[n].suspended_until - self.now;
                self.after(rest, event);
            }
            Event::Tick(n) => {
                if self.processes[n].tick <= self.now {
                    self.step(n, Input::Tick);
                }
            }
            Event::Arrives(n, request) => self.serve(n, request),
            Event::Answered(n, answer) => {
                let answer = self.answers[index(answer)].clone();
                self.step(n, answer);
            }
            Event::Blind(n) => self.step(n, Input::Blind),
            Event::Told(n, version) => {
                let seen = self.seen(index(version));
                self.step(n, Input::Told(seen));
            }
        }
    }

    fn step(&mut self, n: usize, input: Input) {
        let clock = self.clock(n);
        let step = self.processes[n].elector.step(clock, wall(), input);
        if self.processes[n].role == Role::Follower && matches!(step.role, Role::Leader { .. }) {
            self.terms += 1;
        }
        self.processes[n].role = step.role;
        if step.role == Role::Ended {
            // The process exits and another one is started in its place.
            let name = format!("process-{n}-{}", self.now);
            let spread = self.rng.f64();
            self.processes[n].elector = elector(&name, spread);
            self.processes[n].role = Role::Follower;
            self.processes[n].tick = self.now + 1;
            self.after(1, Event::Tick(n));
            return;
        }
        if let Some(request) = step.request {
            self.requests.push((request, clock));
            let number = self.requests.len() as u64 - 1;
            if self.is_lost() {
                self.fail(n);
            } else {
                let way = self.way();
                self.after(way, Event::Arrives(n, number));
            }
        }
        let local =
            u64::try_from(step.wake.saturating_sub(clock).as_millis()).expect("simulations are short");
        let wait = local * 1000 / self.processes[n].rate + 1;
        self.processes[n].tick = self.now + wait;
        self.after(wait, Event::Tick(n));
        if self.trouble() && self.rng.u64(0..100) < self.world.suspend {
            self.processes[n].suspended_until = self.now + self.rng.u64(0..30_000);
        }
    }

    /// No answer: the process gives up after 5 s.
    fn fail(&mut self, n: usize) {
        self.answer(n, Input::Failed, 5000);
    }

    fn answer(&mut self, n: usize, answer: Input, delay: u64) {
        self.answers.push(answer);
        let number = self.answers.len() as u64 - 1;
        self.after(delay, Event::Answered(n, number));
    }

    fn serve(&mut self, n: usize, request: u64) {
        let (request, sent) = self.requests[index(request)].clone();
        let newest = self.history.len() - 1;
        let current = self.history[newest].clone();
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        let answer = match request {
            Request::Read => Input::Read(current.map(Seen)),
            Request::Create(lease) if current.is_none() => self.store(*lease, sent),
            Request::Replace(lease) if current.as_ref().is_some_and(|it| version(it) == version(&lease)) => {
                self.store(*lease, sent)
            }
            Request::Create(_) | Request::Replace(_) => Input::Conflict,
        };
        if self.is_lost() {
            self.fail(n);
        } else {
            let way = self.way();
            self.answer(n, answer, way);
        }
    }

    fn store(&mut self, mut lease: Lease, sent: Duration) -> Input {
        lease.metadata.resource_version = Some(self.history.len().to_string());
        self.history.push(Some(lease.clone()));
        let version = self.history.len() as u64 - 1;
        for n in 0..self.processes.len() {
            let way = self.way();
            let told = if self.is_lost() { Event::Blind(n) } else { Event::Told(n, version) };
            // Some watches break without being noticed.
            if !matches!(told, Event::Blind(_)) || self.rng.bool() {
                self.after(way, told);
            }
        }
        Input::Written { sent, seen: Seen(lease) }
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("simulations are short")
}

fn world() -> impl Strategy<Value = World> {
    (any::<u64>(), 2..6_usize, 0..60_u64, 0..8000_u64, 0..5_u64)
        .prop_map(|(seed, electors, loss, delay, suspend)| World { seed, electors, loss, delay, suspend })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_do_two_lead_and_when_the_trouble_ends_one_does(world in world()) {
        Simulation::new(world).run()?;
    }
}

#[test]
fn the_trouble_is_trouble() {
    let terms: u64 = (0..50)
        .map(|seed| {
            let mut simulation =
                Simulation::new(World { seed, electors: 3, loss: 40, delay: 4000, suspend: 3 });
            simulation.run().unwrap();
            simulation.terms
        })
        .sum();
    assert!(terms > 150, "{terms} terms in 50 worlds: hardly anybody ever lost the Lease");
}
