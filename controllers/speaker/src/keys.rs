//! The keys of the beacons, from files.
//!
//! A Secret is mounted as a directory: each entry is a file, and an update exchanges all of them at once. Every file with
//! a key counts, so that two can be accepted while the fleet goes over from one to the other; the one whose name sorts last
//! is the one that is sent with.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fairlead_layer2::beacon::keys::{KEY_LENGTH, KeyRing};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often the directory is looked at. The kubelet takes a minute to bring a changed Secret.
const PERIOD: Duration = Duration::from_secs(10);
/// No file of a key is longer: 64 digits, white space around them.
const MOST_BYTES: u64 = 1024;

/// A directory with keys.
#[derive(Debug)]
pub struct KeyDirectory {
    path: PathBuf,
    keys: Keys,
    ring: watch::Sender<KeyRing>,
}

/// Keys by the names of their files.
type Keys = BTreeMap<String, [u8; KEY_LENGTH]>;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read.
    #[error(
        "the keys of the beacons cannot be read from {path}: {source}; mount the Secret fairlead-beacon-key there, or name \
         its directory with --beacon-key-dir"
    )]
    Unreadable {
        /// The directory or a file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has something else in it.
    #[error(
        "{path} is not a key of the beacons: {problem}; a key is a file of 32 random bytes, as such, as 64 hexadecimal \
         digits or in base64"
    )]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is nothing in it.
    #[error(
        "there is no key of the beacons in {path}: the loadbalancer-controller creates the Secret fairlead-beacon-key, which \
         is to be mounted there; or name another directory with --beacon-key-dir"
    )]
    Empty {
        /// The directory.
        path: PathBuf,
    },
}

impl KeyDirectory {
    /// Reads the keys of a directory.
    ///
    /// # Errors
    /// If there are none, or something else is in it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, KeyError> {
        let path = path.into();
        let keys = read(&path)?;
        Ok(Self { ring: watch::Sender::new(ring(&keys)), path, keys })
    }

    /// The keys, as they are from time to time.
    #[must_use]
    pub fn ring(&self) -> watch::Receiver<KeyRing> {
        self.ring.subscribe()
    }

    /// Follows changes of the directory until it is told to stop. What cannot be used is logged, and the keys stay.
    pub async fn follow(mut self, stop: CancellationToken) {
        let mut complaint = None;
        while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
            match read(&self.path) {
                Ok(keys) => {
                    complaint = None;
                    self.take(keys);
                }
                Err(error) => {
                    let error = error.to_string();
                    if complaint.as_ref() != Some(&error) {
                        warn!("{error}; the keys that were there before stay in use");
                        complaint = Some(error);
                    }
                }
            }
        }
    }

    fn take(&mut self, keys: Keys) {
        if keys == self.keys {
            return;
        }
        let names = || keys.keys().map(String::as_str).collect::<Vec<_>>().join(",");
        info!(
            keys = names(),
            sending = keys.keys().next_back().map(String::as_str),
            "the keys of the beacons changed"
        );
        self.ring.send_replace(ring(&keys));
        self.keys = keys;
    }
}

/// The key whose file's name sorts last sends.
fn ring(keys: &Keys) -> KeyRing {
    KeyRing::new(&keys.values().copied().collect::<Vec<_>>())
}

/// Every file of a directory has to be a key. Names that begin with a dot are the kubelet's own.
fn read(directory: &Path) -> Result<Keys, KeyError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        |source| KeyError::Unreadable { path, source }
    };
    let mut keys = Keys::new();
    for entry in fs::read_dir(directory).map_err(unreadable(directory))? {
        let path = entry.map_err(unreadable(directory))?.path();
        let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else { continue };
        if name.starts_with('.') {
            continue;
        }
        // Of what a link leads to: the kubelet mounts links.
        let metadata = fs::metadata(&path).map_err(unreadable(&path))?;
        if !metadata.is_file() {
            continue;
        }
        if metadata.len() > MOST_BYTES {
            return Err(KeyError::NotAKey { path, problem: "it is too long" });
        }
        let content = fs::read(&path).map_err(unreadable(&path))?;
        match parse(&content) {
            Some(key) if key != [0; KEY_LENGTH] => keys.insert(name, key),
            Some(_) => return Err(KeyError::NotAKey { path, problem: "everybody can guess 32 zeros" }),
            None => return Err(KeyError::NotAKey { path, problem: "it has no 32 bytes in it" }),
        };
    }
    if keys.is_empty() {
        return Err(KeyError::Empty { path: directory.to_owned() });
    }
    Ok(keys)
}

fn parse(content: &[u8]) -> Option<[u8; KEY_LENGTH]> {
    if let Ok(key) = content.try_into() {
        return Some(key);
    }
    let text = std::str::from_utf8(content).ok()?.trim();
    hexadecimal(text).or_else(|| base64(text))
}

fn hexadecimal(text: &str) -> Option<[u8; KEY_LENGTH]> {
    if text.len() != 2 * KEY_LENGTH {
        return None;
    }
    let mut key = [0; KEY_LENGTH];
    for (octet, pair) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *octet = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(key)
}

/// 32 bytes are 43 digits and one sign that fills up.
fn base64(text: &str) -> Option<[u8; KEY_LENGTH]> {
    let digits = text.strip_suffix('=').filter(|digits| digits.len() == 43)?;
    let mut bits = 0_u32;
    let mut bytes = Vec::with_capacity(KEY_LENGTH);
    let mut have = 0;
    for byte in digits.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(digit)) & 0xffff;
        have += 6;
        if have >= 8 {
            have -= 8;
            bytes.push(u8::try_from(bits >> have & 0xff).ok()?);
        }
    }
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory that goes away with this.
    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("keys-{:x}", fastrand::u128(..)));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn with(self, name: &str, content: impl AsRef<[u8]>) -> Self {
            fs::write(self.0.join(name), content).unwrap();
            self
        }

        fn problem(&self) -> String {
            KeyDirectory::open(&self.0).unwrap_err().to_string()
        }

        fn sends_like(&self, key: [u8; KEY_LENGTH]) -> bool {
            let ring = KeyDirectory::open(&self.0).unwrap().ring().borrow().clone();
            ring.tag(b"words") == KeyRing::new(&[key]).tag(b"words")
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    const KEY: [u8; 32] = *b"0123456789abcdefghijklmnopqrstuv";
    // printf 0123456789abcdefghijklmnopqrstuv | base64, and | xxd -p -c 64
    const BASE64: &str = "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=";
    const HEXADECIMAL: &str = "303132333435363738396162636465666768696a6b6c6d6e6f70717273747576";

    #[test]
    fn a_key_is_32_bytes_as_such_or_in_digits() {
        for content in [
            KEY.to_vec(),
            BASE64.into(),
            HEXADECIMAL.into(),
            format!("{HEXADECIMAL}\n").into(),
            format!(" {BASE64}\n").into(),
        ] {
            assert!(Directory::new().with("key", &content).sends_like(KEY), "{content:?}");
        }
    }

    #[test]
    fn the_file_that_sorts_last_sends_and_all_are_accepted() {
        let directory = Directory::new().with("2026-01", [1; 32]).with("2026-02", KEY);
        assert!(directory.sends_like(KEY));
        let ring = KeyDirectory::open(&directory.0).unwrap().ring().borrow().clone();
        let old = KeyRing::new(&[[1; 32]]);
        assert!(ring.verify(old.sending_id(), b"words", &old.tag(b"words")));
    }

    #[test]
    fn a_secret_as_the_kubelet_mounts_it() {
        let directory = Directory::new();
        let data = directory.0.join("..2026_01_01");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("key"), KEY).unwrap();
        symlink("..2026_01_01", directory.0.join("..data")).unwrap();
        symlink("..data/key", directory.0.join("key")).unwrap();
        assert!(directory.sends_like(KEY));
    }

    #[test]
    fn a_changed_directory_is_followed_and_what_is_no_key_changes_nothing() {
        let directory = Directory::new().with("1", [1; 32]);
        let mut keys = KeyDirectory::open(&directory.0).unwrap();
        let mut ring = keys.ring();
        ring.mark_unchanged();
        keys.take(read(&directory.0).unwrap());
        assert!(!ring.has_changed().unwrap());
        let directory = directory.with("2", KEY);
        keys.take(read(&directory.0).unwrap());
        assert!(ring.has_changed().unwrap());
        assert_eq!(ring.borrow().sending_id(), KeyRing::new(&[KEY]).sending_id());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let missing = KeyDirectory::open("/nowhere/keys").unwrap_err().to_string();
        assert!(missing.contains("/nowhere/keys: No such file"), "{missing}");
        assert!(missing.contains("--beacon-key-dir"), "{missing}");
        assert!(Directory::new().problem().starts_with("there is no key of the beacons in "));
        for (content, problem) in [
            (&b"short"[..], "it has no 32 bytes in it"),
            (&[0; 32], "everybody can guess 32 zeros"),
            (&[b'x'; 2000], "it is too long"),
            (&[b'g'; 64], "it has no 32 bytes in it"),
            (&BASE64.as_bytes()[1..], "it has no 32 bytes in it"),
        ] {
            let said = Directory::new().with("key", content).problem();
            assert!(said.contains(problem), "{said}");
        }
    }
}
