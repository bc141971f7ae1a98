//! Text that is safe to print: data from a file, a log or a network must not control the reader's terminal.
//!
//! The escaped characters are control characters, including U+009B, which begins an escape sequence like ESC, and
//! characters that change the direction of writing (Unicode Standard Annex 9), which can make a line read as another
//! one.

use std::ops::Range;

use crate::text::ci_escape::inert_json;

/// The text on one line, with control characters shown as escapes.
pub fn visible(text: &str) -> String {
    escaped(text, is_terminal_control)
}

/// The text with control characters shown as escapes, except line ends and tabs.
pub fn visible_lines(text: &str) -> String {
    escaped(text, |c| is_terminal_control(c) && c != '\n' && c != '\t')
}

/// JSON with the same content: control characters and workflow commands of CI systems ([`crate::text::ci_escape`]) can
/// be in strings only, where they become escapes (RFC 8259, section 7).
pub fn visible_json(json: &str) -> String {
    let escape =
        |c: char| if is_terminal_control(c) && c != '\n' { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    inert_json(&json.chars().map(escape).collect::<String>()).into_owned()
}

/// The text for a quotation, with the range of `span` in it. Every control character becomes one visible symbol, so
/// that columns stay; line ends stay, too. A span outside the text is clamped.
pub fn quotable(text: &str, span: &Range<usize>) -> (String, Range<usize>) {
    let floor = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let start = floor(span.start);
    let end = floor(span.end).max(start);
    let shown = |part: &str| part.chars().map(pictured).collect::<String>();
    let (before, inside, rest) = (shown(&text[..start]), shown(&text[start..end]), shown(&text[end..]));
    let span = before.len()..before.len() + inside.len();
    ([before, inside, rest].concat(), span)
}

/// Texts in a list, as a scenario writes it: `["a", "b"]`.
pub fn listed<T: AsRef<str>>(texts: &[T]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("{:?}", text.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}

/// The visible symbol of a control character: the block of control pictures begins at U+2400; others become U+FFFD.
fn pictured(c: char) -> char {
    match c {
        '\n' | '\r' | '\t' => c,
        '\0'..' ' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        c if is_terminal_control(c) => '\u{fffd}',
        c => c,
    }
}

fn escaped(text: &str, is_hidden: impl Fn(char) -> bool) -> String {
    text.chars().flat_map(|c| if is_hidden(c) { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// Control characters, separators of lines and paragraphs, and the characters with the property `Bidi_Control`.
pub fn is_terminal_control(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_control_characters_are_escaped() {
        assert_eq!(visible("a\u{1b}[2J\u{9b}m\u{202e}\n\té"), r"a\u{1b}[2J\u{9b}m\u{202e}\n\té");
        assert_eq!(visible_lines("a\n\tb\r"), "a\n\tb\\r");
    }

    #[test]
    fn json_says_the_same_and_steers_nothing() {
        let text = "a\u{1b}[2J\u{9b}m\u{7f}\u{202e}\u{2028}\n\té";
        let json = visible_json(&serde_json::to_string_pretty(&[text]).unwrap());
        assert!(!json.contains(|c| is_terminal_control(c) && c != '\n'), "{json:?}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&json).unwrap(), [text]);
    }

    #[test]
    fn a_quoted_text_keeps_its_columns() {
        let text = "é\u{9b}x = \u{202e}1\0\r\n";
        let (shown, span) = quotable(text, &(4..5));
        assert_eq!((shown.as_str(), &shown[span]), ("é\u{fffd}x = \u{fffd}1␀\r\n", "x"));
        for span in [0..100, 100..200, 1..3, Range { start: 4, end: 1 }] {
            let (shown, span) = quotable(text, &span);
            assert!(shown.get(span).is_some());
        }
    }
}
