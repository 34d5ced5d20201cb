//! The keys that speakers know each other by.

use ring::digest::{SHA256, digest};
use ring::hmac;

/// How many bytes a key has.
pub const KEY_LENGTH: usize = 32;

/// How many bytes of the HMAC a frame carries.
pub const TAG_LENGTH: usize = 16;

/// The keys of which any authenticates a frame, and the one that frames are sent with.
///
/// Two at a time let the key be changed without a gap: add the new one everywhere, send with it, remove the old one.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    /// The last one sends. None: frames carry no authentication, and only such frames are accepted.
    keys: Vec<Key>,
}

#[derive(Clone, Debug)]
struct Key {
    id: u8,
    key: hmac::Key,
}

impl KeyRing {
    /// Of these keys, of which the last one sends.
    ///
    /// Without any, frames carry no authentication: whoever reaches the segment can then take addresses.
    #[must_use]
    pub fn new(keys: &[[u8; KEY_LENGTH]]) -> Self {
        let keys = keys
            .iter()
            .map(|key| Key { id: id_of(key), key: hmac::Key::new(hmac::HMAC_SHA256, key) })
            .collect();
        Self { keys }
    }

    /// Of no key: frames carry no authentication, and only such frames are accepted.
    #[must_use]
    pub fn insecure() -> Self {
        Self::default()
    }

    /// Whether frames are authenticated.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        !self.keys.is_empty()
    }

    /// What frames name the sending key by; 0 without keys.
    #[must_use]
    pub fn sending_id(&self) -> u8 {
        self.keys.last().map_or(0, |key| key.id)
    }

    /// Whether frames that name this key can be accepted.
    #[must_use]
    pub fn accepts(&self, id: u8) -> bool {
        if self.is_secure() { self.keys.iter().any(|key| key.id == id) } else { id == 0 }
    }

    /// What authenticates a message of ours.
    #[must_use]
    pub fn tag(&self, message: &[u8]) -> [u8; TAG_LENGTH] {
        let mut tag = [0; TAG_LENGTH];
        if let Some(key) = self.keys.last() {
            tag.copy_from_slice(&hmac::sign(&key.key, message).as_ref()[..TAG_LENGTH]);
        }
        tag
    }

    /// Whether a key of this id made the tag of a message. Takes as long for a wrong tag as for a right one.
    #[must_use]
    pub fn verify(&self, id: u8, message: &[u8], tag: &[u8; TAG_LENGTH]) -> bool {
        if !self.is_secure() {
            return id == 0 && tag == &[0; TAG_LENGTH];
        }
        // Two keys may share the one byte that they are named by.
        self.keys.iter().filter(|key| key.id == id).any(|key| {
            let whole = hmac::sign(&key.key, message);
            let difference =
                whole.as_ref().iter().zip(tag).fold(0, |all, (ours, theirs)| all | (ours ^ theirs));
            difference == 0
        })
    }
}

/// The first byte of the SHA-256 of "key" and the key.
fn id_of(key: &[u8; KEY_LENGTH]) -> u8 {
    let mut named = [0; 3 + KEY_LENGTH];
    named[..3].copy_from_slice(b"key");
    named[3..].copy_from_slice(key);
    digest(&SHA256, &named).as_ref()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_its_hash() {
        // { printf key; head -c 32 /dev/zero; } | sha256sum
        assert_eq!(id_of(&[0; 32]), 0x69);
    }

    #[test]
    fn each_key_of_the_ring_is_accepted_and_the_last_one_sends() {
        let (old, new) = ([1; 32], [2; 32]);
        let before = KeyRing::new(&[old]);
        let both = KeyRing::new(&[old, new]);
        let after = KeyRing::new(&[new]);
        let verify = |by: &KeyRing, of: &KeyRing| by.verify(of.sending_id(), b"words", &of.tag(b"words"));
        assert!(verify(&before, &before) && verify(&both, &before) && verify(&both, &both));
        assert!(verify(&after, &both) && verify(&both, &after));
        assert!(!verify(&after, &before) && !verify(&before, &after));
        assert!(!both.verify(both.sending_id(), b"other", &both.tag(b"words")));
        assert!(before.accepts(before.sending_id()) && !before.accepts(after.sending_id()));
    }

    #[test]
    fn the_first_half_of_a_known_hmac_is_the_tag() {
        // printf 'words' | openssl dgst -sha256 -mac hmac -macopt hexkey:0101…01
        let tag = KeyRing::new(&[[1; 32]]).tag(b"words");
        assert_eq!(tag[..4], [0xac, 0xf8, 0xf1, 0x47]);
    }

    #[test]
    fn without_keys_only_frames_without_authentication_are_accepted() {
        let insecure = KeyRing::insecure();
        let secure = KeyRing::new(&[[1; 32]]);
        assert_eq!(insecure.sending_id(), 0);
        assert_eq!(insecure.tag(b"words"), [0; 16]);
        assert!(insecure.verify(0, b"words", &[0; 16]));
        assert!(!insecure.verify(0, b"words", &secure.tag(b"words")));
        assert!(!insecure.accepts(1) && !insecure.verify(1, b"words", &[0; 16]));
        assert!(!secure.verify(secure.sending_id(), b"words", &[0; 16]));
    }
}
