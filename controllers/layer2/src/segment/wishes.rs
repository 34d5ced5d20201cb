//! The addresses that somebody is to answer for, and which of them can be answered for here.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::Surroundings;
use crate::filter::About;
use crate::link::LinkFacts;
use crate::ndp::solicited_node;
use crate::responder::{Unusable, unusable};
use crate::udp;
use crate::wanted::{Fitness, Wanted};

/// The wanted addresses of an interface.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    wishes: HashMap<IpAddr, Wish>,
    heard: u64,
    owned: u64,
}

/// Whose questions are heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Questions {
    /// Those for all addresses that this node answers for, or may come to.
    All,
    /// Those for the addresses that this node has.
    Owned,
}

/// Changes whenever what is to be heard does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    heard: u64,
    owned: Option<u64>,
}

impl Generation {
    /// Changes whenever the multicast groups do.
    #[must_use]
    pub const fn of_groups(self) -> u64 {
        self.heard
    }
}

#[derive(Debug)]
struct Wish {
    wanted: Arc<Wanted>,
    unusable: Option<Unusable>,
    /// This node has it. If it may not have it any more, it is answered for until another node takes it.
    owned: bool,
}

/// What changed for an address.
pub(super) struct Change {
    /// The address.
    pub(super) address: IpAddr,
    /// What the election is to know of it.
    pub(super) wanted: Option<Arc<Wanted>>,
    /// Whether it can be answered for here, if that changed.
    pub(super) usability: Option<Usability>,
}

/// Whether an address can be answered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usability {
    Usable,
    Unusable(Unusable),
}

impl From<Option<Unusable>> for Usability {
    fn from(reason: Option<Unusable>) -> Self {
        reason.map_or(Self::Usable, Self::Unusable)
    }
}

impl Wishes {
    /// What is known about an address changed.
    pub(super) fn set(
        &mut self,
        address: IpAddr,
        wanted: Option<Arc<Wanted>>,
        link: &LinkFacts,
        surroundings: &Surroundings,
    ) -> Change {
        let was_heard = self.hears(address);
        let before = self.wishes.remove(&address);
        let was_unusable = before.as_ref().and_then(|wish| wish.unusable);
        let Some(wanted) = wanted else {
            self.heard += u64::from(was_heard);
            let usability = was_unusable.map(|_| Usability::Usable);
            return Change { address, wanted: None, usability };
        };
        let unusable = reason(address, &wanted, link, surroundings);
        let wish = Wish { wanted, unusable, owned: before.is_some_and(|wish| wish.owned) };
        let change = Change {
            address,
            wanted: Some(wish.for_election()),
            usability: (unusable != was_unusable).then(|| unusable.into()),
        };
        self.wishes.insert(address, wish);
        self.heard += u64::from(self.hears(address) != was_heard);
        change
    }

    /// This node has an address, or has it no longer.
    pub(super) fn set_owned(&mut self, address: IpAddr, owned: bool) {
        let was_heard = self.hears(address);
        if let Some(wish) = self.wishes.get_mut(&address) {
            wish.owned = owned;
            self.owned += 1;
        }
        self.heard += u64::from(self.hears(address) != was_heard);
    }

    /// The interface or what is around the node changed.
    pub(super) fn review(&mut self, link: &LinkFacts, surroundings: &Surroundings) -> Vec<Change> {
        self.heard += 1;
        let mut changes = Vec::new();
        for (address, wish) in &mut self.wishes {
            let now = reason(*address, &wish.wanted, link, surroundings);
            if now != wish.unusable {
                wish.unusable = now;
                changes.push(Change {
                    address: *address,
                    wanted: Some(wish.for_election()),
                    usability: Some(now.into()),
                });
            }
        }
        changes.sort_unstable_by_key(|change| change.address);
        changes
    }

    /// Whether this node answers for an address, or may come to.
    pub(super) fn hears(&self, address: IpAddr) -> bool {
        self.wishes.get(&address).is_some_and(Wish::is_heard)
    }

    /// Changes whenever the groups do, or the filters for these questions.
    pub(super) fn generation(&self, questions: Questions) -> Generation {
        let owned = (questions == Questions::Owned).then_some(self.owned);
        Generation { heard: self.heard, owned }
    }

    /// What is to be heard about IPv4 addresses.
    pub(super) fn ipv4(&self, questions: Questions) -> About<Ipv4Addr> {
        self.about(questions, |address| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
    }

    /// What is to be heard about IPv6 addresses.
    pub(super) fn ipv6(&self, questions: Questions) -> About<Ipv6Addr> {
        self.about(questions, ipv6)
    }

    fn about<Address>(
        &self,
        questions: Questions,
        of_family: fn(IpAddr) -> Option<Address>,
    ) -> About<Address> {
        let heard = || self.wishes.iter().filter(|(_, wish)| wish.is_heard());
        let asked = heard().filter(|(_, wish)| wish.owned || questions == Questions::All);
        About {
            asked: asked.filter_map(|(address, _)| of_family(*address)).collect(),
            used: heard().filter_map(|(address, _)| of_family(*address)).collect(),
        }
    }

    /// The multicast groups that an interface needs for them and for beacons.
    ///
    /// Those of all addresses rather than of the owned ones: a switch learns of a group by a report, which would come late
    /// after a failover.
    pub(super) fn groups(&self, link: &LinkFacts) -> Vec<IpAddr> {
        if link.link_local().is_none() {
            return vec![udp::GROUP_V4.into()];
        }
        let heard = self.wishes.iter().filter(|(_, wish)| wish.is_heard());
        let addresses = heard.filter_map(|(address, _)| ipv6(*address));
        let groups: BTreeSet<_> = addresses.map(solicited_node).chain([udp::GROUP_V6]).collect();
        groups.into_iter().map(IpAddr::from).collect()
    }
}

fn ipv6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    }
}

impl Wish {
    fn is_heard(&self) -> bool {
        (self.owned || self.wanted.own != Fitness::Unfit) && self.unusable.is_none()
    }

    fn for_election(&self) -> Arc<Wanted> {
        if self.unusable.is_none() {
            return Arc::clone(&self.wanted);
        }
        Arc::new(Wanted { own: Fitness::Unfit, ..Wanted::clone(&self.wanted) })
    }
}

/// Why an address can not be answered for here, if it would be otherwise.
fn reason(
    address: IpAddr,
    wanted: &Wanted,
    link: &LinkFacts,
    surroundings: &Surroundings,
) -> Option<Unusable> {
    let Surroundings { node_addresses, gateways, .. } = surroundings;
    (wanted.own != Fitness::Unfit).then(|| unusable(address, link, node_addresses, gateways)).flatten()
}
