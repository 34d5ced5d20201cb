//! Which of two claims is better, and who is first for an address.

use std::net::IpAddr;

use ring::digest::{SHA256, digest};

use crate::identity::{NodeId, Participant};

/// The first 8 bytes of the SHA-256 of an address: its place among all, and what its scores are made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct AddressHash(u64);

impl AddressHash {
    pub(super) fn of(address: IpAddr) -> Self {
        let hash = match address {
            IpAddr::V4(address) => digest(&SHA256, &address.octets()),
            IpAddr::V6(address) => digest(&SHA256, &address.octets()),
        };
        Self(first_eight(hash.as_ref()))
    }

    /// The rendezvous hash of a node for the address.
    ///
    /// Both parts are the beginnings of SHA-256 hashes; mixing them is a hundred times cheaper than to hash the two
    /// together, which a failover of thousands of addresses among hundreds of nodes would notice.
    pub(super) fn with(self, node: NodeId) -> u64 {
        let mut mixed = u64::from_be_bytes(node.0) ^ self.0.rotate_left(32);
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        mixed ^ (mixed >> 33)
    }

    /// The weighted rendezvous score of a node: with twice the weight it is the highest for twice as many addresses.
    #[expect(clippy::cast_precision_loss, reason = "the order of nearly equal scores does not matter")]
    pub(super) fn score(self, node: NodeId, weight: u16) -> f64 {
        let fraction = (self.with(node) as f64 + 0.5) / (u64::MAX as f64 + 1.0);
        // Rounded up to 1, the fraction would have no logarithm to divide by.
        -f64::from(weight) / fraction.min(1.0 - f64::EPSILON).ln()
    }
}

fn first_eight(hash: &[u8]) -> u64 {
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// What decides between two claims for an address. The greater one wins; two of different participants are never equal.
///
/// It is made of what the two frames say and of nothing else, so that both sides decide alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    majority: bool,
    epoch: u32,
    hash: u64,
    who: Participant,
}

impl Rank {
    pub(super) fn new(minority: bool, epoch: u32, address: AddressHash, who: Participant) -> Self {
        Self { majority: !minority, epoch, hash: address.with(who.node), who }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn addresses(count: u32) -> impl Iterator<Item = AddressHash> {
        (1..=count).map(|number| AddressHash::of(Ipv4Addr::from_bits(number).into()))
    }

    #[test]
    fn the_larger_side_wins_then_the_epoch_then_the_hash() {
        let address = AddressHash::of(Ipv4Addr::LOCALHOST.into());
        let [one, other] = ["a", "b"].map(|name| Participant { node: NodeId::of(name), link: 1 });
        let rank = |minority, epoch, who| Rank::new(minority, epoch, address, who);
        assert!(rank(false, 1, one) > rank(true, 9, other));
        assert!(rank(false, 2, one) > rank(false, 1, other));
        assert!(rank(true, 2, one) > rank(true, 1, other));
        let by_hash = address.with(one.node).cmp(&address.with(other.node));
        assert_eq!(rank(false, 1, one).cmp(&rank(false, 1, other)), by_hash);
        assert_ne!(rank(false, 1, one), rank(false, 1, Participant { link: 2, ..one }));
    }

    #[test]
    fn addresses_spread_over_nodes_by_their_weights() {
        let nodes = [("a", 100), ("b", 100), ("c", 200)].map(|(name, weight)| (NodeId::of(name), weight));
        let mut first = [0_i32; 3];
        for address in addresses(8000) {
            let score = |at: &usize| address.score(nodes[*at].0, nodes[*at].1);
            let best = (0..3).max_by(|one, other| score(one).total_cmp(&score(other))).unwrap();
            first[best] += 1;
        }
        // A share of a quarter of 8,000 varies by 39 (one standard deviation).
        assert!(first[0].abs_diff(2000) < 160, "{first:?}");
        assert!(first[1].abs_diff(2000) < 160, "{first:?}");
        assert!(first[2].abs_diff(4000) < 180, "{first:?}");
    }

    #[test]
    fn the_addresses_of_a_node_spread_over_the_others() {
        let nodes = ["a", "b", "c", "d"].map(NodeId::of);
        let mut second = [0_i32; 4];
        for address in addresses(8000) {
            let mut order: Vec<usize> = (0..4).collect();
            order.sort_by_key(|at| std::cmp::Reverse(address.with(nodes[*at])));
            if order[0] == 0 {
                second[order[1]] += 1;
            }
        }
        for count in &second[1..] {
            assert!(count.abs_diff(667) < 110, "{second:?}");
        }
    }
}
