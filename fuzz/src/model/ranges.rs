// SPDX-License-Identifier: GPL-2.0-only

//! A set of addresses.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of addresses, as ranges that do not touch each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds a range.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        while let Some((&low, &high)) = self.0.range(..=end).next_back() {
            if high < start {
                break;
            }
            self.0.remove(&low);
            start = start.min(low);
            end = end.max(high);
        }
        self.0.insert(start, end);
    }

    /// Removes a range.
    pub fn remove(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        while let Some((&low, &high)) = self.0.range(..range.end).next_back() {
            if high <= range.start {
                break;
            }
            self.0.remove(&low);
            if high > range.end {
                self.0.insert(range.end, high);
            }
            if low < range.start {
                self.0.insert(low, range.start);
            }
        }
    }

    /// Returns whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the ranges of the set.
    #[must_use]
    pub fn all(&self) -> Vec<Range<u64>> {
        self.0.iter().map(|(&low, &high)| low..high).collect()
    }

    /// Returns whether the set contains a whole range.
    #[must_use]
    pub fn contains(&self, range: &Range<u64>) -> bool {
        self.0
            .range(..=range.start)
            .next_back()
            .is_some_and(|(_, &high)| high >= range.end)
    }

    /// Returns the part of a range that is in the set.
    #[must_use]
    pub fn within(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        self.0
            .range(..range.end)
            .filter(|(_, &high)| high > range.start)
            .map(|(&low, &high)| low.max(range.start)..high.min(range.end))
            .collect()
    }
}

// contract: fuzz.model
#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn touching_ranges_become_one() {
        let mut set = Ranges::default();
        set.insert(0..4);
        set.insert(8..12);
        set.insert(4..8);
        assert!(set.contains(&(0..12)));
        assert_eq!(set.within(&(0..100)), [0..12]);
    }

    #[test]
    fn a_hole_divides_a_range() {
        let mut set = Ranges::default();
        set.insert(0..12);
        set.remove(&(4..8));
        assert!(!set.contains(&(0..12)));
        assert_eq!(set.within(&(2..10)), [2..4, 8..10]);
    }

    #[test]
    fn it_is_a_set_of_bits() {
        let mut rng = Rng::new(1, 1);
        let mut set = Ranges::default();
        let mut bits = [false; 64];
        for _ in 0..20_000 {
            let start = rng.below(64);
            let range = start..start + rng.below(65 - start);
            let add = rng.once_in(2);
            for at in range.clone() {
                bits[usize::try_from(at).unwrap()] = add;
            }
            if add {
                set.insert(range);
            } else {
                set.remove(&range);
            }
            for (at, &bit) in (0u64..).zip(&bits) {
                assert_eq!(set.contains(&(at..at + 1)), bit);
            }
        }
    }
}
