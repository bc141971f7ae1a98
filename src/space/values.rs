//! A set of whole numbers, as ranges.

use std::ops::RangeInclusive;

/// Ranges that are sorted and do not touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values(Vec<(u128, u128)>);

impl Values {
    /// The numbers of these ranges.
    pub fn of(ranges: impl IntoIterator<Item = RangeInclusive<u128>>) -> Values {
        let mut ranges: Vec<(u128, u128)> = ranges.into_iter().map(RangeInclusive::into_inner).collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut().filter(|before| first <= before.1.saturating_add(1)) {
                Some(before) => before.1 = before.1.max(last),
                None => merged.push((first, last)),
            }
        }
        Values(merged)
    }

    /// These numbers.
    pub fn these(numbers: impl IntoIterator<Item = u128>) -> Values {
        Values::of(numbers.into_iter().map(|number| number..=number))
    }

    /// What both have.
    pub fn intersection(&self, other: &Values) -> Values {
        let cut = |(first, last): (u128, u128), with: &(u128, u128)| (first.max(with.0), last.min(with.1));
        let pairs = self.0.iter().flat_map(|one| other.0.iter().map(move |with| cut(*one, with)));
        Values(pairs.filter(|(first, last)| first <= last).collect())
    }

    /// What only this one has.
    pub fn difference(&self, other: &Values) -> Values {
        let mut left = self.0.clone();
        for (first, last) in &other.0 {
            left = left.into_iter().flat_map(|range| outside(range, (*first, *last))).collect();
        }
        Values(left)
    }

    /// Whether it has nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it has this number.
    pub fn contains(&self, number: u128) -> bool {
        self.0.iter().any(|(first, last)| (first..=last).contains(&&number))
    }

    /// Its ranges.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u128>> + '_ {
        self.0.iter().map(|(first, last)| *first..=*last)
    }
}

fn outside((first, last): (u128, u128), (start, end): (u128, u128)) -> Vec<(u128, u128)> {
    if end < first || last < start {
        return vec![(first, last)];
    }
    let before = (first < start).then(|| (first, start - 1));
    let behind = (end < last).then(|| (end + 1, last));
    before.into_iter().chain(behind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_cut_and_joined_at_their_ends() {
        let all = Values::of([0..=9]);
        let some = Values::of([7..=7, 2..=3, 4..=4]);
        assert_eq!(some, Values::of([2..=4, 7..=7]));
        assert_eq!(all.difference(&some), Values::of([0..=1, 5..=6, 8..=9]));
        assert_eq!(all.intersection(&some), some);
        assert!(some.difference(&all).is_empty());
        assert_eq!(
            Values::of([0..=u128::MAX]).difference(&Values::these([u128::MAX])),
            Values::of([0..=u128::MAX - 1])
        );
    }
}
