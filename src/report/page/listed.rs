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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_short_or_says_how_much_longer_it_is() {
        let list = |count: usize| (1..=count).map(|item| item.to_string()).collect::<Vec<_>>().join(", ");
        assert_eq!(shortened(&list(ITEMS)), list(ITEMS));
        assert_eq!(shortened(&list(ITEMS + 2)), format!("{}, and 2 more", list(ITEMS)));
        assert_eq!(shortened(""), "");
    }
}
