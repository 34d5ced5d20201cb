use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::ranges::Range;
use super::*;
use crate::arp::{Operation, Packet};
use crate::beacon::codec::{encode, tests::page};
use crate::beacon::keys::KeyRing;
use crate::{MacAddress, ethernet, ndp};

#[path = "../../tests/kernel/mod.rs"]
mod kernel;
use kernel::{Skb, accepts};

const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

/// What the kernel checks before it takes a program, and that two of them fit the memory that a socket may have.
fn check(program: &[Instruction]) {
    assert!(program.len() <= 4096, "{}", program.len());
    assert_eq!(program.last().map(|last| last.code), Some(code::RETURN));
    let mut converted = 16;
    for (at, instruction) in program.iter().enumerate() {
        let reach = match instruction.code {
            code::JUMP => usize::try_from(instruction.k).unwrap(),
            _ => usize::from(instruction.jt.max(instruction.jf)),
        };
        assert!(
            at + 1 + reach < program.len() || instruction.code == code::RETURN,
            "{at} leaves the program"
        );
        // As bpf_convert_filter does, at most.
        converted += match instruction.code {
            code::IF_EQUAL | code::IF_GREATER | code::IF_GREATER_OR_EQUAL => {
                let large = usize::from(i32::try_from(instruction.k).is_err());
                large + if instruction.jt == 0 || instruction.jf == 0 { 1 } else { 2 }
            }
            code::LOAD_WORD | code::LOAD_HALF | code::LOAD_OCTET => 5,
            code::RETURN => 2,
            _ => 1,
        };
    }
    assert!(2 * 8 * converted < 20_480, "{converted} instructions after conversion");
}

fn arp_frame(operation: Operation, sender: u32, target: u32) -> [u8; crate::arp::FRAME_LENGTH] {
    let packet = Packet {
        operation,
        sender_mac: MAC,
        sender: Ipv4Addr::from_bits(sender),
        target_mac: MacAddress::ZERO,
        target: Ipv4Addr::from_bits(target),
    };
    packet.frame(MacAddress::BROADCAST)
}

/// All that has to do with these addresses is to be heard.
fn about<Address: Clone>(addresses: impl IntoIterator<Item = Address>) -> About<Address> {
    let addresses: Vec<_> = addresses.into_iter().collect();
    About { asked: addresses.clone(), used: addresses }
}

fn arp_about(numbers: impl IntoIterator<Item = u32>) -> Vec<Instruction> {
    arp(&about(numbers.into_iter().map(Ipv4Addr::from_bits)))
}

/// Numbers that lie close together, as addresses of pools do, or anywhere.
fn numbers(most: usize) -> impl Strategy<Value = BTreeSet<u32>> {
    prop_oneof![
        btree_set(any::<u32>(), 0..most),
        (any::<u32>(), btree_set(0..2_000_u32, 0..most))
            .prop_map(|(base, all)| all.into_iter().map(|number| number.wrapping_add(base)).collect()),
        btree_set(prop_oneof![0..3_u32, u32::MAX - 2..=u32::MAX], 0..6),
    ]
}

proptest! {
    #[test]
    fn ranges_hold_all_numbers_and_little_else(numbers in numbers(400), most in 1..50_usize) {
        let ranges = aggregate(numbers.iter().copied().collect(), most);
        prop_assert!(ranges.len() <= most);
        prop_assert!(ranges.is_sorted_by(|one, next| one.high < next.low - 1 && one.low <= one.high));
        let holds = |number| ranges.iter().any(|range| (range.low..=range.high).contains(&number));
        prop_assert!(numbers.iter().all(|number| holds(*number)));
        let ends = |range: &Range| numbers.contains(&range.low) && numbers.contains(&range.high);
        prop_assert!(ranges.iter().all(ends));
        // What was joined has not more between it than what was not.
        let gap = |from: u32, to: u32| to - from;
        let between = ranges.windows(2).map(|pair| gap(pair[0].high, pair[1].low)).min();
        let inside = numbers.iter().zip(numbers.iter().skip(1)).filter(|(from, to)| {
            ranges.iter().any(|range| range.low <= **from && **to <= range.high)
        });
        let inside = inside.map(|(from, to)| gap(*from, *to)).max();
        prop_assert!(inside.is_none_or(|inside| inside == 1 || between.is_none_or(|between| inside <= between)));
    }

    #[test]
    fn arp_about_wanted_addresses_is_never_lost(
        wanted in numbers(700),
        which in any::<prop::sample::Index>(),
        other in any::<u32>(),
        reply in any::<bool>(),
    ) {
        let program = arp_about(wanted.iter().copied());
        check(&program);
        let operation = if reply { Operation::Reply } else { Operation::Request };
        if !wanted.is_empty() {
            let address = *wanted.iter().nth(which.index(wanted.len())).unwrap();
            prop_assert!(accepts(&program, &arp_frame(operation, other, address)[..]));
            prop_assert!(accepts(&program, &arp_frame(operation, address, other)[..]));
        }
        let ranges = aggregate(wanted.into_iter().collect(), MOST_RANGES);
        for near in [other, other.wrapping_add(1), ranges.first().map_or(0, |range| range.low.wrapping_sub(1))] {
            let inside = ranges.iter().any(|range| (range.low..=range.high).contains(&near));
            prop_assert_eq!(accepts(&program, &arp_frame(operation, near, near)[..]), inside);
        }
    }

    #[test]
    fn questions_for_the_addresses_of_other_nodes_wake_nobody(
        base in any::<u32>(),
        owners in vec(0..3_u8, 1..5_000),
        which in any::<prop::sample::Index>(),
    ) {
        let base = base.min(u32::MAX - 5_000);
        let all = || (base..).zip(&owners);
        let asked: Vec<_> = all().filter(|(_, owner)| **owner == 0).map(|(it, _)| it.into()).collect();
        let program = arp(&About { asked, used: all().map(|(it, _)| Ipv4Addr::from_bits(it)).collect() });
        check(&program);
        let nobody = base.wrapping_sub(1);
        for at in [0, owners.len() - 1, which.index(owners.len())] {
            let address = base + u32::try_from(at).unwrap();
            let request = arp_frame(Operation::Request, nobody, address);
            prop_assert_eq!(accepts(&program, &request[..]), owners[at] == 0);
            let user = arp_frame(Operation::Request, address, nobody);
            prop_assert!(accepts(&program, &user[..]), "whoever uses one is noticed");
        }
        for outside in [nobody, base + u32::try_from(owners.len()).unwrap()] {
            let request = arp_frame(Operation::Request, nobody, outside);
            prop_assert!(!accepts(&program, &request[..]));
        }
    }

    #[test]
    fn scattered_addresses_are_told_apart_as_long_as_there_is_room(numbers in numbers(700), other in any::<u32>()) {
        let asked = numbers.iter().copied().map(Ipv4Addr::from_bits).collect();
        let program = arp(&About { asked, used: Vec::new() });
        check(&program);
        let in_order: Vec<_> = numbers.iter().copied().collect();
        let is_exact = blocks::blocks(&in_order).len() <= MOST_BLOCKS;
        for number in numbers.iter().copied().take(99).chain([other]) {
            for near in [number, number ^ 1, number ^ 32, number.wrapping_add(33)] {
                let passes = accepts(&program, &arp_frame(Operation::Request, !near, near)[..]);
                prop_assert!(passes == numbers.contains(&near) || passes && !is_exact);
            }
        }
    }

    #[test]
    fn solicitations_need_the_owner_and_advertisements_anybody(
        owned in btree_set(0..3_000_u16, 1..900),
        which in 0..3_000_u16,
    ) {
        let address = |last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
        let asked = owned.iter().map(|last| address(*last)).collect();
        let about = About { asked, used: (0..3_000).map(address).collect() };
        let program = ipv6(&about, ClusterId([1; 8]));
        check(&program);
        let is_heard = accepts(&program, &ndp::probe(MAC, address(which), [1; 6])[..]);
        prop_assert_eq!(is_heard, owned.contains(&which));
        let advertisement = crate::responder::unsolicited(address(which), MAC, address(1));
        prop_assert!(accepts(&program, &advertisement[..]));
    }

    #[test]
    fn each_user_and_its_neighbours_are_told_apart(wanted in numbers(300)) {
        let ranges = aggregate(wanted.iter().copied().collect(), MOST_RANGES);
        let used = wanted.into_iter().map(Ipv4Addr::from_bits).collect();
        let program = arp(&About { asked: Vec::new(), used });
        for bound in ranges.iter().flat_map(|range| [range.low, range.high]) {
            for number in [bound.wrapping_sub(1), bound, bound.wrapping_add(1)] {
                let inside = ranges.iter().any(|range| (range.low..=range.high).contains(&number));
                let passes = accepts(&program, &arp_frame(Operation::Request, number, 0x7f00_0001)[..]);
                prop_assert_eq!(passes, inside);
            }
        }
    }

    #[test]
    fn neighbours_that_ask_for_wanted_addresses_are_never_lost(
        wanted in btree_set(
            prop_oneof![any::<u128>(), (0..20_u128, 0..2000_u128).prop_map(|(net, host)| net << 64 | host)],
            1..700,
        ),
        which in any::<prop::sample::Index>(),
        source in any::<u128>(),
        other in any::<u128>(),
    ) {
        let program = ipv6(&about(wanted.iter().copied().map(Ipv6Addr::from_bits)), ClusterId([1; 8]));
        check(&program);
        let target = Ipv6Addr::from_bits(*wanted.iter().nth(which.index(wanted.len())).unwrap());
        let probe = ndp::probe(MAC, target, [1; 6]);
        prop_assert!(accepts(&program, &probe[..]));
        let advertisement = ndp::Advertisement {
            source: source.into(),
            destination: ndp::ALL_NODES,
            target,
            target_mac: None,
            router: false,
            solicited: false,
            overrides: true,
        };
        prop_assert!(accepts(&program, &advertisement.frame(MAC, MAC)[..]));
        let other = Ipv6Addr::from_bits(other);
        let prefixes = wanted.iter().map(|address| address >> 32).collect::<BTreeSet<_>>();
        if prefixes.len() <= MOST_PREFIXES && !prefixes.contains(&(other.to_bits() >> 32)) {
            prop_assert!(!accepts(&program, &ndp::probe(MAC, other, [1; 6])[..]));
        }
    }

    #[test]
    fn no_bytes_leave_a_program(frame in vec(any::<u8>(), 0..100), wanted in numbers(300)) {
        let addresses = || wanted.iter().copied();
        accepts(&arp_about(addresses()), &frame[..]);
        accepts(&ipv6(&about(addresses().map(|number| Ipv6Addr::from_bits(number.into()))), ClusterId([1; 8])), &frame[..]);
        accepts(&ipv4(ClusterId([1; 8])), &frame[..]);
        accepts(&beacons(ether_type::BEACON, ClusterId([1; 8])), &frame[..]);
    }
}

#[test]
fn nothing_wanted_accepts_nothing() {
    let program = arp(&About::NOTHING);
    check(&program);
    assert!(!accepts(&program, &arp_frame(Operation::Request, 0, 0)[..]));
    let neighbours = ipv6(&About::NOTHING, ClusterId([1; 8]));
    check(&neighbours);
    assert!(!accepts(&neighbours, &ndp::probe(MAC, Ipv6Addr::UNSPECIFIED, [1; 6])[..]));
}

#[test]
fn what_is_not_of_this_segment_is_rejected() {
    let program = arp(&about([Ipv4Addr::new(198, 51, 100, 7)]));
    let frame = arp_frame(Operation::Request, 1, 0xc633_6407);
    let skb = |vlan, packet_type| Skb { frame: &frame, vlan, packet_type };
    // To us, to all, to a group.
    for packet_type in 0..3 {
        assert!(accepts(&program, skb(false, packet_type)));
    }
    assert!(!accepts(&program, skb(true, 0)));
    assert!(!accepts(&program, skb(false, FOR_ANOTHER_HOST)));
    let tagged = [&frame[..12], &[0x81, 0, 0, 7], &frame[12..]].concat();
    assert!(!accepts(&program, &tagged[..]));
    for (at, value) in [(15, 6), (16, 0x86), (18, 8), (19, 16)] {
        let mut other = frame;
        other[at] = value;
        assert!(!accepts(&program, &other[..]), "octet {at}");
    }
    let padded = [&frame[..], &[0; 18]].concat();
    assert!(accepts(&program, &padded[..]));
}

#[test]
fn neighbours_are_heard_by_their_rules() {
    let address: Ipv6Addr = "2001:db8::7".parse().unwrap();
    let program = ipv6(&about([address, "2001:db8:1::7".parse().unwrap()]), ClusterId([1; 8]));
    let frame = ndp::probe(MAC, address, [1; 6]);
    assert!(accepts(&program, &frame[..]));
    for (at, value) in [(20, 6), (21, 64), (54, 134), (62, 0x30), (77, 8)] {
        let mut other = frame;
        other[at] = value;
        assert!(!accepts(&program, &other[..]), "octet {at}");
    }
}

#[test]
fn beacons_of_this_cluster_pass_in_each_form() {
    let cluster = ClusterId::of("here");
    let mut beacon = Vec::new();
    encode(&page(), cluster, &KeyRing::insecure(), &mut beacon);
    let mut plain = Vec::new();
    ethernet::write_header(MacAddress::BROADCAST, MAC, ether_type::BEACON, &mut plain);
    plain.extend(&beacon);
    let link_local = udp::frame(MAC, Ipv6Addr::LOCALHOST.into(), &beacon);
    let in_ipv4 = udp::frame(MAC, Ipv4Addr::LOCALHOST.into(), &beacon);
    let programs =
        |cluster| [beacons(ether_type::BEACON, cluster), ipv6(&About::NOTHING, cluster), ipv4(cluster)];
    let forms = [(&plain, 14), (&link_local, 62), (&in_ipv4, 42)];
    for (here, (form, start)) in programs(cluster).iter().zip(forms) {
        check(here);
        assert!(accepts(here, &form[..]));
        // Another version is counted, so it has to pass.
        for (at, passes) in [(0, false), (4, true), (8, false), (15, false), (16, true)] {
            let mut other = form.clone();
            other[start + at] ^= 0x40;
            assert_eq!(accepts(here, &other[..]), passes, "octet {at} of {start}");
        }
    }
    for (elsewhere, (form, _)) in programs(ClusterId::of("elsewhere")).iter().zip(forms) {
        assert!(!accepts(elsewhere, &form[..]));
    }
    let mut fragment = in_ipv4.clone();
    fragment[20] = 0x20;
    assert!(!accepts(&ipv4(cluster), &fragment[..]));
}
