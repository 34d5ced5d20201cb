//! What needs a running controller: the real one with real informers, queue and writer on an API server in memory under
//! paused time. `../README.md` lists all.

mod changes;
mod interference;
mod late_caches;
mod process;
mod restarts;
mod told;
mod world;
