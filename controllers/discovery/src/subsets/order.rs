//! The order of addresses: by text, then by the UID of what they stand for.

use std::cmp::Ordering;
use std::net::{IpAddr, Ipv4Addr};

use fairlead_objects::{EndpointAddress, EndpointIp, Uid};

use super::target_uid;

/// The rank of each octet among the texts of all: 0, 1, 10, 100, 101, ... The dot sorts before digits, so IPv4 addresses
/// sort as texts if they sort by the ranks of their octets, without texts being made.
const RANKS: [u8; 256] = {
    let mut ranks = [0; 256];
    let mut rank = 0_u8;
    let mut first = 0;
    // Each number is followed by those that it begins, one digit longer.
    while first < 10 {
        ranks[first] = rank;
        rank = rank.wrapping_add(1);
        let mut second = 0;
        while second < 10 && first > 0 {
            let two = first * 10 + second;
            ranks[two] = rank;
            rank = rank.wrapping_add(1);
            let mut third = 0;
            while third < 10 && two * 10 + third < 256 {
                ranks[two * 10 + third] = rank;
                rank = rank.wrapping_add(1);
                third += 1;
            }
            second += 1;
        }
        first += 1;
    }
    ranks
};

fn rank(address: Ipv4Addr) -> [u8; 4] {
    address.octets().map(|octet| RANKS[usize::from(octet)])
}

/// Where an address sorts by its text.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum TextKey {
    /// Only if all have it.
    Ranks([u8; 4]),
    Text(String),
}

/// The addresses in order, and the new place of each.
pub(super) fn sort_addresses(addresses: Vec<EndpointAddress>) -> (Vec<EndpointAddress>, Vec<u32>) {
    let ranks = |address: &EndpointAddress| match address.ip {
        EndpointIp::Canonical(IpAddr::V4(address)) => Some(TextKey::Ranks(rank(address))),
        _ => None,
    };
    let texts = |address: &EndpointAddress| {
        TextKey::Text(match &address.ip {
            EndpointIp::Canonical(address) => address.to_string(),
            EndpointIp::Text(text) => text.to_string(),
        })
    };
    let keys: Option<Vec<TextKey>> = addresses.iter().map(ranks).collect();
    let keys = keys.unwrap_or_else(|| addresses.iter().map(texts).collect());
    let mut sorted: Vec<(TextKey, usize, EndpointAddress)> = keys
        .into_iter()
        .zip(addresses)
        .enumerate()
        .map(|(before, (key, address))| (key, before, address))
        .collect();
    sorted.sort_by(|(a, _, first), (b, _, second)| {
        a.cmp(b).then_with(|| by_uid(target_uid(first), target_uid(second)))
    });
    let mut places = vec![0; sorted.len()];
    for (now, (_, before, _)) in (0..).zip(&sorted) {
        places[*before] = now;
    }
    (sorted.into_iter().map(|(_, _, address)| address).collect(), places)
}

/// By text; none comes first.
fn by_uid(one: Option<&Uid>, other: Option<&Uid>) -> Ordering {
    match (one, other) {
        (Some(Uid::Uuid(one)), Some(Uid::Uuid(other))) => one.cmp(other),
        _ => one.map(ToString::to_string).cmp(&other.map(ToString::to_string)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(ip: EndpointIp, uid: &str) -> EndpointAddress {
        let reference = fairlead_objects::ObjectRef { uid: Some(uid.into()), ..Default::default() };
        let target = Some(fairlead_objects::TargetRef::Other(Box::new(reference)));
        EndpointAddress { ip, hostname: None, node: None, target }
    }

    fn texts(address: &EndpointAddress) -> (String, String) {
        let ip = match &address.ip {
            EndpointIp::Canonical(ip) => ip.to_string(),
            EndpointIp::Text(text) => text.to_string(),
        };
        (ip, target_uid(address).map(ToString::to_string).unwrap_or_default())
    }

    fn check(addresses: Vec<EndpointAddress>) -> Result<(), TestCaseError> {
        let before: Vec<_> = addresses.iter().map(texts).collect();
        let (sorted, places) = sort_addresses(addresses);
        let after: Vec<_> = sorted.iter().map(texts).collect();
        prop_assert!(after.is_sorted(), "{after:?}");
        for (text, place) in before.iter().zip(places) {
            prop_assert_eq!(&after[place as usize], text);
        }
        Ok(())
    }

    #[test]
    fn octets_rank_as_their_texts_sort() {
        let mut texts: Vec<String> = (0..=255_u8).map(|octet| octet.to_string()).collect();
        texts.sort();
        let ranked: Vec<u8> = texts.iter().map(|text| RANKS[text.parse::<usize>().unwrap()]).collect();
        assert_eq!(ranked, (0..=255).collect::<Vec<u8>>());
    }

    proptest! {
        #[test]
        fn ipv4_addresses_sort_as_texts(list in proptest::collection::vec((any::<[u8; 4]>(), "[a-c]?"), 0..20)) {
            check(list.into_iter().map(|(ip, uid)| address(EndpointIp::Canonical(ip.into()), &uid)).collect())?;
        }

        #[test]
        fn mixed_addresses_sort_as_texts(list in proptest::collection::vec(
            prop_oneof!["[0-2]{1,3}\\.0\\.0\\.[0-9]", "f[a-d]0?::[0-9a-f]", "[a-c]", "7c3f0a4e-52bb-4d0e-9f0a-0123456789a[b-f]"], 0..20)
        ) {
            check(list.iter().map(|text| address(text.as_str().into(), text)).collect())?;
        }
    }
}
