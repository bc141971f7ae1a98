//! A default deny that denies too much. Packets that every host receives are followed through INPUT; a finding is made
//! only if their end is certain.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::walk::{Reachability, walk};
use super::{FindingKind, LintFinding};
use crate::net::Family;
use crate::net::conntrack::ConntrackState;
use crate::net::port::Port;
use crate::rules::iptables_save::{Listing, Match, Packet, Prefix, Table};
use crate::wire::headers::Content;

/// Loopback, established connections, and neighbour discovery.
pub(super) fn check(listing: &Listing) -> Vec<LintFinding> {
    let Some(filter) = listing.tables.iter().find(|table| table.name == "filter") else { return Vec::new() };
    let checks = [no_loopback, no_established, no_neighbours];
    checks.iter().filter_map(|check| check(listing, filter)).collect()
}

fn no_loopback(listing: &Listing, filter: &Table) -> Option<LintFinding> {
    let host = listing.family.loopback();
    let packets =
        [SYN_TO_NOWHERE, DATAGRAM_TO_NOWHERE].map(|content| packet(listing.family, "lo", host, host, content));
    let line = packets.iter().find_map(|packet| denied(filter, packet))?;
    let message = "this denies packets from `lo`: the host cannot reach itself";
    let finding = LintFinding::new(FindingKind::NoLoopback, listing, line, message);
    Some(finding.fix("-A INPUT -i lo -j ACCEPT, as the first rule"))
}

fn no_established(listing: &Listing, filter: &Table) -> Option<LintFinding> {
    let established = |(interface, host): (String, IpAddr)| Packet {
        conntrack: Some(ConntrackState::Established),
        ..packet(listing.family, &interface, documentation_address(listing.family), host, ANSWER)
    };
    let line = denied_wherever_it_arrives(listing, filter, established)?;
    let message = "this denies answers to the host's own requests, and all but the first packet of each connection";
    let finding = LintFinding::new(FindingKind::NoEstablished, listing, line, message);
    Some(finding.fix("-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT, before the rules that deny"))
}

/// RFC 4890, section 4.4.1: of the messages "That Must Not Be Dropped", those by which hosts and routers of a link find
/// each other. Conntrack leaves them UNTRACKED, so no rule for ESTABLISHED accepts them.
const DISCOVERY: [(u8, &str); 4] = [
    (133, "router solicitation"),
    (134, "router advertisement"),
    (135, "neighbour solicitation"),
    (136, "neighbour advertisement"),
];

fn no_neighbours(listing: &Listing, filter: &Table) -> Option<LintFinding> {
    if listing.family == Family::Ipv4 {
        return None;
    }
    let link_local = |last| IpAddr::from(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last));
    let message = |kind| {
        move |(interface, host): (String, IpAddr)| Packet {
            protocol: 58,
            conntrack: Some(ConntrackState::Untracked),
            ..packet(Family::Ipv6, &interface, link_local(1), host, Content::Icmp { kind, code: 0 })
        }
    };
    let lines =
        DISCOVERY.map(|(kind, name)| Some((denied_wherever_it_arrives(listing, filter, message(kind))?, kind, name)));
    let lost: Vec<(usize, u8, &str)> = lines.into_iter().flatten().collect();
    let (line, _, _) = lost.first()?;
    let names: Vec<String> = lost.iter().map(|(_, kind, name)| format!("{kind} ({name})")).collect();
    let finding = LintFinding::new(
        FindingKind::NoNeighbours,
        listing,
        *line,
        format!(
            "this denies ICMPv6 {}: without neighbour discovery even an accepted port cannot be reached",
            names.join(", ")
        ),
    );
    let fix = lost.iter().map(|(_, kind, _)| format!("-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type {kind} -j ACCEPT"));
    Some(finding.fix(format!("before the rules that deny: {}", fix.collect::<Vec<_>>().join("; "))))
}

/// A port that no usual rule names.
const NOWHERE: Port = Port(47_111);
const SYN_TO_NOWHERE: Content = Content::Tcp { source: Port(40_000), destination: NOWHERE, flags: 2 };
const DATAGRAM_TO_NOWHERE: Content = Content::Udp { source: Port(40_000), destination: NOWHERE };
/// An ACK from a server.
const ANSWER: Content = Content::Tcp { source: Port(443), destination: NOWHERE, flags: 16 };

fn packet(family: Family, interface: &str, source: IpAddr, destination: IpAddr, content: Content) -> Packet {
    let protocol = if matches!(content, Content::Udp { .. }) { 17 } else { 6 };
    let conntrack = Some(ConntrackState::New);
    let in_interface = Some(interface.to_owned());
    Packet { family, in_interface, out_interface: None, source, destination, protocol, content, conntrack }
}

/// An address that no usual rule names (RFC 5737, RFC 3849).
fn documentation_address(family: Family) -> IpAddr {
    family.pick(Ipv4Addr::new(198, 51, 100, 77).into(), Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x77).into())
}

fn denied(filter: &Table, packet: &Packet) -> Option<usize> {
    match walk(filter, "INPUT", packet) {
        Reachability::Denied(line) => Some(line),
        Reachability::Accepted | Reachability::Unknown => None,
    }
}

/// The line that denies the packet on every interface and for every address. Rules name interfaces and addresses of the
/// host, and the packet's own are unknown: it counts as denied only if it is for all of them.
fn denied_wherever_it_arrives(
    listing: &Listing,
    filter: &Table,
    packet: impl Fn((String, IpAddr)) -> Packet,
) -> Option<usize> {
    let lines: Option<Vec<usize>> =
        arrivals(listing, filter).into_iter().map(|to| denied(filter, &packet(to))).collect();
    lines?.first().copied()
}

/// Each interface with each address that the rules name, and one of each that they do not name.
fn arrivals(listing: &Listing, filter: &Table) -> Vec<(String, IpAddr)> {
    let clauses = || filter.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.clauses);
    let interface = |ask: &Match| match ask {
        Match::InInterface(name) if name != "lo" => Some(name.trim_end_matches('+').to_owned()),
        _ => None,
    };
    let host = |ask: &Match| match ask {
        Match::Destination(Prefix { address, .. }) => Some(*address),
        _ => None,
    };
    let mut interfaces: Vec<String> = clauses().filter_map(|clause| interface(&clause.ask)).take(MOST_NAMES).collect();
    interfaces.push("eth0".to_owned());
    let mut hosts: Vec<IpAddr> = clauses().filter_map(|clause| host(&clause.ask)).take(MOST_NAMES).collect();
    hosts.push(documentation_address(listing.family));
    let pairs = interfaces.iter().flat_map(|interface| hosts.iter().map(move |host| (interface.clone(), *host)));
    pairs.collect()
}

/// The maximum number of names that are combined.
const MOST_NAMES: usize = 16;
