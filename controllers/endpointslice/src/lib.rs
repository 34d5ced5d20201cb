//! Services, Pods and Nodes to EndpointSlices.
//!
//! ```text
//! Facts ──▶ desired: endpoints by port set ──▶ per family: pack ──▶ placeholder ──▶ hints ──▶ recycle ──▶ Plan
//!                                                                                                        │
//!                                                                    body: what is sent ◀── Action ──────┘
//! ```
//!
//! Planning is pure: no client, no clock, no async. The rules are those of kube-controller-manager's
//! endpointslice-controller, so that it and Fairlead can take over from each other without a write; where
//! Fairlead does better, the module says so.

mod action;
mod body;
pub mod controller;
mod counts;
mod desired;
mod dirty;
mod facts;
mod hints;
mod identity;
mod metrics;
mod pack;
mod placeholder;
mod plan;

pub use action::{Action, DesiredEndpoint, DesiredSlice, Envelope};
pub use counts::FamilyCounts;
pub use desired::MissingNode;
pub use facts::{Facts, Memory, service_of};
pub use hints::{Failure, HintEvent, HintState, HintStates, NodeTable, ZoneCounts};
pub use plan::{Plan, plan};
