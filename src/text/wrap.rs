//! Wrapping of prose.

/// Wraps prose at `width` columns; the first line begins with `first`, the others with `indent` blanks, and a longer word
/// gets a line of its own.
pub fn hanging(first: &str, indent: usize, text: &str, width: usize) -> String {
    let lines = lines(text, width.saturating_sub(first.chars().count()), width.saturating_sub(indent));
    let starts = std::iter::once(first.to_owned()).chain(std::iter::repeat(" ".repeat(indent)));
    starts.zip(lines).map(|(start, line)| format!("{start}{line}\n")).collect()
}

fn lines(text: &str, first_width: usize, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
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
