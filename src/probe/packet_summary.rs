//! A frame in a few words, which distinguish it from other frames in a report. Tolerates malformed frames, as
//! [`crate::wire::reply`] does.

use std::fmt;
use std::net::IpAddr;

use crate::net::Family;
use crate::net::port::Port;
use crate::probe::scan::Technique;
use crate::wire::bytes::{self, be16};
use crate::wire::headers::Content;
use crate::wire::ip_header::IpHeader;
use crate::wire::tcp_flags::TcpFlags;

/// The summary of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PacketSummary {
    /// The kind of frame.
    pub kind: SummaryKind,
    /// Source and destination address, if it is IP or ARP.
    pub ends: Option<(IpAddr, IpAddr)>,
    /// Source and destination port, if it has ports.
    pub ports: Option<(Port, Port)>,
}

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SummaryKind {
    /// ARP, with its operation.
    Arp(u16),
    /// A TCP segment, with its six flags.
    Tcp(Family, u8),
    /// A UDP datagram.
    Udp(Family),
    /// An ICMP or ICMPv6 message, with type and code.
    Icmp(Family, u8, u8),
    /// A fragment without the header of its payload.
    Fragment(Family),
    /// Another IP protocol, by its IANA number.
    Protocol(Family, u8),
    /// Another Ethernet type, or a frame that is cut short.
    Ethernet(u16),
}

const ETHERNET_HEADER: usize = 14;

impl PacketSummary {
    /// Summarizes an Ethernet frame.
    pub fn at(frame: &[u8]) -> PacketSummary {
        let ethertype = be16(frame, 12).unwrap_or_default();
        let payload = frame.get(ETHERNET_HEADER..).unwrap_or_default();
        let known = match ethertype {
            0x0806 => arp(payload),
            0x0800 => ipv4(payload),
            0x86dd => ipv6(payload),
            _ => None,
        };
        known.unwrap_or(PacketSummary { kind: SummaryKind::Ethernet(ethertype), ends: None, ports: None })
    }

    /// Summarizes an IP packet.
    pub fn at_packet(packet: &[u8]) -> PacketSummary {
        let known = match packet.first().map(|byte| byte >> 4) {
            Some(4) => ipv4(packet),
            Some(6) => ipv6(packet),
            _ => None,
        };
        known.unwrap_or(PacketSummary { kind: SummaryKind::Ethernet(0), ends: None, ports: None })
    }

    /// The family; `None` unless it is IP.
    pub fn family(&self) -> Option<Family> {
        match self.kind {
            SummaryKind::Tcp(family, _)
            | SummaryKind::Udp(family)
            | SummaryKind::Icmp(family, ..)
            | SummaryKind::Fragment(family)
            | SummaryKind::Protocol(family, _) => Some(family),
            SummaryKind::Arp(_) | SummaryKind::Ethernet(_) => None,
        }
    }

    /// The flags of a TCP segment.
    pub fn tcp_flags(&self) -> Option<u8> {
        match self.kind {
            SummaryKind::Tcp(_, flags) => Some(flags),
            _ => None,
        }
    }
}

impl SummaryKind {
    /// `arp`, `tcp`, `udp`, `icmp`, `icmpv6`; a number for other protocols.
    pub fn protocol(self) -> String {
        match self {
            SummaryKind::Arp(_) => "arp".to_owned(),
            SummaryKind::Tcp(..) => "tcp".to_owned(),
            SummaryKind::Udp(_) => "udp".to_owned(),
            SummaryKind::Icmp(Family::Ipv4, ..) => "icmp".to_owned(),
            SummaryKind::Icmp(Family::Ipv6, ..) => "icmpv6".to_owned(),
            SummaryKind::Fragment(_) => "fragment".to_owned(),
            SummaryKind::Protocol(_, number) => number.to_string(),
            SummaryKind::Ethernet(number) => format!("ethertype 0x{number:04x}"),
        }
    }

    /// The scan technique whose probes have these flags. A connect begins like a SYN scan.
    pub fn technique(self) -> Option<Technique> {
        let SummaryKind::Tcp(_, flags) = self else { return None };
        Technique::LOGGED.into_iter().find(|technique| technique.profile().flags == flags)
    }
}

/// `tcp xmas`, `tcp SYN,ACK`, `udp`, `icmp 8/0`, `arp request`.
impl fmt::Display for SummaryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match (*self, self.technique()) {
            (_, Some(technique)) => format!("tcp {technique}"),
            (SummaryKind::Tcp(_, flags), None) => format!("tcp {}", TcpFlags(flags)),
            (SummaryKind::Icmp(_, kind, code), _) => format!("{} {kind}/{code}", self.protocol()),
            (SummaryKind::Arp(1), _) => "arp request".to_owned(),
            (SummaryKind::Arp(2), _) => "arp reply".to_owned(),
            (SummaryKind::Protocol(_, number), _) => format!("protocol {number}"),
            _ => self.protocol(),
        };
        f.pad(&text)
    }
}

/// RFC 826, for Ethernet and IPv4.
fn arp(packet: &[u8]) -> Option<PacketSummary> {
    let ends = Some((bytes::ipv4(packet, 14)?, bytes::ipv4(packet, 24)?));
    Some(PacketSummary { kind: SummaryKind::Arp(be16(packet, 6)?), ends, ports: None })
}

fn ipv4(packet: &[u8]) -> Option<PacketSummary> {
    let ip = IpHeader::read_v4(packet)?;
    let whole = transport(&ip, ip.protocol, packet.get(ip.header_length..).unwrap_or_default());
    let is_cut_short = ip.more_fragments && matches!(whole.kind, SummaryKind::Protocol(..));
    let is_fragment = ip.fragment_offset != 0 || is_cut_short;
    Some(if is_fragment { without_ports(&ip, SummaryKind::Fragment(Family::Ipv4)) } else { whole })
}

/// Summarizes an IPv6 packet. Extension headers are skipped (RFC 8200, section 4): each has the next protocol and its
/// own length.
fn ipv6(packet: &[u8]) -> Option<PacketSummary> {
    let ip = IpHeader::read_v6(packet)?;
    let (mut protocol, mut rest) = (ip.protocol, packet.get(ip.header_length..)?);
    loop {
        let length = match protocol {
            0 | 43 | 60 => 8 + 8 * usize::from(*rest.get(1).unwrap_or(&0)),
            44 if be16(rest, 2).is_some_and(|offset| offset >> 3 != 0) => {
                return Some(without_ports(&ip, SummaryKind::Fragment(Family::Ipv6)));
            }
            44 => 8,
            _ => return Some(transport(&ip, protocol, rest)),
        };
        let Some(next) = rest.get(length..) else {
            return Some(without_ports(&ip, SummaryKind::Protocol(Family::Ipv6, protocol)));
        };
        (protocol, rest) = (rest[0], next);
    }
}

/// A truncated header is summarized by its protocol alone.
fn transport(ip: &IpHeader, protocol: u8, header: &[u8]) -> PacketSummary {
    let family = ip.family();
    let content = Content::read(protocol, header);
    let kind = match content {
        Content::Tcp { flags, .. } => SummaryKind::Tcp(family, flags),
        Content::Udp { .. } => SummaryKind::Udp(family),
        Content::Icmp { kind, code } => SummaryKind::Icmp(family, kind, code),
        Content::Other => SummaryKind::Protocol(family, protocol),
    };
    PacketSummary { ports: content.source_port().zip(content.destination_port()), ..without_ports(ip, kind) }
}

fn without_ports(ip: &IpHeader, kind: SummaryKind) -> PacketSummary {
    PacketSummary { kind, ends: Some((ip.source, ip.destination)), ports: None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::net::{Addresses, Mac};
    use crate::probe::Ends;
    use crate::probe::canary;
    use crate::probe::scan_pass::{PassNumbering, SEED};
    use crate::wire::discovery;

    const PROBER: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const ENDS: Ends = Ends { prober: PROBER, host: Mac([2, 0, 0, 0, 0, 2]) };

    #[test]
    fn probes_are_called_by_their_technique() {
        let mut numbering = PassNumbering::new(SEED);
        for technique in Technique::LOGGED {
            for family in Family::BOTH {
                let probe = numbering.phase(technique, family, Addresses::default()).probe(Port(80), 0);
                let seen = PacketSummary::at(&probe.frame(&ENDS));
                assert_eq!(seen.kind.to_string(), format!("tcp {technique}"));
                assert_eq!(seen.ends, Some((probe.flow.prober, probe.flow.host)));
                assert_eq!(seen.ports, Some((probe.flow.prober_port, Port(80))));
                assert_eq!(seen.family(), Some(family));
            }
        }
    }

    #[test]
    fn neighbours_and_canaries_have_their_names() {
        let Addresses { v4, v6 } = Addresses::default();
        let seen = |frame: &[u8]| PacketSummary::at(frame).kind.to_string();
        assert_eq!(seen(&discovery::arp_request(PROBER, v4.prober, v4.host)), "arp request");
        assert_eq!(seen(&discovery::neighbour_solicitation(PROBER, v6.prober, v6.host)), "icmpv6 135/0");
        let flow = canary::flow(Family::Ipv4, v4.host.into(), 1);
        assert_eq!(PacketSummary::at(&canary::frame(flow, &ENDS)).ends.map(|ends| ends.1), Some(v4.host.into()));
    }

    proptest! {
        #[test]
        fn nothing_that_is_looked_at_panics(frame: Vec<u8>, kind in prop::sample::select(vec![0x0800u16, 0x86dd, 0x0806])) {
            let mut whole = vec![0; 12];
            whole.extend(kind.to_be_bytes());
            whole.extend(frame);
            let _ = PacketSummary::at(&whole).kind.to_string();
        }
    }
}
