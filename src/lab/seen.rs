//! What is seen of a packet in its log line or its trace: enough to tell whose it is.

use std::net::IpAddr;

use crate::log_line::Network;
use crate::port::Port;

/// A packet as a witness saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Identification of the IPv4 header.
    pub ip_id: Option<u16>,
    /// The TCP header, when it is a TCP segment.
    pub tcp: Option<SeenTcp>,
    /// Whether it is an ICMP or ICMPv6 error.
    pub is_icmp_error: bool,
}

/// A TCP header, as far as it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenTcp {
    /// Source port.
    pub source: Port,
    /// Destination port.
    pub destination: Port,
    /// Flags octet.
    pub flags: u8,
}

impl Seen {
    /// What a log line shows; none for ARP.
    pub fn from_line(network: &Network) -> Option<Seen> {
        let ip_id = match network {
            Network::Ipv4(ipv4) => Some(ipv4.id),
            Network::Ipv6(_) | Network::Arp(_) => None,
        };
        let tcp =
            network.tcp().map(|tcp| SeenTcp { source: tcp.source, destination: tcp.destination, flags: tcp.octet() });
        Some(Seen { source: network.source()?, destination: network.destination()?, ip_id, tcp, is_icmp_error: false })
    }

    /// What the headers say that a trace carries: the network header, and the first bytes of the transport header. None
    /// when they are too short for what they claim to be.
    pub fn from_headers(network: &[u8], transport: &[u8]) -> Option<Seen> {
        const TCP: u8 = 6;
        let (source, destination, ip_id, protocol) = match network.first()? >> 4 {
            4 => (ipv4(network.get(12..16)?)?, ipv4(network.get(16..20)?)?, Some(be16(network, 4)?), network[9]),
            6 => (ipv6(network.get(8..24)?)?, ipv6(network.get(24..40)?)?, None, network[6]),
            _ => return None,
        };
        let tcp = if protocol == TCP { tcp(transport) } else { None };
        let is_icmp_error = is_icmp_error(protocol, transport);
        Some(Seen { source, destination, ip_id, tcp, is_icmp_error })
    }
}

/// A packet's network header, and what is behind it.
pub fn split(packet: &[u8]) -> (&[u8], &[u8]) {
    const IPV6_HEADER: usize = 40;
    let length = match packet.first() {
        Some(byte) if byte >> 4 == 6 => IPV6_HEADER,
        Some(byte) => usize::from(byte & 0xf) * 4,
        None => 0,
    };
    packet.split_at(length.min(packet.len()))
}

fn tcp(header: &[u8]) -> Option<SeenTcp> {
    Some(SeenTcp { source: Port(be16(header, 0)?), destination: Port(be16(header, 2)?), flags: *header.get(13)? })
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

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn ipv4(bytes: &[u8]) -> Option<IpAddr> {
    Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?))
}

fn ipv6(bytes: &[u8]) -> Option<IpAddr> {
    Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?))
}

#[cfg(test)]
mod tests;
