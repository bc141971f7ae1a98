//! The way of a packet through the rules, as the kernel told it: every rule that matched, in order, and every policy that
//! decided. Rules that looked at the packet and did not match are not on its path.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::net::conntrack::ConntrackState;
use crate::net::rate::Rate;
use crate::probe::left_the_world::LeftTheWorld;
use crate::text::words::{Word, words};

/// The way of one packet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path {
    /// Rules and policies, in the order in which the packet met them.
    pub steps: Vec<Step>,
    /// What conntrack made of the packet; `None` if nothing asks conntrack, the kernel does not tell, or a rule of the
    /// raw table had the last word, before conntrack.
    pub conntrack: Option<ConntrackState>,
    /// Where it ended.
    pub fate: Fate,
}

/// A rule that matched, or a policy that decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub struct Step {
    /// Its table.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// The rule's number in its chain, from 1; none for a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// Its line in the ruleset file; none for the policy of a chain that the file does not declare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The rule's own text; the declaration of the chain for a policy.
    pub text: String,
    /// What came of it.
    pub verdict: StepVerdict,
    /// What the rule logs before `IN=`, when it is a LOG rule.
    #[serde(skip)]
    pub log_prefix: Option<String>,
    /// The rate of its limit, as the kernel has it.
    #[serde(skip)]
    pub rate: Option<Rate>,
    /// The matches that remember earlier packets and whose rate is not known, such as `recent`.
    #[serde(skip)]
    pub unread: Vec<String>,
}

impl Step {
    /// Whether it is in this chain.
    pub fn is_in(&self, table: &str, chain: &str) -> bool {
        (self.table.as_str(), self.chain.as_str()) == (table, chain)
    }

    /// Whether a match of the rule dropped the packet, which it could not read or had no room to remember (`hotdrop` of
    /// `struct xt_action_param`, linux/netfilter/x_tables.h): nf_tables traces that as the rule's own drop.
    pub fn is_dropped_by_match(&self) -> bool {
        const DROP_NOTHING: [&str; 8] = ["ACCEPT", "RETURN", "LOG", "NFLOG", "MARK", "CONNMARK", "SET", "AUDIT"];
        let words = words(&self.text);
        let is_option = |word: &Word| ["-j", "--jump", "-g", "--goto"].contains(&word.text.as_str());
        let target = words.iter().position(is_option).and_then(|at| words.get(at + 1));
        let drops_nothing = target.is_none_or(|target| DROP_NOTHING.contains(&target.text.as_str()));
        self.verdict == StepVerdict::Drop && self.rule.is_some() && drops_nothing
    }
}

/// What a rule made of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StepVerdict {
    /// On to the next rule.
    Continue,
    /// Out of this table.
    Accept,
    /// Thrown away, in silence.
    Drop,
    /// Thrown away by a REJECT: the sender is told.
    Reject,
    /// Into a chain, to come back.
    Jump(String),
    /// Into a chain, not to come back.
    Goto(String),
    /// Back to the chain that jumped, or to the policy.
    Return,
    /// Kept by the target: a queue to a program, SYNPROXY.
    Stolen,
}

impl StepVerdict {
    /// The word in the report.
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

/// Where a packet's way ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It passed every chain of its last hook.
    Accepted,
    /// A rule or a policy threw it away.
    Dropped,
    /// A REJECT threw it away.
    Rejected,
    /// A target kept it.
    Stolen,
    /// It left the rules between two hooks: the kernel found no way to go on with it (routing, source validation).
    Vanished,
    /// It left the modelled world: what became of it was not seen.
    Left(LeftTheWorld),
}

impl Fate {
    /// Where it went, if it left the modelled world.
    pub const fn left(self) -> Option<LeftTheWorld> {
        match self {
            Fate::Left(left) => Some(left),
            Fate::Accepted | Fate::Dropped | Fate::Rejected | Fate::Stolen | Fate::Vanished => None,
        }
    }

    /// The word in the report.
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
    /// The rule or policy that had the last word; `None` if nothing but the lab's own chains saw the packet.
    pub fn last(&self) -> Option<&Step> {
        self.steps.last()
    }

    /// What the LOG rules on the way log, in order.
    pub fn log_prefixes(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| step.log_prefix.as_deref())
    }
}
