//! Lists, cut after a number of items.

/// The number of items that are shown before the rest is counted.
const ITEMS: usize = 24;

/// The first items of the list, and the number of the others: `1, 3, 5, and 32765 more`.
pub fn shortened(list: &str) -> String {
    match list.match_indices(", ").nth(ITEMS - 1) {
        Some((at, _)) => format!("{}, and {} more", &list[..at], list[at..].matches(", ").count()),
        None => list.to_owned(),
    }
}

/// The first items of a list, and the number of the others.
pub struct FirstOf<'a, T> {
    /// The items that are shown.
    pub shown: &'a [T],
    /// The number of items that are not shown.
    pub left_out: usize,
}

impl<'a, T> FirstOf<'a, T> {
    /// At most `most` of the items.
    pub fn new(all: &'a [T], most: usize) -> FirstOf<'a, T> {
        let (shown, left_out) = all.split_at(all.len().min(most));
        FirstOf { shown, left_out: left_out.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_rest_are_all() {
        for (most, shown, left_out) in [(0, 0, 3), (2, 2, 1), (3, 3, 0), (9, 3, 0)] {
            let first = FirstOf::new(&[1, 2, 3], most);
            assert_eq!((first.shown.len(), first.left_out), (shown, left_out));
        }
    }

    #[test]
    fn a_list_is_short_or_says_how_much_longer_it_is() {
        let list = |count: usize| (1..=count).map(|item| item.to_string()).collect::<Vec<_>>().join(", ");
        assert_eq!(shortened(&list(ITEMS)), list(ITEMS));
        assert_eq!(shortened(&list(ITEMS + 2)), format!("{}, and 2 more", list(ITEMS)));
        assert_eq!(shortened(""), "");
    }
}
