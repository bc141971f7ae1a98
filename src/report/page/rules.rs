//! Rulesets as they were loaded, with what the probes made of each rule.

use std::collections::BTreeMap;

use super::story::family_name;
use crate::coverage::{Coverage, RuleHits};
use crate::error::Source;
use crate::findings::Findings;
use crate::net::Family;
use crate::report::Scenario;

/// A ruleset, line by line.
pub struct Ruleset<'a> {
    /// Its number among all rulesets of the page.
    pub number: usize,
    /// Its family.
    pub family: &'static str,
    /// Its file.
    pub file: String,
    /// How many rules it has.
    pub rules: usize,
    /// How many of them were exercised.
    pub exercised: usize,
    /// Its lines.
    pub lines: Vec<Line<'a>>,
    /// Lines that there was no room for.
    pub left_out: usize,
}

/// A line of a ruleset.
pub struct Line<'a> {
    /// From 1.
    pub number: usize,
    /// As it is written.
    pub text: &'a str,
    /// What it holds: `table`, `policy`, `rule`, `comment`.
    pub kind: &'static str,
    /// The hits of its rule; a line with a list of addresses makes several.
    pub hits: Option<u64>,
    /// What is wrong with it: `dead LOG`, `not provable`.
    pub finding: Option<(&'static str, &'a str)>,
}

/// No more lines than this.
const LINES: usize = 2000;

/// The rulesets of a scenario.
pub fn rulesets<'a>(
    scenario: &'a Scenario,
    findings: Option<&'a Findings>,
    ways: &[(Family, usize)],
) -> Vec<Ruleset<'a>> {
    let ruleset = |(family, source): &'a (Family, Source)| {
        let number = ways.iter().find(|(of, _)| of == family).map_or(0, |(_, number)| *number);
        let coverage = scenario.coverage.iter().find(|one| one.family == *family);
        ruleset(*family, source, number, coverage, findings)
    };
    scenario.rulesets.iter().map(ruleset).collect()
}

fn ruleset<'a>(
    family: Family,
    source: &'a Source,
    number: usize,
    coverage: Option<&Coverage>,
    findings: Option<&'a Findings>,
) -> Ruleset<'a> {
    let rules = coverage.map(|coverage| coverage.rules.as_slice()).unwrap_or_default();
    let (hits, found) = (hits(rules), found(family, findings));
    let line = |(index, text): (usize, &'a str)| {
        let number = index + 1;
        Line { number, text, kind: kind(text), hits: hits.get(&number).copied(), finding: found.get(&number).copied() }
    };
    Ruleset {
        number,
        family: family_name(family),
        file: source.name.display().to_string(),
        rules: rules.len(),
        exercised: coverage.map_or(0, Coverage::exercised),
        lines: source.text.lines().enumerate().take(LINES).map(line).collect(),
        left_out: source.text.lines().count().saturating_sub(LINES),
    }
}

fn hits(rules: &[RuleHits]) -> BTreeMap<usize, u64> {
    let mut hits = BTreeMap::new();
    for rule in rules {
        *hits.entry(rule.line).or_default() += rule.hits;
    }
    hits
}

fn found(family: Family, findings: Option<&Findings>) -> BTreeMap<usize, (&'static str, &str)> {
    let unreachable = findings.into_iter().flat_map(|findings| &findings.unreachable);
    let unreachable = unreachable.map(|one| (&one.place, one.severity.as_str(), one.reason.as_str()));
    let not_provable = findings.into_iter().flat_map(|findings| &findings.not_provable);
    let not_provable = not_provable.map(|one| (&one.place, "not provable", one.reason.as_str()));
    let all = unreachable.chain(not_provable).filter(|(place, ..)| place.family == family);
    all.map(|(place, word, reason)| (place.line, (word, reason))).collect()
}

fn kind(text: &str) -> &'static str {
    match text.trim_start().chars().next() {
        Some('*') => "table",
        Some(':') => "policy",
        Some('-' | '[') => "rule",
        _ => "comment",
    }
}
