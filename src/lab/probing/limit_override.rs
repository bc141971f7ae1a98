//! Limits without effect: a `limit` decides *how often* a rule matches, a sweep needs to know *if it ever does*. A LOG
//! rule whose bucket is empty would be missing from the trace, and a rule after an ACCEPT with a limit is reached only
//! by packets beyond the limit. So the lab tests both extremes: buckets that never become empty, and buckets that are
//! as good as empty.
//!
//! As in `fresh_limits`, each rule is replaced by itself, here with another rate or burst; the dump after it proves
//! that nothing else has changed. With x_tables the ruleset is loaded with other limits in its text.

use crate::error::{Result, Source};
use crate::lab::trace::nfnetlink::{Attributes, NLA_F_NESTED, Nfnetlink, attributes};
use crate::lab::trace::nft_rules::{self, ReplaceFailure, RuleAttributes, Rules, expression_parts};
use crate::rules::iptables_save::{Edit, Listing, apply};

/// The change of limits for a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitOverride {
    /// No bucket ever becomes empty.
    Wide,
    /// Buckets of rules other than LOG hold one packet, and are refilled by one a day.
    Dry,
}

/// More packets than any sweep has. A larger burst would overflow the kernel's 64 bits of nanoseconds at a rate of a
/// few a day (`nft_limit_init` in net/netfilter/nft_limit.c).
pub(super) const WIDE: u32 = 100_000;

/// Changes the size of every nft `limit` of the rules. Returns the rules with their new handles; `None` if there was
/// nothing to change.
pub fn set(netlink: &Nfnetlink, before: &[Rules], limits: LimitOverride) -> Result<Option<Vec<Rules>>> {
    let has_limit = |rule: &RuleAttributes| rule.expressions().into_iter().any(is_limit);
    let changed =
        before.iter().flat_map(|rules| rules.changed(has_limit, |rule, list| sized(rule, list, limits))).collect();
    let words = ReplaceFailure {
        operation: "change the size of limits (nf_tables)",
        disagreement: "a rule whose limit was changed is not what it was before in all else",
    };
    nft_rules::replace(netlink, before, changed, |before, after| before.same_but(after, without_limits), words)
}

fn is_limit(expression: &[u8]) -> bool {
    expression_parts(expression).0 == b"limit\0"
}

/// The expressions of a rule, each limit with another size.
fn sized(rule: &RuleAttributes, list: &[u8], limits: LimitOverride) -> Attributes {
    const LIST_ELEMENT: u16 = 1 | NLA_F_NESTED;
    let only_logs =
        rule.expressions().into_iter().rev().take_while(|one| !is_limit(one)).all(super::fresh_limits::is_log);
    let wide = limits == LimitOverride::Wide || only_logs;
    attributes(list).fold(Attributes::new(), |all, (_, expression)| match is_limit(expression) {
        true => all.nested(1, sized_limit(expression, wide)),
        false => all.bytes(LIST_ELEMENT, expression),
    })
}

/// Builds a limit from the attributes of enum nft_limit_attributes.
fn sized_limit(expression: &[u8], wide: bool) -> Attributes {
    const NAME: u16 = 1;
    const DATA: u16 = 2;
    const RATE: u16 = 1;
    const UNIT: u16 = 2;
    const BURST: u16 = 3;
    const PADDING: u16 = 6;
    const A_DAY: u64 = 86_400;
    let (name, data) = expression_parts(expression);
    let data = attributes(data).fold(Attributes::new(), |all, (kind, value)| match (kind, wide) {
        (PADDING, _) => all,
        (BURST, true) => all.be32(BURST, WIDE),
        (BURST, false) => all.be32(BURST, 1),
        (RATE, false) => all.bytes(RATE, &1u64.to_be_bytes()),
        (UNIT, false) => all.bytes(UNIT, &A_DAY.to_be_bytes()),
        _ => all.bytes(kind, value),
    });
    Attributes::new().bytes(NAME, name).nested(DATA, data)
}

/// The expressions of a rule without its limits.
fn without_limits(list: &[u8]) -> Vec<u8> {
    let kept = attributes(list).filter(|(_, expression)| !is_limit(expression));
    kept.flat_map(|(_, expression)| expression.to_vec()).collect()
}

/// The text of a ruleset with limits of another size, each rule at its old position: x_tables cannot replace a single
/// rule, but loads a table quickly.
pub fn rewritten(listing: &Listing, limits: LimitOverride) -> Source {
    const ALMOST_NEVER: &str = "-m limit --limit 1/day --limit-burst 1";
    let has_limit = listing.rules().filter(|rule| rule.limit().is_some());
    let edits = has_limit.map(|rule| {
        let guards_a_log = rule.target.as_ref().is_none_or(|target| matches!(target.name.as_str(), "LOG" | "NFLOG"));
        let wide = limits == LimitOverride::Wide || guards_a_log;
        Edit::Replace { line: rule.line, text: rule.with_limits(if wide { "" } else { ALMOST_NEVER }) }
    });
    apply(&listing.source, &edits.collect::<Vec<_>>())
}
