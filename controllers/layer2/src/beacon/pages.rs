//! How a round is cut into pages.
//!
//! The ranges of the pages cover all addresses of a family without a gap or an overlap, so that whoever has heard each page
//! knows every claim, and whoever missed one keeps what it knew of that range alone.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::codec::subnets_length;
use super::{Claim, Claims, Header, Offer, Page, Stale};
use crate::identity::ShortId;
use crate::link::Prefix;
use crate::wanted::{ClassId, Fitness};

/// The most pages that a round has.
pub const MAX_PAGES: usize = 128;
/// The bytes of a page before its sections.
const HEADER: usize = 50;
/// The bytes of the tag at its end.
const TAG: usize = 16;
/// The bytes before the value of a section.
const SECTION: usize = 3;
/// The bytes of an IPv4 address with the number of the claim, or with the successor.
const IPV4: usize = 8;
/// The bytes of an IPv6 address with the number of the claim, or with the successor.
const IPV6: usize = 20;
/// The bytes of a short id in a list.
const SHORT_ID: usize = 4;
/// The bytes of a round that was ignored.
const STALE: usize = 16;
/// The bytes of what a node can do for a class.
const CLASS: usize = 7;
/// The most rounds that a page says were ignored.
const MAX_STALE: usize = 4;
/// The most classes that a node states.
const MAX_CLASSES: usize = 64;

/// All that a node says at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// What each page begins with; the numbers of the pages are filled in.
    pub header: Header,
    /// The claims, in the order of their addresses.
    pub claims: Vec<Claim>,
    /// To whom claimed addresses are to go.
    pub offers: BTreeMap<IpAddr, ShortId>,
    /// Whom the sender hears directly.
    pub heard: Vec<ShortId>,
    /// Who is to answer at once.
    pub solicit: Vec<ShortId>,
    /// Whom the sender ignores.
    pub stale: Vec<Stale>,
    /// What the sender can do for classes of addresses.
    pub classes: Vec<(ClassId, Fitness)>,
    /// The subnets of the sender's interface, those of IPv4 first; none if that is not to be said.
    pub subnets: Option<Vec<Prefix>>,
}

/// A round as pages of at most so many bytes, with header and tag. At least 512.
///
/// Lists that do not fit page 0 are cut, the classes first, and subnets are not stated if not all fit; claims that do not fit [`MAX_PAGES`] are left out, the last
/// ones first.
#[must_use]
pub fn pages(round: &Round, limit: usize) -> Vec<Page> {
    let mut cut = Cut::new(round, limit.max(512));
    for claim in &round.claims {
        if !cut.add(claim, round.offers.get(&claim.address)) {
            break;
        }
    }
    cut.finish()
}

struct Cut<'a> {
    round: &'a Round,
    limit: usize,
    done: Vec<Page>,
    page: Page,
    size: usize,
}

impl<'a> Cut<'a> {
    fn new(round: &'a Round, limit: usize) -> Self {
        let mut page = empty(round);
        // Beside its lists, a page has room for a claim and an offer of each family.
        let for_claims = 4 * SECTION + 2 * (4 + 16) + 2 * (IPV4 + IPV6);
        let for_lists = limit - HEADER - TAG - for_claims;
        let mut room = for_lists;
        page.heard = fitting(&round.heard, SHORT_ID, usize::MAX, &mut room);
        page.stale = fitting(&round.stale, STALE, MAX_STALE, &mut room);
        page.solicit = fitting(&round.solicit, SHORT_ID, usize::MAX, &mut room);
        page.subnets = round.subnets.clone().filter(|subnets| {
            let left = room.checked_sub(subnets_length(subnets));
            room = left.unwrap_or(room);
            left.is_some()
        });
        page.classes = fitting(&round.classes, CLASS, MAX_CLASSES, &mut room);
        let size = HEADER + TAG + for_lists - room;
        let mut cut = Self { round, limit, done: Vec::new(), page, size };
        cut.open_ipv4(Ipv4Addr::UNSPECIFIED);
        cut
    }

    /// Whether it fits.
    fn add(&mut self, claim: &Claim, offer: Option<&ShortId>) -> bool {
        if claim.address.is_ipv6() && self.page.ipv6.is_none() {
            let full = self.size + 2 * SECTION + 32 + 2 * IPV6 > self.limit;
            if full && !self.turn() {
                return false;
            }
            self.open_ipv6(Ipv6Addr::UNSPECIFIED);
        }
        let bytes = if claim.address.is_ipv4() { IPV4 } else { IPV6 };
        let first_offer =
            !self.page.offers.iter().any(|offer| offer.address.is_ipv4() == claim.address.is_ipv4());
        let for_offer = offer.map_or(0, |_| bytes + if first_offer { SECTION } else { 0 });
        if self.size + bytes + for_offer > self.limit {
            if !self.split(claim.address) {
                return false;
            }
            return self.add(claim, offer);
        }
        self.size += bytes + for_offer;
        let family = if claim.address.is_ipv4() { &mut self.page.ipv4 } else { &mut self.page.ipv6 };
        if let Some(claims) = family {
            claims.claims.push(*claim);
        }
        self.page.offers.extend(offer.map(|to| Offer { address: claim.address, to: *to }));
        true
    }

    /// Ends the page before an address, which begins the next one.
    fn split(&mut self, next: IpAddr) -> bool {
        if self.done.len() + 1 == MAX_PAGES {
            return false;
        }
        match next {
            IpAddr::V4(next) => {
                if let Some(claims) = &mut self.page.ipv4 {
                    claims.high = IpAddr::V4(Ipv4Addr::from_bits(next.to_bits().saturating_sub(1)));
                }
                self.turn();
                self.open_ipv4(next);
            }
            IpAddr::V6(next) => {
                if let Some(claims) = &mut self.page.ipv6 {
                    claims.high = IpAddr::V6(Ipv6Addr::from_bits(next.to_bits().saturating_sub(1)));
                }
                self.turn();
                self.open_ipv6(next);
            }
        }
        true
    }

    fn turn(&mut self) -> bool {
        if self.done.len() + 1 == MAX_PAGES {
            return false;
        }
        self.done.push(std::mem::replace(&mut self.page, empty(self.round)));
        self.size = HEADER + TAG;
        true
    }

    fn open_ipv4(&mut self, low: Ipv4Addr) {
        self.size += SECTION + 8;
        self.page.ipv4 =
            Some(Claims { low: low.into(), high: Ipv4Addr::BROADCAST.into(), claims: Vec::new() });
    }

    fn open_ipv6(&mut self, low: Ipv6Addr) {
        self.size += SECTION + 32;
        let high = Ipv6Addr::from_bits(u128::MAX).into();
        self.page.ipv6 = Some(Claims { low: low.into(), high, claims: Vec::new() });
    }

    fn finish(mut self) -> Vec<Page> {
        let no_ipv6 = self.page.ipv6.is_none() && self.done.iter().all(|page| page.ipv6.is_none());
        let fits = self.size + SECTION + 32 <= self.limit;
        if no_ipv6 && (fits || self.turn()) {
            self.open_ipv6(Ipv6Addr::UNSPECIFIED);
        }
        self.done.push(self.page);
        let pages = u8::try_from(self.done.len()).unwrap_or(u8::MAX);
        for (number, page) in (0..).zip(&mut self.done) {
            page.header.page = number;
            page.header.pages = pages;
        }
        self.done
    }
}

fn empty(round: &Round) -> Page {
    Page {
        header: round.header,
        ipv4: None,
        ipv6: None,
        offers: Vec::new(),
        heard: Vec::new(),
        solicit: Vec::new(),
        stale: Vec::new(),
        classes: Vec::new(),
        subnets: None,
    }
}

/// As many of a list as there is room for.
fn fitting<T: Clone>(list: &[T], bytes: usize, most: usize, room: &mut usize) -> Vec<T> {
    let count = list.len().min(most).min(room.saturating_sub(SECTION) / bytes);
    if count > 0 {
        *room -= SECTION + count * bytes;
    }
    list[..count].to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::beacon::Flags;
    use crate::identity::{NodeId, Participant};
    use crate::mac::MacAddress;

    fn round(claims: Vec<Claim>) -> Round {
        Round {
            header: Header {
                from: Participant { node: NodeId([1; 8]), link: 1 },
                flags: Flags::default(),
                seq: 1,
                mac: MacAddress([2; 6]),
                uptime: 0,
                weight: 100,
                period: 200,
                page: 0,
                pages: 0,
            },
            claims,
            offers: BTreeMap::new(),
            heard: Vec::new(),
            solicit: Vec::new(),
            stale: Vec::new(),
            classes: Vec::new(),
            subnets: None,
        }
    }

    fn claim(address: IpAddr) -> Claim {
        Claim { address, epoch: 1, probing: false, released: false }
    }

    fn size(page: &Page) -> usize {
        let section = |bytes: usize| if bytes == 0 { 0 } else { SECTION + bytes };
        let offers = |ipv4: bool, bytes: usize| {
            section(page.offers.iter().filter(|offer| offer.address.is_ipv4() == ipv4).count() * bytes)
        };
        HEADER
            + TAG
            + page.ipv4.as_ref().map_or(0, |claims| SECTION + 8 + claims.claims.len() * IPV4)
            + page.ipv6.as_ref().map_or(0, |claims| SECTION + 32 + claims.claims.len() * IPV6)
            + offers(true, IPV4)
            + offers(false, IPV6)
            + section((page.heard.len() + page.solicit.len()) * SHORT_ID)
            + if page.solicit.is_empty() || page.heard.is_empty() { 0 } else { SECTION }
            + section(page.stale.len() * STALE)
            + section(page.classes.len() * CLASS)
            + page.subnets.as_deref().map_or(0, subnets_length)
    }

    #[test]
    fn nothing_is_one_page_that_says_so_of_each_family() {
        let pages = pages(&round(Vec::new()), 1452);
        assert_eq!(pages.len(), 1);
        assert_eq!(pages[0].header.pages, 1);
        assert_eq!(pages[0].ipv4.as_ref().unwrap().high, IpAddr::V4(Ipv4Addr::BROADCAST));
        assert!(pages[0].ipv6.as_ref().unwrap().claims.is_empty());
    }

    #[test]
    fn a_frame_of_1500_bytes_has_177_claims() {
        let claims = (1..=178).map(|number| claim(Ipv4Addr::from_bits(number).into())).collect();
        let pages = pages(&round(claims), 1500);
        assert_eq!(pages[0].ipv4.as_ref().unwrap().claims.len(), 177);
        assert_eq!(pages[0].ipv4.as_ref().unwrap().high, IpAddr::V4(Ipv4Addr::from_bits(177)));
        assert_eq!(pages[1].ipv4.as_ref().unwrap().low, IpAddr::V4(Ipv4Addr::from_bits(178)));
    }

    #[test]
    fn a_round_has_128_pages_at_most() {
        let claims = (1..=30_000).map(|number| claim(Ipv4Addr::from_bits(number).into())).collect();
        let pages = pages(&round(claims), 1452);
        assert_eq!(pages.len(), MAX_PAGES);
        assert_eq!(pages[127].header.page, 127);
        assert_eq!(pages[127].ipv4.as_ref().unwrap().high, IpAddr::V4(Ipv4Addr::BROADCAST));
    }

    #[test]
    fn lists_that_are_too_long_are_cut() {
        let mut long = round(vec![claim(Ipv4Addr::LOCALHOST.into())]);
        long.heard = vec![ShortId([1; 4]); 255];
        let fit = Fitness::Fit { soft: false, preference: 0 };
        long.classes = (0..64).map(|class| (ClassId(class), fit)).collect();
        let subnet = Prefix { address: Ipv4Addr::UNSPECIFIED.into(), length: 24 };
        long.subnets = Some(vec![subnet; 3]);
        let pages = pages(&long, 1452);
        assert_eq!(pages[0].heard.len(), 255);
        assert!(!pages[0].classes.is_empty());
        assert!(pages[0].classes.len() < 64);
        assert_eq!(pages[0].subnets, long.subnets);
        assert!(size(&pages[0]) <= 1452);
    }

    fn families(page: &Page) -> [Option<(u128, u128, u128)>; 2] {
        let number = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        let of = |claims: &Option<Claims>, last| {
            claims.as_ref().map(|claims| (number(claims.low), number(claims.high), last))
        };
        [of(&page.ipv4, u128::from(u32::MAX)), of(&page.ipv6, u128::MAX)]
    }

    proptest! {
        #[test]
        fn pages_partition_each_family(
            ipv4 in prop::collection::btree_set(any::<u32>(), 0..900),
            ipv6 in prop::collection::btree_set(any::<u128>(), 0..300),
            offered in 0..3_u32,
            heard in 0..256_usize,
            limit in 600..1500_usize,
        ) {
            let addresses = ipv4.into_iter().map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
                .chain(ipv6.into_iter().map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))));
            let mut round = round(addresses.map(claim).collect());
            round.heard = vec![ShortId([1; 4]); heard];
            round.offers = round.claims.iter().zip(0..)
                .filter(|(_, number)| number % 2 < offered)
                .map(|(claim, _)| (claim.address, ShortId([7; 4]))).collect();
            let pages = pages(&round, limit);
            let said: Vec<Claim> = pages.iter().flat_map(|page| [&page.ipv4, &page.ipv6])
                .flatten().flat_map(|claims| claims.claims.clone()).collect();
            prop_assert_eq!(&said, &round.claims);
            prop_assert_eq!(pages.iter().map(|page| page.offers.len()).sum::<usize>(), round.offers.len());
            for family in 0..2 {
                let ranges: Vec<_> = pages.iter().filter_map(|page| families(page)[family]).collect();
                prop_assert_eq!(ranges[0].0, 0);
                prop_assert_eq!(ranges[ranges.len() - 1].1, ranges[0].2);
                prop_assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
            }
            for page in &pages {
                prop_assert!(size(page) <= limit, "{} > {}", size(page), limit);
                for claims in [&page.ipv4, &page.ipv6].into_iter().flatten() {
                    prop_assert!(claims.claims.iter().all(|claim| (claims.low..=claims.high).contains(&claim.address)));
                }
            }
        }
    }
}
