//! `PROTO=` and the fields after it.

use std::fmt;

use super::reader::{TokenReader, canonical};
use super::{Icmp, TcpHeader};
use crate::net::port::Port;

/// The payload of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp(TcpHeader),
    /// UDP or UDP-Lite.
    Udp(UdpHeader),
    /// ICMP or ICMPv6.
    Icmp(Icmp),
    /// An authentication header, in IPv4.
    Ah {
        /// Security parameters index.
        spi: u32,
    },
    /// An ESP header, in IPv4.
    Esp {
        /// Security parameters index.
        spi: u32,
    },
    /// `INCOMPLETE`: the header is cut short.
    Incomplete {
        /// The protocol.
        protocol: LoggedProtocol,
        /// Bytes that are there.
        bytes: u32,
    },
    /// The protocol alone: a later fragment, or a protocol that the kernel prints by its number only.
    Named(LoggedProtocol),
}

/// The value of `PROTO=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoggedProtocol {
    /// `TCP`
    Tcp,
    /// `UDP`
    Udp,
    /// `UDPLITE`
    UdpLite,
    /// `ICMP`
    Icmp,
    /// `ICMPv6`
    Icmpv6,
    /// `AH`
    Ah,
    /// `ESP`
    Esp,
    /// Any other, by its IANA number: 132 is SCTP, 47 is GRE.
    Number(u8),
}

/// A UDP (RFC 768) or UDP-Lite (RFC 3828) header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpHeader {
    /// True for UDP-Lite.
    pub lite: bool,
    /// Source port.
    pub source: Port,
    /// Destination port.
    pub destination: Port,
    /// Length in bytes, header included; for UDP-Lite the checksum coverage.
    pub length: u16,
}

impl Transport {
    pub(super) fn parse(reader: &mut TokenReader) -> Option<Transport> {
        reader.attempt(|ahead| {
            let protocol = ahead.value("PROTO=", LoggedProtocol::parse)?;
            if let Some(transport) = ahead.attempt(|ahead| Transport::parse_header(protocol, ahead)) {
                return Some(transport);
            }
            if let Some(bytes) = ahead.incomplete() {
                return Some(Transport::Incomplete { protocol, bytes });
            }
            let is_all = matches!(protocol, LoggedProtocol::Number(_)) || ahead.at_end_of_packet();
            is_all.then_some(Transport::Named(protocol))
        })
    }

    fn parse_header(protocol: LoggedProtocol, reader: &mut TokenReader) -> Option<Transport> {
        match protocol {
            LoggedProtocol::Tcp => TcpHeader::parse(reader).map(Transport::Tcp),
            LoggedProtocol::Udp => UdpHeader::parse(false, reader).map(Transport::Udp),
            LoggedProtocol::UdpLite => UdpHeader::parse(true, reader).map(Transport::Udp),
            LoggedProtocol::Icmp | LoggedProtocol::Icmpv6 => Icmp::parse(protocol, reader).map(Transport::Icmp),
            LoggedProtocol::Ah => reader.hex("SPI=0x").map(|spi| Transport::Ah { spi }),
            LoggedProtocol::Esp => reader.hex("SPI=0x").map(|spi| Transport::Esp { spi }),
            LoggedProtocol::Number(_) => None,
        }
    }

    /// The value of `PROTO=`.
    pub fn protocol(&self) -> LoggedProtocol {
        match self {
            Transport::Tcp(_) => LoggedProtocol::Tcp,
            Transport::Udp(header) if header.lite => LoggedProtocol::UdpLite,
            Transport::Udp(_) => LoggedProtocol::Udp,
            Transport::Icmp(message) => message.protocol(),
            Transport::Ah { .. } => LoggedProtocol::Ah,
            Transport::Esp { .. } => LoggedProtocol::Esp,
            Transport::Incomplete { protocol, .. } | Transport::Named(protocol) => *protocol,
        }
    }
}

impl LoggedProtocol {
    const WORDS: [(LoggedProtocol, &'static str); 7] = [
        (LoggedProtocol::Tcp, "TCP"),
        (LoggedProtocol::Udp, "UDP"),
        (LoggedProtocol::UdpLite, "UDPLITE"),
        (LoggedProtocol::Icmp, "ICMP"),
        (LoggedProtocol::Icmpv6, "ICMPv6"),
        (LoggedProtocol::Ah, "AH"),
        (LoggedProtocol::Esp, "ESP"),
    ];

    fn parse(text: &str) -> Option<LoggedProtocol> {
        let named = LoggedProtocol::WORDS.iter().find(|(_, word)| *word == text).map(|(protocol, _)| *protocol);
        named.or_else(|| canonical(text).map(LoggedProtocol::Number))
    }
}

impl fmt::Display for LoggedProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, LoggedProtocol::WORDS.iter().find(|(protocol, _)| protocol == self)) {
            (LoggedProtocol::Number(number), _) => number.fmt(f),
            (_, Some((_, word))) => f.pad(word),
            (_, None) => unreachable!("every named protocol has a word"),
        }
    }
}

impl UdpHeader {
    fn parse(lite: bool, reader: &mut TokenReader) -> Option<UdpHeader> {
        Some(UdpHeader {
            lite,
            source: Port(reader.decimal("SPT=")?),
            destination: Port(reader.decimal("DPT=")?),
            length: reader.decimal("LEN=")?,
        })
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PROTO={} ", self.protocol())?;
        match self {
            Transport::Tcp(header) => header.fmt(f),
            Transport::Udp(udp) => write!(f, "SPT={} DPT={} LEN={} ", udp.source, udp.destination, udp.length),
            Transport::Icmp(message) => message.fmt(f),
            Transport::Ah { spi } | Transport::Esp { spi } => write!(f, "SPI=0x{spi:x} "),
            Transport::Incomplete { bytes, .. } => write!(f, "INCOMPLETE [{bytes} bytes] "),
            Transport::Named(_) => Ok(()),
        }
    }
}
