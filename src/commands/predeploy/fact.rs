//! One fact of an answer: its text, the rules and the fix in it, and the checks of a run that it explains.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::Assessment;
use crate::net::Family;
use crate::net::port::PortSet;
use crate::probe::scan::Technique;

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fact {
    /// Its assessment.
    pub tone: Assessment,
    /// In plain words.
    pub text: String,
    /// The log line that it is about, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// Its text in parts.
    #[serde(skip)]
    pub details: FactDetails,
}

/// The parts of a fact's text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FactDetails {
    /// The text without the rules and the fix.
    pub effect: String,
    /// The responsible rules, as `FILE:LINE: TEXT`.
    pub rules: Vec<String>,
    /// The fix.
    pub fix: Option<String>,
    /// The families; empty if it is not specific to any.
    pub families: Families,
    /// True if the sensor file is the cause, and no rule.
    pub is_of_sensor: bool,
    /// The checks of a run that measure the same.
    pub related: RelatedChecks,
}

/// Checks of a run that measure the same as a fact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RelatedChecks {
    /// None.
    #[default]
    None,
    /// Connections to one of these ports.
    Connections(PortSet),
    /// The log lines of a technique.
    Logs(Technique),
    /// The MAC address and its vendor.
    Mac,
    /// Neighbour discovery.
    Neighbours,
    /// All mismatches: the fact is a summary of the run.
    All,
}

/// Families with the same result: `IPv4 and IPv6`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Families(pub Vec<Family>);

impl Fact {
    /// A fact without rules or a fix.
    pub fn new(tone: Assessment, text: impl Into<String>) -> Fact {
        let text = text.into();
        let details = FactDetails { effect: text.clone(), ..FactDetails::default() };
        Fact { tone, text, line: None, details }
    }

    /// The fact with its responsible rules.
    pub(super) fn by(mut self, rules: Vec<String>) -> Fact {
        self.text.extend(in_words(&rules).map(|rules| format!("; {rules}")));
        self.details.rules = rules;
        self
    }

    /// The fact with its fix.
    pub(super) fn fixed_by(mut self, fix: impl Into<String>) -> Fact {
        let fix = fix.into();
        self.text.push_str(&format!("; {fix}"));
        self.details.fix = Some(fix);
        self
    }

    /// The fact with the families and the checks that it is about.
    pub(super) fn about(mut self, families: &Families, related: RelatedChecks) -> Fact {
        (self.details.families, self.details.related) = (families.clone(), related);
        self
    }

    /// The fact, caused by the sensor file if `is_of_sensor`.
    pub(super) fn of_sensor(mut self, is_of_sensor: bool) -> Fact {
        self.details.is_of_sensor = is_of_sensor;
        self
    }

    /// The same fact with another flavour of iptables, or at another time.
    pub(super) fn when(&self, when: &str) -> Fact {
        let mut fact = self.clone();
        fact.text = format!("{} ({when})", self.text);
        fact.details.effect = format!("{} ({when})", self.details.effect);
        if fact.details.related == RelatedChecks::All {
            fact.details.related = RelatedChecks::None;
        }
        fact
    }
}

/// The rules in words: `the rule is rules.v4:7: -A INPUT ...`; `None` if there are none.
pub fn in_words(rules: &[String]) -> Option<String> {
    match rules {
        [] => None,
        [only] => Some(format!("the rule is {only}")),
        some => Some(format!("the rules are {}", some.join(" and "))),
    }
}

impl Families {
    /// True if `family` is one of them.
    pub fn contains(&self, family: Family) -> bool {
        self.0.contains(&family)
    }
}

impl From<Family> for Families {
    fn from(family: Family) -> Families {
        Families(vec![family])
    }
}

impl fmt::Display for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.iter().map(|family| family.title()).collect::<Vec<_>>().join(" and "))
    }
}
