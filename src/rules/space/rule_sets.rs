//! One rule of a chain: the packets that match it, and its effect on them.

use std::collections::HashMap;
use std::sync::Arc;

use super::region::Region;
use super::universe::Space;
use crate::net::Family;
use crate::rules::iptables_save as text;

/// A rule.
#[derive(Debug)]
pub(super) struct RuleSets<'a> {
    pub line: usize,
    /// The packets that match it, apart from its stateful matches; `None` if no packet can.
    pub region: Option<Region>,
    /// Its stateful match, if it has one.
    pub question: Option<Arc<MemoryMatch<'a>>>,
    pub act: Act,
    /// The canonical form of its target; empty if it has none.
    pub does: Arc<str>,
    goes: bool,
}

/// The effect of a rule on a packet that it matches.
#[derive(Debug)]
pub(super) enum Act {
    /// The packet goes on to the next rule.
    GoesOn,
    Returns,
    Calls(usize),
    Goes(usize),
    Ends,
}

/// A stateful match. It is identified by its chain, its target and its index among equal ones.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MemoryMatch<'a> {
    pub memory: String,
    pub chain: &'a str,
    pub does: Arc<str>,
    pub place: usize,
}

impl<'a> RuleSets<'a> {
    pub fn new(
        space: &Space,
        chain: &'a str,
        rule: &text::Rule,
        numbers: &HashMap<&str, usize>,
        alike: &mut HashMap<(String, Arc<str>), usize>,
    ) -> RuleSets<'a> {
        let requirement = space.requirement(rule);
        let does: Arc<str> = target(rule, space.family).into();
        let question = (!requirement.memory.is_empty()).then(|| {
            let place = alike.entry((requirement.memory.clone(), Arc::clone(&does))).or_default();
            *place += 1;
            Arc::new(MemoryMatch { memory: requirement.memory, chain, does: Arc::clone(&does), place: *place })
        });
        let goes = rule.target.as_ref().is_some_and(|target| target.goto);
        RuleSets {
            line: rule.line,
            region: requirement.region,
            question,
            act: Act::from_rule(rule, numbers),
            does,
            goes,
        }
    }

    /// True if both have equal matches and targets.
    pub fn is_equivalent(&self, other: &RuleSets) -> bool {
        let memory = |rule: &RuleSets| rule.question.as_ref().map(|question| question.memory.clone());
        (&self.does, self.goes, &self.region) == (&other.does, other.goes, &other.region)
            && memory(self) == memory(other)
    }
}

impl Act {
    fn from_rule(rule: &text::Rule, numbers: &HashMap<&str, usize>) -> Act {
        let Some(target) = &rule.target else { return Act::GoesOn };
        match numbers.get(target.name.as_str()) {
            _ if target.name == "RETURN" => Act::Returns,
            Some(number) if target.goto => Act::Goes(*number),
            Some(number) => Act::Calls(*number),
            None if rule.is_terminal() => Act::Ends,
            None => Act::GoesOn,
        }
    }

    /// The chain that it leads to.
    pub fn chain(&self) -> Option<usize> {
        match self {
            Act::Calls(number) | Act::Goes(number) => Some(*number),
            Act::GoesOn | Act::Returns | Act::Ends => None,
        }
    }
}

fn target(rule: &text::Rule, family: Family) -> String {
    rule.target.as_ref().map(|target| target.canonical(family)).unwrap_or_default()
}
