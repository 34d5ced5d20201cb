//! The writes that make the slices of one family right.

use std::sync::Arc;

use fairlead_objects::{Family, Istr, PortSet, Slice};
use hashbrown::HashMap;

use crate::action::{Action, DesiredSlice, Envelope};
use crate::counts::FamilyCounts;
use crate::desired::{Desired, PortGroup, WantedSet};
use crate::facts::{Context, Facts, is_owned};
use crate::hints::{self, HintState, Mode, Packed};
use crate::layout::Totals;
use crate::pack::{Draft, Overflow, pack};
use crate::placeholder::Placeholder;
use crate::recycling::{Homes, recycle};
use crate::scope::Scope;

/// The writes of one family.
pub(crate) struct FamilyPlan {
    creates: Vec<DesiredSlice>,
    updates: Vec<(Arc<Slice>, DesiredSlice)>,
    deletes: Vec<Arc<Slice>>,
    pub(crate) counts: FamilyCounts,
    pub(crate) placements: Vec<Placement>,
}

/// New endpoints that went together into a slice which would else not have been written: the slice with the least room
/// among those that were looked at.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placement {
    pub(crate) family: Family,
    pub(crate) ports: PortSet,
    /// Fewer than a slice holds.
    pub(crate) endpoints: usize,
    /// The slice; `None`: a new one.
    pub(crate) slice: Option<Istr>,
}

/// What the steps of a family's plan have in common.
struct Setting<'s> {
    context: &'s Context<'s>,
    envelope: &'s Arc<Envelope>,
    /// Sums over the slices that are not looked at.
    rest: &'s Totals,
    homes: Homes<'s>,
}

impl FamilyPlan {
    /// Plans the slices of `family`, of which `existing` are in the scope, in the order of their names. Also returns
    /// what hints came to; `None` if that cannot be told without slices that are outside of the scope.
    pub(crate) fn new(
        facts: &Facts<'_>,
        scope: &Scope,
        desired: &Desired<'_>,
        envelope: &Arc<Envelope>,
        family: Family,
        existing: &[&Arc<Slice>],
    ) -> (Self, Option<HintState>) {
        let service = facts.context.service;
        let rest = scope.rest(family);
        let mut plan = Self {
            creates: Vec::new(),
            updates: Vec::new(),
            deletes: Vec::new(),
            counts: FamilyCounts::zero(family),
            placements: Vec::new(),
        };
        // Slices of a former Service of this name belong to the garbage collector, whatever they hold.
        let (owned, foreign): (Vec<_>, Vec<_>) =
            existing.iter().copied().partition(|slice| is_owned(slice, service));
        plan.deletes.extend(foreign.into_iter().cloned());
        let mut by_ports: HashMap<&PortSet, Vec<&Arc<Slice>>> = HashMap::new();
        for slice in &owned {
            by_ports.entry(&slice.ports).or_default().push(slice);
        }
        let sets: Vec<_> = desired.groups.iter().map(|group| WantedSet::new(group, family, scope)).collect();
        let mut unchanged = Vec::new();
        // Nobody listens on these ports any more. In the order of the names, not in that of the table.
        let abandoned: Vec<_> =
            owned.iter().copied().filter(|slice| !desired.has_group(&slice.ports)).collect();
        let homes = Homes::new(&abandoned);
        let setting = Setting { context: &facts.context, envelope, rest, homes };
        for (group, set) in desired.groups.iter().zip(&sets) {
            let of_ports = by_ports.remove(&group.ports).unwrap_or_default();
            unchanged.extend(plan.pack_group(&setting, group, set, &of_ports));
        }
        plan.deletes.extend(abandoned.into_iter().cloned());

        let all = existing.len() + rest.slices;
        match Placeholder::needed(all, &plan.deletes, plan.creates.len(), &envelope.labels) {
            Placeholder::Needless => {}
            Placeholder::Keep => plan.deletes.clear(),
            Placeholder::Make => plan.creates.push(DesiredSlice {
                envelope: Arc::clone(envelope),
                family,
                ports: PortSet::default(),
                endpoints: Vec::new(),
            }),
        }
        let hints = plan.set_hints(&setting, &unchanged);
        let is_usable = |doomed: &Slice| is_owned(doomed, service);
        let recycled = recycle(&mut plan.creates, &mut plan.deletes, &setting.homes, is_usable);
        plan.updates.extend(recycled);
        if service.terminating {
            plan.creates.clear();
        }
        let counts = &mut plan.counts;
        for (_, count) in rest.groups.iter().filter(|(ports, _)| !desired.has_group(ports)) {
            counts.desired_endpoints += count;
            counts.desired_slices += count.div_ceil(facts.context.max_endpoints_per_slice.get());
        }
        counts.desired_slices = counts.desired_slices.max(1);
        counts.actual_slices = all + plan.creates.len() - plan.deletes.len();
        counts.changed_slices = plan.creates.len() + plan.updates.len() + plan.deletes.len();
        (plan, hints)
    }

    /// Adds the writes of one set of ports, and returns the slices that need none.
    fn pack_group<'p>(
        &mut self,
        setting: &Setting<'_>,
        group: &PortGroup<'_>,
        set: &'p WantedSet<'_>,
        existing: &[&'p Arc<Slice>],
    ) -> Vec<Draft<'p>> {
        let family = self.counts.family;
        let Setting { context, envelope, rest, homes } = setting;
        let capacity = context.max_endpoints_per_slice;
        let packing = pack(existing, set, &context.service.labels, capacity, homes);
        self.placements.extend(packing.overflow.map(|Overflow { endpoints, slice }| Placement {
            family,
            ports: group.ports.clone(),
            endpoints,
            slice,
        }));
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
        let endpoints = set.len() + rest.of_group(&group.ports);
        self.counts.desired_endpoints += endpoints;
        self.counts.desired_slices += endpoints.div_ceil(capacity.get());
        packing.unchanged
    }

    /// Hints the endpoints that are written, and adds the updates of slices that are written only for their hints.
    fn set_hints(&mut self, setting: &Setting<'_>, unchanged: &[Draft<'_>]) -> Option<HintState> {
        let Setting { context, envelope, rest, .. } = setting;
        let family = self.counts.family;
        let written = self.creates.iter_mut().chain(self.updates.iter_mut().map(|(_, desired)| desired));
        let packed = Packed(written.map(|desired| desired.endpoints.as_mut_slice()).collect());
        let current: Vec<&Slice> = unchanged.iter().map(|draft| draft.slice.as_ref()).collect();
        let Context { service, node_table, .. } = context;
        let (rewrites, state) = hints::assign(Mode::of(service), node_table, packed, &current, &rest.hints)?;
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
        Some(state)
    }

    pub(crate) fn into_actions(self) -> impl Iterator<Item = Action> {
        let updates = self.updates.into_iter().map(|(current, desired)| Action::Update { current, desired });
        self.creates
            .into_iter()
            .map(Action::Create)
            .chain(updates)
            .chain(self.deletes.into_iter().map(Action::Delete))
    }
}
