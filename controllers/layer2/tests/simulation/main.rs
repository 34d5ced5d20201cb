//! Segments with up to fifty nodes on which everything goes wrong that may, from seeds: each run can be repeated.
//!
//! `FAIRLEAD_SEEDS` is how many seeds each scenario runs with.

mod chaos;
mod errors;
mod network;
mod planned;
mod power;
mod size;
mod world;
