//! The text of a run for people, the answer first: a line for each scenario, a block for each failure with its cause and
//! its fix, notes that qualify a verdict, and a summary line. What passed is a count; `run --verbose` lists it.

mod failures;
mod scenario_lines;
mod summary;

use std::time::Duration;

use super::check_location::whereabouts;
use super::{Report, ReportedScenario, environment_words, flavours_block, notes};
use crate::intent::check::{Check, Outcome};
use crate::text::escape::visible;
use crate::text::group::grouped;
use crate::text::wrap::hanging_quoted;

/// The report of a run that took `time`, with ANSI styles (the caller strips them where there is no terminal). Only a
/// word that is longer exceeds `width` columns.
pub fn run_text(report: &Report, time: Duration, width: u16) -> String {
    // Without a summary nothing was run, and the errors are on stderr.
    let Some(counts) = &report.summary else { return String::new() };
    let parts = [
        scenario_lines::lines(report, width),
        failures::blocks(report, width),
        flavours_block(report, width),
        all_notes(report, width),
        summary::line(report, counts, time, width),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

/// The failures alone: what `--quiet` prints. Empty if there are none.
pub fn failures(report: &Report, width: u16) -> String {
    let flavours = if report.flavours_differ() { flavours_block(report, width) } else { String::new() };
    flavours + &failures::blocks(report, width)
}

/// Facts that the outcomes do not show: of probes, of checks that matched, of the environment.
fn all_notes(report: &Report, width: u16) -> String {
    let of_probes = notes::in_words(&report.probes, &report.environment);
    let of_checks = report.scenarios.iter().flatten().flat_map(notes_of_matched);
    let not_applicable = report.not_applicable.map(str::to_owned);
    let all =
        of_probes.into_iter().chain(of_checks).chain(not_applicable).chain(environment_words(&report.environment));
    all.map(|note| hanging_quoted("note  ", 6, &visible(&note), width.into())).collect()
}

/// The remarks on checks that matched, each once: log lines that no row expects.
fn notes_of_matched(scenario: &ReportedScenario) -> Vec<String> {
    let noted = |check: &&Check| check.outcome == Outcome::Matched && !check.why.is_empty();
    let noted = scenario.checks.iter().filter(noted).map(|check| (check.why.as_str(), check));
    let words = |(why, checks): (&str, Vec<&Check>)| format!("{}: {}: {why}", scenario.file, whereabouts(&checks));
    grouped(noted).into_iter().map(words).collect()
}

#[cfg(test)]
mod tests;
