//! Which speakers run, and which fell silent without a word.
//!
//! Whether a speaker runs is seen by its Lease being renewed, not by the times that are written in it: the clocks of nodes
//! may differ from ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairlead_objects::{Istr, Presence};
use jiff::{SignedDuration, Timestamp};

use super::{Ledger, Slot};
use crate::records::Answering;

/// After so long without a sign a speaker is lost: as long as its Lease lasts.
const SILENCE: SignedDuration = SignedDuration::from_secs(90);
/// One that has given its Lease back says itself what became of its addresses, or others do who take them, within so long.
const FAREWELL: SignedDuration = SignedDuration::from_secs(10);
/// A speaker that gave no sign for so long is late: one renewal of its Lease is missing.
const LATE: SignedDuration = SignedDuration::from_secs(45);
/// Whoever did not look for so long did not see either what speakers did.
const LONGEST_GAP: SignedDuration = SignedDuration::from_secs(30);

/// The speakers, by the names of their Leases.
#[derive(Debug, Default)]
pub(super) struct Speakers {
    leases: BTreeMap<Istr, Arc<Presence>>,
    watched: BTreeMap<Istr, Watched>,
    looked: Option<Timestamp>,
}

/// A speaker as it has been seen.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    /// When its last sign was noted; `None`: it came after the last look.
    sign: Option<Timestamp>,
    is_lost: bool,
}

/// What the Lease shows of a speaker that does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// It was renewed last so that it ran out then.
    RanOut(Timestamp),
    /// It was given back.
    Ended,
    /// There is none.
    NoLease,
}

impl Speakers {
    /// A Lease was seen. Whether what keeps nodes from answering has changed by it.
    pub(super) fn put(&mut self, lease: &Arc<Presence>) -> bool {
        let name = &lease.key.name;
        let before = self.leases.insert(name.clone(), Arc::clone(lease));
        let renewed = before.as_ref().is_none_or(|before| before.until != lease.until);
        if renewed {
            self.watched.insert(name.clone(), Watched::default());
        }
        !before.is_some_and(|before| {
            let had_run_out = lease.until > before.until.and_then(|it| it.checked_add(SILENCE).ok());
            before.node == lease.node && before.interfaces == lease.interfaces && !had_run_out
        })
    }

    /// A Lease is gone. Whether it was known.
    pub(super) fn remove(&mut self, name: &Istr) -> bool {
        self.watched.insert(name.clone(), Watched::default());
        self.leases.remove(name).is_some()
    }

    pub(super) fn lease(&self, name: &Istr) -> Option<&Arc<Presence>> {
        self.leases.get(name)
    }

    pub(super) fn leases(&self) -> impl Iterator<Item = &Arc<Presence>> {
        self.leases.values()
    }

    /// The speaker of a node has told something.
    pub(super) fn heard(&mut self, node: &str) {
        self.watched.insert(lease_of(node), Watched::default());
    }

    fn is_lost(&self, node: &str) -> bool {
        self.watched.get(&lease_of(node)).is_some_and(|it| it.is_lost)
    }

    fn absence(&self, node: &str) -> Absence {
        match self.leases.get(&lease_of(node)) {
            Some(lease) if lease.node.is_none() => Absence::Ended,
            Some(lease) => lease.until.map_or(Absence::Ended, Absence::RanOut),
            None => Absence::NoLease,
        }
    }

    /// Those of which something is told are watched, too. Whether one is lost now that was not before.
    fn look<'a>(&mut self, told_of: impl Iterator<Item = &'a Istr>, now: Timestamp) -> bool {
        let told_of: BTreeSet<Istr> = told_of.map(|node| lease_of(node)).collect();
        self.watched.retain(|name, _| self.leases.contains_key(name) || told_of.contains(name));
        for name in told_of {
            self.watched.entry(name).or_default();
        }
        let gap = self.looked.replace(now).map(|before| now.duration_since(before));
        if gap.is_some_and(|gap| gap > LONGEST_GAP || gap.is_negative()) {
            self.doubt();
        }
        let mut any = false;
        for (name, watched) in &mut self.watched {
            let sign = *watched.sign.get_or_insert(now);
            let has_ended = self.leases.get(name).is_some_and(|lease| lease.node.is_none());
            let patience = if has_ended { FAREWELL } else { SILENCE };
            if !watched.is_lost && now.duration_since(sign) >= patience {
                watched.is_lost = true;
                any = true;
            }
        }
        any
    }

    /// Nothing follows from what was not seen until now.
    fn doubt(&mut self) {
        for watched in self.watched.values_mut().filter(|it| !it.is_lost) {
            watched.sign = None;
        }
    }
}

impl Ledger {
    /// Looks which speakers gave no sign for so long that they are lost; their addresses are answered for by nobody, then. To
    /// be called every few seconds.
    pub fn watch_speakers(&mut self, now: Timestamp) {
        let answering = |slot: &Slot| Some(slot.bound()?.answering.as_ref()?.node.clone());
        let told_of: BTreeSet<Istr> = self.slots.iter().filter_map(|(_, slot)| answering(slot)).collect();
        if !self.speakers.look(told_of.iter(), now) {
            return;
        }
        let lost = |slot: &Slot| answering(slot).is_some_and(|node| self.speakers.is_lost(&node));
        let lost = self.slots.iter().filter(|(_, slot)| lost(slot)).map(|(address, _)| address);
        self.marks.addresses.extend(lost);
        self.mark_unanswered();
    }

    /// Is a speaker late, so that the API server is to be asked itself whether its Lease was renewed? It is not known
    /// otherwise whether the speaker is silent, or nothing comes from the API server.
    #[must_use]
    pub fn has_late_speakers(&self, now: Timestamp) -> bool {
        let is_late = |sign: Timestamp| now.duration_since(sign) >= LATE;
        self.speakers.watched.values().any(|it| !it.is_lost && it.sign.is_some_and(is_late))
    }

    /// The API server does not answer: speakers cannot reach it either, perhaps, and have their time from when it does.
    pub fn doubt_speakers(&mut self) {
        self.speakers.doubt();
    }

    /// Why nobody answers any more where this node's speaker did; `None` while that runs.
    pub(crate) fn absence_of(&self, answering: &Answering) -> Option<Absence> {
        self.speakers.is_lost(&answering.node).then(|| self.speakers.absence(&answering.node))
    }

    /// Does a speaker run anywhere?
    pub(crate) fn has_speakers(&self, now: Timestamp) -> bool {
        self.speakers.leases().any(|lease| lease.is_live(now))
    }

    /// The speaker of a node, if one runs there.
    pub(crate) fn speaker_of(&self, node: &str, now: Timestamp) -> Option<&Arc<Presence>> {
        let lease = self.speakers.lease(&lease_of(node))?;
        (lease.node.as_deref() == Some(node) && lease.is_live(now)).then_some(lease)
    }

    /// When the Lease of this node's speaker ran out, if it was not given back.
    pub(crate) fn ran_out(&self, node: &str, now: Timestamp) -> Option<Timestamp> {
        let lease = self.speakers.lease(&lease_of(node))?;
        let until = lease.until.filter(|until| *until <= now)?;
        (lease.node.as_deref() == Some(node)).then_some(until)
    }
}

/// The name of the Lease of a node's speaker.
fn lease_of(node: &str) -> Istr {
    Presence::name_of(node).into()
}
