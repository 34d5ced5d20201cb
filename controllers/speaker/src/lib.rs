//! The node agent of the layer-2 load balancer.
//!
//! It wires [`fairlead_layer2`] to the network interfaces of the node and to the API server: which addresses are wanted
//! here, and what became of them.
//!
//! ```text
//! API server ◀──▶ agent ── Order ──▶ wires ──▶ wire: one thread per interface ◀──▶ frames
//!                       ◀── Link ───   ▲
//!                       ◀── Report ─   interfaces ◀── netlink
//! ```

pub mod agent;
mod alarm;
mod class;
pub mod conditions;
pub mod eligibility;
pub mod endpoints;
pub mod ends;
pub mod facts;
pub mod intent;
pub mod interfaces;
pub mod keys;
pub mod links;
pub mod metrics;
pub mod netlink;
pub mod presence;
mod slices;
pub mod socket;
pub mod status;
mod waker;
mod wire;
pub mod wires;
pub mod words;
