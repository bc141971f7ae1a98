//! Text for a scenario, in TOML syntax.

use std::fmt::Write;

use crate::text::ci_escape::inert_json;
use crate::text::escape::is_terminal_control;

/// A basic string (TOML v1.0.0, "String"): characters that would end it or control the reader's terminal are escaped.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\t' => quoted.push_str("\\t"),
            c if is_terminal_control(c) => drop(write!(quoted, "\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    inert_json(&quoted).into_owned()
}

/// The value of `log` for lines with these prefixes: a string if possible, else a list.
pub fn quoted_log<T: AsRef<str>>(prefixes: &[T]) -> String {
    match prefixes {
        [] => quoted(""),
        [one] if !one.as_ref().is_empty() => quoted(one.as_ref()),
        many => format!("[{}]", many.iter().map(|prefix| quoted(prefix.as_ref())).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_quoted_text_is_read_back_by_toml() {
        for text in ["", "<IPT> SSH: ", "\" = \\", "\u{1b}[31m\t\u{202e}é\u{9b}", "'''\"\"\"# no comment", "\u{fffd}"]
        {
            let table: toml::Table = toml::from_str(&format!("a = {}\n", quoted(text))).unwrap();
            assert_eq!(table["a"].as_str(), Some(text));
            assert!(!quoted(text).contains(is_terminal_control));
        }
    }

    #[test]
    fn one_line_is_a_text_and_several_are_a_list() {
        assert_eq!(quoted_log::<&str>(&[]), "\"\"");
        assert_eq!(quoted_log(&["a: "]), "\"a: \"");
        assert_eq!(quoted_log(&[""]), "[\"\"]");
        assert_eq!(quoted_log(&["a: ", "\"", ""]), r#"["a: ", "\"", ""]"#);
    }
}
