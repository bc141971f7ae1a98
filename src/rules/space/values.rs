//! A set of whole numbers, as ranges.

use std::ops::RangeInclusive;
use std::sync::Arc;

/// Ranges that are sorted and do not touch. A copy shares them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
        if Arc::ptr_eq(&self.0, &other.0) {
            self.clone()
        } else {
            Values(common(self.near(other), other.near(self)).collect())
        }
    }

    /// True if they have no number in common.
    pub fn is_disjoint(&self, other: &Values) -> bool {
        let is_same = Arc::ptr_eq(&self.0, &other.0) && !self.is_empty();
        !is_same && common(self.near(other), other.near(self)).next().is_none()
    }

    /// The numbers in either.
    pub fn union(&self, other: &Values) -> Values {
        Values::from_ranges(self.ranges().chain(other.ranges()))
    }

    /// The numbers in this one only.
    pub fn difference(&self, other: &Values) -> Values {
        let is_same = Arc::ptr_eq(&self.0, &other.0);
        if is_same { Values(Arc::from([])) } else { Values(common(&self.0, &others(other.near(self))).collect()) }
    }

    /// Those of its ranges that lie between the first and the last number of `other`, or overlap one of them.
    fn near(&self, other: &Values) -> &[(u128, u128)] {
        let (Some((first, _)), Some((_, last))) = (other.0.first(), other.0.last()) else { return &[] };
        let start = self.0.partition_point(|range| range.1 < *first);
        let length = self.0[start..].partition_point(|range| range.0 <= *last);
        &self.0[start..start + length]
    }

    /// The number of its ranges.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// True if it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if it contains this number.
    pub fn contains(&self, number: u128) -> bool {
        self.0.get(self.0.partition_point(|range| range.1 < number)).is_some_and(|range| range.0 <= number)
    }

    /// Its ranges.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u128>> + '_ {
        self.0.iter().map(|(first, last)| *first..=*last)
    }
}

/// All numbers that are not in `ranges`.
fn others(ranges: &[(u128, u128)]) -> Vec<(u128, u128)> {
    let starts = std::iter::once(Some(0)).chain(ranges.iter().map(|(_, last)| last.checked_add(1)));
    let ends = ranges.iter().map(|(first, _)| first.checked_sub(1)).chain([Some(u128::MAX)]);
    let between = starts.zip(ends).filter_map(|(start, end)| Some((start?, end?)));
    between.filter(|(start, end)| start <= end).collect()
}

/// The common ranges. One step for each pair of ranges that may overlap, since both are sorted.
fn common(one: &[(u128, u128)], two: &[(u128, u128)]) -> impl Iterator<Item = (u128, u128)> {
    let (mut one, mut two) = (one.iter().peekable(), two.iter().peekable());
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
