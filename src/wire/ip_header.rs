//! The header of an IP packet; `None` if the packet ends before its header does.

use std::net::IpAddr;

use crate::net::Family;
use crate::wire::bytes::{be16, ipv4, ipv6};

const IPV6_HEADER: usize = 40;

/// The header of an IP packet, without IPv6 extension headers. Lengths are as the header states them.
#[derive(Debug, Clone, Copy)]
pub struct IpHeader {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// IPv4 identification, or the low 16 bits of the IPv6 flow label.
    pub tag: u16,
    /// TTL or hop limit.
    pub ttl: u8,
    /// The protocol number (IANA) of the payload, or of the first extension header.
    pub protocol: u8,
    /// Length of the header, in bytes.
    pub header_length: usize,
    /// Length of the packet, in bytes.
    pub length: usize,
    /// IPv4 fragment offset, in units of 8 bytes.
    pub fragment_offset: u16,
    /// IPv4 flag MF.
    pub more_fragments: bool,
}

impl IpHeader {
    /// Parses the header of either family.
    pub fn read(packet: &[u8]) -> Option<IpHeader> {
        match packet.first()? >> 4 {
            4 => IpHeader::read_v4(packet),
            6 => IpHeader::read_v6(packet),
            _ => None,
        }
    }

    /// Parses an IPv4 header (RFC 791, section 3.1), without a check of its version field.
    pub fn read_v4(packet: &[u8]) -> Option<IpHeader> {
        let (source, destination) = (ipv4(packet, 12)?, ipv4(packet, 16)?);
        let fragment = be16(packet, 6)?;
        Some(IpHeader {
            source,
            destination,
            tag: be16(packet, 4)?,
            ttl: packet[8],
            protocol: packet[9],
            header_length: usize::from(packet[0] & 0xf) * 4,
            length: be16(packet, 2)?.into(),
            fragment_offset: fragment & 0x1fff,
            more_fragments: fragment & 0x2000 != 0,
        })
    }

    /// Parses an IPv6 header (RFC 8200, section 3), without a check of its version field.
    pub fn read_v6(packet: &[u8]) -> Option<IpHeader> {
        Some(IpHeader {
            source: ipv6(packet, 8)?,
            destination: ipv6(packet, 24)?,
            tag: be16(packet, 2)?,
            ttl: packet[7],
            protocol: packet[6],
            header_length: IPV6_HEADER,
            length: IPV6_HEADER + usize::from(be16(packet, 4)?),
            fragment_offset: 0,
            more_fragments: false,
        })
    }

    /// True if it is of a fragment: more follow, or it is a later one itself (RFC 791, section 3.1; RFC 8200, section
    /// 4.5).
    pub fn is_fragment(&self) -> bool {
        const IPV6_FRAGMENT_HEADER: u8 = 44;
        let is_of_ipv6 = self.family() == Family::Ipv6 && self.protocol == IPV6_FRAGMENT_HEADER;
        is_of_ipv6 || self.more_fragments || self.fragment_offset != 0
    }

    /// The family.
    pub fn family(&self) -> Family {
        Family::from_address(self.source)
    }
}

/// The network header and the payload of a packet.
pub fn split(packet: &[u8]) -> (&[u8], &[u8]) {
    let length = match packet.first() {
        Some(byte) if byte >> 4 == 6 => IPV6_HEADER,
        Some(byte) => usize::from(byte & 0xf) * 4,
        None => 0,
    };
    packet.split_at(length.min(packet.len()))
}
