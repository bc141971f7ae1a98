//! A missing match, or its negation.

use crate::rules::iptables_save::Clause;

use super::constraints;
use super::draft::Draft;
use super::site::MutationSite;

/// Deletes each clause in turn.
pub fn delete(site: &MutationSite<'_>) -> Vec<Draft> {
    let clauses = site.rule.clauses.iter().filter(|clause| constraints::may_be_deleted(site, clause));
    clauses.map(|clause| site.rewrite(site.rule.without(clause), deleted(site, clause))).collect()
}

fn deleted(site: &MutationSite<'_>, clause: &Clause) -> String {
    format!("{} is deleted", site.written(clause))
}

/// Adds a `!` to each clause in turn, or removes it.
pub fn negate(site: &MutationSite<'_>) -> Vec<Draft> {
    let clauses = site.rule.clauses.iter().filter(|clause| constraints::may_be_negated(site, clause));
    clauses.map(|clause| site.rewrite(site.rule.negating(clause), negated(site, clause))).collect()
}

fn negated(site: &MutationSite<'_>, clause: &Clause) -> String {
    let written = site.written(clause);
    match written.strip_prefix('!') {
        Some(plain) => format!("{written} becomes {}", plain.trim_start()),
        None => format!("{written} becomes ! {written}"),
    }
}
