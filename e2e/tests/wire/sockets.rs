//! What sockets receive of what arrives.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use fairlead_layer2::filter::Instruction;
use fairlead_speaker::netlink::{Doorbell, Kernel, Subject};
use fairlead_speaker::socket::{Batch, Groups, PacketSocket};
use lab::{Arp, Mac};

use crate::bed::{Bed, Host, PATIENCE, QUIET, ipv4};

const ARP: u16 = 0x0806;
/// Accepts every frame as a whole.
const ALL: [Instruction; 1] = [Instruction { code: 0x06, jt: 0, jf: 0, k: 0xffff }];
const TARGET: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 64);

fn open(host: &Host, interface: &str) -> PacketSocket {
    let (link, _) = host.link(interface);
    host.run(|| PacketSocket::open(link, ARP, &ALL)).expect("a socket")
}

/// The sender addresses of the ARP frames that arrive in this time, until there are that many.
fn senders(socket: &PacketSocket, most: usize, time: Duration) -> Vec<Ipv4Addr> {
    let (mut batch, mut senders) = (Batch::default(), Vec::new());
    let began = Instant::now();
    while senders.len() < most && began.elapsed() < time {
        socket.receive(&mut batch).expect("an interface that is up");
        senders.extend(batch.frames().map(|frame| {
            let octets: [u8; 4] = frame.bytes[28..32].try_into().expect("four octets");
            Ipv4Addr::from(octets)
        }));
        thread::sleep(Duration::from_millis(1));
    }
    senders
}

#[test]
fn only_frames_for_the_interface_itself_are_received_with_the_time_of_their_arrival() {
    let bed = Bed::new();
    let (node, client) = (bed.node(11), bed.node(200));
    node.ip("link add link eth0 name top0 type macvlan mode bridge");
    node.ip("link set top0 up");
    // Not every kernel has VLANs. Frames with tags are of another segment all the same.
    if node.can("link add link eth0 name vlan5 type vlan id 5") {
        node.ip("link set vlan5 up");
    }
    let socket = open(&node, "eth0");
    let (tap, mac) = (client.tap(), node.mac("eth0"));
    let request = |number: u8| Arp::request(tap.mac, ipv4(number), TARGET);
    let tagged = |number: u8, vlan: u8| {
        let mut frame = request(number).to_frame(Mac::BROADCAST);
        frame.splice(12..12, [0x81, 0, 0, vlan]);
        frame
    };
    tap.send(&tagged(1, 5));
    tap.send(&tagged(2, 6));
    tap.send(&request(3).to_frame(node.mac("top0")));
    tap.send(&request(4).to_frame(Mac([2, 0, 0, 0, 0, 99])));
    // What the node sends itself.
    node.tap().send(&Arp::request(mac, ipv4(5), TARGET).to_frame(Mac::BROADCAST));
    tap.send(&request(6).to_frame(mac));
    tap.send(&request(7).to_frame(Mac::BROADCAST));
    thread::sleep(QUIET);
    let mut batch = Batch::default();
    socket.receive(&mut batch).unwrap();
    let received: Vec<_> = batch.frames().map(|frame| frame.bytes[31]).collect();
    assert_eq!(received, [6, 7]);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    for frame in batch.frames() {
        let age = now.saturating_sub(frame.stamp.expect("a time stamp"));
        assert!(age >= QUIET / 2 && age < PATIENCE, "{age:?}");
    }
}

#[test]
fn a_socket_outlives_an_interface_that_is_down_but_not_one_that_is_gone() {
    let bed = Bed::new();
    let (node, client) = (bed.node(11), bed.node(200));
    let socket = open(&node, "eth0");
    node.ip("link set eth0 down");
    let error = socket.receive(&mut Batch::default()).unwrap_err();
    assert!(error.is_link_down(), "{error}");
    assert!(socket.is_bound());
    let (_, refused) = socket.send(&[&[0; 60]]).unwrap_err();
    assert!(refused.is_link_down(), "{refused}");
    node.ip("link set eth0 up");
    let tap = client.tap();
    let began = Instant::now();
    loop {
        tap.send(&Arp::request(tap.mac, ipv4(200), TARGET).to_frame(Mac::BROADCAST));
        if senders(&socket, 1, QUIET).contains(&ipv4(200)) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "nothing is received after the interface is up again");
    }
    node.ip("link del eth0");
    assert!(!socket.is_bound());
}

#[test]
fn a_filter_is_exchanged_at_once() {
    let bed = Bed::new();
    let (node, client) = (bed.node(11), bed.node(200));
    let (socket, tap) = (open(&node, "eth0"), client.tap());
    let request = Arp::request(tap.mac, ipv4(200), TARGET).to_frame(Mac::BROADCAST);
    tap.send(&request);
    assert_eq!(senders(&socket, 1, PATIENCE), [ipv4(200)]);
    socket.set_filter(&fairlead_speaker::socket::NOTHING).unwrap();
    tap.send(&request);
    assert_eq!(senders(&socket, 1, QUIET), [Ipv4Addr::UNSPECIFIED; 0]);
    let mistake = socket.set_filter(&[Instruction { code: 0xffff, jt: 0, jf: 0, k: 0 }]).unwrap_err();
    assert!(mistake.to_string().starts_with("filtering frames: "), "{mistake}");
}

#[test]
fn groups_are_joined_and_left_also_when_they_are_many() {
    let bed = Bed::new();
    let node = bed.node(11);
    let (link, _) = node.link("eth0");
    let mut groups = Groups::new(link);
    let group = |number: u16| IpAddr::from(std::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, number));
    let joined = || {
        let text = node.run(|| fs::read_to_string("/proc/thread-self/net/igmp6")).expect("memberships");
        text.lines().filter(|line| line.contains("ff0200000000000000000001ff00")).count()
    };
    // That of the node's own address.
    assert_eq!(joined(), 1);
    let many: Vec<_> = (0x1000..0x1000 + 3000).map(group).collect();
    node.run(|| groups.set(&many)).unwrap();
    assert_eq!(joined(), 1 + 3000);
    // One that is for two addresses is named twice.
    let some = [group(0x1000), group(0x2000), group(0x1000)];
    node.run(|| groups.set(&some)).unwrap();
    assert_eq!(joined(), 1 + 2);
    node.run(|| groups.set(&many[1..])).unwrap();
    assert_eq!(joined(), 1 + 2999);
    groups.clear();
    assert_eq!(joined(), 1);
    let legacy = IpAddr::from([224, 0, 0, 250]);
    node.run(|| groups.set(&[legacy])).unwrap();
    let text = node.run(|| fs::read_to_string("/proc/thread-self/net/igmp")).unwrap();
    assert!(text.contains("FA0000E0"), "{text}");
}

#[test]
fn the_doorbell_rings_when_an_interface_or_an_address_changes() {
    let bed = Bed::new();
    let node = bed.node(11);
    let doorbell = node.run(|| Doorbell::new(Subject::Interfaces)).unwrap();
    assert!(!doorbell.rang());
    for change in [
        "address add 203.0.113.1/24 dev eth0",
        "address add 2001:db8:9::1/64 dev eth0 nodad",
        "link set eth0 mtu 1400",
        "link set eth0 down",
        "link del eth0",
    ] {
        node.ip(change);
        assert!(doorbell.rang(), "{change}");
        assert!(!doorbell.rang());
    }
}

#[test]
fn the_doorbell_of_gateways_rings_for_routes_that_have_one() {
    let bed = Bed::new();
    let node = bed.node(11);
    let doorbell = node.run(|| Doorbell::new(Subject::Gateways)).unwrap();
    for (change, rings) in [
        ("route add default via 198.51.100.1", true),
        ("route replace default via 198.51.100.2", true),
        ("route add 203.0.113.0/24 nexthop via 198.51.100.2 nexthop via 198.51.100.3", true),
        ("route delete 203.0.113.0/24", true),
        ("route add default via 2001:db8:1::1", true),
        ("route add 203.0.113.7/32 dev eth0", false),
        ("route delete 203.0.113.7/32", false),
        ("address add 203.0.113.1/24 dev eth0", false),
        ("link set eth0 mtu 1400", false),
    ] {
        node.ip(change);
        assert_eq!(doorbell.rang(), rings, "{change}");
        assert!(!doorbell.rang());
    }
}

#[test]
fn the_kernel_tells_interfaces_addresses_and_gateways() {
    let bed = Bed::new();
    let node = bed.node(11);
    node.ip("route add default via 198.51.100.1");
    node.ip("route add 203.0.113.0/24 nexthop via 198.51.100.2 nexthop via 198.51.100.3");
    node.ip("route add default via 2001:db8:1::1");
    node.ip("link add red type bridge");
    node.ip("link add green type veth peer name blue");
    node.ip("link set green master red");
    let (links, addresses) = node.run(|| {
        let mut kernel = Kernel::new().unwrap();
        (kernel.links().unwrap(), kernel.addresses().unwrap())
    });
    let named = |name: &str| links.iter().find(|link| link.name == name).unwrap();
    assert_eq!(named("eth0").kind.as_deref(), Some("veth"));
    assert_eq!(named("red").kind.as_deref(), Some("bridge"));
    assert_eq!((named("eth0").master, named("green").master), (None, Some(named("red").index)));
    let own = |address: IpAddr| addresses.iter().any(|known| known.prefix.address == address);
    assert!(own(ipv4(11).into()) && own(crate::bed::ipv6(11).into()));
    let gateways = node.run(|| Kernel::new().unwrap().gateways()).unwrap();
    let mut texts: Vec<_> = gateways.iter().map(|gateway| gateway.address.to_string()).collect();
    texts.sort();
    assert_eq!(texts, ["198.51.100.1", "198.51.100.2", "198.51.100.3", "2001:db8:1::1"]);
    let index = named("eth0").index;
    let counted = || node.run(|| Kernel::new().unwrap().frames_received(index)).unwrap();
    let before = counted();
    let client = bed.node(200).tap();
    client.send(&Arp::request(client.mac, ipv4(200), TARGET).to_frame(Mac::BROADCAST));
    let began = Instant::now();
    while counted() == before {
        assert!(began.elapsed() < PATIENCE, "it received nothing");
    }
}
