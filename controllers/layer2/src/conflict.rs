//! Other machines that use an address which this node answers for.
//!
//! A machine that is not ours is reported and announced against, at most once in 10 s: the address is ours, and nobody
//! wins a fight. One of our own nodes without a claim is reported once it has been seen twice, as it may have answered late
//! the first time: it has the address on an interface, or IPVS without strict ARP. Whoever was seen is asked every half
//! second, and when it has been silent for two questions, the address is announced at once, so that clients come back.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::identity::NodeId;
use crate::mac::MacAddress;
use crate::moment::Moment;

/// How far announcements against others are apart at least (RFC 5227, `DEFEND_INTERVAL`).
pub const DEFENCE: Duration = Duration::from_secs(10);
/// How often a machine is asked.
const POLL: Duration = Duration::from_millis(500);
/// For how long it is silent when it is thought to be gone: two questions, and time for an answer.
const SILENCE: Duration = Duration::from_millis(1_100);
/// For how long after a claim the last owner may have answers on their way.
const LATE: Duration = Duration::from_secs(2);
/// How far two frames of a node of ours are apart that is not just late.
const REPEATED: Duration = Duration::from_millis(500);
/// How many machines are told apart for one address.
const MOST_STRANGERS: usize = 4;
/// How many addresses can be disputed at once: what others send makes no more of this node's memory and questions.
const MOST_DISPUTES: usize = 256;

/// Who sent a frame that shows somebody using an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sender {
    /// A machine that is not ours.
    Foreign,
    /// A node of ours that is heard.
    Fleet {
        /// Which.
        node: NodeId,
        /// Whether it has said last that it claims the address.
        claims: bool,
    },
}

/// What follows from seeing another user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reaction {
    /// It is to be reported.
    pub report: bool,
    /// The address is to be announced.
    pub defend: bool,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Due {
    /// A machine is to be asked whether it still uses an address.
    Ask {
        /// The address.
        address: IpAddr,
        /// The machine.
        mac: MacAddress,
    },
    /// Nobody else uses an address any more: it is to be announced, and the end reported.
    Over {
        /// The address.
        address: IpAddr,
    },
}

/// The disputes about the addresses of this node.
#[derive(Debug, Default)]
pub struct Disputes {
    claimed: HashMap<IpAddr, Moment>,
    disputes: HashMap<IpAddr, Dispute>,
    defended: HashMap<IpAddr, Moment>,
    ended: HashMap<IpAddr, Moment>,
}

#[derive(Debug, Default)]
struct Dispute {
    strangers: Vec<Known>,
    reported: bool,
}

#[derive(Debug)]
struct Known {
    mac: MacAddress,
    first: Moment,
    seen: Moment,
    ask: Moment,
    reported: bool,
}

impl Disputes {
    /// This node answers for an address from now on.
    pub fn claimed(&mut self, address: IpAddr, now: Moment) {
        self.claimed.insert(address, now);
    }

    /// It does no more. Says whether a dispute that was reported ends by that.
    pub fn lost(&mut self, address: IpAddr) -> bool {
        self.claimed.remove(&address);
        self.disputes.remove(&address).is_some_and(|dispute| dispute.reported)
    }

    /// Whether another user of an address has been reported and not silent since.
    #[must_use]
    pub fn is_disputed(&self, address: IpAddr) -> bool {
        self.disputes.get(&address).is_some_and(|dispute| dispute.reported)
    }

    /// Somebody was seen to use an address.
    pub fn sighted(&mut self, address: IpAddr, mac: MacAddress, sender: Sender, now: Moment) -> Reaction {
        let Some(since) = self.claimed.get(&address) else { return Reaction::default() };
        let is_foreign = match sender {
            Sender::Foreign => true,
            Sender::Fleet { claims: true, .. } => return Reaction::default(),
            Sender::Fleet { claims: false, .. } => {
                if now.since(*since) < LATE {
                    return Reaction::default();
                }
                false
            }
        };
        if self.disputes.len() >= MOST_DISPUTES && !self.disputes.contains_key(&address) {
            return Reaction::default();
        }
        let dispute = self.disputes.entry(address).or_default();
        let Some(known) = dispute.know(mac, now) else { return Reaction::default() };
        known.seen = now;
        let is_certain = is_foreign || now.since(known.first) >= REPEATED;
        let report = is_certain && !known.reported;
        known.reported |= report;
        dispute.reported |= report;
        let defend = is_foreign && is_past(&self.defended, address, now);
        if defend {
            self.defended.insert(address, now);
        }
        Reaction { report, defend }
    }

    /// What is due now, in the order of the addresses.
    pub fn due(&mut self, now: Moment) -> Vec<Due> {
        let mut due = Vec::new();
        let ended = &mut self.ended;
        self.disputes.retain(|address, dispute| {
            let may_end = is_past(ended, *address, now);
            dispute.strangers.retain(|known| now.since(known.seen) < SILENCE || known.reported && !may_end);
            for known in &mut dispute.strangers {
                if known.ask <= now {
                    known.ask = now + POLL;
                    due.push(Due::Ask { address: *address, mac: known.mac });
                }
            }
            let is_over = dispute.strangers.is_empty();
            if is_over && dispute.reported {
                ended.insert(*address, now);
                due.push(Due::Over { address: *address });
            }
            !is_over
        });
        for moments in [&mut self.defended, &mut self.ended] {
            moments.retain(|_, moment| now.since(*moment) < DEFENCE);
        }
        due.sort_unstable_by_key(|due| match due {
            Due::Ask { address, .. } | Due::Over { address } => *address,
        });
        due
    }

    /// When [`Disputes::due`] has something again.
    #[must_use]
    pub fn next_wake(&self) -> Option<Moment> {
        let each = self.disputes.values().flat_map(|dispute| &dispute.strangers);
        // Who is not asked has been asked, so that the silence of one who may not end yet is looked at with the question.
        each.map(|known| known.ask).min()
    }
}

impl Dispute {
    fn know(&mut self, mac: MacAddress, now: Moment) -> Option<&mut Known> {
        if let Some(at) = self.strangers.iter().position(|known| known.mac == mac) {
            return self.strangers.get_mut(at);
        }
        if self.strangers.len() >= MOST_STRANGERS {
            return None;
        }
        self.strangers.push(Known { mac, first: now, seen: now, ask: now + POLL, reported: false });
        self.strangers.last_mut()
    }
}

/// Whether what happened last for an address is long ago.
fn is_past(moments: &HashMap<IpAddr, Moment>, address: IpAddr, now: Moment) -> bool {
    moments.get(&address).is_none_or(|moment| now.since(*moment) >= DEFENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: MacAddress = MacAddress([2, 0, 0, 0, 0, 9]);

    fn address() -> IpAddr {
        IpAddr::from([198, 51, 100, 7])
    }

    fn at(millis: u64) -> Moment {
        Moment(Duration::from_secs(100) + Duration::from_millis(millis))
    }

    fn claimed() -> Disputes {
        let mut disputes = Disputes::default();
        disputes.claimed(address(), at(0));
        disputes
    }

    fn fleet(claims: bool) -> Sender {
        Sender::Fleet { node: NodeId([1; 8]), claims }
    }

    const NOTHING: Reaction = Reaction { report: false, defend: false };

    #[test]
    fn a_foreign_machine_is_reported_once_and_announced_against_every_ten_seconds() {
        let mut disputes = claimed();
        let mut reports = Vec::new();
        let mut defences = Vec::new();
        for millis in (1_000..40_000).step_by(10) {
            let reaction = disputes.sighted(address(), STRANGER, Sender::Foreign, at(millis));
            if reaction.report {
                reports.push(millis);
            }
            if reaction.defend {
                defences.push(millis);
            }
            disputes.due(at(millis));
        }
        assert_eq!(reports, [1_000]);
        assert_eq!(defences, [1_000, 11_000, 21_000, 31_000]);
        let other = disputes.sighted(address(), MacAddress([2; 6]), Sender::Foreign, at(40_000));
        assert_eq!(other, Reaction { report: true, defend: false });
    }

    #[test]
    fn who_is_silent_for_two_questions_is_gone() {
        let mut disputes = claimed();
        disputes.sighted(address(), STRANGER, Sender::Foreign, at(0));
        let mut happened = Vec::new();
        let mut now = at(0);
        while let Some(next) = disputes.next_wake() {
            now = next;
            let asked = disputes.due(now);
            // It answers twice.
            if asked.len() == 1 && now <= at(2_000) {
                disputes.sighted(address(), STRANGER, Sender::Foreign, now);
            }
            happened.extend(asked);
        }
        let ask = Due::Ask { address: address(), mac: STRANGER };
        assert_eq!(happened, [ask, ask, ask, ask, ask, ask, Due::Over { address: address() }]);
        assert_eq!(now, at(3_500));
        assert!(!disputes.is_disputed(address()));
    }

    #[test]
    fn who_comes_and_goes_does_not_make_us_announce_more() {
        let mut disputes = claimed();
        let mut over = Vec::new();
        for millis in (0..60_000).step_by(100) {
            // A frame, then four seconds of silence.
            if millis % 4_000 == 0 {
                disputes.sighted(address(), STRANGER, Sender::Foreign, at(millis));
            }
            over.extend(disputes.due(at(millis)).into_iter().filter(|due| matches!(due, Due::Over { .. })));
        }
        assert!(over.len() <= 6 && over.len() >= 4, "{}", over.len());
    }

    #[test]
    fn a_node_of_ours_is_reported_when_it_was_not_just_late() {
        let mut disputes = claimed();
        assert_eq!(disputes.sighted(address(), STRANGER, fleet(true), at(9_000)), NOTHING, "hands over");
        assert_eq!(disputes.sighted(address(), STRANGER, fleet(false), at(1_999)), NOTHING, "late");
        assert!(disputes.next_wake().is_none());
        assert_eq!(disputes.sighted(address(), STRANGER, fleet(false), at(5_000)), NOTHING, "perhaps late");
        assert_eq!(disputes.due(at(6_000)), [Due::Ask { address: address(), mac: STRANGER }]);
        let again = disputes.sighted(address(), STRANGER, fleet(false), at(6_001));
        assert_eq!(again, Reaction { report: true, defend: false });
        assert!(disputes.lost(address()));
    }

    #[test]
    fn one_late_answer_is_forgotten_in_silence() {
        let mut disputes = claimed();
        disputes.sighted(address(), STRANGER, fleet(false), at(5_000));
        let mut happened = Vec::new();
        while let Some(next) = disputes.next_wake() {
            happened.extend(disputes.due(next));
        }
        assert_eq!(happened, [Due::Ask { address: address(), mac: STRANGER }; 2]);
        assert!(!disputes.lost(address()));
    }

    #[test]
    fn forged_frames_make_little() {
        let mut disputes = Disputes::default();
        let mut reports = 0;
        for last in 0..2_000_u16 {
            let [high, low] = last.to_be_bytes();
            let address = IpAddr::from([198, 51, high, low]);
            disputes.claimed(address, at(0));
            for mac in 0..100 {
                let mac = MacAddress([2, 0, 0, 0, 0, mac]);
                reports += usize::from(disputes.sighted(address, mac, Sender::Foreign, at(10)).report);
            }
        }
        assert_eq!(reports, MOST_STRANGERS * MOST_DISPUTES);
        assert_eq!(disputes.due(at(1_010)).len(), MOST_STRANGERS * MOST_DISPUTES);
        let elsewhere = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(disputes.sighted(elsewhere, STRANGER, Sender::Foreign, at(10)), NOTHING, "not ours");
    }
}
