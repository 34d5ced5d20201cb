use std::time::Duration;

use fairlead_layer2::{Fitness, LinkFacts, MacAddress, Prefix};
use fairlead_objects::{Istr, ResourceVersion, testing};

use super::*;
use crate::conditions::{Condition, Said};

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn link(index: u32, name: &str) -> Link {
    Link {
        facts: LinkFacts {
            index,
            name: name.into(),
            mac: MacAddress([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            running: true,
            addresses: vec![Prefix { address: "198.51.100.250".parse().unwrap(), length: 24 }],
        },
        gateways: Vec::new(),
        generation: 1,
    }
}

fn address(last: u8) -> Address {
    let ip = ip(last);
    Address {
        key: ObjectKey::new("", ip.to_string()),
        uid: Uid::from(format!("uid-{last}").as_str()),
        version: ResourceVersion::Number(1),
        address: ip,
        bound: true,
        probe: false,
        local: None,
        announcements: [Announcement::default()].into(),
        status: crate::facts::Status::default(),
    }
}

fn ip(last: u8) -> IpAddr {
    [198, 51, 100, last].into()
}

fn local(last: u8, services: &[&str]) -> Address {
    let services = services.iter().map(|name| ObjectKey::new("shop", *name)).collect();
    Address { local: Some(services), ..address(last) }
}

fn on(interface: &str) -> Arc<[Announcement]> {
    [Announcement { interfaces: vec![interface.into()], ..Announcement::default() }].into()
}

/// On one node with one interface, which have been told.
fn intent() -> Intent {
    let mut intent = Intent::new("node-1", 100, Policy::default());
    intent.put_node(&Arc::new(testing::node("node-1", None)));
    intent.put_links(&[link(2, "eth0")]);
    intent.take_orders();
    intent
}

/// What is ordered about addresses, standings left out.
fn wants(intent: &mut Intent) -> Vec<(u32, u8, Option<Arc<Wanted>>)> {
    let mut wants = Vec::new();
    for order in intent.take_orders() {
        let Order::Want { link, changes } = order else { continue };
        for (address, wanted) in changes {
            let IpAddr::V4(address) = address else { panic!("{address}") };
            wants.push((link, address.octets()[3], wanted));
        }
    }
    wants
}

/// The addresses that are ordered on interface 2, with what this node can do for each.
fn fits(intent: &mut Intent) -> Vec<(u8, Option<Fitness>)> {
    let wants = wants(intent).into_iter().filter(|(link, ..)| *link == 2);
    wants.map(|(_, last, wanted)| (last, wanted.map(|it| it.own))).collect()
}

const FIT: Option<Fitness> = Some(Fitness::Fit { soft: false, preference: 0 });
const SOFT: Option<Fitness> = Some(Fitness::Fit { soft: true, preference: 0 });
const UNFIT: Option<Fitness> = Some(Fitness::Unfit);

#[test]
fn nothing_is_ordered_before_the_node_is_known() {
    let mut intent = Intent::new("node-1", 100, Policy::default());
    intent.put_links(&[link(2, "eth0")]);
    intent.put_address(&Arc::new(address(7)));
    assert!(intent.take_orders().is_empty());
    intent.put_node(&Arc::new(testing::node("node-1", None)));
    assert_eq!(fits(&mut intent), [(7, FIT)]);
    assert!(intent.take_orders().is_empty());
}

#[test]
fn one_changed_address_is_one_order() {
    let mut intent = intent();
    for last in 1..=200 {
        intent.put_address(&Arc::new(address(last)));
    }
    assert_eq!(wants(&mut intent).len(), 200);
    let mut changed = address(7);
    changed.status.epoch = 5;
    intent.put_address(&Arc::new(changed.clone()));
    let [(2, 7, Some(wanted))] = &wants(&mut intent)[..] else { panic!() };
    assert_eq!(wanted.epoch, 5);
    // What is of no interest to the wires is not told.
    changed.status.mac = Some(Istr::from("02:00:00:00:00:09"));
    intent.put_address(&Arc::new(changed));
    assert!(intent.take_orders().is_empty());
}

#[test]
fn an_address_is_probed_until_it_was() {
    let mut intent = intent();
    let mut object = Address { probe: true, ..address(7) };
    for (status, expected) in
        [(None, true), (Some("Unknown"), true), (Some("False"), true), (Some("True"), false)]
    {
        object.status.conditions = status
            .iter()
            .map(|status| {
                let said = Said {
                    kind: PROBED_CONDITION.into(),
                    status: (*status).into(),
                    reason: "R".into(),
                    message: "".into(),
                    observed_generation: None,
                };
                Condition::new(said, "2026-01-01T00:00:00Z".parse().unwrap())
            })
            .collect();
        intent.put_address(&Arc::new(object.clone()));
        intent.take_orders();
        assert_eq!(intent.links[&2].wanted[&ip(7)].probe, expected, "{status:?}");
    }
}

#[test]
fn a_vanished_object_is_answered_for_for_a_minute() {
    let mut intent = intent();
    intent.put_address(&Arc::new(address(7)));
    intent.put_address(&Arc::new(address(8)));
    intent.take_orders();
    intent.remove_address(&address(7), at(100));
    intent.remove_address(&address(8), at(110));
    assert_eq!(intent.pass_time(at(159)), Some(at(160)));
    assert!(intent.take_orders().is_empty());
    // It is there again.
    intent.put_address(&Arc::new(Address { uid: Uid::from("another"), ..address(8) }));
    assert_eq!(fits(&mut intent), [(8, FIT)]);
    assert_eq!(intent.pass_time(at(160)), None);
    assert_eq!(fits(&mut intent), [(7, None)]);
    // The late word of its first object's end is not about this one.
    intent.remove_address(&address(8), at(170));
    assert_eq!(intent.pass_time(at(1000)), None);
    assert!(intent.take_orders().is_empty());
}

#[test]
fn an_answer_to_a_write_counts_until_the_watch_is_there() {
    let mut intent = intent();
    let versioned = |version, epoch| {
        let mut object = Address { version: ResourceVersion::Number(version), ..address(7) };
        object.status.epoch = epoch;
        object
    };
    // Of an address that is not known it says nothing.
    intent.put_answer(versioned(1, 1));
    assert!(intent.take_orders().is_empty());
    intent.put_address(&Arc::new(versioned(10, 1)));
    intent.put_answer(versioned(12, 2));
    intent.put_address(&Arc::new(versioned(11, 1)));
    let [(2, 7, Some(wanted))] = &wants(&mut intent)[..] else { panic!() };
    assert_eq!(wanted.epoch, 2);
    // Nor of one that is gone.
    intent.remove_address(&versioned(12, 2), at(0));
    intent.put_answer(versioned(13, 3));
    assert_eq!(intent.pass_time(at(60)), None);
    assert_eq!(fits(&mut intent), [(7, None)]);
}

#[test]
fn an_address_that_nobody_has_is_given_up_at_once() {
    let mut intent = intent();
    intent.put_address(&Arc::new(address(7)));
    assert_eq!(fits(&mut intent), [(7, FIT)]);
    intent.put_address(&Arc::new(Address { bound: false, ..address(7) }));
    assert_eq!(fits(&mut intent), [(7, None)]);
    // As is one that had vanished before.
    intent.put_address(&Arc::new(address(7)));
    intent.remove_address(&address(7), at(0));
    intent.put_address(&Arc::new(Address { bound: false, ..address(7) }));
    intent.take_orders();
    assert_eq!(intent.pass_time(at(0)), None);
    assert!(intent.classes.is_empty());
}

#[test]
fn only_nodes_with_endpoints_answer_where_that_is_asked_for() {
    let mut intent = intent();
    let web = ObjectKey::new("shop", "web");
    let nodes = |names: &[&str]| names.iter().map(|name| NodeId::of(name)).collect::<HashSet<_>>();
    intent.put_address(&Arc::new(local(7, &["web"])));
    // Not before they are known.
    assert!(fits(&mut intent).is_empty());
    assert_eq!(intent.take_services(), [(web.clone(), true)]);
    assert!(intent.take_services().is_empty());
    intent.put_endpoints(&web, nodes(&["node-2"]));
    assert_eq!(fits(&mut intent), [(7, UNFIT)]);
    assert_eq!(intent.why_not(ip(7), 2), Some(Exclusion::NoEndpoint));
    intent.put_endpoints(&web, nodes(&["node-2"]));
    assert!(intent.take_orders().is_empty());
    intent.put_endpoints(&web, nodes(&["node-1", "node-2"]));
    let [(2, 7, Some(wanted))] = &wants(&mut intent)[..] else { panic!() };
    assert_eq!((wanted.own, wanted.nodes.as_deref()), (FIT.unwrap(), Some(&nodes(&["node-1", "node-2"]))));
    // Another Service shares it, whose endpoints come later.
    intent.put_address(&Arc::new(local(7, &["web", "web-udp"])));
    assert!(intent.take_orders().is_empty());
    intent.put_endpoints(&ObjectKey::new("shop", "web-udp"), nodes(&["node-3"]));
    assert_eq!(fits(&mut intent), [(7, FIT)]);
    // Every node may.
    intent.put_address(&Arc::new(address(7)));
    let [(2, 7, Some(wanted))] = &wants(&mut intent)[..] else { panic!() };
    assert!(wanted.nodes.is_none());
    let gone = |name: &str| (ObjectKey::new("shop", name), false);
    assert_eq!(intent.take_services(), [gone("web"), gone("web-udp")]);
    // Endpoints that do not decide are not kept.
    intent.put_endpoints(&web, nodes(&["node-1"]));
    assert!(intent.services.is_empty());
}

#[test]
fn what_works_stays_while_endpoints_are_not_known() {
    let mut intent = intent();
    intent.put_address(&Arc::new(address(7)));
    assert_eq!(fits(&mut intent), [(7, FIT)]);
    intent.put_address(&Arc::new(local(7, &["web"])));
    assert!(intent.take_orders().is_empty());
    intent.put_endpoints(&ObjectKey::new("shop", "web"), HashSet::new());
    assert_eq!(fits(&mut intent), [(7, UNFIT)]);
}

#[test]
fn interfaces_come_and_go() {
    let mut intent = intent();
    intent.put_address(&Arc::new(Address { announcements: on("eth*"), ..address(7) }));
    intent.put_address(&Arc::new(Address { announcements: on("bond0"), ..address(8) }));
    assert_eq!(fits(&mut intent), [(7, FIT), (8, UNFIT)]);
    let elsewhere =
        Link { facts: LinkFacts { addresses: Vec::new(), ..link(3, "bond0").facts }, ..link(3, "bond0") };
    intent.put_links(&[link(2, "eth0"), elsewhere.clone()]);
    let on_bond: Vec<_> =
        wants(&mut intent).into_iter().map(|(link, last, it)| (link, last, it.map(|it| it.own))).collect();
    assert_eq!(on_bond, [(3, 7, UNFIT), (3, 8, SOFT)]);
    // The same list says nothing new.
    intent.put_links(&[link(2, "eth0"), elsewhere]);
    assert!(intent.take_orders().is_empty());
    // Who forgot its orders is given all of them again, standing included.
    intent.put_links(&[Link { generation: 2, ..link(2, "eth0") }]);
    let orders = intent.take_orders();
    assert!(
        matches!(&orders[..], [Order::Stand { link: 2, .. }, Order::Want { link: 2, changes }] if changes.len() == 2)
    );
    // A lost carrier excludes.
    let down = Link {
        facts: LinkFacts { running: false, ..link(2, "eth0").facts },
        generation: 2,
        ..link(2, "eth0")
    };
    intent.put_links(&[down]);
    assert_eq!(fits(&mut intent), [(7, UNFIT)]);
    assert_eq!(intent.why_not(ip(7), 2), Some(Exclusion::NoCarrier));
}

#[test]
fn a_change_of_the_node_is_told_for_classes_and_addresses() {
    let mut intent = intent();
    intent.put_address(&Arc::new(address(7)));
    intent.put_address(&Arc::new(Address { announcements: on("eth0"), ..address(8) }));
    let standings = |orders: &[Order]| -> Vec<Vec<Fitness>> {
        let of = |order: &Order| match order {
            Order::Stand { standing, .. } => Some(standing.classes.values().copied().collect()),
            Order::Want { .. } | Order::Fleet(_) => None,
        };
        orders.iter().filter_map(of).collect()
    };
    assert_eq!(standings(&intent.take_orders()), [vec![FIT.unwrap(); 2]]);
    intent.put_node(&Arc::new(Node { ready: false, ..testing::node("node-1", None) }));
    assert_eq!(standings(&intent.take_orders()), [vec![SOFT.unwrap(); 2]]);
    // One more address of a class is no news about it.
    intent.put_address(&Arc::new(address(9)));
    assert!(standings(&intent.take_orders()).is_empty());
    intent.put_node(&Arc::new(Node { out_of_service: true, ..testing::node("node-1", None) }));
    assert_eq!(fits(&mut intent), [(7, UNFIT), (8, UNFIT), (9, UNFIT)]);
}

#[test]
fn weight_zero_claims_nothing_and_listed_nodes_are_passed_on() {
    let mut intent = Intent::new("node-1", 0, Policy::default());
    intent.put_node(&Arc::new(testing::node("node-1", None)));
    intent.put_links(&[link(2, "eth0")]);
    let [Order::Stand { link: 2, standing }] = &intent.take_orders()[..] else { panic!() };
    assert!(!standing.candidate && standing.listed.is_empty());
    let listed = Listed::from([(NodeId::of("node-2"), vec![MacAddress([2, 0, 0, 0, 0, 2])])]);
    intent.put_listed(2, listed.clone());
    let [Order::Stand { link: 2, standing }] = &intent.take_orders()[..] else { panic!() };
    assert_eq!(standing.listed, listed);
    intent.put_listed(2, listed);
    intent.put_listed(7, Listed::new());
    assert!(intent.take_orders().is_empty());
}
