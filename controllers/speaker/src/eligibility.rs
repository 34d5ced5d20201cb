//! What this node can do for an address on one of its interfaces.
//!
//! Hard rules exclude it. Soft rules rank it after all others: if nobody passes them they have no effect, so that a failure
//! of the control plane, by which all nodes seem not ready, silences nothing.

use std::net::{IpAddr, Ipv4Addr};

use fairlead_discovery::announcing::{self, Announcement, Exclusion};
use fairlead_layer2::{Fitness, LinkFacts, Prefix};
use fairlead_objects::Node;

use crate::links::Link;

/// What flags decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// `--ignore-exclude-lb`
    pub ignore_exclude_lb: bool,
    /// `--respect-cordon`
    pub respect_cordon: bool,
}

/// What can be done for all addresses with the same announcements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Able {
    /// Does a soft rule rank the node last?
    pub soft: bool,
    /// How much it is preferred.
    pub preference: u16,
}

/// What a node can do on an interface for addresses with these announcements, or what excludes it.
pub fn of_class(
    announcements: &[Announcement],
    node: &Node,
    link: &LinkFacts,
    policy: Policy,
) -> Result<Able, Exclusion> {
    if let Some(exclusion) = announcing::excluded(node, policy.ignore_exclude_lb) {
        return Err(exclusion);
    }
    let preference = announcing::preference(announcements, node, &link.name)?;
    if !link.running {
        return Err(Exclusion::NoCarrier);
    }
    let soft = !node.ready || node.network_unavailable || (policy.respect_cordon && node.unschedulable);
    Ok(Able { soft, preference })
}

/// What a node that can do this for its class can do for one address; `links` are all of its interfaces, `has_endpoint`
/// says whether it has an endpoint where only nodes with one may answer.
pub fn of_address(
    able: Able,
    address: IpAddr,
    link: &Link,
    node: &Node,
    links: &[&Link],
    has_endpoint: Option<bool>,
) -> Result<Able, Exclusion> {
    let is_address = |prefix: &Prefix| prefix.address == address;
    if node.addresses.contains(&address) || links.iter().any(|it| it.facts.addresses.iter().any(is_address)) {
        return Err(Exclusion::OwnAddress);
    }
    if link.gateways.contains(&address) {
        return Err(Exclusion::Gateway);
    }
    if link.facts.addresses.iter().any(|prefix| is_network_or_broadcast(*prefix, address)) {
        return Err(Exclusion::NotAHost);
    }
    if has_endpoint == Some(false) {
        return Err(Exclusion::NoEndpoint);
    }
    Ok(Able { soft: able.soft || !link.facts.holds(address), ..able })
}

/// Of a subnet of two addresses both are hosts (RFC 3021), and of one the only one is.
fn is_network_or_broadcast(prefix: Prefix, address: IpAddr) -> bool {
    let (IpAddr::V4(_), IpAddr::V4(address)) = (prefix.address, address) else { return false };
    let hosts = u32::MAX.checked_shr(prefix.length.into()).unwrap_or(0);
    let first = Ipv4Addr::from_bits(address.to_bits() & !hosts);
    let last = Ipv4Addr::from_bits(address.to_bits() | hosts);
    prefix.length <= 30 && prefix.holds(IpAddr::V4(address)) && (address == first || address == last)
}

/// As the ownership protocol is told.
#[must_use]
pub fn fitness<E>(able: &Result<Able, E>) -> Fitness {
    match able {
        Ok(Able { soft, preference }) => Fitness::Fit { soft: *soft, preference: *preference },
        Err(_) => Fitness::Unfit,
    }
}

#[cfg(test)]
mod tests {
    use fairlead_layer2::MacAddress;
    use fairlead_objects::{Istr, Selector, testing};

    use super::*;

    fn link(name: &str, addresses: &[(&str, u8)]) -> Link {
        let prefix =
            |(address, length): &(&str, u8)| Prefix { address: address.parse().unwrap(), length: *length };
        Link {
            facts: LinkFacts {
                index: 2,
                name: name.into(),
                mac: MacAddress([2, 0, 0, 0, 0, 1]),
                mtu: 1500,
                running: true,
                addresses: addresses.iter().map(prefix).collect(),
            },
            gateways: vec!["198.51.100.1".parse().unwrap()],
            generation: 1,
        }
    }

    fn node() -> Node {
        Node {
            labels: [("role", "front")].into_iter().collect(),
            addresses: ["192.0.2.1".parse().unwrap()].into(),
            ..testing::node("node-1", None)
        }
    }

    fn label(key: &str) -> Selector {
        Selector { match_labels: vec![(key.into(), "front".into())], ..Selector::default() }
    }

    #[test]
    fn classes_follow_hard_and_soft_rules() {
        let everywhere = [Announcement::default()];
        let front = [Announcement {
            nodes: vec![label("role")],
            interfaces: vec!["eth*".into()],
            preferred: vec![(30, label("role")), (50, label("rack"))],
            ..Announcement::default()
        }];
        let back = [Announcement { nodes: vec![label("rack")], ..Announcement::default() }];
        let plain = Policy::default();
        let able = |soft, preference| Ok(Able { soft, preference });
        let excluding = [("node.kubernetes.io/exclude-from-external-load-balancers", "")];
        let excluded = Node { labels: excluding.into_iter().collect(), ..node() };
        let cordoned = Node { unschedulable: true, ..node() };
        let down =
            Link { facts: LinkFacts { running: false, ..link("eth0", &[]).facts }, ..link("eth0", &[]) };
        let eth0 = link("eth0", &[]);
        for (about, announcements, node, link, policy, expected) in [
            ("everywhere", &everywhere[..], node(), &eth0, plain, able(false, 0)),
            ("nowhere", &[], node(), &eth0, plain, Err(Exclusion::NotAnnounced)),
            ("selected and preferred", &front, node(), &eth0, plain, able(false, 30)),
            ("not selected", &back, node(), &eth0, plain, Err(Exclusion::NotSelected)),
            (
                "other interface",
                &front,
                node(),
                &link("bond0", &[]),
                plain,
                Err(Exclusion::NoInterface(vec![Istr::from("eth*")])),
            ),
            ("excluded", &everywhere, excluded.clone(), &eth0, plain, Err(Exclusion::ExcludeLabel)),
            (
                "excluded, ignored",
                &everywhere,
                excluded,
                &eth0,
                Policy { ignore_exclude_lb: true, ..plain },
                able(false, 0),
            ),
            (
                "out of service",
                &everywhere,
                Node { out_of_service: true, ..node() },
                &eth0,
                plain,
                Err(Exclusion::OutOfService),
            ),
            ("no carrier", &everywhere, node(), &down, plain, Err(Exclusion::NoCarrier)),
            ("not ready", &everywhere, Node { ready: false, ..node() }, &eth0, plain, able(true, 0)),
            (
                "no network",
                &front,
                Node { network_unavailable: true, ..node() },
                &eth0,
                plain,
                able(true, 30),
            ),
            ("cordoned", &everywhere, cordoned.clone(), &eth0, plain, able(false, 0)),
            (
                "cordon respected",
                &everywhere,
                cordoned,
                &eth0,
                Policy { respect_cordon: true, ..plain },
                able(true, 0),
            ),
        ] {
            assert_eq!(of_class(announcements, &node, &link.facts, policy), expected, "{about}");
        }
    }

    #[test]
    fn addresses_follow_rules_of_their_own() {
        let able = Able { soft: false, preference: 7 };
        let soft = Able { soft: true, ..able };
        let eth0 = link("eth0", &[("198.51.100.10", 24), ("2001:db8::10", 64)]);
        let eth1 = link("eth1", &[("203.0.113.10", 30), ("192.0.2.128", 31)]);
        for (address, link, has_endpoint, expected) in [
            ("198.51.100.7", &eth0, None, Ok(able)),
            ("198.51.100.7", &eth0, Some(true), Ok(able)),
            ("198.51.100.7", &eth0, Some(false), Err(Exclusion::NoEndpoint)),
            // Of another subnet.
            ("198.51.100.7", &eth1, None, Ok(soft)),
            ("2001:db8::7", &eth0, None, Ok(able)),
            ("2001:db8:1::7", &eth0, None, Ok(soft)),
            // Its own, on whichever interface, or only known to the API.
            ("198.51.100.10", &eth0, None, Err(Exclusion::OwnAddress)),
            ("198.51.100.10", &eth1, None, Err(Exclusion::OwnAddress)),
            ("192.0.2.1", &eth0, None, Err(Exclusion::OwnAddress)),
            ("198.51.100.1", &eth0, None, Err(Exclusion::Gateway)),
            ("198.51.100.0", &eth0, None, Err(Exclusion::NotAHost)),
            ("198.51.100.255", &eth0, None, Err(Exclusion::NotAHost)),
            // Another subnet's, which is a host in this one's eyes.
            ("198.51.101.255", &eth0, None, Ok(soft)),
            ("203.0.113.8", &eth1, None, Err(Exclusion::NotAHost)),
            ("203.0.113.9", &eth1, None, Ok(able)),
            ("203.0.113.11", &eth1, None, Err(Exclusion::NotAHost)),
            ("192.0.2.129", &eth1, None, Ok(able)),
        ] {
            let found =
                of_address(able, address.parse().unwrap(), link, &node(), &[&eth0, &eth1], has_endpoint);
            assert_eq!(found, expected, "{address} on {}", link.facts.name);
        }
    }

    #[test]
    fn what_is_soft_stays_so() {
        let soft = Able { soft: true, preference: 1 };
        let eth0 = link("eth0", &[("198.51.100.10", 24)]);
        let found = of_address(soft, "198.51.100.7".parse().unwrap(), &eth0, &node(), &[&eth0], None);
        assert_eq!(found, Ok(soft));
        assert_eq!(fitness(&found), Fitness::Fit { soft: true, preference: 1 });
        assert_eq!(fitness::<()>(&Err(())), Fitness::Unfit);
    }
}
