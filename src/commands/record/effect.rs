//! The effect of a ruleset on a probe or a packet, and the responsible rules.

use crate::net::Family;
use crate::net::port::Port;
use crate::probe::path::Step;
use crate::probe::scan::{FilterVerdict, PortState, Technique};
use crate::rules::iptables_save::RuleLimit;

/// The effect of a ruleset on a probe or a packet, as a row expects it; a part is `None` if no row can expect it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowEffect {
    /// The verdict of the filter.
    pub verdict: Option<FilterVerdict>,
    /// The port state.
    pub state: Option<PortState>,
    /// The prefixes of the lines that it causes.
    pub log: Vec<String>,
}

/// The key of a probe.
pub type ProbeKey = (Technique, Family, Port);

/// A rule, as a comment names it: its line, and its text.
pub type DecidingRuleText = (usize, String);

/// The rate of a LOG rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateFact {
    /// The effect on one probe.
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
