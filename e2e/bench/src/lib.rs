//! Figures about Fairlead, each by one command: `make bench-compare`, `make bench-loadbalancer`,
//! `make bench-failover`, `make bench-speaker`, `make bench-memory`, `make bench-planning`.
//!
//! Machines are noisy, so whatever is compared is measured in turn, several rounds in one run, and medians are set
//! against each other. Every figure is printed as a line of JSON as soon as it is known, and at the end a table
//! says which goals are met.

pub mod compare;
pub mod failover;
pub mod load_balancer;
pub mod memory;
pub mod planning;
mod recorded;
mod report;
mod side;
pub mod speaker;
mod statistics;
mod watch;
