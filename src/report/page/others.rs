//! The checks that no matrix shows: bursts, packets, neighbours, the vendor. The worst come first.

use super::story::family_name;
use crate::check::{Check, Outcome};
use crate::scenario::Subject;

/// A check, or two that differ in nothing but the family.
pub struct Row {
    /// What came of it.
    pub outcome: Outcome,
    /// What is checked.
    pub subject: String,
    /// `IPv4, IPv6`
    pub families: String,
    /// What was expected.
    pub expected: String,
    /// What was observed.
    pub observed: String,
    /// Why, when there is something to say.
    pub why: String,
}

/// The rows of a table.
pub fn rows(checks: &[Check]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for check in checks.iter().filter(|check| !is_in_matrix(check)) {
        let row = row(check);
        match rows.iter_mut().find(|other| other.differs_in_family_only(&row)) {
            Some(other) => other.families = format!("{}, {}", other.families, row.families),
            None => rows.push(row),
        }
    }
    rows.sort_by_key(|row| row.outcome);
    rows
}

fn is_in_matrix(check: &Check) -> bool {
    matches!(check.subject, Subject::Scan(_)) && check.burst_of.is_none() && check.family.is_some()
}

fn row(check: &Check) -> Row {
    Row {
        outcome: check.outcome,
        subject: Check { family: None, ..check.clone() }.name(),
        families: check.family.map(family_name).unwrap_or_default().to_owned(),
        expected: check.expected.to_string(),
        observed: check.observed.as_ref().map(ToString::to_string).unwrap_or_default(),
        why: check.why.clone(),
    }
}

impl Row {
    fn differs_in_family_only(&self, other: &Row) -> bool {
        let facts = |row: &Row| (row.outcome, row.subject.clone(), row.expected.clone(), row.observed.clone());
        self.families != other.families && facts(self) == facts(other) && self.why == other.why
    }
}
