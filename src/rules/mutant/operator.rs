//! The kinds of mistakes, and the rules that they apply to.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::draft::Draft;
use super::site::MutationSite;
use super::{address, clauses, flags, interface, limit, log, order, ports, protocol, rules, state, verdict};

/// A kind of mistake. Those of LOG rules come first: if one makes the same text as a general one, it describes the
/// mistake better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Operator {
    /// A LOG rule is missing.
    DeleteLog,
    /// A LOG rule comes after the rule that decides on its packets.
    LogAfterVerdict,
    /// A log prefix differs by a byte, or lacks the blank at its end.
    LogPrefix,
    /// A LOG rule of INPUT is in the nat table, which only sees the first packet of a connection.
    LogInNat,
    /// A limit permits twelve times as many packets.
    LimitRate,
    /// A limit has a burst of one, or of one more.
    LimitBurst,
    /// The limit of a LOG rule is on the rule with the verdict as well, so packets over it get past.
    LimitVerdict,
    /// A rule is missing. In an IPv6 ruleset this is also the forgotten copy of an IPv4 rule.
    DeleteRule,
    /// A rule is there twice.
    DuplicateRule,
    /// Two neighbours are swapped.
    SwapNeighbours,
    /// A rule for INVALID or ESTABLISHED is at the other end of its chain.
    MoveStateRule,
    /// ACCEPT, DROP and REJECT are mixed up.
    FlipVerdict,
    /// A REJECT has another type.
    RejectType,
    /// The policy of a built-in chain is the other one.
    FlipPolicy,
    /// A port, or an end of a range, is one off.
    PortOffByOne,
    /// A port has become a range, or a range its last port.
    PortRange,
    /// 22 and 2222 are mixed up.
    SshPort,
    /// A port of a list is missing.
    DropPort,
    /// A match is missing.
    DeleteClause,
    /// A match has a `!` too many, or lacks it.
    NegateClause,
    /// `--tcp-flags` has another mask.
    FlagsMask,
    /// `--tcp-flags` requires other flags.
    FlagsComp,
    /// `--syn` and `--ctstate NEW` are mixed up.
    SynOrNew,
    /// A state of a list is missing.
    DropState,
    /// A list has an additional state.
    AddState,
    /// The rule names another interface.
    Interface,
    /// An address has one bit of prefix less.
    WidenAddress,
    /// An address has one bit of prefix more.
    NarrowAddress,
    /// TCP and UDP are mixed up.
    Protocol,
}

impl Operator {
    /// All operators, in the order in which mutants are made.
    pub const ALL: [Operator; 29] = [
        Operator::DeleteLog,
        Operator::LogAfterVerdict,
        Operator::LogPrefix,
        Operator::LogInNat,
        Operator::LimitRate,
        Operator::LimitBurst,
        Operator::LimitVerdict,
        Operator::DeleteRule,
        Operator::DuplicateRule,
        Operator::SwapNeighbours,
        Operator::MoveStateRule,
        Operator::FlipVerdict,
        Operator::RejectType,
        Operator::FlipPolicy,
        Operator::PortOffByOne,
        Operator::PortRange,
        Operator::SshPort,
        Operator::DropPort,
        Operator::DeleteClause,
        Operator::NegateClause,
        Operator::FlagsMask,
        Operator::FlagsComp,
        Operator::SynOrNew,
        Operator::DropState,
        Operator::AddState,
        Operator::Interface,
        Operator::WidenAddress,
        Operator::NarrowAddress,
        Operator::Protocol,
    ];

    /// Its name, as reports print it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Operator::DeleteLog => "delete-log",
            Operator::LogAfterVerdict => "log-after-verdict",
            Operator::LogPrefix => "log-prefix",
            Operator::LogInNat => "log-in-nat",
            Operator::LimitRate => "limit-rate",
            Operator::LimitBurst => "limit-burst",
            Operator::LimitVerdict => "limit-verdict",
            Operator::DeleteRule => "delete-rule",
            Operator::DuplicateRule => "duplicate-rule",
            Operator::SwapNeighbours => "swap-neighbours",
            Operator::MoveStateRule => "move-state-rule",
            Operator::FlipVerdict => "flip-verdict",
            Operator::RejectType => "reject-type",
            Operator::FlipPolicy => "flip-policy",
            Operator::PortOffByOne => "port-off-by-one",
            Operator::PortRange => "port-range",
            Operator::SshPort => "ssh-port",
            Operator::DropPort => "drop-port",
            Operator::DeleteClause => "delete-clause",
            Operator::NegateClause => "negate-clause",
            Operator::FlagsMask => "flags-mask",
            Operator::FlagsComp => "flags-comp",
            Operator::SynOrNew => "syn-or-new",
            Operator::DropState => "drop-state",
            Operator::AddState => "add-state",
            Operator::Interface => "interface",
            Operator::WidenAddress => "widen-address",
            Operator::NarrowAddress => "narrow-address",
            Operator::Protocol => "protocol",
        }
    }

    /// The drafts of this operator for the rule at `site`.
    pub(super) fn drafts(self, site: &MutationSite<'_>) -> Vec<Draft> {
        match self {
            Operator::DeleteLog => log::delete(site),
            Operator::LogAfterVerdict => log::behind_the_verdict(site),
            Operator::LogPrefix => log::prefix(site),
            Operator::LogInNat => log::in_nat(site),
            Operator::LimitRate => limit::rate(site),
            Operator::LimitBurst => limit::burst(site),
            Operator::LimitVerdict => limit::on_the_verdict(site),
            Operator::DeleteRule => rules::delete(site),
            Operator::DuplicateRule => rules::duplicate(site),
            Operator::SwapNeighbours => order::swap(site),
            Operator::MoveStateRule => order::move_state_rule(site),
            Operator::FlipVerdict => verdict::flip(site),
            Operator::RejectType => verdict::reject_type(site),
            // A policy belongs to a chain, not to a rule: see `policy`.
            Operator::FlipPolicy => Vec::new(),
            Operator::PortOffByOne => ports::off_by_one(site),
            Operator::PortRange => ports::range(site),
            Operator::SshPort => ports::ssh(site),
            Operator::DropPort => ports::drop(site),
            Operator::DeleteClause => clauses::delete(site),
            Operator::NegateClause => clauses::negate(site),
            Operator::FlagsMask => flags::mask(site),
            Operator::FlagsComp => flags::comp(site),
            Operator::SynOrNew => flags::syn_or_new(site),
            Operator::DropState => state::drop(site),
            Operator::AddState => state::add(site),
            Operator::Interface => interface::other(site),
            Operator::WidenAddress => address::widen(site),
            Operator::NarrowAddress => address::narrow(site),
            Operator::Protocol => protocol::other(site),
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_has_one_name() {
        for operator in Operator::ALL {
            assert_eq!(serde_json::to_value(operator).unwrap(), operator.to_string());
        }
    }

    #[test]
    fn every_operator_is_listed_once_and_in_order() {
        assert!(Operator::ALL.is_sorted_by(|one, next| one < next));
        assert_eq!(Operator::ALL.len(), Operator::Protocol as usize + 1);
    }
}
