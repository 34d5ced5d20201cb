//! What the object of an address says.

use std::net::IpAddr;

use fairlead_crds::Probe;
use fairlead_objects::{Istr, Labels, LoadBalancer};

use crate::announcements;
use crate::ledger::{Known, Ledger};
use crate::records::{Address, AddressSpec, Holder};

/// As many characters as the schema of `LoadBalancerAddress` allows.
const LONGEST_SHARING_KEY: usize = 1024;

/// What the object of an address says that these Services have. `current` is what it says now.
pub(super) fn spec(
    ledger: &Ledger,
    address: IpAddr,
    services: Vec<Holder>,
    current: Option<&Address>,
) -> AddressSpec {
    let named = current.map(|current| &current.spec.pool);
    let pool = ledger.pools.of(address).or_else(|| named.and_then(|name| ledger.pools.get(name)));
    let known: Vec<&Known> = services.iter().filter_map(|holder| ledger.services.get(&holder.key)).collect();
    let first = known.first().and_then(|known| Some((known, known.service.load_balancer.as_deref()?)));
    let announcements = match pool {
        Some(pool) => {
            let labels: Vec<&Labels> = known.iter().map(|known| &known.service.labels).collect();
            announcements::merged(&ledger.announcements, &pool.record, &labels)
        }
        // With its pool gone, it goes on being announced as it was.
        None => current.map_or_else(announcements::everywhere, |it| it.spec.announcements.clone()),
    };
    AddressSpec {
        pool: pool.map(|pool| pool.name().clone()).or_else(|| named.cloned()).unwrap_or_default(),
        // Who was there first decides; what does not go with it moves away.
        sharing_key: match first {
            Some((known, _)) => shortened(&known.wish.sharing_key),
            None => current.map(|it| it.spec.sharing_key.clone()).unwrap_or_default(),
        },
        local: match first {
            Some((_, LoadBalancer { local, .. })) => *local,
            None => current.is_some_and(|it| it.spec.local),
        },
        // Whoever announces it later asks before it does, though nobody may be there yet who can.
        probe: match pool {
            Some(pool) => pool.record.probe != Some(Probe::Disabled),
            None => current.is_some_and(|it| it.spec.probe),
        },
        services,
        announcements,
    }
}

/// The sharing key as the object has it.
pub(crate) fn shortened(key: &Istr) -> Istr {
    match key.char_indices().nth(LONGEST_SHARING_KEY) {
        Some((end, _)) => key[..end].into(),
        None => key.clone(),
    }
}
