#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use fairlead_layer2::beacon::codec::{Envelope, encode};
use fairlead_layer2::beacon::keys::KeyRing;
use fairlead_layer2::ethernet::ether_type;
use fairlead_layer2::segment::{Clock, Received, Segment, Settings, Socket};
use fairlead_layer2::{ClassId, ClusterId, Fitness, LinkFacts, MacAddress, Moment, NodeId, Prefix, Wanted, ethernet};
use libfuzzer_sys::fuzz_target;

const CLUSTER: ClusterId = ClusterId([1; 8]);
const SECOND: Duration = Duration::from_secs(1);

fn segment(clock: Clock) -> Segment {
    let settings = Settings {
        node: NodeId([9; 8]),
        cluster: CLUSTER,
        keys: KeyRing::insecure(),
        period: SECOND / 5,
        ether_type: ether_type::BEACON,
        destination: MacAddress::BROADCAST,
        seed: 1,
    };
    let prefix = |address: IpAddr, length| Prefix { address, length };
    let link = LinkFacts {
        index: 1,
        name: "eth0".into(),
        mac: MacAddress([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        running: true,
        addresses: vec![
            prefix(Ipv4Addr::new(198, 51, 100, 1).into(), 24),
            prefix(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into(), 64),
        ],
    };
    let mut segment = Segment::new(&settings, link, clock);
    for last in 10..14 {
        let wanted = Wanted {
            class: ClassId(1),
            own: Fitness::Fit { soft: false, preference: 0 },
            nodes: None,
            epoch: 0,
            announced_by: None,
            probe: last == 10,
            uid: "a uid".into(),
        };
        let wanted = Arc::new(wanted);
        segment.want(Ipv4Addr::new(198, 51, 100, last).into(), Some(Arc::clone(&wanted)));
        segment.want(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()).into(), Some(wanted));
    }
    segment
}

/// A beacon with the tag that it needs to be read at all.
fn authentic(bytes: &[u8], wall: u64) -> Option<Vec<u8>> {
    let whole = [b"FLDB\x01\x00", bytes.get(..1)?, &[0], &CLUSTER.0, bytes.get(1..)?, &[0; 16]].concat();
    let mut page = Envelope::read(&whole).ok()?.open().ok()?;
    // Near our clock, or it is not looked at.
    page.header.seq = wall + page.header.seq % 1_000_000;
    page.header.from.node.0[..7].fill(0);
    let mut frame = Vec::new();
    ethernet::write_header(MacAddress::BROADCAST, page.header.mac, ether_type::BEACON, &mut frame);
    encode(&page, CLUSTER, &KeyRing::insecure(), &mut frame);
    Some(frame)
}

// Frames, each with a length, a socket and the time since the one before.
fuzz_target!(|bytes: &[u8]| {
    let mut clock = Clock { boot: Moment(1_000 * SECOND), wall: 1_800_000_000_000_000 };
    let mut segment = segment(clock);
    let mut rest = bytes;
    while let Some((&[kind, pause, length], after)) = rest.split_first_chunk() {
        let (frame, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        let pause = Duration::from_millis(u64::from(pause) * 4);
        clock.boot = clock.boot + pause;
        clock.wall += pause.as_micros() as u64;
        let beacon = authentic(frame, clock.wall);
        let (frame, socket) = match kind % 5 {
            0 => (frame, Socket::Beacons),
            1 => (frame, Socket::Arp),
            2 => (frame, Socket::Ipv6),
            3 => (frame, Socket::Ipv4),
            _ => (beacon.as_deref().unwrap_or(frame), Socket::Beacons),
        };
        let received = Received { frame, age: Duration::from_millis(u64::from(kind) / 2), socket };
        segment.wake(clock, &[received]);
        for outgoing in segment.outgoing() {
            assert!((14..=1514).contains(&outgoing.frame().len()));
        }
        segment.sent(kind < 250, clock);
        for outgoing in segment.answers(clock) {
            assert!(outgoing.frame().len() <= 86);
        }
        segment.take_reports();
        assert!(segment.owned().count() <= 8);
        assert!(segment.next_wake() <= clock.boot + 3_600 * SECOND);
    }
});
