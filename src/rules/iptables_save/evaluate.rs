//! Evaluates a rule for one packet. For explanations only ("line 7 matches port 22, the probe went to 23"): effects of
//! rules are measured, and no verdict depends on this.

use std::net::IpAddr;

use super::{Clause, Match, Rule};
use crate::net::Family;
use crate::net::conntrack::ConntrackState;
use crate::net::port::{Port, PortSet};
use crate::probe::packet::Journey;
use crate::wire::frame::Direction;
use crate::wire::headers::Content;

/// The known facts about a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Its family.
    pub family: Family,
    /// The interface that it arrived on; `None` for a packet of the host.
    pub in_interface: Option<String>,
    /// The interface that it leaves by; `None` for a packet that the host receives.
    pub out_interface: Option<String>,
    /// Its source.
    pub source: IpAddr,
    /// Its destination.
    pub destination: IpAddr,
    /// The protocol's number (IANA).
    pub protocol: u8,
    /// The fields of its payload.
    pub content: Content,
    /// Its conntrack state; `None` if it is unknown, because no rule makes the kernel track connections.
    pub conntrack: Option<ConntrackState>,
}

impl Packet {
    /// The packet of `journey` as rules see it. A packet from `host` to itself goes over `lo`, any other over
    /// `interface`.
    pub fn from_journey(journey: &Journey, interface: &str, host: IpAddr) -> Packet {
        let is_own = |address: IpAddr| address == host || address.is_loopback();
        let headers = journey.headers;
        let over = if is_own(headers.source) && is_own(headers.destination) { "lo" } else { interface };
        let received = journey.direction == Direction::In;
        Packet {
            family: headers.family(),
            in_interface: received.then(|| over.to_owned()),
            out_interface: (!received).then(|| over.to_owned()),
            source: headers.source,
            destination: headers.destination,
            protocol: headers.protocol,
            content: headers.content,
            conntrack: journey.path.conntrack,
        }
    }
}

/// The result of a match for a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchResult {
    /// The packet matches.
    Yes,
    /// The packet does not match.
    No,
    /// The result depends on facts that are unknown here.
    Unknown,
}

impl MatchResult {
    fn not(self) -> MatchResult {
        match self {
            MatchResult::Yes => MatchResult::No,
            MatchResult::No => MatchResult::Yes,
            MatchResult::Unknown => MatchResult::Unknown,
        }
    }
}

impl From<bool> for MatchResult {
    fn from(answer: bool) -> Self {
        if answer { MatchResult::Yes } else { MatchResult::No }
    }
}

impl Rule {
    /// `No` if one clause is `No`; else `Unknown` if one is; else `Yes`.
    pub fn answer(&self, packet: &Packet) -> MatchResult {
        let answers = || self.clauses.iter().map(|clause| clause.answer(packet));
        // `-m limit` without options is a limit of 3/hour (burst 5).
        let limited = self.limit().is_some();
        if answers().any(|answer| answer == MatchResult::No) {
            MatchResult::No
        } else if limited || answers().any(|answer| answer == MatchResult::Unknown) {
            MatchResult::Unknown
        } else {
            MatchResult::Yes
        }
    }
}

impl Clause {
    /// The result for `packet`.
    pub fn answer(&self, packet: &Packet) -> MatchResult {
        let answer = match &self.ask {
            Match::Protocol(protocol) => (*protocol == 0 || *protocol == packet.protocol).into(),
            Match::Source(prefix) => prefix.contains(packet.source).into(),
            Match::Destination(prefix) => prefix.contains(packet.destination).into(),
            Match::InInterface(pattern) => interface(pattern, packet.in_interface.as_deref()),
            Match::OutInterface(pattern) => interface(pattern, packet.out_interface.as_deref()),
            Match::SourcePorts(ports) => port(ports, packet.content.source_port()),
            Match::DestinationPorts(ports) => port(ports, packet.content.destination_port()),
            Match::TcpFlags { mask, comp } => tcp_flags(*mask, *comp, packet.content),
            Match::State(states) => {
                packet.conntrack.map_or(MatchResult::Unknown, |state| states.contains(&state).into())
            }
            Match::IcmpType(kind) => icmp_type(*kind, packet.content),
            // This is the bucket's size; the clause of the limit evaluates its state.
            Match::Comment(_) | Match::LimitBurst(_) => MatchResult::Yes,
            Match::Limit { .. } | Match::Other(_) => MatchResult::Unknown,
        };
        match (self.negated, self.is_of(packet.content)) {
            // A match refuses a packet of another protocol before it evaluates its `!`.
            (_, MatchResult::No) => MatchResult::No,
            _ if self.excludes_everything() => MatchResult::Unknown,
            (true, _) => answer.not(),
            (false, _) => answer,
        }
    }

    /// True for all ports or all flags, negated: x_tables matches no packet, and iptables-nft 1.8.9 leaves out a match of
    /// all ports or flags together with its `!` (`add_nft_tcpudp` and `add_nft_tcp` in iptables/nft.c), so that every
    /// packet matches.
    pub fn excludes_everything(&self) -> bool {
        let is_everything = match &self.ask {
            Match::SourcePorts(ports) | Match::DestinationPorts(ports) => ports.ranges().eq([0..=u16::MAX]),
            Match::TcpFlags { mask, .. } => *mask == 0,
            _ => false,
        };
        self.negated && is_everything
    }

    /// `Yes` if the match applies to the packet's protocol.
    fn is_of(&self, content: Content) -> MatchResult {
        let fits = match (&self.ask, content) {
            (Match::SourcePorts(_) | Match::DestinationPorts(_), content) => return has_ports(content),
            (Match::TcpFlags { .. }, Content::Tcp { .. }) | (Match::IcmpType(_), Content::Icmp { .. }) => true,
            (Match::TcpFlags { .. } | Match::IcmpType(_), _) => false,
            _ => true,
        };
        fits.into()
    }
}

fn has_ports(content: Content) -> MatchResult {
    match content {
        Content::Tcp { .. } | Content::Udp { .. } => MatchResult::Yes,
        Content::Icmp { .. } => MatchResult::No,
        // SCTP has ports, ESP does not.
        Content::Other => MatchResult::Unknown,
    }
}

/// Without an interface the kernel compares with an empty name (`ip_packet_match`).
fn interface(pattern: &str, name: Option<&str>) -> MatchResult {
    is_interface(pattern, name.unwrap_or_default()).into()
}

/// True if `pattern` matches `name`: `eth0`, or `eth+` for all names with this beginning.
pub fn is_interface(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('+').map_or(pattern == name, |start| name.starts_with(start))
}

fn port(ports: &PortSet, port: Option<Port>) -> MatchResult {
    port.map_or(MatchResult::Unknown, |port| ports.contains(port).into())
}

fn tcp_flags(mask: u8, comp: u8, content: Content) -> MatchResult {
    match content {
        Content::Tcp { flags, .. } => (flags & mask == comp).into(),
        Content::Udp { .. } | Content::Icmp { .. } | Content::Other => MatchResult::No,
    }
}

fn icmp_type(wanted: Option<(u8, Option<u8>)>, content: Content) -> MatchResult {
    match (wanted, content) {
        (None, Content::Icmp { .. }) => MatchResult::Yes,
        (Some((kind, code)), Content::Icmp { kind: its_kind, code: its_code }) => {
            (kind == its_kind && code.is_none_or(|code| code == its_code)).into()
        }
        (_, Content::Tcp { .. } | Content::Udp { .. } | Content::Other) => MatchResult::No,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Listing;
    use super::*;
    use crate::error::Source;

    const FIN_PSH_URG: u8 = 41;

    fn packet(content: Content) -> Packet {
        let protocol = match content {
            Content::Tcp { .. } => 6,
            Content::Udp { .. } => 17,
            Content::Icmp { .. } => 1,
            Content::Other => 132,
        };
        Packet {
            family: Family::Ipv4,
            in_interface: Some("eth0".to_owned()),
            out_interface: None,
            source: [203, 0, 113, 66].into(),
            destination: [203, 0, 113, 10].into(),
            protocol,
            content,
            conntrack: Some(ConntrackState::Invalid),
        }
    }

    fn xmas_to_80() -> Packet {
        packet(Content::Tcp { source: Port(40_000), destination: Port(80), flags: FIN_PSH_URG })
    }

    fn answer(rule: &str, packet: &Packet) -> MatchResult {
        let text = format!("*filter\n-A INPUT {rule} -j DROP\n");
        let listing = Listing::parse(Family::Ipv4, &Source { name: "rules.v4".into(), text: text.into() });
        listing.rules().next().map_or(MatchResult::Unknown, |rule| rule.answer(packet))
    }

    #[test]
    fn what_a_packet_fulfils() {
        for rule in [
            "",
            "-p tcp",
            "-p all",
            "! -p udp",
            "-s 203.0.113.0/24",
            "! -d 10.0.0.0/8",
            "-i eth0",
            "-i eth+",
            "! -i lo",
            "! -o eth0",
            "-p tcp --dport 80",
            "-p tcp ! --dport 22",
            "-p tcp -m multiport --dports 22,80:90",
            "-p tcp --tcp-flags ALL FIN,PSH,URG",
            "-p tcp ! --syn",
            "-m state --state INVALID",
            "-m conntrack ! --ctstate NEW,ESTABLISHED",
            "-m comment --comment x",
        ] {
            assert_eq!(answer(rule, &xmas_to_80()), MatchResult::Yes, "{rule}");
        }
    }

    #[test]
    fn what_it_does_not() {
        for rule in [
            "-p udp",
            "! -p tcp",
            "-s 10.0.0.0/8",
            "-i lo",
            "-o eth0",
            "-p tcp --dport 22",
            "-p tcp --tcp-flags ALL ALL",
            "-m state --state NEW",
            "-m limit --limit 5/min -p udp",
            // A match refuses packets of another protocol, with or without `!`.
            "-p icmp ! --icmp-type 8",
        ] {
            assert_eq!(answer(rule, &xmas_to_80()), MatchResult::No, "{rule}");
        }
    }

    #[test]
    fn what_cannot_be_known_here() {
        for rule in ["-m limit", "-m limit --limit 5/min", "-m mac --mac-source 00:0c:29:4f:8e:35", "! -f"] {
            assert_eq!(answer(rule, &xmas_to_80()), MatchResult::Unknown, "{rule}");
        }
        for rule in ["-p tcp ! --dport 0:65535", "-p tcp ! --tcp-flags NONE NONE"] {
            assert_eq!(answer(rule, &xmas_to_80()), MatchResult::Unknown, "{rule}: it depends on the backend");
        }
        let untracked = Packet { conntrack: None, ..xmas_to_80() };
        assert_eq!(answer("-m state ! --state NEW", &untracked), MatchResult::Unknown);
        assert_eq!(answer("-p sctp --dport 22", &packet(Content::Other)), MatchResult::Unknown);
    }

    #[test]
    fn icmp_is_told_by_type_and_code() {
        let port_unreachable = packet(Content::Icmp { kind: 3, code: 3 });
        let answers = ["3", "3/3", "any", "3/4", "8"]
            .map(|kind| answer(&format!("-p icmp --icmp-type {kind}"), &port_unreachable));
        assert_eq!(answers, [MatchResult::Yes, MatchResult::Yes, MatchResult::Yes, MatchResult::No, MatchResult::No]);
    }
}
