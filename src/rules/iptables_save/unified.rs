//! Edits as a unified diff (diff(1), "Unified Format") that patch(1) can apply.

use std::fmt::Write;
use std::ops::Range;

use super::edit::{Edit, LineEdit, quoted_name, script};
use crate::error::Source;

/// The diff that `edits` make of `source`, with three lines of context; empty if there is no change.
pub fn unified(source: &Source, edits: &[Edit]) -> String {
    let steps = script(&source.text, edits);
    let name = source.name.to_string_lossy();
    let hunks: String = hunks(&steps).map(|hunk| show(&steps, hunk)).collect();
    if hunks.is_empty() { hunks } else { format!("--- {0}\n+++ {0}\n{hunks}", quoted_name(&name)) }
}

/// Unchanged lines around a change.
const CONTEXT: usize = 3;

fn changes(step: &LineEdit<'_>) -> bool {
    step.old != step.new.as_deref()
}

/// The steps of each hunk; changes with no more than twice the context between them share one.
fn hunks(steps: &[LineEdit<'_>]) -> impl Iterator<Item = Range<usize>> {
    let mut hunks: Vec<Range<usize>> = Vec::new();
    for (at, _) in steps.iter().enumerate().filter(|(_, step)| changes(step)) {
        let around = at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(steps.len());
        match hunks.last_mut() {
            Some(last) if around.start <= last.end => last.end = around.end,
            _ => hunks.push(around),
        }
    }
    hunks.into_iter()
}

fn show(steps: &[LineEdit<'_>], hunk: Range<usize>) -> String {
    let old = place(steps, &hunk, |step| step.old.is_some());
    let new = place(steps, &hunk, |step| step.new.is_some());
    let mut text = format!("@@ -{old} +{new} @@\n");
    let mut at = hunk.start;
    while at < hunk.end {
        // A run of changes shows all deleted lines, then all added ones.
        let run = steps[at..hunk.end].iter().take_while(|step| changes(step)).count();
        let changed = &steps[at..at + run];
        changed.iter().filter_map(|step| step.old).for_each(|line| show_line(&mut text, '-', line));
        changed.iter().filter_map(|step| step.new.as_deref()).for_each(|line| show_line(&mut text, '+', line));
        steps[at + run..hunk.end]
            .iter()
            .take(1)
            .filter_map(|step| step.old)
            .for_each(|line| show_line(&mut text, ' ', line));
        at += run + 1;
    }
    text
}

/// `first,count` of a hunk's head: without the count if it is 1; for a count of 0, the line before.
fn place(steps: &[LineEdit<'_>], hunk: &Range<usize>, counts: fn(&LineEdit<'_>) -> bool) -> String {
    let before = steps[..hunk.start].iter().filter(|step| counts(step)).count();
    match steps[hunk.clone()].iter().filter(|step| counts(step)).count() {
        0 => format!("{before},0"),
        1 => format!("{}", before + 1),
        count => format!("{},{count}", before + 1),
    }
}

fn show_line(text: &mut String, sign: char, line: &str) {
    let end = if line.ends_with('\n') { "" } else { "\n\\ No newline at end of file\n" };
    // Writing to a string cannot fail.
    let _ = write!(text, "{sign}{line}{end}");
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::super::edit::apply;
    use super::*;

    fn source(text: &str) -> Source {
        Source { name: "rules.v4".into(), text: text.into() }
    }

    fn delete(line: usize) -> Edit {
        Edit::Delete { line }
    }

    fn replace(line: usize, text: &str) -> Edit {
        Edit::Replace { line, text: text.to_owned() }
    }

    fn insert(line: usize, text: &str) -> Edit {
        Edit::InsertBefore { line, text: text.to_owned() }
    }

    const fn shift(line: usize, before: usize) -> Edit {
        Edit::Move { line, before }
    }

    fn edited(text: &str, edits: &[Edit]) -> String {
        apply(&source(text), edits).text.to_string()
    }

    #[test]
    fn line_numbers_are_those_of_the_original() {
        assert_eq!(edited("a\nb\nc\n", &[delete(1), insert(3, "x"), replace(2, "y")]), "y\nx\nc\n");
        assert_eq!(edited("a\nb\nc\n", &[shift(3, 1), shift(1, 4)]), "c\nb\na\n");
        assert_eq!(edited("a\nb\nc\n", &[shift(1, 3), replace(1, "y")]), "b\ny\nc\n");
        assert_eq!(edited("a\nb\n", &[shift(1, 2), shift(2, 2), shift(9, 1), delete(0), delete(9)]), "a\nb\n");
        assert_eq!(edited("a\nb\n", &[insert(0, "x"), insert(99, "y\nz\n")]), "x\na\nb\ny\nz\n");
        assert_eq!(edited("a\nb\n", &[delete(1), shift(1, 3)]), "b\n");
        assert_eq!(edited("a\nb\nc\n", &[shift(1, 3), shift(1, 4), shift(1, 4)]), "b\nc\na\n");
    }

    #[test]
    fn new_lines_end_like_the_others() {
        assert_eq!(edited("a\r\nb\r\n", &[insert(2, "x\ny"), replace(1, "z")]), "z\r\nx\r\ny\r\nb\r\n");
        assert_eq!(edited("a\nb", &[insert(3, "x")]), "a\nb\nx");
        assert_eq!(edited("a\nb", &[shift(1, 3)]), "b\na");
        assert_eq!(edited("a\nb", &[delete(2)]), "a");
        assert_eq!(edited("", &[insert(1, "x")]), "x\n");
    }

    #[test]
    fn a_line_in_a_text_with_both_ends_gets_that_of_its_neighbour() {
        let mixed = "a\nb\r\nc\n";
        assert_eq!(edited(mixed, &[replace(1, "x")]), "x\nb\r\nc\n");
        assert_eq!(edited(mixed, &[replace(2, "x\ny")]), "a\nx\r\ny\r\nc\n");
        assert_eq!(edited(mixed, &[insert(1, "x"), insert(3, "y"), insert(4, "z")]), "x\na\nb\r\ny\r\nc\nz\n");
        assert_eq!(edited(mixed, &[shift(2, 4)]), "a\nc\nb\r\n");
        assert_eq!(edited("a\r\nb", &[insert(3, "x")]), "a\r\nb\r\nx");
    }

    #[test]
    fn a_diff_has_three_lines_around_each_change() {
        let text = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n";
        insta::assert_snapshot!(unified(&source(text), &[replace(2, "two"), shift(11, 10)]), @r"
        --- rules.v4
        +++ rules.v4
        @@ -1,5 +1,5 @@
         1
        -2
        +two
         3
         4
         5
        @@ -7,6 +7,6 @@
         7
         8
         9
        +11
         10
        -11
         12
        ");
    }

    #[test]
    fn no_newline_at_the_end_is_told() {
        insta::assert_snapshot!(unified(&source("a\nb"), &[insert(3, "c")]), @r"
        --- rules.v4
        +++ rules.v4
        @@ -1,2 +1,3 @@
         a
        -b
        \ No newline at end of file
        +b
        +c
        \ No newline at end of file
        ");
        assert_eq!(unified(&source("a\nb"), &[shift(1, 1)]), "");
    }

    #[test]
    fn odd_names_are_quoted_as_diff_quotes_them() {
        assert_eq!(quoted_name("my rules.v4"), "my rules.v4\t");
        assert_eq!(quoted_name("a\"b\nc"), r#""a\"b\012c""#);
    }

    /// The result of patch(1) for `text`; `None` if it is not installed.
    fn patched(text: &str, diff: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rules.v4");
        std::fs::write(&file, text).unwrap();
        let mut child = Command::new("patch")
            .args(["--quiet", "-p0"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .spawn()
            .inspect_err(|error| eprintln!("patch is not run: {error}"))
            .ok()?;
        child.stdin.take().unwrap().write_all(diff.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{diff}");
        Some(std::fs::read_to_string(file).unwrap_or_default())
    }

    #[test]
    fn patch_applies_it() {
        let numbered: String = (1..=30).map(|number| format!("line {number}\n")).collect();
        let many = [replace(3, "x"), delete(9), insert(17, "y\nz"), shift(30, 1), shift(2, 25), insert(31, "end")];
        let (windows, mixed) = (numbered.replace('\n', "\r\n"), numbered.replace("7\n", "7\r\n"));
        for text in [&*numbered, numbered.trim_end(), &windows, windows.trim_end(), &mixed] {
            for edits in many.iter().map(std::slice::from_ref).chain([&many[..], &many[2..4]]) {
                let diff = unified(&source(text), edits);
                if let Some(patched) = patched(text, &diff) {
                    assert_eq!(patched, edited(text, edits), "{diff}");
                }
            }
        }
    }

    /// Applies a diff exactly, as patch(1) does without fuzz.
    fn reapplied(text: &str, diff: &str) -> String {
        let mut old = text.split_inclusive('\n');
        let mut line = 1;
        let mut new = String::new();
        let diff = diff.replace("\n\\ No newline at end of file\n", "\\\n");
        for row in diff.split_inclusive('\n').skip(2) {
            let content = row[1..].strip_suffix("\\\n").unwrap_or(&row[1..]);
            match row.as_bytes()[0] {
                b'@' => {
                    let (start, count) = row[4..].split(' ').next().map(first_and_count).unwrap();
                    let first = if count == 0 { start + 1 } else { start };
                    (line..first).for_each(|_| new.push_str(old.next().unwrap()));
                    line = line.max(first);
                }
                b'+' => new.push_str(content),
                sign => {
                    assert_eq!(old.next(), Some(content));
                    line += 1;
                    new.push_str(if sign == b' ' { content } else { "" });
                }
            }
        }
        new.extend(old);
        new
    }

    fn first_and_count(place: &str) -> (usize, usize) {
        let (first, count) = place.split_once(',').unwrap_or((place, "1"));
        (first.parse().unwrap(), count.parse().unwrap())
    }

    fn edit() -> impl Strategy<Value = Edit> {
        let line = || 0..14_usize;
        prop_oneof![
            line().prop_map(delete),
            (line(), "[a-d]{0,2}(\n[a-d])?").prop_map(|(line, text)| replace(line, &text)),
            (line(), "[a-d]{0,2}(\n[a-d])?").prop_map(|(line, text)| insert(line, &text)),
            (line(), line()).prop_map(|(line, before)| shift(line, before)),
        ]
    }

    proptest! {
        #[test]
        fn a_diff_leads_to_what_the_edits_make(
            text in "([a-d]{0,2}\r?\n){0,12}[a-d]{0,1}",
            edits in prop::collection::vec(edit(), 0..5),
        ) {
            let diff = unified(&source(&text), &edits);
            prop_assert_eq!(reapplied(&text, &diff), edited(&text, &edits), "{}", diff);
        }

        #[test]
        fn only_what_is_deleted_is_lost(text in "([a-d]{1,2}\n){1,12}", moves in prop::collection::vec((0..14_usize, 0..14_usize), 0..5)) {
            let edits: Vec<Edit> = moves.iter().map(|(line, before)| shift(*line, *before)).collect();
            let sorted = |text: &str| { let mut lines: Vec<String> = text.lines().map(str::to_owned).collect(); lines.sort(); lines };
            prop_assert_eq!(sorted(&edited(&text, &edits)), sorted(&text));
        }
    }
}
