//! Markdown, such as for the summary of a CI job: what was counted, each scenario with its outcome, and the checks that are
//! not as expected.

use std::fmt::Write;

use super::verdicts::{Case, Suite, suites};
use super::{Report, Summary};
use crate::check::Outcome;

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

fn counted(summary: &Summary) -> String {
    let Summary { checks, matched, mismatched, known, not_run, .. } = summary;
    let coverage = summary.coverage.map(|coverage| format!("; {coverage:.1} % of the rules exercised"));
    let coverage = coverage.unwrap_or_default();
    format!("{checks} checks: {matched} matched, {mismatched} mismatched, {known} known, {not_run} not-run{coverage}")
}

fn of_suite(suite: &Suite) -> String {
    let others: Vec<&Case> = suite.cases.iter().filter(|case| case.outcome != Outcome::Matched).collect();
    if others.is_empty() {
        return String::new();
    }
    let mut text = format!("\n## {}\n\n| outcome | check | expected | observed | why |\n", cell(suite.name));
    text.push_str("| --- | --- | --- | --- | --- |\n");
    for case in &others {
        let cells = [&case.outcome.to_string(), &case.name, &case.expected, &case.observed, case.why];
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

/// Text in a cell of a table: nothing in it is markup.
fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => cell.push(' '),
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

/// A block of code, fenced by more backticks than stand in it.
fn block(text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("\n{fence}diff\n{}\n{fence}\n", text.trim_end())
}
