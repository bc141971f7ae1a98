//! The path of a packet through the rules, as the kernel traced it: every rule that matched, in order, and every policy
//! that decided. Rules that were evaluated and did not match are not on it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::net::conntrack::ConntrackState;
use crate::net::rate::Rate;
use crate::probe::left_the_world::LeftTheWorld;
use crate::text::words::{Word, words};

/// The path of one packet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path {
    /// Rules and policies, in the order of evaluation.
    pub steps: Vec<Step>,
    /// The conntrack state of the packet; `None` if no rule uses conntrack, the kernel does not report it, or a rule of
    /// the raw table decided before conntrack.
    pub conntrack: Option<ConntrackState>,
    /// The end of the path.
    pub fate: Fate,
}

/// A rule that matched, or a policy that decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub struct Step {
    /// Its table.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// The rule's number in its chain, from 1; `None` for a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// Its line in the ruleset file; `None` for the policy of a chain that the file does not declare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The rule's own text; the declaration of the chain for a policy.
    pub text: String,
    /// Its verdict.
    pub verdict: StepVerdict,
    /// The log prefix, if it is a LOG rule.
    #[serde(skip)]
    pub log_prefix: Option<String>,
    /// The slowest rate of its limits, as the kernel stores it.
    #[serde(skip)]
    pub rate: Option<Rate>,
    /// Its stateful matches whose rate is not known, such as `recent`.
    #[serde(skip)]
    pub unread: Vec<String>,
}

impl Step {
    /// The step of a rule, or of a policy, that logs nothing, and neither has a rate nor remembers packets.
    pub fn new(
        (table, chain): (&str, &str),
        [rule, line]: [Option<usize>; 2],
        text: &str,
        verdict: StepVerdict,
    ) -> Step {
        Step {
            table: table.to_owned(),
            chain: chain.to_owned(),
            rule,
            line,
            text: text.to_owned(),
            verdict,
            log_prefix: None,
            rate: None,
            unread: Vec::new(),
        }
    }

    /// `line 12  -A INPUT ...`
    pub fn quoted(&self) -> String {
        let line = self.line.map(|line| format!("line {line}  ")).unwrap_or_default();
        format!("{line}{}", self.text)
    }

    /// The destination of a packet whose last step is this one, if its target removed the packet from the modelled world.
    pub fn left_the_world(&self) -> Option<LeftTheWorld> {
        LeftTheWorld::by(&self.text, self.verdict == StepVerdict::Stolen)
    }

    /// True if the step is in this chain of this table.
    pub fn is_in(&self, table: &str, chain: &str) -> bool {
        (self.table.as_str(), self.chain.as_str()) == (table, chain)
    }

    /// True if both are the same rule.
    pub fn is_same_rule(&self, other: &Step) -> bool {
        self.is_in(&other.table, &other.chain) && self.rule == other.rule
    }

    /// True if a match of the rule dropped the packet, because it could not parse it or had no memory for it (`hotdrop`
    /// of `struct xt_action_param`, linux/netfilter/x_tables.h): nf_tables traces that as the rule's own drop.
    pub fn is_dropped_by_match(&self) -> bool {
        const DROP_NOTHING: [&str; 8] = ["ACCEPT", "RETURN", "LOG", "NFLOG", "MARK", "CONNMARK", "SET", "AUDIT"];
        let words = words(&self.text);
        let is_option = |word: &Word| ["-j", "--jump", "-g", "--goto"].contains(&word.text.as_str());
        let target = words.iter().position(is_option).and_then(|at| words.get(at + 1));
        let drops_nothing = target.is_none_or(|target| DROP_NOTHING.contains(&target.text.as_str()));
        self.verdict == StepVerdict::Drop && self.rule.is_some() && drops_nothing
    }
}

/// The result of a rule for a packet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StepVerdict {
    /// Go on to the next rule.
    Continue,
    /// Accept in this table.
    Accept,
    /// Drop silently.
    Drop,
    /// Drop with an answer to the sender (REJECT).
    Reject,
    /// Jump to a chain, and return after it.
    Jump(String),
    /// Go to a chain, without return.
    Goto(String),
    /// Return to the chain that jumped, or to the policy.
    Return,
    /// Held by the target: a queue to a program, SYNPROXY.
    Stolen,
}

impl StepVerdict {
    /// The chain of a jump.
    pub fn chain(&self) -> Option<&String> {
        match self {
            StepVerdict::Jump(chain) | StepVerdict::Goto(chain) => Some(chain),
            StepVerdict::Continue | StepVerdict::Accept | StepVerdict::Drop => None,
            StepVerdict::Reject | StepVerdict::Return | StepVerdict::Stolen => None,
        }
    }

    /// Its name in reports.
    pub const fn as_str(&self) -> &'static str {
        match self {
            StepVerdict::Continue => "continue",
            StepVerdict::Accept => "accept",
            StepVerdict::Drop => "drop",
            StepVerdict::Reject => "reject",
            StepVerdict::Jump(_) => "jump",
            StepVerdict::Goto(_) => "goto",
            StepVerdict::Return => "return",
            StepVerdict::Stolen => "stolen",
        }
    }
}

impl fmt::Display for StepVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepVerdict::Jump(chain) | StepVerdict::Goto(chain) => write!(f, "{} {chain}", self.as_str()),
            verdict => f.pad(verdict.as_str()),
        }
    }
}

impl JsonSchema for StepVerdict {
    fn schema_name() -> Cow<'static, str> {
        "StepVerdict".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words = ["continue", "accept", "drop", "reject", "jump", "goto", "return", "stolen"];
        json_schema!({ "description": "What a rule made of a packet.", "enum": words })
    }
}

impl Serialize for StepVerdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The end of a packet's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It passed every chain of its last hook.
    Accepted,
    /// A rule or a policy dropped it.
    Dropped,
    /// A REJECT dropped it.
    Rejected,
    /// A target held it.
    Stolen,
    /// The kernel discarded it between two hooks (routing, source validation).
    Vanished,
    /// It left the modelled world, where its result is not observed.
    Left(LeftTheWorld),
}

impl Fate {
    /// Its destination, if it left the modelled world.
    pub const fn left(self) -> Option<LeftTheWorld> {
        match self {
            Fate::Left(left) => Some(left),
            Fate::Accepted | Fate::Dropped | Fate::Rejected | Fate::Stolen | Fate::Vanished => None,
        }
    }

    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Fate::Accepted => "accepted",
            Fate::Dropped => "dropped",
            Fate::Rejected => "rejected",
            Fate::Stolen => "stolen",
            Fate::Vanished => "vanished",
            Fate::Left(LeftTheWorld::Forwarded { .. }) => "forwarded",
            Fate::Left(LeftTheWorld::Queued { .. }) => "queued",
            Fate::Left(LeftTheWorld::Proxied { .. }) => "tproxy",
        }
    }
}

impl JsonSchema for Fate {
    fn schema_name() -> Cow<'static, str> {
        "Fate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words = ["accepted", "dropped", "rejected", "stolen", "vanished", "forwarded", "queued", "tproxy"];
        json_schema!({ "description": "Where a packet's way ended.", "enum": words })
    }
}

impl Serialize for Fate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Path {
    /// The last rule or policy; `None` if only the lab's own chains saw the packet.
    pub fn last(&self) -> Option<&Step> {
        self.steps.last()
    }

    /// The rule or policy that decided.
    pub fn deciding(&self) -> Option<&Step> {
        deciding(self.fate, &self.steps)
    }

    /// The step at `place`, and the jumps that led to its chain, the last one first.
    pub fn way_to(&self, place: usize) -> Vec<&Step> {
        let mut way = vec![&self.steps[place]];
        let mut last = &self.steps[place];
        for step in self.steps[..place].iter().rev() {
            if step.table == last.table && step.verdict.chain() == Some(&last.chain) {
                way.push(step);
                last = step;
            }
        }
        way
    }

    /// The prefixes of the LOG rules on the path, in order. A LOG rule whose own match dropped the packet printed nothing.
    pub fn log_prefixes(&self) -> impl Iterator<Item = &str> {
        let printed = self.steps.iter().filter(|step| step.verdict != StepVerdict::Drop);
        printed.filter_map(|step| step.log_prefix.as_deref())
    }
}

/// The rule or policy that decided on a packet with this fate. What nat or security accept after the filter table was
/// accepted before by a rule of filter.
pub fn deciding(fate: Fate, steps: &[Step]) -> Option<&Step> {
    let accepts = |step: &&Step| step.table == "filter" && step.verdict == StepVerdict::Accept;
    let accepted = steps.iter().rfind(accepts).filter(|_| fate == Fate::Accepted);
    accepted.or(steps.last())
}
