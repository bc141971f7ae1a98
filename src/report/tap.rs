//! The Test Anything Protocol, version 14 (<https://testanything.org/tap-version-14-specification.html>): a test point for
//! each check. A mismatch that is known is a TODO, which does not fail; a check that did not run is not ok.

use std::fmt::Write;

use super::Report;
use super::verdicts::{CheckWords, Suite, suites};
use crate::intent::check::Outcome;
use crate::text::ci_escape::inert;
use crate::text::escape::{is_terminal_control, visible, visible_json};

/// The report as TAP.
pub fn tap(report: &Report) -> String {
    let suites = suites(report);
    let cases = || suites.iter().flat_map(|suite| suite.cases.iter().map(move |case| (suite, case)));
    let mut text = format!("TAP version 14\n1..{}\n", cases().count());
    if cases().next().is_none() {
        // In TAP, "1..0" means that there is nothing to run.
        text = "TAP version 14\n1..0 # skip no checks\n".to_owned();
    }
    for (number, (suite, case)) in (1..).zip(cases()) {
        point(&mut text, number, suite, case);
    }
    text
}

fn point(text: &mut String, number: usize, suite: &Suite, case: &CheckWords) {
    let ok = if case.outcome == Outcome::Matched { "ok" } else { "not ok" };
    let file = if suite.file.is_empty() { String::new() } else { format!("{}: ", suite.file) };
    let name = escaped(&format!("{file}{}", case.name));
    let todo = match case.outcome {
        Outcome::Known => format!(" # TODO known: {}", escaped(case.why)),
        Outcome::Matched | Outcome::Mismatched | Outcome::NotRun => String::new(),
    };
    let _ = writeln!(text, "{ok} {number} - {name}{todo}");
    if case.is_red() {
        diagnosis(text, suite, case);
    }
}

/// A YAML block, whose strings are written as in JSON.
fn diagnosis(text: &mut String, suite: &Suite, case: &CheckWords) {
    let quoted = |text: &str| visible_json(&serde_json::Value::from(text).to_string());
    let rule = case.place.map(|place| (place.file, place.line));
    let place = rule.or_else(|| suite.requested_at(case)).map(|(file, line)| format!("{}:{line}", file.display()));
    let _ = writeln!(text, "  ---\n  message: {}", quoted(&case.message()));
    if let Some(place) = place {
        let _ = writeln!(text, "  at: {}", quoted(&place));
    }
    if case.outcome != Outcome::NotRun && !case.why.is_empty() {
        let _ = writeln!(text, "  why: {}", quoted(case.why));
    }
    if let Some(patch) = case.patch {
        let _ = writeln!(text, "  fix: {}", quoted(&format!("{} ({})", patch.words, patch.tried())));
        let _ = writeln!(text, "  patch: {}", block(&patch.diff).unwrap_or_else(|| quoted(&patch.diff)));
    }
    text.push_str("  ...\n");
}

/// The text as a literal block (YAML 1.2, section 8.1.2); `None` if it has characters that a block cannot hold, or a
/// workflow command that has to be escaped.
fn block(text: &str) -> Option<String> {
    let printable =
        text.chars().all(|character| character == '\n' || !is_terminal_control(character)) && inert(text) == text;
    let lines = text.lines().map(|line| format!("\n    {line}"));
    (printable && text.starts_with("---") && text.ends_with('\n')).then(|| format!("|{}", lines.collect::<String>()))
}

/// Escapes a description: `\\` and `#` get a backslash, and line ends become blanks.
fn escaped(text: &str) -> String {
    visible(&text.replace(['\n', '\r'], " ")).replace('\\', "\\\\").replace('#', "\\#")
}
