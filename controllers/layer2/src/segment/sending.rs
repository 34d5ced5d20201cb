//! Frames out, and what follows from what the election decided.

use std::net::IpAddr;
use std::time::Duration;

use super::{Outgoing, OutgoingKind, Owned, ReportKind, Request, Segment, Stranger};
use crate::beacon::codec::encode;
use crate::conflict::Due;
use crate::gratuitous::Form;
use crate::moment::Moment;
use crate::ownership::{ClaimCause, Event, Forms, Transmission};
use crate::probe::Step;
use crate::{MacAddress, arp, ethernet, ndp, responder, udp};

impl Segment {
    pub(super) fn send(&mut self, transmissions: &[Transmission]) {
        for transmission in transmissions {
            for page in &transmission.pages {
                let mut frame = Vec::with_capacity(ethernet::HEADER_LENGTH + ethernet::MOST_PAYLOAD);
                ethernet::write_header(self.destination, self.link.mac, self.ether_type, &mut frame);
                encode(page, self.admission.cluster(), self.admission.keys(), &mut frame);
                let source = udp::source_of(&self.link).filter(|_| transmission.forms == Forms::Both);
                let over_udp =
                    source.map(|source| udp::frame(self.link.mac, source, &frame[ethernet::HEADER_LENGTH..]));
                // Whoever gets both takes the first one, and by that knows that the second is not needed.
                self.push_beacon(frame);
                if let Some(frame) = over_udp {
                    self.push_beacon(frame);
                }
            }
        }
    }

    fn push_beacon(&mut self, frame: Vec<u8>) {
        self.counters.beacons_sent += 1;
        self.outgoing.push(Outgoing::new(OutgoingKind::Beacon, frame));
    }

    /// Passes a beacon on to a station that can not hear its sender.
    pub(super) fn relay(&mut self, station: MacAddress, beacon: &[u8]) {
        let mut frame = Vec::with_capacity(ethernet::HEADER_LENGTH + beacon.len());
        ethernet::write_header(station, self.link.mac, self.ether_type, &mut frame);
        frame.extend(beacon);
        self.counters.beacons_relayed += 1;
        self.outgoing.push(Outgoing::new(OutgoingKind::Relay, frame));
    }

    /// Does what is due about addresses that the segment is asked about, before the election says what it sends. Returns
    /// the addresses for which a probe is to be sent.
    pub(super) fn step_probes(&mut self) -> Vec<IpAddr> {
        let now = self.woken.boot;
        let mut asked = Vec::new();
        for step in self.prober.due(now, &mut self.pacer) {
            match step {
                Step::Ask(address) => asked.push(address),
                Step::Free(address) => {
                    self.election.probed(address);
                    if let Some(owned) = self.owned.get_mut(&address) {
                        owned.probing = false;
                        let epoch = owned.epoch;
                        self.report(ReportKind::Probed { address, epoch, user: None });
                        self.begin_to_answer(address);
                    }
                }
            }
        }
        asked
    }

    /// Asks the segment about an address, unless it was lost in this wake-up.
    pub(super) fn send_probe(&mut self, address: IpAddr) {
        if !self.prober.asks(address) {
            return;
        }
        let kind = OutgoingKind::Question;
        let mac = self.link.mac;
        self.outgoing.push(match address {
            IpAddr::V4(address) => {
                Outgoing::short(kind, &arp::Packet::probe(mac, address).frame(MacAddress::BROADCAST))
            }
            IpAddr::V6(address) => Outgoing::short(kind, &ndp::probe(mac, address, self.prober.nonce())),
        });
    }

    /// Somebody uses an address that the segment is asked about.
    pub(super) fn fail_probe(&mut self, address: IpAddr, user: Stranger) {
        self.prober.end(address);
        self.election.conflicted(address);
        let epoch = self.owned.get(&address).map_or(0, |owned| owned.epoch);
        self.counters.conflicts += 1;
        self.report(ReportKind::Probed { address, epoch, user: Some(user) });
    }

    /// Asks one station whether it has an address, or is there at all.
    fn send_question(&mut self, address: IpAddr, station: MacAddress) {
        let kind = OutgoingKind::Question;
        let mac = self.link.mac;
        match address {
            IpAddr::V4(address) => {
                let frame = arp::Packet::probe(mac, address).frame(station);
                self.outgoing.push(Outgoing::short(kind, &frame));
            }
            IpAddr::V6(address) => {
                if let Some(source) = self.link.link_local() {
                    let frame = ndp::question(mac, source, station, address);
                    self.outgoing.push(Outgoing::short(kind, &frame));
                }
            }
        }
    }

    /// Takes over what the election decided.
    pub(super) fn follow_events(&mut self) {
        for event in self.election.take_events() {
            match event {
                Event::Claimed { address, epoch, cause, probing, outage } => {
                    if cause == ClaimCause::Offer {
                        self.succession.claim(address);
                    }
                    let since = self.woken.wall;
                    self.owned.insert(address, Owned { epoch, since, outage, probing });
                    self.wishes.set_owned(address, true);
                    if probing {
                        self.prober.begin(address, self.woken.boot);
                    } else {
                        self.begin_to_answer(address);
                    }
                }
                Event::Announce { address } => self.announcer.repeat(address),
                Event::Lost { address, epoch, cause } => {
                    self.wishes.set_owned(address, false);
                    self.prober.end(address);
                    self.announcer.end(address);
                    if self.disputes.lost(address) {
                        self.report(ReportKind::ConflictOver { address });
                    }
                    if self.owned.remove(&address).is_some_and(|owned| !owned.probing) {
                        self.report(ReportKind::Lost { address, epoch, cause: cause.into() });
                    }
                }
                Event::Fenced { .. } => self.counters.fences += 1,
                Event::ProveHearing => self.ask_stations(),
                Event::Raised(condition) => {
                    self.report(ReportKind::Condition { condition: condition.into(), holds: true });
                }
                Event::Cleared(condition) => {
                    self.report(ReportKind::Condition { condition: condition.into(), holds: false });
                }
                Event::Activated
                | Event::PeerJoined(_)
                | Event::PeerLeft(_)
                | Event::PeerDied { .. }
                | Event::PeerReturned(_) => {}
            }
        }
    }

    /// This node answers for an address from now on.
    fn begin_to_answer(&mut self, address: IpAddr) {
        self.announcer.begin(address);
        self.disputes.claimed(address, self.woken.boot);
        self.report_owned(address);
    }

    pub(super) fn report_owned(&mut self, address: IpAddr) {
        if let Some(owned) = self.owned.get(&address).filter(|owned| !owned.probing) {
            let Owned { epoch, since, outage, .. } = *owned;
            self.report(ReportKind::Owned { address, epoch, since, mac: self.link.mac, outage });
        }
    }

    pub(super) fn report_conflict(&mut self, address: IpAddr, with: Stranger) {
        self.counters.conflicts += 1;
        self.report(ReportKind::Conflict { address, with });
    }

    /// Asks stations that were seen lately, or else the gateways, whether anything is heard.
    fn ask_stations(&mut self) {
        let stations: Vec<_> = self.stations.iter().collect();
        for (address, mac) in &stations {
            self.send_question(*address, *mac);
        }
        if stations.is_empty() {
            for gateway in self.surroundings.gateways.clone() {
                match gateway {
                    IpAddr::V4(_) => self.send_question(gateway, MacAddress::BROADCAST),
                    IpAddr::V6(address) => {
                        self.send_question(gateway, ndp::multicast_mac(ndp::solicited_node(address)));
                    }
                }
            }
        }
    }

    /// Asks those who use our addresses, and announces again what nobody else uses any more.
    pub(super) fn step_disputes(&mut self) {
        for due in self.disputes.due(self.woken.boot) {
            match due {
                Due::Ask { address, mac } => self.send_question(address, mac),
                Due::Over { address } => {
                    self.announcer.repeat(address);
                    self.report(ReportKind::ConflictOver { address });
                }
            }
        }
    }

    /// Sends as many announcements as may be sent now.
    pub(super) fn announce(&mut self) {
        let now = self.woken.boot;
        while let Some((address, form)) = self.announcer.next(now, &mut self.pacer) {
            self.send_announcement(address, form);
        }
    }

    fn send_announcement(&mut self, address: IpAddr, form: Form) {
        let kind = OutgoingKind::Announcement;
        let mac = self.link.mac;
        let frame = match (address, form) {
            (IpAddr::V4(address), Form::First) => {
                self.counters.arp.gratuitous += 1;
                Outgoing::short(kind, &arp::Packet::announcement(mac, address).frame(MacAddress::BROADCAST))
            }
            (IpAddr::V4(address), Form::Reply) => {
                self.counters.arp.gratuitous += 1;
                let reply = arp::Packet::announcing_reply(mac, address);
                Outgoing::short(kind, &reply.frame(MacAddress::BROADCAST))
            }
            (IpAddr::V6(address), _) => {
                self.counters.ndp.gratuitous += 1;
                let source = self.link.link_local().unwrap_or(address);
                Outgoing::short(kind, &responder::unsolicited(address, mac, source))
            }
        };
        self.outgoing.push(frame);
    }

    /// Answers a request, if it is not too old and the address is ours.
    pub(super) fn answer(&mut self, request: &Request, now: Moment, stood: Duration) {
        let (target, age) = match request {
            Request::Arp { packet, age } => (IpAddr::from(packet.target), *age),
            Request::Ndp { solicitation, age, .. } => (IpAddr::from(solicitation.target), *age),
        };
        let arrived = self.woken.boot - age;
        let is_ours = if self.election.answers(target, now) {
            !self.succession.is_predecessors(target, arrived)
        } else {
            self.election.is_fresh(now) && self.succession.is_still_ours(target, arrived)
        };
        if !is_ours {
            return;
        }
        let counters = if target.is_ipv4() { &mut self.counters.arp } else { &mut self.counters.ndp };
        if age + stood >= responder::MOST_AGE {
            counters.late += 1;
            return;
        }
        counters.replies += 1;
        let mac = self.link.mac;
        self.outgoing.push(match request {
            Request::Arp { packet, .. } => {
                Outgoing::short(OutgoingKind::Reply, &packet.reply(mac).frame(packet.sender_mac))
            }
            Request::Ndp { solicitation, asker, .. } => {
                let source = self.link.link_local().unwrap_or(solicitation.target);
                let frame = responder::advertisement(solicitation, *asker, mac, source);
                Outgoing::short(OutgoingKind::Reply, &frame)
            }
        });
    }
}
