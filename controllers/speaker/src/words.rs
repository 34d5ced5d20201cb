//! What is told to people.

use std::net::IpAddr;

use fairlead_discovery::announcing::Exclusion;
use fairlead_layer2::MacAddress;

/// Who answers for an address.
#[must_use]
pub fn answers(node: &str, interface: &str, mac: MacAddress) -> String {
    format!("{node} answers for it on {interface} with MAC address {mac}")
}

/// Why nobody does any more.
#[must_use]
pub fn fell_silent(node: &str, why: Option<&Exclusion>) -> String {
    match why {
        Some(why) => format!("{node} does not answer for it any more: {why}; nobody else has taken it"),
        None => format!("{node} does not answer for it any more, and nobody else has taken it"),
    }
}

/// That the network was asked for other users of an address.
#[must_use]
pub fn probed(node: &str, interface: &str) -> String {
    format!("{node} asked on {interface} who has it, and nobody answered")
}

/// That somebody has an address whom it was not given to.
#[must_use]
pub fn taken(address: IpAddr, node: &str, interface: &str, mac: MacAddress) -> String {
    format!("{address} is used by another device with MAC address {mac}, seen by {node} on {interface}")
}

/// That somebody else answers for an address.
#[must_use]
pub fn conflict(address: IpAddr, node: &str, interface: &str, mac: MacAddress, of: Option<&str>) -> String {
    let seen = format!("seen by {node} on {interface}");
    match of {
        None => format!("another device answers for {address} with MAC address {mac}, {seen}"),
        Some(other) => format!(
            "node {other} answers for {address}, too, with MAC address {mac}, {seen}: it has the address on an \
             interface, or kube-proxy in mode ipvs runs there without strictARP"
        ),
    }
}

/// That nobody else answers any more.
#[must_use]
pub fn conflict_over(node: &str) -> String {
    format!("{node} has seen nobody else answer for it since")
}
