use proptest::prelude::*;

use super::*;
use crate::testing::noon;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Every refusal in words, and under which reason.
#[test]
fn refusals_say_what_is_in_the_way_and_what_to_do() {
    let address = ip("198.51.100.7");
    let pool = || Istr::from("public");
    let key = |namespace: &str, name: &str| ObjectKey::new(namespace, name);
    let refusals = [
        (Refusal::Invalid("as it is".into()), "InvalidRequest: as it is"),
        (
            Refusal::OneFamilyOnly(Family::V4),
            "InvalidRequest: ipFamilyPolicy is RequireDualStack, but the Service has only the family IPv4; the cluster \
             has to be dual-stack for it",
        ),
        (
            Refusal::WrongFamily { address, only: Family::V6 },
            "InvalidRequest: 198.51.100.7 is an IPv4 address, and the Service has only the family IPv6",
        ),
        (Refusal::NoFamily, "InvalidRequest: the Service has no IP family; give it a ClusterIP"),
        (
            Refusal::InNoPool(address),
            "AddressNotInPool: 198.51.100.7 is in no LoadBalancerPool; ask for an address of one, or for none",
        ),
        (
            Refusal::Unassignable { address, pool: pool(), why: Unassignable::Excluded },
            "AddressNotInPool: 198.51.100.7 lies in pool public, but is excluded there; ask for another one",
        ),
        (
            Refusal::Unassignable { address, pool: pool(), why: Unassignable::SubnetRouterAnycast },
            "AddressNotInPool: 198.51.100.7 lies in pool public, but is the subnet-router anycast address there; ask \
             for another one",
        ),
        (
            Refusal::InOtherPool { address, pool: pool(), wanted: "private".into() },
            "AddressNotInPool: 198.51.100.7 is in pool public, but pool private is asked for as well; remove one of \
             the two",
        ),
        (Refusal::UnknownPool(pool()), "NoPool: there is no LoadBalancerPool public"),
        (
            Refusal::PoolNotForService(pool()),
            "NotPermitted: pool public is for other namespaces or Services (its serviceAllocation)",
        ),
        (
            Refusal::Draining(pool()),
            "NotPermitted: pool public is being drained, nothing new is assigned from it",
        ),
        (
            Refusal::RequestsDenied { address, pool: pool() },
            "NotPermitted: 198.51.100.7 is in pool public, whose addresses cannot be asked for, only reserved; remove \
             the request",
        ),
        (
            Refusal::Reserved { address, reservation: key("shop", "keep"), whom: Some("web".into()) },
            "NotPermitted: 198.51.100.7 is reserved for Service shop/web (ServiceReservation shop/keep)",
        ),
        (
            Refusal::Reserved { address, reservation: key("shop", "keep"), whom: None },
            "NotPermitted: 198.51.100.7 is reserved for Services of namespace shop (ServiceReservation shop/keep)",
        ),
        (
            Refusal::InUse { address, by: key("shop", "web"), objection: None },
            "AddressInUse: 198.51.100.7 is in use by Service shop/web",
        ),
        (
            Refusal::InUse {
                address,
                by: key("shop", "web"),
                objection: Some(Objection::Consent(key("bank", "api"))),
            },
            "AddressInUse: 198.51.100.7 is in use by Service shop/web, and cannot be shared: Service bank/api does not \
             agree to share across namespaces (annotation fairlead.dev/share-with-namespaces)",
        ),
        (
            Refusal::Cooling { address, until: noon() },
            "AddressInUse: 198.51.100.7 was released a short time ago, and is kept free until 2026-01-01T12:00:00Z",
        ),
        (
            Refusal::Quota { namespace: "shop".into(), pool: pool(), quota: 3 },
            "QuotaExceeded: namespace shop may have 3 addresses of pool public, and has them already",
        ),
        (
            Refusal::Exhausted { family: Family::V4, pools: vec![pool()] },
            "PoolExhausted: no free IPv4 address in pool public",
        ),
        (
            Refusal::Exhausted { family: Family::V6, pools: vec!["a".into(), "b".into()] },
            "PoolExhausted: no free IPv6 address in pools a, b",
        ),
        (
            Refusal::FamilyInNoPool { family: Family::V6, pools: vec![pool()] },
            "NoPool: no IPv6 addresses at all in pool public",
        ),
        (Refusal::NoPools, "NoPool: there is no LoadBalancerPool yet"),
        (
            Refusal::NoPoolForService,
            "NoPool: no LoadBalancerPool is for this Service; name one by the annotation fairlead.dev/pool",
        ),
    ];
    for (refusal, words) in refusals {
        assert_eq!(format!("{}: {}", refusal.reason().as_str(), refusal.words()), words);
    }
}

fn told(address: &str, pool: &str, note: Option<Note>) -> Told {
    Told { address: ip(address), pool: pool.into(), note }
}

#[test]
fn what_is_assigned_is_told_with_its_pool_and_what_becomes_of_it() {
    let stuck = |why| Some(Note::Stuck { why, refusal: "no free IPv4 address in pool b".into() });
    let moving = |pool: &str| Some(Note::MovingFrom { address: ip("203.0.113.9"), pool: pool.into() });
    for (addresses, words) in [
        (vec![told("198.51.100.7", "a", None)], "198.51.100.7 from pool a"),
        (
            vec![told("198.51.100.7", "a", None), told("2001:db8::7", "a", None)],
            "198.51.100.7 and 2001:db8::7 from pool a",
        ),
        (
            vec![told("198.51.100.7", "a", None), told("2001:db8::7", "b", None)],
            "198.51.100.7 from pool a; 2001:db8::7 from pool b",
        ),
        (
            vec![told("198.51.100.7", "a", moving("old"))],
            "198.51.100.7 from pool a, moving from 203.0.113.9 of pool old to 198.51.100.7",
        ),
        (
            vec![told("198.51.100.7", "a", moving("")), told("2001:db8::7", "a", None)],
            "198.51.100.7 from pool a, moving from 203.0.113.9 to 198.51.100.7; 2001:db8::7 from pool a",
        ),
        (
            vec![told("198.51.100.7", "a", Some(Note::DrainingButWanted))],
            "198.51.100.7 from pool a, which is being drained, but is asked for",
        ),
        (vec![told("198.51.100.7", "", Some(Note::InNoPool))], "198.51.100.7, which is in no pool any more"),
        (
            vec![told("198.51.100.7", "a", stuck(Misplaced::Draining))],
            "198.51.100.7 from pool a, which is being drained; there is no other place: no free IPv4 address in pool b",
        ),
        (
            vec![told("198.51.100.7", "a", stuck(Misplaced::OutsidePool))],
            "198.51.100.7, which pool a no longer has; there is no other place: no free IPv4 address in pool b",
        ),
        (
            vec![told("198.51.100.7", "a", stuck(Misplaced::NotForService))],
            "198.51.100.7 from pool a, which is for others now; there is no other place: no free IPv4 address in pool b",
        ),
    ] {
        let said = assigned(&addresses);
        assert_eq!(said, words);
        assert!(addresses.iter().all(|it| claims(&condition(true, &said), it.address)), "{said}");
    }
}

fn condition(ready: bool, message: &str) -> ServiceCondition {
    ServiceCondition {
        ready,
        reason: "Assigned".into(),
        message: message.into(),
        observed_generation: 0,
        last_transition: None,
    }
}

#[test]
fn a_condition_claims_what_its_service_has_and_not_what_it_asks_for() {
    for (ready, message, address, claimed) in [
        (true, "198.51.100.7 from pool a; 2001:db8::7 from pool b", "198.51.100.7", true),
        (true, "198.51.100.7 from pool a; 2001:db8::7 from pool b", "2001:db8::7", true),
        (true, "198.51.100.7, which is in no pool any more", "198.51.100.7", true),
        (true, "198.51.100.70 from pool a", "198.51.100.7", false),
        (true, "1198.51.100.7 from pool a", "198.51.100.7", false),
        (true, "2001:db8::77 from pool a", "2001:db8::7", false),
        (false, "keeps 198.51.100.7: 192.0.2.1 is in no LoadBalancerPool", "198.51.100.7", true),
        (false, "keeps 198.51.100.7: 192.0.2.1 is in no LoadBalancerPool", "192.0.2.1", false),
        (false, "keeps 2001:db8::: there is no LoadBalancerPool x", "2001:db8::", true),
        (false, "keeps 198.51.100.7 and 2001:db8::7: x", "2001:db8::7", true),
        (false, "192.0.2.1 is in no LoadBalancerPool; ask for an address of one", "192.0.2.1", false),
        (false, "198.51.100.7 is in use by Service shop/web", "198.51.100.7", false),
        (false, "", "198.51.100.7", false),
    ] {
        assert_eq!(claims(&condition(ready, message), ip(address)), claimed, "{message:?} {address}");
    }
}

proptest! {
    #[test]
    fn whatever_is_assigned_or_kept_is_claimed(v4: u32, v6: u128, pool in "[a-z]{0,5}", other in "[a-z]{1,5}") {
        let (v4, v6) = (IpAddr::V4(v4.into()), IpAddr::V6(v6.into()));
        let one = |address, pool: &str| Told { address, pool: pool.into(), note: None };
        for told in [vec![one(v4, &pool)], vec![one(v4, &pool), one(v6, &pool)], vec![one(v4, &pool), one(v6, &other)]] {
            let addresses: Vec<IpAddr> = told.iter().map(|it| it.address).collect();
            for condition in [condition(true, &assigned(&told)), condition(false, &keeps(&addresses, "something"))] {
                for address in &addresses {
                    prop_assert!(claims(&condition, *address), "{}", condition.message);
                }
            }
        }
    }
}
