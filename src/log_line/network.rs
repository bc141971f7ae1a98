//! The packet of a line, of any network layer.

use std::fmt;
use std::net::IpAddr;

use super::reader::TokenReader;
use super::{Arp, Ipv4, Ipv6, TcpHeader, Transport};

/// A packet: the one that matched, or the one that an ICMP error quotes (which is never ARP).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoggedPacketHeader {
    /// IPv4.
    Ipv4(Ipv4),
    /// IPv6.
    Ipv6(Ipv6),
    /// ARP, which nftables can log.
    Arp(Arp),
}

impl LoggedPacketHeader {
    pub(super) fn parse(reader: &mut TokenReader) -> Option<LoggedPacketHeader> {
        LoggedPacketHeader::parse_ip(reader).or_else(|| reader.attempt(Arp::parse).map(LoggedPacketHeader::Arp))
    }

    pub(super) fn parse_ip(reader: &mut TokenReader) -> Option<LoggedPacketHeader> {
        let ipv4 = reader.attempt(Ipv4::parse).map(LoggedPacketHeader::Ipv4);
        ipv4.or_else(|| reader.attempt(Ipv6::parse).map(LoggedPacketHeader::Ipv6))
    }

    /// The source address; `None` for an ARP packet without addresses.
    pub fn source(&self) -> Option<IpAddr> {
        match self {
            LoggedPacketHeader::Ipv4(packet) => Some(packet.source.into()),
            LoggedPacketHeader::Ipv6(packet) => Some(packet.source.into()),
            LoggedPacketHeader::Arp(arp) => arp.addresses.map(|addresses| addresses.source.into()),
        }
    }

    /// The destination address; `None` for an ARP packet without addresses.
    pub fn destination(&self) -> Option<IpAddr> {
        match self {
            LoggedPacketHeader::Ipv4(packet) => Some(packet.destination.into()),
            LoggedPacketHeader::Ipv6(packet) => Some(packet.destination.into()),
            LoggedPacketHeader::Arp(arp) => arp.addresses.map(|addresses| addresses.destination.into()),
        }
    }

    /// The payload, as far as the kernel prints it.
    pub fn transport(&self) -> Option<&Transport> {
        match self {
            LoggedPacketHeader::Ipv4(packet) => packet.transport.as_ref(),
            LoggedPacketHeader::Ipv6(packet) => packet.transport.as_ref(),
            LoggedPacketHeader::Arp(_) => None,
        }
    }

    /// The TCP header; `None` if it is cut short or another protocol.
    pub fn tcp(&self) -> Option<&TcpHeader> {
        match self.transport() {
            Some(Transport::Tcp(header)) => Some(header),
            _ => None,
        }
    }
}

impl fmt::Display for LoggedPacketHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoggedPacketHeader::Ipv4(packet) => packet.fmt(f),
            LoggedPacketHeader::Ipv6(packet) => packet.fmt(f),
            LoggedPacketHeader::Arp(packet) => packet.fmt(f),
        }
    }
}
