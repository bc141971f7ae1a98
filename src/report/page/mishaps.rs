//! What is not as expected, with the reason and the patch; what shares both is told once.

use super::story::family_name;
use crate::check::{Check, Outcome};
use crate::explanation::{Explanation, Patch, Place};
use crate::report::whereabouts::whereabouts;

/// Checks that are not as expected for one reason.
pub struct Mishap<'a> {
    /// What came of them.
    pub outcome: Outcome,
    /// `null, fin at 80, 443`
    pub about: String,
    /// `IPv4, IPv6`
    pub families: String,
    /// What the first of them expected.
    pub expected: String,
    /// What the first of them observed.
    pub observed: String,
    /// Why, in words.
    pub words: &'a str,
    /// The rule that took the packets, and the one that was meant to.
    pub places: Vec<(&'static str, &'a Place)>,
    /// What mends them.
    pub patch: Option<&'a Patch>,
}

/// The mishaps of these checks, mismatches first.
pub fn mishaps(checks: &[Check]) -> Vec<Mishap<'_>> {
    let mut groups: Vec<Vec<&Check>> = Vec::new();
    for check in checks.iter().filter(|check| check.outcome != Outcome::Matched) {
        match groups.iter_mut().find(|group| share_the_reason(group[0], check)) {
            Some(group) => group.push(check),
            None => groups.push(vec![check]),
        }
    }
    groups.sort_by_key(|group| group[0].outcome);
    groups.iter().map(|group| mishap(group)).collect()
}

fn share_the_reason(one: &Check, other: &Check) -> bool {
    let reason = |check: &Check| {
        let told = check.explanation.as_ref().filter(|_| check.outcome == Outcome::Mismatched);
        (told.map(|told| (told.cause, told.took.clone(), told.meant.clone(), told.patch.clone())), check.outcome)
    };
    let is_told = one.outcome == Outcome::Mismatched && one.explanation.is_some();
    reason(one) == reason(other) && (is_told || one.why == other.why)
}

fn mishap<'a>(checks: &[&'a Check]) -> Mishap<'a> {
    let first = checks[0];
    let explanation = first.explanation.as_ref().filter(|_| first.outcome == Outcome::Mismatched);
    let mut families: Vec<&str> = checks.iter().filter_map(|check| check.family).map(family_name).collect();
    families.sort_unstable();
    families.dedup();
    Mishap {
        outcome: first.outcome,
        about: whereabouts(checks),
        families: families.join(", "),
        expected: first.expected.to_string(),
        observed: first.observed.as_ref().map_or_else(|| "not run".to_owned(), ToString::to_string),
        words: explanation.map_or(&first.why, |explanation| &explanation.words),
        places: explanation.map(places).unwrap_or_default(),
        patch: explanation.and_then(|explanation| explanation.patch.as_ref()),
    }
}

fn places(explanation: &Explanation) -> Vec<(&'static str, &Place)> {
    let took = explanation.took.as_ref().filter(|took| Some(*took) != explanation.meant.as_ref());
    let places = [("took it", took), ("was meant to", explanation.meant.as_ref())];
    places.into_iter().filter_map(|(word, place)| Some((word, place?))).collect()
}

impl Mishap<'_> {
    /// The lines of the patch, each with the name of its look.
    pub fn diff(&self) -> Vec<(&'static str, &str)> {
        let lines = self.patch.into_iter().flat_map(|patch| patch.diff.lines());
        lines.map(|line| (diff_look(line), line)).collect()
    }
}

fn diff_look(line: &str) -> &'static str {
    match line {
        line if line.starts_with("+++") || line.starts_with("---") => "file",
        line if line.starts_with("@@") => "place",
        line if line.starts_with('+') => "added",
        line if line.starts_with('-') => "removed",
        _ => "same",
    }
}
