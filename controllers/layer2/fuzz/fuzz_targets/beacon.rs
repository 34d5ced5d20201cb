#![no_main]

use fairlead_layer2::ClusterId;
use fairlead_layer2::beacon::codec::{Envelope, encode, encoded_length};
use fairlead_layer2::beacon::keys::KeyRing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Magic and version are given, so that the fuzzer need not find them.
    let framed = [b"FLDB\x01", bytes].concat();
    for bytes in [bytes, &framed] {
        let Ok(envelope) = Envelope::read(bytes) else { continue };
        let Ok(page) = envelope.open() else { continue };
        let keys = KeyRing::new(&[[7; 32]]);
        let mut again = Vec::new();
        encode(&page, ClusterId([1; 8]), &keys, &mut again);
        assert_eq!(again.len(), encoded_length(&page));
        // Several sections of a kind come into one.
        assert!(again.len() <= bytes.len());
        let envelope = Envelope::read(&again).expect("what was encoded has a header");
        assert!(envelope.is_authentic(&keys));
        let mut read = envelope.open().expect("what was encoded is a page");
        let mut page = page;
        // Offers are sorted by family.
        for page in [&mut read, &mut page] {
            page.offers.sort_by_key(|offer| offer.address.is_ipv6());
        }
        assert_eq!(read, page);
    }
});
