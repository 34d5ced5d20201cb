//! Services that another implementation serves.

use fairlead_loadbalancer::MetalLb;
use fairlead_objects::{Ingress, IngressPoint, LoadBalancer, Service};

use crate::world::{With, World, ip, key, v4};

const PUBLIC: &[(&str, &[&str])] = &[("public", &["198.51.100.0/24"])];
const MARK: &str = "metallb.io/ip-allocated-from-pool";

fn entry(at: IngressPoint) -> Ingress {
    Ingress { at, proxy_mode: false, has_ports: false }
}

/// With an ingress that somebody wrote.
fn with(service: Service, address: &str) -> Service {
    let at = address.parse().map_or_else(|_| IngressPoint::Name(address.into()), IngressPoint::Address);
    service.load_balancer(|it: &mut LoadBalancer| it.ingress.push(entry(at)))
}

#[test]
fn what_carries_an_address_that_is_not_ours_is_left_alone() {
    for address in ["192.0.2.1", "lb.example.com"] {
        let mut world = World::new(PUBLIC);
        world.create(with(v4("web"), address));
        assert_eq!(world.writes(), [] as [String; 0]);
        assert_eq!(world.load_balancer("web").condition, None);
        // When the other one gives it up, it is ours.
        world.api.edit_status(&key("web"), |it| it.ingress.clear());
        world.settle();
        assert_eq!(world.addresses("web"), ["198.51.100.1"]);
    }
}

#[test]
fn what_asks_for_us_by_its_class_is_served_whatever_it_carries() {
    let mut world = World::new(PUBLIC);
    world.create(with(v4("web").class("fairlead.dev/layer2"), "192.0.2.1"));
    assert_eq!(world.addresses("web"), ["198.51.100.1"]);
}

/// TestControllerMutation: bogus assigned addresses, host names.
#[test]
fn what_is_ours_is_put_right_when_somebody_changes_it() {
    let foreign = entry(IngressPoint::Address(ip("192.0.2.1")));
    let name = entry(IngressPoint::Name("lb.example.com".into()));
    let free = entry(IngressPoint::Address(ip("198.51.100.50")));
    let own = || entry(IngressPoint::Address(ip("198.51.100.1")));
    for ingress in [
        vec![],
        vec![foreign.clone()],
        vec![name],
        vec![own(), foreign],
        vec![free],
        vec![Ingress { proxy_mode: true, ..own() }],
        vec![Ingress { has_ports: true, ..own() }],
    ] {
        let mut world = World::new(PUBLIC);
        world.create(v4("web"));
        world.writes();
        world.api.edit_status(&key("web"), |it| it.ingress.clone_from(&ingress));
        world.settle();
        assert_eq!(world.writes(), ["publish web [198.51.100.1]"], "{ingress:?}");
        assert_eq!(world.load_balancer("web").ingress, [own()]);
    }
}

#[test]
fn an_edited_condition_is_put_right() {
    let mut world = World::new(PUBLIC);
    world.create(v4("web"));
    world.writes();
    world.api.edit_status(&key("web"), |it| it.condition = None);
    world.settle();
    assert_eq!(world.writes(), ["condition of web: Assigned"]);
}

#[test]
fn while_metallb_runs_what_is_its_own_or_could_be_is_left_alone() {
    let running = |serves_classless| Some(MetalLb { serves_classless });
    let marked = || with(v4("web"), "198.51.100.9").annotated(MARK, "first");
    for (about, metallb, service, address) in [
        ("marked, not running: adopted", None, marked(), Some("198.51.100.9")),
        ("marked, running", running(true), marked(), None),
        ("marked, running for a class", running(false), marked(), None),
        ("new, running", running(true), v4("web"), None),
        ("new, running for a class", running(false), v4("web"), Some("198.51.100.1")),
        ("our class, running", running(true), v4("web").class("fairlead.dev/layer2"), Some("198.51.100.1")),
    ] {
        let mut world = World::new(PUBLIC);
        world.manager.ledger.set_metallb(metallb);
        world.create(service);
        let writes = world.writes();
        match address {
            Some(address) => assert_eq!(world.addresses("web"), [address], "{about}"),
            None => assert_eq!(writes, [] as [String; 0], "{about}"),
        }
        world.manager.ledger.set_metallb(None);
        world.manager.enqueue_affected();
        world.settle();
        assert_eq!(world.load_balancer("web").condition.as_ref().map(|it| it.ready), Some(true), "{about}");
    }
}

#[test]
fn what_we_serve_already_stays_ours_when_metallb_appears() {
    let mut world = World::new(PUBLIC);
    world.create(v4("web"));
    world.writes();
    world.manager.ledger.set_metallb(Some(MetalLb { serves_classless: true }));
    world.manager.enqueue_affected();
    world.settle();
    assert_eq!(world.writes(), [] as [String; 0]);
}

#[test]
fn our_condition_goes_from_what_another_serves_now() {
    let mut world = World::new(&[]);
    world.create(v4("web"));
    assert_eq!(world.reason("web"), "NoPool");
    world.api.edit_status(&key("web"), |it| it.ingress = vec![entry(IngressPoint::Address(ip("192.0.2.1")))]);
    world.settle();
    assert_eq!(world.load_balancer("web").condition, None);
    assert_eq!(world.addresses("web"), ["192.0.2.1"]);
}

/// What is not ours to give away is not given away.
#[test]
fn an_address_of_our_pools_that_somebody_else_uses_is_given_to_nobody() {
    let mut world = World::new(PUBLIC);
    world.create(with(v4("theirs").class("example.com/other"), "198.51.100.1"));
    world.create(v4("web"));
    assert_eq!(world.addresses("web"), ["198.51.100.2"]);
    world.create(v4("asks").annotated(crate::world::ADDRESSES, "198.51.100.1"));
    assert_eq!(world.reason("asks"), "AddressInUse");
}

/// What a Service asks for is no proof that it has it of us: another implementation may be asked the same way.
#[test]
fn an_address_outside_of_our_pools_that_was_asked_for_and_that_another_gave_is_left_alone() {
    let mut world = World::new(PUBLIC);
    world.create(v4("web").load_balancer(|it| it.requested_address = Some("192.0.2.1".into())));
    assert_eq!(world.reason("web"), "AddressNotInPool");
    world.api.edit_status(&key("web"), |it| it.ingress = vec![entry(IngressPoint::Address(ip("192.0.2.1")))]);
    world.settle();
    assert_eq!(world.load_balancer("web").condition, None);
    assert!(world.api.addresses.is_empty());
}
