//! Lean records of the Kubernetes objects that Fairlead watches.
//!
//! A record names only the fields that the controllers use; everything else is skipped while the JSON is
//! parsed and never allocated. Strings, label sets and port sets that many objects share are stored once
//! ([`intern`]). A record is what was *observed*: it is never written back. What is written is built from
//! the desired state plus the parts of the old object that a rewrite must preserve (see [`Slice`]).
//!
//! ```text
//! JSON of a watch event ── serde ──▶ record (Pod, Node, Service, Slice, Endpoints) ── Arc ──▶ informer, planners
//!          ▲
//! protobuf of the kinds that change most ([`protobuf`])
//! ```
//!
//! The crate is pure: no client, no clock, no async.

pub mod address;
mod endpoints;
mod identity;
pub mod intern;
mod labels;
mod load_balancer;
mod namespace;
mod node;
mod pod;
mod port;
mod presence;
pub mod protobuf;
mod quantity;
mod record;
mod selector;
mod service;
mod service_cidr;
mod slice;
#[cfg(feature = "testing")]
pub mod testing;

pub use address::Family;
pub use endpoints::{EndpointAddress, EndpointIp, EndpointSubset, Endpoints};
pub use identity::{ObjectKey, ResourceVersion, Uid};
pub use intern::Istr;
pub use labels::Labels;
pub use load_balancer::{
    ADDRESS_ANNOTATIONS, FamilyPolicy, Ingress, IngressPoint, LOAD_BALANCER_READY, LoadBalancer,
    ServiceCondition,
};
pub use namespace::Namespace;
pub use node::Node;
pub use pod::{ContainerPort, Phase, Pod};
pub use port::{EndpointPort, PortSet, Protocol};
pub use presence::{Presence, PresentInterface};
pub use quantity::Millis;
pub use record::{Record, Resource};
pub use selector::{Operator, Requirement, Selector};
pub use service::{ClusterIp, Service, ServicePort, ServiceType, TargetPort, TrafficDistribution};
pub use service_cidr::ServiceCidr;
pub use slice::{
    AddressType, Addresses, Conditions, Endpoint, Hints, ObjectRef, OwnerReference, Slice, TargetRef,
};
