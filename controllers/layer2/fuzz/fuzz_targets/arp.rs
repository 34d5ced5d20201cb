#![no_main]

use fairlead_layer2::ethernet::Frame;
use fairlead_layer2::{MacAddress, arp, responder};
use libfuzzer_sys::fuzz_target;

const OWN: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

fuzz_target!(|bytes: &[u8]| {
    let Some(frame) = Frame::read(bytes) else { return };
    let Some(packet) = arp::Packet::read(frame.payload) else { return };
    let again = packet.frame(frame.destination);
    assert_eq!(arp::Packet::read(&again[14..]), Some(packet));
    if responder::is_question(&frame, &packet, OWN) {
        let reply = packet.reply(OWN);
        assert!(!packet.sender_mac.is_multicast());
        assert_eq!((reply.sender, reply.target), (packet.target, packet.sender));
    }
});
