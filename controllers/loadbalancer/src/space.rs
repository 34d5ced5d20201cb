//! Sets of addresses as intervals.
//!
//! What is free in a pool is kept as intervals without gaps between neighbours, so that the cost of finding, taking and
//! giving back an address is the logarithm of how often the free space is interrupted, whatever the size of the pool.

use std::collections::BTreeMap;

use crate::ranges::Interval;

/// A set of numbers: disjoint intervals that do not touch, the last number of each by its first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Space(BTreeMap<u128, u128>);

impl Space {
    pub(crate) fn contains(&self, number: u128) -> bool {
        self.at_or_before(number).is_some_and(|interval| interval.contains(number))
    }

    pub(crate) fn intervals(&self) -> impl Iterator<Item = Interval> {
        self.0.iter().map(|(first, last)| Interval { first: *first, last: *last })
    }

    /// How many numbers there are; all numbers at once count as one less.
    pub(crate) fn size(&self) -> u128 {
        self.intervals().fold(0, |sum: u128, interval| {
            sum.saturating_add((interval.last - interval.first).saturating_add(1))
        })
    }

    /// The lowest one.
    pub(crate) fn lowest(&self) -> Option<u128> {
        visit();
        self.0.first_key_value().map(|(first, _)| *first)
    }

    /// The lowest one that is not below `number`, or else the lowest of all.
    pub(crate) fn next_from(&self, number: u128) -> Option<u128> {
        if self.contains(number) {
            return Some(number);
        }
        visit();
        self.0.range(number..).next().map(|(first, _)| *first).or_else(|| self.lowest())
    }

    /// Takes one number out; false if it is not in the set.
    pub(crate) fn take(&mut self, number: u128) -> bool {
        let Some(Interval { first, last }) = self.at_or_before(number).filter(|it| it.contains(number))
        else {
            return false;
        };
        visit();
        if first < number {
            self.0.insert(first, number - 1);
        } else {
            self.0.remove(&first);
        }
        if number < last {
            self.0.insert(number + 1, last);
        }
        true
    }

    /// Puts an interval in, and joins it with its neighbours.
    pub(crate) fn insert(&mut self, interval: Interval) {
        let Interval { mut first, mut last } = interval;
        if let Some(before) = self.at_or_before(first)
            && before.last.checked_add(1).is_none_or(|next| next >= first)
        {
            first = before.first;
            last = last.max(before.last);
        }
        // Those that begin inside, or right after.
        while let Some((next, its_last)) = self.0.range(first..=last.saturating_add(1)).next() {
            visit();
            let (next, its_last) = (*next, *its_last);
            last = last.max(its_last);
            self.0.remove(&next);
        }
        self.0.insert(first, last);
    }

    /// Takes an interval out, as far as it is in the set.
    pub(crate) fn remove(&mut self, interval: Interval) {
        while let Some(found) = self.at_or_before(interval.last).filter(|found| found.overlaps(interval)) {
            self.0.remove(&found.first);
            if found.first < interval.first {
                self.0.insert(found.first, interval.first - 1);
            }
            if interval.last < found.last {
                self.0.insert(interval.last + 1, found.last);
            }
        }
    }

    fn at_or_before(&self, number: u128) -> Option<Interval> {
        visit();
        self.0.range(..=number).next_back().map(|(first, last)| Interval { first: *first, last: *last })
    }
}

/// Notes that an interval was looked at: a test counts them.
#[cfg(not(test))]
#[inline]
fn visit() {}

#[cfg(test)]
use counting::visit;
#[cfg(test)]
pub(crate) use counting::visited;

#[cfg(test)]
mod counting {
    use std::cell::Cell;

    thread_local!(static VISITED: Cell<u64> = const { Cell::new(0) });

    pub(super) fn visit() {
        VISITED.set(VISITED.get() + 1);
    }

    /// Intervals that this thread has looked at.
    pub(crate) fn visited() -> u64 {
        VISITED.get()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u128, u128),
        Remove(u128, u128),
        Take(u128),
        Give(u128),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let number = 0_u128..60;
        let step = prop_oneof![
            (number.clone(), 0_u128..12).prop_map(|(first, more)| Step::Insert(first, first + more)),
            (number.clone(), 0_u128..12).prop_map(|(first, more)| Step::Remove(first, first + more)),
            number.clone().prop_map(Step::Take),
            number.prop_map(Step::Give),
        ];
        prop::collection::vec(step, 0..60)
    }

    /// The same set, number by number, moved to a place in the whole of them.
    fn check(steps: &[Step], base: u128) {
        let mut space = Space::default();
        let mut naive: BTreeSet<u128> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Insert(first, last) => {
                    space.insert(Interval { first: base + first, last: base + last });
                    naive.extend(*first..=*last);
                }
                Step::Remove(first, last) => {
                    space.remove(Interval { first: base + first, last: base + last });
                    naive.retain(|number| !(first..=last).contains(&number));
                }
                Step::Take(number) => assert_eq!(space.take(base + number), naive.remove(number)),
                Step::Give(number) => {
                    space.insert(Interval { first: base + number, last: base + number });
                    naive.insert(*number);
                }
            }
            assert_eq!(space.size(), naive.len() as u128);
            assert_eq!(space.lowest(), naive.first().map(|number| base + number));
            for number in 0..75 {
                assert_eq!(space.contains(base + number), naive.contains(&number));
                let next = naive.range(number..).next().or_else(|| naive.first());
                assert_eq!(space.next_from(base + number), next.map(|number| base + number));
            }
            let intervals: Vec<_> = space.intervals().collect();
            assert!(intervals.windows(2).all(|two| two[0].last + 1 < two[1].first), "{intervals:?}");
        }
    }

    proptest! {
        #[test]
        fn a_space_is_the_set_of_its_numbers(steps in steps()) {
            check(&steps, 0);
            // The highest numbers there are.
            check(&steps, u128::MAX - 80);
        }
    }

    #[test]
    fn the_ends_of_all_numbers_are_numbers_like_others() {
        let mut space = Space::default();
        space.insert(Interval { first: 0, last: u128::MAX });
        assert_eq!(space.size(), u128::MAX);
        assert!(space.take(0) && space.take(u128::MAX) && !space.take(0));
        assert_eq!(space.next_from(u128::MAX), Some(1));
        space.insert(Interval { first: u128::MAX, last: u128::MAX });
        space.insert(Interval { first: 0, last: 0 });
        assert_eq!(space.intervals().count(), 1);
        space.remove(Interval { first: 0, last: u128::MAX });
        assert_eq!(space.lowest(), None);
    }
}
