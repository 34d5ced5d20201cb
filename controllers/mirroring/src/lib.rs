//! Endpoints that nobody makes from Pods, to EndpointSlices.
//!
//! Who writes Endpoints by hand, for a Service without selector, wants them to be reached; consumers read slices. So
//! each such object is mirrored: one slice for each address family and set of ports.
//!
//! ```text
//! Endpoints ──▶ desired: subsets repacked, by family and ports ──▶ plan: keep, recycle, create ──▶ sequence ──▶ Plan
//!                                                                                                             │
//!                                                                    body: what is sent ◀── Action ───────────┘
//! ```
//!
//! Planning is pure: no client, no clock, no async. The rules are those of kube-controller-manager's
//! endpointslice-mirroring-controller, so that it and Fairlead can take over from each other without a write; where
//! Fairlead does better, the module says so.

mod action;
mod body;
pub mod controller;
mod desired;
mod differences;
mod dirty;
mod facts;
mod metrics;
mod plan;
mod recycling;
mod sequence;

pub use action::{Action, DesiredSlice, Envelope};
pub use desired::Skipped;
pub use facts::{Facts, is_candidate, is_mirrored, mirrored_by};
pub use plan::{Counts, Plan, plan};
