//! The question whether anybody uses an address, before it is answered for the first time.
//!
//! As RFC 5227 has it for IPv4, with times for a switched network: three probes 100 ms apart, the first after at most
//! 100 ms at random, then 200 ms of waiting; for IPv6 the search for duplicates of RFC 4862 with the nonce of RFC 7527.
//! It takes half a second, and no failover waits for it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::arp::Packet;
use crate::moment::Moment;
use crate::ndp::{Message, NONCE_LENGTH};
use crate::pacer::Pacer;

/// How long the first probe waits at most, at random.
const WAIT: Duration = Duration::from_millis(100);
/// How many probes are sent.
const PROBES: u8 = 3;
/// How far they are apart.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long an answer to the last one may take.
const ANSWER: Duration = Duration::from_millis(200);

/// The addresses that the segment is asked about.
#[derive(Debug)]
pub struct Prober {
    probes: HashMap<IpAddr, Probe>,
    random: fastrand::Rng,
    nonce: [u8; NONCE_LENGTH],
}

#[derive(Debug)]
struct Probe {
    sent: u8,
    due: Moment,
}

/// What is to be done about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A probe is to be sent.
    Ask(IpAddr),
    /// Nobody uses it.
    Free(IpAddr),
}

impl Prober {
    /// Of nothing at first. The seed spreads the first probes, and makes the nonce.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut nonce = [0; NONCE_LENGTH];
        random.fill(&mut nonce);
        Self { probes: HashMap::new(), random, nonce }
    }

    /// What tells our solicitations from those of others.
    #[must_use]
    pub fn nonce(&self) -> [u8; NONCE_LENGTH] {
        self.nonce
    }

    /// Begins to ask about an address.
    pub fn begin(&mut self, address: IpAddr, now: Moment) {
        let due = now + WAIT.mul_f64(self.random.f64());
        self.probes.insert(address, Probe { sent: 0, due });
    }

    /// Asks about an address no more.
    pub fn end(&mut self, address: IpAddr) {
        self.probes.remove(&address);
    }

    /// Whether the segment is being asked about an address.
    #[must_use]
    pub fn asks(&self, address: IpAddr) -> bool {
        self.probes.contains_key(&address)
    }

    /// What is due now, in the order of the addresses.
    pub(crate) fn due(&mut self, now: Moment, pacer: &mut Pacer) -> Vec<Step> {
        let mut due: Vec<_> =
            self.probes.iter().filter(|(_, probe)| probe.due <= now).map(|(address, _)| *address).collect();
        due.sort_unstable();
        due.into_iter().filter_map(|address| self.step(address, now, pacer)).collect()
    }

    fn step(&mut self, address: IpAddr, now: Moment, pacer: &mut Pacer) -> Option<Step> {
        let probe = self.probes.get_mut(&address)?;
        if probe.sent == PROBES {
            self.probes.remove(&address);
            return Some(Step::Free(address));
        }
        if !pacer.take(now) {
            probe.due = pacer.ready();
            return None;
        }
        probe.sent += 1;
        probe.due = now + if probe.sent == PROBES { ANSWER } else { INTERVAL };
        Some(Step::Ask(address))
    }

    /// When [`Prober::due`] has something again.
    pub(crate) fn next_wake(&self) -> Option<Moment> {
        self.probes.values().map(|probe| probe.due).min()
    }
}

/// The address that an ARP packet shows to be in use, or about to be.
#[must_use]
pub fn user_by_arp(packet: &Packet) -> Option<(IpAddr, Use)> {
    if packet.is_probe() {
        return Some((packet.target.into(), Use::Asking));
    }
    (!packet.sender.is_unspecified()).then(|| (packet.sender.into(), Use::Using))
}

/// The address that a message of neighbour discovery shows to be in use, or about to be.
#[must_use]
pub fn user_by_ndp(message: &Message<'_>, nonce: &[u8]) -> Option<(IpAddr, Use)> {
    match message {
        Message::Advertisement(advertisement) => Some((advertisement.target.into(), Use::Using)),
        Message::Solicitation(solicitation) if solicitation.source.is_unspecified() => {
            // A switch that sends our own question back to us is nobody.
            let is_ours = solicitation.nonce == Some(nonce);
            (!is_ours).then(|| (solicitation.target.into(), Use::Asking))
        }
        Message::Solicitation(solicitation) => Some((solicitation.source.into(), Use::Using)),
    }
}

/// How a frame shows that somebody has to do with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    /// It has the address.
    Using,
    /// It asks whether anybody has it, and will take it if not.
    Asking,
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::mac::MacAddress;
    use crate::ndp::{Advertisement, Solicitation, solicited_node};

    const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 9]);

    fn at(millis: u64) -> Moment {
        Moment(Duration::from_secs(100) + Duration::from_millis(millis))
    }

    #[test]
    fn three_probes_and_a_wait() {
        for seed in 0..50 {
            let mut prober = Prober::new(seed);
            let mut pacer = Pacer::new(10_000);
            let address = IpAddr::from([198, 51, 100, 7]);
            prober.begin(address, at(0));
            let mut asked = Vec::new();
            let free = loop {
                let now = prober.next_wake().unwrap();
                match prober.due(now, &mut pacer)[..] {
                    [Step::Ask(_)] => asked.push(now.since(at(0))),
                    [Step::Free(free)] => break (now.since(at(0)), free),
                    ref other => panic!("{other:?}"),
                }
            };
            assert_eq!(free.1, address);
            let [first, second, third] = asked[..] else { panic!("{asked:?}") };
            assert!(first <= WAIT, "{first:?}");
            let then = [first + INTERVAL, first + 2 * INTERVAL, first + 2 * INTERVAL + ANSWER];
            assert_eq!([second, third, free.0], then);
            assert!(!prober.asks(address) && prober.next_wake().is_none());
        }
    }

    #[test]
    fn many_probes_are_paced_and_none_is_left_out() {
        let mut prober = Prober::new(1);
        let mut pacer = Pacer::new(1_000);
        for last in 0..250 {
            prober.begin(IpAddr::from([198, 51, 100, last]), at(0));
        }
        let (mut asked, mut free) = (0, 0);
        while let Some(now) = prober.next_wake() {
            for step in prober.due(now, &mut pacer) {
                match step {
                    Step::Ask(_) => asked += 1,
                    Step::Free(_) => free += 1,
                }
            }
            assert!(asked <= now.since(at(0)).as_millis() + 4, "{asked} after {now:?}");
        }
        assert_eq!((asked, free), (750, 250));
    }

    #[test]
    fn what_shows_a_user_in_arp() {
        let address = Ipv4Addr::new(198, 51, 100, 7);
        let shown = user_by_arp;
        assert_eq!(shown(&Packet::probe(MAC, address)), Some((address.into(), Use::Asking)));
        for packet in [Packet::announcement(MAC, address), Packet::announcing_reply(MAC, address)] {
            assert_eq!(shown(&packet), Some((address.into(), Use::Using)));
        }
        let question =
            Packet { target: Ipv4Addr::new(198, 51, 100, 1), ..Packet::announcement(MAC, address) };
        assert_eq!(shown(&question), Some((address.into(), Use::Using)));
        let nobody = Packet { sender: Ipv4Addr::UNSPECIFIED, ..Packet::announcing_reply(MAC, address) };
        assert_eq!(shown(&nobody), None);
    }

    #[test]
    fn what_shows_a_user_in_ndp() {
        let address: Ipv6Addr = "2001:db8::7".parse().unwrap();
        let nonce = [1, 2, 3, 4, 5, 6];
        let shown = |message| user_by_ndp(&message, &nonce);
        let asking = |nonce| {
            Message::Solicitation(Solicitation {
                source: Ipv6Addr::UNSPECIFIED,
                destination: solicited_node(address),
                target: address,
                source_mac: None,
                nonce,
            })
        };
        assert_eq!(shown(asking(None)), Some((address.into(), Use::Asking)));
        assert_eq!(shown(asking(Some(&[6; 6]))), Some((address.into(), Use::Asking)));
        assert_eq!(shown(asking(Some(&nonce))), None);
        let advertisement = Advertisement {
            source: Ipv6Addr::LOCALHOST,
            destination: crate::ndp::ALL_NODES,
            target: address,
            target_mac: None,
            router: false,
            solicited: false,
            overrides: true,
        };
        assert_eq!(shown(Message::Advertisement(advertisement)), Some((address.into(), Use::Using)));
    }
}
