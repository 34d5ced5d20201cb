use std::sync::Arc;

use fairlead_layer2::{LinkFacts, NodeId, Prefix};
use fairlead_objects::{ObjectKey, ResourceVersion, Uid};

use super::*;
use crate::facts::Status;

const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));
const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const STRANGER: MacAddress = MacAddress([2, 0, 0, 0, 0, 0x99]);

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn since() -> Timestamp {
    "2026-01-01T11:59:59.5Z".parse().unwrap()
}

fn link(index: u32, name: &str, address: &str) -> Link {
    Link {
        facts: LinkFacts {
            index,
            name: name.into(),
            mac: MAC,
            mtu: 1500,
            running: true,
            addresses: vec![Prefix { address: address.parse().unwrap(), length: 24 }],
        },
        gateways: Vec::new(),
        generation: 1,
    }
}

fn object() -> Address {
    Address {
        key: ObjectKey::new("", "198.51.100.7"),
        uid: Uid::from("u1"),
        version: ResourceVersion::Number(41),
        address: VIP,
        bound: true,
        probe: true,
        local: None,
        announcements: [].into(),
        status: Status::default(),
    }
}

/// One node with eth0, whose subnet holds the address, and eth1, whose subnet does not.
struct Node {
    claims: Claims,
    links: Vec<Link>,
}

impl Node {
    fn new() -> Self {
        Self {
            claims: Claims::default(),
            links: vec![link(2, "eth0", "198.51.100.250"), link(3, "eth1", "203.0.113.250")],
        }
    }

    fn hear(&mut self, link: u32, news: &News) {
        assert_eq!(self.claims.hear(link, news), Some(VIP));
    }

    fn owns(&mut self, link: u32, epoch: u32) {
        self.hear(link, &News::Owned { address: VIP, epoch, since: since(), mac: MAC, outage: None });
    }

    fn plan(&self, object: &Address) -> Option<Value> {
        let links = self.links.iter().map(|link| (link.facts.index, link)).collect();
        let names = [(NodeId::of("node-3"), Istr::from("node-3"))].into();
        let teller = Teller { node: "node-1", links: &links, names: &names, now: now() };
        teller.plan(object, self.claims.get(VIP)?, Some(&Exclusion::ExcludeLabel))
    }

    /// What the object says after the patch, which is one that leaves no other to be made.
    fn write(&self, object: &Address) -> Address {
        let patch = self.plan(object).expect("something to write");
        let status = patch["status"].clone();
        let text = |field: &str, before: &Option<Istr>| match status.get(field) {
            None => before.clone(),
            Some(value) => value.as_str().map(Istr::from),
        };
        let before = &object.status;
        let after = Address {
            status: Status {
                node: text("node", &before.node),
                interface: text("interface", &before.interface),
                mac: text("mac", &before.mac),
                epoch: status
                    .get("epoch")
                    .map_or(before.epoch, |epoch| u32::try_from(epoch.as_u64().unwrap()).unwrap()),
                conditions: status.get("conditions").map_or(before.conditions.clone(), |it| {
                    let conditions: Vec<ApiCondition> = serde_json::from_value(it.clone()).unwrap();
                    conditions.into_iter().map(Condition::from).collect()
                }),
            },
            ..object.clone()
        };
        assert_eq!(self.plan(&after), None);
        after
    }
}

fn told(object: &Address, kind: &str) -> (String, String) {
    let condition = object.status.condition(kind).unwrap();
    (condition.status.to_string(), condition.reason.to_string())
}

fn says(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[test]
fn one_write_says_that_an_address_was_probed_and_is_answered_for() {
    let mut node = Node::new();
    node.hear(2, &News::Probed { address: VIP });
    assert_eq!(node.plan(&object()), None);
    node.owns(2, 4);
    assert_eq!(
        node.plan(&object()),
        Some(json!({
            "metadata": {"uid": "u1", "resourceVersion": "41"},
            "status": {
                "node": "node-1", "interface": "eth0", "mac": "02:00:00:00:00:01", "epoch": 4,
                "since": "2026-01-01T11:59:59.500000Z",
                "conditions": [
                    {"type": "Announced", "status": "True", "reason": "Answering",
                     "message": "node-1 answers for it on eth0 with MAC address 02:00:00:00:00:01",
                     "lastTransitionTime": "2026-01-01T12:00:00Z"},
                    {"type": "Probed", "status": "True", "reason": "NobodyAnswered",
                     "message": "node-1 asked on eth0 who has it, and nobody answered",
                     "lastTransitionTime": "2026-01-01T12:00:00Z"},
                ],
            },
        }))
    );
    let after = node.write(&object());
    assert_eq!(after.status.condition(CONFLICT_CONDITION), None);
}

#[test]
fn the_highest_epoch_is_right() {
    for (about, stored_by, stored, own, writes) in [
        ("another's older claim", "node-2", 3, 4, true),
        ("another's claim of the same number, which the network has settled", "node-2", 4, 4, true),
        ("another's newer claim", "node-2", 5, 4, false),
        ("our own older claim", "node-1", 3, 4, true),
        ("our own newer claim", "node-1", 5, 4, false),
    ] {
        let mut node = Node::new();
        node.owns(2, own);
        let mut object = object();
        object.status = Status { node: Some(stored_by.into()), epoch: stored, ..Status::default() };
        assert_eq!(node.plan(&object).is_some(), writes, "{about}");
        if writes {
            assert_eq!(node.write(&object).status.epoch, own, "{about}");
        }
    }
}

#[test]
fn the_interface_whose_subnet_holds_the_address_is_told() {
    let mut node = Node::new();
    node.owns(3, 9);
    assert_eq!(node.write(&object()).status.interface.as_deref(), Some("eth1"));
    node.owns(2, 4);
    let told = node.write(&object());
    assert_eq!((told.status.interface.as_deref(), told.status.epoch), (Some("eth0"), 4));
    // Another node answers on the network whose subnet holds it.
    let mut elsewhere = Node::new();
    elsewhere.owns(3, 4);
    let mut of_other = object();
    of_other.status = Status { node: Some("node-2".into()), epoch: 4, ..Status::default() };
    assert_eq!(elsewhere.plan(&of_other), None);
}

#[test]
fn a_new_mac_address_is_written_and_nothing_else_again() {
    let mut node = Node::new();
    node.owns(2, 4);
    let before = node.write(&object());
    let mac = MacAddress([2, 0, 0, 0, 0, 7]);
    node.hear(2, &News::Owned { address: VIP, epoch: 4, since: since(), mac, outage: None });
    let after = node.write(&before);
    assert_eq!(after.status.mac.as_deref(), Some("02:00:00:00:00:07"));
    assert_eq!(after.status.conditions[0].since, before.status.conditions[0].since);
}

#[test]
fn who_fell_silent_says_so_unless_another_node_answers() {
    let mut node = Node::new();
    node.owns(2, 4);
    let before = node.write(&object());
    node.hear(2, &News::Lost { address: VIP, epoch: 4 });
    let after = node.write(&before);
    assert_eq!(
        (after.status.node.as_deref(), after.status.mac.as_deref(), after.status.epoch),
        (None, None, 4)
    );
    assert_eq!(told(&after, ANNOUNCED_CONDITION), says("False", "NobodyAnswers"));
    let message = &after.status.condition(ANNOUNCED_CONDITION).unwrap().message;
    assert!(
        message.contains("node-1 does not answer for it any more: labelled node.kubernetes.io/exclude"),
        "{message}"
    );
    let mut taken_over = before;
    taken_over.status.node = Some("node-2".into());
    taken_over.status.epoch = 5;
    assert_eq!(node.plan(&taken_over), None);
    // Answering again is news.
    node.owns(2, 6);
    assert_eq!(node.write(&after).status.node.as_deref(), Some("node-1"));
}

#[test]
fn a_lost_interface_loses_what_was_answered_there() {
    let mut node = Node::new();
    node.owns(2, 4);
    node.owns(3, 4);
    let before = node.write(&object());
    assert_eq!(node.claims.lose_link(2), [VIP]);
    assert!(node.claims.lose_link(2).is_empty());
    assert_eq!(node.write(&before).status.interface.as_deref(), Some("eth1"));
    node.claims.lose_link(3);
    assert_eq!(node.write(&before).status.node, None);
    assert!(!node.claims.get(VIP).unwrap().is_answered());
}

#[test]
fn an_address_in_use_is_told_with_the_mac_address_and_not_answered_for() {
    let mut node = Node::new();
    node.hear(2, &News::Taken { address: VIP, mac: STRANGER, epoch: 1 });
    let after = node.write(&object());
    assert_eq!(told(&after, PROBED_CONDITION), says("False", "AddressInUse"));
    assert_eq!(told(&after, CONFLICT_CONDITION), says("True", "AddressInUse"));
    assert_eq!(
        &*after.status.condition(CONFLICT_CONDITION).unwrap().message,
        "198.51.100.7 is used by another device with MAC address 02:00:00:00:00:99, seen by node-1 on eth0"
    );
    assert_eq!(after.status.node, None);
    // The device is gone, as a later attempt shows.
    node.hear(2, &News::Probed { address: VIP });
    node.owns(2, 2);
    let later = node.write(&after);
    assert_eq!(told(&later, PROBED_CONDITION), says("True", "NobodyAnswered"));
    assert_eq!(told(&later, CONFLICT_CONDITION), says("False", "NobodyElse"));
}

#[test]
fn others_are_told_apart_and_told_when_they_are_gone() {
    let mut node = Node::new();
    node.owns(2, 4);
    let quiet = node.write(&object());
    node.hear(2, &News::Conflict { address: VIP, mac: STRANGER, node: None });
    let conflict = node.write(&quiet);
    assert_eq!(told(&conflict, CONFLICT_CONDITION), says("True", "OtherDevice"));
    assert_eq!(conflict.status.node.as_deref(), Some("node-1"));
    node.hear(2, &News::Conflict { address: VIP, mac: STRANGER, node: Some(NodeId::of("node-3")) });
    let own = node.write(&conflict);
    assert_eq!(told(&own, CONFLICT_CONDITION), says("True", "OtherNode"));
    assert!(own.status.condition(CONFLICT_CONDITION).unwrap().message.contains("node node-3 answers"));
    node.hear(2, &News::ConflictOver { address: VIP });
    assert_eq!(told(&node.write(&own), CONFLICT_CONDITION), says("False", "NobodyElse"));
    // Another node has told of it, and this one has seen nobody for long.
    let mut fresh = Node::new();
    fresh.owns(2, 5);
    let taken_over = fresh.write(&own);
    assert_eq!(told(&taken_over, CONFLICT_CONDITION), says("True", "OtherNode"));
    let links = fresh.links.iter().map(|link| (link.facts.index, link)).collect();
    let later = since().checked_add(CONFLICT_FADES).unwrap();
    let teller = Teller { node: "node-1", links: &links, names: &HashMap::new(), now: later };
    assert!(teller.plan(&taken_over, fresh.claims.get(VIP).unwrap(), None).is_some());
    // Nothing is said of what never was.
    assert_eq!(node.plan(&quiet), None);
}

#[test]
fn what_nobody_answers_for_is_forgotten() {
    let mut node = Node::new();
    node.owns(2, 4);
    node.claims.forget(VIP);
    assert!(node.claims.get(VIP).is_some());
    node.hear(2, &News::Lost { address: VIP, epoch: 4 });
    node.claims.forget(VIP);
    assert!(node.claims.get(VIP).is_none());
    let heard = Arc::new(News::Heard { peers: 2 });
    assert_eq!(node.claims.hear(2, &heard), None);
}
