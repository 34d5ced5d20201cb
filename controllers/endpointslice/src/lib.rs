//! Services, Pods and Nodes to EndpointSlices.
//!
//! ```text
//! Facts ──▶ desired: endpoints by port set ──▶ per family: pack ──▶ placeholder ──▶ hints ──▶ recycle ──▶ Plan
//!                                                                                                        │
//!                                                                    body: what is sent ◀── Action ──────┘
//! ```
//!
//! `plan` takes everything that is known of a Service. `plan_pods` gives the same planner only the slices that changed
//! Pods touch, which a layout finds, and sums over the rest:
//!
//! ```text
//! Memory (layout) ──▶ incremental: part of the facts, scope ──▶ the same ──▶ Plan ──▶ what was written ──▶ Memory
//! ```
//!
//! Planning is pure: no client, no clock, no async. The rules are those of kube-controller-manager's
//! endpointslice-controller, so that it and Fairlead can take over from each other without a write; where
//! Fairlead does better, the module says so.

mod action;
mod altered;
mod body;
pub mod controller;
mod counts;
mod desired;
mod dirty;
mod facts;
mod family;
mod hints;
mod identity;
mod incremental;
mod layout;
mod leftovers;
mod memory;
mod metrics;
mod pack;
mod placeholder;
mod plan;
mod recycling;
mod scope;

pub use action::{Action, DesiredEndpoint, DesiredSlice, Envelope, Written};
pub use counts::FamilyCounts;
pub use desired::MissingNode;
pub use facts::{Context, Facts, service_of};
pub use hints::{Failure, HintEvent, HintState, HintStates, NodeTable, ZoneCounts};
pub use incremental::{Lookup, plan_pods};
pub use leftovers::Leftovers;
pub use memory::{Memory, Next};
pub use plan::{Ahead, Plan, has_slices, plan};
