//! Planning of single Pods: only the slices that they touch are looked at.
//!
//! Nothing is planned differently: the same planner is given the slices that have endpoints of the changed Pods, the
//! Pods of these slices, and sums over the rest. If that turns out to be too little, because new endpoints would rather
//! go into another slice, that one is added; if other slices would have to change as well, everything is planned. So
//! the result is the one that planning everything has, at the cost of the slices touched.

use std::collections::BTreeSet;
use std::sync::Arc;

use fairlead_objects::{Family, Istr, Pod, Slice};
use hashbrown::HashMap;

use crate::facts::{Context, Facts};
use crate::family::Placement;
use crate::identity::pod_of;
use crate::layout::{Layout, SlotId};
use crate::memory::{Memory, NextLayout};
use crate::plan::{Draft, Plan};
use crate::scope::{Families, Scope};

/// Answers questions about single objects of one Service.
pub trait Lookup {
    /// The Pod of this name, if the Service selects it.
    fn pod(&self, name: &Istr) -> Option<Arc<Pod>>;
    /// The Service's slice of this name.
    fn slice(&self, name: &Istr) -> Option<Arc<Slice>>;
}

/// Plans the slices of one Service after nothing but these Pods have changed since its last plan was written. `None` if
/// that cannot be told from them alone; then [`crate::plan()`] plans everything.
#[must_use]
pub fn plan_pods(
    context: &Context<'_>,
    lookup: &dyn Lookup,
    pods: &BTreeSet<Istr>,
    memory: &Memory,
) -> Option<Plan> {
    let layout = memory.layout_of(context.service)?;
    // A placeholder goes as soon as there is another slice.
    let mut slots: BTreeSet<SlotId> = layout.empty_slots().collect();
    slots.extend(pods.iter().flat_map(|pod| layout.slots_of(pod)));
    loop {
        let part = Part::new(layout, lookup, pods, &slots)?;
        let facts = Facts { context: *context, pods: &part.pods, slices: &part.slices };
        let draft = Draft::new(&facts, memory, &part.scope);
        if draft.is_too_narrow {
            return None;
        }
        let known = slots.len();
        let capacity = context.max_endpoints_per_slice.get();
        let best = |placement: &Placement| layout.best_fit(placement, capacity, |slot| slots.contains(&slot));
        let better: Vec<SlotId> = draft.placements.iter().filter_map(best).collect();
        slots.extend(better);
        if slots.len() == known {
            return Some(finish(draft.plan, pods, memory));
        }
    }
}

/// Pods without Node that were not looked at are still without.
fn finish(mut plan: Plan, pods: &BTreeSet<Istr>, memory: &Memory) -> Plan {
    let others = memory.missing_nodes.iter().filter(|missing| !pods.contains(&missing.pod));
    plan.missing_nodes.extend(others.cloned());
    plan.missing_nodes.sort();
    plan.missing_nodes.dedup();
    if let Some(next) = &mut plan.next {
        next.missing_nodes.clone_from(&plan.missing_nodes);
        next.layout = NextLayout::Follow;
    }
    plan
}

/// The part of a Service that is looked at.
struct Part {
    pods: Vec<Arc<Pod>>,
    slices: Vec<Arc<Slice>>,
    scope: Scope,
}

impl Part {
    /// `None` if a slice is not what the layout says.
    fn new(
        layout: &Layout,
        lookup: &dyn Lookup,
        changed: &BTreeSet<Istr>,
        slots: &BTreeSet<SlotId>,
    ) -> Option<Self> {
        let mut members: HashMap<Istr, Families> = HashMap::new();
        members.extend(changed.iter().map(|pod| (pod.clone(), Families::BOTH)));
        let (mut v4, mut v6) = (layout.totals(Family::V4).clone(), layout.totals(Family::V6).clone());
        let mut slices = Vec::with_capacity(slots.len());
        for id in slots {
            let slot = layout.slot(*id)?;
            let slice = lookup.slice(&slot.name).filter(|slice| slot.is(slice))?;
            if slice.terminating {
                return None;
            }
            match slot.family {
                Family::V4 => v4.subtract(&slice),
                Family::V6 => v6.subtract(&slice),
            }
            for endpoint in &slice.endpoints {
                let pod = pod_of(endpoint, &slice.key.namespace)?;
                members.entry(pod.clone()).or_default().insert(slot.family);
            }
            slices.push(slice);
        }
        let pods = members.keys().filter_map(|pod| lookup.pod(pod)).collect();
        Some(Self { pods, slices, scope: Scope::part(members, v4, v6) })
    }
}
