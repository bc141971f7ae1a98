//! The packets that two rulesets may treat differently.

use super::region::Region;
use super::rule_sets::RuleSets;
use super::sets::{ChainSets, Sets};
use super::universe::Space;
use super::walk::{Deed, Leaf};
use super::{GAPS, TooMany};
use crate::rules::iptables_save::HOOKS;
use crate::rules::iptables_save::Listing;

/// Packets that the two rulesets may treat differently.
#[derive(Debug, Clone)]
pub struct SetDifference {
    /// The packets.
    pub region: Region,
    /// The table.
    pub table: String,
    /// The chain at which their path begins.
    pub hook: &'static str,
    /// The lines of the rules in which the two differ for them, on either side.
    pub lines: [Vec<usize>; 2],
}

/// The packets that `sides` may treat differently; empty if no packet can show a difference.
///
/// # Errors
///
/// If the sets split into too many parts.
pub fn compare(space: &Space, sides: [&Listing; 2]) -> Result<Vec<SetDifference>, TooMany> {
    let sides = sides.map(|listing| Sets::new(space.clone(), listing));
    let mut names: Vec<&str> =
        sides.iter().flat_map(|side| side.listing.tables.iter().map(|table| table.name.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    let mut gaps = Vec::new();
    for table in names {
        let different = Different::new(&sides, table);
        if different.is_nothing() {
            continue;
        }
        for hook in HOOKS {
            gaps.extend(different.at(&sides, table, hook)?);
        }
    }
    Ok(gaps)
}

/// The differences of the two in one table.
pub(super) struct Different {
    rules: Vec<Region>,
    lines: [Vec<usize>; 2],
    policies: Vec<String>,
}

impl Different {
    pub(super) fn new([one, other]: &[Sets; 2], name: &str) -> Different {
        let mut different = Different { rules: Vec::new(), lines: [Vec::new(), Vec::new()], policies: Vec::new() };
        let tables = [one, other].map(|side| side.table(name));
        for (side, (own, others)) in [(tables[0], tables[1]), (tables[1], tables[0])].into_iter().enumerate() {
            for chain in own.into_iter().flat_map(|table| &table.chains) {
                different.add(side, chain, others.and_then(|others| others.chain(chain.name)));
            }
        }
        different
    }

    fn add(&mut self, side: usize, chain: &ChainSets, other: Option<&ChainSets>) {
        let others = other.map(|other| other.rules.as_slice()).unwrap_or_default();
        let rules = differing(&chain.rules, others);
        self.lines[side].extend(rules.iter().map(|rule| rule.line));
        self.rules.extend(rules.iter().filter_map(|rule| rule.region.clone()));
        if chain.drops != other.is_some_and(|other| other.drops) {
            self.lines[side].extend(chain.line);
            self.policies.push(chain.name.to_owned());
        }
    }

    fn is_nothing(&self) -> bool {
        self.rules.is_empty() && self.policies.is_empty()
    }

    /// The packets at `hook` that match the differing rules and policies.
    pub(super) fn starts(&self, space: &Space, table: &str, hook: &str) -> Vec<Region> {
        let everything = self.policies.iter().any(|policy| policy == hook).then(|| space.everything.clone());
        let starts = everything.iter().chain(&self.rules);
        let parts = space.universe(table, hook);
        starts.flat_map(|start| parts.iter().filter_map(|part| part.intersection(start))).collect()
    }

    fn at(&self, sides: &[Sets; 2], table: &str, hook: &'static str) -> Result<Vec<SetDifference>, TooMany> {
        let mut gaps = Vec::new();
        for part in self.starts(&sides[0].space, table, hook) {
            let apart = distinguished(sides, (table, hook), &part)?;
            let gap = |(region, ends): Apart| {
                let lines = ends.map_or_else(|| self.lines.clone(), |ends| ends.map(|line| line.into_iter().collect()));
                SetDifference { region, table: table.to_owned(), hook, lines }
            };
            gaps.extend(apart.into_iter().map(gap));
            if gaps.len() >= GAPS {
                return Ok(gaps);
            }
        }
        Ok(gaps)
    }
}

/// Packets, with the lines of both ends of their paths if the ends differ.
type Apart = (Region, Option<[Option<usize>; 2]>);

/// The packets of `start` with another result on the second side.
fn distinguished(sides: &[Sets; 2], place: (&str, &str), start: &Region) -> Result<Vec<Apart>, TooMany> {
    let [one, other] = sides;
    let shared = |deed: &&Deed| !is_private(deed, sides, place.0);
    let same = |one: &Leaf, other: &Leaf| {
        one.end == other.end && one.trail.iter().filter(shared).eq(other.trail.iter().filter(shared))
    };
    let mut apart = Vec::new();
    for leaf in one.leaves(place, start)? {
        let others = other.leaves(place, &leaf.region)?;
        let ends = |other: &Leaf| (leaf.end != other.end).then_some([leaf.line, other.line]);
        apart.extend(others.into_iter().filter(|other| !same(&leaf, other)).map(|other| {
            let ends = ends(&other);
            (other.region, ends)
        }));
        if apart.len() >= GAPS {
            break;
        }
    }
    Ok(apart)
}

/// True for a limit that only one of the two has. No other rule shares its bucket, so it makes no difference by itself:
/// the results of the packets are compared for both results of the limit.
fn is_private(deed: &Deed, sides: &[Sets; 2], table: &str) -> bool {
    let Deed::Asks(question, _) = deed else { return false };
    let is_alone = question.memory.starts_with("-m limit ") && !question.memory[1..].contains(" -m ");
    let has_none = |side: &Sets| side.table(table).is_none_or(|table| !table.limits_like(question));
    is_alone && sides.iter().any(has_none)
}

/// The rules of `one` without those at the start and the end that both share.
fn differing<'r, 'a>(one: &'r [RuleSets<'a>], other: &[RuleSets<'a>]) -> &'r [RuleSets<'a>] {
    let same = |(one, other): &(&RuleSets, &RuleSets)| one.is_equivalent(other);
    let start = one.iter().zip(other).take_while(same).count();
    let (one, other) = (&one[start..], &other[start..]);
    let end = one.iter().rev().zip(other.iter().rev()).take_while(same).count();
    &one[..one.len() - end]
}
