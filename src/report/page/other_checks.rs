//! The checks that are not in a matrix: bursts, packets, neighbours, the vendor; worst first.

use std::collections::HashMap;

use super::cell_details::family_name;
use crate::intent::check::{Check, Outcome};
use crate::intent::scenario::CheckSubject;

/// A check, or two that differ only in the family.
pub struct OtherCheckRow {
    /// The outcome.
    pub outcome: Outcome,
    /// The subject of the check.
    pub subject: String,
    /// `IPv4, IPv6`
    pub families: String,
    /// The expected result.
    pub expected: String,
    /// The observed result.
    pub observed: String,
    /// The reason, if there is one.
    pub why: String,
}

/// The rows of a table.
#[derive(Default)]
pub struct Others {
    /// The first of them.
    pub rows: Vec<OtherCheckRow>,
    /// The number of rows that are left out.
    pub left_out: usize,
}

/// The maximum number of rows.
const ROWS: usize = 1000;

impl Others {
    /// Those of the checks that are not in a matrix.
    pub fn new(checks: &[Check]) -> Others {
        let mut places = HashMap::new();
        let mut rows: Vec<OtherCheckRow> = Vec::new();
        for row in checks.iter().filter(|check| !is_in_matrix(check)).map(row) {
            let place = *places.entry(row.facts()).or_insert(rows.len());
            match rows.get_mut(place).filter(|other| other.families != row.families) {
                Some(other) => other.families = format!("{}, {}", other.families, row.families),
                None => rows.push(row),
            }
        }
        rows.sort_by_key(|row| row.outcome);
        let left_out = rows.len().saturating_sub(ROWS);
        rows.truncate(ROWS);
        Others { rows, left_out }
    }

    /// True if the table is expanded: it is short, or a check in it is not as expected.
    pub fn are_open(&self) -> bool {
        self.rows.len() <= 12 || self.rows[0].outcome != Outcome::Matched
    }
}

fn is_in_matrix(check: &Check) -> bool {
    matches!(check.subject, CheckSubject::Scan(_)) && check.burst_of.is_none() && check.family.is_some()
}

fn row(check: &Check) -> OtherCheckRow {
    OtherCheckRow {
        outcome: check.outcome,
        subject: Check { family: None, ..check.clone() }.name(),
        families: check.family.map(family_name).unwrap_or_default().to_owned(),
        expected: check.expected.to_string(),
        observed: check.observed.as_ref().map(ToString::to_string).unwrap_or_default(),
        why: check.why.clone(),
    }
}

impl OtherCheckRow {
    /// All facts but the family.
    fn facts(&self) -> (Outcome, [String; 4]) {
        let texts = [&self.subject, &self.expected, &self.observed, &self.why];
        (self.outcome, texts.map(Clone::clone))
    }
}
