//! The report of a self-test.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use schemars::JsonSchema;
use serde::Serialize;

use super::columns::new_table;
use super::{Environment, SCHEMA};
use crate::commands::selftest::{FaultOutcome, FaultRow, SelfTest};
use crate::text::escape::visible;

/// A self-test, as the JSON shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SelfTestReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `scanlab X.Y.Z`.
    pub tool: String,
    /// The environment of the self-test.
    pub environment: Environment,
    /// The control, then every fault.
    pub faults: Vec<FaultRow>,
    /// The number of faults for each outcome.
    pub summary: SelfTestSummary,
}

/// The number of faults for each outcome; the control is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SelfTestSummary {
    /// Faults.
    pub faults: usize,
    /// Noticed: the lab reported that it cannot measure.
    pub caught: usize,
    /// Harmless: every verdict is right.
    pub right: usize,
    /// The instrument was fooled.
    pub fooled: usize,
    /// Not encountered by the instrument.
    pub not_planted: usize,
    /// Not run on this machine.
    pub not_run: usize,
}

impl SelfTestReport {
    /// The report of a self-test.
    pub fn new(found: &SelfTest, environment: Environment) -> SelfTestReport {
        let tool = format!("scanlab {}", env!("CARGO_PKG_VERSION"));
        let summary = SelfTestSummary::count(&found.rows);
        SelfTestReport { schema: SCHEMA, tool, environment, faults: found.rows.clone(), summary }
    }
}

impl SelfTestSummary {
    fn count(rows: &[FaultRow]) -> SelfTestSummary {
        let faults = || rows.iter().skip(1);
        let count = |outcome| faults().filter(|row| row.outcome == outcome).count();
        SelfTestSummary {
            faults: faults().count(),
            caught: count(FaultOutcome::Caught),
            right: count(FaultOutcome::Right),
            fooled: count(FaultOutcome::Fooled),
            not_planted: count(FaultOutcome::NotPlanted),
            not_run: count(FaultOutcome::NotRun),
        }
    }
}

/// The report for people, at most `width` columns wide, with ANSI styles.
pub fn selftest_table(report: &SelfTestReport, width: u16) -> String {
    let mut table = new_table(width);
    table.set_header(["fault", "what was planted", "what happened", "outcome"]);
    for row in &report.faults {
        let cells = [row.fault.to_owned(), row.planted.clone(), row.happened.clone(), row.outcome.to_string()];
        table.add_row(cells.map(|cell| visible(&cell)));
    }
    let mut text = String::new();
    let _ = writeln!(text, "{}\n", table.trim_fmt());
    text.push_str(&summary_line(report));
    text
}

fn summary_line(report: &SelfTestReport) -> String {
    let SelfTestSummary { faults, caught, right, fooled, not_planted, not_run } = report.summary;
    let style = style(report.faults.iter().map(|row| row.outcome).min());
    let control = match report.faults.first() {
        Some(control) if control.outcome != FaultOutcome::Right => " (and wrong without any fault: see the first row)",
        _ => "",
    };
    format!(
        "{style}{faults} faults: {caught} caught, {right} right, {fooled} fooled, {not_planted} not planted, \
         {not_run} not run{style:#}{control}\n"
    )
}

fn style(worst: Option<FaultOutcome>) -> Style {
    let color = match worst {
        Some(FaultOutcome::Caught | FaultOutcome::Right) => AnsiColor::Green,
        Some(FaultOutcome::NotRun) => AnsiColor::Yellow,
        Some(FaultOutcome::Fooled | FaultOutcome::NotPlanted) | None => AnsiColor::Red,
    };
    color.on_default().bold()
}

#[cfg(test)]
mod tests;
