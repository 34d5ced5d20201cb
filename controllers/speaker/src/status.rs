//! What is written into the status of addresses: who answers for them, and what was seen.
//!
//! Pure: [`Claims`] follows the reports of this node, and planning compares what they say with what the object says.
//! The module `writes` sends it. Announcing waits for none of that.

mod pending;
mod writes;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use fairlead_crds::names::{ANNOUNCED_CONDITION, CONFLICT_CONDITION, PROBED_CONDITION};
use fairlead_discovery::announcing::Exclusion;
use fairlead_layer2::{MacAddress, NodeId};
use fairlead_objects::Istr;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as ApiCondition, MicroTime};
use serde_json::{Value, json};
use smallvec::SmallVec;

use crate::conditions::{Condition, Said};
use crate::facts::Address;
use crate::links::{Link, News};
use crate::words;

pub(crate) use pending::Pending;
pub(crate) use writes::{Outcome, StatusWriter};

/// After so long without a word of another device, a node that answers takes it that there is none any more, though it
/// was another node that has seen it.
const CONFLICT_FADES: SignedDuration = SignedDuration::from_mins(1);

/// What became of one address on this node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// On which interfaces this node answers: mostly on one.
    answers: SmallVec<[(u32, Answer); 1]>,
    /// It answered, and has not yet said that it does not any more.
    fell_silent: bool,
    /// Where the network was asked for other users, and there was none.
    probed_on: Option<u32>,
    /// Who has it besides us.
    other: Option<Box<Other>>,
    /// Somebody had it besides us, and has it no more.
    other_is_gone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Answer {
    epoch: u32,
    since: Timestamp,
    mac: MacAddress,
}

#[derive(Clone, Debug, PartialEq)]
struct Other {
    link: u32,
    mac: MacAddress,
    /// The node of ours that it is.
    node: Option<NodeId>,
    /// It was there before this node answered, which therefore does not.
    first: bool,
}

/// What this node answers for, and what it has seen.
#[derive(Debug, Default)]
pub struct Claims(HashMap<IpAddr, Claim>);

impl Claims {
    /// Something happened on an interface. Which address it is about.
    pub fn hear(&mut self, link: u32, news: &News) -> Option<IpAddr> {
        match *news {
            News::Owned { address, epoch, since, mac, .. } => {
                let claim = self.0.entry(address).or_default();
                claim.lose(link);
                claim.answers.push((link, Answer { epoch, since, mac }));
                claim.fell_silent = false;
                if claim.other.as_ref().is_some_and(|other| other.first) {
                    claim.other = None;
                    claim.other_is_gone = true;
                }
                Some(address)
            }
            News::Lost { address, .. } => {
                self.lose(address, link);
                Some(address)
            }
            News::Probed { address } => {
                self.0.entry(address).or_default().probed_on = Some(link);
                Some(address)
            }
            News::Taken { address, mac, .. } => {
                self.lose(address, link);
                let claim = self.0.entry(address).or_default();
                claim.probed_on = None;
                claim.other = Some(Box::new(Other { link, mac, node: None, first: true }));
                Some(address)
            }
            News::Conflict { address, mac, node } => {
                let claim = self.0.entry(address).or_default();
                claim.other = Some(Box::new(Other { link, mac, node, first: false }));
                Some(address)
            }
            News::ConflictOver { address } => {
                let claim = self.0.entry(address).or_default();
                claim.other_is_gone |= claim.other.take().is_some();
                Some(address)
            }
            News::Heard { .. } => None,
        }
    }

    /// An interface is gone, and with it whatever was answered there. The addresses that are concerned.
    pub fn lose_link(&mut self, link: u32) -> Vec<IpAddr> {
        let on_it = |claim: &Claim| claim.answers.iter().any(|(on, _)| *on == link);
        let addresses: Vec<IpAddr> =
            self.0.iter().filter(|(_, claim)| on_it(claim)).map(|(address, _)| *address).collect();
        for address in &addresses {
            self.lose(*address, link);
        }
        addresses
    }

    /// What became of an address.
    #[must_use]
    pub fn get(&self, address: IpAddr) -> Option<&Claim> {
        self.0.get(&address)
    }

    /// What there was to tell of an address is told, or is of no use any more.
    pub fn forget(&mut self, address: IpAddr) {
        if self.0.get(&address).is_some_and(|claim| claim.answers.is_empty()) {
            self.0.remove(&address);
        }
    }

    /// The addresses that there is something to tell of.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.0.keys().copied()
    }

    fn lose(&mut self, address: IpAddr, link: u32) {
        if let Some(claim) = self.0.get_mut(&address)
            && claim.lose(link)
            && claim.answers.is_empty()
        {
            claim.fell_silent = true;
            // Whoever answers now sees it, too.
            claim.other = None;
        }
    }
}

impl Claim {
    /// Answers no more on an interface. Whether it did.
    fn lose(&mut self, link: u32) -> bool {
        let before = self.answers.len();
        self.answers.retain(|(on, _)| *on != link);
        self.answers.len() < before
    }

    /// Did this node answer for it, and does it not any more?
    #[must_use]
    pub fn fell_silent(&self) -> bool {
        self.fell_silent
    }

    /// Does this node answer for it?
    #[must_use]
    pub fn is_answered(&self) -> bool {
        !self.answers.is_empty()
    }

    /// The interface that is told, where it is answered on several: the one whose subnet holds the address, or else the
    /// first.
    fn told<'a>(
        &self,
        address: IpAddr,
        links: &'a BTreeMap<u32, &'a Link>,
    ) -> Option<(&'a Link, Answer, bool)> {
        let answers = self.answers.iter().filter_map(|(index, answer)| Some((*links.get(index)?, *answer)));
        let holds = |link: &Link| link.facts.holds(address);
        let (link, answer) = answers.min_by_key(|(link, _)| (!holds(link), link.facts.index))?;
        Some((link, answer, holds(link)))
    }
}

/// What of this node is told in statuses.
#[derive(Clone, Copy, Debug)]
pub struct Teller<'a> {
    /// Its name.
    pub node: &'a str,
    /// Its interfaces.
    pub links: &'a BTreeMap<u32, &'a Link>,
    /// The names of the nodes that are known.
    pub names: &'a HashMap<NodeId, Istr>,
    /// The time.
    pub now: Timestamp,
}

impl Teller<'_> {
    /// The merge patch that makes the status of an address say what this node knows; `None` if it does, or if another node
    /// knows better. `why_silent` is what keeps this node from answering.
    #[must_use]
    pub fn plan(&self, object: &Address, claim: &Claim, why_silent: Option<&Exclusion>) -> Option<Value> {
        let status = &object.status;
        let is_ours = status.node.as_deref().is_none_or(|node| node == self.node);
        let mut patch = json!({});
        let mut told: Vec<(&str, bool, &str, String)> = Vec::new();
        if let Some((link, answer, holds)) = claim.told(object.address, self.links) {
            // The highest epoch is right. Where the subnet does not hold the address, whoever is where it does is told.
            let outdated = if holds { status.epoch > answer.epoch } else { status.epoch >= answer.epoch };
            if outdated && !(is_ours && status.epoch == answer.epoch) {
                return None;
            }
            let mac = answer.mac.to_string();
            if status.node.as_deref() != Some(self.node)
                || status.interface.as_deref() != Some(&*link.facts.name)
                || status.mac.as_deref() != Some(&*mac)
                || status.epoch != answer.epoch
            {
                patch["node"] = self.node.into();
                patch["interface"] = link.facts.name.as_str().into();
                patch["mac"] = mac.into();
                patch["epoch"] = answer.epoch.into();
                patch["since"] = json!(MicroTime(answer.since));
            }
            let message = words::answers(self.node, &link.facts.name, answer.mac);
            told.push((ANNOUNCED_CONDITION, true, "Answering", message));
            if let Some(index) = claim.probed_on.filter(|_| !status.is(PROBED_CONDITION)) {
                told.push((
                    PROBED_CONDITION,
                    true,
                    "NobodyAnswered",
                    words::probed(self.node, self.name_of(index)),
                ));
            }
        } else if claim.fell_silent && status.node.as_deref() == Some(self.node) {
            for field in ["node", "interface", "mac", "since"] {
                patch[field] = Value::Null;
            }
            told.push((
                ANNOUNCED_CONDITION,
                false,
                "NobodyAnswers",
                words::fell_silent(self.node, why_silent),
            ));
        }
        self.tell_other(object, claim, is_ours, &mut told);
        let mut conditions = status.conditions.to_vec();
        let mut changed = false;
        for (kind, is_true, reason, message) in told {
            changed |= self.set(&mut conditions, kind, is_true, reason, message);
        }
        if changed {
            patch["conditions"] = json!(conditions.iter().map(ApiCondition::from).collect::<Vec<_>>());
        }
        patch.as_object().is_some_and(|fields| !fields.is_empty()).then(|| {
            json!({
                "metadata": {"uid": object.uid.to_string(), "resourceVersion": object.version.to_string()},
                "status": patch,
            })
        })
    }

    fn tell_other(
        &self,
        object: &Address,
        claim: &Claim,
        is_ours: bool,
        told: &mut Vec<(&str, bool, &str, String)>,
    ) {
        let address = object.address;
        match claim.other.as_deref() {
            Some(Other { link, mac, first: true, .. }) if is_ours => {
                let message = words::taken(address, self.node, self.name_of(*link), *mac);
                told.push((PROBED_CONDITION, false, "AddressInUse", message.clone()));
                told.push((CONFLICT_CONDITION, true, "AddressInUse", message));
            }
            Some(Other { link, mac, node, first: false }) if claim.is_answered() => {
                let reason = if node.is_some() { "OtherNode" } else { "OtherDevice" };
                let name = node.map(|id| self.names.get(&id).map_or_else(|| id.to_string(), Istr::to_string));
                let message = words::conflict(address, self.node, self.name_of(*link), *mac, name.as_deref());
                told.push((CONFLICT_CONDITION, true, reason, message));
            }
            None if object.status.is(CONFLICT_CONDITION)
                && (claim.other_is_gone || self.answers_for_long(claim)) =>
            {
                told.push((CONFLICT_CONDITION, false, "NobodyElse", words::conflict_over(self.node)));
            }
            _ => {}
        }
    }

    fn answers_for_long(&self, claim: &Claim) -> bool {
        claim.answers.iter().any(|(_, answer)| self.now.duration_since(answer.since) >= CONFLICT_FADES)
    }

    fn name_of(&self, link: u32) -> &str {
        self.links.get(&link).map_or("an interface that is gone", |link| link.facts.name.as_str())
    }

    fn set(
        &self,
        conditions: &mut Vec<Condition>,
        kind: &str,
        is_true: bool,
        reason: &str,
        message: String,
    ) -> bool {
        let status = if is_true { "True" } else { "False" };
        let before = conditions.iter_mut().find(|condition| &*condition.kind == kind);
        if let Some(before) = &before
            && &*before.status == status
            && &*before.reason == reason
            && *before.message == message
        {
            return false;
        }
        let same_status = before.as_ref().filter(|before| &*before.status == status);
        let since = same_status.map_or(self.now, |before| before.since);
        let said = Said {
            kind: kind.into(),
            status: status.into(),
            reason: reason.into(),
            message: message.into(),
            observed_generation: None,
        };
        let condition = Condition::new(said, since);
        match before {
            Some(before) => *before = condition,
            None => conditions.push(condition),
        }
        true
    }
}

#[cfg(test)]
mod tests;
