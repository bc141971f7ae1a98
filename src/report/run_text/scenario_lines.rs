//! One line for each scenario: pass or fail, time, number of checks, file, and the title where there is room.

use super::super::layout::styled;
use super::super::{Report, ReportedError, ReportedScenario};
use super::summary::listed;
use crate::intent::check::Outcome;
use crate::report::table::style;
use crate::text::count::counted;
use crate::text::escape::visible;
use crate::text::wrap::{hanging_parts, hanging_quoted, shortened};

/// The lines, in the order of the run.
pub fn lines(report: &Report, width: u16) -> String {
    let lines: Vec<ScenarioLine> = report.scenarios.iter().flatten().map(ScenarioLine::new).collect();
    let widest = |of: fn(&ScenarioLine) -> &str| lines.iter().map(|line| of(line).chars().count()).max().unwrap_or(0);
    let columns = Columns {
        outcome: widest(|line| line.outcome_name),
        time: widest(|line| &line.time),
        checks: widest(|line| &line.checks),
        named: lines.iter().map(ScenarioLine::named).max().unwrap_or(0),
        width: width.into(),
    };
    let of_scenarios: String = lines.iter().map(|line| line.text(&columns)).collect();
    of_scenarios + &report.errors.iter().map(|error| error_line(error, width)).collect::<String>()
}

/// `ERROR  broken.toml:3: unknown key`; the error with its place and hint is on stderr.
fn error_line(error: &ReportedError, width: u16) -> String {
    let line = error.line.map(|line| format!(":{line}")).unwrap_or_default();
    let text = format!("{}{line}: {}", error.file.as_deref().unwrap_or("scanlab"), error.message);
    styled(&hanging_quoted("ERROR  ", 7, &visible(&text), width.into()), style(Outcome::Mismatched))
}

/// The words for an outcome of a scenario.
pub const fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Matched | Outcome::Known => "PASS",
        Outcome::Mismatched => "FAIL",
        Outcome::NotRun => "NOT RUN",
    }
}

/// The widths of the columns.
struct Columns {
    outcome: usize,
    time: usize,
    checks: usize,
    /// File and counts.
    named: usize,
    width: usize,
}

/// The cells of a line.
struct ScenarioLine {
    outcome: Outcome,
    outcome_name: &'static str,
    time: String,
    checks: String,
    file: String,
    /// The numbers of checks that did not match, in brackets.
    counts: String,
    title: String,
}

impl ScenarioLine {
    fn new(scenario: &ReportedScenario) -> ScenarioLine {
        let count = |outcome| scenario.checks.iter().filter(|check| check.outcome == outcome).count();
        let counts = listed(&[
            (count(Outcome::Mismatched), "failed"),
            (count(Outcome::NotRun), "not run"),
            (count(Outcome::Known), "known"),
        ]);
        ScenarioLine {
            outcome: scenario.outcome,
            outcome_name: outcome_name(scenario.outcome),
            time: format!("{:.2} s", scenario.time.as_secs_f64()),
            checks: counted(scenario.checks.len(), "check"),
            file: visible(&scenario.file),
            counts: if counts.is_empty() { counts } else { format!("({counts})") },
            title: visible(&scenario.name),
        }
    }

    /// The whole line has the colour of a failure, and only the outcome that of a success.
    fn text(&self, columns: &Columns) -> String {
        let style = style(self.outcome);
        let outcome = format!("{:<1$}", self.outcome_name, columns.outcome);
        let rest = format!("  {:>2$}  {:>3$}  ", self.time, self.checks, columns.time, columns.checks);
        let indent = outcome.len() + rest.len();
        let title = self.short_title(indent, columns);
        let parts = [self.file.as_str(), &self.counts, &title].into_iter().filter(|part| !part.is_empty());
        let text = hanging_parts(&format!("{outcome}{rest}"), indent, parts, columns.width);
        match self.outcome.is_red() {
            true => styled(&text, style),
            false => text.replacen(&outcome, &format!("{style}{outcome}{style:#}"), 1),
        }
    }

    /// As much of the title as the line has room for, in a column of its own; none of it if that is too little to be read,
    /// or if the title is above the failures.
    fn short_title(&self, indent: usize, columns: &Columns) -> String {
        const LEGIBLE: usize = 40;
        let pad = columns.named - self.named();
        match columns.width.saturating_sub(indent + columns.named + 2) {
            _ if self.outcome.is_red() => String::new(),
            0..LEGIBLE => String::new(),
            room => format!("{:pad$} {}", "", shortened(&self.title, room)),
        }
    }

    /// The columns of file and counts.
    fn named(&self) -> usize {
        let counts = self.counts.chars().count();
        self.file.chars().count() + if counts == 0 { 0 } else { counts + 1 }
    }
}
