//! Whole interfaces on a wire of bytes: what leaves one, and what it makes of what it gets.

#![expect(clippy::unwrap_used, reason = "the functions that are not tests serve tests only")]

mod authenticity;
mod conflicts;
mod election;
mod handing_over;
#[path = "../kernel/mod.rs"]
mod kernel;
mod late;
mod neighbours;
mod probing;
mod wire;
