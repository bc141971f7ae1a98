//! Parses frames from the host. Frames are not trusted: no content makes the parser panic or read past the frame's end.
//! The parser draws no conclusions; [`scan::interpret`](crate::probe::scan::interpret) derives port states from its results.

use std::net::IpAddr;

use pnet_packet::Packet;
use pnet_packet::arp::{ArpOperations, ArpPacket};
use pnet_packet::ethernet::{EtherTypes, EthernetPacket};
use pnet_packet::icmp::IcmpPacket;
use pnet_packet::icmpv6::Icmpv6Packet;
use pnet_packet::icmpv6::ndp::{NdpOptionTypes, NeighborAdvertPacket};
use pnet_packet::tcp::TcpPacket;
use pnet_packet::udp::UdpPacket;

use crate::net::port::Port;
use crate::net::{Family, Mac, Protocol};
use crate::wire::bytes::{be16, be32};
use crate::wire::ip_header::IpHeader;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// One frame from the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Source of the Ethernet header; `None` on a link without one.
    pub mac: Option<Mac>,
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// TTL or hop limit; 0 for ARP, which has neither.
    pub ttl: u8,
    /// The payload.
    pub body: Body,
}

/// The payload of a frame, as far as the lab needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A TCP segment.
    Tcp(TcpSegment),
    /// A UDP datagram.
    Datagram(Datagram),
    /// An ICMP or ICMPv6 echo reply.
    EchoReply(Echo),
    /// An ICMP or ICMPv6 error that quotes a TCP segment, a UDP datagram or an echo request.
    Unreachable(IcmpError),
    /// An ARP reply or a neighbour advertisement.
    Neighbour(Neighbour),
    /// Any other payload.
    Other,
}

/// A TCP header (RFC 9293, section 3.1) and its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpSegment {
    /// Source port.
    pub source: Port,
    /// Destination port.
    pub destination: Port,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Flags octet: CWR, ECE, URG, ACK, PSH, RST, SYN, FIN from the high bit down.
    pub flags: u8,
    /// Window, in bytes, not scaled.
    pub window: u16,
    /// True if it has the window scale option (RFC 7323, section 2.2).
    pub scales: bool,
    /// The payload.
    pub payload: Vec<u8>,
}

/// A UDP header (RFC 768).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    /// Source port.
    pub source: Port,
    /// Destination port.
    pub destination: Port,
}

/// An ICMP or ICMPv6 echo message (RFC 792; RFC 4443, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo {
    /// Identifier.
    pub id: u16,
    /// Sequence number.
    pub seq: u16,
}

/// An ICMP error (RFC 792) or ICMPv6 error (RFC 4443) and the packet that it quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpError {
    /// ICMP type.
    pub kind: u8,
    /// ICMP code.
    pub code: u8,
    /// Source address of the quoted packet.
    pub quoted_source: IpAddr,
    /// Destination address of the quoted packet.
    pub quoted_destination: IpAddr,
    /// Protocol of the quoted packet.
    pub protocol: Protocol,
    /// Source port of the quoted packet; in an echo request the identifier, see [`Flow::prober_port`].
    pub source: Port,
    /// Destination port of the quoted packet; in an echo request the sequence number.
    pub destination: Port,
    /// Sequence number of the quoted packet; `None` unless it is TCP.
    pub seq: Option<u32>,
}

/// The claim of an ARP reply (RFC 826) or a neighbour advertisement (RFC 4861, section 4.4): this MAC address has this
/// IP address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The claimed address.
    pub address: IpAddr,
    /// The Ethernet address that claims it: sender hardware address, or target link-layer address option.
    pub mac: Option<Mac>,
    /// The target hardware address of the ARP reply.
    pub asker: Option<Mac>,
}

/// The probe that a reply must belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The protocol.
    pub protocol: Protocol,
    /// The prober's address.
    pub prober: IpAddr,
    /// The prober's port; for ICMP, which has none, the identifier of the echo request. Conntrack distinguishes flows
    /// by it (`icmp_pkt_to_tuple` in net/netfilter/nf_conntrack_proto_icmp.c).
    pub prober_port: Port,
    /// The host's address.
    pub host: IpAddr,
    /// The probed port; for ICMP the sequence number of the echo request, which is 0.
    pub port: Port,
}

impl Flow {
    /// The family of its addresses.
    pub fn family(&self) -> Family {
        Family::from_address(self.prober)
    }
}

impl Reply {
    /// Parses an Ethernet frame; `None` if it is not IP, ARP or NDP, or its headers are cut short.
    pub fn from_ethernet(frame: &[u8]) -> Option<Reply> {
        let ethernet = EthernetPacket::new(frame)?;
        let mac = Mac(ethernet.get_source().octets());
        match ethernet.get_ethertype() {
            EtherTypes::Arp => arp(mac, ethernet.payload()),
            EtherTypes::Ipv4 | EtherTypes::Ipv6 => Reply::from_ip(ethernet.payload()).map(|reply| reply.seen_from(mac)),
            _ => None,
        }
    }

    /// Parses an IP packet; `None` if its headers are cut short.
    pub fn from_ip(packet: &[u8]) -> Option<Reply> {
        let (IpHeader { source, destination, ttl, protocol, .. }, payload) = ip(packet)?;
        Some(Reply { mac: None, source, destination, ttl, body: body(protocol, payload) })
    }

    fn seen_from(self, mac: Mac) -> Reply {
        Reply { mac: Some(mac), ..self }
    }

    /// True if this reply belongs to the probe that was sent on `flow` with sequence number `seq`, by nmap's rules: a
    /// segment or a datagram must have both addresses and both ports mirrored (sequence numbers are ignored), an echo
    /// reply the identifier; an ICMP error may come from any host but must quote the flow and, for a segment, the
    /// sequence number.
    pub fn answers(&self, flow: &Flow, seq: u32) -> bool {
        let quotes = |error: &IcmpError| error.seq.is_none_or(|quoted| quoted == seq);
        let fits = if let Body::Unreachable(error) = &self.body { quotes(error) } else { true };
        fits && self.destination == flow.prober && self.flow() == Some(*flow)
    }

    /// The flow that this reply would answer, seen from the prober.
    pub fn flow(&self) -> Option<Flow> {
        let flow = |protocol, prober_port, port| {
            Some(Flow { protocol, prober: self.destination, prober_port, host: self.source, port })
        };
        match &self.body {
            Body::Tcp(segment) => flow(Protocol::Tcp, segment.destination, segment.source),
            Body::Datagram(datagram) => flow(Protocol::Udp, datagram.destination, datagram.source),
            Body::EchoReply(echo) => flow(Protocol::Icmp, Port(echo.id), Port(echo.seq)),
            Body::Unreachable(error) => Some(error.flow()),
            Body::Neighbour(_) | Body::Other => None,
        }
    }
}

impl Flow {
    /// The flow in the other direction.
    pub fn reversed(self) -> Flow {
        let Flow { protocol, prober, prober_port, host, port } = self;
        Flow { protocol, prober: host, prober_port: port, host: prober, port: prober_port }
    }
}

impl IcmpError {
    fn flow(&self) -> Flow {
        Flow {
            protocol: self.protocol,
            prober: self.quoted_source,
            prober_port: self.source,
            host: self.quoted_destination,
            port: self.destination,
        }
    }
}

/// The header of an IP packet and its payload, cut to the length in the header. A later fragment has no transport header, so
/// it is ignored (nmap drops it, too). Extension headers are not parsed: neither the lab nor Linux's answers contain any.
fn ip(packet: &[u8]) -> Option<(IpHeader, &[u8])> {
    const SHORTEST: usize = 20;
    let header = IpHeader::read(packet)?;
    let payload = packet.get(header.header_length..header.length.min(packet.len()))?;
    (header.header_length >= SHORTEST && header.fragment_offset == 0).then_some((header, payload))
}

fn body(protocol: u8, payload: &[u8]) -> Body {
    match protocol {
        TCP => segment(payload).map(Body::Tcp),
        UDP => datagram(payload).map(Body::Datagram),
        ICMP => icmp(payload),
        ICMPV6 => icmpv6(payload),
        _ => None,
    }
    .unwrap_or(Body::Other)
}

fn segment(bytes: &[u8]) -> Option<TcpSegment> {
    let tcp = TcpPacket::new(bytes)?;
    let header_len = usize::from(tcp.get_data_offset()) * 4;
    if header_len < 20 || header_len > bytes.len() {
        return None;
    }
    Some(TcpSegment {
        source: Port(tcp.get_source()),
        destination: Port(tcp.get_destination()),
        seq: tcp.get_sequence(),
        ack: tcp.get_acknowledgement(),
        flags: tcp.get_flags(),
        window: tcp.get_window(),
        scales: scales(&bytes[20..header_len]),
        payload: bytes[header_len..].to_vec(),
    })
}

/// True if the window scale is among these options of a TCP header.
fn scales(options: &[u8]) -> bool {
    match options {
        [3, 3, _, ..] => true,
        [1, rest @ ..] => scales(rest),
        [kind, len, ..] if *kind != 0 && *len >= 2 => options.get(usize::from(*len)..).is_some_and(scales),
        _ => false,
    }
}

fn datagram(bytes: &[u8]) -> Option<Datagram> {
    let udp = UdpPacket::new(bytes)?;
    Some(Datagram { source: Port(udp.get_source()), destination: Port(udp.get_destination()) })
}

/// An ICMP message of type 3 or 11 that quotes a probe, or an echo reply.
fn icmp(bytes: &[u8]) -> Option<Body> {
    let icmp = IcmpPacket::new(bytes)?;
    let (kind, code) = (icmp.get_icmp_type().0, icmp.get_icmp_code().0);
    match kind {
        0 => echo(bytes).map(Body::EchoReply),
        3 | 11 => quoted(kind, code, bytes.get(8..)?),
        _ => None,
    }
}

fn echo(bytes: &[u8]) -> Option<Echo> {
    Some(Echo { id: be16(bytes, 4)?, seq: be16(bytes, 6)? })
}

/// An ICMPv6 error (type below 128, RFC 4443 section 2.1) that quotes a probe, an echo reply, or a neighbour advertisement.
fn icmpv6(bytes: &[u8]) -> Option<Body> {
    let icmp = Icmpv6Packet::new(bytes)?;
    let (kind, code) = (icmp.get_icmpv6_type().0, icmp.get_icmpv6_code().0);
    match kind {
        129 => echo(bytes).map(Body::EchoReply),
        136 => advertisement(bytes).map(Body::Neighbour),
        0..=127 => quoted(kind, code, bytes.get(8..)?),
        _ => None,
    }
}

/// RFC 792 promises the quoted header and 8 bytes: both ports and the sequence number; or a whole echo request. A quote is
/// shorter than the length in its header, so the available bytes are its payload.
fn quoted(kind: u8, code: u8, quote: &[u8]) -> Option<Body> {
    let (header, bytes) = ip(quote)?;
    let pair = |at| Some((Port(be16(bytes, at)?), Port(be16(bytes, at + 2)?)));
    let (ports, numbers, seq) = (pair(0)?, pair(4)?, be32(bytes, 4));
    let (protocol, (source, destination), seq) = match (header.protocol, bytes[0]) {
        (TCP, _) => (Protocol::Tcp, ports, seq),
        (UDP, _) => (Protocol::Udp, ports, None),
        (ICMP, 8) | (ICMPV6, 128) => (Protocol::Icmp, numbers, None),
        _ => return None,
    };
    let (quoted_source, quoted_destination) = (header.source, header.destination);
    Some(Body::Unreachable(IcmpError {
        kind,
        code,
        quoted_source,
        quoted_destination,
        protocol,
        source,
        destination,
        seq,
    }))
}

fn advertisement(bytes: &[u8]) -> Option<Neighbour> {
    let advert = NeighborAdvertPacket::new(bytes)?;
    let mac = link_layer_address(bytes.get(ADVERTISEMENT..)?);
    Some(Neighbour { address: advert.get_target_addr().into(), mac, asker: None })
}

/// Bytes of an advertisement before its options.
const ADVERTISEMENT: usize = 24;

/// The target link-layer address option. The options are parsed here, since pnet's iterator computes their length in
/// eight bits and panics from 32 on. Length 0 ends them: "Nodes MUST silently discard an ND packet that contains an
/// option with length zero" (RFC 4861, section 4.6).
fn link_layer_address(mut options: &[u8]) -> Option<Mac> {
    while let &[kind, octets, ..] = options {
        let (option, rest) = options.split_at_checked(usize::from(octets) * 8)?;
        if kind == NdpOptionTypes::TargetLLAddr.0 {
            return option.get(2..8)?.try_into().ok().map(Mac);
        }
        options = (!option.is_empty()).then_some(rest)?;
    }
    None
}

fn arp(mac: Mac, bytes: &[u8]) -> Option<Reply> {
    let arp = ArpPacket::new(bytes)?;
    if arp.get_operation() != ArpOperations::Reply {
        return None;
    }
    let claim = Neighbour {
        address: arp.get_sender_proto_addr().into(),
        mac: Some(Mac(arp.get_sender_hw_addr().octets())),
        asker: Some(Mac(arp.get_target_hw_addr().octets())),
    };
    Some(Reply {
        mac: Some(mac),
        source: claim.address,
        destination: arp.get_target_proto_addr().into(),
        ttl: 0,
        body: Body::Neighbour(claim),
    })
}

#[cfg(test)]
mod tests;
