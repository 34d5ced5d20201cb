//! What needs a running controller: the real one with real informers, queue and writer on an API server in memory under
//! paused time. What went wrong in kube-controller-manager is pinned by tests named after its number in
//! kubernetes/kubernetes; `../README.md` lists all.

mod deletion;
mod interference;
mod late_caches;
mod leftovers;
mod pace;
mod process;
mod restarts;
mod standby;
mod world;
