//! Upstream's packing as counts, written down independently: what it would write for one family and one set of
//! ports. Slices and Pods are plain numbers here.

use std::collections::BTreeSet;

use crate::support::Writes;

/// A slice before the sync.
#[derive(Clone, Debug)]
pub(crate) struct Before {
    /// Pods in their order; a Pod may occur more than once.
    pub(crate) pods: Vec<usize>,
    /// Are its labels or ports such that it must be written, or is it left behind?
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ports and labels are right.
    Right,
    /// Labels differ from the Service's.
    Labels,
    /// The ports are wanted by nobody.
    Ports,
    /// Left by a former Service.
    Foreign,
}

/// What upstream writes for Pods of one set of ports. `changed` Pods are written anew wherever they are.
pub(crate) fn upstream(
    before: &[Before],
    wanted: &BTreeSet<usize>,
    changed: &BTreeSet<usize>,
    max: usize,
) -> Writes {
    let mut left = wanted.clone();
    let (mut update, mut unchanged) = (Vec::new(), Vec::new());
    let (mut usable_deletes, mut foreign_deletes, mut create) = (0, 0, 0);
    for slice in before {
        match slice.kind {
            Kind::Foreign => foreign_deletes += 1,
            // With no Pod at all there is no group of these ports either.
            Kind::Ports => usable_deletes += 1,
            Kind::Right | Kind::Labels if wanted.is_empty() => usable_deletes += 1,
            Kind::Right | Kind::Labels => {
                let kept: Vec<_> = slice.pods.iter().filter(|pod| left.remove(pod)).collect();
                let dropped = kept.len() < slice.pods.len();
                if dropped && kept.is_empty() {
                    usable_deletes += 1;
                } else if dropped
                    || slice.kind == Kind::Labels
                    || kept.iter().any(|pod| changed.contains(pod))
                {
                    update.push(kept.len());
                } else {
                    unchanged.push(kept.len());
                }
            }
        }
    }
    let mut rest = left.len();
    update.sort_unstable();
    for size in update.iter_mut().rev() {
        while rest > 0 && *size < max {
            *size += 1;
            rest -= 1;
        }
    }
    while rest > 0 {
        let mut best: Option<(usize, usize)> = None;
        if rest < max {
            for (at, size) in unchanged.iter().enumerate() {
                if size + rest <= max && best.is_none_or(|(room, _)| max - size - rest < room) {
                    best = Some((max - size - rest, at));
                }
            }
        }
        if let Some((_, at)) = best {
            update.push(unchanged.remove(at) + rest);
            rest = 0;
        } else {
            create += 1;
            rest = rest.saturating_sub(max);
        }
    }
    if update.is_empty() && unchanged.is_empty() && create == 0 {
        create = 1;
    }
    let recycled = create.min(usable_deletes);
    (create - recycled, update.len() + recycled, usable_deletes - recycled + foreign_deletes)
}
