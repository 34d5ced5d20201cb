//! Scenarios for the planner: states of a Service, its Pods and its Endpoints, and what is written. The writes are applied
//! to an object in memory through the JSON of their bodies, so that what is sent is what is read back.

mod bad_input;
mod capacity;
mod families;
mod foreign_parts;
mod labels;
mod pods;
mod properties;
mod support;
mod times;
mod upstream;
