//! Interface names that no interface has.

use super::{FindingKind, LintFinding};
use crate::rules::iptables_save::{Listing, Match, Rule};

/// `-ieth0`: iptables 1.8.9, both backends, saves `-i -ieth0`. No interface has such a name, so the rule is dead.
pub(super) fn check(listing: &Listing) -> Vec<LintFinding> {
    listing.rules().filter_map(|rule| glued_interface(listing, rule)).collect()
}

fn glued_interface(listing: &Listing, rule: &Rule) -> Option<LintFinding> {
    let glued = |name: &str| name.starts_with("-i") || name.starts_with("-o");
    let (clause, name) = rule.clauses.iter().find_map(|clause| match &clause.ask {
        Match::InInterface(name) | Match::OutInterface(name) if glued(name) => Some((clause, name)),
        _ => None,
    })?;
    let (option, rest) = name.split_at(2);
    let negation = if clause.negated { "! " } else { "" };
    let message = format!("iptables takes `{name}` for the name of the interface: no packet comes from there");
    let fix = rule.with(clause, &format!("{negation}{option} {rest}"));
    Some(LintFinding::new(FindingKind::GluedInterface, listing, rule.line, message).fix(fix))
}
