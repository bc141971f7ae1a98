//! `TYPE= CODE= ...`: an ICMP (RFC 792) or ICMPv6 (RFC 4443) message, with the packet that an error quotes in `[ ]`.

use std::fmt;
use std::net::Ipv4Addr;

use super::reader::{TokenReader, fixed_hex};
use super::{LoggedPacketHeader, LoggedProtocol};
use crate::net::Family;

/// An ICMP or ICMPv6 message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Icmp {
    /// IPv4 for ICMP, IPv6 for ICMPv6.
    pub family: Family,
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// The further fields of this type.
    pub detail: IcmpDetail,
    /// The packet that an error quotes; `None` in an error that is itself quoted.
    pub quoted: Option<Box<LoggedPacketHeader>>,
    /// `MTU=` of the next hop, in bytes: fragmentation needed, packet too big.
    pub mtu: Option<u32>,
}

/// The fields of an ICMP type after type and code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcmpDetail {
    /// No further field.
    None,
    /// The message is shorter than its type demands.
    Incomplete {
        /// Bytes that are there.
        bytes: u32,
    },
    /// Echo request or reply.
    Echo {
        /// Identifier.
        id: u16,
        /// Sequence number.
        seq: u16,
    },
    /// `PARAMETER=`: the byte at fault (IPv4).
    Parameter(u8),
    /// `GATEWAY=`: the better router (IPv4).
    Gateway(Ipv4Addr),
    /// `POINTER=`: the byte at fault (IPv6).
    Pointer(u32),
}

impl Icmp {
    pub(super) fn parse(protocol: LoggedProtocol, reader: &mut TokenReader) -> Option<Icmp> {
        Some(Icmp {
            family: if protocol == LoggedProtocol::Icmpv6 { Family::Ipv6 } else { Family::Ipv4 },
            kind: reader.decimal("TYPE=")?,
            code: reader.decimal("CODE=")?,
            detail: IcmpDetail::parse(reader),
            quoted: reader.quoted(parse_quoted).map(Box::new),
            mtu: reader.decimal("MTU="),
        })
    }

    /// The value of `PROTO=`.
    pub fn protocol(&self) -> LoggedProtocol {
        self.family.pick(LoggedProtocol::Icmp, LoggedProtocol::Icmpv6)
    }
}

impl IcmpDetail {
    fn parse(reader: &mut TokenReader) -> IcmpDetail {
        if let Some(bytes) = reader.incomplete() {
            return IcmpDetail::Incomplete { bytes };
        }
        if let Some((id, seq)) = reader.attempt(|ahead| Some((ahead.decimal("ID=")?, ahead.decimal("SEQ=")?))) {
            return IcmpDetail::Echo { id, seq };
        }
        let parameter = reader.decimal("PARAMETER=").map(IcmpDetail::Parameter);
        let gateway = || reader.decimal("GATEWAY=").map(IcmpDetail::Gateway);
        let pointer =
            |reader: &mut TokenReader| reader.value("POINTER=", |text| fixed_hex(text, 8, str::to_ascii_lowercase));
        parameter.or_else(gateway).or_else(|| pointer(reader).map(IcmpDetail::Pointer)).unwrap_or(IcmpDetail::None)
    }
}

/// `[..] `
fn parse_quoted(reader: &mut TokenReader) -> Option<LoggedPacketHeader> {
    reader.literal("[")?;
    let network = LoggedPacketHeader::parse_ip(reader)?;
    reader.word("]")?;
    Some(network)
}

impl fmt::Display for Icmp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TYPE={} CODE={} {}", self.kind, self.code, self.detail)?;
        self.quoted.iter().try_for_each(|quoted| write!(f, "[{quoted}] "))?;
        self.mtu.iter().try_for_each(|mtu| write!(f, "MTU={mtu} "))
    }
}

impl fmt::Display for IcmpDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IcmpDetail::None => Ok(()),
            IcmpDetail::Incomplete { bytes } => write!(f, "INCOMPLETE [{bytes} bytes] "),
            IcmpDetail::Echo { id, seq } => write!(f, "ID={id} SEQ={seq} "),
            IcmpDetail::Parameter(octet) => write!(f, "PARAMETER={octet} "),
            IcmpDetail::Gateway(router) => write!(f, "GATEWAY={router} "),
            IcmpDetail::Pointer(offset) => write!(f, "POINTER={offset:08x} "),
        }
    }
}
