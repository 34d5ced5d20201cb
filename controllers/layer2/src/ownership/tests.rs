//! One election among pages that tests make up.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::beacon::pages::{Round, pages};
use crate::beacon::{Claim, Flags, Header, Page, Stale};
use crate::identity::{NodeId, ShortId};
use crate::link::Prefix;
use crate::wanted::{ClassId, Fitness, Wanted};

mod clock;
mod hearing;
mod identity;
mod listing;
mod owning;

const MS: Duration = Duration::from_millis(1);
const WALL: u64 = 1_800_000_000_000_000;

/// An election whose clock a test moves.
struct Scene {
    election: Election,
    now: Moment,
    wall: u64,
}

fn address(number: u8) -> IpAddr {
    Ipv4Addr::new(198, 51, 100, number).into()
}

fn participant(name: &str) -> Participant {
    Participant { node: NodeId::of(name), link: 1 }
}

fn wanted() -> Wanted {
    Wanted {
        class: ClassId(1),
        own: Fitness::Fit { soft: false, preference: 0 },
        nodes: None,
        epoch: 0,
        announced_by: None,
        probe: false,
        uid: "uid".into(),
    }
}

impl Scene {
    /// One that has not begun.
    fn new() -> Self {
        let now = Moment(Duration::from_hours(1));
        let mac = MacAddress([2, 0, 0, 0, 0, 1]);
        let election = Election::new(participant("own"), mac, Timing::default(), 1, now, WALL);
        Self { election, now, wall: WALL }
    }

    /// One that is active and has what it wants of so many addresses.
    fn owning(addresses: u8) -> Self {
        let mut scene = Self::new();
        for number in 1..=addresses {
            scene.election.want(address(number), Some(Arc::new(wanted())));
        }
        scene.election.set_carrier(true);
        scene.pass(1000 * MS);
        scene
    }

    /// A wake-up in which these pages are heard.
    fn wake(&mut self, heard: &[Page]) -> Vec<Page> {
        self.election.begin(self.now, self.wall);
        for page in heard {
            self.election.hear(page, Via::Ethernet);
        }
        let sent = self.election.finish();
        self.election.sent(true);
        sent.into_iter().flat_map(|transmission| transmission.pages).collect()
    }

    /// Time passes, in which nothing is heard.
    fn pass(&mut self, time: Duration) -> Vec<Page> {
        let end = self.now + time;
        let mut sent = Vec::new();
        while self.now < end {
            let wake = self.election.next_wake().max(self.now + MS).min(end);
            self.jump(wake.since(self.now));
            sent.extend(self.wake(&[]));
        }
        sent
    }

    /// Time passes, in which this node does not run.
    fn jump(&mut self, time: Duration) {
        self.now = self.now + time;
        self.wall += u64::try_from(time.as_micros()).unwrap();
    }

    fn owned(&self) -> Vec<IpAddr> {
        self.election.owned().map(|(address, _)| address).collect()
    }

    fn answers(&self, number: u8) -> bool {
        self.election.answers(address(number), self.now)
    }

    fn events(&mut self) -> Vec<Event> {
        self.election.take_events()
    }
}

/// Another node, which says what a test wants.
struct Other {
    round: Round,
}

impl Other {
    fn new(name: &str) -> Self {
        let header = Header {
            from: participant(name),
            flags: Flags::default(),
            seq: WALL,
            mac: MacAddress([2, 0, 0, 0, 1, name.as_bytes()[0]]),
            uptime: 100,
            weight: 100,
            period: 200,
            page: 0,
            pages: 1,
        };
        let round = Round {
            header,
            claims: Vec::new(),
            offers: BTreeMap::new(),
            heard: vec![participant("own").node.short()],
            solicit: Vec::new(),
            stale: Vec::new(),
            classes: Vec::new(),
            subnets: None,
        };
        Self { round }
    }

    fn claiming(mut self, number: u8, epoch: u32) -> Self {
        self.round.claims.retain(|claim| claim.address != address(number));
        self.round.claims.push(Claim { address: address(number), epoch, probing: false, released: false });
        self.round.claims.sort_by_key(|claim| claim.address);
        self
    }

    fn offering(mut self, number: u8) -> Self {
        self.round.offers.insert(address(number), participant("own").node.short());
        self
    }

    /// Its next round.
    fn says(&mut self) -> Vec<Page> {
        self.round.header.seq += 1;
        pages(&self.round, 1452)
    }
}

fn short(name: &str) -> ShortId {
    NodeId::of(name).short()
}

fn lost(events: &[Event]) -> Vec<LossCause> {
    let cause = |event: &Event| match event {
        Event::Lost { cause, .. } => Some(*cause),
        _ => None,
    };
    events.iter().filter_map(cause).collect()
}
