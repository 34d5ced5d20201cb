//! What Services ask for, and what becomes of what they have when that changes.

use crate::world::{ADDRESSES, POOL, With, World, annotate, ip, pool, v4, v6};
use fairlead_crds::Requests;
use fairlead_loadbalancer::records::Pool;
use fairlead_objects::Service;

const POOLS: &[(&str, &[&str])] =
    &[("one", &["198.51.100.0/24", "2001:db8::/64"]), ("two", &["203.0.113.0/24"])];

fn asking(field: Option<&str>, annotations: &[(&str, &str)]) -> Service {
    let service = v4("web").load_balancer(|it| it.requested_address = field.map(Into::into));
    annotations.iter().fold(service, |service, (key, value)| service.annotated(key, value))
}

/// TestControllerMutation: fixed addresses and pools, by field and annotation.
#[test]
fn an_address_or_a_pool_can_be_asked_for() {
    for (field, annotations, address) in [
        (Some("203.0.113.9"), &[][..], "203.0.113.9"),
        (None, &[(ADDRESSES, "203.0.113.9")], "203.0.113.9"),
        (None, &[("metallb.io/loadBalancerIPs", "203.0.113.9")], "203.0.113.9"),
        (None, &[("metallb.universe.tf/loadBalancerIPs", "203.0.113.9")], "203.0.113.9"),
        (Some("203.0.113.9"), &[(ADDRESSES, "203.0.113.9")], "203.0.113.9"),
        (None, &[(POOL, "two")], "203.0.113.1"),
        (None, &[("metallb.io/address-pool", "two")], "203.0.113.1"),
        (None, &[("metallb.universe.tf/address-pool", "two")], "203.0.113.1"),
        (None, &[(POOL, "two"), (ADDRESSES, "203.0.113.9")], "203.0.113.9"),
        (None, &[], "198.51.100.1"),
    ] {
        let mut world = World::new(POOLS);
        world.create(asking(field, annotations));
        assert_eq!(world.addresses("web"), [address], "{field:?} {annotations:?}");
        assert_eq!(world.reason("web"), "Assigned");
    }
}

/// TestControllerMutation: what cannot be had; each keeps a working address, and is told why.
#[test]
fn an_impossible_wish_changes_a_condition_and_not_the_address() {
    for (field, annotations, reason, words) in [
        (
            Some("x"),
            &[][..],
            "InvalidRequest",
            "spec.loadBalancerIP has \"x\", which is not an IP address; write one such as 198.51.100.7",
        ),
        (
            None,
            &[(ADDRESSES, "x")],
            "InvalidRequest",
            "annotation fairlead.dev/addresses has \"x\", which is not an IP address; write one such as 198.51.100.7",
        ),
        (
            None,
            &[(ADDRESSES, "198.51.100.7,198.51.100.8")],
            "InvalidRequest",
            "annotation fairlead.dev/addresses has two IPv4 addresses; write one of each family at most",
        ),
        (
            Some("198.51.100.7"),
            &[(ADDRESSES, "198.51.100.8")],
            "InvalidRequest",
            "spec.loadBalancerIP asks for 198.51.100.7, and annotation fairlead.dev/addresses for something else; \
             remove one of them",
        ),
        (
            None,
            &[(ADDRESSES, "192.0.2.1")],
            "AddressNotInPool",
            "192.0.2.1 is in no LoadBalancerPool; ask for an address of one, or for none",
        ),
        (
            None,
            &[(ADDRESSES, "198.51.100.0")],
            "AddressNotInPool",
            "198.51.100.0 lies in pool one, but is the network address there; ask for another one",
        ),
        (
            None,
            &[(ADDRESSES, "198.51.100.7"), (POOL, "two")],
            "AddressNotInPool",
            "198.51.100.7 is in pool one, but pool two is asked for as well; remove one of the two",
        ),
        (None, &[(POOL, "three")], "NoPool", "there is no LoadBalancerPool three"),
        (
            None,
            &[(ADDRESSES, "2001:db8::7")],
            "InvalidRequest",
            "2001:db8::7 is an IPv6 address, and the Service has only the family IPv4",
        ),
        (
            None,
            &[(ADDRESSES, "198.51.100.99")],
            "AddressInUse",
            "198.51.100.99 is in use by Service shop/other",
        ),
    ] {
        let mut world = World::new(POOLS);
        world.create(v4("other").annotated(ADDRESSES, "198.51.100.99"));
        world.create(asking(field, annotations));
        assert!(world.addresses("web").is_empty(), "{field:?} {annotations:?}");
        assert_eq!(world.told("web"), (reason.into(), words.into()));
        assert_eq!(world.api.addresses.len(), 1, "nothing is held for it");

        let mut world = World::new(POOLS);
        world.create(v4("other").annotated(ADDRESSES, "198.51.100.99"));
        world.create(v4("web"));
        world.edit("web", |it| {
            *it = Service {
                uid: it.uid.clone(),
                created: it.created,
                load_balancer: {
                    let status = it.load_balancer.take().unwrap();
                    let mut asked = asking(field, annotations).load_balancer.unwrap();
                    (asked.ingress, asked.condition) = (status.ingress, status.condition);
                    Some(asked)
                },
                ..it.clone()
            }
        });
        assert_eq!(world.addresses("web"), ["198.51.100.1"], "{field:?} {annotations:?}");
        assert_eq!(world.told("web"), (reason.into(), format!("keeps 198.51.100.1: {words}")));
        assert_eq!(world.holders("198.51.100.1"), Some(vec!["web".into()]));

        // With the wish gone, all is well again, and nothing but the condition was touched.
        world.writes();
        world.edit("web", |it| {
            let load_balancer = it.load_balancer.as_mut().unwrap();
            load_balancer.requested_address = None;
            load_balancer.annotations = fairlead_objects::Labels::default();
        });
        assert_eq!(world.writes(), ["condition of web: Assigned"]);
        assert_eq!(world.message("web"), "198.51.100.1 from pool one");
    }
}

/// B6b the other way round, and TestControllerMutation: switch to another named pool.
#[test]
fn a_wish_that_can_be_met_is_met_before_anything_is_given_up() {
    let mut world = World::new(POOLS);
    world.create(v4("web"));
    world.writes();
    world.edit("web", |it| annotate(it.load_balancer.as_mut().unwrap(), POOL, "two"));
    assert_eq!(
        world.writes(),
        ["create 203.0.113.1 for web", "publish web [203.0.113.1]", "delete 198.51.100.1"]
    );
    world.edit("web", |it| {
        let load_balancer = it.load_balancer.as_mut().unwrap();
        annotate(load_balancer, POOL, "");
        annotate(load_balancer, ADDRESSES, "198.51.100.50");
    });
    assert_eq!(
        world.writes(),
        ["create 198.51.100.50 for web", "publish web [198.51.100.50]", "delete 203.0.113.1"]
    );
    // Without a wish it stays where it is.
    world.edit("web", |it| annotate(it.load_balancer.as_mut().unwrap(), ADDRESSES, ""));
    assert_eq!(world.addresses("web"), ["198.51.100.50"]);
}

#[test]
fn a_full_pool_that_is_asked_for_is_waited_for() {
    let mut world = World::new(&[("one", &["198.51.100.0/24"]), ("two", &["203.0.113.7-203.0.113.7"])]);
    world.create(v4("first").annotated(POOL, "two"));
    world.create(v4("web"));
    world.edit("web", |it| annotate(it.load_balancer.as_mut().unwrap(), POOL, "two"));
    assert_eq!(world.message("web"), "keeps 198.51.100.1: no free IPv4 address in pool two");
    world.delete("first");
    assert_eq!(world.addresses("web"), ["203.0.113.7"]);
    assert_eq!(world.api.addresses.len(), 1);
}

#[test]
fn pools_may_refuse_requests() {
    let mut world = World::new(&[]);
    world.api.put_pool(Pool { requests: Requests::Denied, ..pool("public", &["198.51.100.0/24"]) });
    world.create(v4("web").annotated(ADDRESSES, "198.51.100.7"));
    assert_eq!(
        world.told("web"),
        (
            "NotPermitted".into(),
            "198.51.100.7 is in pool public, whose addresses cannot be asked for, only reserved; remove the request"
                .into()
        )
    );
    world.create(v4("other").annotated(POOL, "public"));
    assert_eq!(world.addresses("other"), ["198.51.100.1"], "the pool may be named all the same");
    world.edit("web", |it| annotate(it.load_balancer.as_mut().unwrap(), ADDRESSES, ""));
    assert_eq!(world.addresses("web"), ["198.51.100.2"]);
}

#[test]
fn the_observed_generation_follows_the_service() {
    let mut world = World::new(POOLS);
    world.create(v6("web"));
    world.edit("web", |it| it.publish_not_ready = true);
    let load_balancer = world.load_balancer("web");
    assert_eq!(load_balancer.condition.as_ref().unwrap().observed_generation, load_balancer.generation);
    assert!(world.api.addresses.contains_key(&ip("2001:db8::1")));
}
