//! What happens.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use fairlead_crds::{Order, Requests, Sharing};
use fairlead_loadbalancer::records::{Pool, Reservation, ReservedFor, ServiceAllocation};
use fairlead_objects::{Family, FamilyPolicy, Istr, LoadBalancer, ObjectKey, Protocol, Service};
use jiff::{SignedDuration, Timestamp};
use smallvec::smallvec;

use super::oracle;
use crate::api::{Api, KINDS};
use crate::manager::Manager;
use crate::world::{ADDRESSES, POOL, SHARE_WITH, SHARING_KEY, annotate, ip, key, pool, reservation, v4};

const OPERATIONS: usize = 40;
const NAMES: [&str; 9] = ["s0", "s1", "s2", "s3", "s4", "s5", "bank/t0", "bank/t1", "bank/t2"];

pub(crate) struct History {
    rng: fastrand::Rng,
    api: Api,
    managers: Vec<Manager>,
    /// Do speakers run?
    speakers: bool,
    tell: bool,
    pub(crate) operations: usize,
}

impl History {
    pub(crate) fn new(seed: u64, tell: bool) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut api = Api::new();
        api.put_namespace("shop", &[]);
        api.put_namespace("bank", &[("tier", "gold")]);
        for name in ["a", "b"] {
            let pool = some_pool(&mut rng, name);
            api.put_pool(pool);
        }
        let speakers = rng.bool();
        if speakers {
            api.put_node("node-1", &[]);
            api.put_speaker_until("node-1", &["eth0"], Timestamp::MAX);
        }
        let count = rng.usize(1..=2);
        let managers = (0..count).map(|_| Manager::start(&api, None)).collect();
        Self { rng, api, managers, speakers, tell, operations: 0 }
    }

    pub(crate) fn run(&mut self) {
        for _ in 0..OPERATIONS {
            self.operate();
            self.operations += 1;
            self.turmoil();
            if self.rng.u8(0..8) == 0 {
                self.calm_down();
                self.leave_the_others_alone();
            }
        }
        self.calm_down();
    }

    fn say(&self, text: impl FnOnce() -> String) {
        if self.tell {
            println!("{}  {}", self.api.now, text());
        }
    }

    /// Controllers see some of what happened, and do some of what they would.
    fn turmoil(&mut self) {
        for _ in 0..self.rng.usize(0..60) {
            let which = self.rng.usize(0..self.managers.len());
            let before = self.api.writes.len();
            if self.rng.bool() {
                let kind = self.rng.usize(0..KINDS);
                self.managers[which].observe(&self.api, kind);
            } else {
                self.managers[which].step(&mut self.api);
            }
            self.tell_writes(which, before);
            oracle::check_always(&self.api);
        }
        if self.speakers {
            for _ in 0..self.rng.usize(0..4) {
                self.speaker_operation();
            }
        }
        if self.rng.u8(0..6) == 0 {
            let which = self.rng.usize(0..self.managers.len());
            self.say(|| format!("manager {which} crashes and starts again"));
            self.managers[which] = Manager::start(&self.api, None);
        }
        if self.rng.u8(0..4) == 0 {
            self.api.pass(SignedDuration::from_millis(self.rng.i64(0..90_000)));
        }
    }

    /// A speaker says something about an address.
    fn speaker_operation(&mut self) {
        let bound = self.api.addresses.values().filter(|object| object.cooling_until.is_none());
        let bound: Vec<IpAddr> = bound.map(|object| object.address).collect();
        if bound.is_empty() {
            return;
        }
        let address = bound[self.rng.usize(0..bound.len())];
        match self.rng.u8(0..8) {
            0 => {
                self.say(|| format!("{address} is in use, as was seen when it was probed"));
                self.api.in_conflict(address, true);
            }
            1 => {
                self.say(|| format!("somebody else answers for {address}"));
                self.api.in_conflict(address, false);
            }
            2 => {
                self.say(|| format!("nobody answers for {address} any more"));
                self.api.fall_silent(address);
            }
            _ => {
                self.say(|| format!("a node answers for {address}"));
                self.api.answer(address, "node-1");
            }
        }
    }

    /// In the end somebody answers for each address, or else what moves stays where it was, too.
    fn answer_for_the_rest(&mut self) -> bool {
        let silent = self.api.addresses.values().filter(|it| it.cooling_until.is_none() && !it.announced);
        let silent: Vec<IpAddr> = silent.map(|object| object.address).collect();
        for address in &silent {
            self.api.answer(*address, "node-1");
        }
        !silent.is_empty()
    }

    fn tell_writes(&self, which: usize, before: usize) {
        for write in &self.api.writes[before..] {
            self.say(|| format!("    manager {which}: {write}"));
        }
    }

    /// All see everything, do all they can, and wait for all they wait for.
    fn quiet(&mut self) {
        for round in 0.. {
            let mut busy = false;
            for which in 0..self.managers.len() {
                self.managers[which].observe_all(&self.api);
                for _ in 0..self.rng.usize(1..4) {
                    let before = self.api.writes.len();
                    busy |= self.managers[which].step(&mut self.api);
                    self.tell_writes(which, before);
                    oracle::check_always(&self.api);
                }
            }
            if !busy {
                let next = self.managers.iter().filter_map(Manager::next_timer).min();
                match next {
                    Some(then) => self.api.now = self.api.now.max(then),
                    None => return,
                }
            }
            assert!(
                round < 3_000,
                "never quiet: {:?}",
                self.managers.iter().map(|it| &it.last).collect::<Vec<_>>()
            );
        }
    }

    fn calm_down(&mut self) {
        self.quiet();
        while self.speakers && self.answer_for_the_rest() {
            self.quiet();
        }
        self.say(|| "all is quiet".to_owned());
        oracle::check(&self.api);
        let before = self.api.writes.len();
        for _ in 0..2 {
            let which = self.rng.usize(0..self.managers.len());
            self.managers[which] = Manager::start(&self.api, None);
            self.quiet();
        }
        assert_eq!(self.api.writes[before..], [] as [String; 0], "writes after a restart");
    }

    /// What is done to some Services, and to objects of addresses, does not take from the other Services what they have, nor
    /// from reservations what is held for them.
    fn leave_the_others_alone(&mut self) {
        let plain: BTreeMap<ObjectKey, Vec<IpAddr>> = self
            .api
            .services
            .iter()
            .filter(|(_, service)| is_plain(service))
            .map(|(key, _)| (key.clone(), self.api.published(key)))
            .collect();
        let held = oracle::held(&self.api);
        let mut touched = Vec::new();
        for _ in 0..self.rng.usize(1..5) {
            match self.rng.u8(0..4) {
                0 => self.address_operation(),
                _ => touched.push(self.service_operation()),
            }
            self.turmoil();
        }
        self.quiet();
        oracle::check(&self.api);
        for (key, before) in plain.into_iter().filter(|(key, _)| !touched.contains(key)) {
            let after = self.api.published(&key);
            let kept = before.iter().all(|address| after.contains(address));
            assert!(kept, "{key} was left alone and had {before:?}; now it has {after:?}");
        }
        oracle::check_still_held(&self.api, &held, &touched);
    }

    fn operate(&mut self) {
        match self.rng.u8(0..100) {
            0..66 => drop(self.service_operation()),
            66..78 => self.pool_operation(),
            78..87 => self.reservation_operation(),
            87..90 => {
                let labels: &[(&str, &str)] = if self.rng.bool() { &[("tier", "gold")] } else { &[] };
                self.say(|| format!("namespace bank {labels:?}"));
                self.api.put_namespace("bank", labels);
            }
            90..92 => {
                let addresses: &[&str] = if self.rng.bool() { &["198.51.100.2"] } else { &["192.0.2.1"] };
                self.say(|| format!("node {addresses:?}"));
                self.api.put_node("n", addresses);
            }
            _ => self.address_operation(),
        }
    }

    fn address_operation(&mut self) {
        let mut addresses: Vec<IpAddr> = self.api.addresses.keys().copied().collect();
        if self.rng.u8(0..4) > 0 {
            self.rng.shuffle(&mut addresses);
            addresses.truncate(1);
        }
        self.say(|| format!("somebody deletes {addresses:?}"));
        for address in addresses {
            self.api.delete_address(address);
        }
    }

    fn service_operation(&mut self) -> ObjectKey {
        let name = key(NAMES[self.rng.usize(0..NAMES.len())]);
        if !self.api.services.contains_key(&name) {
            let service = self.some_service(&name);
            self.say(|| format!("create {name}: {}", in_words(&service)));
            self.api.create_service(service);
            return name;
        }
        match self.rng.u8(0..10) {
            0..4 => {
                self.say(|| format!("delete {name}"));
                self.api.delete_service(&name);
            }
            4 => {
                // From a backup, or deleted and created at once: another UID, and what the status was.
                let old = Service::clone(&self.api.services[&name]);
                self.say(|| format!("delete and restore {name}"));
                self.api.delete_service(&name);
                self.api.create_service(old);
            }
            5 => {
                let wanted = self.api.services[&name].load_balancer.as_ref().is_some_and(|it| it.wanted);
                self.say(|| format!("{name} is a load balancer: {}", !wanted));
                self.api.edit_service(&name, |it| it.load_balancer.as_mut().unwrap().wanted = !wanted);
            }
            _ => {
                let other = self.some_service(&name);
                self.say(|| format!("{name} becomes {}", in_words(&other)));
                self.api.edit_service(&name, |it| {
                    let (was, is) = (it.load_balancer.take().unwrap(), other.load_balancer.unwrap());
                    let LoadBalancer { ingress, condition, generation, wanted, .. } = *was;
                    let is = LoadBalancer { ingress, condition, generation, wanted, ..*is };
                    it.load_balancer = Some(Box::new(is));
                    it.ip_families = other.ip_families;
                    it.labels = other.labels;
                });
            }
        }
        name
    }

    fn some_service(&mut self, name: &ObjectKey) -> Service {
        let rng = &mut self.rng;
        let mut service = Service { key: name.clone(), ..v4("s0") };
        let team = ["x", "y"][rng.usize(0..2)];
        service.labels = [("team", team)].into_iter().collect();
        let load_balancer = service.load_balancer.as_mut().unwrap();
        match rng.u8(0..5) {
            0 => service.ip_families = smallvec![Family::V6],
            1 => service.ip_families = smallvec![Family::V4, Family::V6],
            2 => service.ip_families = smallvec![Family::V6, Family::V4],
            _ => {}
        }
        if service.ip_families.len() == 2 {
            load_balancer.family_policy =
                if rng.bool() { FamilyPolicy::PreferDualStack } else { FamilyPolicy::RequireDualStack };
        }
        if rng.u8(0..4) == 0 {
            let text = ["198.51.100.2", "198.51.100.3", "203.0.113.1", "2001:db8::2", "192.0.2.1", "bogus"];
            annotate(load_balancer, ADDRESSES, text[rng.usize(0..text.len())]);
        }
        if rng.u8(0..6) == 0 {
            annotate(load_balancer, POOL, ["a", "b", "c"][rng.usize(0..3)]);
        }
        if rng.u8(0..3) == 0 {
            annotate(load_balancer, SHARING_KEY, ["k", "l"][rng.usize(0..2)]);
            load_balancer.ports = vec![(Protocol::Tcp, rng.u16(80..84))];
            load_balancer.local = rng.u8(0..4) == 0;
            if rng.bool() {
                annotate(load_balancer, SHARE_WITH, "*");
            }
        }
        service
    }

    fn pool_operation(&mut self) {
        let name = ["a", "b", "c"][self.rng.usize(0..3)];
        if self.api.pools.contains_key(&Istr::from(name)) && self.rng.u8(0..4) == 0 {
            self.say(|| format!("delete pool {name}"));
            self.api.delete_pool(name);
            return;
        }
        let pool = some_pool(&mut self.rng, name);
        self.say(|| format!("pool {pool:?}"));
        self.api.put_pool(pool);
    }

    fn reservation_operation(&mut self) {
        let name = ["r0", "r1", "bank/r2"][self.rng.usize(0..3)];
        if self.api.reservations.contains_key(&key(name)) && self.rng.bool() {
            self.say(|| format!("delete reservation {name}"));
            self.api.delete_reservation(&key(name));
            return;
        }
        let service = if name.starts_with("bank") { "t0" } else { ["s0", "s1"][self.rng.usize(0..2)] };
        let texts = ["198.51.100.2", "203.0.113.1", "2001:db8::2", "192.0.2.1"];
        let mut addresses = vec![texts[self.rng.usize(0..texts.len())]];
        if self.rng.u8(0..3) == 0 {
            addresses.clear();
        }
        let chosen = Reservation { key: key(name), ..reservation(name, service, &addresses) };
        let pool = (addresses.is_empty()).then(|| Istr::from(["a", "b", "c"][self.rng.usize(0..3)]));
        let by_label = self.rng.u8(0..4) == 0;
        let selector = selector(r#"{"matchLabels": {"team": "x"}}"#);
        let service = if by_label { ReservedFor::Selector((&selector).into()) } else { chosen.service };
        let chosen = Reservation { pool, service, ..chosen };
        self.say(|| {
            format!("reservation {name}: {:?} {:?} {:?}", chosen.service, chosen.addresses, chosen.pool)
        });
        self.api.put_reservation(chosen);
    }
}

fn selector(json: &str) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector {
    serde_json::from_str(json).unwrap()
}

fn some_pool(rng: &mut fastrand::Rng, name: &str) -> Pool {
    let parts: &[&[&str]] = match name {
        "a" => &[
            &["198.51.100.0-198.51.100.5", "2001:db8::1-2001:db8::4"],
            &["198.51.100.0-198.51.100.3"],
            &["198.51.100.2-198.51.100.9", "2001:db8::1-2001:db8::1"],
        ],
        "b" => &[
            &["203.0.113.0-203.0.113.3"],
            &["203.0.113.0-203.0.113.3", "2001:db8::8-2001:db8::9"],
            &["203.0.113.1-203.0.113.1"],
        ],
        // Overlaps what pool a may have.
        _ => &[&["198.51.100.4-198.51.100.9"], &["2001:db8::2-2001:db8::6"], &["203.0.113.8-203.0.113.9"]],
    };
    let parts = parts[rng.usize(0..parts.len())];
    let mut some = |one_in: u8| rng.u8(0..one_in) == 0;
    let mut pool = Pool {
        auto_assign: !some(6),
        drain: some(7),
        quota_per_namespace: some(5).then_some(2),
        cool_down: if some(4) { Duration::from_secs(30) } else { Duration::ZERO },
        sharing: if some(4) { Sharing::AnyNamespace } else { Sharing::SameNamespace },
        requests: if some(8) { Requests::Denied } else { Requests::Allowed },
        order: if some(2) { Order::Random } else { Order::Sequential },
        ..pool(name, parts)
    };
    if some(6) {
        pool.exclude = vec!["198.51.100.3-198.51.100.4".into()];
    }
    if some(6) {
        let selector = selector(r#"{"matchLabels": {"tier": "gold"}}"#);
        pool.service_allocation = Some(ServiceAllocation {
            priority: i32::from(some(2)),
            namespaces: if some(2) { vec!["shop".into()] } else { Vec::new() },
            namespace_selectors: vec![(&selector).into()],
            service_selectors: Vec::new(),
        });
    }
    pool
}

fn in_words(service: &Service) -> String {
    let load_balancer = service.load_balancer.as_ref().unwrap();
    format!(
        "{:?} {:?} {:?} ports {:?} local {}",
        service.ip_families.as_slice(),
        load_balancer.family_policy,
        load_balancer.annotations,
        load_balancer.ports,
        load_balancer.local
    )
}

/// Does it have what it asks for, with nothing else to be said, and alone?
fn is_plain(service: &Service) -> bool {
    let Some(load_balancer) = &service.load_balancer else { return false };
    let words = load_balancer.condition.as_ref().filter(|it| it.ready).map(|it| it.message.to_string());
    load_balancer.wanted
        && load_balancer.annotations.get(SHARING_KEY).is_none()
        && words.is_some_and(|words| {
            !["which", "moving", "place", "; no "].iter().any(|special| words.contains(special))
        })
}

/// What the texts above stand for.
pub(crate) fn universe() -> Vec<IpAddr> {
    let v4 = (0..10).flat_map(|host| [IpAddr::from([198, 51, 100, host]), IpAddr::from([203, 0, 113, host])]);
    let v6 = (1..10).map(|host| ip(&format!("2001:db8::{host}")));
    v4.chain(v6).collect()
}
