//! The identity of a packet in its log line or its trace: enough to find the probe that it belongs to.

use std::net::IpAddr;

use crate::log_line::{Icmp, IcmpDetail, LoggedPacketHeader, Transport};
use crate::net::port::Port;
use crate::net::{Family, Protocol};
use crate::wire::bytes::{be16, ipv4, ipv6};

/// A packet as seen by a witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketId {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Identification of the IPv4 header.
    pub ip_id: Option<u16>,
    /// Protocol, ports and flags; `None` for other protocols, and for fragments and errors.
    pub ports: Option<SeenPorts>,
    /// True for an ICMP or ICMPv6 error.
    pub is_icmp_error: bool,
}

/// The fields of a segment, a datagram or an echo message that identify it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenPorts {
    /// The protocol.
    pub protocol: Protocol,
    /// Source port; in an echo reply the sequence number.
    pub source: Port,
    /// Destination port; in an echo reply the identifier.
    pub destination: Port,
    /// Flags octet of a segment, with AE (RFC 9768) above it; 0 for other protocols.
    pub flags: u16,
}

impl PacketId {
    /// The packet of a log line; `None` for ARP.
    pub fn from_line(network: &LoggedPacketHeader) -> Option<PacketId> {
        let ip_id = match network {
            LoggedPacketHeader::Ipv4(ipv4) => Some(ipv4.id),
            LoggedPacketHeader::Ipv6(_) | LoggedPacketHeader::Arp(_) => None,
        };
        let ports = network.transport().and_then(ports_of_line);
        Some(PacketId {
            source: network.source()?,
            destination: network.destination()?,
            ip_id,
            ports,
            is_icmp_error: false,
        })
    }

    /// The packet of a trace: the network header, and the first bytes of the transport header. `None` if the network
    /// header is cut short.
    pub fn from_headers(network: &[u8], transport: &[u8]) -> Option<PacketId> {
        let (source, destination, ip_id, protocol) = match network.first()? >> 4 {
            4 => (ipv4(network, 12)?, ipv4(network, 16)?, Some(be16(network, 4)?), network[9]),
            6 => (ipv6(network, 8)?, ipv6(network, 24)?, None, network[6]),
            _ => return None,
        };
        let ports = match protocol {
            6 => tcp(transport),
            17 => udp(transport),
            1 => echo(Family::Ipv4, transport),
            58 => echo(Family::Ipv6, transport),
            _ => None,
        };
        let is_icmp_error = is_icmp_error(protocol, transport);
        Some(PacketId { source, destination, ip_id, ports, is_icmp_error })
    }
}

/// A packet's network header and its payload.
pub fn split(packet: &[u8]) -> (&[u8], &[u8]) {
    const IPV6_HEADER: usize = 40;
    let length = match packet.first() {
        Some(byte) if byte >> 4 == 6 => IPV6_HEADER,
        Some(byte) => usize::from(byte & 0xf) * 4,
        None => 0,
    };
    packet.split_at(length.min(packet.len()))
}

fn ports_of_line(transport: &Transport) -> Option<SeenPorts> {
    match transport {
        Transport::Tcp(tcp) => {
            let (source, destination, flags) = (tcp.source, tcp.destination, tcp.flags);
            Some(SeenPorts { protocol: Protocol::Tcp, source, destination, flags })
        }
        Transport::Udp(udp) => {
            let (source, destination) = (udp.source, udp.destination);
            Some(SeenPorts { protocol: Protocol::Udp, source, destination, flags: 0 })
        }
        Transport::Icmp(Icmp { family, kind, detail: IcmpDetail::Echo { id, seq }, .. }) => {
            echo_ports(*family, *kind, *id, *seq)
        }
        _ => None,
    }
}

fn tcp(header: &[u8]) -> Option<SeenPorts> {
    const FLAGS_WITH_AE: u16 = 0x1ff;
    let flags = be16(header, 12)? & FLAGS_WITH_AE;
    let (source, destination) = (Port(be16(header, 0)?), Port(be16(header, 2)?));
    Some(SeenPorts { protocol: Protocol::Tcp, source, destination, flags })
}

fn udp(header: &[u8]) -> Option<SeenPorts> {
    let (source, destination) = (Port(be16(header, 0)?), Port(be16(header, 2)?));
    Some(SeenPorts { protocol: Protocol::Udp, source, destination, flags: 0 })
}

fn echo(family: Family, header: &[u8]) -> Option<SeenPorts> {
    echo_ports(family, *header.first()?, be16(header, 4)?, be16(header, 6)?)
}

/// Treats the identifier as the port of the requester, and the sequence number as that of the responder; see
/// [`Flow`](crate::wire::reply::Flow).
fn echo_ports(family: Family, kind: u8, id: u16, seq: u16) -> Option<SeenPorts> {
    let (source, destination) = match (family, kind) {
        (Family::Ipv4, 8) | (Family::Ipv6, 128) => (Port(id), Port(seq)),
        (Family::Ipv4, 0) | (Family::Ipv6, 129) => (Port(seq), Port(id)),
        _ => return None,
    };
    Some(SeenPorts { protocol: Protocol::Icmp, source, destination, flags: 0 })
}

/// ICMP: destination unreachable, source quench, redirect, time exceeded, parameter problem (RFC 792). ICMPv6: every
/// type below 128 (RFC 4443, section 2.1).
fn is_icmp_error(protocol: u8, header: &[u8]) -> bool {
    match (protocol, header.first()) {
        (1, Some(kind)) => matches!(kind, 3 | 4 | 5 | 11 | 12),
        (58, Some(kind)) => *kind < 128,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
