//! Explanations for people: which rule took the packet, which was meant to, why that one did not, and what mends it.

use std::fmt::Write;

use super::table::{visible, whereabouts};
use crate::check::{Check, Outcome};
use crate::explanation::{Explanation, Place};

/// One block for each explanation of a mismatch, however many checks share it; prose is wrapped at `width` columns. What is
/// known has its own reason already.
pub fn blocks(checks: &[Check], width: u16) -> String {
    let mut text = String::new();
    for (explanation, checks) in shared(checks) {
        let family = checks[0].family.map(|family| format!(" ({family})")).unwrap_or_default();
        let _ = writeln!(text, "  why  {}{family}", visible(&whereabouts(&checks)));
        write_block(&mut text, explanation, usize::from(width));
    }
    text
}

/// Explanations that say the same, with their checks, in the order of the checks.
fn shared(checks: &[Check]) -> Vec<(&Explanation, Vec<&Check>)> {
    let mut shared: Vec<(&Explanation, Vec<&Check>)> = Vec::new();
    for check in checks.iter().filter(|check| check.outcome == Outcome::Mismatched) {
        let Some(explanation) = &check.explanation else { continue };
        match shared.iter_mut().find(|(other, of)| *other == explanation && of[0].family == check.family) {
            Some((_, of)) => of.push(check),
            None => shared.push((explanation, vec![check])),
        }
    }
    shared
}

fn write_block(text: &mut String, explanation: &Explanation, width: usize) {
    for line in wrapped(&visible(&explanation.words), width.saturating_sub(INDENT.len())) {
        let _ = writeln!(text, "{INDENT}{line}");
    }
    for (word, place) in [("took", &explanation.took), ("meant", &explanation.meant)] {
        let Some(place) = place else { continue };
        let _ = writeln!(text, "{INDENT}{word:<5}  {}", visible(&quoted(place)));
    }
    let Some(patch) = &explanation.patch else { return };
    let mends = match patch.mends {
        1 => "this mismatch is gone".to_owned(),
        mends => format!("{mends} mismatches are gone"),
    };
    let words = format!("{} (tried: {mends}, and nothing else changes)", patch.words);
    for (number, line) in wrapped(&visible(&words), width.saturating_sub(INDENT.len() + 7)).iter().enumerate() {
        let _ = writeln!(text, "{INDENT}{:<5}  {line}", if number == 0 { "mend" } else { "" });
    }
    for line in patch.diff.lines() {
        let _ = writeln!(text, "{INDENT}       {}", visible(line));
    }
}

/// Under the blank and the word of a block.
const INDENT: &str = "       ";

/// `rules.v4:12: -A INPUT ...`: not cut, since a rule that is not whole is of no use.
fn quoted(place: &Place) -> String {
    let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
    format!("{}{line}: {}", place.file.display(), place.text)
}

/// Prose in lines of at most `width` columns; a word that is longer has a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
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
