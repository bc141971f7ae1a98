//! The effect of a ruleset on a probe or a packet, and the rules that have it.

use crate::net::Family;
use crate::net::port::Port;
use crate::probe::path::Step;
use crate::probe::scan::{FilterVerdict, PortState, Technique};
use crate::rules::iptables_save::RuleLimit;

/// The effect of a ruleset on a probe or a packet, as a row says it; `None` if it cannot be said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowEffect {
    /// What the filter does.
    pub verdict: Option<FilterVerdict>,
    /// The port state.
    pub state: Option<PortState>,
    /// The prefixes of the lines that it leaves.
    pub log: Vec<String>,
}

/// What tells a probe.
pub type ProbeKey = (Technique, Family, Port);

/// A rule, as a comment names it: its line, and its text.
pub type DecidingRuleText = (usize, String);

/// How often a rule logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateFact {
    /// What one probe finds.
    pub effect: RowEffect,
    /// The limit, as the rule has it.
    pub limit: RuleLimit,
    /// The rule.
    pub rule: DecidingRuleText,
}

/// The rule of a step.
pub fn effect_of(step: &Step) -> Option<DecidingRuleText> {
    Some((step.line?, step.text.clone()))
}
