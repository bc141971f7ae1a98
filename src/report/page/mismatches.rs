//! Checks that are not as expected, with the reason and the patch; checks that share both are grouped.

use std::collections::HashMap;

use super::cell_details::family_name;
use super::listed::shortened;
use crate::intent::check::{Check, Outcome};
use crate::intent::explanation::{Cause, Explanation, Patch, RuleRef};
use crate::report::check_location::whereabouts;

/// Checks that are not as expected for the same reason.
pub struct MismatchGroup<'a> {
    /// Their outcome.
    pub outcome: Outcome,
    /// `null, fin at 80, 443`
    pub about: String,
    /// `IPv4, IPv6`
    pub families: String,
    /// True if there are several checks.
    pub is_several: bool,
    /// The expected result of the first check.
    pub expected: String,
    /// The observed result of the first check.
    pub observed: String,
    /// The reason, in words.
    pub words: &'a str,
    /// The rule that matched the packets, and the intended rule.
    pub places: Vec<(&'static str, &'a RuleRef)>,
    /// The patch that fixes them.
    pub patch: Option<&'a Patch>,
}

/// The groups of checks that are not as expected, mismatches first.
#[derive(Default)]
pub struct Mismatches<'a> {
    /// The groups that are shown.
    pub shown: Vec<MismatchGroup<'a>>,
    /// The number of groups that are left out.
    pub left_out: usize,
}

/// The maximum number of groups.
const MISHAPS: usize = 200;

impl<'a> Mismatches<'a> {
    /// The groups of these checks.
    pub fn new(checks: &'a [Check]) -> Mismatches<'a> {
        let mut places = HashMap::new();
        let mut groups: Vec<Vec<&Check>> = Vec::new();
        for check in checks.iter().filter(|check| check.outcome != Outcome::Matched) {
            let place = *places.entry(reason(check)).or_insert(groups.len());
            match groups.get_mut(place) {
                Some(group) => group.push(check),
                None => groups.push(vec![check]),
            }
        }
        groups.sort_by_key(|group| group[0].outcome);
        let left_out = groups.len().saturating_sub(MISHAPS);
        Mismatches { shown: groups.iter().take(MISHAPS).map(|group| mishap(group)).collect(), left_out }
    }
}

/// The reason why a check is not as expected: the explanation of a mismatch, or the check's own words.
#[derive(PartialEq, Eq, Hash)]
enum MismatchReason<'a> {
    Explained(Cause, [Option<&'a RuleRef>; 2], Option<&'a str>),
    Said(Outcome, &'a str),
}

fn reason(check: &Check) -> MismatchReason<'_> {
    match explanation(check) {
        Some(explained) => MismatchReason::Explained(
            explained.cause,
            [explained.took.as_ref(), explained.meant.as_ref()],
            explained.patch.as_ref().map(|patch| patch.diff.as_str()),
        ),
        None => MismatchReason::Said(check.outcome, &check.why),
    }
}

fn explanation(check: &Check) -> Option<&Explanation> {
    check.explanation.as_ref().filter(|_| check.outcome == Outcome::Mismatched)
}

fn mishap<'a>(checks: &[&'a Check]) -> MismatchGroup<'a> {
    let first = checks[0];
    let explanation = explanation(first);
    let mut families: Vec<&str> = checks.iter().filter_map(|check| check.family).map(family_name).collect();
    families.sort_unstable();
    families.dedup();
    MismatchGroup {
        outcome: first.outcome,
        about: shortened(&whereabouts(checks)),
        families: families.join(", "),
        is_several: checks.len() > 1,
        expected: first.expected.to_string(),
        observed: first.observed.as_ref().map_or_else(|| "not run".to_owned(), ToString::to_string),
        words: explanation.map_or(&first.why, |explanation| &explanation.words),
        places: explanation.map(places).unwrap_or_default(),
        patch: explanation.and_then(|explanation| explanation.patch.as_ref()),
    }
}

fn places(explanation: &Explanation) -> Vec<(&'static str, &RuleRef)> {
    let took = explanation.took.as_ref().filter(|took| Some(*took) != explanation.meant.as_ref());
    let places = [("matched", took), ("intended", explanation.meant.as_ref())];
    places.into_iter().filter_map(|(word, place)| Some((word, place?))).collect()
}

impl MismatchGroup<'_> {
    /// The lines of the patch, each with its CSS class.
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
