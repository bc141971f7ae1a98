//! A packet at the beginning of its trace: the fields that rules match, and the numbers that distinguish it from all
//! others.

use std::net::IpAddr;

use crate::net::port::Port;
use crate::wire::bytes::{be16, be32, ipv4, ipv6};
use crate::wire::headers::{Content, Headers};

/// The content of the first event of a packet's trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TracedHeaders {
    /// The fields that rules match.
    pub headers: Headers,
    /// IPv4 identification, or the low 16 bits of the IPv6 flow label.
    pub tag: u16,
    /// The sequence number of a TCP segment.
    pub seq: Option<u32>,
}

impl TracedHeaders {
    /// Parses the network header and the first bytes of the transport header. `None` if they are shorter than they
    /// claim.
    pub fn read(network: &[u8], transport: &[u8]) -> Option<TracedHeaders> {
        let (source, destination, tag, protocol): (IpAddr, IpAddr, u16, u8) = match network.first()? >> 4 {
            4 => (ipv4(network, 12)?, ipv4(network, 16)?, be16(network, 4)?, *network.get(9)?),
            6 => (ipv6(network, 8)?, ipv6(network, 24)?, be16(network, 2)?, *network.get(6)?),
            _ => return None,
        };
        let content = content(source.is_ipv4(), protocol, transport);
        let seq = if matches!(content, Content::Tcp { .. }) { be32(transport, 4) } else { None };
        Some(TracedHeaders { headers: Headers { source, destination, protocol, content }, tag, seq })
    }
}

/// Parses the transport header; if it is cut short, the packet has none of the fields that rules match. Protocol 1 is
/// ICMP in IPv4 only, and 58 in IPv6 only.
fn content(is_ipv4: bool, protocol: u8, transport: &[u8]) -> Content {
    match protocol {
        6 => tcp(transport),
        17 => udp(transport),
        1 if is_ipv4 => icmp(transport),
        58 if !is_ipv4 => icmp(transport),
        _ => None,
    }
    .unwrap_or(Content::Other)
}

fn tcp(header: &[u8]) -> Option<Content> {
    /// No rule matches CWR and ECE.
    const SIX_FLAGS: u8 = 0x3f;
    let flags = header.get(13)? & SIX_FLAGS;
    Some(Content::Tcp { source: Port(be16(header, 0)?), destination: Port(be16(header, 2)?), flags })
}

fn udp(header: &[u8]) -> Option<Content> {
    Some(Content::Udp { source: Port(be16(header, 0)?), destination: Port(be16(header, 2)?) })
}

fn icmp(header: &[u8]) -> Option<Content> {
    Some(Content::Icmp { kind: *header.first()?, code: *header.get(1)? })
}
