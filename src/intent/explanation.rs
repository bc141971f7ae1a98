//! Explanations of mismatches: facts that `explain` finds and reports show.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use crate::text::count::{counted, counted_as};

/// The explanation of a mismatch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explanation {
    /// The kind of mistake.
    pub cause: Cause,
    /// The rule or policy that matched the packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took: Option<RuleRef>,
    /// The intended rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meant: Option<RuleRef>,
    /// The explanation in plain words.
    pub words: String,
    /// A change of the ruleset that was tested and fixes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<Patch>,
}

/// The kinds of mistakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A rule before the intended one matches the packet.
    EarlierRule,
    /// The LOG rule comes after the rule that decides on the packet.
    LogAfterVerdict,
    /// Conntrack marks the packet INVALID, or in another state than the rule matches.
    ConntrackState,
    /// The rule is in the nat table, which never sees INVALID packets, and only the first packet of a flow.
    NatTable,
    /// The rule matches other TCP flags.
    TcpFlags,
    /// Another match of the rule does not apply: port, protocol, interface, address.
    OtherMatch,
    /// A rule matches a packet that it should not.
    TooBroad,
    /// Two rules log the packet with the same prefix.
    LoggedTwice,
    /// Two rules log the packet, in an unexpected order.
    OtherOrder,
    /// A REJECT rule answers the packet, and no answer was expected.
    Reject,
    /// The rule's limit is used up.
    LimitSpent,
    /// The limit is evaluated before the rule's other matches, so any packet uses it up.
    LimitFirst,
    /// The DROP rule has a limit: packets above it go on to the next rule.
    LimitOnVerdict,
    /// The rate of the rule differs, or it has none.
    OtherRate,
    /// No rule matches the packet: the policy decides.
    Policy,
    /// The family has no ruleset.
    NoRuleset,
    /// No rule matches the packet.
    NoRule,
    /// The rule logs with another prefix.
    OtherPrefix,
    /// No rule jumps to the chain of the rule.
    ChainNotReached,
    /// The host's answer is dropped on its way out.
    AnswerTaken,
    /// A later packet of the connection is dropped.
    FollowupTaken,
    /// The ruleset accepts the packet, and the port has no listener.
    NotListening,
    /// The ruleset accepts the packet, and the port has a listener.
    Listening,
    /// The kernel discarded the packet between two hooks; no rule dropped it.
    Vanished,
}

/// The place of a rule or a policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[schemars(rename = "Place")]
pub struct RuleRef {
    /// The ruleset's file.
    pub file: PathBuf,
    /// Its line; `None` for the policy of a chain that the file does not declare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Its table.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// The rule's number in its chain, from 1; `None` for a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// Its text.
    pub text: String,
}

/// A change of the ruleset that resolves a mismatch: it was loaded, and every check of the scenario was repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Patch {
    /// The change in words.
    pub words: String,
    /// The number of mismatches that it resolves.
    pub resolves: usize,
    /// The number of checks of the scenario that were repeated with it.
    pub checked: usize,
    /// A unified diff.
    pub diff: String,
}

impl Patch {
    /// `checked: 12 checks of this scenario; resolves 2 mismatches`
    pub fn tried(&self) -> String {
        let mismatches = counted_as(self.resolves, "mismatch", "mismatches");
        format!("checked: {} of this scenario; resolves {mismatches}", counted(self.checked, "check"))
    }
}
