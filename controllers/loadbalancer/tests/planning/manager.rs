//! A controller without I/O: a ledger that is fed with changes, and a queue of keys that are planned.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fairlead_loadbalancer::{Action, Config, Event, Ledger, Plan};
use fairlead_objects::{Istr, ObjectKey, Service, Uid};
use jiff::Timestamp;

use crate::api::{Api, Change, KINDS, Refused};

pub(crate) const OVERLAP: Duration = Duration::from_mins(1);

const WORKERS: usize = 2;

/// What can be planned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Service(ObjectKey),
    Address(IpAddr),
    Pool(Istr),
    Reservation(ObjectKey),
}

/// A plan that is being carried out.
#[derive(Debug)]
struct Work {
    key: Key,
    actions: VecDeque<Action>,
    /// The guard of the first action has been seen to hold.
    guard_held: bool,
}

pub(crate) struct Manager {
    pub(crate) ledger: Ledger,
    seen: [usize; KINDS],
    queue: VecDeque<Key>,
    queued: BTreeSet<Key>,
    timers: BTreeMap<Key, Timestamp>,
    /// Plans that are being carried out at the same time.
    workers: [Option<Work>; WORKERS],
    turn: usize,
    /// Own deletes: late news about these objects are not believed.
    deleted: HashSet<Uid>,
    /// Events that were told.
    pub(crate) told: Vec<(ObjectKey, Event)>,
    /// What was planned last.
    pub(crate) last: VecDeque<Key>,
}

impl Manager {
    /// One that starts now, with its caches complete.
    pub(crate) fn start(api: &Api, class: Option<&str>) -> Self {
        let config = Config { class: class.map(Istr::from), drain_overlap: OVERLAP };
        let mut manager = Self {
            ledger: Ledger::new(config),
            seen: [0; KINDS],
            queue: VecDeque::new(),
            queued: BTreeSet::new(),
            timers: BTreeMap::new(),
            workers: Default::default(),
            turn: 0,
            deleted: HashSet::new(),
            told: Vec::new(),
            last: VecDeque::new(),
        };
        manager.list(api);
        manager
    }

    fn list(&mut self, api: &Api) {
        for service in api.services.values() {
            self.ledger.put_service(service, api.now);
        }
        api.addresses.values().for_each(|object| self.ledger.put_address(object));
        api.pools.values().for_each(|pool| self.ledger.put_pool(pool));
        api.reservations.values().for_each(|it| self.ledger.put_reservation(it));
        api.namespaces.iter().for_each(|(name, labels)| self.ledger.put_namespace(name, labels));
        api.nodes.values().for_each(|node| self.ledger.put_node(node));
        api.presences.values().for_each(|presence| self.ledger.put_presence(presence));
        api.service_cidrs.iter().for_each(|(name, cidrs)| self.ledger.put_service_cidr(name, cidrs));
        api.announcements.values().for_each(|it| self.ledger.put_announcement(it));
        self.seen = std::array::from_fn(|kind| api.changes[kind].len());
        self.enqueue_affected();
    }

    fn enqueue(&mut self, key: Key) {
        if self.queued.insert(key.clone()) {
            self.queue.push_back(key);
        }
    }

    pub(crate) fn enqueue_affected(&mut self) {
        let affected = self.ledger.take_affected();
        affected.services.into_iter().for_each(|key| self.enqueue(Key::Service(key)));
        affected.addresses.into_iter().for_each(|address| self.enqueue(Key::Address(address)));
        affected.pools.into_iter().for_each(|name| self.enqueue(Key::Pool(name)));
        affected.reservations.into_iter().for_each(|key| self.enqueue(Key::Reservation(key)));
    }

    /// Shows the next change of a kind to the ledger; false if there is none.
    pub(crate) fn observe(&mut self, api: &Api, kind: usize) -> bool {
        let Some(change) = api.changes[kind].get(self.seen[kind]) else { return false };
        self.seen[kind] += 1;
        self.feed(change, api.now);
        self.enqueue_affected();
        true
    }

    pub(crate) fn observe_all(&mut self, api: &Api) {
        for kind in 0..KINDS {
            while let Some(change) = api.changes[kind].get(self.seen[kind]) {
                self.seen[kind] += 1;
                self.feed(change, api.now);
            }
        }
        self.enqueue_affected();
    }

    fn feed(&mut self, change: &Change, now: Timestamp) {
        let ledger = &mut self.ledger;
        match change {
            Change::Service(_, Some(service)) => ledger.put_service(service, now),
            Change::Service(key, None) => ledger.remove_service(key),
            Change::Address(object, true) if self.deleted.contains(&object.uid) => {}
            Change::Address(object, true) => ledger.put_address(object),
            Change::Address(object, false) => ledger.remove_address(object),
            Change::Pool(_, Some(pool)) => ledger.put_pool(pool),
            Change::Pool(name, None) => ledger.remove_pool(name),
            Change::Reservation(_, Some(reservation)) => ledger.put_reservation(reservation),
            Change::Reservation(key, None) => ledger.remove_reservation(key),
            Change::Namespace(name, Some(labels)) => ledger.put_namespace(name, labels),
            Change::Namespace(name, None) => ledger.remove_namespace(name),
            Change::Node(_, Some(node)) => ledger.put_node(node),
            Change::Node(name, None) => ledger.remove_node(name),
            Change::ServiceCidr(name, Some(cidrs)) => ledger.put_service_cidr(name, cidrs),
            Change::ServiceCidr(name, None) => ledger.remove_service_cidr(name),
            Change::Announcement(_, Some(announcement)) => ledger.put_announcement(announcement),
            Change::Announcement(name, None) => ledger.remove_announcement(name),
            Change::Presence(_, Some(presence)) => ledger.put_presence(presence),
            Change::Presence(name, None) => ledger.remove_presence(name),
        }
    }

    /// The earliest time at which there is something to do.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.values().min().copied()
    }

    fn enqueue_due(&mut self, now: Timestamp) {
        let due: Vec<Key> =
            self.timers.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
        for key in due {
            self.timers.remove(&key);
            self.enqueue(key);
        }
    }

    /// Takes one step: looks at a guard, sends one write, or plans the next key. False if there is nothing to do. The workers
    /// take turns, so that what they do is interleaved.
    pub(crate) fn step(&mut self, api: &mut Api) -> bool {
        self.enqueue_due(api.now);
        self.turn += 1;
        let at = self.turn % WORKERS;
        if self.workers[at].is_some() {
            self.go_on(api, at);
            return true;
        }
        // Never two workers on a key.
        let in_work = |key: &Key| self.workers.iter().flatten().any(|work| work.key == *key);
        let Some(next) = self.queue.iter().position(|key| !in_work(key)) else {
            let busy = self.workers.iter().any(Option::is_some);
            return busy || !self.queue.is_empty();
        };
        let Some(key) = self.queue.remove(next) else { return false };
        self.queued.remove(&key);
        self.timers.remove(&key);
        self.last.push_back(key.clone());
        if self.last.len() > 12 {
            self.last.pop_front();
        }
        self.begin(api, key, at);
        self.enqueue_affected();
        true
    }

    fn begin(&mut self, api: &mut Api, key: Key, at: usize) {
        let (actions, wait) = match &key {
            Key::Service(service) => {
                let Plan { actions, wait, .. } = self.ledger.plan_service(service, api.now);
                (actions, wait)
            }
            Key::Address(address) => {
                let plan = self.ledger.plan_address(*address, api.now);
                (plan.actions, plan.wait)
            }
            Key::Pool(name) => {
                if let Some((pool, status)) = self.ledger.plan_pool(name, api.now) {
                    let answer = api.write_pool_status(&pool, &status);
                    self.take(api.now, answer, &key);
                }
                return;
            }
            Key::Reservation(reservation) => {
                if let Some(plan) = self.ledger.plan_reservation(reservation, api.now) {
                    let answer = api.write_reservation_status(&plan.reservation, &plan.status);
                    self.take(api.now, answer, &key);
                }
                self.ledger.settle_reservation(reservation);
                return;
            }
        };
        if let Some(wait) = wait {
            self.timers.insert(key.clone(), wait);
        }
        self.workers[at] = Some(Work { key, actions: actions.into(), guard_held: false });
        self.finish_if_done(at);
    }

    fn go_on(&mut self, api: &mut Api, at: usize) {
        let Some(work) = &mut self.workers[at] else { return };
        let Some(action) = work.actions.front().cloned() else { return };
        if let Some((service, holds)) = guard(&action).filter(|_| !work.guard_held).map(|guard| {
            let live = guard.service().and_then(|key| api.services.get(key));
            (guard.service(), guard.holds(live.map(|live| &**live)))
        }) {
            work.guard_held = holds;
            if !holds {
                // What was seen is newer than the cache.
                let live = service.and_then(|key| api.services.get(key)).cloned();
                self.give_up(at);
                if let Some(live) = live {
                    self.ledger.put_service(&live, api.now);
                    self.enqueue_affected();
                }
                return;
            }
            if service.is_some() {
                return;
            }
        }
        work.actions.pop_front();
        work.guard_held = false;
        let key = work.key.clone();
        match api.apply(&action) {
            Ok(change) => {
                if let Change::Address(object, false) = &change {
                    self.deleted.insert(object.uid.clone());
                }
                if let (Action::Publish(publication), Key::Service(service)) = (&action, &key)
                    && let Some(event) = &publication.event
                {
                    self.told.push((service.clone(), event.clone()));
                }
                self.take(api.now, Ok(change), &key);
                self.finish_if_done(at);
            }
            Err(refused) => {
                if let (Refused::AlreadyExists, Action::Create { address, .. }) = (refused, &action) {
                    let object = Arc::clone(&api.addresses[address]);
                    self.ledger.put_address(&object);
                }
                self.give_up(at);
            }
        }
    }

    fn take(&mut self, now: Timestamp, answer: Result<Change, Refused>, key: &Key) {
        match answer {
            Ok(change) => self.feed(&change, now),
            Err(_) => self.enqueue(key.clone()),
        }
        self.enqueue_affected();
    }

    fn give_up(&mut self, at: usize) {
        if let Some(work) = self.workers[at].take() {
            if let Key::Service(key) = &work.key {
                self.ledger.settle(key);
            }
            self.enqueue(work.key);
        }
        self.enqueue_affected();
    }

    fn finish_if_done(&mut self, at: usize) {
        let is_done = self.workers[at].as_ref().is_some_and(|work| work.actions.is_empty());
        if let Some(Work { key: Key::Service(key), .. }) = self.workers[at].take_if(|_| is_done) {
            self.ledger.settle(&key);
            self.enqueue_affected();
        }
    }

    /// Looks which speakers give no sign.
    pub(crate) fn watch(&mut self, api: &Api) {
        self.observe_all(api);
        self.ledger.watch_speakers(api.now);
        self.enqueue_affected();
    }

    /// Works until nothing is left to do now. With `until_quiet`, time passes as long as somebody waits for it.
    pub(crate) fn settle(&mut self, api: &mut Api, until_quiet: bool) {
        let mut steps = 0;
        loop {
            self.observe_all(api);
            if !self.step(api) {
                match self.next_timer().filter(|_| until_quiet) {
                    Some(then) => api.now = api.now.max(then),
                    None => return,
                }
            }
            steps += 1;
            assert!(steps < 200_000, "never quiet: {:?}", self.last);
        }
    }
}

fn guard(action: &Action) -> Option<&fairlead_loadbalancer::Guard> {
    match action {
        Action::Update { guard, .. } | Action::Cool { guard, .. } | Action::Delete { guard, .. } => {
            Some(guard)
        }
        Action::Create { .. } | Action::NotProbed { .. } | Action::Silence { .. } | Action::Publish(_) => {
            None
        }
    }
}

/// A Service of a load balancer as people make it.
pub(crate) fn service(name: &str) -> Service {
    let load_balancer = fairlead_objects::LoadBalancer {
        wanted: true,
        generation: 1,
        cluster_ips: smallvec::smallvec!["10.96.0.10".parse().unwrap()],
        ports: vec![(fairlead_objects::Protocol::Tcp, 80)],
        ..fairlead_objects::LoadBalancer::default()
    };
    Service { load_balancer: Some(Box::new(load_balancer)), ..fairlead_objects::testing::service(name) }
}
