//! LOG rules that no packet reaches.

use super::{FindingKind, LintFinding};
use crate::rules::iptables_save::{Chain, Clause, Listing, Match, Rule};

/// Each LOG with the first rule of its chain that decides on all its packets. Rules are compared in pairs: a LOG that
/// several rules together make dead is not found here.
pub(super) fn check(listing: &Listing) -> Vec<LintFinding> {
    let chains = listing.tables.iter().flat_map(|table| &table.chains);
    chains.flat_map(|chain| dead_logs(listing, chain)).collect()
}

fn dead_logs(listing: &Listing, chain: &Chain) -> Vec<LintFinding> {
    let numbered = || (1..).zip(&chain.rules);
    let verdicts: Vec<(usize, &Rule)> =
        numbered().filter(|(_, rule)| rule.is_terminal() && all_is_read(rule)).collect();
    let finding = |(number, log): (usize, &Rule)| {
        let mut before = verdicts.iter().take_while(|(at, _)| *at < number);
        let (_, verdict) = before.find(|(_, verdict)| leaves_nothing_for(verdict, log))?;
        let name = verdict.target.as_ref().map_or("", |target| target.name.as_str());
        let message = format!(
            "no packet reaches this rule: {name} in line {} comes first for all packets that it could \
                     match",
            verdict.line
        );
        let finding = LintFinding::new(FindingKind::LogAfterVerdict, listing, log.line, message);
        Some(finding.fix(format!("move it before line {}", verdict.line)))
    };
    numbered().filter(|(_, rule)| is_log(rule)).filter_map(finding).collect()
}

fn is_log(rule: &Rule) -> bool {
    rule.target.as_ref().is_some_and(|target| ["LOG", "NFLOG"].contains(&target.name.as_str()))
}

/// True if the verdict covers every packet that `log` matches: it has no match that `log` does not have.
fn leaves_nothing_for(verdict: &Rule, log: &Rule) -> bool {
    let has_match =
        |clause: &Clause| log.clauses.iter().any(|own| own.ask == clause.ask && own.negated == clause.negated);
    let fulfilled =
        |clause: &Clause| matches!(clause.ask, Match::Comment(_)) || (is_lasting(clause) && has_match(clause));
    verdict.clauses.iter().all(fulfilled)
}

/// True if each match of the rule has an option. A match without one may match by its presence (`-m limit`, `-m
/// socket`), except for those of the protocols.
fn all_is_read(rule: &Rule) -> bool {
    let speaks = |name: &String| rule.clauses.iter().any(|clause| clause.module.as_ref() == Some(name));
    rule.modules.iter().all(|module| ["tcp", "udp"].contains(&module.name.as_str()) || speaks(&module.name))
}

/// True if a second evaluation for the same packet has the same result: not so for `limit`, `recent`, `statistic` or
/// `quota`.
fn is_lasting(clause: &Clause) -> bool {
    let lasting = ["mac", "iprange", "addrtype", "pkttype", "length", "ttl", "hl"];
    match &clause.ask {
        Match::Limit { .. } | Match::LimitBurst(_) => false,
        Match::Other(_) => clause.module.as_deref().is_some_and(|module| lasting.contains(&module)),
        _ => true,
    }
}
