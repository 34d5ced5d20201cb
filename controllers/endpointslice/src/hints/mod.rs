//! Hints: which zone's or Node's clients an endpoint is meant for.
//!
//! ```text
//! Service ──▶ Mode ──▶ Off ───────────▶ no hints ◀────────────────┐
//!                 ├──▶ Distribution ──▶ own zone, own Node        │ Failure
//!                 └──▶ Auto ──────────▶ topology: share of CPU ───┴──▶ hints, counts by zone
//! ```
//!
//! Packing comes first and decides which slices are written; hints are then computed for the endpoints of these, and
//! may make further slices be written. The rules are those of upstream's `topologycache` and `trafficdist`.

mod capacity;
mod distribution;
mod event;
mod registry;
mod state;
mod topology;

use std::sync::Arc;

use fairlead_objects::{Endpoint, Hints, Istr, Service, Slice, TrafficDistribution};
use hashbrown::HashMap;

use crate::action::DesiredEndpoint;
use crate::layout::HintTotals;

pub use capacity::NodeTable;
pub use event::{Failure, HintEvent};
pub(crate) use registry::Registry;
pub use state::{HintState, HintStates, ZoneCounts};
pub(crate) use state::{event, were_hinted};

/// What decides about a Service's hints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing: there are none.
    Off,
    /// The topology annotation: zones get endpoints in proportion to their CPU (KEP-2433).
    Auto,
    /// `spec.trafficDistribution` (KEP-4444 and KEP-3015).
    Distribution(TrafficDistribution),
}

impl Mode {
    /// The annotation counts before the field.
    pub(crate) fn of(service: &Service) -> Self {
        if service.topology_auto {
            Self::Auto
        } else {
            service.traffic_distribution.map_or(Self::Off, Self::Distribution)
        }
    }
}

/// The endpoints of the slices of one family that are written anyway, slice by slice: new slices, then others.
/// They come without hints.
pub(crate) struct Packed<'a>(pub(crate) Vec<&'a mut [DesiredEndpoint]>);

impl Packed<'_> {
    fn endpoints(&mut self) -> impl Iterator<Item = &mut DesiredEndpoint> {
        self.0.iter_mut().flat_map(|slice| slice.iter_mut())
    }
}

/// An otherwise unchanged slice whose hints change.
#[derive(Debug, PartialEq)]
pub(crate) struct Rewrite {
    /// Which of the unchanged slices.
    pub(crate) slice: usize,
    /// The hints of its endpoints, in their order.
    pub(crate) hints: Vec<Option<Arc<Hints>>>,
}

/// Hints the endpoints of `packed`, and returns which of the `unchanged` slices must be written for their hints. `None`
/// if slices elsewhere, of which only the sums `rest` are known, must be looked at as well.
///
/// The order of the slices decides which endpoints are taken from a zone that has too many, so it must not depend on
/// anything but their names.
pub(crate) fn assign(
    mode: Mode,
    table: &NodeTable,
    mut packed: Packed<'_>,
    unchanged: &[&Slice],
    rest: &HintTotals,
) -> Option<(Vec<Rewrite>, HintState)> {
    match mode {
        Mode::Off => Some((removed(unchanged), HintState::Off)),
        Mode::Distribution(distribution) => {
            Some((distribution::assign(distribution, &mut packed, unchanged), HintState::Off))
        }
        Mode::Auto => match topology::assign(table, &mut packed, unchanged, rest) {
            Ok((rewrites, counts)) => Some((rewrites, HintState::Populated(counts))),
            Err(topology::Impossible::Elsewhere) => None,
            // Hints go, wherever they are.
            Err(topology::Impossible::Failed { .. }) if rest.hinted > 0 => None,
            Err(topology::Impossible::Failed { failure, ready }) => {
                Some((removed(unchanged), HintState::Failed { failure, ready }))
            }
        },
    }
}

/// Takes away all hints, those of endpoints that are not ready as well.
fn removed(unchanged: &[&Slice]) -> Vec<Rewrite> {
    let hinted = |slice: &Slice| slice.endpoints.iter().any(|endpoint| endpoint.hints.is_some());
    let with_hints = unchanged.iter().enumerate().filter(|(_, slice)| hinted(slice));
    with_hints.map(|(at, slice)| Rewrite { slice: at, hints: vec![None; slice.endpoints.len()] }).collect()
}

/// The slices in which an endpoint does not have the hints that it should have.
fn rewrites(
    unchanged: &[&Slice],
    mut hints: impl FnMut(usize, &Endpoint) -> Option<Arc<Hints>>,
) -> Vec<Rewrite> {
    let mut rewrites = Vec::new();
    for (slice, current) in unchanged.iter().enumerate() {
        let wanted: Vec<_> = current.endpoints.iter().map(|endpoint| hints(slice, endpoint)).collect();
        if current.endpoints.iter().zip(&wanted).any(|(endpoint, wanted)| endpoint.hints != *wanted) {
            rewrites.push(Rewrite { slice, hints: wanted });
        }
    }
    rewrites
}

/// Hints by what they name, so that the endpoints of a plan share them.
#[derive(Default)]
struct Names(HashMap<(Option<Istr>, Option<Istr>), Arc<Hints>>);

impl Names {
    /// Hints for one zone and one Node, as far as they are given.
    fn hints(&mut self, zone: Option<&Istr>, node: Option<&Istr>) -> Option<Arc<Hints>> {
        if zone.is_none() && node.is_none() {
            return None;
        }
        let make = || {
            let list = |name: Option<&Istr>| name.into_iter().cloned().collect();
            Slice::share_hints(Hints { zones: list(zone), nodes: list(node) })
        };
        Some(Arc::clone(self.0.entry((zone.cloned(), node.cloned())).or_insert_with(make)))
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod upstream_tests;
