//! Taking an address from a Service.

use std::sync::Arc;
use std::time::Duration;

use fairlead_objects::ObjectKey;
use jiff::{SignedDuration, Timestamp};

use super::spec;
use crate::action::{Action, Guard};
use crate::ledger::Ledger;
use crate::records::{Address, Holder};

/// How long an address is given to nobody that another device was seen to use.
const AFTER_CONFLICT: Duration = Duration::from_mins(10);

/// The objects of addresses that name this Service, by whatever UID, in the order of their addresses.
pub(super) fn objects_of(ledger: &Ledger, key: &ObjectKey) -> Vec<Arc<Address>> {
    let slots = ledger.slots.of_service(key).iter().filter_map(|address| ledger.slots.get(*address));
    let names = |object: &&Arc<Address>| object.holders().iter().any(|holder| holder.key == *key);
    let mut objects: Vec<_> = slots.filter_map(|slot| slot.object.as_ref()).filter(names).cloned().collect();
    objects.sort_by_key(|object| object.address);
    objects
}

/// Takes an address from a Service. If others have it, too, they keep it; else it cools down for as long as its pool says,
/// or is free at once.
pub(super) fn release(
    ledger: &Ledger,
    object: &Arc<Address>,
    key: &ObjectKey,
    guard: Guard,
    now: Timestamp,
) -> Action {
    let current = Arc::clone(object);
    let left: Vec<Holder> = object.holders().iter().filter(|holder| holder.key != *key).cloned().collect();
    if !left.is_empty() {
        let spec = spec::spec(ledger, object.address, left, Some(object));
        return Action::Update { current, spec, guard };
    }
    let pool = ledger.pools.of(object.address).or_else(|| ledger.pools.get(&object.spec.pool));
    let mut cool_down = pool.map(|pool| pool.record.cool_down).unwrap_or_default();
    if object.probed == Some(false) {
        cool_down = cool_down.max(AFTER_CONFLICT);
    }
    let until = SignedDuration::try_from(cool_down).ok().and_then(|it| now.checked_add(it).ok());
    match until {
        // Speakers go on for a while when an object is deleted, as they do not know why; this they do.
        Some(until) if !cool_down.is_zero() || object.answering.is_some() => {
            Action::Cool { current, until, guard }
        }
        _ => Action::Delete { current, guard },
    }
}
