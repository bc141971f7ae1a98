//! Rulesets as they were loaded, with the number of hits of each rule.

use std::collections::{BTreeMap, BTreeSet};

use super::cell_details::{AllCellDetails, family_name};
use crate::error::Source;
use crate::net::Family;
use crate::report::ReportedScenario;
use crate::rules::coverage::{Coverage, RuleHits};
use crate::verdict::findings::RulesetFindings;

/// A ruleset, line by line.
pub struct RulesetLines<'a> {
    /// Its number among all rulesets of the page.
    pub number: usize,
    /// Its family.
    pub family: Family,
    /// Its file.
    pub file: String,
    /// The number of its rules.
    pub rules: usize,
    /// The number of its rules that were exercised.
    pub exercised: usize,
    /// Its lines.
    pub lines: Vec<RulesetLine<'a>>,
    /// The number of lines that are left out.
    pub left_out: usize,
}

/// A line of a ruleset.
pub struct RulesetLine<'a> {
    /// The line number, from 1.
    pub number: usize,
    /// The number of lines left out before it.
    pub skipped: usize,
    /// The text of the line.
    pub text: &'a str,
    /// The kind of line: `table`, `policy`, `rule`, `comment`.
    pub kind: &'static str,
    /// The hits of its rule; a line with a list of addresses makes several.
    pub hits: Option<u64>,
    /// The finding on its rule: `dead LOG`, `not provable`.
    pub finding: Option<(&'static str, &'a str)>,
}

/// The maximum number of lines.
const LINES: usize = 2000;

/// The rulesets of a scenario; their data for the script is added to `stories`.
pub fn rulesets<'a>(
    scenario: &'a ReportedScenario,
    findings: Option<&'a RulesetFindings>,
    stories: &mut AllCellDetails,
) -> Vec<RulesetLines<'a>> {
    let ruleset = |(family, source): &'a (Family, Source)| {
        let coverage = scenario.coverage.iter().find(|one| one.family == *family);
        let rules = coverage.map(|coverage| coverage.rules.as_slice()).unwrap_or_default();
        let weight = Weight { blamed: blamed(scenario, source), hits: hits(rules), found: found(*family, findings) };
        let lines = weight.lines(source);
        RulesetLines {
            number: stories.ruleset(source, rules, |line| lines.binary_search_by_key(&line, |one| one.number).is_ok()),
            family: *family,
            file: source.name.display().to_string(),
            rules: rules.len(),
            exercised: coverage.map_or(0, Coverage::exercised),
            left_out: source.text.lines().count() - lines.len(),
            lines,
        }
    };
    scenario.rulesets.iter().map(ruleset).collect()
}

impl RulesetLines<'_> {
    /// The family in usual spelling.
    pub fn family_name(&self) -> &'static str {
        family_name(self.family)
    }

    /// True if it is expanded: content after a long, expanded one would be hard to find.
    pub fn is_short(&self) -> bool {
        const SHORT: usize = 300;
        self.lines.len() <= SHORT
    }
}

/// The facts that rank a line.
struct Weight<'a> {
    blamed: BTreeSet<usize>,
    hits: BTreeMap<usize, u64>,
    found: BTreeMap<usize, (&'static str, &'a str)>,
}

impl<'a> Weight<'a> {
    /// The lines with the highest ranks, in file order.
    fn lines(&self, source: &'a Source) -> Vec<RulesetLine<'a>> {
        let mut all: Vec<(usize, &str)> = source.text.lines().enumerate().map(|(at, text)| (at + 1, text)).collect();
        all.sort_by_key(|(number, text)| self.rank(*number, text));
        all.truncate(LINES);
        all.sort_unstable();
        let mut before = 0;
        let mut line = |(number, text): (usize, &'a str)| {
            let skipped = number - before - 1;
            before = number;
            let (hits, finding) = (self.hits.get(&number).copied(), self.found.get(&number).copied());
            RulesetLine { number, skipped, text, kind: kind(text), hits, finding }
        };
        all.into_iter().map(&mut line).collect()
    }

    /// The rank of a line: named by an explanation, matched, table or policy, dead, all others.
    fn rank(&self, number: usize, text: &str) -> u8 {
        match kind(text) {
            _ if self.blamed.contains(&number) => 0,
            _ if self.hits.get(&number).is_some_and(|hits| *hits > 0) => 1,
            "table" | "policy" => 2,
            _ if self.found.contains_key(&number) => 3,
            _ => 4,
        }
    }
}

/// The lines that explanations name.
fn blamed(scenario: &ReportedScenario, source: &Source) -> BTreeSet<usize> {
    let explanations = scenario.checks.iter().filter_map(|check| check.explanation.as_ref());
    let places = explanations.flat_map(|explanation| explanation.took.iter().chain(&explanation.meant));
    places.filter(|place| place.file == source.name).filter_map(|place| place.line).collect()
}

fn hits(rules: &[RuleHits]) -> BTreeMap<usize, u64> {
    let mut hits = BTreeMap::new();
    for rule in rules {
        *hits.entry(rule.line).or_default() += rule.hits;
    }
    hits
}

fn found(family: Family, findings: Option<&RulesetFindings>) -> BTreeMap<usize, (&'static str, &str)> {
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
