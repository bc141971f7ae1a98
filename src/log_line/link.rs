//! The link-layer header of a line: `MAC=`, or `MACSRC= MACDST= MACPROTO=` with `--log-macdecode`.

use std::fmt;
use std::net::Ipv4Addr;

use super::reader::{TokenReader, canonical, fixed_hex, hex_bytes};
use crate::net::Mac;

/// A link-layer header, in the form in which it was printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkHeader {
    /// `MAC=`: the header as it precedes the packet.
    Plain {
        /// Its bytes: 14 on Ethernet (destination, source, ethertype); empty on a TUN interface.
        bytes: Vec<u8>,
        /// `TUNNEL=`: the outer addresses on a SIT tunnel.
        tunnel: Option<Tunnel>,
    },
    /// `MACSRC= MACDST= MACPROTO=` (`--log-macdecode`).
    Decoded {
        /// The header.
        mac: MacHeader,
        /// `VPROTO= VID=`: the tag, if there is one.
        vlan: Option<Vlan>,
    },
}

/// An Ethernet header (IEEE 802.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MacHeader {
    /// Destination address.
    pub destination: Mac,
    /// Source address.
    pub source: Mac,
    /// Ethertype: 0x0800 IPv4, 0x86dd IPv6, 0x0806 ARP.
    pub ethertype: u16,
}

/// A VLAN tag (IEEE 802.1Q).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vlan {
    /// Ethertype of the tag: 0x8100, or 0x88a8 for a service tag.
    pub protocol: u16,
    /// The tag control information. The kernel calls it `VID` and prints all 16 bits, priority included.
    pub tag: u16,
}

/// The outer addresses of a SIT tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnel {
    /// Outer source.
    pub source: Ipv4Addr,
    /// Outer destination.
    pub destination: Ipv4Addr,
}

impl LinkHeader {
    pub(super) fn parse(reader: &mut TokenReader) -> Option<LinkHeader> {
        reader.attempt(LinkHeader::parse_decoded).or_else(|| reader.attempt(LinkHeader::parse_plain))
    }

    fn parse_decoded(reader: &mut TokenReader) -> Option<LinkHeader> {
        let source = reader.decimal("MACSRC=")?;
        let destination = reader.decimal("MACDST=")?;
        let vlan = reader.attempt(Vlan::parse);
        let ethertype = reader.value("MACPROTO=", hex16)?;
        Some(LinkHeader::Decoded { mac: MacHeader { destination, source, ethertype }, vlan })
    }

    fn parse_plain(reader: &mut TokenReader) -> Option<LinkHeader> {
        let bytes = reader.value("MAC=", colon_hex)?;
        Some(LinkHeader::Plain { bytes, tunnel: reader.value("TUNNEL=", Tunnel::parse) })
    }

    /// The Ethernet header; `None` if it is incomplete.
    pub fn mac(&self) -> Option<MacHeader> {
        match self {
            LinkHeader::Plain { bytes, .. } => MacHeader::from_bytes(bytes),
            LinkHeader::Decoded { mac, .. } => Some(*mac),
        }
    }
}

impl MacHeader {
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<MacHeader> {
        let (destination, rest) = bytes.split_first_chunk()?;
        let (source, rest) = rest.split_first_chunk()?;
        let ethertype = u16::from_be_bytes(*rest.first_chunk()?);
        Some(MacHeader { destination: Mac(*destination), source: Mac(*source), ethertype })
    }
}

impl Vlan {
    fn parse(reader: &mut TokenReader) -> Option<Vlan> {
        Some(Vlan { protocol: reader.value("VPROTO=", hex16)?, tag: reader.decimal("VID=")? })
    }
}

impl Tunnel {
    fn parse(text: &str) -> Option<Tunnel> {
        let (source, destination) = text.split_once("->")?;
        Some(Tunnel { source: canonical(source)?, destination: canonical(destination)? })
    }
}

fn hex16(text: &str) -> Option<u16> {
    u16::try_from(fixed_hex(text, 4, str::to_ascii_lowercase)?).ok()
}

fn colon_hex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let pair = |pair: &str| hex_bytes(pair, str::to_ascii_lowercase).filter(|bytes| bytes.len() == 1);
    Some(text.split(':').map(pair).collect::<Option<Vec<_>>>()?.concat())
}

impl fmt::Display for LinkHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkHeader::Plain { bytes, tunnel } => {
                let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                write!(f, "MAC={} ", pairs.join(":"))?;
                tunnel.iter().try_for_each(|ends| write!(f, "TUNNEL={}->{} ", ends.source, ends.destination))
            }
            LinkHeader::Decoded { mac, vlan } => {
                write!(f, "MACSRC={} MACDST={} ", mac.source, mac.destination)?;
                vlan.iter().try_for_each(|vlan| write!(f, "VPROTO={:04x} VID={} ", vlan.protocol, vlan.tag))?;
                write!(f, "MACPROTO={:04x} ", mac.ethertype)
            }
        }
    }
}
