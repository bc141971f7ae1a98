//! Numbers with their nouns.

/// `1 check`, `2 checks`: a noun whose plural ends in `s`.
pub fn counted(number: usize, noun: &str) -> String {
    counted_as(number, noun, &format!("{noun}s"))
}

/// `1 mismatch`, `2 mismatches`.
pub fn counted_as(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
