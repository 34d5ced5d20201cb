//! Tables and properties of the pure planner: what is written, and what the slices are afterwards. `../README.md` maps
//! upstream's tests and known issues to them.

mod bad_input;
mod interference;
mod metadata;
mod properties;
mod reconcile;
mod sequence;
mod support;
mod which;
