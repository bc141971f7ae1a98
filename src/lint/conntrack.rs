//! Rules for packets that conntrack calls INVALID, where no such packet comes.

use super::{Finding, FindingKind};
use crate::conntrack::ConntrackState;
use crate::iptables_save::{Clause, Listing, Match, Rule, Target};

/// Rules for NULL, FIN, Xmas and other impossible packets: in another state, or behind a rule that takes INVALID.
/// Silent where a rule exempts packets from tracking: these are UNTRACKED.
pub(super) fn check(listing: &Listing) -> Vec<Finding> {
    if listing.rules().any(|(_, _, _, rule)| exempts(rule)) {
        return Vec::new();
    }
    let chains = listing.tables.iter().flat_map(|table| &table.chains);
    let finding = |(at, rule): (usize, &Rule), before: &[Rule]| {
        let (mask, _) = impossible_flags(rule)?;
        in_other_state(listing, rule).or_else(|| behind_invalid(listing, rule, mask, &before[..at]))
    };
    chains.flat_map(|chain| (0..).zip(&chain.rules).filter_map(move |rule| finding(rule, &chain.rules))).collect()
}

fn exempts(rule: &Rule) -> bool {
    let notrack = |target: &Target| target.name == "NOTRACK" || target.option("--notrack").is_some();
    rule.target.as_ref().is_some_and(notrack)
}

/// `tcp_valid_flags` of net/netfilter/nf_conntrack_proto_tcp.c, which looks at no PSH: SYN, SYN+URG, SYN+ACK, RST,
/// RST+ACK, FIN+ACK, FIN+ACK+URG, ACK, ACK+URG. Everything else is INVALID, within a connection or not.
const POSSIBLE: [u8; 9] = [2, 34, 18, 4, 20, 17, 49, 16, 48];
const ALL_BUT_PSH: u8 = 63 & !8;

/// The flags that the rule asks for, if no packet that has them is ever valid.
fn impossible_flags(rule: &Rule) -> Option<(u8, u8)> {
    let flags = rule.clauses.iter().find_map(|clause| match clause.ask {
        Match::TcpFlags { mask, comp } if !clause.negated => Some((mask, comp)),
        _ => None,
    });
    let fits = flags.filter(|(mask, comp)| comp & !mask == 0);
    fits.filter(|(mask, comp)| POSSIBLE.iter().all(|possible| possible & mask != comp & ALL_BUT_PSH & mask))
}

/// Whether the clause asks for a state, and INVALID is one of them.
fn asks_for_invalid(clause: &Clause) -> Option<bool> {
    match &clause.ask {
        Match::State(states) => Some(states.contains(&ConntrackState::Invalid) != clause.negated),
        _ => None,
    }
}

fn in_other_state(listing: &Listing, rule: &Rule) -> Option<Finding> {
    let clause = rule.clauses.iter().find(|clause| asks_for_invalid(clause) == Some(false))?;
    let message = format!(
        "this rule never matches: conntrack calls packets with such flags INVALID, and it asks for `{}`",
        &rule.text[clause.span.clone()]
    );
    Some(Finding::new(FindingKind::ScanInOtherState, listing, rule.line, message).fix(rule.without(clause)))
}

fn behind_invalid(listing: &Listing, rule: &Rule, mask: u8, before: &[Rule]) -> Option<Finding> {
    let taker = before.iter().find(|earlier| takes_invalid(earlier, rule, mask))?;
    let message = format!(
        "this rule never matches: conntrack calls packets with such flags INVALID, and line {} has taken them",
        taker.line
    );
    Some(
        Finding::new(FindingKind::ScanBehindInvalid, listing, rule.line, message)
            .fix(format!("move it before line {}", taker.line)),
    )
}

/// Whether `earlier` ends the way of every INVALID packet that `rule` asks for.
fn takes_invalid(earlier: &Rule, rule: &Rule, mask: u8) -> bool {
    let takes = |clause: &Clause| match (&clause.ask, clause.negated) {
        (Match::State(_), _) => asks_for_invalid(clause) == Some(true),
        (Match::Comment(_), _) | (Match::Protocol(0 | 6), false) => true,
        (Match::TcpFlags { mask: its_mask, comp }, negated) => {
            its_mask & !mask == 0
                && impossible_flags(rule).is_some_and(|(_, flags)| (flags & its_mask == *comp) != negated)
        }
        _ => rule.clauses.iter().any(|own| own.ask == clause.ask && own.negated == clause.negated),
    };
    let by_state = earlier.clauses.iter().any(|clause| asks_for_invalid(clause).is_some());
    by_state && earlier.is_terminal() && earlier.limit().is_none() && earlier.clauses.iter().all(takes)
}
