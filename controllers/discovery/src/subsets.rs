//! Subsets of Endpoints objects in their one canonical form.
//!
//! What each address offers is turned around twice: every port gets the set of its addresses, then the ports with the
//! same set share a subset. A port is thus in one subset only, and an address is in a subset once: either ready or not.
//!
//! Two addresses are the same if their texts and the UIDs of what they stand for are. The first that is seen is kept as a
//! whole; whoever is once not ready on a port is not ready there. Addresses without any port share a subset without
//! ports, unless there is one with ports that has exactly the same addresses.
//!
//! The order is kube-controller-manager's, whose releases before 1.35 compare lists in order: addresses by text, then by
//! UID; ports and subsets by a hash.

mod digest;
mod order;

use std::iter::zip;

use fairlead_objects::{EndpointAddress, EndpointIp, EndpointPort, EndpointSubset, PortSet, TargetRef, Uid};
use hashbrown::HashMap;

pub use self::digest::ports_in_order;

/// An address, and the ports that it offers.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The address.
    pub address: EndpointAddress,
    /// Its ports; none at all is an offer as well.
    pub ports: PortSet,
    /// Is it ready on them?
    pub ready: bool,
}

/// The canonical subsets of these offers. `namespace` is that of the Endpoints object.
#[must_use]
pub fn pack(offers: impl IntoIterator<Item = Offer>, namespace: &str) -> Vec<EndpointSubset> {
    let mut subsets = unordered(offers);
    digest::sort_subsets(&mut subsets, namespace);
    subsets
}

/// The canonical form of subsets that may have any. `namespace` is that of the Endpoints object.
#[must_use]
pub fn repack(subsets: &[EndpointSubset], namespace: &str) -> Vec<EndpointSubset> {
    pack(offers_of(subsets), namespace)
}

/// As [`repack`], for those who need no order of the subsets: hashing large ones costs more than all the rest.
#[must_use]
pub fn repack_unordered(subsets: &[EndpointSubset]) -> Vec<EndpointSubset> {
    unordered(offers_of(subsets))
}

/// Do both say the same? `desired` must be canonical, `current` may have any form. Neither order counts nor the version in
/// `targetRef`.
#[must_use]
pub fn are_equal(current: &[EndpointSubset], desired: &[EndpointSubset]) -> bool {
    if current == desired {
        return true;
    }
    let by_ports = |list: &mut Vec<&EndpointSubset>| list.sort_by(|a, b| a.ports.cmp(&b.ports));
    let current = repack_unordered(current);
    let (mut current, mut desired): (Vec<_>, Vec<_>) = (current.iter().collect(), desired.iter().collect());
    by_ports(&mut current);
    by_ports(&mut desired);
    current == desired
}

fn offers_of(subsets: &[EndpointSubset]) -> impl Iterator<Item = Offer> {
    subsets.iter().flat_map(|subset| {
        let offer = |address: &EndpointAddress, ready| Offer {
            address: address.clone(),
            ports: subset.ports.clone(),
            ready,
        };
        let ready = subset.addresses.iter().map(move |address| offer(address, true));
        ready.chain(subset.not_ready.iter().map(move |address| offer(address, false)))
    })
}

/// The UID of what an address stands for, if that has one.
fn target_uid(address: &EndpointAddress) -> Option<&Uid> {
    match address.target.as_ref()? {
        TargetRef::Pod { uid, .. } => Some(uid),
        TargetRef::Other(reference) => reference.uid.as_ref(),
    }
    .filter(|uid| !uid.is_empty())
}

/// Addresses by their place in the table of all, which is sorted, and whether they are ready. Ascending, each once.
type Members = Vec<(u32, bool)>;

/// A port, or `None` where there is no port.
type PortKey<'a> = Option<&'a EndpointPort>;

/// The canonical subsets in no order.
fn unordered(offers: impl IntoIterator<Item = Offer>) -> Vec<EndpointSubset> {
    let (addresses, groups) = collect(offers);
    let mut by_members: Vec<(Members, Vec<PortKey<'_>>)> = share_ports(&groups).into_iter().collect();
    if let [(members, ports)] = by_members.as_mut_slice() {
        // Every address is in the one subset, in this order.
        let (ready, not_ready): (Vec<_>, Vec<_>) =
            zip(addresses, members).partition(|(_, (_, is_ready))| *is_ready);
        let plain = |list: Vec<(EndpointAddress, _)>| list.into_iter().map(|(address, _)| address).collect();
        return vec![EndpointSubset {
            addresses: plain(ready),
            not_ready: plain(not_ready),
            ports: real_ports(ports),
        }];
    }
    let subset = |(members, ports): (Members, Vec<PortKey<'_>>)| {
        let of = |wanted: bool| {
            let chosen = members.iter().filter(move |(_, is_ready)| *is_ready == wanted);
            chosen.map(|(place, _)| addresses[*place as usize].clone()).collect()
        };
        EndpointSubset { addresses: of(true), not_ready: of(false), ports: real_ports(&ports) }
    };
    by_members.into_iter().map(subset).collect()
}

/// The table of all addresses, sorted, each once; and who offers which set of ports.
fn collect(offers: impl IntoIterator<Item = Offer>) -> (Vec<EndpointAddress>, Vec<(PortSet, Members)>) {
    let mut addresses: Vec<EndpointAddress> = Vec::new();
    let mut places: HashMap<(EndpointIp, Option<Uid>), u32> = HashMap::new();
    let mut groups: Vec<(PortSet, Members)> = Vec::new();
    let mut group_of: HashMap<PortSet, usize> = HashMap::new();
    for Offer { address, ports, ready } in offers {
        let key = (address.ip.clone(), target_uid(&address).cloned());
        let place = *places.entry(key).or_insert_with(|| {
            addresses.push(address);
            u32::try_from(addresses.len() - 1).unwrap_or(u32::MAX)
        });
        let group = *group_of.entry(ports.clone()).or_insert_with(|| {
            groups.push((ports, Members::new()));
            groups.len() - 1
        });
        groups[group].1.push((place, ready));
    }
    let (addresses, new_places) = order::sort_addresses(addresses);
    for (_, members) in &mut groups {
        for (place, _) in members.iter_mut() {
            *place = new_places[*place as usize];
        }
        settle(members);
    }
    (addresses, groups)
}

/// Sorts members, each once; not ready goes before ready.
fn settle(members: &mut Members) {
    members.sort_unstable();
    members.dedup_by_key(|(place, _)| *place);
}

/// The ports by their members. Ports that are in the same groups have the same members, which need not be compared one by
/// one.
fn share_ports(groups: &[(PortSet, Members)]) -> HashMap<Members, Vec<PortKey<'_>>> {
    let mut groups_of: HashMap<PortKey<'_>, Vec<usize>> = HashMap::new();
    for (at, (ports, _)) in groups.iter().enumerate() {
        let none = ports.is_empty().then_some(None);
        for port in ports.iter().map(Some).chain(none) {
            let found = groups_of.entry(port).or_default();
            if found.last() != Some(&at) {
                found.push(at);
            }
        }
    }
    let mut ports_in: HashMap<Vec<usize>, Vec<PortKey<'_>>> = HashMap::new();
    for (port, found) in groups_of {
        ports_in.entry(found).or_default().push(port);
    }
    let mut ports_by_members: HashMap<Members, Vec<PortKey<'_>>> = HashMap::new();
    for (found, ports) in ports_in {
        let mut members: Members = found.iter().flat_map(|at| groups[*at].1.iter().copied()).collect();
        if found.len() > 1 {
            settle(&mut members);
        }
        ports_by_members.entry(members).or_default().extend(ports);
    }
    ports_by_members
}

/// The ports that are written. Numbers below 1 are no ports (the API admits none, and upstream drops them).
fn real_ports(ports: &[PortKey<'_>]) -> PortSet {
    ports
        .iter()
        .copied()
        .flatten()
        .filter(|port| port.port.is_some_and(|number| number > 0))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests;
