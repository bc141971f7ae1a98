//! Rules that no packet reaches, differences between the families, and lint: a limited number of each, worst first.

use std::collections::BTreeMap;

use super::listed::{FirstOf, shortened};
use crate::rules::lint::{FindingKind, LintFinding};
use crate::text::group::grouped;
use crate::verdict::findings::{DeadRule, Disparity, FindingPlace, NotProvable, RulesetFindings, ShadowingRule};

/// The maximum number of each.
const RULES: usize = 200;

/// The maximum number of earlier rules that are shown for one rule.
const IN_FRONT: usize = 8;

/// The maximum number of lint findings of a kind, so that a kind that every rule has does not crowd out the others.
const OF_A_KIND: usize = 40;

/// Results that no scenario expected.
pub struct UnexpectedResults<'a> {
    /// Rules that no packet can reach.
    pub unreachable: FirstOf<'a, DeadRule>,
    /// Rules that no packet reached, without a proof.
    pub not_provable: FirstOf<'a, NotProvable>,
    /// Packets that one family accepts and the other does not.
    pub parity: FirstOf<'a, Disparity>,
}

impl<'a> UnexpectedResults<'a> {
    /// The first of these.
    pub fn new(findings: &'a RulesetFindings) -> UnexpectedResults<'a> {
        UnexpectedResults {
            unreachable: FirstOf::new(&findings.unreachable, RULES),
            not_provable: FirstOf::new(&findings.not_provable, RULES),
            parity: FirstOf::new(&findings.parity, RULES),
        }
    }

    /// Rules that no packet reached, grouped by the missing part of the proof.
    pub fn unproven(&self) -> Vec<Unproved<'a>> {
        let rules = self.not_provable.shown.iter().map(|NotProvable { place, reason }| (reason.as_str(), place));
        grouped(rules).into_iter().map(|(reason, rules)| Unproved { reason, rules }).collect()
    }

    /// The earlier rules that match the packets of a rule.
    pub fn in_front(&self, one: &&'a DeadRule) -> FirstOf<'a, ShadowingRule> {
        FirstOf::new(&one.in_front, IN_FRONT)
    }

    /// The packets that the families treat differently.
    pub fn packets(&self, one: &&Disparity) -> String {
        shortened(&one.packets.join(", "))
    }

    /// Their destination ports.
    pub fn ports(&self, one: &&Disparity) -> String {
        shortened(&one.ports.replace(',', ", "))
    }
}

/// Unproven rules that share a reason.
pub struct Unproved<'a> {
    /// The missing part of the proof.
    pub reason: &'a str,
    /// The rules.
    pub rules: Vec<&'a FindingPlace>,
}

/// Lint findings on the text of the rules.
pub struct Lint<'a> {
    /// The first of each kind, by file and line.
    pub shown: Vec<&'a LintFinding>,
    /// The number of findings that are left out, for each kind that is cut.
    pub left_out: Vec<(FindingKind, usize)>,
}

impl<'a> Lint<'a> {
    /// The first of each kind.
    pub fn new(all: &'a [LintFinding]) -> Lint<'a> {
        let mut counts: BTreeMap<FindingKind, usize> = BTreeMap::new();
        let mut has_room = |one: &&LintFinding| {
            let count = counts.entry(one.rule).or_default();
            *count += 1;
            *count <= OF_A_KIND
        };
        let shown = all.iter().filter(&mut has_room).collect();
        let more = counts.into_iter().map(|(kind, count)| (kind, count.saturating_sub(OF_A_KIND)));
        Lint { shown, left_out: more.filter(|(_, more)| *more > 0).collect() }
    }
}
