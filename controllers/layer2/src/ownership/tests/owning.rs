//! Claims against claims, offers, probes, releases.

use super::*;

#[test]
fn the_better_claim_stays_and_the_worse_one_is_refuted() {
    for (epoch, yields) in [(1, None), (2, Some(true)), (0, Some(false))] {
        let mut scene = Scene::owning(1);
        scene.events();
        let mut other = Other::new("b").claiming(1, epoch);
        let sent = scene.wake(&other.says());
        // With equal numbers, the hashes decide.
        let hash = |name: &str| order::AddressHash::of(address(1)).with(NodeId::of(name));
        let yields = yields.unwrap_or(hash("b") > hash("own"));
        assert_eq!(scene.owned().is_empty(), yields, "epoch {epoch}");
        assert_eq!(sent.is_empty(), yields, "a worse claim is answered at once");
        if yields {
            assert_eq!(lost(&scene.events()), [LossCause::Yielded(participant("b"))]);
        }
    }
}

#[test]
fn a_claim_of_the_minority_is_worse() {
    let mut scene = Scene::owning(1);
    let mut other = Other::new("b").claiming(1, 9);
    other.round.header.flags.minority = true;
    scene.wake(&other.says());
    assert_eq!(scene.owned(), [address(1)]);
    other.round.header.flags.minority = false;
    scene.wake(&other.says());
    assert!(scene.owned().is_empty());
}

#[test]
fn who_can_not_be_heard_gives_way() {
    // (the rival is in the minority, after so long it is given way to)
    for (minority, periods) in [(false, 1), (true, 6)] {
        let mut scene = Scene::owning(1);
        let mut other = Other::new("b").claiming(1, 0);
        other.round.heard.clear();
        other.round.header.flags.minority = minority;
        let mut waited = 0;
        while !scene.owned().is_empty() {
            scene.wake(&other.says());
            scene.pass(50 * MS);
            waited += 50;
            assert!(waited < 3000);
        }
        assert!((200 * periods..=200 * periods + 100).contains(&waited), "{waited} ms");
        let unheard = LossCause::Unheard(participant("b"));
        assert!(lost(&scene.events()).contains(&unheard));
    }
}

#[test]
fn a_node_that_more_hear_than_the_rival_hears_stays() {
    let mut scene = Scene::owning(1);
    let mut deaf = Other::new("b").claiming(1, 0);
    deaf.round.heard.clear();
    let mut witness = Other::new("c");
    for _ in 0..20 {
        scene.wake(&witness.says());
        scene.wake(&deaf.says());
        scene.pass(100 * MS);
    }
    assert_eq!(scene.owned(), [address(1)]);
}

#[test]
fn an_offer_is_taken_with_a_higher_number() {
    let mut scene = Scene::owning(1);
    scene.election.want(address(2), Some(Arc::new(wanted())));
    let mut other = Other::new("b").claiming(2, 7).offering(2);
    other.round.header.flags.draining = true;
    let sent = scene.wake(&other.says());
    assert_eq!(scene.election.owned().last(), Some((address(2), 8)));
    let said: Vec<u32> =
        sent.iter().flat_map(|page| &page.ipv4.as_ref().unwrap().claims).map(|claim| claim.epoch).collect();
    assert_eq!(said, [1, 8], "it is said at once");
    let claimed = |event: &Event| matches!(event, Event::Claimed { cause: ClaimCause::Offer, .. });
    assert!(scene.events().iter().any(claimed));
}

#[test]
fn calm_offers_are_taken_only_below_the_cap() {
    // Of 8 addresses each of two takes 6.
    for (own, takes) in [(5, true), (6, false)] {
        let mut scene = Scene::owning(own);
        for number in own + 1..=8 {
            scene.election.want(address(number), Some(Arc::new(wanted())));
        }
        let mut other = Other::new("b");
        for number in own + 1..=8 {
            other = other.claiming(number, 3);
        }
        let mut other = other.offering(8);
        scene.wake(&other.says());
        assert_eq!(scene.owned().contains(&address(8)), takes, "with {own} already");
    }
}

#[test]
fn offers_of_what_may_not_be_had_are_refused_by_silence() {
    let nowhere = Wanted { own: Fitness::Unfit, ..wanted() };
    let elsewhere = Wanted { own: Fitness::Unfit, nodes: Some(Arc::new(HashSet::new())), ..wanted() };
    for refused in [nowhere, elsewhere] {
        let mut scene = Scene::owning(1);
        scene.election.want(address(2), Some(Arc::new(refused)));
        let mut other = Other::new("b").claiming(2, 7).offering(2);
        other.round.header.flags.draining = true;
        scene.wake(&other.says());
        assert_eq!(scene.owned(), [address(1)]);
    }
}

#[test]
fn an_offer_that_nobody_takes_goes_to_the_next() {
    let mut scene = Scene::owning(1);
    let mut others = ["b", "c"].map(Other::new);
    scene.wake(&others.each_mut().map(Other::says).concat());
    scene.election.drain(Duration::from_secs(5));
    let mut offered = Vec::new();
    for _ in 0..90 {
        scene.jump(10 * MS);
        let heard = others.each_mut().map(Other::says).concat();
        for offer in scene.wake(&heard).iter().flat_map(|page| &page.offers) {
            if offered.last() != Some(&offer.to) {
                offered.push(offer.to);
            }
        }
    }
    assert_eq!(offered.len(), 3, "each for 300 ms");
    assert_eq!(offered.iter().collect::<HashSet<_>>().len(), 2, "then the first again");
    assert!(scene.answers(1), "the owner answers all the while");
}

#[test]
fn an_address_is_probed_before_its_first_answer_only() {
    let probe = Wanted { probe: true, ..wanted() };
    let mut scene = Scene::owning(0);
    scene.election.want(address(1), Some(Arc::new(probe.clone())));
    let sent = scene.wake(&[]);
    assert!(sent.iter().any(|page| page.ipv4.as_ref().unwrap().claims[0].probing));
    assert!(!scene.answers(1));
    scene.election.probed(address(1));
    assert!(scene.answers(1));
    let sent = scene.wake(&[]);
    assert!(!sent[0].ipv4.as_ref().unwrap().claims[0].probing, "it is said at once");
    // Somebody answered for the second one already.
    scene.election.want(address(2), Some(Arc::new(probe)));
    let mut other = Other::new("b").claiming(2, 4);
    scene.wake(&other.says());
    other.round.claims.clear();
    other.round.header.flags.goodbye = true;
    scene.wake(&other.says());
    assert!(scene.answers(2));
}

#[test]
fn a_conflict_while_probing_releases() {
    let mut scene = Scene::owning(0);
    scene.election.want(address(1), Some(Arc::new(Wanted { probe: true, ..wanted() })));
    scene.wake(&[]);
    scene.election.conflicted(address(1));
    let sent = scene.wake(&[]);
    assert!(sent[0].ipv4.as_ref().unwrap().claims[0].released);
    scene.pass(4900 * MS);
    assert!(scene.owned().is_empty());
    scene.pass(200 * MS);
    assert_eq!(scene.owned(), [address(1)], "later it is asked for again");
}

#[test]
fn a_released_address_is_left_alone_unless_our_view_is_newer() {
    let released = |epoch| {
        let mut other = Other::new("b").claiming(2, epoch);
        other.round.claims[0].released = true;
        other
    };
    let mut scene = Scene::owning(1);
    scene.election.want(address(2), Some(Arc::new(wanted())));
    let mut owner = Other::new("b").claiming(2, 5);
    scene.wake(&owner.says());
    let mut gone = released(5);
    gone.round.header.seq = owner.round.header.seq;
    scene.wake(&gone.says());
    scene.pass(200 * MS);
    assert_eq!(scene.owned(), [address(1)], "the view may lag");
    scene.election.want(address(2), Some(Arc::new(Wanted { uid: "another".into(), ..wanted() })));
    scene.wake(&[]);
    scene.pass(250 * MS);
    assert_eq!(scene.owned(), [address(1), address(2)]);
    // Said again, it is still about the object that is gone.
    scene.wake(&gone.says());
    assert_eq!(scene.owned(), [address(1), address(2)]);
}

#[test]
fn nobody_has_an_address_without_any_endpoint() {
    let mut scene = Scene::owning(1);
    let nowhere = Wanted { own: Fitness::Unfit, nodes: Some(Arc::new(HashSet::new())), ..wanted() };
    scene.election.want(address(1), Some(Arc::new(nowhere)));
    assert!(!scene.answers(1));
    // As soon as there is one, it is taken.
    scene.election.want(address(1), Some(Arc::new(wanted())));
    scene.wake(&[]);
    assert!(scene.answers(1));
}

#[test]
fn claims_are_made_above_what_the_api_knows() {
    let mut scene = Scene::owning(0);
    scene.election.want(address(1), Some(Arc::new(Wanted { epoch: 41, ..wanted() })));
    scene.wake(&[]);
    assert_eq!(scene.election.owned().next(), Some((address(1), 42)));
}

#[test]
fn a_returning_node_makes_its_successor_announce() {
    let mut scene = Scene::owning(1);
    scene.election.want(address(2), Some(Arc::new(wanted())));
    let mut other = Other::new("b").claiming(2, 5);
    scene.wake(&other.says());
    scene.pass(700 * MS);
    assert_eq!(scene.owned(), [address(1), address(2)]);
    scene.events();
    scene.wake(&other.says());
    let events = scene.events();
    assert!(events.contains(&Event::PeerReturned(participant("b"))));
    assert!(events.contains(&Event::Announce { address: address(2) }));
    assert!(!events.contains(&Event::Announce { address: address(1) }));
    assert_eq!(scene.owned().len(), 2, "its claim is worse");
}

#[test]
fn soft_candidates_come_last_and_never_lose_what_nobody_else_takes() {
    let soft = Fitness::Fit { soft: true, preference: 0 };
    let mut scene = Scene::owning(1);
    scene.election.want(address(1), Some(Arc::new(Wanted { own: soft, ..wanted() })));
    scene.pass(2000 * MS);
    assert_eq!(scene.owned(), [address(1)]);
    // A firm one is first for a new address.
    let mut other = Other::new("b");
    scene.wake(&other.says());
    scene.election.want(address(2), Some(Arc::new(Wanted { own: soft, ..wanted() })));
    scene.wake(&[]);
    assert!(!scene.owned().contains(&address(2)));
    scene.pass(190 * MS);
    scene.wake(&other.says());
    scene.pass(20 * MS);
    assert!(scene.owned().contains(&address(2)), "it waited for a period in vain");
}

#[test]
fn an_address_of_a_new_class_waits_until_the_others_say_what_they_can_do_for_it() {
    // (what the other says about the class, whether this node takes the address then)
    let fit = |preference| Fitness::Fit { soft: false, preference };
    for (other_fitness, takes) in [(Some(fit(80)), false), (Some(fit(0)), true), (None, false)] {
        let mut scene = Scene::owning(0);
        let mut other = Other::new("b");
        scene.wake(&other.says());
        let class = wanted().class;
        let standing = Standing { classes: [(class, fit(60))].into(), ..Standing::default() };
        scene.election.set_standing(standing);
        scene.election.want(address(1), Some(Arc::new(Wanted { own: fit(60), ..wanted() })));
        scene.wake(&[]);
        assert!(scene.owned().is_empty(), "the other may be preferred");
        other.round.classes = other_fitness.map(|fitness| (class, fitness)).into_iter().collect();
        scene.pass(20 * MS);
        scene.wake(&other.says());
        assert_eq!(!scene.owned().is_empty(), takes, "{other_fitness:?}");
        // One that says nothing is not waited for any longer, nor is one that was to take it and does not.
        for _ in 0..2 {
            scene.pass(100 * MS);
            scene.wake(&other.says());
        }
        assert_eq!(scene.owned(), [address(1)], "{other_fitness:?}");
    }
}

#[test]
fn what_must_go_goes_first_to_whom_has_the_subnet() {
    let subnet = |address: [u8; 4]| Prefix { address: IpAddr::from(address), length: 24 };
    let (inside, outside) = (Some(vec![subnet([198, 51, 100, 0])]), Some(vec![subnet([203, 0, 113, 0])]));
    for (about, of_b, of_c, only) in [
        ("c has it", outside.clone(), inside.clone(), Some("c")),
        ("b has it", inside, Some(Vec::new()), Some("b")),
        ("neither has it", outside.clone(), outside.clone(), None),
        ("who does not say may have it", None, outside, Some("b")),
    ] {
        let mut scene = Scene::owning(20);
        let mut others = ["b", "c"].map(Other::new);
        for (other, subnets) in others.iter_mut().zip([of_b, of_c]) {
            other.round.subnets = subnets;
            scene.wake(&other.says());
        }
        scene.election.set_standing(Standing { weight: 0, ..Standing::default() });
        let offers: Vec<ShortId> =
            scene.wake(&[]).iter().flat_map(|page| &page.offers).map(|offer| offer.to).collect();
        assert_eq!(offers.len(), 20, "{about}");
        match only {
            Some(name) => assert!(offers.iter().all(|to| *to == short(name)), "{about}: {offers:?}"),
            None => assert!(["b", "c"].iter().all(|name| offers.contains(&short(name))), "{about}"),
        }
    }
}

#[test]
fn what_is_free_is_left_to_whom_has_the_subnet() {
    let subnet = |address: [u8; 4]| Some(vec![Prefix { address: IpAddr::from(address), length: 24 }]);
    for (subnets, least, most) in [(subnet([198, 51, 100, 0]), 0, 0), (subnet([203, 0, 113, 0]), 1, 19)] {
        let mut scene = Scene::owning(0);
        let mut other = Other::new("b");
        other.round.subnets.clone_from(&subnets);
        scene.wake(&other.says());
        // This node does not have the subnet.
        let own = Fitness::Fit { soft: true, preference: 0 };
        for number in 1..=20 {
            scene.election.want(address(number), Some(Arc::new(Wanted { own, ..wanted() })));
        }
        scene.wake(&[]);
        assert!((least..=most).contains(&scene.owned().len()), "{subnets:?}: {:?}", scene.owned());
    }
}

#[test]
fn subnets_are_stated_once_and_link_local_ones_are_not() {
    let mut scene = Scene::owning(0);
    let prefix = |text: &str, length| Prefix { address: text.parse().unwrap(), length };
    scene.election.set_addresses(&[
        prefix("fe80::1", 64),
        prefix("2001:db8::1", 64),
        prefix("198.51.100.8", 24),
        prefix("198.51.100.7", 24),
    ]);
    let stated = scene.wake(&[])[0].subnets.clone();
    assert_eq!(stated, Some(vec![prefix("198.51.100.0", 24), prefix("2001:db8::", 64)]));
    let many: Vec<Prefix> = (0..17).map(|number| prefix(&format!("10.{number}.0.1"), 16)).collect();
    scene.election.set_addresses(&many);
    assert_eq!(scene.wake(&[])[0].subnets, None, "too many to be stated");
}

#[test]
fn an_announcement_that_came_before_the_first_beacon_does_not_keep_an_address_when_its_owner_dies() {
    let mut scene = Scene::owning(1);
    let mut other = Other::new("b").claiming(1, 9);
    scene.wake(&other.says());
    scene.election.set_carrier(false);
    scene.pass(1900 * MS);
    // The interface runs again, and requests are read before beacons are.
    scene.election.set_carrier(true);
    scene.pass(60 * MS);
    assert_eq!(scene.election.fleet(other.round.header.mac).map(|member| member.live), Some(false));
    scene.election.evidence(address(1), other.round.header.mac);
    for _ in 0..15 {
        scene.wake(&other.says());
        scene.pass(100 * MS);
    }
    assert!(scene.owned().is_empty());
    scene.pass(330 * MS);
    assert_eq!(scene.owned(), [address(1)]);
}
