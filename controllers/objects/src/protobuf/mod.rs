//! Kubernetes' protobuf, for the objects that change most: Pods, EndpointSlices and Endpoints.
//!
//! An API server decodes and encodes protobuf for a fraction of the CPU time that JSON costs it. Records and watches know
//! JSON only; so what comes as protobuf is turned into the JSON of the fields that the tables name, which is a small
//! part of a Pod, and what is sent is serialized by the same tables. The format is described as "Kubernetes Protobuf
//! encoding" among the API concepts: four bytes of magic, then a `runtime.Unknown` with the kind and the bytes of the object.

mod decode;
mod encode;
mod schema;
mod wire;

use std::fmt;

pub use self::decode::{to_json, watch_event_to_json};
pub use self::encode::encode;
pub use self::schema::is_known;

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// For the header `Accept`: protobuf, but JSON from those who have no other.
pub const ACCEPT: &str = "application/vnd.kubernetes.protobuf, application/json";

/// Every object in protobuf begins with this.
const MAGIC: &[u8; 4] = b"k8s\0";

/// Is this an object in protobuf?
#[must_use]
pub fn is_protobuf(body: &[u8]) -> bool {
    body.starts_with(MAGIC)
}

/// Bytes that are not what the API server writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub(crate) String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is not the protobuf of Kubernetes: {}", self.0)
    }
}

impl std::error::Error for Malformed {}
