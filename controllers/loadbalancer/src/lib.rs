//! Addresses of pools for Services of type LoadBalancer.
//!
//! Creating the `LoadBalancerAddress` object that is named after an address is the allocation: the API server lets only
//! one exist, whoever asks. The Service's status follows, and what is no longer used is released after that.
//!
//! ```text
//! watches ──▶ records ──▶ Ledger: who has which address, who wants what, who waits, what is free
//!                           │
//!                     key ──▶ plan_service ──▶ Plan: create ──▶ publish ──▶ release
//! ```
//!
//! Planning is pure: no client, no clock, no async; [`controller`] has the I/O. A [`Ledger`] is fed with what is observed, tells whom a change
//! concerns ([`Ledger::take_affected`]), and plans one key at a time.

mod action;
mod announcements;
pub mod body;
pub mod controller;
mod ledger;
mod metrics;
mod plan;
mod pool;
mod pool_status;
mod pools;
mod quota;
mod ranges;
pub mod records;
mod reservation_status;
mod reservations;
mod rivals;
mod sharing;
mod space;
#[cfg(test)]
mod testing;
mod wish;
mod words;

pub use action::{
    Action, AddressPlan, ConditionChange, Event, Guard, Plan, Publication, ReservationPlan, Standing,
};
pub use ledger::{Affected, Config, Ledger, MetalLb};
pub use words::Reason;
