//! Topology mode `Auto`: each zone gets endpoints in proportion to its CPU (KEP-2433).
//!
//! Endpoints are meant for their own zone; where a zone has more of them than its share and another fewer, some are
//! handed over. Hints that are there already stay as long as no zone gets more than it may have, because every
//! change of a slice is seen by every node of the cluster.
//!
//! What is written is what upstream writes, but for one thing: some slices it writes again at every sync, because a
//! zone is too small to be given an endpoint and the others therefore have more than they may, or because a zone has
//! endpoints but no Nodes that count. Here hints that no transfer would improve are settled and stay.

use std::collections::BTreeMap;

use fairlead_objects::{Istr, Slice};

use super::capacity::NodeTable;
use super::event::Failure;
use super::state::ZoneCounts;
use super::{Names, Packed, Rewrite, rewrites};
use crate::layout::{HintTotals, only_zone};

/// A zone may get so much more traffic per endpoint than the average.
const OVERLOAD_THRESHOLD: f64 = 0.2;
/// The part of its share that a zone needs at least.
const NEEDED: f64 = 1.0 / (1.0 + OVERLOAD_THRESHOLD);

/// How many of a family's endpoints one zone gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Allocation {
    /// Fewer would be overloaded.
    pub(super) minimum: usize,
    /// With more, another zone would have fewer than its minimum.
    pub(super) maximum: usize,
    /// Its share, or the minimum if that is more.
    pub(super) desired: f64,
}

/// The allocation of each zone of the table for this many ready endpoints.
pub(super) fn allocate(table: &NodeTable, endpoints: usize) -> Result<Vec<Allocation>, Failure> {
    let zones = table.zones().len();
    if zones == 0 {
        return Err(Failure::NodeInformation);
    }
    if zones > endpoints {
        return Err(Failure::TooFewEndpoints { endpoints, zones });
    }
    let shares: Vec<f64> = table.zones().iter().map(|zone| zone.ratio * float(endpoints)).collect();
    let minima: Vec<usize> = shares.iter().map(|share| round_up(share * NEEDED)).collect();
    let spare =
        endpoints.checked_sub(minima.iter().sum()).ok_or(Failure::MinimumExceeded { endpoints, zones })?;
    let allocation = |(share, minimum): (f64, usize)| Allocation {
        minimum,
        maximum: minimum + spare,
        desired: share.max(float(minimum)),
    };
    Ok(shares.into_iter().zip(minima).map(allocation).collect())
}

/// Does a zone of the table have fewer of the Service's endpoints than it needs?
pub(super) fn is_overloaded(counts: &[(Istr, usize)], table: &NodeTable) -> bool {
    if table.zones().is_empty() {
        return true;
    }
    let all = float(counts.iter().map(|(_, count)| count).sum());
    table.zones().iter().any(|zone| {
        let has = counts.iter().find(|(name, _)| *name == zone.name).map(|(_, count)| *count);
        has.is_none_or(|has| has < round_up(all * zone.ratio * NEEDED))
    })
}

/// Why there are no hints.
pub(super) enum Impossible {
    /// They cannot be set.
    Failed {
        /// Why.
        failure: Failure,
        /// Number of ready endpoints.
        ready: usize,
    },
    /// Slices elsewhere, of which only sums are known, may have to change.
    Elsewhere,
}

/// Hints the endpoints of `packed`. Returns which of the `unchanged` slices must be written for their hints, and how
/// many endpoints each zone has. `rest` are the sums over slices that are not to be written.
pub(super) fn assign(
    table: &NodeTable,
    packed: &mut Packed<'_>,
    unchanged: &[&Slice],
    rest: &HintTotals,
) -> Result<(Vec<Rewrite>, ZoneCounts), Impossible> {
    let of_unchanged = unchanged.iter().flat_map(|slice| &slice.endpoints);
    let ready = packed.endpoints().filter(|it| it.readiness.ready).count()
        + of_unchanged.filter(|it| it.conditions.ready == Some(true)).count()
        + rest.ready;
    let failed = |failure| Impossible::Failed { failure, ready };
    let allocations = allocate(table, ready).map_err(failed)?;

    let rest_counts = Counts::of(rest, table, &allocations).ok_or(Impossible::Elsewhere)?;
    let mut counts = rest_counts.clone();
    let kept: Vec<bool> = unchanged.iter().map(|slice| counts.keep(slice, table, &allocations)).collect();
    if rest.ready > 0 && !kept.iter().all(|kept| *kept) {
        // Which slices are kept depends on the order of all.
        return Err(Impossible::Elsewhere);
    }
    let outcome = Assignment::new(table, &allocations, packed, unchanged, kept, counts).map_err(failed)?;
    if packed.endpoints().all(|it| !it.readiness.ready)
        && let Some(settled) = rest_counts.settled(unchanged, table, &allocations)
        && (outcome.counts.exceed(&allocations) || !settled.exceed(&allocations))
    {
        return Ok((Vec::new(), settled.finish(table)));
    }
    Ok(outcome.write(table, packed, unchanged))
}

/// Endpoints by the zone that they are hinted to.
#[derive(Clone)]
struct Counts {
    /// By position in the table.
    zones: Vec<usize>,
    /// In zones that are not in the table.
    elsewhere: BTreeMap<Istr, usize>,
}

impl Counts {
    /// The counts of slices of which only the sums are known; `None` if one of them could not be kept as it is.
    fn of(rest: &HintTotals, table: &NodeTable, allocations: &[Allocation]) -> Option<Self> {
        let mut counts = Self { zones: vec![0; table.zones().len()], elsewhere: BTreeMap::new() };
        for (zone, count) in &rest.zones {
            counts.zones[table.position(zone)?] = *count;
        }
        (rest.are_complete() && !counts.exceed(allocations)).then_some(counts)
    }

    /// Counts the hints of an otherwise unchanged slice, if it can stay as it is: every ready endpoint is hinted to
    /// one zone of the table, and no zone gets more than its maximum.
    fn keep(&mut self, slice: &Slice, table: &NodeTable, allocations: &[Allocation]) -> bool {
        let mut zones = self.zones.clone();
        for endpoint in slice.endpoints.iter().filter(|it| it.conditions.ready == Some(true)) {
            let Some(zone) = only_zone(endpoint.hints.as_deref()).and_then(|zone| table.position(zone))
            else {
                return false;
            };
            zones[zone] += 1;
        }
        // Zones that this slice adds nothing to have been looked at before.
        if zones.iter().zip(allocations).any(|(count, allocation)| *count > allocation.maximum) {
            return false;
        }
        self.zones = zones;
        true
    }

    /// Adds the hints of all `unchanged` slices, if every ready endpoint has one, for a zone of the table or for its
    /// own, and no transfer would bring the zones nearer to what they desire.
    fn settled(self, unchanged: &[&Slice], table: &NodeTable, allocations: &[Allocation]) -> Option<Self> {
        let mut counts = self;
        let endpoints = unchanged.iter().flat_map(|slice| &slice.endpoints);
        for endpoint in endpoints.filter(|it| it.conditions.ready == Some(true)) {
            let zone = only_zone(endpoint.hints.as_deref())?;
            match table.position(zone) {
                Some(at) => counts.zones[at] += 1,
                None if endpoint.zone.as_ref() == Some(zone) => {
                    *counts.elsewhere.entry(zone.clone()).or_default() += 1;
                }
                None => return None,
            }
        }
        Transfers::new(&desired(allocations), &counts.zones).is_none().then_some(counts)
    }

    fn exceed(&self, allocations: &[Allocation]) -> bool {
        self.zones.iter().zip(allocations).any(|(count, allocation)| *count > allocation.maximum)
    }

    fn finish(self, table: &NodeTable) -> ZoneCounts {
        let zones = table.zones().iter().zip(self.zones).map(|(zone, count)| (zone.name.clone(), count));
        let mut all: Vec<_> = zones.chain(self.elsewhere).filter(|(_, count)| *count > 0).collect();
        all.sort();
        all.into()
    }
}

/// A ready endpoint of a slice that is not kept.
struct Spot {
    /// Position of its own zone in the table.
    home: Option<usize>,
    /// The zone that it is handed over to.
    guest: Option<usize>,
    /// Its own zone.
    zone: Istr,
}

/// Who is hinted where.
struct Assignment {
    /// Slices that stay as they are.
    kept: Vec<bool>,
    /// The ready endpoints of all other slices, in the order of these.
    spots: Vec<Spot>,
    counts: Counts,
}

impl Assignment {
    fn new(
        table: &NodeTable,
        allocations: &[Allocation],
        packed: &mut Packed<'_>,
        unchanged: &[&Slice],
        kept: Vec<bool>,
        mut counts: Counts,
    ) -> Result<Self, Failure> {
        let mut spots = Vec::new();
        let mut home = |zone: Option<&Istr>| {
            let zone = zone.ok_or(Failure::NoZone)?.clone();
            let home = table.position(&zone);
            match home {
                Some(at) => counts.zones[at] += 1,
                None => *counts.elsewhere.entry(zone.clone()).or_default() += 1,
            }
            spots.push(Spot { home, guest: None, zone });
            Ok(())
        };
        for endpoint in packed.endpoints().filter(|it| it.readiness.ready) {
            home(endpoint.zone.as_ref())?;
        }
        for (slice, _) in unchanged.iter().zip(&kept).filter(|(_, kept)| !**kept) {
            for endpoint in slice.endpoints.iter().filter(|it| it.conditions.ready == Some(true)) {
                home(endpoint.zone.as_ref())?;
            }
        }
        Transfers::new(&desired(allocations), &counts.zones).make(&mut spots, &mut counts.zones);
        Ok(Self { kept, spots, counts })
    }

    fn write(
        self,
        table: &NodeTable,
        packed: &mut Packed<'_>,
        unchanged: &[&Slice],
    ) -> (Vec<Rewrite>, ZoneCounts) {
        let mut names = Names::default();
        let mut spots = self.spots.into_iter();
        let mut next = || {
            let spot = spots.next()?;
            names.hints(Some(spot.guest.map_or(&spot.zone, |at| &table.zones()[at].name)), None)
        };
        for endpoint in packed.endpoints().filter(|it| it.readiness.ready) {
            endpoint.hints = next();
        }
        let rewrites = rewrites(unchanged, |slice, endpoint| {
            if self.kept[slice] || endpoint.conditions.ready != Some(true) {
                endpoint.hints.clone()
            } else {
                next()
            }
        });
        (rewrites, self.counts.finish(table))
    }
}

/// How many endpoints each zone hands over, and how many it takes.
#[derive(Debug, PartialEq)]
pub(super) struct Transfers {
    pub(super) giving: Vec<usize>,
    pub(super) receiving: Vec<usize>,
}

impl Transfers {
    /// Moves one after the other from the zone with the greatest surplus to that with the greatest want, as long as
    /// both come nearer to what they desire and one of them by a whole endpoint: traffic had better stay in its zone
    /// than be spread a little more evenly. Of equal zones the first counts.
    pub(super) fn new(desired: &[f64], counts: &[usize]) -> Self {
        let mut moves = Self { giving: vec![0; counts.len()], receiving: vec![0; counts.len()] };
        loop {
            let surplus = |zone: usize| float(counts[zone]) - float(moves.giving[zone]) - desired[zone];
            let want = |zone: usize| desired[zone] - float(counts[zone]) - float(moves.receiving[zone]);
            let (Some((from, surplus)), Some((to, want))) =
                (greatest(counts.len(), surplus), greatest(counts.len(), want))
            else {
                return moves;
            };
            if surplus < 0.5 || want < 0.5 || (surplus < 1.0 && want < 1.0) {
                return moves;
            }
            moves.giving[from] += 1;
            moves.receiving[to] += 1;
        }
    }

    fn is_none(&self) -> bool {
        self.giving.iter().all(|giving| *giving == 0)
    }

    /// Hands over the first endpoints of the zones that give.
    fn make(mut self, spots: &mut [Spot], counts: &mut [usize]) {
        for spot in spots {
            if let Some(from) = spot.home
                && self.giving[from] > 0
                && let Some(to) = self.receiving.iter().position(|left| *left > 0)
            {
                spot.guest = Some(to);
                self.giving[from] -= 1;
                self.receiving[to] -= 1;
                counts[from] -= 1;
                counts[to] += 1;
            }
        }
    }
}

fn desired(allocations: &[Allocation]) -> Vec<f64> {
    allocations.iter().map(|it| it.desired).collect()
}

/// The first of the zones with the greatest value above zero.
fn greatest(zones: usize, value: impl Fn(usize) -> f64) -> Option<(usize, f64)> {
    let mut found: Option<(usize, f64)> = None;
    for zone in 0..zones {
        let value = value(zone);
        if value > found.map_or(0.0, |(_, most)| most) {
            found = Some((zone, value));
        }
    }
    found
}

/// Numbers of endpoints are far below 2^52.
#[expect(clippy::cast_precision_loss)]
fn float(count: usize) -> f64 {
    count as f64
}

/// A share of a number of endpoints, rounded up to a whole one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn round_up(share: f64) -> usize {
    share.ceil() as usize
}
