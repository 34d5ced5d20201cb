//! The lab: a real control plane and a real network on one machine, without containers and without root.
//!
//! A [`Lab`] is etcd, kube-apiserver, kube-controller-manager (service accounts, garbage collection and namespaces
//! only), nodes with kube-proxy, and a client, each in a network namespace of its own. Pods are API objects with
//! real HTTP servers behind them. Everything is inside the namespaces that `hack/in-namespace` makes, and vanishes
//! with the [`Lab`] or with the process.
//!
//! ```no_run
//! # async fn example() -> lab::Result<()> {
//! use std::time::Duration;
//! let lab = lab::Lab::builder().start().await?;
//! let manager = lab.manager().controllers("endpointslice-controller").start().await?;
//! let pod = lab.pod("default", "web-1").label("app", "web").start().await?;
//! let service: k8s_openapi::api::core::v1::Service = lab.create("default", serde_json::json!({
//!     "metadata": { "name": "web" },
//!     "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": 8080 }] },
//! })).await?;
//! let address = lab::cluster_ips(&service)[0];
//! lab.wait_until("the Pod to answer through the Service", Duration::from_secs(10), async || {
//!     Ok(lab.client().get(address, 80).await?)
//! }).await?;
//! # Ok(()) }
//! ```

mod api_server;
mod audit;
mod binaries;
mod body;
mod builder;
mod census;
mod command;
mod control_plane;
mod error;
mod etcd;
mod faults;
mod frames;
mod host;
mod http;
mod kubeconfig;
mod lab;
mod load_balancer;
mod manager;
mod metallb;
mod metrics;
mod network;
mod node;
mod object;
mod pki;
mod pod;
mod pod_builder;
mod process;
mod requests;
mod role;
mod segment;
mod service;
mod site;
mod speaker;
mod stranger;
mod tap;
mod upstream;
mod usage;
mod wait;
mod webhook;

pub use api_server::{ApiServer, Endpoint};
pub use audit::AuditedWrite;
pub use builder::{LabBuilder, ProxyMode};
pub use census::{Census, Observer, Record, Round};
pub use error::{Error, Result};
pub use faults::{Fault, Faults, Requests, Verb, Weather};
pub use frames::{Advertisement, Arp, Content, ETHER_BEACON, Frame, Mac, Solicitation, solicited_node_group};
pub use host::Host;
pub use http::{Answer, Response};
pub use kubeconfig::Identity;
pub use lab::Lab;
pub use load_balancer::{
    AssignedAddress, LOAD_BALANCER_READY, LoadBalancer, LoadBalancerBuilder, ingress_addresses,
    ready_condition,
};
pub use manager::{Manager, ManagerBuilder};
pub use metallb::Metallb;
pub use metrics::{Metrics, Sample, Writes};
pub use node::Node;
pub use object::{Kind, Object};
pub use pod::{Families, Pod};
pub use pod_builder::PodBuilder;
pub use process::Process;
pub use requests::{Request, RequestStream, Tally};
pub use role::Role;
pub use segment::{Segment, Traffic, second_addresses};
pub use service::{cluster_ips, node_port};
pub use speaker::{Speaker, SpeakerBuilder};
pub use stranger::Stranger;
pub use tap::{Frames, Tap};
pub use usage::Usage;
pub use wait::{NotYet, wait_until};
pub use webhook::Webhook;
