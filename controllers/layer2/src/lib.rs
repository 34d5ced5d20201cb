//! Who answers for an address on one segment, without any input or output.
//!
//! Speakers decide by frames on the wire, without a leader and without the API server, which of them answers ARP and NDP
//! requests for each address. Everything here is told what time it is and what was received, and says what to send; the
//! `speaker` crate has the sockets and the clocks.
//!
//! ```text
//!             ┌───────────────────────────── segment: one interface ─────────────────────────────┐
//! frames in ─▶│ ethernet ─▶ udp ─▶ beacon: admission, codec ─▶ ownership: who has which address  │
//!             │          └▶ arp, ndp ─▶ responder, conflict, probe          │                    │
//! frames out ◀│ answers, beacons, probes, announcements (gratuitous) ◀──────┘                    │─▶ reports
//!             └──────────────────────────────────────────────────────────────────────────────────┘
//!               filter: what the kernel lets through to it
//! ```

// Tests beside the code share files with those in `tests`.
#[cfg(test)]
extern crate self as fairlead_layer2;

pub mod arp;
pub mod beacon;
mod checksum;
pub mod conflict;
pub mod ethernet;
pub mod filter;
pub mod gratuitous;
mod identity;
mod link;
mod mac;
mod moment;
pub mod ndp;
pub mod ownership;
mod pacer;
pub mod probe;
pub mod responder;
pub mod segment;
pub mod udp;
mod wanted;

pub use identity::{ClusterId, NodeId, ObjectId, Participant, ShortId};
pub use link::{LinkFacts, Prefix};
pub use mac::MacAddress;
pub use moment::Moment;
pub use wanted::{ClassId, Fitness, Standing, Wanted};
