//! TCP flags.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{FindingKind, LintFinding};
use crate::net::Family;
use crate::net::conntrack::ConntrackState;
use crate::net::port::Port;
use crate::rules::iptables_save::{Chain, Listing, Match, MatchResult, Packet, Rule};
use crate::wire::headers::Content;
use crate::wire::tcp_flags::TcpFlags;

/// Rules for scans that miss the scan, or match other packets.
pub(super) fn check(listing: &Listing) -> Vec<LintFinding> {
    let chains = || listing.tables.iter().flat_map(|table| &table.chains);
    let syn = chains().flat_map(|chain| syn_before_accept(listing, chain));
    all_flags(listing).into_iter().chain(syn).collect()
}

/// nmap's Xmas scan sets three flags; `ALL ALL` matches six. A finding for rules that are named Xmas, and for any rule
/// if no other rule matches the three flags.
fn all_flags(listing: &Listing) -> Vec<LintFinding> {
    let other = listing.rules().any(|rule| rule.clauses.iter().any(|clause| clause.ask == exactly(TcpFlags::XMAS)));
    let all = |rule: &Rule| {
        rule.clauses.iter().find(|clause| clause.ask == exactly(TcpFlags::ALL) && !clause.negated).cloned()
    };
    let finding = |rule: &Rule| {
        let clause = all(rule).filter(|_| !other || speaks_of_xmas(rule))?;
        let message = "`ALL ALL` never matches an Xmas scan: nmap -sX sets FIN, PSH and URG only";
        let fix = rule.with(&clause, "--tcp-flags ALL FIN,PSH,URG");
        Some(LintFinding::new(FindingKind::XmasAllFlags, listing, rule.line, message).fix(fix))
    };
    listing.rules().filter_map(finding).collect()
}

const fn exactly(flags: u8) -> Match {
    Match::TcpFlags { mask: TcpFlags::ALL, comp: flags }
}

fn speaks_of_xmas(rule: &Rule) -> bool {
    let text = rule.text.to_ascii_lowercase();
    ["xmas", "christmas"].iter().any(|name| text.contains(name))
}

/// Every connection begins with a SYN: if it is denied before the ACCEPT for its port, it never gets there.
fn syn_before_accept(listing: &Listing, chain: &Chain) -> Vec<LintFinding> {
    let denies = |rule: &Rule| rule.denies() && rule.clauses.iter().any(matches_flags);
    let accepted: Vec<(usize, &Rule, Packet)> =
        (0..).zip(&chain.rules).filter_map(|(at, rule)| Some((at, rule, opening(listing.family, rule)?))).collect();
    let victim = |at: usize, rule: &Rule| {
        accepted.iter().find(|(place, _, packet)| *place > at && rule.answer(packet) == MatchResult::Yes)
    };
    let finding = |(at, rule): (usize, &Rule)| {
        let (_, accept, _) = victim(at, rule)?;
        let message = format!(
            "every connection begins with such a packet: this rule denies it before line {} accepts it",
            accept.line
        );
        let fix = format!("move it after line {}, and after all other rules that accept connections", accept.line);
        Some(LintFinding::new(FindingKind::SynBeforeAccept, listing, rule.line, message).fix(fix))
    };
    (0..).zip(&chain.rules).filter(|(_, rule)| denies(rule)).filter_map(finding).collect()
}

fn matches_flags(clause: &crate::rules::iptables_save::Clause) -> bool {
    matches!(clause.ask, Match::TcpFlags { .. })
}

/// The packet that opens a connection which `rule` accepts; `None` if it accepts no port, or has an unsupported match.
fn opening(family: Family, rule: &Rule) -> Option<Packet> {
    let any: IpAddr =
        family.pick(Ipv4Addr::new(198, 51, 100, 1).into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into());
    let mut packet = Packet {
        family,
        in_interface: Some("eth0".to_owned()),
        out_interface: None,
        source: any,
        destination: any,
        protocol: 6,
        content: Content::Other,
        conntrack: Some(ConntrackState::New),
    };
    for clause in rule.clauses.iter().filter(|clause| !clause.negated) {
        match &clause.ask {
            Match::Source(prefix) => packet.source = prefix.address,
            Match::Destination(prefix) => packet.destination = prefix.address,
            Match::InInterface(name) => packet.in_interface = Some(name.trim_end_matches('+').to_owned()),
            Match::DestinationPorts(ports) => packet.content = syn(ports.iter().next()?),
            _ => {}
        }
    }
    (rule.accepts() && rule.answer(&packet) == MatchResult::Yes && packet.content != Content::Other).then_some(packet)
}

const fn syn(destination: Port) -> Content {
    Content::Tcp { source: Port(40_000), destination, flags: TcpFlags::SYN }
}
