//! Strings and lists that many objects share, stored once.
//!
//! A cluster of 150,000 Pods has a few thousand distinct node names, namespaces and label sets. Each distinct
//! value lives in a process-wide table; handles are reference counted and compare by pointer. Values that
//! nobody holds any more are swept when a table has doubled since its last sweep, so the table stays
//! proportional to what is in use and the cost of sweeping is constant per insertion.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use arcstr::ArcStr;
use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::Mutex;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

const SHARDS: usize = 16;
const FIRST_SWEEP: usize = 1024;

/// A counted handle to a value that many share.
pub trait Shared: Clone {
    /// The value.
    type Value: ?Sized + Eq + Hash;

    /// What all equal handles have.
    fn value(&self) -> &Self::Value;

    /// Does anybody but the owner of this handle have one?
    fn is_held_elsewhere(&self) -> bool;
}

impl<T: ?Sized + Eq + Hash> Shared for Arc<T> {
    type Value = T;

    fn value(&self) -> &T {
        self
    }

    fn is_held_elsewhere(&self) -> bool {
        Self::strong_count(self) > 1
    }
}

impl Shared for ArcStr {
    type Value = str;

    fn value(&self) -> &str {
        self
    }

    fn is_held_elsewhere(&self) -> bool {
        // The empty text is a constant that is not counted.
        Self::strong_count(self).is_none_or(|count| count > 1)
    }
}

/// A table of shared values of one kind.
pub struct Table<H> {
    hasher: DefaultHashBuilder,
    shards: [Mutex<Shard<H>>; SHARDS],
}

struct Shard<H> {
    values: HashTable<H>,
    sweep_at: usize,
}

impl<H: Shared> Default for Table<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H: Shared> Table<H> {
    /// With nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            shards: std::array::from_fn(|_| {
                Mutex::new(Shard { values: HashTable::new(), sweep_at: FIRST_SWEEP })
            }),
        }
    }

    /// The one shared copy of `value`.
    pub fn intern<V>(&self, value: V) -> H
    where
        V: Borrow<H::Value> + Into<H>,
    {
        let hash = self.hasher.hash_one(value.borrow());
        let shard = usize::try_from(hash % SHARDS as u64).unwrap_or_default();
        let mut shard = self.shards[shard].lock();
        if let Some(shared) = shard.values.find(hash, |known| known.value() == value.borrow()) {
            return shared.clone();
        }
        let hasher = &self.hasher;
        if shard.values.len() >= shard.sweep_at {
            // What only the table holds can go: no new handle can appear, because handles come from a clone of an
            // existing one or from this table, which is locked.
            shard.values.retain(|known| known.is_held_elsewhere());
            shard.sweep_at = (shard.values.len() * 2).max(FIRST_SWEEP);
            shard.values.shrink_to_fit(|known| hasher.hash_one(known.value()));
        }
        let added: H = value.into();
        shard.values.insert_unique(hash, added.clone(), |known| hasher.hash_one(known.value()));
        added
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().values.len()).sum()
    }
}

static STRINGS: LazyLock<Table<ArcStr>> = LazyLock::new(Table::new);

/// An interned string: one word, cloned by counting, compared and hashed by pointer, ordered by content.
#[derive(Clone)]
pub struct Istr(ArcStr);

impl Istr {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Istr {
    fn from(text: &str) -> Self {
        Self(STRINGS.intern(text))
    }
}

impl From<String> for Istr {
    fn from(text: String) -> Self {
        Self(STRINGS.intern(text))
    }
}

impl Default for Istr {
    fn default() -> Self {
        Self::from("")
    }
}

impl Deref for Istr {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Istr {
    fn eq(&self, other: &Self) -> bool {
        ArcStr::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Istr {}

impl Hash for Istr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_ptr().hash(state);
    }
}

impl PartialOrd for Istr {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Istr {
    fn cmp(&self, other: &Self) -> Ordering {
        if self == other { Ordering::Equal } else { self.as_str().cmp(other.as_str()) }
    }
}

impl PartialEq<str> for Istr {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Istr {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Istr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Istr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Istr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Istr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Istr;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Istr, E> {
                Ok(Istr::from(text))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_one_copy() {
        let first = Istr::from("node-1");
        let second = Istr::from(String::from("node-1"));
        assert_eq!(first, second);
        assert!(ArcStr::ptr_eq(&first.0, &second.0));
        assert_eq!(Istr::from(""), Istr::default());
        assert_eq!(size_of::<Option<Istr>>(), size_of::<usize>());
        assert_ne!(first, Istr::from("node-2"));
    }

    #[test]
    fn order_is_by_content() {
        let mut names = [Istr::from("b"), Istr::from("a"), Istr::from("c")];
        names.sort();
        assert_eq!(names.map(|name| name.to_string()), ["a", "b", "c"]);
    }

    #[test]
    fn values_that_nobody_holds_are_swept() {
        let table: Table<ArcStr> = Table::new();
        let kept: Vec<_> = (0..100).map(|n| table.intern(format!("kept-{n}"))).collect();
        for n in 0..1_000_000 {
            table.intern(format!("gone-{n}"));
        }
        assert!(table.len() < SHARDS * FIRST_SWEEP + kept.len(), "{} values left", table.len());
        for (n, value) in kept.iter().enumerate() {
            assert!(ArcStr::ptr_eq(value, &table.intern(format!("kept-{n}"))));
        }
    }
}
