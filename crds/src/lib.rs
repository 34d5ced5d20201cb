//! The kinds of the API group `fairlead.dev`, version `v1alpha1`.
//!
//! | Kind | Who writes it | What it says |
//! |---|---|---|
//! | [`LoadBalancerPool`] | administrators | which addresses there are for Services of type LoadBalancer, and who gets them |
//! | [`Layer2Announcement`] | administrators | on which nodes and interfaces addresses are answered for |
//! | [`ServiceReservation`] | users of a namespace | an address that is kept for a Service |
//! | [`LoadBalancerAddress`] | Fairlead | an address that is assigned: to whom, and which node answers for it |
//!
//! This crate has the types, their schema with its validation rules, and the one spelling of addresses and of the
//! names of their objects ([`address`]). It knows no client.

pub mod address;
pub mod definitions;
mod duration;
mod layer2_announcement;
mod load_balancer_address;
mod load_balancer_pool;
pub mod names;
mod schema;
mod service_reservation;

pub use duration::{DurationError, GoDuration};
pub use layer2_announcement::{
    Layer2Announcement, Layer2AnnouncementSpec, Layer2AnnouncementStatus, PreferredNode,
};
pub use load_balancer_address::{
    AddressPhase, Announcement, Holder, LoadBalancerAddress, LoadBalancerAddressSpec,
    LoadBalancerAddressStatus,
};
pub use load_balancer_pool::{
    Announce, FamilyUsage, LoadBalancerPool, LoadBalancerPoolSpec, LoadBalancerPoolStatus, Order, Probe,
    Quota, Requests, ServiceAllocation, Sharing,
};
pub use service_reservation::{
    LoadBalancerReservation, ReservationPhase, ServiceName, ServiceReservation, ServiceReservationSpec,
    ServiceReservationStatus,
};
