//! Rules for INVALID packets that no INVALID packet reaches.

use super::{FindingKind, LintFinding};
use crate::net::conntrack::ConntrackState;
use crate::rules::iptables_save::{Chain, Clause, Listing, Match, Rule, Target};

/// Rules for NULL, FIN, Xmas and other impossible packets that match another state, or come after a rule that decides
/// on INVALID. Empty if a rule exempts packets from tracking, since those are UNTRACKED.
pub(super) fn check(listing: &Listing) -> Vec<LintFinding> {
    if listing.rules().any(|rule| rule.target.as_ref().is_some_and(Target::exempts)) {
        return Vec::new();
    }
    listing.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| check_chain(listing, chain)).collect()
}

fn check_chain(listing: &Listing, chain: &Chain) -> Vec<LintFinding> {
    let numbered = || (1..).zip(&chain.rules);
    let takers: Vec<(usize, &Rule)> = numbered().filter(|(_, rule)| may_take_invalid(rule)).collect();
    let finding = |(number, rule): (usize, &Rule)| {
        let (mask, _) = impossible_flags(rule)?;
        let mut before = takers.iter().take_while(|(at, _)| *at < number).map(|(_, deciding)| *deciding);
        in_other_state(listing, rule)
            .or_else(|| behind_invalid(listing, rule, before.find(|deciding| takes_invalid(deciding, rule, mask))?))
    };
    numbered().filter_map(finding).collect()
}

/// The possible flags: `tcp_valid_flags` of net/netfilter/nf_conntrack_proto_tcp.c, which ignores PSH: SYN, SYN+URG,
/// SYN+ACK, RST, RST+ACK, FIN+ACK, FIN+ACK+URG, ACK, ACK+URG. All others are INVALID, within a connection or not.
const POSSIBLE: [u8; 9] = [2, 34, 18, 4, 20, 17, 49, 16, 48];
const ALL_BUT_PSH: u8 = 63 & !8;

/// The flags that the rule matches, if no packet with them is ever valid.
fn impossible_flags(rule: &Rule) -> Option<(u8, u8)> {
    let flags = rule.clauses.iter().find_map(|clause| match clause.ask {
        Match::TcpFlags { mask, comp } if !clause.negated => Some((mask, comp)),
        _ => None,
    });
    let fits = flags.filter(|(mask, comp)| comp & !mask == 0);
    fits.filter(|(mask, comp)| POSSIBLE.iter().all(|possible| possible & mask != comp & ALL_BUT_PSH & mask))
}

/// True if the clause matches INVALID; `None` unless it matches states.
fn matches_invalid(clause: &Clause) -> Option<bool> {
    match &clause.ask {
        Match::State(states) => Some(states.contains(&ConntrackState::Invalid) != clause.negated),
        _ => None,
    }
}

fn in_other_state(listing: &Listing, rule: &Rule) -> Option<LintFinding> {
    let clause = rule.clauses.iter().find(|clause| matches_invalid(clause) == Some(false))?;
    let message = format!(
        "this rule never matches: conntrack calls packets with such flags INVALID, and the rule requires `{}`",
        &rule.text[clause.span.clone()]
    );
    Some(LintFinding::new(FindingKind::ScanInOtherState, listing, rule.line, message).fix(rule.without(clause)))
}

fn behind_invalid(listing: &Listing, rule: &Rule, deciding: &Rule) -> Option<LintFinding> {
    let message = format!(
        "this rule never matches: conntrack calls packets with such flags INVALID, and line {} matches them first",
        deciding.line
    );
    Some(
        LintFinding::new(FindingKind::ScanAfterInvalid, listing, rule.line, message)
            .fix(format!("move it before line {}", deciding.line)),
    )
}

/// True if the rule is a verdict on INVALID packets.
fn may_take_invalid(rule: &Rule) -> bool {
    let by_state = rule.clauses.iter().any(|clause| matches_invalid(clause) == Some(true));
    by_state && rule.is_terminal() && rule.limit().is_none()
}

/// True if `deciding` decides on every INVALID packet that `rule` matches.
fn takes_invalid(deciding: &Rule, rule: &Rule, mask: u8) -> bool {
    let takes = |clause: &Clause| match (&clause.ask, clause.negated) {
        (Match::State(_), _) => matches_invalid(clause) == Some(true),
        (Match::Comment(_), _) | (Match::Protocol(0 | 6), false) => true,
        (Match::TcpFlags { mask: its_mask, comp }, negated) => {
            its_mask & !mask == 0
                && impossible_flags(rule).is_some_and(|(_, flags)| (flags & its_mask == *comp) != negated)
        }
        _ => rule.clauses.iter().any(|own| own.ask == clause.ask && own.negated == clause.negated),
    };
    deciding.clauses.iter().all(takes)
}
