//! Rules that IPv4 has and IPv6 lacks. The two rulesets are independent: a host that is closed over one family may be
//! open over the other.

use super::{FindingKind, LintFinding};
use crate::rules::iptables_save::{Chain, Clause, Listing, Match, Policy, Rule, Table};

/// One finding if there is no ruleset for IPv6; else one for each rule and each policy of the filter table without a
/// counterpart in `v6`.
pub(super) fn check(v4: &Listing, v6: Option<&Listing>) -> Vec<LintFinding> {
    let Some(filter) = filter(v4).filter(|table| table.chains.iter().any(is_used)) else { return Vec::new() };
    match v6.and_then(self::filter) {
        Some(other) => missing(v4, filter, other),
        None => vec![no_ipv6(v4, filter)],
    }
}

fn filter(listing: &Listing) -> Option<&Table> {
    listing.tables.iter().find(|table| table.name == "filter")
}

fn is_used(chain: &Chain) -> bool {
    !chain.rules.is_empty() || chain.policy == Some(Policy::Drop)
}

fn no_ipv6(v4: &Listing, filter: &Table) -> LintFinding {
    let message = "these rules are for IPv4 only, and there are none for IPv6: everything that they deny is accepted \
                   over IPv6";
    LintFinding::new(FindingKind::NoIpv6, v4, filter.line, message).fix("write the same rules for ip6tables-restore")
}

fn missing(v4: &Listing, filter: &Table, other: &Table) -> Vec<LintFinding> {
    let policies = filter.chains.iter().filter(|chain| lacks_policy(chain, other)).map(|chain| {
        let message = format!("the policy of {} is DROP here, and IPv6 has no default deny there", chain.name);
        let finding = LintFinding::new(FindingKind::NoIpv6Twin, v4, chain.line.unwrap_or(filter.line), message);
        finding.fix(format!(":{} DROP [0:0], in the ruleset for IPv6", chain.name))
    });
    let others: Vec<(&Rule, Asks)> =
        other.chains.iter().flat_map(|chain| &chain.rules).map(|rule| (rule, requirements(rule))).collect();
    let denied =
        |chain: &Chain| other.chains.iter().any(|twin| twin.name == chain.name && twin.policy == Some(Policy::Drop));
    let rules = filter.chains.iter().flat_map(|chain| chain.rules.iter().map(move |rule| (chain, rule)));
    let lacking =
        rules.filter(|(chain, rule)| !(rule.is_jump() || rule.denies() && denied(chain)) && lacks(rule, &others));
    let rules = lacking.map(|(_, rule)| {
        let message = "IPv6 has no such rule";
        LintFinding::new(FindingKind::NoIpv6Twin, v4, rule.line, message).fix(in_v6_words(rule))
    });
    policies.chain(rules).collect()
}

fn lacks_policy(chain: &Chain, other: &Table) -> bool {
    let denies_all = |rule: &Rule| rule.denies() && rule.clauses.is_empty();
    let denied = |chain: &Chain| chain.policy == Some(Policy::Drop) || chain.rules.iter().any(denies_all);
    chain.policy == Some(Policy::Drop) && !other.chains.iter().any(|twin| twin.name == chain.name && denied(twin))
}

/// The matches of a rule, each with its negation.
type Asks = Vec<(Match, bool)>;

/// The matches of the rule's counterpart in IPv6; `None` if IPv6 has no such match, or it is unsupported.
fn twin(rule: &Rule) -> Option<Asks> {
    rule.clauses
        .iter()
        .filter(|clause| narrows(clause))
        .map(|clause| Some((in_v6(&clause.ask)?, clause.negated)))
        .collect()
}

fn narrows(clause: &Clause) -> bool {
    let everything = match &clause.ask {
        Match::Comment(_) | Match::Protocol(0) => true,
        Match::Source(prefix) | Match::Destination(prefix) => prefix.is_everything(),
        _ => false,
    };
    !everything || clause.negated && !matches!(clause.ask, Match::Comment(_))
}

fn in_v6(ask: &Match) -> Option<Match> {
    match ask {
        Match::Protocol(1) => Some(Match::Protocol(58)),
        Match::IcmpType(None) => None,
        Match::IcmpType(Some(kind)) => Some(Match::IcmpType(Some(icmp_in_v6(*kind)?))),
        // An address has no known counterpart.
        Match::Source(_) | Match::Destination(_) | Match::Other(_) => None,
        same => Some(same.clone()),
    }
}

/// The equivalent ICMPv6 message (RFC 7915, section 4.2).
fn icmp_in_v6(kind: (u8, Option<u8>)) -> Option<(u8, Option<u8>)> {
    match kind {
        (8, _) => Some((128, None)),
        (0, _) => Some((129, None)),
        (3, None) => Some((1, None)),
        (3, Some(3)) => Some((1, Some(4))),
        (3, Some(4)) => Some((2, None)),
        (11, code) => Some((3, code)),
        (12, None) => Some((4, None)),
        _ => None,
    }
}

fn requirements(rule: &Rule) -> Asks {
    rule.clauses.iter().filter(|clause| narrows(clause)).map(|clause| (clause.ask.clone(), clause.negated)).collect()
}

/// True if IPv6 has no rule with the same effect on all of these packets: the same LOG, or a verdict with no more
/// matches than the counterpart. False for a rule that can have no counterpart.
fn lacks(rule: &Rule, others: &[(&Rule, Asks)]) -> bool {
    let Some(twin) = twin(rule) else { return false };
    let name = |rule: &Rule| rule.target.as_ref().map(|target| target.name.clone());
    let does_the_same = |other: &Rule| (other.denies() && rule.denies()) || name(other) == name(rule);
    let covers = |(other, asks): &(&Rule, Asks)| {
        let fewer = asks.iter().all(|one| twin.contains(one));
        fewer && (other.is_terminal() || twin.iter().all(|one| asks.contains(one)))
    };
    !others.iter().any(|other| covers(other) && does_the_same(other.0))
}

/// The rule's text for IPv6, which differs only in the names of ICMP.
fn in_v6_words(rule: &Rule) -> String {
    let clause = |clause: &&Clause| matches!(clause.ask, Match::Protocol(1) | Match::IcmpType(_));
    if rule.clauses.iter().any(|one| clause(&one)) {
        return "write it for ICMPv6 in the ruleset for IPv6".to_owned();
    }
    format!("{}, in the ruleset for IPv6", rule.text)
}
