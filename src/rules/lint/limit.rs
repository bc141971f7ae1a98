//! Rate limits.

use super::{FindingKind, LintFinding};
use crate::rules::iptables_save::{Clause, Listing, Match, Rule, RuleLimit};

/// Harmful limits.
pub(super) fn check(listing: &Listing) -> Vec<LintFinding> {
    let limited = || listing.rules().filter_map(|rule| Some((rule, rule.limit()?)));
    let on_deny = limited().filter_map(|(rule, limit)| on_deny(listing, rule, limit));
    on_deny.chain(limited().filter_map(|(rule, _)| before_match(listing, rule))).collect()
}

/// A limit makes a rule match less: packets over it go on to the next rule.
fn on_deny(listing: &Listing, rule: &Rule, limit: RuleLimit) -> Option<LintFinding> {
    let target = rule.target.as_ref().filter(|target| ["DROP", "REJECT"].contains(&target.name.as_str()))?;
    let message = format!("packet {} is over the limit and passes this {}", limit.burst.saturating_add(1), target.name);
    Some(LintFinding::new(FindingKind::LimitOnDeny, listing, rule.line, message).fix(without_limit(rule)?))
}

fn without_limit(rule: &Rule) -> Option<String> {
    let limit = rule.clauses.iter().find(|clause| clause.module.as_deref() == Some("limit"));
    match limit {
        Some(limit) => Some(rule.without(limit)),
        None => Some("remove `-m limit`".to_owned()),
    }
}

/// Matches are evaluated in the order in which they are loaded (`ipt_do_table`), all after those of the packet's header
/// (`-p`, `-s`, `-i`). The limit counts every packet that reaches it, even if a later match fails.
fn before_match(listing: &Listing, rule: &Rule) -> Option<LintFinding> {
    let limit = rule.modules.iter().find(|module| module.name == "limit")?.span.start;
    let later = |clause: &&Clause| {
        let narrows = !matches!(clause.ask, Match::Comment(_));
        narrows && clause.module.as_deref().is_some_and(|module| module != "limit") && loaded_at(rule, clause) > limit
    };
    let clause = rule.clauses.iter().find(later)?;
    let match_text = &rule.text[clause.span.clone()];
    let message = format!("the limit comes before `{match_text}`: packets that do not match that also use it up");
    let finding = LintFinding::new(FindingKind::LimitBeforeMatch, listing, rule.line, message);
    Some(finding.fix(format!("write `-m limit` and its options after `{match_text}`, right before `-j`")))
}

/// The position at which the clause's match is loaded: at its `-m`, or at the first of its options. iptables 1.8.9,
/// both backends, saves `-p tcp -m limit --limit 5/min --dport 22` as `-p tcp -m limit --limit 5/min -m tcp --dport
/// 22`.
fn loaded_at(rule: &Rule, clause: &Clause) -> usize {
    let implied = |other: &&Clause| other.module == clause.module && rule.module_of(other).is_none();
    let first = || rule.clauses.iter().find(implied).map_or(clause.span.start, |first| first.span.start);
    rule.module_of(clause).map_or_else(first, |module| module.span.start)
}
