//! LOG rules that log any number of packets.

use super::{FindingKind, LintFinding};
use crate::rules::iptables_save::{Chain, Clause, Listing, Match, Rule, Table};

/// Each LOG for received packets without a limit: neither in its own matches, nor in a rule before it in its chain, nor
/// in the jumps to its chain.
pub(super) fn check(listing: &Listing) -> Vec<LintFinding> {
    let chains = listing.tables.iter().flat_map(reached);
    let unlimited = chains.flat_map(|chain| {
        let rules = chain.rules.iter().enumerate();
        rules.filter(|(index, rule)| is_log(rule) && !is_limited(chain, *index, rule)).map(|(_, rule)| rule)
    });
    unlimited.map(|rule| finding(listing, rule)).collect()
}

fn finding(listing: &Listing, rule: &Rule) -> LintFinding {
    let message = match rule.clauses.iter().any(|clause| matches!(clause.ask, Match::DestinationPorts(_))) {
        true => "these lines have no limit: 1,000 packets to these ports write 1,000 lines",
        false => "these lines have no limit: one scan of 1,000 ports writes 1,000 lines",
    };
    let target = rule.target.as_ref().and_then(|target| rule.text.get(target.span.clone())).unwrap_or("-j LOG");
    let limited = rule.with_target(&format!("-m limit --limit 5/min --limit-burst 5 {target}"));
    LintFinding::new(FindingKind::UnlimitedLog, listing, rule.line, message).fix(limited)
}

fn is_log(rule: &Rule) -> bool {
    let is_own = |clause: &Clause| !clause.negated && matches!(&clause.ask, Match::InInterface(name) if name == "lo");
    rule.target.as_ref().is_some_and(|target| target.name == "LOG") && !rule.clauses.iter().any(is_own)
}

/// True if `rule` has a limit, or a rule before it matches its packets after a number of them.
fn is_limited(chain: &Chain, index: usize, rule: &Rule) -> bool {
    let takes = |other: &&Rule| {
        let leaves =
            other.is_terminal() || other.is_jump() || other.target.as_ref().is_some_and(|t| t.name == "RETURN");
        takes_the_rest(other) && leaves && other.clauses.iter().all(|clause| is_fulfilled(other, clause, rule))
    };
    counts(rule) || chain.rules.iter().take(index).any(|other| takes(&other))
}

fn counts(rule: &Rule) -> bool {
    rule.remembers().next().is_some()
}

/// True if the rule matches packets after a number of them: those over the rate of a `limit` go on.
fn takes_the_rest(rule: &Rule) -> bool {
    let takes_some = rule.limit().is_some() || rule.hash_limit().is_some();
    counts(rule) && !takes_some
}

/// True if a clause of `other` does not narrow the packets of `rule`, except by their number.
fn is_fulfilled(other: &Rule, clause: &Clause, rule: &Rule) -> bool {
    let counts = clause.module.as_deref().is_some_and(|module| other.remembers().any(|name| name == module));
    let has_match = |own: &Clause| own.ask == clause.ask && own.negated == clause.negated;
    counts || matches!(clause.ask, Match::Comment(_)) || rule.clauses.iter().any(has_match)
}

/// The chains that received packets reach without passing a rule with a limit.
fn reached(table: &Table) -> Vec<&Chain> {
    let is_hook = |chain: &&Chain| ["INPUT", "PREROUTING", "FORWARD"].contains(&chain.name.as_str());
    let mut reached: Vec<&Chain> = table.chains.iter().filter(is_hook).collect();
    let mut next = 0;
    while let Some(from) = reached.get(next).copied() {
        let jumps =
            from.rules.iter().enumerate().filter(|(index, rule)| rule.is_jump() && !is_limited(from, *index, rule));
        let names = jumps.filter_map(|(_, rule)| rule.target.as_ref().map(|target| target.name.as_str()));
        for chain in names.filter_map(|name| table.chains.iter().find(|chain| chain.name == name)) {
            if !reached.iter().any(|known| known.name == chain.name) {
                reached.push(chain);
            }
        }
        next += 1;
    }
    reached
}
