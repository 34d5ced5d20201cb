//! What went wrong in kube-controller-manager or is not tested there, each pinned by a test named after its number in
//! kubernetes/kubernetes or after the gap. Here are those that need a running controller: the real one with real
//! informers, queue and writer on an API server in memory under paused time. `../README.md` lists all.

mod hints;
mod interference;
mod late_caches;
mod map;
mod pods_and_nodes;
#[path = "../convergence/process.rs"]
mod process;
mod restarts;
mod world;
