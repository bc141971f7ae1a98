//! The extensions that a line names.
//!
//! The options of every extension decide if `-j` is an option or the argument of one. A wrong entry in such a table
//! would hide a name, so a word that looks like `-j` or `-m` counts as one at any position.

use std::ops::Range;

use crate::text::words::Word;

/// A name after `-m`, `-j` or `-g`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The option.
    pub by: By,
    /// The name.
    pub name: String,
    /// The range of the option and the name in the line.
    pub span: Range<usize>,
}

/// The option that names an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// `-m`
    Match,
    /// `-j`, `-g`
    Jump,
}

/// All names of the line.
pub fn named(words: &[Word]) -> Vec<Named> {
    let option = |(at, word): (usize, &Word)| {
        let (by, glued) = naming(&word.text)?;
        let next = || words.get(at + 1).map(|next| (next.text.clone(), next.span.end));
        let (name, end) = glued.map(|name| (name.to_owned(), word.span.end)).or_else(next)?;
        // No extension has a blank in its name, so this is a text such as a comment.
        (!name.contains(char::is_whitespace)).then_some(Named { by, name, span: word.span.start..end })
    };
    words.iter().enumerate().filter_map(option).collect()
}

/// The argument of the short option `letter` or the long option `long`, if the word is one of them: `Some(None)` if the
/// argument is the next word.
pub fn argument<'a>(word: &'a str, letter: char, long: &str, shortest: usize) -> Option<Option<&'a str>> {
    if let Some(text) = word.strip_prefix("--") {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        return (name.len() >= shortest && long.starts_with(name)).then_some(value);
    }
    let letters = word.strip_prefix('-')?.trim_start_matches(|c| c != letter && FLAGS.contains(&c));
    let rest = letters.strip_prefix(letter)?;
    Some(Some(rest).filter(|rest| !rest.is_empty()))
}

/// Short options of iptables that can be bundled: without an argument, or with an optional one (iptables/xshared.h).
const FLAGS: [char; 14] = ['v', 'n', 'x', 'f', '4', '6', 'w', 'h', 'V', 'b', 'F', 'L', 'S', 'Z'];

fn naming(word: &str) -> Option<(By, Option<&str>)> {
    [("match", 'm', By::Match), ("jump", 'j', By::Jump), ("goto", 'g', By::Jump)]
        .into_iter()
        .find_map(|(long, letter, by)| argument(word, letter, long, 1).map(|glued| (by, glued)))
}
