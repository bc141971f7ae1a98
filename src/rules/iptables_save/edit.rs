//! Changes to a ruleset, by line: for proposed fixes and for mutants.

use std::borrow::Cow;

use crate::error::Source;

/// A change. Line numbers are those of the original, whatever the other edits; a missing line is not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Deletes a line.
    Delete {
        /// The line (1 is the first).
        line: usize,
    },
    /// Replaces a line by a text.
    Replace {
        /// The line.
        line: usize,
        /// The new line, or several, without the newline at the end.
        text: String,
    },
    /// Inserts a text before a line.
    InsertBefore {
        /// The line; a number after the last one appends.
        line: usize,
        /// The new line, or several, without the newline at the end.
        text: String,
    },
    /// Moves a line before another one.
    Move {
        /// The line.
        line: usize,
        /// The line before which it is moved; a number after the last one means the end.
        before: usize,
    },
}

/// The source after all `edits`. New lines have the line end of the line that they replace or follow (LF or CRLF); if
/// the last line has none, it has none afterwards.
///
/// Of several texts before one line, that of the first edit comes first. A deleted line is not moved.
pub fn apply(source: &Source, edits: &[Edit]) -> Source {
    let text: String = script(&source.text, edits).into_iter().filter_map(|step| step.new).collect();
    Source { name: source.name.clone(), text: text.into() }
}

/// A step from the old text to the new one, line by line; both lines include their ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LineEdit<'a> {
    /// The old line.
    pub old: Option<&'a str>,
    /// The new line.
    pub new: Option<String>,
}

/// All steps, in order.
pub(super) fn script<'a>(text: &'a str, edits: &[Edit]) -> Vec<LineEdit<'a>> {
    let old: Vec<&str> = text.split_inclusive('\n').collect();
    let mut steps = Vec::new();
    for number in 1..=old.len() + 1 {
        steps.extend(inserted(&old, edits, number).map(|line| LineEdit { old: None, new: Some(line.to_owned()) }));
        let Some(line) = old.get(number - 1) else { continue };
        let mut kept = kept(line, edits, number, old.len()).into_iter();
        steps.push(LineEdit { old: Some(line), new: kept.next().map(str::to_owned) });
        steps.extend(kept.map(|line| LineEdit { old: None, new: Some(line.to_owned()) }));
    }
    end_lines(&mut steps, text);
    steps
}

/// The lines that are inserted before line `number`: new ones, and moved ones.
fn inserted<'a>(old: &'a [&str], edits: &'a [Edit], number: usize) -> impl Iterator<Item = &'a str> {
    let here = move |line: usize| line.clamp(1, old.len() + 1) == number;
    let text = move |(at, edit): (usize, &'a Edit)| match edit {
        Edit::InsertBefore { line, text } if here(*line) => lines(text),
        Edit::Move { line, before } if here(*before) && goes(edits, *line, old.len()) == Some(at) => {
            line.checked_sub(1).and_then(|at| old.get(at)).map_or(Vec::new(), |content| replaced(content, edits, *line))
        }
        _ => Vec::new(),
    };
    edits.iter().enumerate().flat_map(text)
}

/// The lines in place of line `number`.
fn kept<'a>(line: &'a str, edits: &'a [Edit], number: usize, count: usize) -> Vec<&'a str> {
    if is_deleted(edits, number) || goes(edits, number, count).is_some() {
        return Vec::new();
    }
    replaced(line, edits, number)
}

fn is_deleted(edits: &[Edit], number: usize) -> bool {
    edits.contains(&Edit::Delete { line: number })
}

/// The index of the edit that moves line `number`, if there is one. The last edit of the line counts.
fn goes(edits: &[Edit], number: usize, count: usize) -> Option<usize> {
    let stays = |before: usize| (number..=number.saturating_add(1)).contains(&before.clamp(1, count + 1));
    let mover = edits.iter().enumerate().rev().find_map(|(at, edit)| match edit {
        Edit::Move { line, before } if *line == number => Some((at, stays(*before))),
        _ => None,
    });
    mover.filter(|(_, stays)| !stays && !is_deleted(edits, number)).map(|(at, _)| at)
}

/// The lines in place of a line after its last replacement.
fn replaced<'a>(line: &'a str, edits: &'a [Edit], number: usize) -> Vec<&'a str> {
    let text = edits.iter().rev().find_map(|edit| match edit {
        Edit::Replace { line, text } if *line == number => Some(text),
        _ => None,
    });
    text.map_or(vec![line], |text| lines(text))
}

/// The lines of an inserted text, at least one.
fn lines(text: &str) -> Vec<&str> {
    text.strip_suffix('\n').unwrap_or(text).split('\n').collect()
}

/// Gives every new line the end of the old line that it replaces or follows, and none to the last one if the old text
/// ended without.
fn end_lines(steps: &mut [LineEdit<'_>], text: &str) {
    let mut end = text.split_inclusive('\n').find_map(line_end).unwrap_or("\n");
    let open_end = !text.is_empty() && !text.ends_with('\n');
    let last = steps.iter().rposition(|step| step.new.is_some());
    for (at, step) in steps.iter_mut().enumerate() {
        end = step.old.and_then(line_end).unwrap_or(end);
        let Some(line) = &mut step.new else { continue };
        if Some(at) == last && open_end {
            line.truncate(line.trim_end_matches(['\r', '\n']).len());
        } else if !line.ends_with('\n') {
            line.truncate(line.trim_end_matches('\r').len());
            line.push_str(end);
        }
    }
}

/// The line end; `None` for a last line without one.
fn line_end(line: &str) -> Option<&'static str> {
    ["\r\n", "\n"].into_iter().find(|end| line.ends_with(end))
}

/// `name` as diff(1) prints it: C-quoted if it contains a quote, a backslash or a control character.
pub(super) fn quoted_name(name: &str) -> Cow<'_, str> {
    if !name.contains(|c: char| c.is_control() || c == '"' || c == '\\') {
        // A tab ends a name with blanks.
        return if name.contains(' ') { Cow::Owned(format!("{name}\t")) } else { Cow::Borrowed(name) };
    }
    let quoted = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_ascii_control() => format!("\\{:03o}", u32::from(c)),
        c => c.to_string(),
    };
    Cow::Owned(format!("\"{}\"", name.chars().map(quoted).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_there_is_not_moved_however_far_away_it_is() {
        let source = Source { name: "rules.v4".into(), text: "*filter\nCOMMIT\n".into() };
        for line in [0, 4, usize::MAX] {
            assert_eq!(apply(&source, &[Edit::Move { line, before: 1 }]), source, "{line}");
        }
    }
}
