//! Label sets (and, in the same form, annotations and selectors).

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::Istr;
use crate::intern::Table;

type Pairs = [(Istr, Istr)];

static SETS: LazyLock<Table<Arc<Pairs>>> = LazyLock::new(Table::new);

/// A map of strings sorted by key, stored once for all objects that carry the same one: the Pods of a
/// ReplicaSet share theirs. Compares by pointer.
#[derive(Clone)]
pub struct Labels(Arc<Pairs>);

impl Labels {
    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Istr> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(key)).ok().map(|at| &self.0[at].1)
    }

    /// Pairs in the order of their keys.
    pub fn iter(&self) -> std::slice::Iter<'_, (Istr, Istr)> {
        self.0.iter()
    }

    /// Number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Is there no pair at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Does this set, read as a selector, match `labels`? Every pair must be present; the empty selector
    /// matches everything.
    #[must_use]
    pub fn selects(&self, labels: &Self) -> bool {
        let mut candidates = labels.iter();
        self.iter().all(|wanted| candidates.by_ref().find(|pair| pair.0 >= wanted.0) == Some(wanted))
    }
}

impl FromIterator<(Istr, Istr)> for Labels {
    /// The last value of a repeated key counts, as in JSON objects.
    fn from_iter<I: IntoIterator<Item = (Istr, Istr)>>(pairs: I) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        // Keeps the last of equal keys: the sort is stable, so walk backwards.
        pairs.reverse();
        pairs.dedup_by(|a, b| a.0 == b.0);
        pairs.reverse();
        Self(SETS.intern(pairs))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Labels {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        pairs.into_iter().map(|(key, value)| (Istr::from(key), Istr::from(value))).collect()
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = &'a (Istr, Istr);
    type IntoIter = std::slice::Iter<'a, (Istr, Istr)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self(SETS.intern(Vec::new()))
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Labels {}

impl std::hash::Hash for Labels {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).cast::<u8>().hash(state);
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(key, value)| (key, value))).finish()
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;

        impl<'de> Visitor<'de> for Map {
            type Value = Labels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_unit<E>(self) -> Result<Labels, E> {
                Ok(Labels::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut pairs: Vec<(Istr, Istr)> = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs.into_iter().collect())
            }
        }

        deserializer.deserialize_any(Map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    #[test]
    fn sets_are_shared_whatever_the_order_of_their_pairs() {
        assert_eq!(labels(&[("a", "1"), ("b", "2")]), labels(&[("b", "2"), ("a", "1")]));
        assert_ne!(labels(&[("a", "1")]), labels(&[("a", "2")]));
    }

    #[test]
    fn the_last_value_of_a_repeated_key_counts() {
        assert_eq!(labels(&[("a", "1"), ("b", "x"), ("a", "2")]), labels(&[("a", "2"), ("b", "x")]));
    }

    #[test]
    fn selectors_need_every_pair() {
        let pod = labels(&[("app", "web"), ("tier", "front"), ("zone", "a")]);
        for (selector, expected) in [
            (labels(&[]), true),
            (labels(&[("app", "web")]), true),
            (labels(&[("app", "web"), ("zone", "a")]), true),
            (labels(&[("app", "db")]), false),
            (labels(&[("app", "web"), ("region", "x")]), false),
            (labels(&[("zzz", "a")]), false),
        ] {
            assert_eq!(selector.selects(&pod), expected, "{selector:?}");
        }
    }
}
