//! One pool, compiled: which addresses it gives out, and why not the others.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use fairlead_objects::{Family, Istr, Labels, Service};

use crate::ranges::{Interval, Range, RangeError, number};
use crate::records::Pool;
use crate::space::Space;

/// A part of a pool, one entry of `spec.addresses`.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) text: Istr,
    pub(crate) range: Range,
}

/// Why a part of a pool is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PartProblem {
    Unreadable(RangeError),
    /// It overlaps a part of an older pool.
    OverlapsPool {
        part: Istr,
        pool: Istr,
    },
    /// It overlaps a range of ClusterIPs.
    OverlapsServiceCidr {
        range: Istr,
        name: Istr,
    },
}

impl fmt::Display for PartProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::OverlapsPool { part, pool } => {
                write!(f, "it overlaps {part} of LoadBalancerPool {pool}, which is older")
            }
            Self::OverlapsServiceCidr { range, name } => {
                write!(f, "it overlaps the ClusterIP range {range} of ServiceCIDR {name}")
            }
        }
    }
}

/// Why an address that lies in a pool is not given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unassignable {
    Excluded,
    Network,
    Broadcast,
    SubnetRouterAnycast,
    Buggy,
    Node,
}

impl fmt::Display for Unassignable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Excluded => "is excluded there",
            Self::Network => "is the network address there",
            Self::Broadcast => "is the broadcast address there",
            Self::SubnetRouterAnycast => "is the subnet-router anycast address there",
            Self::Buggy => "ends in .0 or .255, which that pool avoids",
            Self::Node => "is the address of a Node",
        })
    }
}

/// A pool with its parts sorted out.
#[derive(Debug)]
pub(crate) struct CompiledPool {
    pub(crate) record: Arc<Pool>,
    pub(crate) accepted: Vec<Part>,
    pub(crate) refused: Vec<(Istr, PartProblem)>,
    /// Entries of `spec.exclude` that cannot be read.
    pub(crate) unreadable_exclusions: Vec<(Istr, RangeError)>,
    /// Addresses of Nodes that lie in it.
    pub(crate) node_addresses: Vec<IpAddr>,
    excluded: [Space; 2],
    assignable: [Assignable; 2],
}

/// The addresses of one family that a pool gives out.
#[derive(Debug, Default)]
struct Assignable {
    space: Space,
    size: u128,
    /// The intervals with the number of addresses before each.
    offsets: Vec<(u128, Interval)>,
}

impl Assignable {
    fn new(space: Space) -> Self {
        let size = space.size();
        let mut before = 0_u128;
        let mut offsets = Vec::new();
        for interval in space.intervals() {
            offsets.push((before, interval));
            before = before.saturating_add((interval.last - interval.first).saturating_add(1));
        }
        Self { space, size, offsets }
    }

    /// The address with that many others before it.
    fn nth(&self, n: u128) -> Option<u128> {
        let at = self.offsets.partition_point(|(before, _)| *before <= n).checked_sub(1)?;
        let (before, interval) = self.offsets[at];
        Some(interval.first + (n - before).min(interval.last - interval.first))
    }
}

impl CompiledPool {
    /// Sorts out the parts of a pool. `problem` says what speaks against one that can be read; `node_addresses` are those
    /// of all Nodes, in order.
    pub(crate) fn new(
        record: &Arc<Pool>,
        problem: impl Fn(&Range) -> Option<PartProblem>,
        node_addresses: &[IpAddr],
    ) -> Self {
        let mut accepted = Vec::new();
        let mut refused = Vec::new();
        for text in &record.addresses {
            let read = Range::parse(text).map_err(PartProblem::Unreadable);
            match read.and_then(|range| problem(&range).map_or(Ok(range), Err)) {
                Ok(range) => accepted.push(Part { text: text.clone(), range }),
                Err(problem) => refused.push((text.clone(), problem)),
            }
        }
        let mut excluded = [Space::default(), Space::default()];
        let mut unreadable_exclusions = Vec::new();
        for text in &record.exclude {
            match Range::parse(text) {
                Ok(range) => excluded[range.family as usize].insert(range.interval),
                Err(error) => unreadable_exclusions.push((text.clone(), error)),
            }
        }
        let mut pool = Self {
            record: Arc::clone(record),
            accepted,
            refused,
            unreadable_exclusions,
            node_addresses: Vec::new(),
            excluded,
            assignable: [Assignable::default(), Assignable::default()],
        };
        pool.node_addresses =
            node_addresses.iter().copied().filter(|it| pool.part_of(*it).is_some()).collect();
        pool.assignable =
            [Family::V4, Family::V6].map(|family| Assignable::new(pool.assignable_space(family)));
        pool
    }

    fn assignable_space(&self, family: Family) -> Space {
        let mut space = Space::default();
        for part in self.accepted.iter().filter(|part| part.range.family == family) {
            let mut of_part = Space::default();
            of_part.insert(part.range.interval);
            for (edge, _) in edges(&part.range).into_iter().flatten() {
                of_part.take(edge);
            }
            of_part.intervals().for_each(|interval| space.insert(interval));
        }
        for interval in self.excluded[family as usize].intervals() {
            space.remove(interval);
        }
        for address in self.node_addresses.iter().filter(|it| Family::of(**it) == family) {
            space.take(number(*address));
        }
        if self.record.avoid_buggy_ips && family == Family::V4 {
            take_buggy(&mut space);
        }
        space
    }

    /// Name.
    pub(crate) fn name(&self) -> &Istr {
        &self.record.key.name
    }

    /// The accepted part that the address lies in.
    pub(crate) fn part_of(&self, address: IpAddr) -> Option<&Part> {
        let family = Family::of(address);
        let inside =
            |part: &&Part| part.range.family == family && part.range.interval.contains(number(address));
        self.accepted.iter().find(inside)
    }

    /// Does an address that somebody has still belong here? Not if it is in no part, or excluded. That it would not be
    /// given out for another reason is no reason to move what is there.
    pub(crate) fn keeps(&self, address: IpAddr) -> bool {
        self.part_of(address).is_some() && !self.is_excluded(address)
    }

    fn is_excluded(&self, address: IpAddr) -> bool {
        self.excluded[Family::of(address) as usize].contains(number(address))
    }

    /// Is it one that the pool gives out, when it is free?
    pub(crate) fn is_assignable(&self, address: IpAddr) -> bool {
        self.assignable[Family::of(address) as usize].space.contains(number(address))
    }

    /// What the pool gives out, of one family.
    pub(crate) fn assignable(&self, family: Family) -> &Space {
        &self.assignable[family as usize].space
    }

    /// How many addresses it gives out, of one family.
    pub(crate) fn capacity(&self, family: Family) -> u128 {
        self.assignable[family as usize].size
    }

    /// Where a search for a free address begins that is drawn by `draw`.
    pub(crate) fn place(&self, family: Family, draw: u64) -> u128 {
        let assignable = &self.assignable[family as usize];
        if assignable.size == 0 {
            return 0;
        }
        // Spread over large pools, too: the draw is a fraction of the size.
        let n = if assignable.size > u128::from(u64::MAX) {
            (assignable.size >> 64) * u128::from(draw)
        } else {
            (assignable.size * u128::from(draw)) >> 64
        };
        assignable.nth(n).unwrap_or_default()
    }

    /// Why an address that lies in a part is not given out.
    pub(crate) fn why_unassignable(&self, address: IpAddr) -> Option<Unassignable> {
        if self.is_assignable(address) {
            return None;
        }
        if self.is_excluded(address) {
            return Some(Unassignable::Excluded);
        }
        if self.node_addresses.contains(&address) {
            return Some(Unassignable::Node);
        }
        let part = self.part_of(address)?;
        let edge = edges(&part.range).into_iter().flatten().find(|(edge, _)| *edge == number(address));
        Some(edge.map_or(Unassignable::Buggy, |(_, why)| why))
    }

    /// Is the pool for this namespace?
    pub(crate) fn is_for_namespace(&self, namespace: &Istr, labels: &Labels) -> bool {
        let Some(allocation) = &self.record.service_allocation else { return true };
        (allocation.namespaces.is_empty() && allocation.namespace_selectors.is_empty())
            || allocation.namespaces.contains(namespace)
            || allocation.namespace_selectors.iter().any(|selector| selector.matches(labels))
    }

    /// Is the pool for this Service?
    pub(crate) fn is_for(&self, service: &Service, namespace_labels: &Labels) -> bool {
        let Some(allocation) = &self.record.service_allocation else { return true };
        let selectors = &allocation.service_selectors;
        self.is_for_namespace(&service.key.namespace, namespace_labels)
            && (selectors.is_empty() || selectors.iter().any(|selector| selector.matches(&service.labels)))
    }
}

/// The addresses of a CIDR that are not given out, unless as parts of something else.
fn edges(range: &Range) -> [Option<(u128, Unassignable)>; 2] {
    let Interval { first, last } = range.interval;
    match (range.family, range.prefix) {
        (Family::V4, Some(..=30)) => {
            [Some((first, Unassignable::Network)), Some((last, Unassignable::Broadcast))]
        }
        (Family::V6, Some(..=126)) => [Some((first, Unassignable::SubnetRouterAnycast)), None],
        _ => [None, None],
    }
}

/// Takes out what ends in .0 and .255. There are many in a large pool, so they are taken interval by interval.
fn take_buggy(space: &mut Space) {
    let intervals: Vec<Interval> = space.intervals().collect();
    for Interval { first, last } in intervals {
        for block in (first >> 8)..=(last >> 8) {
            space.take(block << 8);
            space.take(block << 8 | 0xff);
        }
    }
}

#[cfg(test)]
mod tests;
