//! The failures of a run: expected and observed, the cause, the rules, and the fix.

use super::super::check_location::{scan, whereabouts};
use super::super::check_rows::{CheckRow, rows};
use super::super::explained::causes;
use super::super::layout::{Layout, styled};
use super::super::{Report, ReportedScenario};
use crate::intent::check::{Check, Outcome};
use crate::net::Family;
use crate::report::table::style;
use crate::text::escape::visible;
use crate::text::group::{grouped, once};
use crate::text::wrap::hanging_quoted;

/// The scenarios that failed or did not run, each with its failures. Scenarios with the same failures share them.
pub fn blocks(report: &Report, width: u16) -> String {
    let red = report.scenarios.iter().flatten().filter(|scenario| scenario.outcome.is_red());
    let shared = grouped(red.map(|scenario| (failures(scenario, width), scenario)));
    let block = |(failures, scenarios): (String, Vec<&ReportedScenario>)| {
        let headings: String = scenarios.into_iter().map(|scenario| heading(scenario, width)).collect();
        format!("{headings}{failures}")
    };
    shared.into_iter().map(block).collect::<Vec<_>>().join("\n")
}

/// `blind.toml: an Xmas scan leaves a line`
fn heading(scenario: &ReportedScenario, width: u16) -> String {
    let text = visible(&format!("{}: {}", scenario.file, scenario.name));
    styled(&hanging_quoted("", 2, &text, width.into()), style(scenario.outcome))
}

/// A paragraph for each cause of mismatches and each reason of checks that did not run.
fn failures(scenario: &ReportedScenario, width: u16) -> String {
    let layout = Layout::labelled(width);
    let mut shown: Vec<&str> = Vec::new();
    let mut paragraphs = Vec::new();
    for cause in causes(&scenario.checks) {
        paragraphs.push(facts(cause.checks(), layout) + &cause.story(layout, &shown));
        shown.extend(cause.diffs());
    }
    let with = |outcome| scenario.checks.iter().filter(move |check| check.outcome == outcome);
    let unexplained = with(Outcome::Mismatched).filter(|check| check.explanation.is_none());
    let by_reason = grouped(unexplained.map(|check| (check.why.as_str(), check)));
    paragraphs.extend(by_reason.into_iter().map(|(why, checks)| facts(checks, layout) + &reason("cause", why, layout)));
    let by_reason = grouped(with(Outcome::NotRun).map(|check| (check.why.as_str(), check)));
    let not_run = |(why, checks): (&str, Vec<&Check>)| {
        let is_everything = checks.len() == scenario.checks.len();
        let name = if is_everything { "every check".to_owned() } else { subjects(&checks) };
        row_heading(&name, Outcome::NotRun, layout) + &reason("not run", why, layout)
    };
    paragraphs.extend(by_reason.into_iter().map(not_run));
    paragraphs.into_iter().map(|paragraph| format!("\n{paragraph}")).collect()
}

/// The expected and the observed facts, once for all rows that share them.
fn facts(checks: Vec<&Check>, layout: Layout) -> String {
    let rows = rows(checks);
    let alike = |row: &CheckRow| (row.first.expected.to_string(), observed(row.first), remark(row.first));
    let shared = grouped(rows.iter().map(|row| (alike(row), row)));
    let text = |((expected, observed, remark), rows): ((String, String, String), Vec<&CheckRow>)| {
        let lines = [("expected", expected), ("observed", observed), ("note", remark)];
        let lines = lines.iter().filter(|(_, text)| !text.is_empty());
        let lines: String = lines.map(|(label, text)| reason(label, text, layout)).collect();
        row_heading(&names(&rows), Outcome::Mismatched, layout) + &lines
    };
    shared.into_iter().map(text).collect()
}

fn observed(check: &Check) -> String {
    check.observed.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// The part of the difference that neither the facts nor the explanation show; all of it is the cause of a check without
/// an explanation.
fn remark(check: &Check) -> String {
    let is_shown = |part: &&str| part.starts_with("the ") && (part.ends_with(" differs") || part.ends_with(" differ"));
    let parts = check.why.split("; ").filter(|part| !is_shown(part) && check.explanation.is_some());
    parts.collect::<Vec<_>>().join("; ")
}

fn reason(label: &str, text: &str, layout: Layout) -> String {
    layout.prose(label, &visible(text))
}

fn row_heading(name: &str, outcome: Outcome, layout: Layout) -> String {
    styled(&layout.heading(&visible(name)), style(outcome).effects(anstyle::Effects::new()))
}

/// `null at 80; fin at 22, 80 (ipv4)`
fn names(rows: &[&CheckRow]) -> String {
    let name = |row: &&CheckRow| match row.ports() {
        ports if ports.is_empty() => scan(row.first),
        ports => format!("{} at {ports}", scan(row.first)),
    };
    let by_families = grouped(rows.iter().map(|row| (in_brackets(&row.families), name(row))));
    let words = |(families, names): (String, Vec<String>)| format!("{}{families}", names.join("; "));
    by_families.into_iter().map(words).collect::<Vec<_>>().join("; ")
}

fn subjects(checks: &[&Check]) -> String {
    let families = once(checks.iter().filter_map(|check| check.family));
    format!("{}{}", whereabouts(checks), in_brackets(&families))
}

/// ` (ipv4, ipv6)`
fn in_brackets(families: &[Family]) -> String {
    let names: Vec<String> = families.iter().map(ToString::to_string).collect();
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}
