//! The identity of a packet in its log line or its trace: enough to find the probe that it belongs to.

use crate::log_line::{Icmp, IcmpDetail, LoggedPacketHeader, Transport};
use crate::net::port::Port;
use crate::net::{Family, Protocol};
use crate::wire::bytes::be16;
use crate::wire::headers::{Content, TracedHeaders};
use crate::wire::reply::Flow;

/// A segment, a datagram or an echo message as seen by a witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketId {
    /// The flow from the sender, in the place of the prober.
    pub flow: Flow,
    /// Identification of the IPv4 header.
    pub ip_id: Option<u16>,
    /// Flags octet of a segment, with AE (RFC 9768) above it; 0 for other protocols.
    pub flags: u16,
}

impl PacketId {
    /// The packet of a log line; `None` if it has no flow.
    pub fn from_line(network: &LoggedPacketHeader) -> Option<PacketId> {
        let (protocol, (prober_port, port), flags) = match network.transport()? {
            Transport::Tcp(tcp) => (Protocol::Tcp, (tcp.source, tcp.destination), tcp.flags),
            Transport::Udp(udp) => (Protocol::Udp, (udp.source, udp.destination), 0),
            Transport::Icmp(Icmp { family, kind, detail: IcmpDetail::Echo { id, seq }, .. }) => {
                (Protocol::Icmp, echo_ports(*family, *kind, *id, *seq)?, 0)
            }
            _ => return None,
        };
        let ip_id = match network {
            LoggedPacketHeader::Ipv4(ipv4) => Some(ipv4.id),
            LoggedPacketHeader::Ipv6(_) | LoggedPacketHeader::Arp(_) => None,
        };
        let (prober, host) = (network.source()?, network.destination()?);
        Some(PacketId { flow: Flow { protocol, prober, prober_port, host, port }, ip_id, flags })
    }

    /// The packet with these headers, of which `transport` is the second; `None` if it has no flow.
    pub fn from_headers(seen: &TracedHeaders, transport: &[u8]) -> Option<PacketId> {
        const FLAGS_WITH_AE: u16 = 0x1ff;
        let headers = &seen.headers;
        let family = headers.family();
        let (protocol, (prober_port, port), flags) = match headers.content {
            Content::Tcp { source, destination, .. } => {
                (Protocol::Tcp, (source, destination), be16(transport, 12)? & FLAGS_WITH_AE)
            }
            Content::Udp { source, destination } => (Protocol::Udp, (source, destination), 0),
            Content::Icmp { kind, .. } => {
                (Protocol::Icmp, echo_ports(family, kind, be16(transport, 4)?, be16(transport, 6)?)?, 0)
            }
            Content::Other => return None,
        };
        let flow = Flow { protocol, prober: headers.source, prober_port, host: headers.destination, port };
        Some(PacketId { flow, ip_id: (family == Family::Ipv4).then_some(seen.tag), flags })
    }
}

/// The ports of an echo message: the identifier is the port of the sender of the request, and the sequence number that
/// of its receiver; see [`Flow`].
fn echo_ports(family: Family, kind: u8, id: u16, seq: u16) -> Option<(Port, Port)> {
    match (family, kind) {
        (Family::Ipv4, 8) | (Family::Ipv6, 128) => Some((Port(id), Port(seq))),
        (Family::Ipv4, 0) | (Family::Ipv6, 129) => Some((Port(seq), Port(id))),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
