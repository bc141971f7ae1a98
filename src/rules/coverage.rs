//! Coverage of a ruleset by probes, like code coverage: a rule is exercised if it matched a packet, which may be a
//! probe, the host's answer, or a later packet.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use crate::net::Family;
use crate::probe::packet::Response;
use crate::probe::path::{Path, Step};
use crate::rules::iptables_save::{Listing, PlacedRule};
use crate::text::group::merged;

/// The rules of one ruleset, with their hits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Coverage {
    /// The ruleset's file.
    pub file: PathBuf,
    /// Its family.
    pub family: Family,
    /// Its rules, in the order of their tables and chains.
    pub rules: Vec<RuleHits>,
}

/// A rule, and the number of packets that it matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RuleHits {
    /// Its table.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// Its number in its chain, from 1.
    pub rule: usize,
    /// Its line.
    pub line: usize,
    /// Its text.
    pub text: String,
    /// Packets that it matched.
    pub hits: u64,
}

impl Coverage {
    /// Coverage without any hit.
    pub fn none(listing: &Listing) -> Coverage {
        let rules = listing.placed_rules().map(|PlacedRule { table, chain, number, rule }| RuleHits {
            table: table.to_owned(),
            chain: chain.to_owned(),
            rule: number,
            line: rule.line,
            text: rule.text.clone(),
            hits: 0,
        });
        Coverage { file: listing.source.name.clone(), family: listing.family, rules: rules.collect() }
    }

    /// Rules that matched at least once.
    pub fn exercised(&self) -> usize {
        self.rules.iter().filter(|rule| rule.hits != 0).count()
    }

    /// Rules that matched no packet.
    pub fn unexercised(&self) -> impl Iterator<Item = &RuleHits> {
        self.rules.iter().filter(|rule| rule.hits == 0)
    }

    /// Adds the hits of another run of the same ruleset.
    fn add(&mut self, other: Coverage) {
        for (rule, other) in self.rules.iter_mut().zip(other.rules) {
            rule.hits += other.hits;
        }
    }
}

/// The coverage of `listing` by packets with these paths.
pub fn measure<'a>(listing: &Listing, paths: impl Iterator<Item = &'a Path>) -> Coverage {
    let hits = hits(paths.flat_map(|path| &path.steps));
    let mut coverage = Coverage::none(listing);
    for rule in &mut coverage.rules {
        let key = (rule.table.as_str(), rule.chain.as_str(), rule.rule);
        rule.hits = hits.get(&key).copied().unwrap_or(0);
    }
    coverage
}

/// The paths of a packet and of the host's answer to it. Other packets are partly sent by the kernel's timers, and two
/// runs of the same inputs must give the same coverage.
pub fn of_packet(response: &Response) -> impl Iterator<Item = &Path> {
    response.own.iter().chain(&response.answer).map(|journey| journey.path.as_ref())
}

fn hits<'a>(steps: impl Iterator<Item = &'a Step>) -> BTreeMap<(&'a str, &'a str, usize), u64> {
    let mut hits = BTreeMap::new();
    for step in steps {
        if let Some(rule) = step.rule {
            *hits.entry((step.table.as_str(), step.chain.as_str(), rule)).or_default() += 1;
        }
    }
    hits
}

/// The share of exercised rules of all rulesets, in percent; `None` without a ruleset. A ruleset without rules is fully
/// covered.
pub fn of_all<'a>(all: impl Iterator<Item = &'a Coverage>) -> Option<f64> {
    let all = by_ruleset(all);
    let exercised: usize = all.iter().map(Coverage::exercised).sum();
    let rules: usize = all.iter().map(|one| one.rules.len()).sum();
    let percent = if rules == 0 { 100.0 } else { 100.0 * exercised as f64 / rules as f64 };
    (!all.is_empty()).then_some(percent)
}

/// Merges coverage of the same ruleset by several scenarios.
fn by_ruleset<'a>(all: impl Iterator<Item = &'a Coverage>) -> Vec<Coverage> {
    merged(all.cloned(), Coverage::is_same_ruleset, Coverage::add)
}

impl Coverage {
    fn is_same_ruleset(&self, other: &Coverage) -> bool {
        let same_rule = |(one, other): (&RuleHits, &RuleHits)| (one.line, &one.text) == (other.line, &other.text);
        (&self.file, self.family, self.rules.len()) == (&other.file, other.family, other.rules.len())
            && self.rules.iter().zip(&other.rules).all(same_rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Source;

    fn listing(text: &str) -> Listing {
        Listing::parse(Family::Ipv4, &Source { name: "rules.v4".into(), text: text.into() })
    }

    fn hit(text: &str, hits: &[u64]) -> Coverage {
        let mut coverage = Coverage::none(&listing(text));
        coverage.rules.iter_mut().zip(hits).for_each(|(rule, hits)| rule.hits = *hits);
        coverage
    }

    const TWO: &str = "*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp -j LOG\nCOMMIT\n";

    #[test]
    fn scenarios_that_share_a_ruleset_exercise_it_together() {
        let (first, second) = (hit(TWO, &[3, 0]), hit(TWO, &[0, 1]));
        assert_eq!(of_all([&first].into_iter()), Some(50.0));
        assert_eq!(of_all([&first, &second].into_iter()), Some(100.0));
    }

    #[test]
    fn another_text_under_the_same_name_is_another_ruleset() {
        let other = hit(&TWO.replace("tcp", "udp"), &[0, 0]);
        assert_eq!(of_all([&hit(TWO, &[1, 1]), &other].into_iter()), Some(50.0));
    }

    #[test]
    fn without_rules_there_is_nothing_to_miss_and_without_rulesets_nothing_to_say() {
        assert_eq!(of_all([&hit("*filter\nCOMMIT\n", &[])].into_iter()), Some(100.0));
        assert_eq!(of_all([].into_iter()), None);
    }
}
