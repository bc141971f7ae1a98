//! Wrapping of prose.

/// Wraps prose at `width` columns; the first line begins with `first`, the others with `indent` blanks, and a longer word
/// gets a line of its own.
pub fn hanging(first: &str, indent: usize, text: &str, width: usize) -> String {
    hanging_parts(first, indent, text.split(' '), width)
}

/// As [`hanging`], but does not break between double quotes: a log prefix stays on one line, with the blank at its end.
pub fn hanging_quoted(first: &str, indent: usize, text: &str, width: usize) -> String {
    hanging_parts(first, indent, unquoted_words(text).into_iter(), width)
}

/// The beginning of `text` up to the last blank that leaves room for `...` in `width` columns; the whole text if it fits.
pub fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let room: String = text.chars().take(width.saturating_sub(2)).collect();
    let end = room.rfind(' ').unwrap_or_default();
    format!("{}...", room[..end].trim_end_matches([' ', ',', ';', ':']))
}

/// The parts between the blanks outside of double quotes; between all blanks if a quote is never closed.
fn unquoted_words(text: &str) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let words: Vec<&str> = text
        .split(|c| {
            let toggles = c == '"' && !is_escaped;
            is_escaped = is_quoted && c == '\\' && !is_escaped;
            is_quoted ^= toggles;
            c == ' ' && !is_quoted
        })
        .collect();
    if is_quoted { text.split(' ').collect() } else { words }
}

/// As [`hanging`], between `parts` only.
pub fn hanging_parts<'a>(first: &str, indent: usize, parts: impl Iterator<Item = &'a str>, width: usize) -> String {
    let lines = lines(parts, width.saturating_sub(first.chars().count()), width.saturating_sub(indent));
    let starts = std::iter::once(first.to_owned()).chain(std::iter::repeat(" ".repeat(indent)));
    starts.zip(lines).map(|(start, line)| format!("{start}{line}\n")).collect()
}

fn lines<'a>(parts: impl Iterator<Item = &'a str>, first_width: usize, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in parts {
        let width = if lines.len() == 1 { first_width } else { width };
        let line = lines.last_mut().expect("there is a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_stays_on_one_line() {
        let rule = r#"-j LOG --log-prefix "a \"b: " -m x"#;
        assert_eq!(hanging_quoted("", 1, rule, 20), "-j LOG --log-prefix\n \"a \\\"b: \" -m x\n");
        assert_eq!(hanging_quoted("", 0, r#"a "b c"#, 4), "a \"b\nc\n", "the quote is never closed");
    }

    #[test]
    fn a_shortened_text_ends_after_a_word() {
        assert_eq!(shortened("one two, three", 13), "one two...");
        assert_eq!(shortened("one two, three", 14), "one two, three");
        assert_eq!(shortened("éléphant", 5), "...");
    }
}
