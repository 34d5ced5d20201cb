//! The lab's network: one segment with a switch, and behind each node a segment for its Pods.
//!
//! | who | IPv4 | IPv6 |
//! | --- | --- | --- |
//! | switch | 198.51.100.1/24 | 2001:db8:1::1/64 |
//! | control plane | .5 | ::5 |
//! | node-i | .(10+i) | ::(10+i) |
//! | managers | .(150+k) | ::(150+k) |
//! | client | .200 | ::200 |
//! | Pods of node-i | 10.244.i.0/24 | fd00:10:244:i::/64 |
//! | Services | 10.96.0.0/16 | fd00:10:96::/112 |
//! | management of lab k | 198.18.0.0/15, four addresses from 4k on | |
//!
//! Labs have switches of their own, so the same addresses in two labs do not meet. Only the management leg ends
//! outside of the lab, in the namespaces of the test.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::command;
use crate::error::Result;
use crate::host::Host;

/// The Services of the API server, IPv4 first.
pub(crate) const SERVICE_RANGES: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];
/// The Pods of all nodes.
pub(crate) const POD_RANGES: [&str; 2] = ["10.244.0.0/16", "fd00:10:244::/48"];
/// All management legs.
const MANAGEMENT_RANGE: &str = "198.18.0.0/15";
/// The nodes' numbers end before the managers' begin.
pub(crate) const MAX_NODES: u8 = 100;

/// An address on the lab's segment. The IPv6 address shows the same decimal number.
pub(crate) fn segment(number: u8) -> (Ipv4Addr, Ipv6Addr) {
    (Ipv4Addr::new(198, 51, 100, number), Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, decimal_as_hex(number)))
}

pub(crate) const SWITCH: u8 = 1;
pub(crate) const CONTROL_PLANE: u8 = 5;
pub(crate) const CLIENT: u8 = 200;

/// Number on the segment of the node with this index, from 1.
pub(crate) fn node_number(index: u8) -> u8 {
    10 + index
}

/// Number on the segment of the manager with this index, from 0.
pub(crate) fn manager_number(index: u8) -> u8 {
    150 + index
}

/// The address that ends in `host` in the Pod range of the node with this index.
pub(crate) fn pod_address(node: u8, host: u8) -> (Ipv4Addr, Ipv6Addr) {
    let (node16, host16) = (decimal_as_hex(node), decimal_as_hex(host));
    (Ipv4Addr::new(10, 244, node, host), Ipv6Addr::new(0xfd00, 0x10, 0x244, node16, 0, 0, 0, host16))
}

/// The Pod ranges of the node with this index.
pub(crate) fn pod_ranges(node: u8) -> [String; 2] {
    let (ipv4, ipv6) = pod_address(node, 0);
    [format!("{ipv4}/24"), format!("{ipv6}/64")]
}

/// Both ends of the management leg of a lab: the test's and the control plane's.
pub(crate) fn management(lab: u32) -> (Ipv4Addr, Ipv4Addr) {
    let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + 4 * lab;
    (Ipv4Addr::from(base + 1), Ipv4Addr::from(base + 2))
}

/// 244 as 0x244: people recognise the number in the address.
fn decimal_as_hex(number: u8) -> u16 {
    let number = u16::from(number);
    number / 100 * 0x100 + number / 10 % 10 * 0x10 + number % 10
}

/// The switch: a bridge that all hosts are plugged into.
pub(crate) fn make_switch(switch: &Host) -> Result<()> {
    switch.ip(&[
        "link set lo up".to_owned(),
        "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0".to_owned(),
        format!("address add {}/24 dev br0", switch.ipv4()),
        format!("address add {}/64 dev br0 nodad", switch.ipv6()),
        "link set br0 up".to_owned(),
    ])
}

/// Plugs hosts into the switch by their `eth0`, each under its own name. `routes` come on top, for each host.
pub(crate) fn plug(switch: &Host, hosts: &[(&Host, Vec<String>)]) -> Result<()> {
    let control_plane = segment(CONTROL_PLANE).0;
    for (host, routes) in hosts {
        let mut lines = vec![
            "link set lo up".to_owned(),
            format!("link add eth0 type veth peer name {} netns {}", host.name(), switch.netns()),
            format!("address add {}/24 dev eth0", host.ipv4()),
            format!("address add {}/64 dev eth0 nodad", host.ipv6()),
            "link set eth0 up".to_owned(),
        ];
        if host.ipv4() != control_plane {
            // One URL for the API server wherever one is.
            lines.push(format!("route add {MANAGEMENT_RANGE} via {control_plane}"));
        }
        lines.extend(routes.iter().cloned());
        host.ip(&lines)?;
    }
    let ports: Vec<_> =
        hosts.iter().map(|(host, _)| format!("link set {} master br0 up", host.name())).collect();
    switch.ip(&ports)
}

/// What a node routes and bridges: its own Pods, the other nodes' Pods, and a way out. Without the way out a node
/// itself reaches no ClusterIP, because routing comes before kube-proxy's rules for local traffic.
pub(crate) fn node_lines(index: u8, nodes: u8) -> Vec<String> {
    let (gateway4, gateway6) = pod_address(index, 1);
    let (out4, out6) = segment(SWITCH);
    let mut lines = vec![
        "link add cni0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0".to_owned(),
        format!("address add {gateway4}/24 dev cni0"),
        format!("address add {gateway6}/64 dev cni0 nodad"),
        "link set cni0 up".to_owned(),
        format!("route add default via {out4}"),
        format!("route add default via {out6}"),
    ];
    lines.extend((1..=nodes).filter(|&other| other != index).flat_map(route_to_pods));
    lines
}

/// Routes to the Pods of a node, for everybody but itself.
pub(crate) fn route_to_pods(node: u8) -> [String; 2] {
    let (via4, via6) = segment(node_number(node));
    let [pods4, pods6] = pod_ranges(node);
    [format!("route add {pods4} via {via4}"), format!("route add {pods6} via {via6}")]
}

/// Routes to all Services through a node; replaces those through another.
pub(crate) fn route_to_services(node: &Host) -> [String; 2] {
    let [services4, services6] = SERVICE_RANGES;
    [
        format!("route replace {services4} via {}", node.ipv4()),
        format!("route replace {services6} via {}", node.ipv6()),
    ]
}

/// The leg from the namespaces of the test to the control plane.
pub(crate) fn make_management(lab: u32, link: &str, control_plane: &Host) -> Result<()> {
    let (here, there) = management(lab);
    command::ip(
        None,
        &[
            format!("link add {link} type veth peer name management netns {}", control_plane.netns()),
            format!("address add {here}/30 dev {link}"),
            format!("link set {link} up"),
        ],
    )?;
    control_plane.ip(&[format!("address add {there}/30 dev management"), "link set management up".to_owned()])
}

/// Connects a Pod to its node. A Pod may reach itself through a Service, hence the hairpin.
pub(crate) fn plug_pod(node: &Host, index: u8, port: &str, pod: &Host) -> Result<()> {
    let (gateway4, gateway6) = pod_address(index, 1);
    node.ip(&[
        format!("link add {port} type veth peer name eth0 netns {}", pod.netns()),
        format!("link set {port} master cni0 up"),
        format!("link set dev {port} type bridge_slave hairpin on"),
    ])?;
    pod.ip(&[
        "link set lo up".to_owned(),
        format!("address add {}/24 dev eth0", pod.ipv4()),
        format!("address add {}/64 dev eth0 nodad", pod.ipv6()),
        "link set eth0 up".to_owned(),
        format!("route add default via {gateway4}"),
        format!("route add default via {gateway6}"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_show_the_same_number_in_both_families() {
        let (ipv4, ipv6) = segment(node_number(100));
        assert_eq!((ipv4.to_string(), ipv6.to_string()), ("198.51.100.110".into(), "2001:db8:1::110".into()));
        let (ipv4, ipv6) = pod_address(12, 254);
        assert_eq!(
            (ipv4.to_string(), ipv6.to_string()),
            ("10.244.12.254".into(), "fd00:10:244:12::254".into())
        );
        assert_eq!(pod_ranges(3), ["10.244.3.0/24".to_owned(), "fd00:10:244:3::/64".to_owned()]);
    }

    #[test]
    fn numbers_on_the_segment_do_not_meet() {
        let nodes = node_number(1)..=node_number(MAX_NODES);
        assert!(!nodes.contains(&SWITCH) && !nodes.contains(&CONTROL_PLANE) && !nodes.contains(&CLIENT));
        assert!(*nodes.end() < manager_number(0) && manager_number(0) < CLIENT);
    }

    #[test]
    fn management_legs_do_not_overlap() {
        assert_eq!(management(0), ("198.18.0.1".parse().unwrap(), "198.18.0.2".parse().unwrap()));
        assert_eq!(management(64), ("198.18.1.1".parse().unwrap(), "198.18.1.2".parse().unwrap()));
    }
}
