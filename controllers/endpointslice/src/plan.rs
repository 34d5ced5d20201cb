//! From what is known of a Service to the writes that make its slices right.

use std::sync::Arc;

use fairlead_discovery::families;
use fairlead_discovery::labels::slice_labels;
use fairlead_discovery::names::SLICE_CONTROLLER;
use fairlead_objects::{AddressType, Family, PortSet, ServiceType, Slice};
use hashbrown::HashMap;

use crate::action::{Action, DesiredSlice, Envelope};
use crate::counts::FamilyCounts;
use crate::desired::{Desired, MissingNode, PortGroup, WantedSet};
use crate::facts::{Facts, Memory, is_maintained, is_owned};
use crate::hints::{self, HintEvent, HintState, HintStates, Mode, Packed};
use crate::pack::{Draft, pack};
use crate::placeholder::Placeholder;

/// What to write for one Service, and what to remember.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Writes in the order in which to send them: per family creates, updates and deletes, so that an endpoint
    /// is never absent for longer than necessary; then deletes of families that the Service no longer has. When
    /// one fails, the rest of its family ([`Action::family`]) is better left for the next plan.
    pub actions: Vec<Action>,
    /// The memory for the next plan, if all writes succeed; else the old one stays.
    pub next: Memory,
    /// Pods that are left out until their Node appears.
    pub missing_nodes: Vec<MissingNode>,
    /// What is new about topology-aware hints, to be told if all writes succeed: else the next plan says it again.
    pub events: Vec<HintEvent>,
    /// Numbers of each family of the Service. Empty if the Service has no slices of this controller.
    pub families: Vec<FamilyCounts>,
}

/// Plans the slices of one Service.
///
/// Services without selector and of type ExternalName are not this controller's, and what they may have left
/// behind stays, as upstream does it. While the Service is being deleted nothing is created, because the
/// garbage collector is removing what belongs to it. The result depends on nothing but the arguments.
#[must_use]
pub fn plan(facts: &Facts<'_>, memory: &Memory) -> Plan {
    let service = facts.service;
    if service.kind == ServiceType::ExternalName || service.selector.is_none() {
        return Plan { next: memory.clone(), ..Plan::default() };
    }
    let (trigger_time, trigger_times) =
        memory.trigger_times.observe(service, facts.pods.iter().map(AsRef::as_ref));
    let envelope = Arc::new(Envelope {
        namespace: service.key.namespace.clone(),
        service: service.key.name.clone(),
        service_uid: service.uid.clone(),
        labels: slice_labels(service, SLICE_CONTROLLER),
        trigger_time,
    });
    let mut slices: Vec<&Arc<Slice>> =
        facts.slices.iter().filter(|slice| is_maintained(slice, service)).collect();
    slices.sort_by(|a, b| a.key.name.cmp(&b.key.name));

    let desired = Desired::new(facts);
    let mut plan = Plan { next: Memory { trigger_times, hints: HintStates::default() }, ..Plan::default() };
    for family in families(service) {
        let of_family: Vec<_> =
            slices.iter().copied().filter(|it| it.address_type == AddressType::Ip(family)).collect();
        let (writes, hints) = FamilyPlan::new(facts, &desired, &envelope, family, &of_family);
        let hinted = hints::were_hinted(&of_family);
        plan.events.extend(hints::event(family, memory.hints.get(family), &hints, hinted));
        plan.next.hints.set(family, hints);
        plan.families.push(writes.counts);
        plan.actions.extend(writes.into_actions());
        slices.retain(|slice| slice.address_type != AddressType::Ip(family));
    }
    plan.actions.extend(slices.into_iter().cloned().map(Action::Delete));
    plan.missing_nodes = desired.missing_nodes;
    plan
}

/// The writes of one family.
struct FamilyPlan {
    creates: Vec<DesiredSlice>,
    updates: Vec<(Arc<Slice>, DesiredSlice)>,
    deletes: Vec<Arc<Slice>>,
    counts: FamilyCounts,
}

impl FamilyPlan {
    /// Plans the slices of `family`, of which `existing` are there, in the order of their names.
    fn new(
        facts: &Facts<'_>,
        desired: &Desired<'_>,
        envelope: &Arc<Envelope>,
        family: Family,
        existing: &[&Arc<Slice>],
    ) -> (Self, HintState) {
        let service = facts.service;
        let mut plan = Self {
            creates: Vec::new(),
            updates: Vec::new(),
            deletes: Vec::new(),
            counts: FamilyCounts::zero(family),
        };
        // Slices of a former Service of this name belong to the garbage collector, whatever they hold.
        let (owned, foreign): (Vec<_>, Vec<_>) =
            existing.iter().copied().partition(|slice| is_owned(slice, service));
        plan.deletes.extend(foreign.into_iter().cloned());
        let mut by_ports: HashMap<&PortSet, Vec<&Arc<Slice>>> = HashMap::new();
        for slice in &owned {
            by_ports.entry(&slice.ports).or_default().push(slice);
        }
        let sets: Vec<_> = desired.groups.iter().map(|group| WantedSet::new(group, family)).collect();
        let mut unchanged = Vec::new();
        for (group, set) in desired.groups.iter().zip(&sets) {
            let of_ports = by_ports.remove(&group.ports).unwrap_or_default();
            unchanged.extend(plan.pack_group(facts, group, set, envelope, &of_ports));
        }
        // Nobody listens on these ports any more. In the order of the names, not in that of the table.
        let abandoned = owned.into_iter().filter(|slice| by_ports.contains_key(&slice.ports));
        plan.deletes.extend(abandoned.cloned());

        match Placeholder::needed(existing.len(), &plan.deletes, plan.creates.len(), &envelope.labels) {
            Placeholder::Needless => {}
            Placeholder::Keep => plan.deletes.clear(),
            Placeholder::Make => plan.creates.push(DesiredSlice {
                envelope: Arc::clone(envelope),
                family,
                ports: PortSet::default(),
                endpoints: Vec::new(),
            }),
        }
        let hints = plan.set_hints(facts, envelope, &unchanged);
        plan.recycle(|doomed| is_owned(doomed, service));
        if service.terminating {
            plan.creates.clear();
        }
        let counts = &mut plan.counts;
        counts.desired_slices = counts.desired_slices.max(1);
        counts.actual_slices = existing.len() + plan.creates.len() - plan.deletes.len();
        counts.changed_slices = plan.creates.len() + plan.updates.len() + plan.deletes.len();
        (plan, hints)
    }

    /// Adds the writes of one set of ports, and returns the slices that need none.
    fn pack_group<'p>(
        &mut self,
        facts: &Facts<'_>,
        group: &PortGroup<'_>,
        set: &'p WantedSet<'_>,
        envelope: &Arc<Envelope>,
        existing: &[&'p Arc<Slice>],
    ) -> Vec<Draft<'p>> {
        let family = self.counts.family;
        let capacity = facts.max_endpoints_per_slice;
        let packing = pack(existing, set, &facts.service.labels, capacity);
        let desired = |endpoints| DesiredSlice {
            envelope: Arc::clone(envelope),
            family,
            ports: group.ports.clone(),
            endpoints,
        };
        self.creates.extend(packing.creates.into_iter().map(desired));
        self.updates
            .extend(packing.updates.into_iter().map(|(current, endpoints)| (current, desired(endpoints))));
        self.deletes.extend(packing.deletes);
        self.counts.added += packing.added;
        self.counts.removed += packing.removed;
        self.counts.desired_endpoints += set.len();
        self.counts.desired_slices += set.len().div_ceil(capacity.get());
        packing.unchanged
    }

    /// Hints the endpoints that are written, and adds the updates of slices that are written only for their hints.
    fn set_hints(
        &mut self,
        facts: &Facts<'_>,
        envelope: &Arc<Envelope>,
        unchanged: &[Draft<'_>],
    ) -> HintState {
        let family = self.counts.family;
        let written = self.creates.iter_mut().chain(self.updates.iter_mut().map(|(_, desired)| desired));
        let packed = Packed(written.map(|desired| desired.endpoints.as_mut_slice()).collect());
        let current: Vec<&Slice> = unchanged.iter().map(|draft| draft.slice.as_ref()).collect();
        let (rewrites, state) = hints::assign(Mode::of(facts.service), facts.node_table, packed, &current);
        for rewrite in rewrites {
            let draft = &unchanged[rewrite.slice];
            let desired = DesiredSlice {
                envelope: Arc::clone(envelope),
                family,
                ports: draft.slice.ports.clone(),
                endpoints: draft.with_hints(rewrite.hints),
            };
            self.updates.push((Arc::clone(draft.slice), desired));
        }
        state
    }

    /// Turns creates into updates of slices that would otherwise be deleted: one write in place of two.
    fn recycle(&mut self, is_usable: impl Fn(&Slice) -> bool) {
        for doomed in std::mem::take(&mut self.deletes) {
            if is_usable(&doomed)
                && let Some(desired) = self.creates.pop()
            {
                self.updates.push((doomed, desired));
            } else {
                self.deletes.push(doomed);
            }
        }
    }

    fn into_actions(self) -> impl Iterator<Item = Action> {
        let updates = self.updates.into_iter().map(|(current, desired)| Action::Update { current, desired });
        self.creates
            .into_iter()
            .map(Action::Create)
            .chain(updates)
            .chain(self.deletes.into_iter().map(Action::Delete))
    }
}
