//! From what is known of an Endpoints object to the writes that make its slices right.

use std::sync::Arc;

use fairlead_discovery::names::{
    LAST_APPLIED, MIRRORING_CONTROLLER, SERVICE_NAME, SLICE_MANAGED_BY, TRIGGER_TIME,
};
use fairlead_objects::{AddressType, Endpoints, Family, Istr, Labels, PortSet, Slice};
use hashbrown::HashMap;

use crate::action::{Action, DesiredSlice, Envelope};
use crate::desired::{Group, Skipped, desired};
use crate::differences::Differences;
use crate::facts::{Facts, belongs_to};
use crate::recycling::recycle;
use crate::sequence::Writes;

/// What to write for one Endpoints object.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Writes in the order in which to send them, one after the other: an address that stays mirrored is in some slice
    /// at every moment. When one fails, the rest of its family ([`Action::family`]) is better left for the next plan.
    pub actions: Vec<Action>,
    /// Addresses that are in no slice.
    pub skipped: Skipped,
    /// Numbers for the metrics; `None` if the Endpoints are not mirrored.
    pub counts: Option<Counts>,
}

/// Numbers of one plan, over both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Endpoints that are new in a slice.
    pub added: usize,
    /// Endpoints of which something changed.
    pub updated: usize,
    /// Endpoints that are gone from a slice.
    pub removed: usize,
    /// Endpoints there should be.
    pub desired_endpoints: usize,
    /// Slices there should be.
    pub desired_slices: usize,
    /// Slices there are once all is written.
    pub actual_slices: usize,
}

/// Plans the slices of one Endpoints object.
///
/// Endpoints that are not to be mirrored, or do not exist, have no slices. While they are being deleted nothing is
/// created. The result depends on nothing but the arguments.
#[must_use]
pub fn plan(facts: &Facts<'_>) -> Plan {
    let mut slices: Vec<&Arc<Slice>> =
        facts.slices.iter().filter(|slice| belongs_to(slice, facts.key)).collect();
    slices.sort_by(|a, b| a.key.name.cmp(&b.key.name));
    // Those that somebody deleted are on their way out, however long a finalizer holds them: others take their place,
    // and what they still hold would never be brought up to date.
    let (going, slices): (Vec<_>, Vec<_>) = slices.into_iter().partition(|slice| slice.terminating);
    let going = || going.iter().copied().filter(|slice| !slice.endpoints.is_empty()).cloned();
    let Some(endpoints) = facts.mirrored() else {
        let deletes = slices.into_iter().cloned().map(Action::Delete);
        return Plan { actions: going().map(Action::Empty).chain(deletes).collect(), ..Plan::default() };
    };

    let envelope = Arc::new(envelope(endpoints));
    let (mut groups, skipped) = desired(endpoints, facts.max_endpoints_per_subset);
    let mut plan = Plan { actions: Vec::new(), skipped, counts: None };
    let mut counts = Counts::default();
    for family in [Family::V4, Family::V6] {
        let is_family = |slice: &Slice| slice.address_type == AddressType::Ip(family);
        let existing: Vec<_> = slices.iter().copied().filter(|slice| is_family(slice)).collect();
        let of_family = groups.extract_if(.., |group| group.family == family).collect();
        let mut writes = reconcile(endpoints, of_family, &existing, &envelope, &mut counts);
        let recycled = recycle(&mut writes.creates, &mut writes.deletes);
        writes.updates.extend(recycled);
        if endpoints.terminating {
            // The garbage collector is about to remove what belongs to them.
            writes.creates.clear();
        }
        writes.empties.extend(going().filter(|slice| is_family(slice)));
        let actions = writes.in_order(&existing, !endpoints.terminating);
        counts.actual_slices += existing.len();
        for action in &actions {
            match action {
                Action::Create(_) => counts.actual_slices += 1,
                Action::Delete(_) => counts.actual_slices -= 1,
                Action::Update { .. } | Action::Empty(_) => {}
            }
        }
        plan.actions.extend(actions);
    }
    let others = slices.into_iter().filter(|slice| matches!(slice.address_type, AddressType::Other(_)));
    plan.actions.extend(others.cloned().map(Action::Delete));
    plan.counts = Some(counts);
    plan
}

/// The writes of one family, before slices are used again. Each group has one slice.
fn reconcile(
    endpoints: &Endpoints,
    groups: Vec<Group>,
    existing: &[&Arc<Slice>],
    envelope: &Arc<Envelope>,
    counts: &mut Counts,
) -> Writes {
    let mut by_ports: HashMap<&PortSet, Vec<&Arc<Slice>>> = HashMap::new();
    for slice in existing {
        by_ports.entry(&slice.ports).or_default().push(slice);
    }
    let mut writes = Writes::default();
    let mut kept: Vec<&Istr> = Vec::new();
    for Group { family, ports, endpoints: members } in groups {
        counts.desired_endpoints += members.len();
        counts.desired_slices += 1;
        let candidates = by_ports.remove(&ports).unwrap_or_default();
        let desired = DesiredSlice { envelope: Arc::clone(envelope), family, ports, endpoints: members };
        let differences =
            |slice: &Slice| Differences::between(&slice.endpoints, &desired.endpoints, &envelope.namespace);
        let met = |slice: &Slice, differences| desired.is_met_by(slice, differences, endpoints);
        let mut compared = candidates.iter().map(|slice| (*slice, differences(slice)));
        // Of several, one that is right already; else the first by name.
        let right = compared.clone().find(|(slice, it)| met(slice, *it));
        let Some((slice, it)) = right.or_else(|| compared.next()) else {
            counts.added += desired.endpoints.len();
            writes.creates.push(desired);
            continue;
        };
        kept.push(&slice.key.name);
        counts.added += it.added;
        counts.updated += it.updated;
        counts.removed += it.removed;
        if !met(slice, it) {
            writes.updates.push((Arc::clone(slice), desired));
        }
    }
    for slice in existing.iter().filter(|slice| !kept.contains(&&slice.key.name)) {
        counts.removed += slice.endpoints.len();
        writes.deletes.push(Arc::clone(slice));
    }
    writes
}

/// Labels and annotations are those of the Endpoints, but for what says something about an object itself.
fn envelope(endpoints: &Endpoints) -> Envelope {
    let own = [
        (Istr::from(SERVICE_NAME), endpoints.key.name.clone()),
        (Istr::from(SLICE_MANAGED_BY), Istr::from(MIRRORING_CONTROLLER)),
    ];
    let annotations =
        endpoints.annotations.iter().filter(|(key, _)| ![TRIGGER_TIME, LAST_APPLIED].contains(&key.as_str()));
    Envelope {
        namespace: endpoints.key.namespace.clone(),
        endpoints: endpoints.key.name.clone(),
        endpoints_uid: endpoints.uid.clone(),
        // Of repeated keys the last counts.
        labels: endpoints.labels.iter().cloned().chain(own).collect(),
        annotations: annotations.cloned().collect::<Labels>(),
    }
}
