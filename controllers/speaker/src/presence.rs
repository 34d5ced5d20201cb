//! Saying that this speaker runs, and asking which others do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use fairlead_layer2::{MacAddress, NodeId};
use fairlead_machinery::write::{WriteError, WriteFailure, Writer};
use fairlead_objects::{Istr, Presence, PresentInterface, Record, Uid};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde_json::{Value, json};
use tracing::{debug, warn};

use crate::intent::Listed;
use crate::links::Link;

/// How often the Lease is renewed.
pub const RENEWAL: Duration = Duration::from_secs(30);
/// How long the Lease says that the speaker runs, unless it is renewed.
const DURATION_SECONDS: i32 = 90;

/// How long it is remembered that a node is deleted: nobody on the network remembers it for longer.
const MEMORY: SignedDuration = SignedDuration::from_mins(10);

/// The Lease of a node's speaker.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The node.
    pub node: Arc<str>,
    /// The UID of its Node object, once that is known: the Lease is deleted with it.
    pub node_uid: Option<Uid>,
    /// The namespace of the Lease.
    pub namespace: Arc<str>,
}

impl Statement {
    /// The Lease as it is created.
    #[must_use]
    pub fn create(&self, interfaces: &[PresentInterface], now: Timestamp) -> Value {
        let (label, component) = Presence::LABEL;
        let mut lease = self.renew(interfaces, now);
        lease["apiVersion"] = "coordination.k8s.io/v1".into();
        lease["kind"] = "Lease".into();
        lease["metadata"]["name"] = Presence::name_of(&self.node).into();
        lease["metadata"]["namespace"] = (*self.namespace).into();
        lease["metadata"]["labels"] = json!({label: component});
        lease
    }

    /// The merge patch that renews it. The label comes back, too.
    #[must_use]
    pub fn renew(&self, interfaces: &[PresentInterface], now: Timestamp) -> Value {
        let (label, component) = Presence::LABEL;
        let mut lease = json!({
            "metadata": {
                "labels": {label: component},
                "annotations": {Presence::INTERFACES: Presence::text_of(interfaces)},
            },
            "spec": {
                "holderIdentity": *self.node,
                "leaseDurationSeconds": DURATION_SECONDS,
                "renewTime": MicroTime(now),
            },
        });
        if let Some(uid) = &self.node_uid {
            let owner =
                json!({"apiVersion": "v1", "kind": "Node", "name": *self.node, "uid": uid.to_string()});
            lease["metadata"]["ownerReferences"] = json!([owner]);
        }
        lease
    }

    /// The merge patch by which the speaker says that it has ended.
    #[must_use]
    pub fn release(&self, now: Timestamp) -> Value {
        json!({"spec": {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": MicroTime(now)}})
    }
}

/// The interfaces as they are stated.
#[must_use]
pub fn stated(links: &[Link]) -> Vec<PresentInterface> {
    let of = |link: &Link| PresentInterface {
        name: link.facts.name.as_str().into(),
        mac: link.facts.mac.to_string().as_str().into(),
        addresses: link.facts.addresses.iter().map(|prefix| (prefix.address, prefix.length)).collect(),
    };
    links.iter().filter(|link| link.facts.running).map(of).collect()
}

/// What the Leases of all speakers say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fleet {
    /// By the MAC addresses of their interfaces.
    pub by_mac: HashMap<MacAddress, NodeId>,
    /// By what frames call them.
    pub names: HashMap<NodeId, Istr>,
    /// Nodes that had a Lease and have none any more, so that they are deleted, and when that was seen.
    deleted: BTreeMap<NodeId, Timestamp>,
    /// Nodes with a Lease, whether it is live or not.
    stated: BTreeSet<NodeId>,
    present: Vec<Presence>,
}

impl Fleet {
    /// Of these Leases, those that are live.
    #[must_use]
    pub fn of(leases: Vec<Presence>, now: Timestamp) -> Self {
        let stated = leases.iter().filter_map(Presence::node_by_name).map(NodeId::of).collect();
        let mut fleet = Self { stated, ..Self::default() };
        for lease in leases.into_iter().filter(|lease| lease.is_live(now)) {
            let Some(node) = &lease.node else { continue };
            let id = NodeId::of(node);
            fleet.names.insert(id, node.clone());
            let macs = lease.interfaces.iter().filter_map(|interface| interface.mac.parse().ok());
            fleet.by_mac.extend(macs.map(|mac: MacAddress| (mac, id)));
            fleet.present.push(lease);
        }
        fleet
    }

    /// This fleet after what was known `before`: whoever has no Lease any more is deleted.
    #[must_use]
    pub fn after(mut self, before: &Self, now: Timestamp) -> Self {
        let lately = |at: &Timestamp| now.duration_since(*at) < MEMORY;
        let known = before.deleted.iter().filter(|(_, at)| lately(at)).map(|(node, at)| (*node, *at));
        let missing = before.stated.difference(&self.stated).map(|node| (*node, now));
        self.deleted = missing.chain(known).filter(|(node, _)| !self.stated.contains(node)).collect();
        self
    }

    /// The nodes that are deleted.
    #[must_use]
    pub fn deleted(&self) -> BTreeSet<NodeId> {
        self.deleted.keys().copied().collect()
    }

    /// The other nodes with an address in a subnet of this interface.
    #[must_use]
    pub fn beside(&self, link: &Link, own_node: &str) -> Listed {
        let mut listed = Listed::new();
        for lease in &self.present {
            let Some(node) = lease.node.as_ref().filter(|node| *node != own_node) else { continue };
            let is_beside = |interface: &&PresentInterface| {
                interface.addresses.iter().any(|(address, _)| {
                    // Every interface has an address of this subnet, so it tells nothing.
                    let is_link_local =
                        matches!(address, std::net::IpAddr::V6(it) if it.is_unicast_link_local());
                    !is_link_local && link.facts.holds(*address)
                })
            };
            let macs: Vec<MacAddress> =
                lease.interfaces.iter().filter(is_beside).filter_map(|it| it.mac.parse().ok()).collect();
            if !macs.is_empty() {
                listed.insert(NodeId::of(node), macs);
            }
        }
        listed
    }
}

/// Writes the Lease and reads those of the others.
#[derive(Clone)]
pub(crate) struct Shell {
    pub(crate) statement: Statement,
    pub(crate) writer: Writer,
}

impl Shell {
    /// Renews the Lease, or makes it.
    pub(crate) async fn state(&self, interfaces: &[PresentInterface]) -> Result<(), WriteError> {
        let Statement { node, namespace, .. } = &self.statement;
        let name = Presence::name_of(node);
        let patch = self.statement.renew(interfaces, Timestamp::now());
        let renewed = self.writer.merge::<Presence>(&Presence::RESOURCE, namespace, &name, &patch).await;
        match renewed {
            Err(WriteError { kind: WriteFailure::NotFound(_), .. }) => {
                let lease = self.statement.create(interfaces, Timestamp::now());
                let made =
                    self.writer.create_named::<Presence>(&Presence::RESOURCE, namespace, &name, &lease);
                made.await.map(drop)
            }
            answer => answer.map(drop),
        }
    }

    /// Gives the Lease back.
    pub(crate) async fn release(&self) {
        let Statement { node, namespace, .. } = &self.statement;
        let patch = self.statement.release(Timestamp::now());
        let name = Presence::name_of(node);
        let released = self.writer.merge::<Presence>(&Presence::RESOURCE, namespace, &name, &patch).await;
        match released {
            Ok(_) => debug!("gave the Lease {name} back"),
            Err(error) => warn!(%error, "could not say that this speaker has ended"),
        }
    }

    /// Which speakers run.
    pub(crate) async fn fleet(&self) -> Result<Fleet, WriteError> {
        let namespace = &self.statement.namespace;
        let leases = self.writer.read_labelled(&Presence::RESOURCE, namespace, &[Presence::LABEL]).await?;
        Ok(Fleet::of(leases, Timestamp::now()))
    }
}

#[cfg(test)]
mod tests {
    use fairlead_layer2::{LinkFacts, Prefix};

    use super::*;

    fn link(index: u32, name: &str, addresses: &[(&str, u8)]) -> Link {
        let prefix =
            |(address, length): &(&str, u8)| Prefix { address: address.parse().unwrap(), length: *length };
        Link {
            facts: LinkFacts {
                index,
                name: name.into(),
                mac: MacAddress([2, 0, 0, 0, 0, u8::try_from(index).unwrap()]),
                mtu: 1500,
                running: true,
                addresses: addresses.iter().map(prefix).collect(),
            },
            gateways: Vec::new(),
            generation: 1,
        }
    }

    fn noon() -> Timestamp {
        "2026-01-01T12:00:00Z".parse().unwrap()
    }

    fn lease(node: &str, links: &[Link]) -> Presence {
        let statement = Statement { node: node.into(), node_uid: None, namespace: "fairlead-system".into() };
        serde_json::from_value(statement.create(&stated(links), noon())).unwrap()
    }

    #[test]
    fn a_lease_reads_back_as_it_was_meant_and_ends_when_it_is_given_back() {
        let eth0 = link(2, "eth0", &[("198.51.100.1", 24), ("2001:db8::1", 64)]);
        let down = Link { facts: LinkFacts { running: false, ..link(3, "eth1", &[]).facts }, ..eth0.clone() };
        let made = lease("node-1", &[eth0, down]);
        assert_eq!(made.key.to_string(), "fairlead-system/fairlead-speaker-node-1");
        assert_eq!(made.node.as_deref(), Some("node-1"));
        let [interface] = &*made.interfaces else { panic!("{made:?}") };
        assert_eq!((interface.name.as_str(), interface.mac.as_str()), ("eth0", "02:00:00:00:00:02"));
        let after = |seconds| noon().checked_add(SignedDuration::from_secs(seconds)).unwrap();
        assert!(made.is_live(after(89)) && !made.is_live(after(90)));
        let statement =
            Statement { node: "node-1".into(), node_uid: None, namespace: "fairlead-system".into() };
        let released: Presence = serde_json::from_value(statement.release(noon())).unwrap();
        assert!(!released.is_live(noon()));
    }

    #[test]
    fn others_on_the_segment_are_those_with_an_address_of_its_subnet() {
        let here = link(2, "eth0", &[("198.51.100.1", 24), ("fe80::1", 64)]);
        let leases = vec![
            lease("node-1", std::slice::from_ref(&here)),
            lease(
                "node-2",
                &[link(7, "ens7", &[("198.51.100.2", 24)]), link(8, "ens8", &[("203.0.113.2", 24)])],
            ),
            lease("node-3", &[link(9, "eth0", &[("203.0.113.3", 24), ("fe80::3", 64)])]),
            Presence { node: None, ..lease("node-4", &[link(10, "eth0", &[("198.51.100.4", 24)])]) },
        ];
        let fleet = Fleet::of(leases, noon());
        let expected = Listed::from([(NodeId::of("node-2"), vec![MacAddress([2, 0, 0, 0, 0, 7])])]);
        assert_eq!(fleet.beside(&here, "node-1"), expected);
        assert_eq!(fleet.by_mac.get(&MacAddress([2, 0, 0, 0, 0, 9])), Some(&NodeId::of("node-3")));
        assert_eq!(fleet.names.get(&NodeId::of("node-2")).map(Istr::as_str), Some("node-2"));
        assert_eq!(fleet.names.len(), 3);
    }

    #[test]
    fn who_has_no_lease_any_more_is_deleted() {
        let after = |minutes| noon().checked_add(SignedDuration::from_mins(minutes)).unwrap();
        let of = |nodes: &[&str], minutes| {
            Fleet::of(nodes.iter().map(|node| lease(node, &[])).collect(), after(minutes))
        };
        let ids = |nodes: &[&str]| nodes.iter().map(|node| NodeId::of(node)).collect::<BTreeSet<_>>();
        let mut fleet = Fleet::default();
        for (minutes, nodes, deleted) in [
            (0, &["node-1", "node-2", "node-3"][..], &[][..]),
            // That nobody has renewed its Lease says nothing.
            (5, &["node-1", "node-2", "node-3"], &[]),
            (6, &["node-1", "node-3"], &["node-2"]),
            (8, &["node-1"], &["node-2", "node-3"]),
            (15, &["node-1", "node-3"], &["node-2"]),
            (17, &["node-1", "node-3"], &[]),
        ] {
            fleet = of(nodes, minutes).after(&fleet, after(minutes));
            assert_eq!(fleet.deleted(), ids(deleted), "after {minutes} min");
        }
    }

    #[test]
    fn a_lease_belongs_to_its_node() {
        let uid = Some(Uid::from("u-1"));
        let statement =
            Statement { node: "node-1".into(), node_uid: uid, namespace: "fairlead-system".into() };
        let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": "u-1"}]);
        assert_eq!(statement.create(&[], noon())["metadata"]["ownerReferences"], owner);
        assert_eq!(statement.renew(&[], noon())["metadata"]["ownerReferences"], owner);
    }
}
