//! A set of whole numbers, as ranges.

use std::ops::RangeInclusive;
use std::sync::Arc;

/// Ranges that are sorted and do not touch. A copy shares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values(Arc<[(u128, u128)]>);

impl Values {
    /// The numbers of these ranges.
    pub fn from_ranges(ranges: impl IntoIterator<Item = RangeInclusive<u128>>) -> Values {
        let mut ranges: Vec<(u128, u128)> = ranges.into_iter().map(RangeInclusive::into_inner).collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut().filter(|before| first <= before.1.saturating_add(1)) {
                Some(before) => before.1 = before.1.max(last),
                None => merged.push((first, last)),
            }
        }
        Values(merged.into())
    }

    /// These numbers.
    pub fn these(numbers: impl IntoIterator<Item = u128>) -> Values {
        Values::from_ranges(numbers.into_iter().map(|number| number..=number))
    }

    /// The numbers in both.
    pub fn intersection(&self, other: &Values) -> Values {
        if Arc::ptr_eq(&self.0, &other.0) { self.clone() } else { Values(self.common(other).collect()) }
    }

    /// True if they have no number in common.
    pub fn is_disjoint(&self, other: &Values) -> bool {
        self.common(other).next().is_none()
    }

    /// The numbers in either.
    pub fn union(&self, other: &Values) -> Values {
        Values::from_ranges(self.ranges().chain(other.ranges()))
    }

    /// The numbers in this one only.
    pub fn difference(&self, other: &Values) -> Values {
        Values(self.common(&other.others()).collect())
    }

    /// All numbers that it does not contain.
    fn others(&self) -> Values {
        let starts = std::iter::once(Some(0)).chain(self.0.iter().map(|(_, last)| last.checked_add(1)));
        let ends = self.0.iter().map(|(first, _)| first.checked_sub(1)).chain([Some(u128::MAX)]);
        let ranges = starts.zip(ends).filter_map(|(start, end)| Some((start?, end?)));
        Values(ranges.filter(|(start, end)| start <= end).collect())
    }

    /// The common ranges. One step for each pair of ranges that may overlap, since both are sorted.
    fn common<'v>(&'v self, other: &'v Values) -> impl Iterator<Item = (u128, u128)> + 'v {
        let (mut one, mut two) = (self.0.iter().peekable(), other.0.iter().peekable());
        std::iter::from_fn(move || {
            while let (Some((first, last)), Some((start, end))) = (one.peek(), two.peek()) {
                let both = (*first.max(start), *last.min(end));
                if last <= end {
                    one.next();
                } else {
                    two.next();
                }
                if both.0 <= both.1 {
                    return Some(both);
                }
            }
            None
        })
    }

    /// True if it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if it contains this number.
    pub fn contains(&self, number: u128) -> bool {
        self.0.iter().any(|(first, last)| (first..=last).contains(&&number))
    }

    /// Its ranges.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u128>> + '_ {
        self.0.iter().map(|(first, last)| *first..=*last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_cut_and_joined_at_their_ends() {
        let all = Values::from_ranges([0..=9]);
        let some = Values::from_ranges([7..=7, 2..=3, 4..=4]);
        assert_eq!(some, Values::from_ranges([2..=4, 7..=7]));
        assert_eq!(all.difference(&some), Values::from_ranges([0..=1, 5..=6, 8..=9]));
        assert_eq!(all.intersection(&some), some);
        assert!(some.difference(&all).is_empty());
        assert_eq!(
            Values::from_ranges([0..=u128::MAX]).difference(&Values::these([u128::MAX])),
            Values::from_ranges([0..=u128::MAX - 1])
        );
    }

    /// Every set of numbers below 6, against arithmetic with bits.
    #[test]
    fn sets_of_small_numbers_agree_with_bits() {
        let set = |bits: u32| Values::these((0..6).filter(|number| bits >> number & 1 == 1));
        for (one, other) in (0..64).flat_map(|one| (0..64).map(move |other| (one, other))) {
            assert_eq!(set(one).intersection(&set(other)), set(one & other));
            assert_eq!(set(one).difference(&set(other)), set(one & !other));
            assert_eq!(set(one).is_disjoint(&set(other)), one & other == 0);
        }
    }
}
