//! Frames in: beacons first, then what neighbours ask and say.

use std::net::IpAddr;
use std::time::Duration;

use super::{Received, Request, Segment, Socket, Stranger};
use crate::beacon::BeaconResult;
use crate::conflict::Sender;
use crate::ethernet::{Frame, ether_type};
use crate::ndp::{Message, Solicitation};
use crate::ownership::{Outcome, Via};
use crate::probe::{self, Use};
use crate::{MacAddress, arp, responder, udp};

/// A frame that says to be a beacon.
#[derive(Clone, Copy)]
struct Beacon<'a> {
    source: MacAddress,
    payload: &'a [u8],
    over_udp: bool,
    age: Duration,
}

impl Segment {
    /// Takes all beacons, those of known participants first, and of their two forms the first one first.
    pub(super) fn hear_beacons(&mut self, received: &[Received<'_>]) {
        let mut of_others = Vec::new();
        let is_first_form = |received: &&Received<'_>| received.socket == Socket::Beacons;
        let second_form = received.iter().filter(|received| !is_first_form(received));
        for received in received.iter().filter(is_first_form).chain(second_form) {
            let Some(beacon) = self.beacon(received) else { continue };
            if self.election.fleet(beacon.source).is_some() {
                self.hear(beacon, true);
            } else {
                of_others.push(beacon);
            }
        }
        for beacon in of_others {
            let is_known = self.election.fleet(beacon.source).is_some();
            self.hear(beacon, is_known);
        }
    }

    fn beacon<'a>(&mut self, received: &Received<'a>) -> Option<Beacon<'a>> {
        let frame = Frame::read(received.frame)?;
        let source = frame.source;
        match received.socket {
            Socket::Beacons => (frame.ether_type == self.ether_type).then_some(Beacon {
                source,
                payload: frame.payload,
                over_udp: false,
                age: received.age,
            }),
            Socket::Ipv6 | Socket::Ipv4 => match udp::read(frame.ether_type, frame.payload) {
                Ok(payload) => Some(Beacon { source, payload, over_udp: true, age: received.age }),
                Err(udp::NotABeacon::Other) => None,
                Err(udp::NotABeacon::HopLimit) => {
                    self.counters.count(BeaconResult::HopLimit);
                    None
                }
                Err(udp::NotABeacon::Damaged) => {
                    self.counters.count(BeaconResult::Length);
                    None
                }
            },
            Socket::Arp => None,
        }
    }

    fn hear(&mut self, beacon: Beacon<'_>, is_known: bool) {
        let page = match self
            .admission
            .admit(beacon.payload, is_known, self.woken.boot, |header| self.election.recall(header))
        {
            Ok(page) => page,
            Err(result) => return self.counters.count(result),
        };
        let via = if beacon.source != page.header.mac {
            Via::Relay
        } else if beacon.over_udp {
            Via::Udp
        } else {
            Via::Ethernet
        };
        let heard = self.election.hear(&page, via);
        self.succession.give(&heard.handed_over, self.woken.boot - beacon.age);
        for station in heard.relay_to {
            self.relay(station, beacon.payload);
        }
        self.counters.count(match heard.outcome {
            Outcome::Accepted => BeaconResult::Accepted,
            Outcome::Duplicate => BeaconResult::Duplicate,
            Outcome::Old => BeaconResult::Old,
            Outcome::ClockSkew => BeaconResult::ClockSkew,
            Outcome::Own | Outcome::Twin | Outcome::Clash => BeaconResult::Own,
            Outcome::TooMany => BeaconResult::TooMany,
        });
    }

    /// Takes what is no beacon: keeps requests, and notes who uses our addresses.
    pub(super) fn hear_neighbours(&mut self, received: &[Received<'_>]) {
        for received in received {
            let Some(frame) = Frame::read(received.frame) else { continue };
            match (received.socket, frame.ether_type) {
                (Socket::Arp, ether_type::ARP) => self.hear_arp(&frame, received),
                (Socket::Ipv6, ether_type::IPV6) => self.hear_ndp(&frame, received),
                _ => {}
            }
        }
    }

    fn hear_arp(&mut self, frame: &Frame<'_>, received: &Received<'_>) {
        let Some(packet) = arp::Packet::read(frame.payload) else { return };
        if frame.source == self.link.mac || packet.sender_mac == self.link.mac {
            return;
        }
        let target = IpAddr::from(packet.target);
        if responder::is_question(frame, &packet, self.link.mac) && self.wishes.hears(target) {
            self.counters.arp.requests += 1;
            self.requests.push(Request::Arp { packet, age: received.age });
            self.note_station(packet.sender.into(), packet.sender_mac);
        }
        if let Some((address, how)) = probe::user_by_arp(&packet) {
            let sighting = Sighting {
                address,
                mac: packet.sender_mac,
                how,
                to_all: packet.is_announcement(),
                is_plain: frame.source == packet.sender_mac,
            };
            self.see(&sighting);
        }
    }

    fn hear_ndp(&mut self, frame: &Frame<'_>, received: &Received<'_>) {
        if frame.source == self.link.mac {
            return;
        }
        let Some(message) = Message::read(frame.payload) else { return };
        let (mac, to_all) = match &message {
            Message::Solicitation(solicitation) => {
                self.keep_solicitation(solicitation, frame, received);
                (solicitation.source_mac.unwrap_or(frame.source), false)
            }
            Message::Advertisement(advertisement) => {
                (advertisement.target_mac.unwrap_or(frame.source), advertisement.destination.is_multicast())
            }
        };
        if let Some((address, how)) = probe::user_by_ndp(&message, &self.prober.nonce()) {
            self.see(&Sighting { address, mac, how, to_all, is_plain: frame.source == mac });
        }
    }

    fn keep_solicitation(
        &mut self,
        solicitation: &Solicitation<'_>,
        frame: &Frame<'_>,
        received: &Received<'_>,
    ) {
        let for_us = frame.destination == self.link.mac || frame.destination.is_multicast();
        if for_us && self.wishes.hears(solicitation.target.into()) {
            self.counters.ndp.requests += 1;
            let solicitation = Solicitation { nonce: None, ..*solicitation };
            self.requests.push(Request::Ndp { solicitation, asker: frame.source, age: received.age });
            self.note_station(solicitation.source.into(), frame.source);
        }
    }

    /// Nodes of ours are heard by their beacons.
    fn note_station(&mut self, address: IpAddr, mac: MacAddress) {
        if self.election.fleet(mac).is_none() && !self.surroundings.fleet.contains_key(&mac) {
            self.stations.note(address, mac, self.woken.boot);
        }
    }

    /// Somebody has to do with an address.
    fn see(&mut self, sighting: &Sighting) {
        let Sighting { address, mac, how, .. } = *sighting;
        if mac == self.link.mac || mac.is_multicast() || !self.wishes.hears(address) {
            return;
        }
        let sender = match self.election.fleet(mac) {
            Some(member) if member.live => {
                let claims = self.election.is_claimed_by(address, mac);
                Sender::Fleet { node: member.node, claims }
            }
            Some(_) => {
                if how == Use::Using && sighting.to_all {
                    self.election.evidence(address, mac);
                }
                return;
            }
            None => match self.surroundings.fleet.get(&mac) {
                Some(node) => Sender::Fleet { node: *node, claims: false },
                None => Sender::Foreign,
            },
        };
        if self.prober.asks(address) {
            self.see_while_probing(sighting, sender);
        } else if how == Use::Using {
            self.see_in_use(address, mac, sender);
        }
    }

    fn see_while_probing(&mut self, sighting: &Sighting, sender: Sender) {
        let node = match sender {
            // Another speaker that probes: which of the two has the address is for the election to say.
            Sender::Fleet { claims: true, .. } => return,
            Sender::Fleet { .. } if sighting.how == Use::Asking => return,
            Sender::Fleet { node, .. } => Some(node),
            Sender::Foreign => None,
        };
        // Some devices send probes in the name of others, which must cost nobody an address.
        if sighting.is_plain {
            self.fail_probe(sighting.address, Stranger { mac: sighting.mac, node });
        }
    }

    fn see_in_use(&mut self, address: IpAddr, mac: MacAddress, sender: Sender) {
        let reaction = self.disputes.sighted(address, mac, sender, self.woken.boot);
        if reaction.report {
            let node = match sender {
                Sender::Fleet { node, .. } => Some(node),
                Sender::Foreign => None,
            };
            self.report_conflict(address, Stranger { mac, node });
        }
        if reaction.defend {
            self.counters.defences += 1;
            self.announcer.repeat(address);
        }
    }
}

/// A frame that shows somebody to have to do with an address.
struct Sighting {
    address: IpAddr,
    mac: MacAddress,
    how: Use,
    /// Whether it was said to all of the segment.
    to_all: bool,
    /// Whether the frame came from the MAC address that it speaks of.
    is_plain: bool,
}
