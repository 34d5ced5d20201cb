//! The controller on an API server in memory, with faults: what is written in which order, what a crash or a lost answer
//! leaves behind, and what is never done.

mod crashes;
mod deleted;
mod late_caches;
mod order;
mod process;
mod rivals;
mod standby;
mod two_managers;
mod world;
