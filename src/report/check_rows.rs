//! Rows of a report: checks that differ only in port and family share one.

use crate::intent::check::Check;
use crate::net::Family;
use crate::net::port::{Port, PortSet};
use crate::text::group::merged;

/// Checks that differ only in port and family.
pub struct CheckRow<'a> {
    /// The first of them.
    pub first: &'a Check,
    ports: Vec<Port>,
    /// The families, each once; empty if the checks have none.
    pub families: Vec<Family>,
}

/// The rows of a table, worst outcome first; within an outcome in the order of the checks.
pub fn rows(checks: Vec<&Check>) -> Vec<CheckRow<'_>> {
    let row = |first| CheckRow {
        first,
        ports: first.port.into_iter().collect(),
        families: first.family.into_iter().collect(),
    };
    let rows = checks.into_iter().map(row);
    let rows = merged(
        rows,
        |one, other| one.families == other.families && one.is_like(other),
        |row, other| row.ports.extend(other.ports),
    );
    let mut rows = merged(
        rows,
        |one, other| one.ports == other.ports && one.is_like(other),
        |row, other| row.families.extend(other.families),
    );
    rows.sort_by_key(|row| row.first.outcome);
    rows
}

impl CheckRow<'_> {
    fn is_like(&self, other: &CheckRow) -> bool {
        let (one, other) = (self.first, other.first);
        (one.subject, one.burst_of, one.outcome) == (other.subject, other.burst_of, other.outcome)
            && (&one.expected, &one.observed, &one.why) == (&other.expected, &other.observed, &other.why)
    }

    /// `22, 80`: a table breaks lines at blanks and not at commas. Empty if the checks have no port.
    pub fn ports(&self) -> String {
        self.ports.iter().copied().collect::<PortSet>().to_string().replace(',', ", ")
    }
}
