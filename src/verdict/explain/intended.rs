//! The rule that was intended for a packet: the one that logs with the expected prefix, or the one with the expected
//! verdict that fits the packet best.

use super::expected_effect::ExpectedEffect;
use super::{MismatchContext, PacketView, PlacedRule};
use crate::net::port::Port;
use crate::probe::path::{Path, Step};
use crate::rules::iptables_save::{LOG_PREFIX, Match, MatchResult, Packet, Rule};
use crate::wire::headers::Content;

/// The intended rule, among those that the packet can reach. `decider` is the rule that decided.
pub fn find<'a>(
    goal: &ExpectedEffect,
    sight: &PacketView<'a>,
    path: &Path,
    decider: Option<&Step>,
) -> Option<PlacedRule<'a>> {
    match goal {
        // A rule that logged is not the one that failed to log.
        ExpectedEffect::Line { prefix, .. } => by_prefix(prefix, sight, |placed| !placed.is_on(path)),
        ExpectedEffect::Lines { prefix, .. }
        | ExpectedEffect::OneLine(prefix)
        | ExpectedEffect::Order { first: prefix, .. } => by_prefix(prefix, sight, |_| true),
        // An ACCEPT in another table could not have accepted it.
        ExpectedEffect::LetIn(_) => {
            by_target(&["ACCEPT"], sight, |placed| decider.is_none_or(|step| step.table == placed.table))
        }
        ExpectedEffect::KeepOut(_) => by_target(&["DROP", "REJECT"], sight, |_| true),
        ExpectedEffect::NoLine(_) | ExpectedEffect::Conversation => None,
    }
}

/// A rule that logs or accepts as intended, in a hook that the packet does not pass.
pub fn elsewhere<'a>(
    goal: &ExpectedEffect,
    sight: &PacketView<'a>,
    scene: MismatchContext<'a>,
) -> Option<PlacedRule<'a>> {
    let fits = |placed: &PlacedRule| match goal {
        ExpectedEffect::Line { prefix, .. } | ExpectedEffect::Lines { prefix, .. } => {
            placed.rule.log_prefix().as_deref() == Some(prefix)
        }
        ExpectedEffect::LetIn(_) => {
            let packet = sight.packet(placed);
            placed.rule.accepts() && names_port(placed, packet) && refusals(placed, packet) == 0
        }
        _ => false,
    };
    scene.listing.placed_rules().filter(|placed| !sight.can_meet(placed)).find(fits)
}

fn by_prefix<'a>(prefix: &str, sight: &PacketView<'a>, wanted: impl Fn(&PlacedRule) -> bool) -> Option<PlacedRule<'a>> {
    let logs = |placed: &PlacedRule| placed.rule.log_prefix().as_deref() == Some(prefix) && wanted(placed);
    sight.rules().filter(logs).min_by_key(|placed| refusals(placed, sight.packet(placed)))
}

/// A rule for the packet's port, for a similar port, or without a clause that refuses the packet. A rule with two
/// refusing clauses was intended for other packets.
fn by_target<'a>(
    targets: &[&str],
    sight: &PacketView<'a>,
    wanted: impl Fn(&PlacedRule) -> bool,
) -> Option<PlacedRule<'a>> {
    let has_target = |placed: &PlacedRule| {
        let name = placed.rule.target.as_ref().map(|target| target.name.as_str());
        name.is_some_and(|name| targets.contains(&name)) && wanted(placed)
    };
    let names = |placed: &PlacedRule| names_port(placed, sight.packet(placed)) || names_port(placed, sight.sent());
    let fits = |placed: &PlacedRule| match refusals(placed, sight.packet(placed)) {
        0 => true,
        1 => names(placed) || names_similar_port(placed, sight.packet(placed)),
        _ => false,
    };
    let fitting = sight.rules().filter(has_target).filter(fits);
    fitting.min_by_key(|placed| (refusals(placed, sight.packet(placed)), !names(placed)))
}

/// The nat rule that was probably intended to redirect the packet: its `--dport` is similar to the port of the packet.
/// If a rule was `meant` to accept the packet, it must match the port after the redirection. If the host listens on
/// that port, a single different digit is similar enough (22 and 32).
pub fn leads_from_similar_port<'a>(
    sight: &PacketView<'a>,
    meant: Option<PlacedRule>,
    listen: &[Port],
) -> Option<PlacedRule<'a>> {
    let lets_in = |nat: &PlacedRule| {
        let port = meant.and_then(|meant| Some((meant, nat.rule.target.as_ref()?.new_port(port(sight.sent())?)?)));
        port.is_none_or(|(meant, port)| names_port(&meant, &with_port(sight.sent(), port)))
    };
    let is_it = |nat: &PlacedRule| {
        let packet = sight.packet(nat);
        let given = port(sight.sent()).and_then(|from| nat.rule.target.as_ref()?.new_port(from));
        let is_similar = |given: Port| {
            names_similar_port(nat, packet) || listen.contains(&given) && names_port_but_for_a_digit(nat, packet)
        };
        refusals(nat, packet) == 1 && !names_port(nat, packet) && given.is_some_and(is_similar)
    };
    let is_named = meant.is_some_and(|meant| refusals(&meant, sight.packet(&meant)) == 0);
    sight.rules().filter(|placed| placed.table == "nat" && !is_named).find(|nat| is_it(nat) && lets_in(nat))
}

/// The destination port.
pub(super) fn port(packet: &Packet) -> Option<Port> {
    match packet.content {
        Content::Tcp { destination, .. } | Content::Udp { destination, .. } => Some(destination),
        Content::Icmp { .. } | Content::Other => None,
    }
}

/// The packet with another destination port.
pub(super) fn with_port(packet: &Packet, destination: Port) -> Packet {
    let content = match packet.content {
        Content::Tcp { source, flags, .. } => Content::Tcp { source, destination, flags },
        Content::Udp { source, .. } => Content::Udp { source, destination },
        other => other,
    };
    Packet { content, ..packet.clone() }
}

/// The number of clauses of the rule that refuse the packet.
fn refusals(placed: &PlacedRule, packet: &Packet) -> usize {
    placed.rule.clauses.iter().filter(|clause| clause.answer(packet) == MatchResult::No).count()
}

fn names_port(placed: &PlacedRule, packet: &Packet) -> bool {
    let names = |ask: &Match| matches!(ask, Match::DestinationPorts(_));
    placed.rule.clauses.iter().any(|clause| names(&clause.ask) && clause.answer(packet) == MatchResult::Yes)
}

/// A rule for port 2222 may have been intended for port 22, and one for 23:80 for 22:80.
fn names_similar_port(placed: &PlacedRule, packet: &Packet) -> bool {
    let (Content::Tcp { destination, .. } | Content::Udp { destination, .. }) = packet.content else { return false };
    let looks_like = |ask: &Match| match ask {
        Match::DestinationPorts(ports) => ports.ranges().any(|range| match range.start() == range.end() {
            true => are_similar_ports(Port(*range.start()), destination),
            false => [range.start(), range.end()].iter().any(|end| end.abs_diff(destination.0) == 1),
        }),
        _ => false,
    };
    placed.rule.clauses.iter().any(|clause| !clause.negated && looks_like(&clause.ask))
}

fn names_port_but_for_a_digit(placed: &PlacedRule, packet: &Packet) -> bool {
    let sent = port(packet).map(|port| port.to_string()).unwrap_or_default();
    let is_alike = |other: u16| {
        let other = other.to_string();
        other.len() == sent.len() && other.bytes().zip(sent.bytes()).filter(|(one, other)| one != other).count() == 1
    };
    let names =
        |ask: &Match| matches!(ask, Match::DestinationPorts(ports) if ports.iter().any(|port| is_alike(port.0)));
    sent.len() > 1 && placed.rule.clauses.iter().any(|clause| !clause.negated && names(&clause.ask))
}

/// True if the ports are neighbours, one begins or ends with the other (22 and 2222), one digit differs or is missing,
/// or two digits are swapped.
pub(super) fn are_similar_ports(one: Port, other: Port) -> bool {
    let (low, high) = (one.min(other).to_string(), one.max(other).to_string());
    let is_part = high.starts_with(&low) || high.ends_with(&low);
    one.0.abs_diff(other.0) == 1 || is_part || differ_in_one(&low, &high) || are_transposed(&low, &high)
}

fn are_transposed(one: &str, other: &str) -> bool {
    let swapped = |at: usize| {
        let mut digits = one.as_bytes().to_vec();
        digits.swap(at, at + 1);
        digits == other.as_bytes()
    };
    one != other && (1..one.len()).any(|at| swapped(at - 1))
}

/// A LOG rule with a prefix similar to the expected one: cut, without its blank, or with one letter changed. Rules that
/// fit the packet come first. The rule of another expected line is excluded.
pub fn misspelt<'a>(prefix: &str, others: &[String], sight: &PacketView<'a>) -> Option<PlacedRule<'a>> {
    let similar = |placed: &PlacedRule| {
        placed.rule.log_prefix().is_some_and(|other| is_similar(prefix, &other))
            || whole_prefix(placed.rule).is_some_and(|whole| begin_alike(prefix, whole))
    };
    let is_right = |placed: &PlacedRule| placed.rule.log_prefix().is_some_and(|prefix| others.contains(&prefix));
    let found = sight.rules().filter(|placed| similar(placed) && !is_right(placed));
    found.min_by_key(|placed| refusals(placed, sight.packet(placed)))
}

/// The prefix of a LOG rule, if it is longer than LOG keeps.
pub(super) fn whole_prefix(rule: &Rule) -> Option<&str> {
    let prefix = rule.target.as_ref().filter(|target| target.name == "LOG")?.option("--log-prefix")?;
    (prefix.len() > LOG_PREFIX).then_some(prefix)
}

/// True if the expected prefix and the cut one share more than the common beginning of a ruleset's prefixes.
fn begin_alike(wanted: &str, whole: &str) -> bool {
    const IN_COMMON: usize = 16;
    wanted.bytes().zip(whole.bytes()).take_while(|(one, other)| one == other).count() >= IN_COMMON
}

fn is_similar(wanted: &str, found: &str) -> bool {
    let (one, other) = (wanted.trim(), found.trim());
    let is_cut = found.len() >= 8 && wanted.starts_with(found);
    !found.is_empty() && (one.eq_ignore_ascii_case(other) || is_cut || differ_in_one(one, other))
}

/// True if one letter differs, or is missing on one side.
fn differ_in_one(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let same_start = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let same_end = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    let longest = one.len().max(other.len());
    one.len().abs_diff(other.len()) <= 1 && longest > 3 && same_start + same_end + 1 >= longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_recognised_when_it_is_written_like_another() {
        for (one, other) in [(22, 2222), (2222, 22), (22, 23), (32232, 32233), (443, 8443), (8080, 808), (8080, 8008)] {
            assert!(are_similar_ports(Port(one), Port(other)), "{one} {other}");
        }
        for (one, other) in [(22, 80), (443, 139), (22, 3389), (22, 32232)] {
            assert!(!are_similar_ports(Port(one), Port(other)), "{one} {other}");
        }
    }

    #[test]
    fn a_prefix_is_recognised_when_it_was_cut_or_misspelt() {
        let wanted = "<IPT> Xmas scan: ";
        for found in ["<IPT> Xmas scan:", "<IPT> Xmas scan", "<IPT> xmas scan: ", "<IPT> Xmaas scan: ", "<IPT> Xmas sc"]
        {
            assert!(is_similar(wanted, found), "{found}");
        }
        for found in ["", "<IPT> ", "<IPT> Null scan: ", "<IPT> FIN scan: ", "DROP: "] {
            assert!(!is_similar(wanted, found), "{found}");
        }
    }
}
