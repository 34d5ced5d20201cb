//! Which nodes may answer for the address of a load balancer on the network, and why others may not.

use std::fmt;

use fairlead_objects::{Istr, Node, Selector};
use jiff::Timestamp;

/// Label of Nodes that no load balancer is to use, whatever its value (KEP-1143).
pub const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// As many nodes as are named in words.
const MOST_NAMED: usize = 3;

/// What a `Layer2Announcement` says about nodes and interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Announcement {
    /// Its name; empty for what holds where there is none.
    pub name: Istr,
    /// One of them has to match; none means every node.
    pub nodes: Vec<Selector>,
    /// Names or patterns of interfaces; none means every interface.
    pub interfaces: Vec<Istr>,
    /// Weights of nodes that are preferred.
    pub preferred: Vec<(u8, Selector)>,
}

/// Why a node may not answer for an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exclusion {
    /// There is no announcement for the address at all.
    NotAnnounced,
    /// It has [`EXCLUDE_LABEL`].
    ExcludeLabel,
    /// It has the taint `node.kubernetes.io/out-of-service`.
    OutOfService,
    /// None of the announcements selects it.
    NotSelected,
    /// It has no interface that the announcements that select it name; these are the patterns.
    NoInterface(Vec<Istr>),
    /// Only nodes with a ready endpoint may, and it has none.
    NoEndpoint,
    /// The address is one of its own.
    OwnAddress,
    /// The address is that of its router.
    Gateway,
    /// The address stands for the network, or for everybody on it.
    NotAHost,
    /// Its interface has no carrier.
    NoCarrier,
    /// There is no speaker on it.
    NoSpeaker,
    /// Its speaker ended without a word, or does not reach the API server: its Lease had run out by then.
    SpeakerLost(Timestamp),
    /// Nothing that is known: it should answer soon.
    NotYet,
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnnounced => f.write_str("no Layer2Announcement is for the address"),
            Self::ExcludeLabel => write!(f, "labelled {EXCLUDE_LABEL}"),
            Self::OutOfService => f.write_str("tainted node.kubernetes.io/out-of-service"),
            Self::NotSelected => f.write_str("not selected by a Layer2Announcement"),
            Self::NoInterface(patterns) => {
                let patterns: Vec<&str> = patterns.iter().map(Istr::as_str).collect();
                write!(f, "without an interface {}", patterns.join(" or "))
            }
            Self::NoEndpoint => f.write_str("without a ready endpoint"),
            Self::OwnAddress => f.write_str("has the address itself"),
            Self::Gateway => f.write_str("has it as the address of its router"),
            Self::NotAHost => f.write_str("has it as network or broadcast address of its subnet"),
            Self::NoCarrier => f.write_str("no carrier"),
            Self::NoSpeaker => f.write_str("no speaker runs there"),
            Self::SpeakerLost(by) => {
                write!(f, "nothing has been heard of its speaker, whose Lease ran out by {by:.0}")
            }
            Self::NotYet => f.write_str("may answer, and does not yet"),
        }
    }
}

/// Why a node may not answer for anything.
#[must_use]
pub fn excluded(node: &Node, ignore_exclude_label: bool) -> Option<Exclusion> {
    if node.out_of_service {
        return Some(Exclusion::OutOfService);
    }
    (!ignore_exclude_label && node.labels.get(EXCLUDE_LABEL).is_some()).then_some(Exclusion::ExcludeLabel)
}

impl Announcement {
    /// Does it select this node?
    #[must_use]
    pub fn selects(&self, node: &Node) -> bool {
        self.nodes.is_empty() || self.nodes.iter().any(|selector| selector.matches(&node.labels))
    }

    /// Does it name this interface?
    #[must_use]
    pub fn names(&self, interface: &str) -> bool {
        self.interfaces.is_empty() || self.interfaces.iter().any(|pattern| matches(pattern, interface))
    }

    /// The weights of the selectors that prefer this node, added up.
    #[must_use]
    pub fn preference(&self, node: &Node) -> u16 {
        let selected = self.preferred.iter().filter(|(_, selector)| selector.matches(&node.labels));
        selected.fold(0, |sum, (weight, _)| sum.saturating_add(u16::from(*weight)))
    }
}

/// How much a node is preferred on an interface: the sum of what the announcements say that hold there; or why none does.
/// Each one's nodes go with each one's interfaces.
pub fn preference(announcements: &[Announcement], node: &Node, interface: &str) -> Result<u16, Exclusion> {
    if announcements.is_empty() {
        return Err(Exclusion::NotAnnounced);
    }
    let mut patterns: Vec<Istr> = Vec::new();
    let mut sum: Option<u16> = None;
    for announcement in announcements.iter().filter(|it| it.selects(node)) {
        if announcement.names(interface) {
            sum = Some(sum.unwrap_or_default().saturating_add(announcement.preference(node)));
        }
        patterns.extend(announcement.interfaces.iter().cloned());
    }
    match sum {
        Some(sum) => Ok(sum),
        None if patterns.is_empty() => Err(Exclusion::NotSelected),
        None => {
            patterns.sort();
            patterns.dedup();
            Err(Exclusion::NoInterface(patterns))
        }
    }
}

/// Is a name as the pattern says? `*` stands for any text and `?` for any character.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut seen) = (0, 0);
    // After which star, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at + 1, seen));
                at += 1;
            }
            Some('?') => (at, seen) = (at + 1, seen + 1),
            Some(it) if *it == name[seen] => (at, seen) = (at + 1, seen + 1),
            _ => {
                let Some((after, taken)) = star else { return false };
                star = Some((after, taken + 1));
                (at, seen) = (after, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

/// Nodes and why each may not answer, in words, those with the same reason together: `node-1: no speaker runs there; node-2
/// and node-3: without a ready endpoint`.
#[must_use]
pub fn in_words<'a>(excluded: impl IntoIterator<Item = (&'a str, Exclusion)>) -> String {
    let mut by_reason: Vec<(Exclusion, Vec<&str>)> = Vec::new();
    for (node, reason) in excluded {
        match by_reason.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, nodes)) => nodes.push(node),
            None => by_reason.push((reason, vec![node])),
        }
    }
    by_reason.sort_by(|a, b| (b.1.len(), &a.0).cmp(&(a.1.len(), &b.0)));
    let one = |(reason, nodes): &(Exclusion, Vec<&str>)| format!("{}: {reason}", list(nodes));
    by_reason.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// `node-1, node-2, node-3 and 5 more`.
fn list(nodes: &[&str]) -> String {
    let mut nodes = nodes.to_vec();
    nodes.sort_unstable();
    match &nodes[..] {
        [] => "nobody".to_owned(),
        [only] => (*only).to_owned(),
        [most @ .., last] if nodes.len() <= MOST_NAMED => format!("{} and {last}", most.join(", ")),
        _ => format!("{} and {} more", nodes[..MOST_NAMED].join(", "), nodes.len() - MOST_NAMED),
    }
}

#[cfg(test)]
mod tests {
    use fairlead_objects::{Labels, testing};

    use super::*;

    fn node(name: &str, labels: &[(&str, &str)]) -> Node {
        Node { labels: labels.iter().copied().collect(), ..testing::node(name, None) }
    }

    fn selector(key: &str, value: &str) -> Selector {
        Selector { match_labels: vec![(key.into(), value.into())], ..Selector::default() }
    }

    #[test]
    fn patterns_are_matched_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("eth*", "eth0.100", true),
            ("eth*", "eth", true),
            ("eth*", "veth0", false),
            ("*eth*", "veth0", true),
            ("bond?", "bond0", true),
            ("bond?", "bond", false),
            ("bond?", "bond10", false),
            ("*", "", true),
            ("", "", true),
            ("", "eth0", false),
            ("e*h*1", "eth0h1", true),
            ("e*h*1", "eth0h2", false),
            ("**", "lo", true),
            ("a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("Eth0", "eth0", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn rules_of_nodes_exclude() {
        let excluding = [(EXCLUDE_LABEL, "")];
        for (about, node, ignore, expected) in [
            ("plain", node("n", &[]), false, None),
            ("labelled", node("n", &excluding), false, Some(Exclusion::ExcludeLabel)),
            (
                "labelled with false",
                node("n", &[(EXCLUDE_LABEL, "false")]),
                false,
                Some(Exclusion::ExcludeLabel),
            ),
            ("labelled, ignored", node("n", &excluding), true, None),
            (
                "out of service",
                Node { out_of_service: true, ..node("n", &[]) },
                true,
                Some(Exclusion::OutOfService),
            ),
            ("not ready is no reason", Node { ready: false, ..node("n", &[]) }, false, None),
            ("cordoned is no reason", Node { unschedulable: true, ..node("n", &[]) }, false, None),
        ] {
            assert_eq!(excluded(&node, ignore), expected, "{about}");
        }
    }

    #[test]
    fn each_announcement_has_its_own_nodes_and_interfaces() {
        let front = Announcement {
            nodes: vec![selector("role", "front"), selector("role", "edge")],
            interfaces: vec!["eth*".into()],
            preferred: vec![(10, selector("rack", "7")), (5, selector("role", "edge"))],
            ..Announcement::default()
        };
        let back = Announcement {
            nodes: vec![selector("role", "back")],
            interfaces: vec!["bond0".into()],
            ..Announcement::default()
        };
        let any = Announcement { preferred: vec![(100, Selector::default())], ..Announcement::default() };
        let none: [Announcement; 0] = [];
        let no_interface = |patterns: &[&str]| {
            Err(Exclusion::NoInterface(patterns.iter().map(|it| Istr::from(*it)).collect()))
        };
        let both = [front.clone(), back.clone()];
        for (about, announcements, labels, interface, expected) in [
            ("nothing announced", &none[..], &[][..], "eth0", Err(Exclusion::NotAnnounced)),
            ("not selected", &both, &[("role", "db")], "eth0", Err(Exclusion::NotSelected)),
            ("one of the selectors", &both, &[("role", "front")], "eth0", Ok(0)),
            ("weights are added up", &both, &[("role", "edge"), ("rack", "7")], "eth0", Ok(15)),
            ("the other one's interface", &both, &[("role", "back")], "eth0", no_interface(&["bond0"])),
            ("its own interface", &both, &[("role", "back")], "bond0", Ok(0)),
            ("everywhere", std::slice::from_ref(&any), &[], "wlan0", Ok(100)),
            ("those that hold", &[any.clone(), front.clone()], &[("role", "edge")], "eth1", Ok(105)),
            ("one of them without limits", &[back, any.clone()], &[("role", "back")], "eth1", Ok(100)),
        ] {
            let found = preference(announcements, &node("n", labels), interface);
            assert_eq!(found, expected, "{about}");
        }
    }

    #[test]
    fn nodes_with_one_reason_are_named_together() {
        let endpoint = |node| (node, Exclusion::NoEndpoint);
        for (excluded, expected) in [
            (vec![], ""),
            (vec![("node-1", Exclusion::NoSpeaker)], "node-1: no speaker runs there"),
            (
                vec![("node-2", Exclusion::NoSpeaker), endpoint("node-3"), endpoint("node-1")],
                "node-1 and node-3: without a ready endpoint; node-2: no speaker runs there",
            ),
            (
                ["n5", "n3", "n4", "n1", "n2"].into_iter().map(endpoint).collect(),
                "n1, n2, n3 and 2 more: without a ready endpoint",
            ),
            (
                vec![("node-1", Exclusion::NoInterface(vec!["bond0".into(), "eth*".into()]))],
                "node-1: without an interface bond0 or eth*",
            ),
        ] {
            assert_eq!(in_words(excluded), expected);
        }
    }

    #[test]
    fn labels_of_a_node_are_looked_at_as_they_are() {
        let announcement = Announcement { nodes: vec![selector("role", "")], ..Announcement::default() };
        assert!(announcement.selects(&node("n", &[("role", "")])));
        assert!(!announcement.selects(&Node { labels: Labels::default(), ..node("n", &[]) }));
    }
}
