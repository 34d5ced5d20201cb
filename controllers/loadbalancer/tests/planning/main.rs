//! What is written for Services, pools, reservations and addresses: the planner on an API server in memory.

#![expect(clippy::unwrap_used, reason = "the functions that are not tests serve tests only")]

mod adoption;
mod announced;
mod api;
mod assignment;
mod draining;
mod families;
mod manager;
mod model;
mod permissions;
mod pool_changes;
mod probing;
mod reservations;
mod rivals;
mod sharing;
mod statuses;
mod wishes;
mod world;
