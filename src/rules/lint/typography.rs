//! Damage to a rule by a word processor or a web page.

use super::{FindingKind, LintFinding};
use crate::rules::iptables_save::Listing;

/// Typographic quotes, dashes and blanks outside of quoted text. iptables 1.8.9: `“x”` is accepted, with the quotes in
/// the log; `“two words”` and `–dport` are a `Bad argument`; a no-break space becomes part of its word.
pub(super) fn check(listing: &Listing) -> Vec<LintFinding> {
    let lines = (1..).zip(listing.source.text.lines()).filter(|(_, line)| !line.starts_with('#'));
    lines.filter_map(|(number, line)| odd_character(listing, number, line)).collect()
}

fn odd_character(listing: &Listing, number: usize, line: &str) -> Option<LintFinding> {
    let (_, odd, _) = characters(line).find(|(_, c, quoted)| !quoted && plain(*c).is_some())?;
    let shown = odd.escape_debug();
    let message = format!("`{shown}` (U+{:04X}) has no meaning for iptables: it is part of the word", u32::from(odd));
    Some(LintFinding::new(FindingKind::Typography, listing, number, message).fix(in_ascii(line.trim_end())))
}

/// The ASCII text of a typographic character.
fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{201f}' | '\u{ab}' | '\u{bb}' => "\"",
        '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' => "'",
        '\u{2010}'..='\u{2015}' | '\u{2212}' => "-",
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{3000}' => " ",
        '\u{200b}' | '\u{feff}' => "",
        _ => return None,
    })
}

/// Every character with its offset, and true if it is within quotes, where a comment may have any text.
fn characters(line: &str) -> impl Iterator<Item = (usize, char, bool)> + '_ {
    let (mut quoted, mut escaped) = (false, false);
    line.char_indices().map(move |(at, c)| {
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && quoted && !escaped;
        (at, c, quoted)
    })
}

fn in_ascii(line: &str) -> String {
    let mut text = String::new();
    for (at, c, quoted) in characters(line) {
        match plain(c).filter(|_| !quoted) {
            Some("-") => text.push_str(hyphens(&text, &line[at + c.len_utf8()..])),
            Some(plain) => text.push_str(plain),
            None => text.push(c),
        }
    }
    text
}

/// A dash was two hyphens if it begins an option of more than one letter.
fn hyphens(before: &str, after: &str) -> &'static str {
    let word = after.split(char::is_whitespace).next().unwrap_or_default();
    let begins = before.is_empty() || before.ends_with([' ', '\t']);
    if begins && !word.starts_with('-') && word.chars().count() > 1 { "--" } else { "-" }
}
