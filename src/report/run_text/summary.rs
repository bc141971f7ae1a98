//! The summary line of a run.

use std::time::Duration;

use super::super::layout::styled;
use super::super::{CheckCounts, Report};
use crate::intent::check::Outcome;
use crate::report::table::style;
use crate::text::count::counted;
use crate::text::wrap::hanging_parts;

/// `5 scenarios passed; 1176 checks: 69 known mismatches; coverage 97.2 %; 0.31 s`
pub fn line(report: &Report, counts: &CheckCounts, time: Duration, width: u16) -> String {
    let of_scenarios = |outcome| report.scenarios.iter().flatten().filter(|one| one.outcome == outcome).count();
    let (failed, not_run) = (of_scenarios(Outcome::Mismatched), of_scenarios(Outcome::NotRun));
    let bad_input = report.errors.len();
    let parts = [
        Some(scenarios(&[
            (bad_input, "with bad input"),
            (failed, "failed"),
            (not_run, "not run"),
            (counts.scenarios - failed - not_run, "passed"),
        ])),
        report.flavours_differ().then(|| "iptables-nft and iptables-legacy differ".to_owned()),
        Some(checks(counts)),
        counts.coverage.map(|percent| format!("coverage {percent:.1} %")),
        Some(format!("{:.2} s", time.as_secs_f64())),
    ];
    let text = parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
    let parts = text.split_inclusive("; ").map(str::trim_end);
    let outcome = match (bad_input + failed, not_run, report.flavours_differ()) {
        (0, 0, false) => Outcome::Matched,
        (0, _, false) => Outcome::NotRun,
        _ => Outcome::Mismatched,
    };
    styled(&hanging_parts("", 2, parts, width.into()), style(outcome))
}

fn scenarios(counts: &[(usize, &str); 4]) -> String {
    let all = counted(counts.iter().map(|(count, _)| count).sum(), "scenario");
    match counts.map(|(count, _)| count) {
        [0, 0, 0, 0] => "no scenario was run".to_owned(),
        [0, 0, 0, _] => format!("{all} passed"),
        _ => format!("{all}: {}", listed(counts)),
    }
}

/// Known mismatches have their noun, since they do not fail the run.
fn checks(counts: &CheckCounts) -> String {
    let known = if counts.known == 1 { "known mismatch" } else { "known mismatches" };
    let counted_words = [(counts.mismatched, "failed"), (counts.not_run, "not run"), (counts.known, known)];
    let words = listed(&counted_words);
    let all = counted(counts.checks, "check");
    if words.is_empty() { all } else { format!("{all}: {words}") }
}

/// `2 failed, 1 not run`: without those that are 0.
pub fn listed(counts: &[(usize, &str)]) -> String {
    let words = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    words.collect::<Vec<_>>().join(", ")
}
