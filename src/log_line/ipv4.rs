//! `SRC= DST= LEN= TOS= PREC= TTL= ID= ...`: an IPv4 header (RFC 791).

use std::fmt;
use std::net::Ipv4Addr;

use super::Transport;
use super::reader::{TokenReader, canonical, fixed_hex};

/// An IPv4 packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ipv4 {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Total length, in bytes, header included. More than 65535 for a packet that is not segmented yet.
    pub length: u32,
    /// The TOS octet without its lowest bit: the kernel prints it through the masks of RFC 1349, `TOS=` 0x1e and
    /// `PREC=` 0xe0, so of the two ECN bits only the upper one is printed.
    pub tos: u8,
    /// Time to live.
    pub ttl: u8,
    /// Identification.
    pub id: u16,
    /// The reserved bit of the fragment field, which the kernel calls `CE`.
    pub reserved_bit: bool,
    /// `DF`: do not fragment.
    pub dont_fragment: bool,
    /// `MF`: more fragments follow.
    pub more_fragments: bool,
    /// `FRAG:`: offset of a later fragment, in units of 8 bytes; 0 for the first.
    pub fragment_offset: u16,
    /// `OPT (..)`: the options (`--log-ip-options`), when there are any.
    pub options: Option<Vec<u8>>,
    /// The payload.
    pub transport: Option<Transport>,
}

impl Ipv4 {
    /// The differentiated services code point (RFC 2474).
    pub fn dscp(&self) -> u8 {
        self.tos >> 2
    }

    pub(super) fn parse(reader: &mut TokenReader) -> Option<Ipv4> {
        Some(Ipv4 {
            source: reader.decimal("SRC=")?,
            destination: reader.decimal("DST=")?,
            length: reader.decimal("LEN=")?,
            tos: masked(reader, "TOS=0x", TOS_MASK)? | masked(reader, "PREC=0x", PRECEDENCE_MASK)?,
            ttl: reader.decimal("TTL=")?,
            id: reader.decimal("ID=")?,
            reserved_bit: reader.word("CE").is_some(),
            dont_fragment: reader.word("DF").is_some(),
            more_fragments: reader.word("MF").is_some(),
            fragment_offset: reader.value("FRAG:", later_fragment).unwrap_or_default(),
            options: reader.options(),
            transport: Transport::parse(reader),
        })
    }
}

/// `IPTOS_TOS_MASK` of linux/ip.h.
const TOS_MASK: u8 = 0x1e;
/// `IPTOS_PREC_MASK` of linux/ip.h.
const PRECEDENCE_MASK: u8 = 0xe0;

fn masked(reader: &mut TokenReader, key: &str, mask: u8) -> Option<u8> {
    let octet = reader.value(key, |text| fixed_hex(text, 2, str::to_ascii_uppercase))? as u8;
    Some(octet).filter(|octet| octet & !mask == 0)
}

fn later_fragment(text: &str) -> Option<u16> {
    canonical(text).filter(|offset| *offset != 0)
}

impl fmt::Display for Ipv4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tos, precedence) = (self.tos & TOS_MASK, self.tos & PRECEDENCE_MASK);
        write!(f, "SRC={} DST={} LEN={} ", self.source, self.destination, self.length)?;
        write!(f, "TOS=0x{tos:02X} PREC=0x{precedence:02X} TTL={} ID={} ", self.ttl, self.id)?;
        let bits = [(self.reserved_bit, "CE "), (self.dont_fragment, "DF "), (self.more_fragments, "MF ")];
        bits.iter().filter(|(set, _)| *set).try_for_each(|(_, word)| f.write_str(word))?;
        if self.fragment_offset != 0 {
            write!(f, "FRAG:{} ", self.fragment_offset)?;
        }
        self.options.iter().try_for_each(|options| emit_options(f, options))?;
        self.transport.iter().try_for_each(|transport| transport.fmt(f))
    }
}

/// Prints `OPT (..) `, for both IPv4 and TCP.
pub(super) fn emit_options(f: &mut fmt::Formatter<'_>, options: &[u8]) -> fmt::Result {
    f.write_str("OPT (")?;
    options.iter().try_for_each(|byte| write!(f, "{byte:02X}"))?;
    f.write_str(") ")
}
