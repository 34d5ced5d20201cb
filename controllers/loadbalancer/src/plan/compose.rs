//! The writes that bring about what was decided: create first, then publish, then release.

use std::net::IpAddr;
use std::sync::Arc;

use fairlead_objects::{Family, IngressPoint, Istr, ServiceCondition};
use jiff::{SignedDuration, Timestamp};

use super::answers::{Answers, CALM};
use super::choose::How;
use super::decide::{Decision, Target};
use super::holdings::Hold;
use super::{Ours, Outcome, probing, release, spec};
use crate::action::{Action, ConditionChange, Event, Guard, Plan, Publication, Standing};
use crate::body;
use crate::ledger::{Slot, Topic};
use crate::records::{Address, Holder};
use crate::words::{self, Misplaced, Note, Reason, Told};

/// What the condition is to say.
struct Said {
    reason: Reason,
    message: String,
    /// When something else may have to be told, though nothing changes.
    later: Option<Later>,
}

/// A time before which a condition with one of these reasons stays as it is.
#[derive(Clone, Copy)]
struct Later {
    at: Timestamp,
    instead_of: &'static [Reason],
}

/// How long a Service may be without an address before that is told.
const PATIENCE: SignedDuration = SignedDuration::from_secs(1);

impl Ours<'_> {
    pub(super) fn compose(&self, decision: &Decision, topics: Vec<Topic>) -> Outcome {
        let mut outcome = Outcome { topics, ..Outcome::default() };
        let mut upkeep = Vec::new();
        for (_, target) in &decision.targets {
            self.acquire(target, &mut outcome, &mut upkeep);
        }
        for address in &decision.not_asked {
            if let Some(object) = self.ledger.slots.get(*address).and_then(Slot::bound)
                && !object.tells_of_probing()
            {
                let (current, message) = (Arc::clone(object), probing::not_asked(object));
                outcome.plan.actions.push(Action::NotProbed { current, message, now: self.now });
            }
        }
        let published = decision.published();
        let Said { reason, message, later } = self.say(decision);
        let wait = if !decision.withheld.is_empty() && self.is_published(&published) {
            // There is more to tell soon.
            None
        } else {
            self.publish(&published, reason, message, later, &mut outcome.plan)
        };
        outcome.plan.actions.append(&mut upkeep);
        self.release_the_rest(decision, &published, &mut outcome.plan);
        outcome.plan.wait = [wait, decision.wait].into_iter().flatten().min();
        outcome.plan.standing = match reason {
            reason if reason.is_ready() && (decision.withheld.is_empty() || !published.is_empty()) => {
                Standing::Ready
            }
            reason if published.is_empty() => Standing::Pending(reason),
            reason => Standing::Unsatisfied(reason),
        };
        outcome
    }

    /// What it takes to have what is published. What merely keeps an object up to date need not be first.
    fn acquire(&self, target: &Target, outcome: &mut Outcome, upkeep: &mut Vec<Action>) {
        let actions = &mut outcome.plan.actions;
        if let Some(pick) = &target.pick {
            outcome.claims.push(pick.address);
            match &pick.how {
                How::Create => actions.push(self.create(pick.address)),
                How::Replace(object) => {
                    actions.push(Action::Delete { current: Arc::clone(object), guard: Guard::Nothing });
                    actions.push(self.create(pick.address));
                }
                How::Join(object) => actions.push(self.join(object)),
            }
        }
        let held = self.holdings.iter().flatten();
        let kept = held.filter(|it| {
            target.beside.contains(&it.address) || (target.pick.is_none() && it.address == target.address)
        });
        for holding in kept {
            match &holding.hold {
                Hold::NotYet => {}
                Hold::NoObject => {
                    outcome.claims.push(holding.address);
                    actions.push(self.create(holding.address));
                }
                Hold::Cooling(object) => {
                    outcome.claims.push(holding.address);
                    actions.push(Action::Delete { current: Arc::clone(object), guard: Guard::Nothing });
                    actions.push(self.create(holding.address));
                }
                Hold::OfOthers(object) => {
                    outcome.claims.push(holding.address);
                    actions.push(self.join(object));
                }
                Hold::Object(object) => {
                    let services = self.renewed(object);
                    let spec = spec::spec(self.ledger, object.address, services, Some(object));
                    let label_is_right = object.pool_label.as_ref() == body::pool_label(&spec.pool);
                    if spec != object.spec || !label_is_right {
                        let first = !object.is_held_by(&self.service.uid);
                        let current = Arc::clone(object);
                        let update = Action::Update { current, spec, guard: Guard::Nothing };
                        if first { actions.push(update) } else { upkeep.push(update) }
                    }
                }
            }
        }
    }

    fn holder(&self) -> Holder {
        Holder { key: self.service.key.clone(), uid: self.service.uid.clone() }
    }

    /// Who has the address, with this Service by its own UID: a former Service of this name may be named.
    fn renewed(&self, object: &Address) -> Vec<Holder> {
        let holders = object.holders().iter();
        holders.map(|it| if it.key == self.service.key { self.holder() } else { it.clone() }).collect()
    }

    fn create(&self, address: IpAddr) -> Action {
        Action::Create { address, spec: spec::spec(self.ledger, address, vec![self.holder()], None) }
    }

    fn join(&self, object: &Arc<Address>) -> Action {
        let services = object.holders().iter().cloned().chain([self.holder()]).collect();
        let spec = spec::spec(self.ledger, object.address, services, Some(object));
        Action::Update { current: Arc::clone(object), spec, guard: Guard::Nothing }
    }

    /// Writes the status, if it is not right. When to look again, if nothing is to be told yet.
    fn publish(
        &self,
        published: &[IpAddr],
        reason: Reason,
        message: String,
        later: Option<Later>,
        plan: &mut Plan,
    ) -> Option<Timestamp> {
        let current = self.load_balancer.condition.as_ref();
        let generation = self.load_balancer.generation;
        let ready = reason.is_ready();
        let same_condition = current.is_some_and(|it| {
            it.ready == ready
                && it.reason == reason.as_str()
                && *it.message == *message
                && it.observed_generation == generation
        });
        let same_addresses = self.is_published(published);
        let due = later.map(|later| later.at);
        if same_condition && same_addresses {
            return due;
        }
        if let Some(later) = later
            && same_addresses
            && current.is_some_and(|it| later.instead_of.iter().any(|reason| it.reason == reason.as_str()))
        {
            return due;
        }
        if same_addresses && published.is_empty() {
            let then = self.known.since.saturating_add(PATIENCE).unwrap_or(Timestamp::MAX);
            if self.now < then {
                return Some(then);
            }
        }
        let condition = ServiceCondition {
            ready,
            reason: reason.as_str().into(),
            message: message.as_str().into(),
            observed_generation: generation,
            last_transition: match current {
                Some(current) if current.ready == ready => current.last_transition,
                _ => Some(self.now),
            },
        };
        let news = !same_addresses || current.is_none_or(|it| it.reason != reason.as_str());
        plan.actions.push(Action::Publish(Publication {
            service: Arc::clone(&self.known.service),
            addresses: (!same_addresses).then(|| published.to_vec()),
            condition: if same_condition { ConditionChange::Keep } else { ConditionChange::Set(condition) },
            event: news.then_some(Event { warning: !ready, reason, message }),
        }));
        due
    }

    /// Does the status name these addresses, as we write them? The order of the families is left as it is.
    fn is_published(&self, published: &[IpAddr]) -> bool {
        let ingress = &self.load_balancer.ingress;
        let as_we_write = ingress.iter().all(|entry| {
            matches!(entry.at, IngressPoint::Address(_)) && !entry.proxy_mode && !entry.has_ports
        });
        let of_family = |addresses: &[IpAddr], family| -> Vec<IpAddr> {
            addresses.iter().copied().filter(|address| Family::of(*address) == family).collect()
        };
        let current: Vec<IpAddr> = self.load_balancer.published().collect();
        as_we_write
            && [Family::V4, Family::V6]
                .into_iter()
                .all(|family| of_family(&current, family) == of_family(published, family))
    }

    /// Releases whatever names this Service and is not published.
    fn release_the_rest(&self, decision: &Decision, published: &[IpAddr], plan: &mut Plan) {
        let key = &self.service.key;
        for object in release::objects_of(self.ledger, key) {
            let address = object.address;
            if published.contains(&address) || decision.has(address) {
                continue;
            }
            let was_published = self.load_balancer.published().any(|it| it == address);
            let successor = decision.target(Family::of(address)).map(|target| target.address);
            let instead = successor.filter(|_| was_published);
            let guard = Guard::Unpublished { service: key.clone(), address, instead };
            plan.actions.push(release::release(self.ledger, &object, key, guard, self.now));
        }
    }

    /// Reason and message of the condition.
    fn say(&self, decision: &Decision) -> Said {
        let mut refusals: Vec<String> = Vec::new();
        for refusal in decision.unmet.iter().chain(&decision.missing) {
            let words = refusal.words();
            if !refusals.contains(&words) {
                refusals.push(words);
            }
        }
        let refusals = refusals.join("; ");
        let published = decision.published();
        if let Some(unmet) = decision.unmet.first() {
            let message = if published.is_empty() { refusals } else { words::keeps(&published, &refusals) };
            return Said { reason: unmet.reason(), message, later: None };
        }
        let told: Vec<Told> = decision.targets.iter().map(|(_, target)| self.tell(target)).collect();
        let mut message = words::assigned(&told);
        let add = |message: &mut String, more: &str| {
            message.push_str("; ");
            message.push_str(more);
        };
        let (mut reason, mut later) = (Reason::Assigned, None);
        let targets = decision.targets.iter().map(|(_, target)| target.address);
        let targets: Vec<IpAddr> = targets.filter(|it| !decision.withheld.contains(it)).collect();
        match self.answers(&targets) {
            Answers::Unknown => {}
            Answers::NotYet(at) => {
                let instead_of = &[Reason::Announced, Reason::NoEligibleNode, Reason::Conflict];
                later = Some(Later { at, instead_of });
            }
            Answers::All(who, since) => {
                reason = Reason::Announced;
                add(&mut message, &who);
                let at = since.saturating_add(CALM).unwrap_or(Timestamp::MAX);
                let instead_of = &[Reason::Assigned, Reason::Announced];
                later = (self.now < at).then_some(Later { at, instead_of });
            }
            Answers::Wrong(what, words) => {
                reason = what;
                message = words::keeps(&published, &words);
            }
        }
        if !refusals.is_empty() {
            add(&mut message, &refusals);
        }
        Said { reason, message, later }
    }

    fn tell(&self, target: &Target) -> Told {
        let address = target.address;
        let pool: Istr = match &target.pick {
            Some(pick) => pick.pool.clone(),
            None => self.pool_of(address),
        };
        let in_pool = self.ledger.pools.of(address);
        let note = if let Some(old) = target.beside.first() {
            Some(Note::MovingFrom { address: *old, pool: self.pool_of(*old) })
        } else if let Some((why, refusal)) = &target.stuck {
            Some(Note::Stuck { why: *why, refusal: refusal.words() })
        } else if in_pool.is_none() {
            Some(match self.ledger.pools.get(&pool) {
                // It is asked for, or else it would move.
                Some(_) => Note::Stuck { why: Misplaced::OutsidePool, refusal: "it is asked for".to_owned() },
                None => Note::InNoPool,
            })
        } else if in_pool.is_some_and(|pool| pool.record.drain) {
            Some(Note::DrainingButWanted)
        } else {
            None
        };
        Told { address, pool, note }
    }
}
