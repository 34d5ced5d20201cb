//! A segment of two or three nodes whose time goes in ticks, and what may happen on it.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use fairlead_layer2::beacon::Page;
use fairlead_layer2::ownership::{Election, Timing, Via};
use fairlead_layer2::{ClassId, Fitness, MacAddress, Moment, NodeId, Participant, Standing, Wanted};

use crate::scenario::{Action, Kind, Scenario, Violation};

/// The unit of time. T, Q, S, D and L are 2, 3, 4, 5 and 6 of them.
pub(crate) const TICK: Duration = Duration::from_millis(100);
const START: Duration = Duration::from_hours(1);
const WALL: u64 = 1_800_000_000_000_000;

#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a model")]
struct Node {
    election: Option<Election>,
    frozen: bool,
    paused: bool,
    /// For how many ticks its clock stood still.
    behind: u32,
    inbox: Vec<(Arc<Page>, Via)>,
    fit: bool,
    /// Whether all know of it.
    synced: bool,
}

#[derive(Clone)]
pub(crate) struct Segment {
    ticks: u32,
    nodes: Vec<Node>,
    /// cut[from][to]
    cut: [[bool; 3]; 3],
    started: u8,
    lost: u8,
    double: Vec<u8>,
    gap: Vec<u8>,
    /// Whether each address was answered for at the end of the last tick.
    answered: Vec<bool>,
}

impl Segment {
    /// Nodes that have settled, whose beacons have these phases.
    pub(crate) fn settled(scenario: &Scenario, phases: &[u32]) -> Self {
        let node = Node {
            election: None,
            frozen: false,
            paused: false,
            behind: 0,
            inbox: Vec::new(),
            fit: true,
            synced: true,
        };
        let mut segment = Self {
            ticks: 0,
            nodes: vec![node; scenario.nodes],
            cut: [[false; 3]; 3],
            started: 0,
            lost: 0,
            double: vec![0; scenario.addresses],
            gap: vec![0; scenario.addresses],
            answered: vec![false; scenario.addresses],
        };
        let order: Vec<usize> = (0..scenario.nodes).collect();
        for _ in 0..30 {
            for (index, phase) in phases.iter().enumerate() {
                if *phase == segment.ticks {
                    segment.boot(scenario, index);
                }
            }
            // While all start at once, two may be the first for a moment.
            let lenient = Scenario {
                double: 9,
                gap: u8::MAX,
                never_double: false,
                always_answered: false,
                ..scenario.clone()
            };
            segment.tick(&lenient, &order, None).expect("a start without faults");
        }
        segment
    }

    fn boot(&mut self, scenario: &Scenario, index: usize) {
        let timing = Timing {
            jitter: 0,
            question: 1500,
            repeat_question: 500,
            dead: 2500,
            fence: 2000,
            listen: 3000,
            listen_spread: 0,
            claim_repeats: vec![TICK],
            reply_spread: Duration::ZERO,
            reply_spacing: Duration::ZERO,
            rebalance: Duration::from_hours(1),
            ..Timing::default()
        };
        let who = identity(index);
        let [.., low] = u32::try_from(index).expect("a handful of nodes").to_be_bytes();
        let (now, wall) = self.clock(index);
        let mut election = Election::new(who, MacAddress([2, 0, 0, 0, 0, low]), timing, 0, now, wall);
        election.set_rules(scenario.rules);
        election.set_carrier(true);
        self.nodes[index].election = Some(election);
        self.nodes[index].inbox.clear();
        self.inform(index);
    }

    /// Tells a node what it may have.
    fn inform(&mut self, index: usize) {
        let Node { fit, synced, .. } = self.nodes[index];
        let own = if fit { Fitness::Fit { soft: false, preference: 0 } } else { Fitness::Unfit };
        let addresses = self.addresses();
        let Some(election) = &mut self.nodes[index].election else { return };
        for address in addresses {
            let wanted = Wanted {
                class: ClassId(1),
                own,
                nodes: None,
                epoch: 0,
                announced_by: None,
                probe: false,
                uid: "uid".into(),
            };
            election.want(address, Some(Arc::new(wanted)));
        }
        if synced {
            election.set_standing(Standing { classes: [(ClassId(1), own)].into(), ..Standing::default() });
        }
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let numbers = 0..u32::try_from(self.double.len()).expect("a handful of addresses");
        numbers.map(|number| IpAddr::V4(Ipv4Addr::from_bits(0xc633_6401 + number))).collect()
    }

    fn clock(&self, index: usize) -> (Moment, u64) {
        let ticks = TICK * (self.ticks - self.nodes[index].behind);
        (Moment(START + ticks), WALL + u64::try_from(ticks.as_micros()).expect("some minutes"))
    }

    /// What may happen now.
    pub(crate) fn actions(&self, scenario: &Scenario) -> Vec<Action> {
        let mut actions = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            if node.election.is_none() || node.frozen {
                actions.push(Action::Revive(index));
            }
            if !node.synced {
                actions.push(Action::Sync);
            }
            if !node.fit && node.synced {
                actions.push(Action::FitAgain(index));
            }
        }
        if self.cut != [[false; 3]; 3] {
            actions.push(Action::Heal);
        }
        let count = self.nodes.len();
        if self.started < scenario.faults {
            for kind in scenario.kinds {
                self.starts(*kind, &mut actions);
            }
        }
        if self.lost < scenario.losses {
            for from in 0..count {
                actions.extend((0..count).filter(|to| *to != from).map(|to| Action::Lose(from, to)));
            }
        }
        actions
    }

    fn starts(&self, kind: Kind, actions: &mut Vec<Action>) {
        let count = self.nodes.len();
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(election) = &node.election else { continue };
            let others = (0..count).filter(|other| *other != index);
            match kind {
                Kind::Crash | Kind::Isolate => actions.push(Action::Start(kind, index, index)),
                Kind::Freeze | Kind::Pause if !node.frozen => actions.push(Action::Start(kind, index, index)),
                Kind::CutOneWay => actions.extend(others.map(|other| Action::Start(kind, index, other))),
                Kind::CutPair => {
                    let later = others.filter(|other| *other > index);
                    actions.extend(later.map(|other| Action::Start(kind, index, other)));
                }
                // Somebody must be left who can take what goes.
                Kind::Drain | Kind::Unfit => {
                    let others_fit = self.nodes.iter().enumerate().any(|(other, node)| {
                        let takes = node
                            .election
                            .as_ref()
                            .is_some_and(|other| other.load() > 0 || other.peers().next().is_some());
                        other != index && takes && node.fit && !node.frozen
                    });
                    if others_fit && !node.frozen && node.fit && !election.is_drained() {
                        actions.push(Action::Start(kind, index, index));
                    }
                }
                Kind::Freeze | Kind::Pause => {}
            }
        }
    }

    fn act(&mut self, scenario: &Scenario, action: Action) {
        match action {
            Action::Start(kind, index, other) => {
                self.started += 1;
                self.start(kind, index, other);
            }
            Action::Revive(index) => {
                self.nodes[index].frozen = false;
                self.nodes[index].paused = false;
                if self.nodes[index].election.is_none() {
                    self.boot(scenario, index);
                }
            }
            Action::Heal => self.cut = [[false; 3]; 3],
            Action::Sync => {
                for index in 0..self.nodes.len() {
                    self.nodes[index].synced = true;
                    self.inform(index);
                }
            }
            Action::FitAgain(index) => {
                self.nodes[index].fit = true;
                self.inform(index);
            }
            Action::Lose(..) => self.lost += 1,
        }
    }

    fn start(&mut self, kind: Kind, index: usize, other: usize) {
        match kind {
            Kind::Crash => {
                self.nodes[index].election = None;
                self.nodes[index].frozen = false;
                self.nodes[index].paused = false;
            }
            Kind::Freeze => self.nodes[index].frozen = true,
            Kind::Pause => {
                self.nodes[index].frozen = true;
                self.nodes[index].paused = true;
            }
            Kind::CutOneWay => self.cut[index][other] = true,
            Kind::CutPair => {
                self.cut[index][other] = true;
                self.cut[other][index] = true;
            }
            Kind::Isolate => {
                for other in (0..self.nodes.len()).filter(|other| *other != index) {
                    self.cut[index][other] = true;
                    self.cut[other][index] = true;
                }
            }
            Kind::Drain => {
                if let Some(election) = &mut self.nodes[index].election {
                    election.drain(Duration::from_secs(5));
                }
            }
            Kind::Unfit => {
                self.nodes[index].fit = false;
                self.nodes[index].synced = false;
                self.inform(index);
            }
        }
    }

    /// A tick passes, in which nodes run in this order.
    pub(crate) fn next(
        &self,
        scenario: &Scenario,
        action: Option<Action>,
        order: &[usize],
    ) -> Result<Self, Violation> {
        let mut next = self.clone();
        if let Some(action) = action {
            next.act(scenario, action);
        }
        let losing = action.and_then(|action| match action {
            Action::Lose(from, to) => Some((from, to)),
            _ => None,
        });
        next.tick(scenario, order, losing)?;
        Ok(next)
    }

    fn tick(
        &mut self,
        scenario: &Scenario,
        order: &[usize],
        losing: Option<(usize, usize)>,
    ) -> Result<(), Violation> {
        self.ticks += 1;
        for node in self.nodes.iter_mut().filter(|node| node.paused) {
            node.behind += 1;
        }
        let mut all = true;
        for pass in 0.. {
            let mut quiet = true;
            for index in order {
                let ran = self.wake(*index, scenario, losing, all);
                quiet &= !ran;
                if ran {
                    self.check_between(scenario)?;
                }
            }
            all = false;
            if quiet {
                break;
            }
            if pass == 20 {
                return Err(Violation::Storm);
            }
        }
        self.check(scenario)
    }

    /// Whether a node had anything to do.
    fn wake(
        &mut self,
        index: usize,
        scenario: &Scenario,
        losing: Option<(usize, usize)>,
        timers: bool,
    ) -> bool {
        let (now, wall) = self.clock(index);
        let node = &mut self.nodes[index];
        let Some(election) = &mut node.election else { return false };
        if node.frozen || (node.inbox.is_empty() && !(timers && election.next_wake() <= now)) {
            return false;
        }
        let mut sent: Vec<(Option<usize>, Arc<Page>, Via)> = Vec::new();
        election.begin(now, wall);
        for (page, via) in node.inbox.drain(..) {
            for mac in election.hear(&page, via).relay_to {
                sent.push((Some(usize::from(mac.0[5])), Arc::clone(&page), Via::Relay));
            }
        }
        for transmission in election.finish() {
            sent.extend(transmission.pages.into_iter().map(|page| (None, Arc::new(page), Via::Ethernet)));
        }
        election.sent(true);
        drop(election.take_events());
        if election.is_drained() {
            node.election = None;
        }
        for (to, page, via) in sent {
            for other in
                (0..self.nodes.len()).filter(|other| *other != index && to.is_none_or(|to| to == *other))
            {
                let receiver = &mut self.nodes[other];
                let lost = self.cut[index][other]
                    || losing == Some((index, other))
                    || receiver.election.is_none()
                    || (receiver.frozen && scenario.overflow);
                if !lost {
                    receiver.inbox.push((Arc::clone(&page), via));
                }
            }
        }
        true
    }

    fn answering(&self, address: IpAddr) -> Vec<usize> {
        let answers = |index: &usize| {
            let node = &self.nodes[*index];
            let now = self.clock(*index).0;
            !node.frozen && node.election.as_ref().is_some_and(|election| election.answers(address, now))
        };
        (0..self.nodes.len()).filter(answers).collect()
    }

    /// Whether clients can hear both.
    fn together(&self, one: usize, other: usize) -> bool {
        let passes = |from: usize, to: usize| !self.cut[from][to] || !self.cut[to][from];
        let third = (0..self.nodes.len())
            .any(|third| third != one && third != other && passes(one, third) && passes(third, other));
        passes(one, other) || third
    }

    fn is_double(&self, address: IpAddr) -> bool {
        let owners = self.answering(address);
        owners
            .iter()
            .enumerate()
            .any(|(at, one)| owners[at + 1..].iter().any(|other| self.together(*one, *other)))
    }

    /// Whether nobody answers for an address though a node could.
    fn is_missed(&self, address: IpAddr) -> bool {
        let could = |node: &Node| {
            let active = node.election.as_ref().is_some_and(Election::is_active);
            active && node.fit && !node.frozen
        };
        self.answering(address).is_empty() && self.nodes.iter().any(could)
    }

    fn check_between(&self, scenario: &Scenario) -> Result<(), Violation> {
        if !scenario.never_double && !scenario.always_answered {
            return Ok(());
        }
        for (at, address) in self.addresses().into_iter().enumerate() {
            if scenario.never_double && self.is_double(address) {
                return Err(Violation::DoubleBetweenFrames);
            }
            if scenario.always_answered && self.answered[at] && self.is_missed(address) {
                return Err(Violation::Unanswered);
            }
        }
        Ok(())
    }

    fn check(&mut self, scenario: &Scenario) -> Result<(), Violation> {
        for (at, address) in self.addresses().into_iter().enumerate() {
            self.double[at] = if self.is_double(address) { self.double[at].saturating_add(1) } else { 0 };
            if self.double[at] > scenario.double {
                return Err(Violation::Double(self.double[at]));
            }
            let missed = self.is_missed(address);
            if scenario.always_answered && self.answered[at] && missed {
                return Err(Violation::Unanswered);
            }
            self.answered[at] = !self.answering(address).is_empty();
            self.gap[at] = if missed { self.gap[at].saturating_add(1) } else { 0 };
            if self.gap[at] > scenario.gap {
                return Err(Violation::Gap(self.gap[at]));
            }
        }
        Ok(())
    }

    /// Repairs everything, and looks whether each address has one owner four seconds later.
    pub(crate) fn recovers(&self, scenario: &Scenario) -> Result<(), Violation> {
        let mut segment = self.clone();
        segment.cut = [[false; 3]; 3];
        let lenient = Scenario {
            double: u8::MAX,
            gap: u8::MAX,
            never_double: false,
            always_answered: false,
            ..scenario.clone()
        };
        let order: Vec<usize> = (0..segment.nodes.len()).collect();
        for index in 0..segment.nodes.len() {
            segment.nodes[index].fit = true;
            segment.nodes[index].synced = true;
            segment.act(&lenient, Action::Revive(index));
            segment.inform(index);
        }
        for _ in 0..70 {
            segment.tick(&lenient, &order, None)?;
            for index in 0..segment.nodes.len() {
                // One that drains leaves, and comes back.
                segment.act(&lenient, Action::Revive(index));
            }
        }
        for address in segment.addresses() {
            let owners = segment.answering(address);
            if owners.len() != 1 {
                return Err(Violation::NoSingleOwner(owners));
            }
        }
        Ok(())
    }

    /// States that are equal but for the time have the same one.
    pub(crate) fn fingerprint(&self) -> u128 {
        let half = |salt: u64| {
            let mut hasher = DefaultHasher::new();
            salt.hash(&mut hasher);
            for node in &self.nodes {
                (node.frozen, node.paused, node.fit, node.synced, node.election.is_some()).hash(&mut hasher);
                if let Some(election) = &node.election {
                    election.fingerprint(&mut hasher);
                }
                for (page, via) in &node.inbox {
                    via.hash(&mut hasher);
                    hash_page(page, &mut hasher);
                }
            }
            (self.cut, self.started, self.lost, &self.double, &self.gap, &self.answered).hash(&mut hasher);
            hasher.finish()
        };
        u128::from(half(1)) << 64 | u128::from(half(2))
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for address in self.addresses() {
            write!(formatter, "{:?} ", self.answering(address))?;
        }
        Ok(())
    }
}

fn hash_page(page: &Page, hasher: &mut DefaultHasher) {
    let flags = page.header.flags;
    (page.header.from, flags.listening, flags.draining, flags.minority, flags.solicit_all, flags.goodbye)
        .hash(hasher);
    for claims in [&page.ipv4, &page.ipv6].into_iter().flatten() {
        claims.claims.hash(hasher);
    }
    (&page.offers, &page.heard, &page.solicit, &page.classes, &page.subnets).hash(hasher);
}

fn identity(index: usize) -> Participant {
    Participant { node: NodeId::of(["one", "two", "three"][index]), link: 1 }
}
