//! Splits a line into words exactly as iptables-restore does (`tokenize_rule_counters` and `add_param_to_argv` in
//! iptables/xshared.c). It is the only such parser of the program, so the checks and the reports see the same words.

use std::ops::Range;

/// A word of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The text as iptables reads it: without quotes and escapes.
    pub text: String,
    /// Its place in the line, quotes included (bytes).
    pub span: Range<usize>,
    /// A quote in it is never closed: iptables adds the newline to the word.
    pub is_open: bool,
}

/// The words of `line`, which has neither counters nor a newline, see [`without_counters`].
///
/// 1. Only blanks and tabs separate words.
/// 2. A `"` opens a quoted text, anywhere in a word; the `"` that closes it ends the word, too. iptables 1.8.9 reads
///    `ab"cd e"f` as `abcd e` and `f`.
/// 3. A backslash makes the next character literal, but in a quoted text only.
/// 4. `""` is a word. A quote that is never closed ends with its line.
pub fn words(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(word) = word(line, at) {
        at = word.span.end;
        words.push(word);
    }
    words
}

/// The rest of a line after `[packets:bytes]` in the first column; the whole line without it. A blank after the `]` is
/// optional.
pub fn without_counters(line: &str) -> &str {
    counters(line).map_or(line, |(_, rest)| rest)
}

/// True if `line` begins like counters but is malformed. iptables looks for the `:` and the `]` with strtok(3), which
/// cuts the rule itself if they come after the first `]`: `[0]-A INPUT --comment a:b] -j DROP`.
pub fn has_odd_counters(line: &str) -> bool {
    line.starts_with('[') && counters(line).is_none()
}

fn counters(line: &str) -> Option<(&str, &str)> {
    let (counters, rest) = line.strip_prefix('[')?.split_once(']')?;
    let (packets, bytes) = counters.split_once(':')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(packets) && is_number(bytes)).then_some((counters, rest))
}

/// The first word from byte `from` on.
fn word(line: &str, from: usize) -> Option<Word> {
    let start = from + line[from..].find(|c| !is_blank(c))?;
    let mut text = String::new();
    let mut characters = line[start..].char_indices().map(|(at, c)| (start + at, c));
    while let Some((at, c)) = characters.next() {
        match c {
            c if is_blank(c) => return Some(Word { text, span: start..at, is_open: false }),
            '"' => {
                let end = quoted(&mut characters, &mut text);
                return Some(Word { text, span: start..end.unwrap_or(line.len()), is_open: end.is_none() });
            }
            c => text.push(c),
        }
    }
    Some(Word { text, span: start..line.len(), is_open: false })
}

/// Reads on after a `"`; returns the end of the quoted text, if it is closed.
fn quoted(characters: &mut impl Iterator<Item = (usize, char)>, text: &mut String) -> Option<usize> {
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some(at + 1),
            '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
            c => text.push(c),
        }
    }
    None
}

/// The newline has been removed before.
fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        words(line).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_parted_as_iptables_restore_parts_them() {
        assert_eq!(texts(" -A\tINPUT  -j LOG "), ["-A", "INPUT", "-j", "LOG"]);
        assert_eq!(texts(r#"--log-prefix "a b: ""#), ["--log-prefix", "a b: "]);
        assert_eq!(texts(r#"ab"cd e"f"#), ["abcd e", "f"], "iptables 1.8.9: Bad argument `f'");
        assert_eq!(texts(r#""a\nb\"c\\d""#), [r#"anb"c\d"#]);
        assert_eq!(texts(r"a\ b 'c d'"), [r"a\", "b", "'c", "d'"]);
        assert_eq!(texts(r#"-p "" x"#), ["-p", "", "x"]);
        assert_eq!(texts(r#""never closed \"#), ["never closed "]);
        assert_eq!(texts("\u{a0}x \u{201c}two words\u{201d}"), ["\u{a0}x", "\u{201c}two", "words\u{201d}"]);
    }

    #[test]
    fn counters_end_at_their_bracket() {
        for (line, rest) in [("[0:0]-A INPUT", "-A INPUT"), ("[12:345] -A x", " -A x"), ("-A [0:0]", "-A [0:0]")] {
            assert_eq!(without_counters(line), rest);
            assert!(!has_odd_counters(line), "{line}");
        }
        for line in ["[0]-A INPUT --comment a:b] -j DROP", "[:]-A x", "[1:2", "[1:]-A x", "[1:2:3]-A x", "[ 1:2] -A x"]
        {
            assert!(has_odd_counters(line), "{line}");
            assert_eq!(without_counters(line), line);
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_is_seen() {
        let open: Vec<bool> = words(r#"a"b" "c\" "d" e"#).iter().map(|word| word.is_open).collect();
        assert_eq!(open, [false, false, true]);
    }

    #[test]
    fn a_span_holds_the_quotes() {
        let line = r#"-j LOG --log-prefix "é: " -x"#;
        let spans: Vec<&str> = words(line).iter().map(|word| &line[word.span.clone()]).collect();
        assert_eq!(spans, ["-j", "LOG", "--log-prefix", r#""é: ""#, "-x"]);
    }
}
