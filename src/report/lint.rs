//! Lint findings as text: the place, the effect, and the fix.

use std::fmt::Write;

use crate::rules::lint::LintFinding;
use crate::text::escape::visible;
use crate::text::wrap::hanging;

/// One paragraph for each finding, in the order of the lines; at most `width` columns wide.
pub fn lint_table(findings: &[LintFinding], width: u16) -> String {
    let mut text = String::from("Lint\n");
    if findings.is_empty() {
        text.push_str(" no findings\n");
    }
    for one in findings {
        let _ = writeln!(text, " {}:{} {}", visible(&one.file.display().to_string()), one.line, one.rule);
        text += &paragraph(&one.message, width);
        if let Some(fix) = &one.fix {
            text += &paragraph(&format!("fix: {fix}"), width);
        }
    }
    text
}

fn paragraph(words: &str, width: u16) -> String {
    hanging("   ", 3, &visible(words), width.into())
}
