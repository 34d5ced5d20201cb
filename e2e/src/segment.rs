//! Faults of the lab's segment: frames that the switch loses, ports that are down, nodes without power.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::command;
use crate::error::Result;
use crate::host::Host;
use crate::lab::{Lab, Shared};
use crate::node::Node;

/// Table of the rules in the switch.
const TABLE: &str = "lab_faults";

/// Which frames a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// All.
    All,
    /// What speakers tell each other: the beacons' EtherType 0x88b5 and their second form, UDP port 7486.
    Beacons,
    /// Only the beacons' EtherType, as a switch would that knows few of them.
    BeaconFrames,
    /// ARP.
    Arp,
    /// Neighbour discovery.
    Ndp,
}

impl Traffic {
    /// As conditions of nftables, one rule for each.
    fn conditions(self) -> &'static [&'static str] {
        match self {
            Self::All => &[""],
            Self::Beacons => &["ether type 0x88b5", "meta l4proto udp udp dport 7486"],
            Self::BeaconFrames => &["ether type 0x88b5"],
            Self::Arp => &["ether type arp"],
            Self::Ndp => &["icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }"],
        }
    }
}

/// Frames that the switch loses.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Loss {
    /// Port that they come from, by the name of its host; any if none.
    from: Option<String>,
    /// Port that they go to.
    to: Option<String>,
    traffic: Traffic,
    percent: u8,
}

/// The lab's switch, as a place of faults. All of them end with [`Segment::heal`].
pub struct Segment {
    shared: Arc<Shared>,
    losses: Mutex<Vec<Loss>>,
}

impl Lab {
    /// The segment that all hosts are on, without faults at first. Each call makes one that knows only its own faults, so
    /// a lab should use one.
    #[must_use]
    pub fn segment(&self) -> Segment {
        Segment { shared: self.shared_arc(), losses: Mutex::default() }
    }
}

impl Segment {
    /// From now on, nothing of this traffic comes from `from` to `to`; the other direction is as before.
    ///
    /// # Errors
    /// [`crate::Error::Command`] with what `nft` said.
    pub fn cut(&self, from: &Host, to: &Host, traffic: Traffic) -> Result<()> {
        self.lose(Some(from), Some(to), traffic, 100)
    }

    /// From now on, nothing of this traffic passes between two groups of hosts, in either direction.
    ///
    /// # Errors
    /// As [`Segment::cut`].
    pub fn part(&self, some: &[&Host], others: &[&Host], traffic: Traffic) -> Result<()> {
        let mut losses = self.losses.lock();
        for (one, other) in some.iter().flat_map(|one| others.iter().map(move |other| (one, other))) {
            for (from, to) in [(one, other), (other, one)] {
                losses.push(Loss {
                    from: Some(from.name().to_owned()),
                    to: Some(to.name().to_owned()),
                    traffic,
                    percent: 100,
                });
            }
        }
        self.apply(&losses)
    }

    /// From now on, this share of the traffic is lost, drawn for each frame; from or to any host where none is named.
    ///
    /// # Errors
    /// As [`Segment::cut`].
    pub fn lose(&self, from: Option<&Host>, to: Option<&Host>, traffic: Traffic, percent: u8) -> Result<()> {
        let name = |host: Option<&Host>| host.map(|host| host.name().to_owned());
        let mut losses = self.losses.lock();
        losses.push(Loss { from: name(from), to: name(to), traffic, percent });
        self.apply(&losses)
    }

    /// From now on, a host hears and is heard by nobody of the control plane; connections hang.
    ///
    /// # Errors
    /// As [`Segment::cut`].
    pub fn cut_api(&self, host: &Host) -> Result<()> {
        self.part(&[host], &[&self.shared.control_plane_host], Traffic::All)
    }

    /// Ends all losses.
    ///
    /// # Errors
    /// As [`Segment::cut`].
    pub fn heal(&self) -> Result<()> {
        let mut losses = self.losses.lock();
        losses.clear();
        self.apply(&losses)
    }

    /// Pulls the cable of a host out of the switch, or puts it back in: the host sees that its carrier is lost.
    ///
    /// # Errors
    /// [`crate::Error::Command`] with what `ip` said.
    pub fn set_plugged(&self, host: &Host, plugged: bool) -> Result<()> {
        set_port(&self.shared.switch, host, plugged)
    }

    /// All rules at once, in one step.
    fn apply(&self, losses: &[Loss]) -> Result<()> {
        let script = script(losses);
        self.shared.switch.run(|| command::run("nft", &["-f", "-"], &script))?.map(drop)
    }
}

/// The addresses of a host on the second segment.
#[must_use]
pub fn second_addresses(host: &Host) -> (Ipv4Addr, Ipv6Addr) {
    let [.., last4] = host.ipv4().octets();
    let [.., last6] = host.ipv6().segments();
    (Ipv4Addr::new(203, 0, 113, last4), Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, last6))
}

fn set_port(switch: &Host, host: &Host, up: bool) -> Result<()> {
    switch.ip(&[format!("link set {} {}", host.name(), if up { "up" } else { "down" })])
}

fn script(losses: &[Loss]) -> String {
    // Created first, so that it can be deleted whether it was there or not.
    let mut script = format!("table bridge {TABLE}\ndelete table bridge {TABLE}\n");
    if losses.is_empty() {
        return script;
    }
    let _ = writeln!(
        script,
        "table bridge {TABLE} {{\n chain forward {{\n  type filter hook forward priority 0;"
    );
    for loss in losses {
        for condition in loss.traffic.conditions() {
            let mut words = Vec::new();
            words.extend(loss.from.iter().map(|name| format!("iifname \"{name}\"")));
            words.extend(loss.to.iter().map(|name| format!("oifname \"{name}\"")));
            words.extend((!condition.is_empty()).then(|| (*condition).to_owned()));
            if loss.percent < 100 {
                words.push(format!("numgen random mod 100 < {}", loss.percent));
            }
            let _ = writeln!(script, "  {} counter drop", words.join(" "));
        }
    }
    script.push_str(" }\n}\n");
    script
}

impl Lab {
    /// A second segment beside the first, with nobody on it: 203.0.113.0/24 and 2001:db8:2::/64. Once in a lab.
    ///
    /// # Errors
    /// [`crate::Error::Command`] with what `ip` said.
    pub fn second_segment(&self) -> Result<()> {
        self.switch()
            .ip(&["link add br1 type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set br1 up"])
    }

    /// Plugs a host into the second segment by a further interface, with its last numbers of the first. To unplug it,
    /// delete the interface.
    ///
    /// # Errors
    /// As [`Lab::second_segment`].
    pub fn plug_into_second(&self, host: &Host, interface: &str) -> Result<()> {
        let (switch, (address4, address6)) = (self.switch(), second_addresses(host));
        host.ip(&[
            format!("link add {interface} type veth peer name {}-2 netns {}", host.name(), switch.netns()),
            format!("address add {address4}/24 dev {interface}"),
            format!("address add {address6}/64 dev {interface} nodad"),
            format!("link set {interface} up"),
        ])?;
        switch.ip(&[format!("link set {}-2 master br1 up", host.name())])
    }

    /// Takes the power from a node: its cable is dead and all of its processes are gone, at once and without a word. Its
    /// Pods are left as they are, but nobody reaches them.
    ///
    /// # Errors
    /// [`crate::Error::Command`] with what `ip` said.
    pub async fn power_off(&self, node: &Node) -> Result<()> {
        set_port(self.switch(), node.host(), false)?;
        for process in node.processes() {
            if process.is_running() {
                process.kill().await?;
            }
        }
        Ok(())
    }

    /// Gives a node its power back and starts its processes, without waiting for them.
    ///
    /// # Errors
    /// As [`Lab::power_off`].
    pub fn power_on(&self, node: &Node) -> Result<()> {
        set_port(self.switch(), node.host(), true)?;
        for process in node.processes() {
            if !process.is_running() {
                process.restart()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_is_a_rule() {
        let loss = Loss { from: Some("node-1".into()), to: None, traffic: Traffic::Beacons, percent: 30 };
        let script = script(&[loss]);
        assert!(
            script.contains("iifname \"node-1\" ether type 0x88b5 numgen random mod 100 < 30 counter drop\n")
        );
        assert!(script.contains("iifname \"node-1\" meta l4proto udp udp dport 7486 numgen"), "{script}");
    }

    #[test]
    fn without_losses_there_is_no_table() {
        assert_eq!(script(&[]), "table bridge lab_faults\ndelete table bridge lab_faults\n");
    }
}
