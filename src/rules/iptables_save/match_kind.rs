//! Parses an option with its arguments into a match.

use std::collections::BTreeSet;

use super::{Match, icmp_type, ports};
use crate::net::Family;
use crate::net::conntrack::ConntrackState;
use crate::net::port::PortSet;
use crate::wire::tcp_flags::TcpFlags;

/// Parses the option `name` (in full, without dashes) of the match `module`; `None` for an unsupported option, which is
/// kept as written.
pub(super) fn parse(family: Family, module: &str, name: &str, arguments: &[String]) -> Option<Match> {
    let first = arguments.first().map_or("", String::as_str);
    let second = arguments.get(1).map_or("", String::as_str);
    Some(match (module, name) {
        ("multiport", "source-ports" | "sports" | "source-port") => Match::SourcePorts(ports::list(first)?),
        ("multiport", "destination-ports" | "dports" | "destination-port" | "dport") => {
            Match::DestinationPorts(ports::list(first)?)
        }
        ("tcp" | "udp" | "sctp" | "dccp" | "udplite", "source-port" | "sport") => Match::SourcePorts(one_range(first)?),
        ("tcp" | "udp" | "sctp" | "dccp" | "udplite", "destination-port" | "dport") => {
            Match::DestinationPorts(one_range(first)?)
        }
        ("tcp", "tcp-flags") => Match::TcpFlags { mask: tcp_flags(first)?, comp: tcp_flags(second)? },
        ("tcp", "syn") => Match::TcpFlags { mask: TcpFlags::FIN_SYN_RST_ACK, comp: TcpFlags::SYN },
        ("state", "state") | ("conntrack", "ctstate") => Match::State(states(first)?),
        ("limit", "limit") => limit(first)?,
        ("limit", "limit-burst") => Match::LimitBurst(super::number::parse(first)?),
        ("icmp", "icmp-type") | ("icmp6", "icmpv6-type") => Match::IcmpType(icmp_type::parse(first, family)?),
        ("comment", "comment") => Match::Comment(first.to_owned()),
        _ => return None,
    })
}

fn one_range(text: &str) -> Option<PortSet> {
    ports::range(text).map(|range| [range].into_iter().collect())
}

/// `ALL` is six flags: iptables 1.8.9 answers "Unknown TCP flag `ECE'". Letter case does not matter.
fn tcp_flags(text: &str) -> Option<u8> {
    let flag = |word: &str| match word.to_ascii_uppercase().as_str() {
        "ALL" => Some(TcpFlags::ALL),
        "NONE" => Some(0),
        name => TcpFlags::named(name),
    };
    text.split(',').map(flag).try_fold(0, |flags, flag| Some(flags | flag?))
}

/// Parses a list of states. SNAT and DNAT are no states of a packet itself: a list with them is unsupported. iptables
/// 1.8.9 also accepts abbreviations (`EST`).
fn states(text: &str) -> Option<BTreeSet<ConntrackState>> {
    text.split(',').map(state).collect()
}

fn state(text: &str) -> Option<ConntrackState> {
    let begins = |state: &&ConntrackState| {
        !text.is_empty() && state.as_str().get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text))
    };
    ConntrackState::ALL.iter().find(begins).copied()
}

/// `5/min`, `5/minute`, `5/m`, `300/hour`; a number alone is per second (`parse_rate` in libxt_limit.c).
pub(super) fn limit(text: &str) -> Option<Match> {
    let (count, unit) = text.split_once('/').unwrap_or((text, "second"));
    let count = count.bytes().all(|byte| byte.is_ascii_digit()).then(|| count.parse().ok())??;
    let begins = |(name, _): &&(&str, u32)| {
        !unit.is_empty() && name.get(..unit.len()).is_some_and(|start| start.eq_ignore_ascii_case(unit))
    };
    let (_, seconds) = [("second", 1), ("minute", 60), ("hour", 3_600), ("day", 86_400)].iter().find(begins)?;
    Some(Match::Limit { count, seconds: *seconds })
}
