//! A line, split into words exactly as iptables-restore does it (`add_param_to_argv` in iptables/xshared.c).

use std::ops::Range;

/// A word of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// What iptables reads: without quotes and escapes.
    pub text: String,
    /// Where it stands in the line, quotes included (bytes).
    pub span: Range<usize>,
}

/// The words of `line`.
///
/// 1. Blanks and tabs part words; nothing else does.
/// 2. A `"` opens a quoted text, anywhere in a word; the `"` that closes it ends the word, too. iptables 1.8.9 reads
///    `ab"cd e"f` as `abcd e` and `f`.
/// 3. A backslash takes the next character literally, but in a quoted text only.
/// 4. `""` is a word. A quote that is never closed ends with its line.
pub(super) fn words(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(word) = word(line, at) {
        at = word.span.end;
        words.push(word);
    }
    words
}

/// The first word from byte `from` on.
fn word(line: &str, from: usize) -> Option<Word> {
    let start = from + line[from..].find(|c| !is_blank(c))?;
    let mut text = String::new();
    let mut characters = line[start..].char_indices().map(|(at, c)| (start + at, c));
    while let Some((at, c)) = characters.next() {
        match c {
            c if is_blank(c) => return Some(Word { text, span: start..at }),
            '"' => {
                let end = quoted(&mut characters, &mut text).unwrap_or(line.len());
                return Some(Word { text, span: start..end });
            }
            c => text.push(c),
        }
    }
    Some(Word { text, span: start..line.len() })
}

/// Reads on behind a `"`; where the quoted text ends, if it does.
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

/// The newline has been taken off before.
fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

#[cfg(test)]
mod tests {
    use super::words;

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
    fn a_span_holds_the_quotes() {
        let line = r#"-j LOG --log-prefix "é: " -x"#;
        let spans: Vec<&str> = words(line).iter().map(|word| &line[word.span.clone()]).collect();
        assert_eq!(spans, ["-j", "LOG", "--log-prefix", r#""é: ""#, "-x"]);
    }
}
