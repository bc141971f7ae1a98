//! Groups in the order in which they first appear: reports name things once, and in the order of their input.

/// The values of each key, keys in the order of their first appearance.
pub fn grouped<K: PartialEq, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Vec<(K, Vec<V>)> {
    let groups = pairs.into_iter().map(|(key, value)| (key, vec![value]));
    merged(groups, |one, other| one.0 == other.0, |group, other| group.1.extend(other.1))
}

/// The items, each added to the first one that it is like.
pub fn merged<T>(
    items: impl IntoIterator<Item = T>,
    is_like: impl Fn(&T, &T) -> bool,
    mut add: impl FnMut(&mut T, T),
) -> Vec<T> {
    let mut merged: Vec<T> = Vec::new();
    for item in items {
        match merged.iter_mut().find(|known| is_like(known, &item)) {
            Some(known) => add(known, item),
            None => merged.push(item),
        }
    }
    merged
}

/// Each item once.
pub fn once<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    merged(items, T::eq, |_, _| ())
}

#[cfg(test)]
mod tests {
    use super::{grouped, once};

    #[test]
    fn grouped_keeps_the_order_of_first_appearance() {
        let groups = grouped([("b", 1), ("a", 2), ("b", 3)]);
        assert_eq!(groups, [("b", vec![1, 3]), ("a", vec![2])]);
        assert_eq!(once(["b", "a", "b"]), ["b", "a"]);
    }
}
