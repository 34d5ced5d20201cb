//! Lean records of Fairlead's own kinds, as far as allocation looks at them.

mod address;
mod announcement;
mod condition;
mod pool;
mod reservation;

pub use address::{Address, AddressSpec, Answering, Holder};
pub use announcement::Announcement;
pub use condition::Condition;
pub use pool::{Pool, PoolStatus, ServiceAllocation};
pub use reservation::{Reservation, ReservationStatus, ReservedFor};

use fairlead_objects::{Istr, ObjectKey, ResourceVersion, Selector, Uid};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

/// What every record takes from the metadata.
struct Identity {
    key: ObjectKey,
    uid: Uid,
    version: ResourceVersion,
    generation: i64,
    created: Option<Timestamp>,
}

impl From<&ObjectMeta> for Identity {
    fn from(metadata: &ObjectMeta) -> Self {
        let text = |text: &Option<String>| Istr::from(text.as_deref().unwrap_or_default());
        Self {
            key: ObjectKey { namespace: text(&metadata.namespace), name: text(&metadata.name) },
            uid: Uid::from(metadata.uid.as_deref().unwrap_or_default()),
            version: ResourceVersion::from(metadata.resource_version.as_deref().unwrap_or_default()),
            generation: metadata.generation.unwrap_or_default(),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
        }
    }
}

fn strings(texts: &[String]) -> Vec<Istr> {
    texts.iter().map(|text| Istr::from(text.as_str())).collect()
}

fn selectors(selectors: &[LabelSelector]) -> Vec<Selector> {
    selectors.iter().map(Selector::from).collect()
}
