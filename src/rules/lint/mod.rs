//! Lints: known mistakes in the text of rulesets, found before any probe is sent. Each finding has a line, the reason,
//! and the fix.
//!
//! A finding is advice, never a verdict: effects of a ruleset are measured. So a lint reports nothing if it is in
//! doubt: for a rule with an unsupported match, or a chain that may be reached in an unknown way.

mod conntrack;
mod default_deny;
mod flags;
mod icmp;
mod interface;
mod limit;
mod log_order;
mod prefix;
mod recent_table;
mod repeated;
mod time_dependent;
mod twin;
mod typography;
mod unlimited_log;
mod walk;

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use crate::rules::iptables_save::Listing;

/// A known mistake in a ruleset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Finding")]
pub struct LintFinding {
    /// The kind of mistake.
    pub rule: FindingKind,
    /// The file, as the user named it.
    pub file: PathBuf,
    /// The line that it is about (1 is the first).
    pub line: usize,
    /// The effect, and its reason.
    pub message: String,
    /// The fix: in words, or the corrected line.
    pub fix: Option<String>,
}

/// The kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A log prefix of more than 29 bytes.
    PrefixTooLong,
    /// A log prefix without a blank at its end.
    PrefixWithoutBlank,
    /// Quotes, dashes and blanks of a word processor.
    Typography,
    /// `-ieth0`, which iptables reads as the interface `-ieth0`.
    GluedInterface,
    /// `-i eth0:1`, which is an address and no interface.
    InterfaceAlias,
    /// `-i eth*`, whose `*` is no wildcard.
    InterfaceWildcard,
    /// A rate limit on DROP or REJECT.
    LimitOnDeny,
    /// A rate limit that is evaluated before the other matches.
    LimitBeforeMatch,
    /// A LOG without any limit.
    UnlimitedLog,
    /// `--tcp-flags ALL ALL`, which does not match nmap's Xmas scan.
    XmasAllFlags,
    /// A rule against SYN scans before the rules that accept connections.
    SynBeforeAccept,
    /// A rule for INVALID packets after a rule that decides on all of them.
    ScanAfterInvalid,
    /// A rule for INVALID packets that matches another state.
    ScanInOtherState,
    /// A LOG after a rule that decides on all its packets.
    LogAfterVerdict,
    /// A rule that matches at one time and not at another.
    OfTheMoment,
    /// ICMP of the other family: protocol 1 in IPv6, 58 in IPv4.
    OtherFamilysIcmp,
    /// A table that is declared a second time, which deletes the rules of the first.
    TableTwice,
    /// A chain that is declared a second time in its table.
    ChainTwice,
    /// The host cannot reach itself over loopback.
    NoLoopback,
    /// Answers to the host, and the rest of every connection, are denied.
    NoEstablished,
    /// Neighbour discovery is denied: the host is unreachable over IPv6.
    NoNeighbours,
    /// A table of xt_recent that rules of both families name.
    RecentShared,
    /// There are no rules for IPv6.
    NoIpv6,
    /// A rule for IPv4 that IPv6 lacks.
    NoIpv6Twin,
}

impl FindingKind {
    /// True if the finding means that packets fare otherwise than the rule looks: a scan shows it.
    pub const fn changes_verdict(self) -> bool {
        use FindingKind::{
            GluedInterface, InterfaceAlias, InterfaceWildcard, LimitOnDeny, NoNeighbours, OfTheMoment,
            OtherFamilysIcmp, SynBeforeAccept, XmasAllFlags,
        };
        matches!(
            self,
            GluedInterface
                | InterfaceAlias
                | InterfaceWildcard
                | LimitOnDeny
                | NoNeighbours
                | OfTheMoment
                | OtherFamilysIcmp
                | SynBeforeAccept
                | XmasAllFlags
        )
    }

    /// True if the finding means that the rule never matches.
    const fn is_idle(self) -> bool {
        use FindingKind::{LogAfterVerdict, ScanAfterInvalid, ScanInOtherState};
        matches!(self, LogAfterVerdict | ScanAfterInvalid | ScanInOtherState)
    }
}

impl fmt::Display for FindingKind {
    /// The name that is also in JSON: `prefix-too-long`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// All findings of a ruleset, by file and line. Without `v6`, IPv6 counts as a ruleset without rules.
pub fn lint(v4: Option<&Listing>, v6: Option<&Listing>) -> Vec<LintFinding> {
    let mut findings: Vec<LintFinding> = [v4, v6].into_iter().flatten().flat_map(lint_one).collect();
    findings.extend(v4.into_iter().flat_map(|v4| twin::check(v4, v6)));
    findings.extend(v4.zip(v6).into_iter().flat_map(|(v4, v6)| recent_table::check(v4, v6)));
    let idle: HashSet<(PathBuf, usize)> = findings
        .iter()
        .filter(|finding| finding.rule.is_idle())
        .map(|finding| (finding.file.clone(), finding.line))
        .collect();
    findings.retain(|finding| {
        finding.rule != FindingKind::UnlimitedLog || !idle.contains(&(finding.file.clone(), finding.line))
    });
    findings.sort_by(|a, b| (&a.file, a.line, a.rule).cmp(&(&b.file, b.line, b.rule)));
    // A line with a list of addresses makes several rules.
    findings.dedup();
    findings
}

const CHECKS: &[fn(&Listing) -> Vec<LintFinding>] = &[
    prefix::check,
    typography::check,
    limit::check,
    unlimited_log::check,
    flags::check,
    conntrack::check,
    log_order::check,
    time_dependent::check,
    icmp::check,
    repeated::check,
    default_deny::check,
    interface::check,
];

/// Repeated declarations of tables and chains: the rules in the file are not those that are loaded.
pub fn repeated(listing: &Listing) -> Vec<LintFinding> {
    repeated::check(listing)
}

fn lint_one(listing: &Listing) -> Vec<LintFinding> {
    CHECKS.iter().flat_map(|check| check(listing)).collect()
}

impl LintFinding {
    fn new(rule: FindingKind, listing: &Listing, line: usize, message: impl Into<String>) -> LintFinding {
        LintFinding { rule, file: listing.source.name.clone(), line, message: message.into(), fix: None }
    }

    fn fix(self, fix: impl Into<String>) -> LintFinding {
        LintFinding { fix: Some(fix.into()), ..self }
    }
}

#[cfg(test)]
mod tests;
