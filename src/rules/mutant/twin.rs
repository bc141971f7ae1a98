//! A LOG rule and the rule that decides on its packets.

use crate::rules::iptables_save::{Clause, Match, Rule};

/// True for LOG and NFLOG: the packet is logged, and goes on.
pub fn is_log(rule: &Rule) -> bool {
    rule.target.as_ref().is_some_and(|target| matches!(target.name.as_str(), "LOG" | "NFLOG"))
}

/// True for ACCEPT, DROP and REJECT, which end the path of a packet.
pub fn is_verdict(rule: &Rule) -> bool {
    rule.target.as_ref().is_some_and(|target| matches!(target.name.as_str(), "ACCEPT" | "DROP" | "REJECT"))
}

/// The first of `rules` that decides on every packet of `log`.
pub fn verdict_of<'a>(log: &Rule, rules: &'a [Rule]) -> Option<&'a Rule> {
    rules.iter().find(|rule| is_verdict(rule) && takes_all_of(rule, log))
}

/// True if `rule` has no match that `log` does not have. A rule with a limit does not match all packets.
fn takes_all_of(rule: &Rule, log: &Rule) -> bool {
    let logged =
        |clause: &Clause| log.clauses.iter().any(|other| (&other.ask, other.negated) == (&clause.ask, clause.negated));
    let comment = |clause: &Clause| matches!(clause.ask, Match::Comment(_));
    rule.limit().is_none() && rule.clauses.iter().all(|clause| comment(clause) || logged(clause))
}
