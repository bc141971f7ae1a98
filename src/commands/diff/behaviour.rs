//! The effect of a ruleset on one packet, with the responsible rules.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;

use crate::net::rate::Rate;
use crate::probe::note;
use crate::probe::packet::Response;
use crate::probe::path::{Fate, Path, Step};
use crate::rules::iptables_save::{Listing, Rule, RuleLimit};

/// The effect of a ruleset on a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Behaviour {
    /// The end of its path.
    pub fate: Fate,
    /// The reject type of a REJECT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reject_with: Option<String>,
    /// The rule or policy that decided, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<DecidingRule>,
    /// The lines that it causes.
    pub log: Vec<LoggedBy>,
    /// Limits of rules on its path that are not for a LOG: the effect holds as long as they are not used up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Guard>,
    /// The copies that rules send to another machine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<CopyAndRule>,
    /// The effect on the host's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Box<Behaviour>>,
}

/// A line in the log, and the rule that causes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "LineAndRule")]
pub struct LoggedBy {
    /// Its prefix.
    pub prefix: String,
    /// Its limit: `5/min burst 5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Its level and additional fields, if they differ from the default: `--log-level 7 --log-uid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub style: Option<String>,
    /// The rule.
    pub by: Option<DecidingRule>,
}

/// A rule with a limit, which matches a number of packets and no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Guard {
    /// The limit: `5/min burst 5`.
    pub limit: String,
    /// The rule.
    pub by: Option<DecidingRule>,
}

/// A copy that a rule sends to another machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CopyAndRule {
    /// The next hop of the copy.
    pub to: IpAddr,
    /// The rule.
    pub by: Option<DecidingRule>,
}

/// A rule, or a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "RuleOrPolicy")]
pub struct DecidingRule {
    /// The file.
    pub file: String,
    /// Its line.
    pub line: usize,
    /// Its text.
    pub text: String,
}

impl Behaviour {
    /// The effect that `response` shows, of the rules in `listing`.
    pub fn new(response: &Response, listing: &Listing) -> Behaviour {
        let own: Vec<&Path> = response.own.iter().map(|own| own.path.as_ref()).collect();
        let answer =
            response.answer.as_ref().map(|answer| Box::new(Behaviour::of_paths(&[answer.path.as_ref()], listing)));
        Behaviour { answer, ..Behaviour::of_paths(&own, listing) }
    }

    /// The effect on a packet with these paths; over loopback it has two.
    pub fn of_paths(paths: &[&Path], listing: &Listing) -> Behaviour {
        let steps = || paths.iter().flat_map(|path| &path.steps);
        let last = paths.last();
        let by = last.and_then(|path| path.deciding());
        Behaviour {
            fate: last.map_or(Fate::Vanished, |path| path.fate),
            reject_with: by
                .filter(|_| last.is_some_and(|path| path.fate == Fate::Rejected))
                .and_then(|step| words(step, listing)),
            by: by.and_then(|step| place(step, listing)),
            log: steps().filter_map(|step| line(step, listing)).collect(),
            limits: steps().filter_map(|step| guard(step, listing)).collect(),
            copies: steps().filter_map(|step| copy(step, listing)).collect(),
            answer: None,
        }
    }

    /// True if the effects are equal, whichever rules cause them.
    pub fn is_like(&self, other: &Behaviour) -> bool {
        self.is_like_alone(other)
            && match (&self.answer, &other.answer) {
                (Some(one), Some(other)) => one.is_like(other),
                (one, other) => one.is_none() && other.is_none(),
            }
    }

    /// True if the effects are equal, apart from the answer.
    pub fn is_like_alone(&self, other: &Behaviour) -> bool {
        let lines = |one: &Behaviour| -> Vec<_> {
            one.log.iter().map(|line| (line.prefix.clone(), line.limit.clone(), line.style.clone())).collect()
        };
        let limits = |one: &Behaviour| -> Vec<_> { one.limits.iter().map(|guard| guard.limit.clone()).collect() };
        let copies = |one: &Behaviour| -> Vec<_> { one.copies.iter().map(|copy| copy.to).collect() };
        self.fate == other.fate
            && copies(self) == copies(other)
            && self.reject_with == other.reject_with
            && lines(self) == lines(other)
            && limits(self) == limits(other)
    }
}

fn place(step: &Step, listing: &Listing) -> Option<DecidingRule> {
    let file = listing.source.name.display().to_string();
    Some(DecidingRule { file, line: step.line?, text: step.text.clone() })
}

fn words(step: &Step, listing: &Listing) -> Option<String> {
    Some(listing.rule_of(step)?.target.as_ref()?.reject_with(listing.family).to_owned())
}

/// The line with its limit from the file, since in a sweep the kernel's limits are overridden.
fn line(step: &Step, listing: &Listing) -> Option<LoggedBy> {
    let prefix = step.log_prefix.clone()?;
    let limit = listing.rule_of(step).and_then(Rule::limit).map(in_words);
    let style = listing.rule_of(step).and_then(|rule| rule.target.as_ref()?.log_style());
    Some(LoggedBy { prefix, limit, style, by: place(step, listing) })
}

fn guard(step: &Step, listing: &Listing) -> Option<Guard> {
    let rule = listing.rule_of(step).filter(|rule| rule.is_terminal() || rule.is_jump())?;
    Some(Guard { limit: in_words(rule.limit()?), by: place(step, listing) })
}

fn copy(step: &Step, listing: &Listing) -> Option<CopyAndRule> {
    Some(CopyAndRule { to: note::copy(step)?.to, by: place(step, listing) })
}

fn in_words(limit: RuleLimit) -> String {
    let rate = Rate::new(limit.count.into(), limit.seconds.into());
    let rate = rate.map_or_else(|| format!("{} in {} s", limit.count, limit.seconds), |rate| rate.to_string());
    format!("{rate} burst {}", limit.burst)
}
