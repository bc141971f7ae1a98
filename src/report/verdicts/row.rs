//! The cases of one expectation together: the cells of a row that expect the same.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{CheckWords, Suite, messages};
use crate::intent::check::{Check, Outcome};
use crate::net::Family;
use crate::report::check_location::whereabouts;
use crate::text::count::counted;
use crate::text::group::{grouped, once};

/// One expectation of a row, with all its cells.
pub struct CaseRow<'a, 'b> {
    /// The cells, at least one.
    pub cases: Vec<&'b CheckWords<'a>>,
    /// Its name, which no other row of the suite has.
    pub name: String,
    /// Its part of the time of the suite, by its number of cells: rows share labs, so none has a time of its own.
    pub time: Duration,
}

impl<'a> Suite<'a> {
    /// The cases by the row that expects them, in the order of their first cells.
    pub fn rows(&self) -> Vec<CaseRow<'a, '_>> {
        // A case without a check, such as an error, is a row of its own.
        let key = |(number, case): (usize, &CheckWords)| match case.check {
            Some(check) => (case.row, case.expected.clone(), check.burst_of.is_some(), None),
            None => (None, String::new(), false, Some(number)),
        };
        let groups = grouped(self.cases.iter().enumerate().map(|(number, case)| (key((number, case)), case)));
        let mut rows: Vec<CaseRow> = groups.into_iter().map(|(_, cases)| self.row(cases)).collect();
        let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
        for row in &mut rows {
            if names.iter().filter(|name| **name == row.name).count() > 1 {
                row.name.extend(row.cases[0].row.map(|line| format!(" (line {line})")));
            }
        }
        rows
    }

    fn row<'b>(&self, cases: Vec<&'b CheckWords<'a>>) -> CaseRow<'a, 'b> {
        let name = match cases[0].check {
            Some(_) => format!("{}: {}", name_of(&cases), cases[0].expected),
            None => cases[0].name.clone(),
        };
        let time = self.time.mul_f64(cases.len() as f64 / self.cases.len() as f64);
        CaseRow { cases, name, time }
    }
}

impl CaseRow<'_, '_> {
    /// The worst outcome of its cells.
    pub fn outcome(&self) -> Outcome {
        self.cases.iter().map(|case| case.outcome).min().unwrap_or(Outcome::NotRun)
    }

    /// The failed cells: `2 of 6 cells: syn at 23, 80: expected open, observed filtered`.
    pub fn message(&self) -> String {
        let failed = self.failed();
        match (failed.len(), self.cases.len()) {
            (_, 1) => failed.iter().map(|case| case.message()).collect(),
            (count, all) if count == all => messages(&failed),
            (count, all) => format!("{count} of {}: {}", counted(all, "cell"), messages(&failed)),
        }
    }

    /// The reasons of the failed cells and the patches that fix them, each once.
    pub fn details(&self) -> String {
        let details = self.failed().into_iter().map(CheckWords::details).filter(|details| !details.is_empty());
        once(details).join("\n")
    }

    fn failed(&self) -> Vec<&CheckWords<'_>> {
        self.cases.iter().copied().filter(|case| case.is_red()).collect()
    }
}

/// `ipv4 xmas 80`; for several cases `ipv4 ipv6 null, fin at 22, 80`.
pub fn name_of(cases: &[&CheckWords]) -> String {
    if let [only] = cases {
        return only.name.clone();
    }
    let checks: Vec<&Check> = cases.iter().filter_map(|case| case.check).collect();
    let families: BTreeSet<Family> = checks.iter().filter_map(|check| check.family).collect();
    let families: Vec<String> = families.iter().map(Family::to_string).collect();
    format!("{} {}", families.join(" "), whereabouts(&checks)).trim_start().to_owned()
}
