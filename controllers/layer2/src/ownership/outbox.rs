//! What is sent, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::event::{Forms, Transmission};
use super::timing::part;
use super::{Election, Mode};
use crate::beacon::pages::{Round, pages};
use crate::beacon::{Claim, Flags, Header, Page, Stale};
use crate::identity::ShortId;
use crate::moment::Moment;

/// How many rounds of a node that begins to listen ask all others to answer.
const ASK_ALL: u8 = 3;

/// What is to be sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    /// The number of the last round.
    pub(super) seq: u64,
    /// When the next regular round is due.
    pub(super) next_tick: Option<Moment>,
    /// A whole round is due now.
    pub(super) round_now: bool,
    /// How many more rounds ask all to answer.
    pub(super) ask_all: u8,
    /// When a question is answered, and whether in both forms.
    pub(super) reply: Option<(Moment, bool)>,
    pub(super) last_reply: Option<Moment>,
    /// Addresses whose pages are due now.
    pub(super) touched: BTreeSet<IpAddr>,
    /// Addresses whose claims are said again.
    pub(super) repeats: BTreeMap<Moment, Vec<IpAddr>>,
    /// Addresses that another node claims with a worse claim.
    pub(super) refutes: BTreeSet<IpAddr>,
    pub(super) last_refute: Option<Moment>,
    /// Who is to answer at once.
    pub(super) solicit: Vec<ShortId>,
    /// Whose rounds were ignored.
    pub(super) stale: Vec<Stale>,
    /// What the last page said about being in the minority.
    pub(super) said_minority: bool,
    /// The last pages are a whole round.
    pub(super) whole: bool,
}

/// Why pages are sent now.
struct Due {
    whole: bool,
    ask_all: bool,
    both: bool,
    touched: BTreeSet<IpAddr>,
}

impl Outbox {
    /// Begins to send rounds, which ask all to answer at first.
    pub(super) fn start(&mut self, now: Moment) {
        self.stop();
        self.next_tick = Some(now);
        self.ask_all = ASK_ALL;
    }

    /// Sends nothing more. What was said before stays said: the number of the last round is kept.
    pub(super) fn stop(&mut self) {
        *self = Self { seq: self.seq, said_minority: self.said_minority, ..Self::default() };
    }
}

impl Election {
    /// Answers a question soon.
    pub(super) fn reply(&mut self, by_name: bool) {
        let spread = self.timing.reply_spread.mul_f64(self.rng.f64());
        let spaced = self.outbox.last_reply.map(|at| at + self.timing.reply_spacing);
        let at = (self.now + spread).max(spaced.unwrap_or_default());
        let (at, both) =
            self.outbox.reply.map_or((at, by_name), |(due, both)| (due.min(at), both || by_name));
        self.outbox.reply = Some((at, both));
    }

    /// The pages that are due now.
    pub(super) fn compose(&mut self) -> Vec<Transmission> {
        self.outbox.whole = false;
        let goodbye = self.says_goodbye() || std::mem::take(&mut self.twins.farewell);
        if !goodbye && matches!(self.mode, Mode::Passive | Mode::Leaving { .. } | Mode::Left) {
            return Vec::new();
        }
        let due = self.take_due(goodbye);
        let lists = !self.outbox.solicit.is_empty() || !self.outbox.stale.is_empty();
        if !due.whole && due.touched.is_empty() && !lists {
            return Vec::new();
        }
        let asking = !self.outbox.solicit.is_empty();
        let round = self.round(goodbye, due.ask_all);
        let mut sent = pages(&round, self.page_size);
        let all = sent.len();
        if !due.whole {
            sent.retain(|page| (lists && page.header.page == 0) || touches(page, &due.touched));
        }
        self.outbox.whole = sent.len() == all;
        let listening = matches!(self.mode, Mode::Listening { .. });
        let udp_only = || self.peers.live().any(|peer| peer.needs_udp(self.now, &self.timing));
        let both = goodbye || listening || asking || due.both || !self.unheard.is_empty() || udp_only();
        let forms = if both { Forms::Both } else { Forms::Ethernet };
        vec![Transmission { pages: sent, forms }]
    }

    /// Finds out what is due and plans what comes next.
    fn take_due(&mut self, goodbye: bool) -> Due {
        let now = self.now;
        let mut whole = goodbye || std::mem::take(&mut self.outbox.round_now);
        let mut ask_all = false;
        if self.outbox.next_tick.is_some_and(|at| now >= at) {
            whole = true;
            if matches!(self.mode, Mode::Listening { .. }) && self.outbox.ask_all > 0 {
                self.outbox.ask_all -= 1;
                ask_all = true;
            }
            self.outbox.next_tick = Some(now + self.until_next_tick());
        }
        let reply = self.outbox.reply.filter(|(at, _)| now >= *at);
        if reply.is_some() {
            whole = true;
            self.outbox.reply = None;
            self.outbox.last_reply = Some(now);
        }
        let mut touched = std::mem::take(&mut self.outbox.touched);
        while let Some(repeat) = self.outbox.repeats.first_entry().filter(|repeat| *repeat.key() <= now) {
            touched.extend(repeat.remove());
        }
        if self.refute_at().is_some_and(|at| now >= at) {
            touched.append(&mut self.outbox.refutes);
            self.outbox.last_refute = Some(now);
        }
        Due { whole, ask_all, both: reply.is_some_and(|(_, both)| both), touched }
    }

    fn until_next_tick(&mut self) -> std::time::Duration {
        let urgent = !self.urgent.is_empty() && !self.offers.is_empty();
        let period = if urgent { self.timing.period / 4 } else { self.timing.period };
        let jitter = part(period, self.timing.jitter);
        period.saturating_sub(jitter) + 2 * jitter.mul_f64(self.rng.f64())
    }

    fn refute_at(&self) -> Option<Moment> {
        if self.outbox.refutes.is_empty() {
            return None;
        }
        Some(self.outbox.last_refute.map_or(self.now, |at| at + self.timing.reply_spacing))
    }

    /// All that this node says now.
    fn round(&mut self, goodbye: bool, ask_all: bool) -> Round {
        self.outbox.seq = self.outbox.seq.saturating_add(1).max(self.wall);
        self.outbox.said_minority = self.minority;
        let flags = Flags {
            listening: matches!(self.mode, Mode::Listening { .. }),
            draining: self.drain.is_some(),
            minority: self.minority,
            solicit_all: ask_all,
            not_candidate: !self.standing.candidate,
            goodbye,
        };
        let header = Header {
            from: self.identity,
            flags,
            seq: self.outbox.seq,
            mac: self.mac,
            uptime: self.uptime(),
            weight: self.standing.weight,
            period: u16::try_from(self.timing.period.as_millis()).unwrap_or(u16::MAX),
            page: 0,
            pages: 0,
        };
        let heard = self.peers.live().filter(|peer| peer.is_direct(self.now, &self.timing));
        Round {
            header,
            claims: self.stated_claims(),
            offers: self.offers.iter().map(|(address, offer)| (*address, offer.to.node.short())).collect(),
            heard: heard.map(|peer| peer.who.node.short()).collect(),
            solicit: std::mem::take(&mut self.outbox.solicit),
            stale: std::mem::take(&mut self.outbox.stale),
            classes: self.standing.classes.iter().map(|(class, fitness)| (*class, *fitness)).collect(),
            subnets: self.subnets.clone(),
        }
    }

    fn stated_claims(&self) -> Vec<Claim> {
        let owned = self.owned.iter().map(|(address, owned)| Claim {
            address: *address,
            epoch: owned.epoch,
            probing: owned.probing,
            released: false,
        });
        let released = self.released.iter().map(|(address, released)| Claim {
            address: *address,
            epoch: released.epoch,
            probing: false,
            released: true,
        });
        let mut claims: Vec<Claim> = owned.chain(released).collect();
        claims.sort_unstable_by_key(|claim| claim.address);
        claims
    }

    /// When something is to be sent next.
    pub(super) fn next_sending(&self) -> Option<Moment> {
        let tick = self.outbox.next_tick;
        let reply = self.outbox.reply.map(|(at, _)| at);
        let repeat = self.outbox.repeats.keys().next().copied();
        let now = self.outbox.round_now || !self.outbox.touched.is_empty() || !self.outbox.stale.is_empty();
        let now = now.then_some(self.now);
        [tick, reply, repeat, self.refute_at(), now].into_iter().flatten().min()
    }
}

/// Whether a page states one of these addresses.
fn touches(page: &Page, addresses: &BTreeSet<IpAddr>) -> bool {
    let sections = [&page.ipv4, &page.ipv6].into_iter().flatten();
    sections.into_iter().any(|claims| addresses.range(claims.low..=claims.high).next().is_some())
}
