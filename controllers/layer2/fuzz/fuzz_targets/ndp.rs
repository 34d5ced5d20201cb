#![no_main]

use fairlead_layer2::ndp::Message;
use fairlead_layer2::{MacAddress, ethernet, responder, udp};
use libfuzzer_sys::fuzz_target;

const OWN: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

fuzz_target!(|bytes: &[u8]| {
    let _ = udp::read(ethernet::ether_type::IPV6, bytes);
    let _ = udp::read(ethernet::ether_type::IPV4, bytes);
    match Message::read(bytes) {
        Some(Message::Solicitation(solicitation)) => {
            assert!(!solicitation.target.is_multicast());
            let source = "fe80::1".parse().expect("an address");
            let answer = responder::advertisement(&solicitation, OWN, OWN, source);
            assert!(matches!(Message::read(&answer[14..]), Some(Message::Advertisement(_)))
                || solicitation.source.is_multicast());
        }
        Some(Message::Advertisement(advertisement)) => {
            let again = advertisement.frame(OWN, OWN);
            assert!(Message::read(&again[14..]).is_some());
        }
        None => {}
    }
});
