//! Scenarios for the planner: states of a Service, its Pods, Nodes and slices, and what is written. The writes
//! are applied to slices in memory through the JSON of their bodies, so that what is sent is what is read back.

mod bad_input;
mod captured;
mod first_slices;
mod foreign_parts;
mod hint_properties;
mod hints;
mod incremental;
mod interference;
mod issues;
mod leftovers;
mod missing_nodes;
mod model;
mod numbers;
mod packing;
mod pods;
mod properties;
mod service_changes;
mod support;
