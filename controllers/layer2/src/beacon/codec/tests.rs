use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

fn cluster() -> ClusterId {
    ClusterId::of("here")
}

fn keys() -> KeyRing {
    KeyRing::new(&[[7; 32]])
}

fn read(payload: &[u8]) -> Result<Page, Malformed> {
    Envelope::read(payload)?.open()
}

fn encoded(page: &Page) -> Vec<u8> {
    let mut frame = Vec::new();
    encode(page, cluster(), &keys(), &mut frame);
    frame
}

/// A page with something of everything.
pub(crate) fn page() -> Page {
    let v4 = |last| IpAddr::from([198, 51, 100, last]);
    let v6 = |last| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
    let claim = |address, epoch| Claim { address, epoch, probing: false, released: false };
    Page {
        header: Header {
            from: Participant { node: NodeId::of("node-1"), link: 2 },
            flags: Flags { draining: true, goodbye: true, ..Flags::default() },
            seq: 0x0102_0304_0506_0708,
            mac: MacAddress([2, 0, 0, 0, 0, 1]),
            uptime: 600,
            weight: 100,
            period: 200,
            page: 0,
            pages: 2,
        },
        ipv4: Some(Claims {
            low: v4(0),
            high: v4(255),
            claims: vec![Claim { probing: true, ..claim(v4(1), 1) }, claim(v4(7), Claim::MAX_EPOCH)],
        }),
        ipv6: Some(Claims {
            low: v6(1),
            high: v6(1),
            claims: vec![Claim { released: true, ..claim(v6(1), 3) }],
        }),
        offers: vec![
            Offer { address: v4(1), to: ShortId([1; 4]) },
            Offer { address: v6(1), to: ShortId([2; 4]) },
        ],
        heard: vec![ShortId([3; 4]), ShortId([4; 4])],
        solicit: vec![ShortId([5; 4])],
        stale: vec![Stale { node: NodeId([6; 8]), seq: 9 }],
        classes: vec![
            (ClassId(1), Fitness::Unfit),
            (ClassId(2), Fitness::Fit { soft: true, preference: 30 }),
        ],
        subnets: Some(vec![
            Prefix { address: [198, 51, 100, 0].into(), length: 24 },
            Prefix { address: v6(0), length: 64 },
        ]),
    }
}

#[test]
fn octets_are_where_the_protocol_has_them() {
    let bytes = encoded(&page());
    assert_eq!(&bytes[..8], &[b'F', b'L', b'D', b'B', 1, 0, 0b10_0010, keys().sending_id()]);
    assert_eq!(bytes[8..16], cluster().0);
    assert_eq!(bytes[16..24], NodeId::of("node-1").0);
    assert_eq!(bytes[24..28], [0, 0, 0, 2]);
    assert_eq!(bytes[28..36], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(bytes[36..42], [2, 0, 0, 0, 0, 1]);
    assert_eq!(bytes[42..50], [2, 88, 0, 100, 0, 200, 0, 2]);
    assert_eq!(bytes[50..53], [1, 0, 24]);
    assert_eq!(bytes[53..61], [198, 51, 100, 0, 198, 51, 100, 255]);
    assert_eq!(bytes[61..77], [198, 51, 100, 1, 0x80, 0, 0, 1, 198, 51, 100, 7, 0x0f, 0xff, 0xff, 0xff]);
    let subnets = bytes.len() - TAG_LENGTH - 28;
    assert_eq!(bytes[subnets..][..8], [9, 0, 5, 198, 51, 100, 0, 24]);
    assert_eq!(bytes[subnets + 8..][..3], [10, 0, 17]);
    assert_eq!(bytes[bytes.len() - TAG_LENGTH - 1], 64);
    let classes = subnets - 14;
    assert_eq!(bytes[classes - 3..classes], [8, 0, 14]);
    assert_eq!(bytes[classes..][..14], [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 30, 3]);
}

#[test]
fn a_page_cut_anywhere_is_malformed_or_says_less() {
    let bytes = encoded(&page());
    let (message, tag) = bytes.split_at(bytes.len() - TAG_LENGTH);
    for length in 0..message.len() {
        let cut = [&message[..length], tag].concat();
        match read(&cut) {
            // Where a section ends, what follows is missing; the tag tells.
            Ok(less) => {
                assert!(encoded(&less).len() < bytes.len(), "{length}");
                assert!(!Envelope::read(&cut).unwrap().is_authentic(&keys()));
            }
            Err(Malformed::Length) => assert!(length < HEADER_LENGTH),
            Err(other) => assert_eq!(other, Malformed::Section, "{length}"),
        }
    }
}

#[test]
fn sections_that_are_not_known_are_skipped() {
    let mut bytes = encoded(&page());
    let end = bytes.len() - TAG_LENGTH;
    bytes.splice(end..end, [200, 0, 3, 1, 2, 3, 9, 0, 0]);
    bytes[5] = 77;
    assert_eq!(read(&bytes), Ok(page()));
}

#[test]
fn wrong_pages_are_told_apart() {
    let with = |change: fn(&mut Page)| {
        let mut page = page();
        change(&mut page);
        read(&encoded(&page))
    };
    let claims = |page: &mut Page| page.ipv4.take().unwrap();
    assert_eq!(with(|page| page.header.page = 2), Err(Malformed::PageNumber));
    assert_eq!(with(|page| page.header.pages = 129), Err(Malformed::PageNumber));
    assert!(with(|page| (page.header.page, page.header.pages) = (127, 128)).is_ok());
    assert_eq!(
        with(|page| {
            let claims = page.ipv4.as_mut().unwrap();
            (claims.low, claims.high) = (claims.high, claims.low);
        }),
        Err(Malformed::Range)
    );
    assert_eq!(with(|page| page.ipv4.as_mut().unwrap().claims.reverse()), Err(Malformed::Order));
    for outside in [[198, 51, 99, 9], [198, 51, 101, 0]] {
        let mut page = page();
        let mut claims = claims(&mut page);
        claims.claims = vec![Claim { address: outside.into(), ..claims.claims[0] }];
        page.ipv4 = Some(claims);
        assert_eq!(read(&encoded(&page)), Err(Malformed::Range));
    }
    let twice = |page: &mut Page| {
        let claims = page.ipv4.as_mut().unwrap();
        claims.claims.push(*claims.claims.last().unwrap());
    };
    let mut page = page();
    twice(&mut page);
    assert_eq!(read(&encoded(&page)), Err(Malformed::Order));

    let mut bytes = encoded(&self::page());
    let section = bytes[50..77].to_vec();
    bytes.splice(50..50, section);
    assert_eq!(read(&bytes), Err(Malformed::Repeated));

    let mut five = encoded(&self::page());
    let end = five.len() - TAG_LENGTH;
    let stale = [7, 0, 64].into_iter().chain([0; 64]);
    five.splice(end..end, stale);
    assert_eq!(read(&five), Err(Malformed::Section));
}

#[test]
fn all_limits_of_an_ethernet_frame_are_used() {
    let claims = (0..177_u32).map(|at| Claim {
        address: Ipv4Addr::from_bits(at).into(),
        epoch: 1,
        probing: false,
        released: false,
    });
    let all = Claims { low: [0; 4].into(), high: [255; 4].into(), claims: claims.collect() };
    let mut page = Page { ipv4: Some(all), ipv6: None, ..page() };
    for list in [&mut page.heard, &mut page.solicit] {
        list.clear();
    }
    page.offers.clear();
    page.stale.clear();
    page.classes.clear();
    page.subnets = None;
    assert_eq!(encoded(&page).len(), 1493);
    assert_eq!(read(&encoded(&page)), Ok(page));
}

prop_compose! {
    fn claims_of(family: fn(u128) -> IpAddr)(
        claims in btree_map(any::<u128>().prop_map(family), (0..=Claim::MAX_EPOCH, any::<bool>(), any::<bool>()), 0..20),
        low in any::<u128>().prop_map(family),
        high in any::<u128>().prop_map(family),
    ) -> Claims {
        let claims: Vec<_> = claims
            .into_iter()
            .map(|(address, (epoch, probing, released))| Claim { address, epoch, probing, released })
            .collect();
        let all = || claims.iter().map(|claim| claim.address).chain([low, high]);
        Claims { low: all().min().unwrap(), high: all().max().unwrap(), claims }
    }
}

fn v4(bits: u128) -> IpAddr {
    #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
    Ipv4Addr::from_bits(bits as u32).into()
}

fn v6(bits: u128) -> IpAddr {
    Ipv6Addr::from_bits(bits).into()
}

fn subnet(family: fn(u128) -> IpAddr) -> impl Strategy<Value = Prefix> {
    (any::<u128>(), any::<u8>()).prop_map(move |(bits, length)| Prefix { address: family(bits), length })
}

fn fitness() -> impl Strategy<Value = Fitness> {
    prop_oneof![
        Just(Fitness::Unfit),
        (any::<bool>(), any::<u16>()).prop_map(|(soft, preference)| Fitness::Fit { soft, preference })
    ]
}

prop_compose! {
    pub(crate) fn header()(
        ids in any::<([u8; 8], u32, u64, [u8; 6])>(),
        numbers in any::<(u16, u16, u16)>(),
        flags in 0_u8..64,
        (page, pages) in (1..=MOST_PAGES).prop_flat_map(|pages| (0..pages, Just(pages))),
    ) -> Header {
        Header {
            from: Participant { node: NodeId(ids.0), link: ids.1 },
            flags: Flags::from_octet(flags),
            seq: ids.2,
            mac: MacAddress(ids.3),
            uptime: numbers.0,
            weight: numbers.1,
            period: numbers.2,
            page,
            pages,
        }
    }
}

prop_compose! {
    pub(crate) fn any_page()(
        header in header(),
        ipv4 in proptest::option::of(claims_of(v4)),
        ipv6 in proptest::option::of(claims_of(v6)),
        offers_v4 in vec((any::<u128>().prop_map(v4), any::<[u8; 4]>()), 0..5),
        offers_v6 in vec((any::<u128>().prop_map(v6), any::<[u8; 4]>()), 0..5),
        heard in vec(any::<[u8; 4]>().prop_map(ShortId), 0..20),
        solicit in vec(any::<[u8; 4]>().prop_map(ShortId), 0..20),
        stale in vec(any::<([u8; 8], u64)>(), 0..=MOST_STALE),
        classes in vec((any::<u32>().prop_map(ClassId), fitness()), 0..10),
        subnets in proptest::option::of((vec(subnet(v4), 0..4), vec(subnet(v6), 0..4))),
    ) -> Page {
        let offers = offers_v4.into_iter().chain(offers_v6);
        Page {
            header,
            ipv4,
            ipv6,
            offers: offers.map(|(address, to)| Offer { address, to: ShortId(to) }).collect(),
            heard,
            solicit,
            stale: stale.into_iter().map(|(node, seq)| Stale { node: NodeId(node), seq }).collect(),
            classes,
            subnets: subnets.map(|(ipv4, ipv6)| [ipv4, ipv6].concat()),
        }
    }
}

proptest! {
    #[test]
    fn pages_survive_the_wire(page in any_page()) {
        let bytes = encoded(&page);
        prop_assert_eq!(bytes.len(), encoded_length(&page));
        prop_assert!(Envelope::read(&bytes).unwrap().is_authentic(&keys()));
        prop_assert_eq!(read(&bytes), Ok(page));
    }

    #[test]
    fn whatever_reads_as_a_page_is_a_whole_one(
        page in any_page(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encoded(&page);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        for length in [bytes.len(), cut.index(bytes.len())] {
            if let Ok(read) = read(&bytes[..length]) {
                for claims in read.ipv4.iter().chain(&read.ipv6) {
                    prop_assert!(claims.low <= claims.high);
                    prop_assert!(claims.claims.is_sorted_by(|one, next| one.address < next.address));
                    prop_assert!(
                        claims.claims.iter().all(|claim| (claims.low..=claims.high).contains(&claim.address))
                    );
                }
                prop_assert!(read.header.page < read.header.pages);
            }
        }
    }

    #[test]
    fn a_changed_bit_is_noticed(page in any_page(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bytes = encoded(&page);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        let authentic = Envelope::read(&bytes).is_ok_and(|envelope| envelope.is_authentic(&keys()));
        prop_assert!(!authentic, "octet {}", at);
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in vec(any::<u8>(), 0..200)) {
        let framed = [&b"FLDB\x01\0\0\0"[..], &bytes].concat();
        let _ = (read(&bytes), read(&framed));
    }
}
