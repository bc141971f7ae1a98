//! Text that goes into a scenario, as TOML writes it.

use std::fmt::Write;

use crate::visible::steers;

/// A basic string (TOML v1.0.0, "String"): what could end it, or steer the reader's terminal, is escaped.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\t' => quoted.push_str("\\t"),
            c if steers(c) => drop(write!(quoted, "\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_quoted_is_read_back() {
        for text in ["", "<IPT> SSH: ", "\" = \\", "\u{1b}[31m\t\u{202e}é\u{9b}", "'''\"\"\"# no comment", "\u{fffd}"]
        {
            let table: toml::Table = toml::from_str(&format!("a = {}\n", quoted(text))).unwrap();
            assert_eq!(table["a"].as_str(), Some(text));
            assert!(!quoted(text).contains(steers));
        }
    }
}
