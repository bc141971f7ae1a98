//! The checks that no matrix shows: bursts, packets, neighbours, the vendor. The worst come first.

use std::collections::HashMap;

use super::cell_details::family_name;
use crate::intent::check::{Check, Outcome};
use crate::intent::scenario::CheckSubject;

/// A check, or two that differ in nothing but the family.
pub struct OtherCheckRow {
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
#[derive(Default)]
pub struct Others {
    /// The first of them.
    pub rows: Vec<OtherCheckRow>,
    /// Those that there was no room for.
    pub left_out: usize,
}

/// No more rows than this.
const ROWS: usize = 1000;

impl Others {
    /// What no matrix shows of these checks.
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

    /// Whether they are few, or one of them is not as expected.
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
    /// All but the family.
    fn facts(&self) -> (Outcome, [String; 4]) {
        let texts = [&self.subject, &self.expected, &self.observed, &self.why];
        (self.outcome, texts.map(Clone::clone))
    }
}
