//! What every controller stands on.
//!
//! ```text
//! API server ── source ──▶ informer ── Change ──▶ selector index ──▶ queue ──▶ worker
//!     ▲                                                                          │ plan (pure, in the controller)
//!     └────────── write (permit, timeout, no retry) ◀── own_writes ◀─────────────┘
//! ```

pub mod admin;
pub mod canary;
pub mod client;
pub mod clock;
pub mod complaints;
pub mod events;
pub mod informer;
pub mod lease;
pub mod membership;
pub mod metrics;
pub mod node_index;
pub mod own_writes;
pub mod permit;
pub mod process_metrics;
pub mod queue;
pub mod recheck;
pub mod rivals;
pub mod selector_index;
pub mod shutdown;
pub mod slice_index;
pub mod source;
#[cfg(test)]
mod testing;
pub mod worker;
pub mod write;
