//! The packets that two rulesets may treat differently.

use super::TooMany;
use super::region::Region;
use super::universe::{HOOKS, Space};
use super::walk::{Leaf, leaves};
use crate::iptables_save::{Chain, Listing, Policy, Rule, Table};

/// Packets of which the two may make something else.
#[derive(Debug, Clone)]
pub struct Gap {
    /// The packets.
    pub region: Region,
    /// The table.
    pub table: String,
    /// The chain at which their way begins.
    pub hook: &'static str,
    /// The lines of the rules in which the two differ there, on either side.
    pub lines: [Vec<usize>; 2],
}

/// So many gaps are named; more say no more.
const GAPS: usize = 64;

/// The packets that `sides` may treat differently; none if no packet can tell them apart.
///
/// # Errors
/// Sets that split into too many parts.
pub fn compare(space: &Space, sides: [&Listing; 2]) -> Result<Vec<Gap>, TooMany> {
    let mut names: Vec<&str> =
        sides.iter().flat_map(|side| side.tables.iter().map(|table| table.name.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    let mut gaps = Vec::new();
    for table in names {
        let different = Different::of(space, sides, table);
        if different.is_nothing() {
            continue;
        }
        for hook in HOOKS {
            gaps.extend(different.at(space, sides, table, hook)?);
        }
    }
    Ok(gaps)
}

/// Where the two differ in one table.
struct Different {
    rules: Vec<Region>,
    lines: [Vec<usize>; 2],
    policies: Vec<String>,
}

impl Different {
    fn of(space: &Space, [one, other]: [&Listing; 2], name: &str) -> Different {
        let mut different = Different { rules: Vec::new(), lines: [Vec::new(), Vec::new()], policies: Vec::new() };
        let tables = [one, other].map(|side| side.tables.iter().find(|table| table.name == name));
        for (side, (own, others)) in [(tables[0], tables[1]), (tables[1], tables[0])].into_iter().enumerate() {
            for chain in own.into_iter().flat_map(|table| &table.chains) {
                different.add(space, side, chain, others.and_then(|others| chain_of(others, &chain.name)));
            }
        }
        different
    }

    fn add(&mut self, space: &Space, side: usize, chain: &Chain, other: Option<&Chain>) {
        let others = other.map(|other| other.rules.as_slice()).unwrap_or_default();
        let rules = differing(space, &chain.rules, others);
        self.lines[side].extend(rules.iter().map(|rule| rule.line));
        self.rules.extend(rules.iter().filter_map(|rule| space.asked(rule).region));
        let drops = |chain: Option<&Chain>| chain.and_then(|chain| chain.policy) == Some(Policy::Drop);
        if drops(Some(chain)) != drops(other) {
            self.lines[side].extend(chain.line);
            self.policies.push(chain.name.clone());
        }
    }

    fn is_nothing(&self) -> bool {
        self.rules.is_empty() && self.policies.is_empty()
    }

    fn at(&self, space: &Space, sides: [&Listing; 2], table: &str, hook: &'static str) -> Result<Vec<Gap>, TooMany> {
        let everything = self.policies.iter().any(|policy| policy == hook).then(|| space.everything());
        let mut gaps = Vec::new();
        for start in everything.iter().chain(&self.rules) {
            for part in space.universe(table, hook).iter().filter_map(|part| part.intersection(start)) {
                let apart = told_apart(space, sides, (table, hook), &part)?;
                let gap = |(region, ends): Apart| {
                    let lines =
                        ends.map_or_else(|| self.lines.clone(), |ends| ends.map(|line| line.into_iter().collect()));
                    Gap { region, table: table.to_owned(), hook, lines }
                };
                gaps.extend(apart.into_iter().map(gap));
                if gaps.len() >= GAPS {
                    return Ok(gaps);
                }
            }
        }
        Ok(gaps)
    }
}

fn chain_of<'t>(table: &'t Table, name: &str) -> Option<&'t Chain> {
    table.chains.iter().find(|chain| chain.name == name)
}

/// Packets, and where their ways end on either side if they do not end alike.
type Apart = (Region, Option<[Option<usize>; 2]>);

/// The packets of `start` that meet something else on the second side.
fn told_apart(
    space: &Space,
    [one, other]: [&Listing; 2],
    place: (&str, &str),
    start: &Region,
) -> Result<Vec<Apart>, TooMany> {
    let shared = |step: &&String| !is_private(step, one, other, place.0);
    let same = |one: &Leaf, other: &Leaf| {
        one.end == other.end && one.trail.iter().filter(shared).eq(other.trail.iter().filter(shared))
    };
    let mut apart = Vec::new();
    for leaf in leaves(space, one, place, start)? {
        let others = leaves(space, other, place, &leaf.region)?;
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

/// Whether a step of a trail asks a limit that only one of the two has. Its bucket is no other rule's, so that it makes no
/// difference as such: what becomes of the packets is compared for both of its answers.
fn is_private(step: &str, one: &Listing, other: &Listing, table: &str) -> bool {
    let Some((memory, rest)) = step.strip_prefix("asks ").and_then(|asked| asked.split_once(" [")) else {
        return false;
    };
    let is_alone = memory.starts_with("-m limit ") && !memory[1..].contains(" -m ");
    let count = |side: &Listing| {
        let rules =
            side.rules().filter(|(of, chain, ..)| of.name == table && rest.starts_with(&format!("{} ", chain.name)));
        rules.filter(|(.., rule)| rule.limit().is_some() && rest.contains(&target(rule, side.family))).count()
    };
    is_alone && count(one).min(count(other)) == 0
}

fn target(rule: &Rule, family: crate::net::Family) -> String {
    rule.target.as_ref().map(|target| target.canonical(family)).unwrap_or_default()
}

/// The rules of `one` without those with which both begin, and those with which both end.
fn differing<'r>(space: &Space, one: &'r [Rule], other: &[Rule]) -> &'r [Rule] {
    let same = |(one, other): &(&Rule, &Rule)| says_the_same(space, one, other);
    let start = one.iter().zip(other).take_while(same).count();
    let (one, other) = (&one[start..], &other[start..]);
    let end = one.iter().rev().zip(other.iter().rev()).take_while(same).count();
    &one[..one.len() - end]
}

fn says_the_same(space: &Space, one: &Rule, other: &Rule) -> bool {
    let target = |rule: &Rule| rule.target.as_ref().map(|target| (target.goto, target.canonical(space.family)));
    if one.text == other.text {
        return true;
    }
    let (asked, with) = (space.asked(one), space.asked(other));
    target(one) == target(other) && asked.region == with.region && asked.memory == with.memory
}
