//! What the slices of an Endpoints object should hold.

use std::net::IpAddr;
use std::num::NonZeroUsize;

use fairlead_discovery::subsets::repack_unordered;
use fairlead_objects::address::parse_lenient;
use fairlead_objects::{
    Addresses, Conditions, Endpoint, EndpointAddress, EndpointIp, EndpointSubset, Endpoints, Family, Istr,
    PortSet, TargetRef,
};
use hashbrown::HashMap;

/// The endpoints of one slice: those of one family that have the same ports. Never empty.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) family: Family,
    pub(crate) ports: PortSet,
    pub(crate) endpoints: Vec<Endpoint>,
}

/// Addresses that are in no slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Skipped {
    /// All together.
    pub addresses: usize,
    /// Those among them that are no IP addresses, or of a kind that slices may not hold.
    pub invalid: usize,
}

impl Skipped {
    /// Are there more in a subset than are mirrored?
    #[must_use]
    pub fn is_over_limit(&self) -> bool {
        self.addresses > self.invalid
    }
}

/// Which endpoints are one and the same: addresses, host name, and namespace and name of the target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    addresses: Addresses,
    hostname: Istr,
    target: (Istr, Istr),
}

impl Identity {
    /// Of an endpoint in this namespace.
    pub(crate) fn of(endpoint: &Endpoint, namespace: &Istr) -> Self {
        let target = match &endpoint.target {
            None => Default::default(),
            Some(TargetRef::Pod { name, .. }) => (namespace.clone(), name.clone()),
            Some(TargetRef::Other(it)) => {
                (it.namespace.clone().unwrap_or_default(), it.name.clone().unwrap_or_default())
            }
        };
        let hostname = endpoint.hostname.clone().unwrap_or_default();
        Self { addresses: endpoint.addresses.clone(), hostname, target }
    }
}

/// The groups, in the order of family and ports, and what is in none of them. Of each subset at most `max` addresses
/// count, over both families together, ready ones first.
pub(crate) fn desired(endpoints: &Endpoints, max: NonZeroUsize) -> (Vec<Group>, Skipped) {
    let (mut groups, mut skipped) = (Vec::new(), Skipped::default());
    for subset in repack_unordered(&endpoints.subsets) {
        groups.extend(groups_of(&subset, &endpoints.key.namespace, max, &mut skipped));
    }
    groups.sort_by(|a, b| a.family.cmp(&b.family).then_with(|| a.ports.cmp(&b.ports)));
    (groups, skipped)
}

fn groups_of(
    subset: &EndpointSubset,
    namespace: &Istr,
    max: NonZeroUsize,
    skipped: &mut Skipped,
) -> impl Iterator<Item = Group> {
    let mut families = [Family::V4, Family::V6].map(|family| Members { family, ..Members::default() });
    let all =
        subset.addresses.iter().map(|it| (it, true)).chain(subset.not_ready.iter().map(|it| (it, false)));
    let mut taken = 0;
    for (address, ready) in all {
        let Some(ip) = publishable(&address.ip) else {
            skipped.invalid += 1;
            continue;
        };
        if taken == max.get() {
            continue;
        }
        taken += 1;
        for members in families.iter_mut().filter(|members| members.family == Family::of(ip)) {
            members.insert(endpoint(address, ip, ready), namespace);
        }
    }
    skipped.addresses += subset.addresses.len() + subset.not_ready.len() - taken;
    let ports = subset.ports.clone();
    families.into_iter().filter(|members| !members.list.is_empty()).map(move |members| Group {
        family: members.family,
        ports: ports.clone(),
        endpoints: members.list,
    })
}

/// Endpoints of one family, each identity once: the last one counts, as upstream has it.
struct Members {
    family: Family,
    list: Vec<Endpoint>,
    places: HashMap<Identity, usize>,
}

impl Default for Members {
    fn default() -> Self {
        Self { family: Family::V4, list: Vec::new(), places: HashMap::new() }
    }
}

impl Members {
    fn insert(&mut self, endpoint: Endpoint, namespace: &Istr) {
        let place = *self.places.entry(Identity::of(&endpoint, namespace)).or_insert(self.list.len());
        match self.list.get_mut(place) {
            Some(known) => *known = endpoint,
            None => self.list.push(endpoint),
        }
    }
}

/// The address, canonically; `None` if it is none, or one that the API admits in no slice. (Nor does it in Endpoints; but
/// one such address in an object from of old must not keep the others out.)
fn publishable(ip: &EndpointIp) -> Option<IpAddr> {
    let address = match ip {
        EndpointIp::Canonical(address) => address.to_canonical(),
        EndpointIp::Text(text) => parse_lenient(text)?,
    };
    let special = address.is_unspecified()
        || address.is_loopback()
        || match address {
            IpAddr::V4(v4) => v4.is_link_local() || v4.octets()[..3] == [224, 0, 0],
            IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.segments()[0] & 0xff0f == 0xff02,
        };
    (!special).then_some(address)
}

fn endpoint(address: &EndpointAddress, ip: IpAddr, ready: bool) -> Endpoint {
    Endpoint {
        addresses: Addresses::One(ip),
        conditions: Conditions { ready: Some(ready), ..Conditions::default() },
        hostname: address.hostname.clone(),
        node: address.node.clone(),
        zone: None,
        target: address.target.clone(),
        hints: None,
    }
}
