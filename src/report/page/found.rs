//! Rules that nothing reaches, what the families do not do alike, and what is known to go wrong: so much of it as somebody
//! looks at, the worst first.

use std::collections::BTreeMap;

use super::listed::{FirstOf, shortened};
use crate::rules::lint::{FindingKind, LintFinding};
use crate::text::group::grouped;
use crate::verdict::findings::{DeadRule, Disparity, FindingPlace, NotProvable, RulesetFindings, ShadowingRule};

/// No more of each than this.
const RULES: usize = 200;

/// No more rules in front of one rule than this.
const IN_FRONT: usize = 8;

/// No more lint of a kind than this: one that every rule has leaves room for the others.
const OF_A_KIND: usize = 40;

/// What was found without being expected.
pub struct UnexpectedResults<'a> {
    /// Rules that nothing can reach.
    pub unreachable: FirstOf<'a, DeadRule>,
    /// Rules that nothing reached.
    pub not_provable: FirstOf<'a, NotProvable>,
    /// What one family lets in and the other keeps out.
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

    /// Rules that nothing reached, by what is missing for a proof.
    pub fn unproven(&self) -> Vec<Unproved<'a>> {
        let rules = self.not_provable.shown.iter().map(|NotProvable { place, reason }| (reason.as_str(), place));
        grouped(rules).into_iter().map(|(reason, rules)| Unproved { reason, rules }).collect()
    }

    /// What takes the packets of a rule.
    pub fn in_front(&self, one: &&'a DeadRule) -> FirstOf<'a, ShadowingRule> {
        FirstOf::new(&one.in_front, IN_FRONT)
    }

    /// The packets that the families do not treat alike.
    pub fn packets(&self, one: &&Disparity) -> String {
        shortened(&one.packets.join(", "))
    }

    /// The ports that they go to.
    pub fn ports(&self, one: &&Disparity) -> String {
        shortened(&one.ports.replace(',', ", "))
    }
}

/// Rules of which nothing is proved for one reason.
pub struct Unproved<'a> {
    /// What is missing.
    pub reason: &'a str,
    /// The rules.
    pub rules: Vec<&'a FindingPlace>,
}

/// What is wrong with the text of the rules.
pub struct Lint<'a> {
    /// The first of each kind, by file and line.
    pub shown: Vec<&'a LintFinding>,
    /// How many more there are of some kinds.
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
