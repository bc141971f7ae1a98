//! Markdown, such as for the summary of a CI job: the counts, each scenario with its outcome, and the checks that are
//! not as expected.

use std::fmt::Write;

use super::verdicts::{CheckWords, Suite, name_of, suites};
use super::{CheckCounts, Report};
use crate::intent::check::Outcome;
use crate::text::escape::{visible, visible_lines};
use crate::text::group::merged;

/// The report as Markdown.
pub fn markdown(report: &Report) -> String {
    let mut text = String::from("# scanlab\n\n");
    if let Some(summary) = &report.summary {
        let _ = writeln!(text, "{}\n", counted(summary));
    }
    let suites = suites(report);
    text.push_str("| outcome | scenario | checks |\n| --- | --- | ---: |\n");
    for suite in &suites {
        let file = if suite.file.is_empty() { String::new() } else { format!(" ({})", cell(suite.file)) };
        let _ = writeln!(text, "| {} | {}{file} | {} |", suite.outcome, cell(suite.name), suite.cases.len());
    }
    suites.iter().for_each(|suite| text += &of_suite(suite));
    text
}

fn counted(summary: &CheckCounts) -> String {
    let CheckCounts { checks, matched, mismatched, known, not_run, .. } = summary;
    let coverage = summary.coverage.map(|coverage| format!("; {coverage:.1} % of the rules exercised"));
    let coverage = coverage.unwrap_or_default();
    format!("{checks} checks: {matched} matched, {mismatched} mismatched, {known} known, {not_run} not-run{coverage}")
}

fn of_suite(suite: &Suite) -> String {
    let others: Vec<&CheckWords> = suite.cases.iter().filter(|case| case.outcome != Outcome::Matched).collect();
    if others.is_empty() {
        return String::new();
    }
    let mut text = format!("\n## {}\n\n| outcome | check | expected | observed | why |\n", cell(suite.name));
    text.push_str("| --- | --- | --- | --- | --- |\n");
    for row in rows(&others) {
        let first = row[0];
        let cells = [&first.outcome.to_string(), &name_of(&row), &first.expected, &first.observed, first.why];
        let _ = writeln!(text, "| {} |", cells.map(cell).join(" | "));
    }
    let mut patches: Vec<&str> = Vec::new();
    for patch in others.iter().filter_map(|case| case.patch) {
        if !patches.contains(&patch.diff.as_str()) {
            patches.push(&patch.diff);
        }
    }
    patches.iter().for_each(|diff| text += &block(diff));
    text
}

/// Groups cases that differ only in port, technique or family, since a CI system limits the size of a summary (GitHub:
/// 1 MiB).
fn rows<'a, 'b>(cases: &[&'a CheckWords<'b>]) -> Vec<Vec<&'a CheckWords<'b>>> {
    let facts = |case: &CheckWords| (case.outcome, case.expected.clone(), case.observed.clone(), case.why.to_owned());
    let is_like =
        |row: &Vec<&CheckWords>, other: &Vec<&CheckWords>| row[0].check.is_some() && facts(row[0]) == facts(other[0]);
    merged(cases.iter().map(|case| vec![*case]), is_like, |row, other| row.extend(other))
}

/// Escapes a text for a table cell, so that nothing in it is markup.
pub fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len());
    for character in visible(&text.replace(['\n', '\r'], " ")).chars() {
        match character {
            '&' => cell.push_str("&amp;"),
            '<' => cell.push_str("&lt;"),
            '>' => cell.push_str("&gt;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '~' | '!' => {
                cell.push('\\');
                cell.push(character);
            }
            other => cell.push(other),
        }
    }
    cell
}

/// A code block, fenced by more backticks than its text has in a row.
fn block(text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("\n{fence}diff\n{}\n{fence}\n", visible_lines(text.trim_end()))
}
