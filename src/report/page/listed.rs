//! Lists that nobody reads to their end.

/// More items than this are counted.
const ITEMS: usize = 24;

/// The list with its first items, and how many more there are: `1, 3, 5, and 32765 more`.
pub fn shortened(list: &str) -> String {
    match list.match_indices(", ").nth(ITEMS - 1) {
        Some((at, _)) => format!("{}, and {} more", &list[..at], list[at..].matches(", ").count()),
        None => list.to_owned(),
    }
}

/// The first of a list, and how many more there are.
pub struct FirstOf<'a, T> {
    /// Those that there is room for.
    pub shown: &'a [T],
    /// How many there is no room for.
    pub left_out: usize,
}

impl<'a, T> FirstOf<'a, T> {
    /// At most so many of them.
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
