//! Whether the network was asked for other users of an address before it is published.

use std::net::IpAddr;

use fairlead_crds::Probe;
use jiff::{SignedDuration, Timestamp};

use super::Ours;
use crate::ledger::Slot;
use crate::records::Address;

/// Times of creation are whole seconds.
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// May an address be published that the Service does not have yet?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Yes.
    Open,
    /// Not before its object says more.
    Closed,
    /// Nor that, but at this time in any case: publishing is never blocked.
    ClosedUntil(Timestamp),
    /// Yes, though nobody has said anything in time.
    TimedOut,
}

impl Ours<'_> {
    /// May this address be published?
    pub(super) fn gate(&self, address: IpAddr) -> Gate {
        let slot = self.ledger.slots.get(address);
        if slot.is_some_and(|slot| !slot.published.is_empty()) {
            // What is published is not taken back, and who joins gets it as it is.
            return Gate::Open;
        }
        let Some(pool) = self.ledger.pools.of(address) else { return Gate::Open };
        let asked = match pool.record.probe {
            Some(probe) => probe == Probe::Enabled,
            None => self.ledger.has_speakers(self.now),
        };
        if !asked {
            return Gate::Open;
        }
        let Some(object) = slot.and_then(Slot::bound) else { return Gate::Closed };
        if object.probed == Some(true) || object.announced {
            return Gate::Open;
        }
        let timeout = SignedDuration::try_from(pool.record.probe_timeout).unwrap_or(SignedDuration::MAX);
        let created = object.created.unwrap_or(self.now);
        let until = created.saturating_add(timeout).and_then(|it| it.saturating_add(SECOND));
        let until = until.unwrap_or(Timestamp::MAX);
        if until <= self.now { Gate::TimedOut } else { Gate::ClosedUntil(until) }
    }
}

/// What is told of an address that was published though nobody has asked the network in time.
pub(super) fn not_asked(address: &Address) -> String {
    format!(
        "nobody asked who uses {} before it was published; whoever answers for it does so first",
        address.address
    )
}

/// What another device does with an address that was not published yet, in words: it is not to be, then.
pub(super) fn conflict(slot: &Slot) -> Option<&Address> {
    let object = slot.object.as_ref().filter(|object| object.probed == Some(false))?;
    (slot.published.is_empty() && object.conflict.is_some()).then_some(&**object)
}
