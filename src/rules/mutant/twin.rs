//! A LOG rule and the rule that decides about what it logs.

use crate::rules::iptables_save::{Clause, Match, Rule};

/// LOG and NFLOG: the rule says that a packet came by, and lets it go on.
pub fn is_log(rule: &Rule) -> bool {
    rule.target.as_ref().is_some_and(|target| matches!(target.name.as_str(), "LOG" | "NFLOG"))
}

/// ACCEPT, DROP and REJECT: what the rule matches goes no further.
pub fn is_verdict(rule: &Rule) -> bool {
    rule.target.as_ref().is_some_and(|target| matches!(target.name.as_str(), "ACCEPT" | "DROP" | "REJECT"))
}

/// The first of `rules` that ends the way of everything that `log` is about.
pub fn verdict_of<'a>(log: &Rule, rules: &'a [Rule]) -> Option<&'a Rule> {
    rules.iter().find(|rule| is_verdict(rule) && takes_all_of(rule, log))
}

/// Whether `rule` asks for nothing that `log` does not ask for too. A rule with a limit never takes all.
fn takes_all_of(rule: &Rule, log: &Rule) -> bool {
    let logged =
        |clause: &Clause| log.clauses.iter().any(|other| (&other.ask, other.negated) == (&clause.ask, clause.negated));
    let comment = |clause: &Clause| matches!(clause.ask, Match::Comment(_));
    rule.limit().is_none() && rule.clauses.iter().all(|clause| comment(clause) || logged(clause))
}
