//! Why a check is not as expected: facts, between `explain` that finds them and the reports that show them.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

/// Why a check is not as expected.
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
    /// A change of the ruleset that has been tried, and fixes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<Patch>,
}

/// The kinds of mistakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A rule before the intended one matches the packet.
    EarlierRule,
    /// The LOG comes after the rule that decides about what it would log.
    LogBehindVerdict,
    /// Conntrack calls the packet INVALID, or anything else than what the rule asks for.
    ConntrackState,
    /// The rule is in the nat table, which never sees what is INVALID, nor any but the first packet of a flow.
    NatTable,
    /// The rule looks for other TCP flags.
    TcpFlags,
    /// Another match of the rule does not fit: port, protocol, interface, address.
    OtherMatch,
    /// A rule matches a packet that it should not.
    TooBroad,
    /// Two rules log the packet with the same prefix.
    LoggedTwice,
    /// Two rules log the packet, not in the expected order.
    OtherOrder,
    /// The packet is kept out by a REJECT, which answers where no answer was expected.
    Reject,
    /// The rule's limit is used up.
    LimitSpent,
    /// The limit is asked before the rule's other matches, so that any packet uses it up.
    LimitFirst,
    /// The rule that drops has a limit: packets above it go on to the next rule.
    LimitOnVerdict,
    /// The rate of the rule is another, or it has none.
    OtherRate,
    /// No rule matches the packet: the policy decides.
    Policy,
    /// There is no ruleset for the family at all.
    NoRuleset,
    /// There is no rule for the packet.
    NoRule,
    /// The rule logs with another prefix.
    OtherPrefix,
    /// Nothing jumps to the chain of the rule.
    ChainNotReached,
    /// The host's answer is dropped on its way out.
    AnswerTaken,
    /// A later packet of the connection is dropped.
    FollowupTaken,
    /// The ruleset lets it in, and nothing listens.
    NotListening,
    /// The ruleset lets it in, and something listens.
    Listening,
    /// The kernel discarded the packet between two hooks; no rule did.
    Vanished,
}

/// The place of a rule or a policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[schemars(rename = "Place")]
pub struct RuleRef {
    /// The ruleset's file.
    pub file: PathBuf,
    /// Its line; none for the policy of a chain that the file does not declare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Its table.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// The rule's number in its chain, from 1; none for a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// Its text.
    pub text: String,
}

/// A change of the ruleset that resolves a mismatch: it was loaded, and every check of the scenario was done again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Patch {
    /// What it does, in words.
    pub words: String,
    /// How many mismatches are gone with it.
    pub mends: usize,
    /// How many checks of the scenario were done again with it.
    pub checked: usize,
    /// A unified diff.
    pub diff: String,
}

impl Patch {
    /// `checked: 12 checks of this scenario; resolves 2 mismatches`
    pub fn tried(&self) -> String {
        let count = |number: usize, one: &str, more: &str| format!("{number} {}", if number == 1 { one } else { more });
        let checks = count(self.checked, "check", "checks");
        format!("checked: {checks} of this scenario; resolves {}", count(self.mends, "mismatch", "mismatches"))
    }
}
