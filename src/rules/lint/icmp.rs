//! ICMP of the other family.

use super::{FindingKind, LintFinding};
use crate::rules::iptables_save::{Listing, Match, Rule};

/// Rules for protocol 1 in IPv6, and for protocol 58 in IPv4: both are legal, and no real message has it.
pub(super) fn check(listing: &Listing) -> Vec<LintFinding> {
    let (wrong, right, kind) = listing.family.pick((58, "icmp", "ICMP"), (1, "ipv6-icmp", "ICMPv6"));
    let finding = |rule: &Rule| {
        let clause = rule.clauses.iter().find(|clause| clause.ask == Match::Protocol(wrong) && !clause.negated)?;
        let text = rule.text.get(clause.span.clone()).unwrap_or_default();
        let message = format!("`{text}` never matches real {kind}, which is `-p {right}` in {}", listing.family);
        let fix = rule.with(clause, &format!("-p {right}"));
        Some(LintFinding::new(FindingKind::OtherFamilysIcmp, listing, rule.line, message).fix(fix))
    };
    listing.rules().filter_map(finding).collect()
}
