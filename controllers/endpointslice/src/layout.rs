//! Where a Service's endpoints are: which slice has the endpoint of a Pod, and how full the slices are.
//!
//! A layout is made from all slices of a Service after a plan was written in full, and then kept up to date write by
//! write, so that the next changes of Pods cost the slices that they touch and not the Service. It names slices and
//! their versions and holds nothing of their content: about 10 bytes per endpoint.

use std::hash::BuildHasher;
use std::sync::Arc;

use fairlead_objects::{AddressType, Family, Hints, Istr, PortSet, ResourceVersion, Slice};
use hashbrown::hash_table::OccupiedEntry;
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::family::Placement;
use crate::identity::pods_of;

/// Position of a slice in [`Layout::slots`].
pub(crate) type SlotId = u32;

/// The slices of one Service, and which Pod is in which.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    slots: Vec<Option<Slot>>,
    /// Positions that are not taken.
    free: Vec<SlotId>,
    /// Positions by the names of the slices.
    names: HashTable<SlotId>,
    places: HashTable<Place>,
    hasher: DefaultHashBuilder,
    v4: Totals,
    v6: Totals,
}

/// What is known of one slice.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// Its name.
    pub(crate) name: Istr,
    /// The version of the content that the layout counts.
    version: ResourceVersion,
    /// Its family.
    pub(crate) family: Family,
    ports: PortSet,
    endpoints: u32,
}

impl Slot {
    /// Is this the slice, with the content that is counted?
    pub(crate) fn is(&self, slice: &Slice) -> bool {
        self.name == slice.key.name
            && self.version == slice.version
            && self.endpoints as usize == slice.endpoints.len()
            && self.ports == slice.ports
            && slice.address_type == AddressType::Ip(self.family)
    }
}

/// The endpoint of a Pod is in a slice. The Pod is told by a hash of its name; the slice itself knows for sure.
#[derive(Clone, Copy, Debug)]
struct Place {
    pod: u32,
    slot: SlotId,
}

/// Sums over slices of one family.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    /// Number of slices.
    pub(crate) slices: usize,
    /// Number of slices without endpoints.
    pub(crate) empty: usize,
    /// Number of endpoints by the ports of their slices; no entry is zero.
    pub(crate) groups: Vec<(PortSet, usize)>,
    /// What hints the endpoints have.
    pub(crate) hints: HintTotals,
}

/// The hints of endpoints, summed up.
#[derive(Clone, Debug, Default)]
pub(crate) struct HintTotals {
    /// Endpoints with hints of any kind.
    pub(crate) hinted: usize,
    /// Ready endpoints.
    pub(crate) ready: usize,
    /// Ready endpoints by the zone that they are hinted to, if it is one zone and nothing else; no entry is zero.
    pub(crate) zones: Vec<(Istr, usize)>,
}

impl Totals {
    /// Number of endpoints with these ports.
    pub(crate) fn of_group(&self, ports: &PortSet) -> usize {
        self.groups.iter().find(|(known, _)| known == ports).map_or(0, |(_, count)| *count)
    }

    fn add(&mut self, slice: &Slice) {
        self.slices += 1;
        self.empty += usize::from(slice.endpoints.is_empty());
        increase(&mut self.groups, &slice.ports, slice.endpoints.len());
        for endpoint in &slice.endpoints {
            self.hints.hinted += usize::from(endpoint.hints.is_some());
            if endpoint.conditions.ready == Some(true) {
                self.hints.ready += 1;
                if let Some(zone) = only_zone(endpoint.hints.as_deref()) {
                    increase(&mut self.hints.zones, zone, 1);
                }
            }
        }
    }

    /// Takes out a slice that was added. A slice that says something else than it did under this version, as after a
    /// restored backup, spoils the sums and must not bring the process down: the next recheck puts that right.
    pub(crate) fn subtract(&mut self, slice: &Slice) {
        self.slices = self.slices.saturating_sub(1);
        self.empty = self.empty.saturating_sub(usize::from(slice.endpoints.is_empty()));
        decrease(&mut self.groups, &slice.ports, slice.endpoints.len());
        for endpoint in &slice.endpoints {
            self.hints.hinted = self.hints.hinted.saturating_sub(usize::from(endpoint.hints.is_some()));
            if endpoint.conditions.ready == Some(true) {
                self.hints.ready = self.hints.ready.saturating_sub(1);
                if let Some(zone) = only_zone(endpoint.hints.as_deref()) {
                    decrease(&mut self.hints.zones, zone, 1);
                }
            }
        }
    }
}

impl HintTotals {
    /// Is every ready endpoint hinted to exactly one zone?
    pub(crate) fn are_complete(&self) -> bool {
        self.zones.iter().map(|(_, count)| count).sum::<usize>() == self.ready
    }
}

/// The zone, if the hints name one zone and nothing else. Hints for Nodes are left over from a traffic distribution.
pub(crate) fn only_zone(hints: Option<&Hints>) -> Option<&Istr> {
    match hints {
        Some(Hints { zones, nodes }) if nodes.is_empty() && zones.len() == 1 => zones.first(),
        _ => None,
    }
}

fn increase<K: Clone + PartialEq>(counts: &mut Vec<(K, usize)>, key: &K, by: usize) {
    match counts.iter_mut().find(|(known, _)| known == key) {
        Some((_, count)) => *count += by,
        None if by > 0 => counts.push((key.clone(), by)),
        None => {}
    }
}

fn decrease<K: PartialEq>(counts: &mut Vec<(K, usize)>, key: &K, by: usize) {
    if let Some(at) = counts.iter().position(|(known, _)| known == key) {
        counts[at].1 = counts[at].1.saturating_sub(by);
        if counts[at].1 == 0 {
            counts.swap_remove(at);
        }
    }
}

impl Layout {
    /// The layout of these slices, which are all slices of one Service. `None` if they are none that a layout can
    /// tell apart: address types that are none of ours.
    pub(crate) fn new<'a>(slices: impl IntoIterator<Item = &'a Arc<Slice>>) -> Option<Self> {
        let mut layout = Self {
            slots: Vec::new(),
            free: Vec::new(),
            names: HashTable::new(),
            places: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            v4: Totals::default(),
            v6: Totals::default(),
        };
        for slice in slices {
            layout.insert(slice)?;
        }
        Some(layout)
    }

    /// A slice. `None` if there is none at this position.
    pub(crate) fn slot(&self, id: SlotId) -> Option<&Slot> {
        self.slots.get(id as usize)?.as_ref()
    }

    /// Sums over all slices of a family.
    pub(crate) fn totals(&self, family: Family) -> &Totals {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    fn totals_mut(&mut self, family: Family) -> &mut Totals {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    /// The slices that may have an endpoint of this Pod. Rarely one of them has none: hashes can collide.
    pub(crate) fn slots_of(&self, pod: &Istr) -> impl Iterator<Item = SlotId> {
        let hash = self.hash(pod);
        self.places.iter_hash(spread(hash)).filter(move |place| place.pod == hash).map(|place| place.slot)
    }

    /// The slices without endpoints.
    pub(crate) fn empty_slots(&self) -> impl Iterator<Item = SlotId> {
        // Rarely is there any; looking at all slices for nothing would cost what the layout saves.
        let any = self.v4.empty + self.v6.empty > 0;
        let slots = any.then(|| self.live()).into_iter().flatten();
        slots.filter(|(_, slot)| slot.endpoints == 0).map(|(id, _)| id)
    }

    /// The slice in which the endpoints of this placement find room and the least room remains; of equal ones that with
    /// the first name. Slices that were looked at (`is_known`) count only if they were chosen.
    pub(crate) fn best_fit(
        &self,
        Placement { family, ports, endpoints, slice: chosen }: &Placement,
        capacity: usize,
        is_known: impl Fn(SlotId) -> bool,
    ) -> Option<SlotId> {
        let rest = |slot: &Slot| capacity.checked_sub(slot.endpoints as usize + endpoints);
        self.live()
            .filter(|(_, slot)| slot.family == *family && slot.ports == *ports)
            .filter(|(id, slot)| chosen.as_ref() == Some(&slot.name) || !is_known(*id))
            .filter_map(|(id, slot)| Some((rest(slot)?, &slot.name, id)))
            .min()
            .map(|(_, _, id)| id)
    }

    fn live(&self) -> impl Iterator<Item = (SlotId, &Slot)> {
        (0..).zip(&self.slots).filter_map(|(id, slot)| Some((id, slot.as_ref()?)))
    }

    /// A slice was created.
    pub(crate) fn insert(&mut self, slice: &Slice) -> Option<()> {
        let AddressType::Ip(family) = slice.address_type else { return None };
        let slot = Some(Slot {
            name: slice.key.name.clone(),
            version: slice.version.clone(),
            family,
            ports: slice.ports.clone(),
            endpoints: u32::try_from(slice.endpoints.len()).ok()?,
        });
        let id = match self.free.pop() {
            Some(id) => id,
            None => SlotId::try_from(self.slots.len()).ok()?,
        };
        if id as usize == self.slots.len() {
            self.slots.push(slot);
        } else {
            self.slots[id as usize] = slot;
        }
        let (slots, hasher) = (&self.slots, &self.hasher);
        let hash = |id: &SlotId| slots[*id as usize].as_ref().map_or(0, |slot| hasher.hash_one(&slot.name));
        self.names.insert_unique(hasher.hash_one(&slice.key.name), id, hash);
        self.totals_mut(family).add(slice);
        self.settle(id, slice);
        Some(())
    }

    /// A slice was deleted; its content is the one that was counted. `None` if it was not known.
    pub(crate) fn remove(&mut self, slice: &Slice) -> Option<()> {
        let id = self.find(slice)?;
        let hash = self.hasher.hash_one(&slice.key.name);
        drop(self.names.find_entry(hash, |known| *known == id).map(OccupiedEntry::remove));
        self.slots[id as usize] = None;
        self.free.push(id);
        self.subtract(slice)?;
        self.unsettle(id, slice);
        Some(())
    }

    /// A slice was rewritten; `old` is the content that was counted. `None` if it was not known.
    pub(crate) fn replace(&mut self, old: &Slice, new: &Slice) -> Option<()> {
        let id = self.find(old)?;
        let slot = self.slots[id as usize].as_mut()?;
        if new.address_type != AddressType::Ip(slot.family) {
            return None;
        }
        slot.version = new.version.clone();
        slot.ports = new.ports.clone();
        slot.endpoints = u32::try_from(new.endpoints.len()).ok()?;
        let family = slot.family;
        self.subtract(old)?;
        self.totals_mut(family).add(new);
        if !pods_of(old).eq(pods_of(new)) {
            self.unsettle(id, old);
            self.settle(id, new);
        }
        Some(())
    }

    fn subtract(&mut self, slice: &Slice) -> Option<()> {
        let AddressType::Ip(family) = slice.address_type else { return None };
        self.totals_mut(family).subtract(slice);
        Some(())
    }

    /// The slot of this slice in just this version.
    fn find(&self, slice: &Slice) -> Option<SlotId> {
        let named = |id: &SlotId| self.slot(*id).is_some_and(|slot| slot.name == slice.key.name);
        let id = *self.names.find(self.hasher.hash_one(&slice.key.name), named)?;
        self.slot(id)?.is(slice).then_some(id)
    }

    fn settle(&mut self, id: SlotId, slice: &Slice) {
        for pod in pods_of(slice) {
            let place = Place { pod: self.hash(pod), slot: id };
            self.places.insert_unique(spread(place.pod), place, |place| spread(place.pod));
        }
    }

    fn unsettle(&mut self, id: SlotId, slice: &Slice) {
        for pod in pods_of(slice) {
            let hash = self.hash(pod);
            let is_it = |place: &Place| place.pod == hash && place.slot == id;
            if let Ok(entry) = self.places.find_entry(spread(hash), is_it) {
                entry.remove();
            }
        }
    }

    fn hash(&self, pod: &Istr) -> u32 {
        let hash = self.hasher.hash_one(pod);
        // Half of it is enough to tell most Pods of a Service apart, and takes half the room.
        u32::try_from(hash >> 32).unwrap_or_default()
    }
}

/// The table looks at the upper bits as well.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fairlead_objects::{ObjectKey, testing};
    use proptest::prelude::*;

    use super::*;

    const SLICES: u8 = 6;
    const PODS: u8 = 12;

    /// A slice with endpoints for these Pods; every third is not ready, and hints go by the Pod's number.
    fn slice(number: u8, version: u64, ports: u8, pods: &[u8]) -> Arc<Slice> {
        let endpoint = |pod: &u8| {
            let zones = ["", r#""forZones": [{"name": "a"}]"#, r#""forZones": [{"name": "b"}]"#]
                [usize::from(pod % 3)];
            format!(
                r#"{{"addresses": ["10.244.0.{pod}"], "conditions": {{"ready": {}}}, "hints": {{{zones}}},
                    "targetRef": {{"kind": "Pod", "namespace": "shop", "name": "pod-{pod}", "uid": "u{pod}"}}}}"#,
                !pod.is_multiple_of(4),
            )
        };
        let endpoints: Vec<_> = pods.iter().map(endpoint).collect();
        let family = if number.is_multiple_of(2) { "IPv4" } else { "IPv6" };
        let slice: Slice = testing::decode(&format!(
            r#"{{"metadata": {{"namespace": "shop", "name": "slice-{number}", "resourceVersion": "{version}"}},
                "addressType": "{family}", "ports": [{{"name": "p", "port": {ports}}}], "endpoints": [{}]}}"#,
            endpoints.join(","),
        ));
        assert_eq!(slice.key, ObjectKey::new("shop", format!("slice-{number}").as_str()));
        Arc::new(slice)
    }

    /// Everything that a layout says, whatever the order in which it learnt it.
    fn told(layout: &Layout) -> (BTreeMap<String, Vec<Istr>>, usize, Vec<String>, Vec<Istr>) {
        let name = |id| layout.slot(id).map(|slot| slot.name.clone()).expect("the slot is taken");
        let places = (0..PODS).map(|pod| {
            let pod = format!("pod-{pod}");
            let mut slices: Vec<_> = layout.slots_of(&pod.as_str().into()).map(name).collect();
            slices.sort();
            (pod, slices)
        });
        let totals = [&layout.v4, &layout.v6].map(|totals| {
            let mut totals = totals.clone();
            totals.groups.sort();
            totals.hints.zones.sort();
            format!("{totals:?}")
        });
        let mut empty: Vec<_> = layout.empty_slots().map(name).collect();
        empty.sort();
        (places.collect(), layout.places.len(), totals.into(), empty)
    }

    proptest! {
        #[test]
        fn a_layout_that_follows_writes_says_what_a_new_one_says(
            writes in prop::collection::vec(
                (0..SLICES, 1..3_u8, prop::option::of(prop::collection::vec(0..PODS, 0..5))), 1..40),
        ) {
            let mut slices: BTreeMap<u8, Arc<Slice>> = BTreeMap::new();
            let mut layout = Layout::new([]).unwrap();
            for (version, (number, ports, pods)) in (1..).zip(&writes) {
                let new = pods.as_ref().map(|pods| slice(*number, version, *ports, pods));
                match (slices.remove(number), &new) {
                    (None, None) => {}
                    (None, Some(new)) => layout.insert(new).unwrap(),
                    (Some(old), Some(new)) => layout.replace(&old, new).unwrap(),
                    (Some(old), None) => layout.remove(&old).unwrap(),
                }
                slices.extend(new.map(|new| (*number, new)));
            }
            prop_assert_eq!(told(&layout), told(&Layout::new(slices.values()).unwrap()));
        }
    }

    #[test]
    fn another_version_of_a_slice_is_not_followed() {
        let known = slice(0, 5, 1, &[1, 2]);
        let mut layout = Layout::new([&known]).unwrap();
        let other = slice(0, 6, 1, &[1]);
        assert!(layout.remove(&other).is_none());
        assert!(layout.replace(&other, &slice(0, 7, 1, &[1])).is_none());
        let mut fqdn = Slice::clone(&known);
        fqdn.address_type = AddressType::Other("FQDN".into());
        assert!(Layout::new([&Arc::new(fqdn)]).is_none());
    }
}
