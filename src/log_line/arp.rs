//! `ARP HTYPE= PTYPE= OPCODE= ...`: an ARP packet (RFC 826), as nftables logs it.

use std::fmt;
use std::net::Ipv4Addr;

use super::reader::{TokenReader, canonical, fixed_hex};
use crate::net::Mac;

/// An ARP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arp {
    /// Hardware type: 1 is Ethernet.
    pub hardware: u16,
    /// Protocol type: 0x0800 is IPv4.
    pub protocol: u16,
    /// 1 request, 2 reply.
    pub opcode: u16,
    /// The addresses; `None` unless the types are Ethernet and IPv4.
    pub addresses: Option<ArpAddresses>,
}

/// The four addresses of an ARP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArpAddresses {
    /// Sender hardware address.
    pub source_mac: Mac,
    /// Sender protocol address.
    pub source: Ipv4Addr,
    /// Target hardware address; all zero in a request.
    pub destination_mac: Mac,
    /// Target protocol address.
    pub destination: Ipv4Addr,
}

impl Arp {
    pub(super) fn parse(reader: &mut TokenReader) -> Option<Arp> {
        reader.literal("ARP ")?;
        Some(Arp {
            hardware: reader.decimal("HTYPE=")?,
            protocol: reader.value("PTYPE=0x", |text| fixed_hex(text, 4, str::to_ascii_lowercase))? as u16,
            opcode: reader.last_value("OPCODE=", canonical)?,
            addresses: reader.attempt(ArpAddresses::parse),
        })
    }
}

impl ArpAddresses {
    fn parse(reader: &mut TokenReader) -> Option<ArpAddresses> {
        Some(ArpAddresses {
            source_mac: reader.decimal(" MACSRC=")?,
            source: reader.decimal("IPSRC=")?,
            destination_mac: reader.decimal("MACDST=")?,
            destination: reader.last_value("IPDST=", canonical)?,
        })
    }
}

impl fmt::Display for Arp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ARP HTYPE={} PTYPE=0x{:04x} OPCODE={}", self.hardware, self.protocol, self.opcode)?;
        self.addresses.iter().try_for_each(|addresses| addresses.fmt(f))
    }
}

impl fmt::Display for ArpAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " MACSRC={} IPSRC={}", self.source_mac, self.source)?;
        write!(f, " MACDST={} IPDST={}", self.destination_mac, self.destination)
    }
}
