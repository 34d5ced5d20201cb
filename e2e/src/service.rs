//! What a test wants to know of a Service.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;

/// Its cluster IPs, in its order; none for a headless one.
#[must_use]
pub fn cluster_ips(service: &Service) -> Vec<IpAddr> {
    let addresses = service.spec.as_ref().and_then(|spec| spec.cluster_ips.as_deref()).unwrap_or_default();
    addresses.iter().filter_map(|address| address.parse().ok()).collect()
}

/// The node port of the port with this number.
#[must_use]
pub fn node_port(service: &Service, port: u16) -> Option<u16> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let port = ports.iter().find(|candidate| candidate.port == i32::from(port))?;
    u16::try_from(port.node_port?).ok()
}
