//! The common model of the formats for CI: suites of cases, each with an outcome and its words. A scenario is a suite,
//! and a check is a case; the differences of two flavours of iptables are a suite of their own.

mod place;
mod row;

use std::path::Path;
use std::time::Duration;

use super::check_location::whereabouts;
use super::flavours::{FlavourDifference, Flavours};
use super::{Report, ReportedError, ReportedScenario};
use crate::commands::predeploy::{Answers, Assessment, QuestionAnswer};
use crate::intent::check::{Check, Outcome};
use crate::intent::explanation::Patch;
use crate::text::group::grouped;

pub use place::RulePlace;
pub use row::{CaseRow, name_of};

/// The subject of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A scenario.
    Scenario,
    /// The answers of `check` before a deployment.
    Deployment,
    /// The differences of two flavours of iptables.
    Flavours,
    /// An error.
    Failure,
}

/// A group of cases.
pub struct Suite<'a> {
    /// The subject of its cases.
    pub about: About,
    /// The claim that it proves.
    pub name: &'a str,
    /// The file that identifies it.
    pub file: &'a str,
    /// The file that expects its cases.
    pub source: &'a str,
    /// The worst outcome of its cases.
    pub outcome: Outcome,
    /// The time that its cases took together; zero if it was not measured.
    pub time: Duration,
    /// Its cases.
    pub cases: Vec<CheckWords<'a>>,
}

/// One check, in words.
pub struct CheckWords<'a> {
    /// The subject of the check.
    pub name: String,
    /// The check, from which a summary of several is made; `None` for a difference of flavours.
    pub check: Option<&'a Check>,
    /// The outcome.
    pub outcome: Outcome,
    /// The expected result.
    pub expected: String,
    /// The observed result; empty if the check did not run.
    pub observed: String,
    /// The reason; empty if there is none.
    pub why: &'a str,
    /// The rule to fix; `None` if there is none, such as where the policy decided and no rule was intended.
    pub place: Option<RulePlace<'a>>,
    /// The line of the row or sensor entry that expects it, in the suite's source.
    pub row: Option<usize>,
    /// The patch that fixes it.
    pub patch: Option<&'a Patch>,
}

/// The suites of a report, in its order.
pub fn suites(report: &Report) -> Vec<Suite<'_>> {
    let scenarios = report.scenarios.iter().flatten().map(of_scenario);
    let source = report.scenarios.iter().flatten().next().map_or("", |scenario| scenario.file.as_str());
    let answers = report.answers.iter().map(|answers| of_answers(answers, source));
    let errors = report.errors.iter().map(of_error);
    answers.chain(scenarios).chain(report.flavours.iter().map(of_flavours)).chain(errors).collect()
}

/// True if it is a file that can be opened: generated rulesets, built-in scenarios and standard input are not.
pub fn is_a_file(path: &Path) -> bool {
    let in_no_folder = ["<generated>", "<built-in>", "<none>", "-"].iter().any(|folder| path.starts_with(folder));
    !in_no_folder && !path.as_os_str().is_empty()
}

impl<'a> Suite<'a> {
    /// The place of a case, with the line if it is known: its rule, or, if the ruleset is in no file, the row that
    /// expects it.
    pub fn origin<'b>(&'b self, case: &'b CheckWords) -> (&'b Path, Option<usize>) {
        match case.place {
            Some(place) if is_a_file(place.file) => (place.file, Some(place.line)),
            _ => (Path::new(self.source), case.row),
        }
    }

    /// The place that expects a case: a row of the scenario, or an entry of the sensor.
    pub fn requested_at(&self, case: &CheckWords) -> Option<(&Path, usize)> {
        let file = Path::new(self.source);
        case.row.filter(|_| is_a_file(file)).map(|line| (file, line))
    }

    /// The cases that are `wanted`, grouped by outcome, place and explanation, in their order.
    pub fn alike(&self, wanted: impl Fn(&CheckWords<'a>) -> bool) -> Vec<Vec<&CheckWords<'a>>> {
        let key = |case: &CheckWords| format!("{} {:?} {}", case.outcome, self.origin(case), case.story());
        let cases = self.cases.iter().filter(|case| wanted(case)).map(|case| (key(case), case));
        grouped(cases).into_iter().map(|(_, cases)| cases).collect()
    }
}

fn of_scenario(scenario: &ReportedScenario) -> Suite<'_> {
    let cases = scenario.checks.iter().map(of_check).collect();
    let (name, file, outcome) = (&scenario.name, &scenario.file, scenario.outcome);
    Suite { about: About::Scenario, name, file, source: file, outcome, time: scenario.time, cases }
}

/// The suite of an error: one case that did not run.
fn of_error(error: &ReportedError) -> Suite<'_> {
    let file = error.file.as_deref().unwrap_or_default();
    let case = CheckWords {
        name: error.kind().to_owned(),
        check: None,
        outcome: Outcome::NotRun,
        expected: String::new(),
        observed: String::new(),
        why: &error.message,
        place: None,
        row: error.line,
        patch: None,
    };
    let name = if file.is_empty() { "scanlab" } else { file };
    let (outcome, time) = (Outcome::NotRun, Duration::ZERO);
    Suite { about: About::Failure, name, file, source: file, outcome, time, cases: vec![case] }
}

/// The suite of `check`. Each case has the name of its question, whatever the sensor.
fn of_answers<'a>(answers: &'a Answers, source: &'a str) -> Suite<'a> {
    let cases: Vec<CheckWords> = answers.0.iter().map(of_answer).collect();
    let outcome = cases.iter().map(|case| case.outcome).min().unwrap_or(Outcome::NotRun);
    let time = Duration::ZERO;
    Suite { about: About::Deployment, name: "before deployment", file: "", source, outcome, time, cases }
}

fn of_answer(answer: &QuestionAnswer) -> CheckWords<'_> {
    let of =
        |tone: Assessment| answer.facts.iter().filter(move |fact| fact.tone == tone).map(|fact| fact.text.as_str());
    let (outcome, observed, why) = match answer.tone {
        Assessment::Bad => (Outcome::Mismatched, of(Assessment::Bad).collect::<Vec<_>>().join("; "), ""),
        Assessment::Unknown => (Outcome::NotRun, String::new(), of(Assessment::Unknown).next().unwrap_or_default()),
        Assessment::Note | Assessment::Good => (Outcome::Matched, "none".to_owned(), ""),
    };
    CheckWords {
        name: answer.asks.to_owned(),
        check: None,
        outcome,
        expected: "no reason not to deploy".to_owned(),
        observed,
        why,
        place: None,
        row: answer.line,
        patch: None,
    }
}

fn of_check(check: &Check) -> CheckWords<'_> {
    let explanation = check.explanation.as_ref();
    CheckWords {
        name: check.name(),
        check: Some(check),
        outcome: check.outcome,
        expected: check.expected.to_string(),
        observed: check.observed.as_ref().map(ToString::to_string).unwrap_or_default(),
        why: match (check.outcome, explanation) {
            (Outcome::Mismatched | Outcome::NotRun, Some(explanation)) => &explanation.words,
            // The scenario gives the reason of a known mismatch.
            _ => &check.why,
        },
        place: explanation.and_then(place::to_fix),
        row: check.line,
        patch: explanation.and_then(|explanation| explanation.patch.as_ref()),
    }
}

fn of_flavours(flavours: &Flavours) -> Suite<'_> {
    let outcome = if flavours.differences.is_empty() { Outcome::Matched } else { Outcome::Mismatched };
    let cases = flavours.differences.iter().map(of_difference).collect();
    let (name, time) = ("nft and legacy behave the same", Duration::ZERO);
    Suite { about: About::Flavours, name, file: "", source: "", outcome, time, cases }
}

fn of_difference(difference: &FlavourDifference) -> CheckWords<'_> {
    let scenario = difference.scenario.as_ref().map(|file| format!(" ({file})")).unwrap_or_default();
    CheckWords {
        name: format!("{}: {}{scenario}", difference.subject, difference.fact),
        check: None,
        outcome: Outcome::Mismatched,
        expected: or_nothing(difference.first.as_deref()),
        observed: or_nothing(difference.second.as_deref()),
        why: "iptables-nft and iptables-legacy differ",
        place: None,
        row: None,
        patch: None,
    }
}

fn or_nothing(value: Option<&str>) -> String {
    value.unwrap_or("nothing").to_owned()
}

/// The messages of several cases, one line each: `xmas at 80, 443: expected open, observed filtered`.
pub fn messages(cases: &[&CheckWords]) -> String {
    let groups = grouped(cases.iter().map(|case| (case.message(), *case)));
    let lines: Vec<String> = groups.iter().map(|(message, cases)| format!("{}: {message}", subjects(cases))).collect();
    lines.join("\n")
}

fn subjects(cases: &[&CheckWords]) -> String {
    let checks: Vec<&Check> = cases.iter().filter_map(|case| case.check).collect();
    let names = || cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>().join(", ");
    if checks.is_empty() { names() } else { whereabouts(&checks) }
}

impl CheckWords<'_> {
    /// `expected open, observed filtered`; for a check that did not run, the reason.
    pub fn message(&self) -> String {
        match self.outcome {
            Outcome::NotRun => format!("not run: {}", self.why),
            Outcome::Mismatched | Outcome::Known | Outcome::Matched => {
                format!("expected {}, observed {}", self.expected, self.observed)
            }
        }
    }

    /// The reason, and the patch that fixes it. Empty for a check that did not run, whose message has the reason.
    pub fn details(&self) -> String {
        if self.outcome == Outcome::NotRun {
            return String::new();
        }
        let patch = self.patch.map(|patch| format!("{} (tried)\n{}", patch.words, patch.diff));
        let parts = [Some(self.why.to_owned()).filter(|why| !why.is_empty()), patch];
        parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
    }

    /// The key by which cases with one cause are grouped: the patch that fixes them, or else the reason.
    fn story(&self) -> String {
        let explanation = self.check.and_then(|check| check.explanation.as_ref());
        match (explanation, self.patch) {
            (Some(explanation), Some(patch)) => format!("{:?} {}\n{}", explanation.cause, patch.words, patch.diff),
            _ => self.why.to_owned(),
        }
    }

    /// True if it makes the run fail.
    pub fn is_red(&self) -> bool {
        self.outcome.is_red()
    }
}

#[cfg(test)]
mod tests;
