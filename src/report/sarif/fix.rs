//! A verified patch as a SARIF fix: each run of changed lines of the unified diff is a replacement of whole lines.

use super::model::{Replacement, SarifMessage, SarifRegion};

/// The replacements of a unified diff of one file; `None` if the diff does not consist of whole lines (the file has no
/// newline at its end).
pub fn replacements(diff: &str) -> Option<Vec<Replacement>> {
    let mut all = Vec::new();
    let mut line = 0;
    let mut run = ReplacedLines::default();
    for text in diff.split_inclusive('\n').skip(2) {
        if let Some(head) = text.strip_prefix("@@ -") {
            all.extend(run.take(line));
            line = first_line(head)?;
        } else if let Some(new) = text.strip_prefix('+') {
            run.new.push_str(new);
        } else if text.starts_with('-') {
            run.old += 1;
            line += 1;
        } else if text.starts_with(' ') {
            all.extend(run.take(line));
            line += 1;
        } else {
            return None;
        }
    }
    all.extend(run.take(line));
    (!all.is_empty()).then_some(all)
}

/// The line at which a hunk such as `12,7 +12,8 @@` begins; a hunk without old lines names the line before it.
fn first_line(head: &str) -> Option<usize> {
    let old = head.split(' ').next()?;
    match old.split_once(',') {
        Some((before, "0")) => Some(before.parse::<usize>().ok()? + 1),
        Some((first, _)) => first.parse().ok(),
        None => old.parse().ok(),
    }
}

/// The number of deleted lines, and the text that replaces them.
#[derive(Default)]
struct ReplacedLines {
    old: usize,
    new: String,
}

impl ReplacedLines {
    /// The replacement of the run, where `line` is the first line after it.
    fn take(&mut self, line: usize) -> Option<Replacement> {
        let ReplacedLines { old, new } = std::mem::take(self);
        let at = |line| (Some(line), Some(1));
        let (end_line, end_column) = at(line);
        let deleted_region = SarifRegion { start_line: line - old, start_column: Some(1), end_line, end_column };
        let inserted_content = (!new.is_empty()).then_some(SarifMessage { text: new });
        (old > 0 || inserted_content.is_some()).then_some(Replacement { deleted_region, inserted_content })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Source;
    use crate::rules::iptables_save::{Edit, apply, unified};

    /// Applies replacements as SARIF requires (section 3.57): the last one first, so that line numbers stay valid.
    fn replaced(text: &str, replacements: &[Replacement]) -> String {
        let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        for one in replacements.iter().rev() {
            let region = &one.deleted_region;
            assert_eq!((region.start_column, region.end_column), (Some(1), Some(1)), "whole lines");
            let new = one.inserted_content.iter().map(|content| content.text.clone());
            lines.splice(region.start_line - 1..region.end_line.unwrap() - 1, new);
        }
        lines.concat()
    }

    #[test]
    fn a_fix_does_what_the_patch_does() {
        let text: String = (1..=30).map(|line| format!("-A INPUT -p tcp --dport {line} -j ACCEPT\n")).collect();
        let source = Source { name: "rules.v4".into(), text: text.as_str().into() };
        let edits = [
            Edit::Delete { line: 2 },
            Edit::Replace { line: 3, text: "three".to_owned() },
            Edit::InsertBefore { line: 20, text: "new".to_owned() },
            Edit::Delete { line: 30 },
        ];
        let diff = unified(&source, &edits);
        let replacements = replacements(&diff).expect("whole lines");
        assert_eq!(replaced(&text, &replacements), apply(&source, &edits).text.to_string(), "{diff}");
    }

    #[test]
    fn a_diff_that_is_not_of_whole_lines_gives_no_fix() {
        assert!(replacements("").is_none());
        assert!(replacements("--- a\n+++ a\n@@ -1 +1 @@\n-x\n\\ No newline at end of file\n+y\n").is_none());
        assert!(replacements("--- a\n+++ a\n@@ -x +1 @@\n-x\n+y\n").is_none());
    }
}
