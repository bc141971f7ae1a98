//! The header fields of a packet that rules match.

use std::fmt;
use std::net::IpAddr;

use crate::net::Family;
use crate::net::port::Port;
use crate::wire::bytes::{be16, be32};
use crate::wire::ip_header::{IpHeader, split};
use crate::wire::tcp_flags::TcpFlags;

/// The header fields of a packet that rules match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Headers {
    /// Its source.
    pub source: IpAddr,
    /// Its destination.
    pub destination: IpAddr,
    /// The protocol's number (IANA).
    pub protocol: u8,
    /// The fields of its payload.
    pub content: Content,
}

impl fmt::Display for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Headers { source, destination, protocol, content } = self;
        write!(f, "a packet from {source} to {destination} (")?;
        match content {
            Content::Tcp { source, destination, flags } => {
                let flags = TcpFlags(*flags).six_names().join(",");
                write!(f, "TCP, port {source} to {destination}, flags {flags}")
            }
            Content::Udp { source, destination } => write!(f, "UDP, port {source} to {destination}"),
            Content::Icmp { kind, code } => write!(f, "ICMP, type {kind}, code {code}"),
            Content::Other => write!(f, "protocol {protocol}"),
        }?;
        f.write_str(")")
    }
}

/// The payload of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// A TCP segment.
    Tcp {
        /// Its source port.
        source: Port,
        /// Its destination port.
        destination: Port,
        /// Its flags: FIN is 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32. No rule can match the higher bits.
        flags: u8,
    },
    /// A UDP datagram.
    Udp {
        /// Its source port.
        source: Port,
        /// Its destination port.
        destination: Port,
    },
    /// An ICMP or ICMPv6 message.
    Icmp {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
    },
    /// Any other payload.
    Other,
}

impl Headers {
    /// The family.
    pub fn family(&self) -> Family {
        Family::from_address(self.source)
    }

    /// The headers of a packet in the other direction.
    pub fn reversed(&self) -> Headers {
        let content = match self.content {
            Content::Tcp { source, destination, flags } => {
                Content::Tcp { source: destination, destination: source, flags }
            }
            Content::Udp { source, destination } => Content::Udp { source: destination, destination: source },
            content => content,
        };
        Headers { source: self.destination, destination: self.source, content, ..*self }
    }

    /// The same segment with other flags; a packet that is not TCP stays as it is.
    pub fn with_flags(&self, flags: u8) -> Headers {
        match self.content {
            Content::Tcp { source, destination, .. } => {
                Headers { content: Content::Tcp { source, destination, flags }, ..*self }
            }
            _ => *self,
        }
    }

    /// A packet to which this one could be the answer: the one in the other direction, an echo request for its reply,
    /// and a datagram for the error that quotes it.
    pub fn request(&self) -> Headers {
        const UDP: u8 = 17;
        let reversed = self.reversed();
        match self.content {
            Content::Icmp { .. } if self.is_icmp_error() => {
                let (source, destination) = (Port(40_000), Port(33_434));
                Headers { protocol: UDP, content: Content::Udp { source, destination }, ..reversed }
            }
            Content::Icmp { .. } => {
                let kind = if self.family() == Family::Ipv4 { 8 } else { 128 };
                Headers { content: Content::Icmp { kind, code: 0 }, ..reversed }
            }
            _ => reversed,
        }
    }

    /// True for an ICMP or ICMPv6 error, which quotes another packet (RFC 792; RFC 4443, section 2.1).
    pub fn is_icmp_error(&self) -> bool {
        match (self.content, self.family()) {
            (Content::Icmp { kind, .. }, Family::Ipv4) => matches!(kind, 3 | 4 | 5 | 11 | 12),
            (Content::Icmp { kind, .. }, Family::Ipv6) => kind < 128,
            _ => false,
        }
    }
}

/// The header fields of a packet that rules match, and the numbers that distinguish it from other packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TracedHeaders {
    /// The fields that rules match.
    pub headers: Headers,
    /// IPv4 identification, or the low 16 bits of the IPv6 flow label.
    pub tag: u16,
    /// The sequence number of a TCP segment.
    pub seq: Option<u32>,
}

impl TracedHeaders {
    /// Parses the network header and the first bytes of the transport header, as a trace contains them; `None` if the
    /// network header is cut short.
    pub fn read(network: &[u8], transport: &[u8]) -> Option<TracedHeaders> {
        let ip = IpHeader::read(network)?;
        let content = match (ip.family(), ip.protocol) {
            // ICMP belongs to IPv4, and ICMPv6 to IPv6.
            (Family::Ipv6, 1) | (Family::Ipv4, 58) => Content::Other,
            (_, protocol) => Content::read(protocol, transport),
        };
        let seq = if matches!(content, Content::Tcp { .. }) { be32(transport, 4) } else { None };
        let IpHeader { source, destination, protocol, tag, .. } = ip;
        Some(TracedHeaders { headers: Headers { source, destination, protocol, content }, tag, seq })
    }

    /// Parses an IP packet; `None` if its header is cut short.
    pub fn from_packet(packet: &[u8]) -> Option<TracedHeaders> {
        let (network, transport) = split(packet);
        TracedHeaders::read(network, transport)
    }
}

impl Content {
    /// Parses the first bytes of a transport header of this protocol; one that is cut short is [`Content::Other`].
    pub fn read(protocol: u8, header: &[u8]) -> Content {
        let ports = || Some((Port(be16(header, 0)?), Port(be16(header, 2)?)));
        let content = match protocol {
            6 => ports().zip(header.get(13)).map(|((source, destination), flags)| Content::Tcp {
                source,
                destination,
                flags: flags & TcpFlags::ALL,
            }),
            17 => ports().map(|(source, destination)| Content::Udp { source, destination }),
            1 | 58 => header.first_chunk().map(|&[kind, code]| Content::Icmp { kind, code }),
            _ => None,
        };
        content.unwrap_or(Content::Other)
    }

    /// The source port; `None` for a protocol without ports.
    pub fn source_port(self) -> Option<Port> {
        match self {
            Content::Tcp { source, .. } | Content::Udp { source, .. } => Some(source),
            Content::Icmp { .. } | Content::Other => None,
        }
    }

    /// The destination port; `None` for a protocol without ports.
    pub fn destination_port(self) -> Option<Port> {
        match self {
            Content::Tcp { destination, .. } | Content::Udp { destination, .. } => Some(destination),
            Content::Icmp { .. } | Content::Other => None,
        }
    }
}
