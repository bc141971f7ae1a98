//! Lint findings as text: the place, the effect, and the fix.

use std::fmt::Write;

use super::explained::wrapped;
use crate::rules::lint::LintFinding;
use crate::text::escape::visible;

/// One paragraph for each finding, in the order of the lines; at most `width` columns wide.
pub fn lint_table(findings: &[LintFinding], width: u16) -> String {
    let mut text = String::from("Lint\n");
    if findings.is_empty() {
        text.push_str(" nothing to say\n");
    }
    for one in findings {
        let _ = writeln!(text, " {}:{} {}", visible(&one.file.display().to_string()), one.line, one.rule);
        write_paragraph(&mut text, &one.message, width);
        if let Some(fix) = &one.fix {
            write_paragraph(&mut text, &format!("fix: {fix}"), width);
        }
    }
    text
}

fn write_paragraph(text: &mut String, words: &str, width: u16) {
    for line in wrapped(&visible(words), usize::from(width).saturating_sub(3)) {
        let _ = writeln!(text, "   {line}");
    }
}
