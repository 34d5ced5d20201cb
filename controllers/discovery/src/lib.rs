//! What a Pod means to a Service: the rules that Endpoints, EndpointSlices and mirrored slices share.
//!
//! ```text
//! Pod ──▶ inclusion ──▶ readiness, hostname, addresses (per family), ports (per Pod) ──▶ an endpoint
//! Service ──▶ families, labels of its slices
//! addresses with their ports ──▶ subsets: the canonical form of Endpoints objects
//! Service + changes of Pods not written yet ──▶ trigger time
//! Layer2Announcements + Node ──▶ announcing: may it answer for the address of a load balancer, and if not, why
//! ```
//!
//! The crate is pure: no client, no clock, no async. The rules are those of kube-controller-manager's endpoint
//! controllers (library `k8s.io/endpointslice`).

mod addresses;
pub mod announcing;
mod hostname;
mod inclusion;
pub mod labels;
pub mod names;
mod ports;
mod readiness;
pub mod subsets;
mod trigger;

pub use addresses::{addresses, families};
pub use hostname::hostname;
pub use inclusion::{Terminating, may_be_endpoint};
pub use ports::PortResolver;
pub use readiness::Readiness;
pub use trigger::{pod_change_time, trigger_time, trigger_time_text};
