//! What is remembered of a page, by which a repetition is known.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use crate::beacon::{Claims, Page};

/// What a page says about claims: of which addresses, and the hash of what it says. The claims themselves are with the
/// peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    ipv4: Option<Range>,
    ipv6: Option<Range>,
    hash: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    low: IpAddr,
    high: IpAddr,
}

impl Statement {
    pub(super) fn of(page: &Page) -> Self {
        let range = |claims: &Option<Claims>| claims.as_ref().map(|it| Range { low: it.low, high: it.high });
        let mut hasher = DefaultHasher::new();
        for claims in [&page.ipv4, &page.ipv6] {
            claims.as_ref().map(|it| &it.claims).hash(&mut hasher);
        }
        Self { ipv4: range(&page.ipv4), ipv6: range(&page.ipv6), hash: hasher.finish() }
    }

    /// Whether it says something about an address, claimed or not.
    pub(super) fn is_about(&self, address: IpAddr) -> bool {
        let ranges = [self.ipv4, self.ipv6];
        ranges.into_iter().flatten().any(|range| (range.low..=range.high).contains(&address))
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let overlap = |one: Option<Range>, other: Option<Range>| match (one, other) {
            (Some(one), Some(other)) => one.low <= other.high && other.low <= one.high,
            _ => false,
        };
        overlap(self.ipv4, other.ipv4) || overlap(self.ipv6, other.ipv6)
    }
}
