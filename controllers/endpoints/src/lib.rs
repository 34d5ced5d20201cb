//! Services and Pods to Endpoints.
//!
//! ```text
//! Service + Pods ──▶ desired: offers ──▶ canonical subsets ──▶ capacity ──▶ Plan
//!                                                                             │
//!                            body: what is sent ◀── Action: create, update ◀──┘
//! ```
//!
//! Planning is pure: no client, no clock, no async. The rules are those of kube-controller-manager's
//! endpoints-controller, so that it and Fairlead can take over from each other without a write; where Fairlead does
//! better, the module says so.

mod body;
mod capacity;
pub mod controller;
mod desired;
mod dirty;
mod labels;
mod leftovers;
mod memory;
mod metrics;
mod plan;

pub use capacity::{CAPACITY, Overflow};
pub use desired::Desired;
pub use leftovers::{Leftover, is_without_service};
pub use memory::Memory;
pub use plan::{Action, Facts, Plan, has_endpoints, plan};
