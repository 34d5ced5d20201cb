//! What a Service shall have.

use std::net::IpAddr;

use fairlead_objects::{Family, FamilyPolicy, Istr};
use jiff::{SignedDuration, Timestamp};

use super::choose::Pick;
use super::holdings::{Holding, Verdict};
use super::probing::Gate;
use super::{Ours, Outcome, shortened};
use crate::ledger::Topic;
use crate::words::{Misplaced, Refusal};

/// What a Service shall have of one family.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) address: IpAddr,
    /// How it gets it; `None` if it has it.
    pub(super) pick: Option<Pick>,
    /// Why it should have another one and nobody moves it, if there is no other place.
    pub(super) stuck: Option<(Misplaced, Refusal)>,
    /// Addresses that it had before and that are published beside it until it works.
    pub(super) beside: Vec<IpAddr>,
}

/// What a Service shall have, and what it does not get.
#[derive(Debug, Default)]
pub(super) struct Decision {
    /// In the order of its families.
    pub(super) targets: Vec<(Family, Target)>,
    /// What it asks for and does not get.
    pub(super) unmet: Vec<Refusal>,
    /// What it would also have, and can do without.
    pub(super) missing: Vec<Refusal>,
    /// Addresses among the targets that are not to be published yet: the network is being asked for other users.
    pub(super) withheld: Vec<IpAddr>,
    /// Addresses among the targets that are published though nobody has asked the network in time.
    pub(super) not_asked: Vec<IpAddr>,
    /// When an address that is left behind may go, or one that is withheld is published in any case.
    pub(super) wait: Option<Timestamp>,
}

impl Decision {
    /// All addresses that are to be published, in order.
    pub(super) fn published(&self) -> Vec<IpAddr> {
        let targets = self.targets.iter();
        let of = |target: &Target| {
            let own = Some(target.address).filter(|address| !self.withheld.contains(address));
            own.into_iter().chain(target.beside.clone()).collect::<Vec<_>>()
        };
        targets.flat_map(|(_, target)| of(target)).collect()
    }

    /// Does it get this address?
    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.targets.iter().any(|(_, target)| target.address == address)
    }

    /// What is to be published of this family.
    pub(super) fn target(&self, family: Family) -> Option<&Target> {
        self.targets.iter().find(|(of, _)| *of == family).map(|(_, target)| target)
    }

    fn is_satisfied(&self) -> bool {
        self.unmet.is_empty()
            && self.missing.is_empty()
            && self.targets.iter().all(|(_, target)| target.stuck.is_none())
    }
}

impl Ours<'_> {
    /// Plans the Service.
    pub(super) fn plan(&self) -> Outcome {
        let decision = self.decide();
        let topics = if decision.is_satisfied() { Vec::new() } else { self.topics(&decision) };
        self.compose(&decision, topics)
    }

    fn decide(&self) -> Decision {
        let mut decision = Decision::default();
        let mut seek: Vec<(Family, Option<Verdict>)> = Vec::new();
        let mut targets: [Option<Target>; 2] = [None, None];
        let unreadable = self.unreadable();
        for family in &self.families {
            let holdings = &self.usable(*family);
            let keep = |holding: &Holding<'_>| target(holding.address, None);
            let good = holdings.iter().find(|holding| self.verdict(holding) == Verdict::Good);
            if unreadable.is_some() {
                targets[*family as usize] = holdings.first().copied().map(keep);
            } else if let Some(good) = good {
                targets[*family as usize] = Some(keep(good));
            } else if let Some(wished) = self.known.wish.address(*family) {
                let held = holdings.iter().find(|holding| holding.address == wished);
                let got = match held.map(|holding| self.verdict(holding)) {
                    Some(Verdict::Unsharable(by, objection)) => {
                        Err(Refusal::InUse { address: wished, by, objection: Some(objection) })
                    }
                    _ => self.attempt(wished, &picks(&targets)),
                };
                match got {
                    Ok(pick) => targets[*family as usize] = Some(target(wished, Some(pick))),
                    Err(refusal) => {
                        // What works is not taken away for what cannot be had.
                        targets[*family as usize] = holdings.first().copied().map(keep);
                        decision.unmet.push(refusal);
                    }
                }
            } else {
                seek.push((*family, holdings.first().map(|holding| self.verdict(holding))));
            }
        }
        if let Some(refusal) = unreadable {
            decision.unmet.push(refusal);
        } else {
            self.find(&seek, &mut targets, &mut decision);
        }
        self.hold_to_policy(&mut targets, &mut decision);
        for family in &self.families {
            if let Some(mut target) = targets[*family as usize].take() {
                self.leave_behind(&mut target, *family, &mut decision.wait);
                decision.targets.push((*family, target));
            }
        }
        self.withhold(&mut decision);
        decision
    }

    /// What it has of a family, apart from what another device uses.
    fn usable(&self, family: Family) -> Vec<&Holding<'_>> {
        let holdings = self.holdings[family as usize].iter();
        holdings.filter(|holding| self.verdict(holding) != Verdict::InConflict).collect()
    }

    /// Withholds what is new as long as the network is being asked for other users of any of it, so that it is all published
    /// at once. What is published stays meanwhile.
    fn withhold(&self, decision: &mut Decision) {
        let gates: Vec<Gate> = decision.targets.iter().map(|(_, target)| self.gate(target.address)).collect();
        if gates.iter().all(|gate| matches!(gate, Gate::Open | Gate::TimedOut)) {
            let timed_out = decision.targets.iter().zip(&gates).filter(|(_, gate)| **gate == Gate::TimedOut);
            decision.not_asked = timed_out.map(|((_, target), _)| target.address).collect();
            return;
        }
        for gate in gates {
            if let Gate::ClosedUntil(until) = gate {
                decision.wait = Some(decision.wait.map_or(until, |wait| wait.min(until)));
            }
        }
        let published: Vec<IpAddr> = self.load_balancer.published().collect();
        for (family, target) in &mut decision.targets {
            if !published.contains(&target.address) {
                let held = self.holdings[*family as usize].iter().filter(|holding| holding.published);
                target.beside = held.map(|holding| holding.address).collect();
                decision.withheld.push(target.address);
            }
        }
    }

    /// Why what it asks for makes no sense: then it is left as it is.
    fn unreadable(&self) -> Option<Refusal> {
        if let Some(error) = &self.known.wish_error {
            return Some(Refusal::Invalid(error.to_string()));
        }
        let [only] = self.families[..] else { return None };
        let address = self.known.wish.addresses.iter().find(|address| Family::of(**address) != only)?;
        Some(Refusal::WrongFamily { address: *address, only })
    }

    /// Finds what is not asked for by address.
    fn find(
        &self,
        seek: &[(Family, Option<Verdict>)],
        targets: &mut [Option<Target>; 2],
        decision: &mut Decision,
    ) {
        let families: Vec<Family> = seek.iter().map(|(family, _)| *family).collect();
        if families.is_empty() {
            return;
        }
        let beside = targets.iter().flatten().next().map(|target| match &target.pick {
            Some(pick) => pick.pool.clone(),
            None => self.pool_of(target.address),
        });
        let others = picks(targets);
        for (family, pick) in self.choose(&families, beside.as_ref(), &others) {
            let verdict = seek.iter().find(|(of, _)| *of == family).and_then(|(_, verdict)| verdict.clone());
            let head = self.usable(family).first().map(|holding| holding.address);
            targets[family as usize] = match (pick, head) {
                (Ok(pick), _) => Some(target(pick.address, Some(pick))),
                (Err(refusal), None) => {
                    decision.missing.push(refusal);
                    None
                }
                (Err(refusal), Some(head)) => {
                    let mut stays = target(head, None);
                    match verdict {
                        Some(Verdict::Misplaced(why)) => stays.stuck = Some((why, refusal)),
                        Some(Verdict::Unsharable(by, objection)) => {
                            let objection = Some(objection);
                            decision.unmet.push(Refusal::InUse { address: head, by, objection });
                            decision.unmet.push(refusal);
                        }
                        _ => decision.unmet.push(refusal),
                    }
                    Some(stays)
                }
            };
        }
    }

    /// RequireDualStack is both families or nothing; but what is published stays.
    fn hold_to_policy(&self, targets: &mut [Option<Target>; 2], decision: &mut Decision) {
        if self.families.is_empty() {
            decision.unmet.push(Refusal::NoFamily);
        }
        if self.load_balancer.family_policy == FamilyPolicy::RequireDualStack {
            if let [only] = self.families[..] {
                decision.unmet.push(Refusal::OneFamilyOnly(only));
            }
            let incomplete = self.families.len() < 2 || targets.iter().any(Option::is_none);
            if incomplete {
                decision.unmet.append(&mut decision.missing);
                if !self.holdings.iter().flatten().any(|holding| holding.published) {
                    *targets = [None, None];
                }
            }
        }
        if targets.iter().all(Option::is_none) {
            decision.unmet.append(&mut decision.missing);
        }
    }

    /// What was published before and only has to make way is published beside its successor until that works.
    fn leave_behind(&self, target: &mut Target, family: Family, wait: &mut Option<Timestamp>) {
        let left: Vec<IpAddr> = self.holdings[family as usize]
            .iter()
            .filter(|it| it.published && it.address != target.address)
            .filter(|it| matches!(self.verdict(it), Verdict::Misplaced(_) | Verdict::Good))
            .map(|it| it.address)
            .collect();
        if left.is_empty() {
            return;
        }
        match self.works(target.address, family) {
            Works::Yes => {}
            Works::NotYet => target.beside = left,
            Works::From(then) => {
                *wait = Some(wait.map_or(then, |wait| wait.min(then)));
                target.beside = left;
            }
        }
    }

    fn works(&self, address: IpAddr, family: Family) -> Works {
        let object = self.ledger.slots.get(address).and_then(|slot| slot.bound());
        let Some(object) = object else { return Works::NotYet };
        if object.announced {
            return Works::Yes;
        }
        // Somebody reports about it, and will tell when it is announced.
        let since = self.known.heads[family as usize].filter(|(head, _)| *head == address);
        let (false, Some((_, since))) = (object.reported, since) else { return Works::NotYet };
        let overlap =
            SignedDuration::try_from(self.ledger.config.drain_overlap).unwrap_or(SignedDuration::MAX);
        let then = since.saturating_add(overlap).unwrap_or(Timestamp::MAX);
        if then <= self.now { Works::Yes } else { Works::From(then) }
    }

    /// What would help.
    fn topics(&self, decision: &Decision) -> Vec<Topic> {
        let wish = &self.known.wish;
        let mut topics: Vec<Topic> = wish.addresses.iter().map(|address| Topic::Address(*address)).collect();
        let mut pools: Vec<Istr> = match self.pools() {
            Ok(pools) => pools.iter().map(|pool| pool.name().clone()).collect(),
            Err(_) => Vec::new(),
        };
        let asked = wish.addresses.iter().filter_map(|address| self.ledger.pools.around(*address));
        pools.extend(asked.map(|pool| pool.name().clone()));
        topics.extend(pools.into_iter().map(Topic::Pool));
        for family in &self.families {
            let reserved = self.ledger.reserved_for(self.service, *family);
            topics.extend(reserved.into_iter().map(Topic::Address));
        }
        if !wish.sharing_key.is_empty() {
            topics.push(Topic::SharingKey(shortened(&wish.sharing_key)));
        }
        for refusal in decision.unmet.iter().chain(&decision.missing) {
            if let Refusal::InUse { address, .. } = refusal {
                topics.push(Topic::Address(*address));
            }
        }
        // Pools, reservations and namespaces wake whoever waits for anything; so somebody who waits for those alone has
        // to wait for something, too.
        if topics.is_empty() {
            topics.push(Topic::Pool(wish.pool.clone().unwrap_or_default()));
        }
        topics.dedup();
        topics
    }
}

enum Works {
    Yes,
    /// Not before something changes.
    NotYet,
    /// If nothing changes, from then on.
    From(Timestamp),
}

/// What of the targets is new.
fn picks(targets: &[Option<Target>; 2]) -> Vec<Pick> {
    targets.iter().flatten().filter_map(|target| target.pick.clone()).collect()
}

fn target(address: IpAddr, pick: Option<Pick>) -> Target {
    Target { address, pick, stuck: None, beside: Vec::new() }
}
