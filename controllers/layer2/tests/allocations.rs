//! What an answer costs: no memory.

use std::sync::Arc;
use std::time::Duration;

use fairlead_layer2::beacon::keys::KeyRing;
use fairlead_layer2::ethernet::ether_type;
use fairlead_layer2::segment::{Clock, Received, Segment, Settings, Socket};
use fairlead_layer2::{
    ClassId, ClusterId, Fitness, LinkFacts, MacAddress, Moment, NodeId, Prefix, Wanted, arp,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const OWN: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const CLIENT: MacAddress = MacAddress([2, 0, 0, 0, 0, 9]);

/// An interface that answers for 5,000 addresses, and the time.
fn owner() -> (Segment, Clock) {
    let settings = Settings {
        node: NodeId::of("node-1"),
        cluster: ClusterId::of("a cluster"),
        keys: KeyRing::new(&[[7; 32]]),
        period: Duration::from_millis(200),
        ether_type: ether_type::BEACON,
        destination: MacAddress::BROADCAST,
        seed: 1,
    };
    let link = LinkFacts {
        index: 2,
        name: "eth0".into(),
        mac: OWN,
        mtu: 1500,
        running: true,
        addresses: vec![Prefix { address: [198, 18, 0, 1].into(), length: 15 }],
    };
    let mut clock = Clock { boot: Moment(Duration::from_mins(1)), wall: 1_800_000_000_000_000 };
    let mut segment = Segment::new(&settings, link, clock);
    for host in 256..5_256_u16 {
        let [high, low] = host.to_be_bytes();
        let wanted = Wanted {
            class: ClassId(1),
            own: Fitness::Fit { soft: false, preference: 0 },
            nodes: None,
            epoch: 0,
            announced_by: None,
            probe: false,
            uid: "a uid".into(),
        };
        segment.want([198, 18, high, low].into(), Some(Arc::new(wanted)));
    }
    // Until all of them are announced and nothing is due but beacons.
    for _ in 0..10_000 {
        let step = Duration::from_millis(1);
        clock = Clock { boot: clock.boot + step, wall: clock.wall + 1_000 };
        segment.wake(clock, &[]);
        segment.sent(true, clock);
    }
    segment.take_reports();
    assert_eq!(segment.owned().count(), 5_000);
    (segment, clock)
}

#[test]
fn answers_need_no_memory() {
    let (mut segment, mut clock) = owner();
    while segment.next_wake().since(clock.boot) < Duration::from_millis(50) {
        clock.boot = clock.boot + Duration::from_millis(1);
        segment.wake(clock, &[]);
        segment.sent(true, clock);
    }
    let request =
        arp::Packet { sender: [198, 18, 0, 9].into(), ..arp::Packet::probe(CLIENT, [198, 18, 9, 9].into()) };
    let frame = request.frame(MacAddress::BROADCAST);
    let received = [Received { frame: &frame, age: Duration::ZERO, socket: Socket::Arp }; 16];
    let answer = |segment: &mut Segment| {
        segment.wake(clock, &received);
        assert!(segment.outgoing().is_empty());
        segment.sent(true, clock);
        let answers = segment.answers(clock);
        assert_eq!(answers.len(), 16);
        assert_eq!(answers[15].frame(), request.reply(OWN).frame(CLIENT));
    };
    // What is kept for the next time.
    answer(&mut segment);
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    for _ in 0..1_000 {
        answer(&mut segment);
    }
    assert_eq!(MEMORY.peak_usage(), before, "an answer takes memory, if only for a moment");
}
