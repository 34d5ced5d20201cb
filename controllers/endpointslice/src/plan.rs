//! From what is known of a Service to the writes that make its slices right.

use std::sync::Arc;

use fairlead_discovery::labels::slice_labels;
use fairlead_discovery::names::SLICE_CONTROLLER;
use fairlead_discovery::{families, trigger_time};
use fairlead_objects::{AddressType, PortSet, Service, ServiceType, Slice};

use crate::action::{Action, Envelope};
use crate::counts::FamilyCounts;
use crate::desired::{Desired, MissingNode};
use crate::facts::{Facts, is_maintained, is_owned};
use crate::family::{FamilyPlan, Placement};
use crate::hints::{self, HintEvent, HintStates};
use crate::memory::{Memory, Next, NextLayout};
use crate::scope::Scope;

/// What to write for one Service, and what to remember.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Writes in the order in which to send them: per family creates, updates and deletes, so that an endpoint
    /// is never absent for longer than necessary; then deletes of families that the Service no longer has. When
    /// one fails, the rest of its family ([`Action::family`]) is better left for the next plan.
    pub actions: Vec<Action>,
    /// What to remember once all writes have succeeded ([`Memory::written`]). `None` if the Service has no slices of
    /// this controller.
    pub next: Option<Next>,
    /// Pods that are left out until their Node appears.
    pub missing_nodes: Vec<MissingNode>,
    /// What is new about topology-aware hints, to be told if all writes succeed: else the next plan says it again.
    pub events: Vec<HintEvent>,
    /// Numbers of each family of the Service. Empty if the Service has no slices of this controller.
    pub families: Vec<FamilyCounts>,
}

/// What the next plan of a Service will probably be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// Anything, or nothing at all.
    Anything,
    /// Single Pods: the memory is to say where their endpoints are.
    Pods,
}

/// Does this controller keep slices for the Service? It does not for Services without selector and of type
/// ExternalName, and what they may have left behind stays, as upstream does it.
#[must_use]
pub fn has_slices(service: &Service) -> bool {
    service.kind != ServiceType::ExternalName && service.selector.is_some()
}

/// Plans the slices of one Service from everything that is known of it.
///
/// While the Service is being deleted nothing is created, because the garbage collector is removing what belongs to
/// it. The result depends on nothing but the arguments.
#[must_use]
pub fn plan(facts: &Facts<'_>, memory: &Memory, ahead: Ahead) -> Plan {
    let service = facts.context.service;
    if !has_slices(service) {
        return Plan::default();
    }
    let mut draft = Draft::new(facts, memory, &Scope::default());
    let of_others = |slice: &Arc<Slice>| is_maintained(slice, service) && !is_owned(slice, service);
    if (ahead == Ahead::Pods || memory.layout.is_some())
        && !service.terminating
        && !facts.slices.iter().any(of_others)
        && let Some(next) = &mut draft.plan.next
    {
        // Slices of other address types are among the writes, and not among these.
        let families = families(service);
        let stays = |slice: &&Arc<Slice>| {
            is_maintained(slice, service)
                && matches!(slice.address_type, AddressType::Ip(family) if families.contains(&family))
        };
        next.layout = NextLayout::Make(facts.slices.iter().filter(stays).cloned().collect());
    }
    draft.plan
}

/// A plan of what is in a [`Scope`].
pub(crate) struct Draft {
    pub(crate) plan: Plan,
    /// Choices that slices outside of the scope could change.
    pub(crate) placements: Vec<Placement>,
    /// Slices outside of the scope must be looked at as well; the plan is of no use.
    pub(crate) is_too_narrow: bool,
}

impl Draft {
    pub(crate) fn new(facts: &Facts<'_>, memory: &Memory, scope: &Scope) -> Self {
        let service = facts.context.service;
        let envelope = Arc::new(Envelope {
            namespace: service.key.namespace.clone(),
            service: service.key.name.clone(),
            service_uid: service.uid.clone(),
            labels: slice_labels(service, SLICE_CONTROLLER),
            trigger_time: trigger_time(service, memory.planned.as_deref(), facts.context.pods_changed),
        });
        let mut slices: Vec<&Arc<Slice>> =
            facts.slices.iter().filter(|slice| is_maintained(slice, service)).collect();
        slices.sort_by(|a, b| a.key.name.cmp(&b.key.name));

        let mut desired = Desired::new(facts);
        let mut draft = Self { plan: Plan::default(), placements: Vec::new(), is_too_narrow: false };
        if scope.is_part() {
            draft.is_too_narrow = !know_groups(&mut desired, &slices, service, scope);
        }
        let mut hint_states = HintStates::default();
        for family in families(service) {
            let of_family: Vec<_> =
                slices.iter().copied().filter(|it| it.address_type == AddressType::Ip(family)).collect();
            let (writes, hints) = FamilyPlan::new(facts, scope, &desired, &envelope, family, &of_family);
            if let Some(hints) = hints {
                let hinted = hints::were_hinted(&of_family);
                draft.plan.events.extend(hints::event(family, memory.hints.get(family), &hints, hinted));
                hint_states.set(family, hints);
            } else {
                draft.is_too_narrow = true;
            }
            draft.plan.families.push(writes.counts);
            draft.placements.extend_from_slice(&writes.placements);
            draft.plan.actions.extend(writes.into_actions());
            slices.retain(|slice| slice.address_type != AddressType::Ip(family));
        }
        draft.plan.actions.extend(slices.into_iter().cloned().map(Action::Delete));
        draft.plan.missing_nodes.clone_from(&desired.missing_nodes);
        draft.plan.next = Some(Next {
            planned: Arc::clone(service),
            hints: hint_states,
            missing_nodes: desired.missing_nodes,
            layout: NextLayout::Forget,
        });
        draft
    }
}

/// Adds the groups of ports whose Pods are all outside of the scope. False if a group may be gone: whether any Pod still
/// has its ports cannot be told from here.
fn know_groups(desired: &mut Desired<'_>, slices: &[&Arc<Slice>], service: &Service, scope: &Scope) -> bool {
    let elsewhere =
        |ports: &PortSet| families(service).into_iter().any(|family| scope.rest(family).of_group(ports) > 0);
    for slice in slices.iter().filter(|slice| !desired.has_group(&slice.ports)).collect::<Vec<_>>() {
        if elsewhere(&slice.ports) {
            desired.add_group(&slice.ports);
        } else if !slice.endpoints.is_empty() || !slice.ports.is_empty() {
            // No placeholder.
            return false;
        }
    }
    true
}
