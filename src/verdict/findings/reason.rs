//! Reasons why a rule is never reached, in words. Every statement is backed by a packet that was sent.

use std::collections::BTreeSet;

use super::evidence::Witnessed;
use crate::net::conntrack::ConntrackState;
use crate::probe::path::{Step, StepVerdict};
use crate::rules::iptables_save::{Clause, Match, Rule};
use crate::wire::tcp_flags::TcpFlags;

/// Other rules match all its packets.
pub(super) fn taken(rule: &Rule, packets: &[&Witnessed], deciding_steps: &[(&Step, Option<&Rule>)]) -> String {
    match deciding_steps {
        [(step, deciding)] => taken_by_one(rule, packets, step, *deciding),
        _ => format!("the union of {} matches every packet first", lines(deciding_steps.iter().map(|(step, _)| *step))),
    }
}

fn taken_by_one(rule: &Rule, packets: &[&Witnessed], step: &Step, deciding: Option<&Rule>) -> String {
    let verb = verb(&step.verdict);
    let states = states(packets);
    match deciding {
        None => format!("the policy of {} {verb} its packets before", step.chain),
        Some(deciding) if only(&states) == Some(ConntrackState::Invalid) && matches_invalid(deciding) => {
            let subject = subject(rule);
            format!("{subject} are INVALID to conntrack, and line {} {verb} INVALID packets", deciding.line)
        }
        Some(deciding) => format!("line {} {verb} {} before", deciding.line, everything(deciding)),
    }
}

/// Its packets are always in other states.
pub(super) fn never_in_state(rule: &Rule, fitting: &[&Witnessed]) -> String {
    let wanted: Vec<String> = rule.clauses.iter().filter_map(state_words).collect();
    let seen: Vec<&str> = states(fitting).iter().map(|state| state.as_str()).collect();
    format!("no packet is both: {} are {}, never {}", subject(rule), seen.join(" or "), wanted.join(" and "))
}

/// The nat table skips its packets.
pub(super) fn nat_does_not_see(rule: &Rule, packets: &[&Witnessed]) -> String {
    match states(packets).iter().map(|state| state.as_str()).collect::<Vec<_>>().as_slice() {
        [] => "nat sees tracked connections only, and no rule makes the kernel track them".to_owned(),
        ["INVALID"] => format!("nat never sees INVALID packets, and {} are INVALID to conntrack", subject(rule)),
        seen => {
            format!("nat sees the first packet of a connection only, and {} are {}", subject(rule), seen.join(" or "))
        }
    }
}

/// The chain is entered, but never by its packets.
pub(super) fn never_in_chain(rule: &Rule, chain: &str) -> String {
    format!("{} never reach chain {chain}", subject(rule))
}

/// No flags octet matches its `--tcp-flags`.
pub(super) fn no_such_flags() -> String {
    "no segment has such flags".to_owned()
}

/// conntrack comes after the raw table, where every packet from outside is INVALID to `--state`.
pub(super) fn no_state_in_raw() -> String {
    "the raw table is before conntrack: there `--state` sees every packet from outside as INVALID".to_owned()
}

/// All rules that jump to its chain are dead.
pub(super) fn through_dead(chain: &str, jump: &Rule, why: &str) -> String {
    format!("line {} would jump to chain {chain}, but is never reached itself: {why}", jump.line)
}

/// A rule that jumps to its chain is not provable.
pub(super) fn through(jump: &Rule, why: &str) -> String {
    format!("line {} jumps to its chain: {why}", jump.line)
}

/// An earlier rule depends on a fact that the sweep does not vary.
pub(super) fn depends_on(rule: &Rule) -> String {
    let others: Vec<String> =
        rule.clauses.iter().filter(|clause| is_other(clause)).map(|c| clause_text(rule, c)).collect();
    depends_on_match(rule, others.first().map(String::as_str).unwrap_or_default())
}

/// As [`depends_on`], with a known match.
pub(super) fn depends_on_match(rule: &Rule, fields: &str) -> String {
    format!(
        "which packets reach this rule depends on line {}, with a match that a sweep cannot vary: {fields}",
        rule.line
    )
}

/// No packet that was sent matches one clause.
pub(super) fn not_sent(rule: &Rule, clause: &Clause) -> String {
    format!("no packet of the sweep matches {}", clause_text(rule, clause))
}

/// A clause as it is written; an unsupported match with all its options.
fn clause_text(rule: &Rule, clause: &Clause) -> String {
    let Some(module) = clause.module.as_ref().filter(|_| is_other(clause)) else {
        return written(rule, clause).to_owned();
    };
    let options = rule.clauses.iter().filter(|other| other.module.as_ref() == Some(module));
    let options: Vec<&str> = options.map(|clause| written(rule, clause)).collect();
    format!("-m {module} {}", options.join(" "))
}

fn is_other(clause: &Clause) -> bool {
    matches!(clause.ask, Match::Other(_))
}

fn written<'r>(rule: &'r Rule, clause: &Clause) -> &'r str {
    rule.text.get(clause.span.clone()).unwrap_or_default()
}

fn states(packets: &[&Witnessed]) -> BTreeSet<ConntrackState> {
    packets.iter().filter_map(|one| one.packet.conntrack).collect()
}

fn only(states: &BTreeSet<ConntrackState>) -> Option<ConntrackState> {
    states.first().copied().filter(|_| states.len() == 1)
}

fn matches_invalid(rule: &Rule) -> bool {
    let invalid = |clause: &Clause| match &clause.ask {
        Match::State(states) => states.contains(&ConntrackState::Invalid) != clause.negated,
        _ => false,
    };
    rule.clauses.iter().any(invalid)
}

fn verb(verdict: &StepVerdict) -> &'static str {
    match verdict {
        StepVerdict::Accept => "accepts",
        StepVerdict::Drop => "drops",
        StepVerdict::Reject => "rejects",
        StepVerdict::Return => "sends back",
        StepVerdict::Stolen => "keeps",
        StepVerdict::Continue | StepVerdict::Jump(_) | StepVerdict::Goto(_) => "sends elsewhere",
    }
}

/// `line 3`, `lines 3 and 9`, `lines 3, 9, 11 and 4 more`
fn lines<'s>(steps: impl Iterator<Item = &'s Step>) -> String {
    const NAMED: usize = 4;
    let mut steps: Vec<&Step> = steps.collect();
    steps.sort_by_key(|step| step.line);
    let policy = |step: &Step| format!("the policy of {}", step.chain);
    let name = |step: &&Step| step.line.map_or_else(|| policy(step), |line| line.to_string());
    let all: Vec<String> = steps.iter().map(name).collect();
    match all.as_slice() {
        [] => "other rules".to_owned(),
        [one] => format!("line {one}"),
        [first @ .., last] if all.len() <= NAMED => format!("lines {} and {last}", first.join(", ")),
        _ => format!("lines {} and {} more", all[..NAMED - 1].join(", "), all.len() - NAMED + 1),
    }
}

/// The packets of a rule: `NULL packets`, `packets to port 22`.
fn subject(rule: &Rule) -> String {
    match (exact_flags(rule), what(rule).as_slice()) {
        (Some(flags), _) => format!("{flags} packets"),
        (None, []) => "its packets".to_owned(),
        (None, words) => format!("packets {}", words.join(" ")),
    }
}

/// The packets of a rule: `every tcp packet to port 22`.
fn everything(rule: &Rule) -> String {
    let protocol = rule.clauses.iter().find_map(|clause| match clause.ask {
        Match::Protocol(number) if !clause.negated => protocol_name(number),
        _ => None,
    });
    let kind = exact_flags(rule).or(protocol);
    let packet = kind.map_or_else(|| "every packet".to_owned(), |kind| format!("every {kind} packet"));
    [vec![packet], what(rule)].concat().join(" ")
}

/// The name of a segment whose flags are all matched.
fn exact_flags(rule: &Rule) -> Option<String> {
    rule.clauses.iter().find_map(|clause| match clause.ask {
        Match::TcpFlags { mask: TcpFlags::ALL, comp } if !clause.negated => Some(flags_name(comp)),
        _ => None,
    })
}

fn what(rule: &Rule) -> Vec<String> {
    rule.clauses.iter().filter_map(|clause| clause_words(rule, clause)).collect()
}

fn clause_words(rule: &Rule, clause: &Clause) -> Option<String> {
    let not = if clause.negated { "not " } else { "" };
    Some(match &clause.ask {
        Match::Protocol(_) if !clause.negated => return None,
        Match::Limit { .. } | Match::LimitBurst(_) | Match::Comment(_) => return None,
        Match::Source(prefix) => format!("{not}from {prefix}"),
        Match::Destination(prefix) => format!("{not}to {prefix}"),
        Match::InInterface(name) | Match::OutInterface(name) => format!("{not}over {name}"),
        Match::SourcePorts(ports) => format!("{not}from port {ports}"),
        Match::DestinationPorts(ports) => format!("{not}to port {ports}"),
        Match::State(_) => format!("that is {}", state_words(clause).unwrap_or_default()),
        Match::TcpFlags { mask: TcpFlags::ALL, .. } if !clause.negated => return None,
        Match::Protocol(_) | Match::TcpFlags { .. } | Match::IcmpType(_) | Match::Other(_) => {
            format!("with {}", written(rule, clause))
        }
    })
}

fn state_words(clause: &Clause) -> Option<String> {
    let Match::State(states) = &clause.ask else { return None };
    let names: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    Some(format!("{}{}", if clause.negated { "not " } else { "" }, names.join(" or ")))
}

fn flags_name(comp: u8) -> String {
    match comp {
        0 => "NULL".to_owned(),
        TcpFlags::XMAS => "Xmas".to_owned(),
        comp => TcpFlags(comp).six_names().join("+"),
    }
}

fn protocol_name(number: u8) -> Option<String> {
    match number {
        0 => None,
        1 => Some("icmp".to_owned()),
        6 => Some("tcp".to_owned()),
        17 => Some("udp".to_owned()),
        58 => Some("icmpv6".to_owned()),
        number => Some(format!("protocol-{number}")),
    }
}
