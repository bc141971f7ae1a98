//! Stimuli as bytes: complete IP packets with correct checksums, so that only the rules decide on them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pnet_packet::ip::IpNextHeaderProtocol;
use pnet_packet::ipv4::{self, MutableIpv4Packet};
use pnet_packet::ipv6::MutableIpv6Packet;
use pnet_packet::tcp::MutableTcpPacket;
use pnet_packet::util;

use crate::net::Family;
use crate::wire::headers::{Content, Headers};

/// The numbers that identify a packet, and its position in its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// IPv4 identification, or the low 16 bits of the IPv6 flow label. Not 0, which the kernel would replace (raw(7)).
    pub tag: u16,
    /// Identifier of an echo request and of the reply to it.
    pub echo: u16,
    /// TCP sequence number.
    pub seq: u32,
    /// TCP acknowledgment number.
    pub ack: u32,
}

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;

/// NDP requires it (RFC 4861, section 6.1); no other part of the stack depends on it.
const HOP_LIMIT: u8 = 255;

/// The packet as bytes. `quoted` is the packet that an ICMP error quotes.
///
/// Both addresses are of one family, as every [`crate::rules::sweep::SweepPlan`] makes them; otherwise the packet is
/// empty.
pub fn bytes(headers: &Headers, numbers: Numbers, quoted: Option<&[u8]>) -> Vec<u8> {
    let payload = payload(headers, numbers, quoted);
    match (headers.source, headers.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => v4(headers, numbers, payload, source, destination),
        (IpAddr::V6(source), IpAddr::V6(destination)) => v6(headers, numbers, payload, source, destination),
        _ => Vec::new(),
    }
}

fn v4(headers: &Headers, numbers: Numbers, payload: Vec<u8>, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    let protocol = IpNextHeaderProtocol(headers.protocol);
    let mut bytes = vec![0; IPV4_HEADER];
    bytes.extend(payload);
    let total = bytes.len() as u16;
    let Some(mut ip) = MutableIpv4Packet::new(&mut bytes) else { return Vec::new() };
    ip.set_version(4);
    ip.set_header_length(5);
    ip.set_total_length(total);
    ip.set_identification(numbers.tag);
    ip.set_ttl(HOP_LIMIT);
    ip.set_next_level_protocol(protocol);
    ip.set_source(source);
    ip.set_destination(destination);
    let checksum = ipv4::checksum(&ip.to_immutable());
    ip.set_checksum(checksum);
    fill_checksum(headers, &mut bytes[IPV4_HEADER..], |payload, word| match headers.content {
        // ICMP has no pseudo header (RFC 792).
        Content::Icmp { .. } => util::checksum(payload, word),
        _ => util::ipv4_checksum(payload, word, &[], &source, &destination, protocol),
    });
    bytes
}

fn v6(headers: &Headers, numbers: Numbers, payload: Vec<u8>, source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let protocol = IpNextHeaderProtocol(headers.protocol);
    let mut bytes = vec![0; IPV6_HEADER];
    bytes.extend(payload);
    let length = bytes.len() - IPV6_HEADER;
    let Some(mut ip) = MutableIpv6Packet::new(&mut bytes) else { return Vec::new() };
    ip.set_version(6);
    ip.set_flow_label(numbers.tag.into());
    ip.set_payload_length(length as u16);
    ip.set_next_header(protocol);
    ip.set_hop_limit(HOP_LIMIT);
    ip.set_source(source);
    ip.set_destination(destination);
    fill_checksum(headers, &mut bytes[IPV6_HEADER..], |payload, word| {
        util::ipv6_checksum(payload, word, &[], &source, &destination, protocol)
    });
    bytes
}

/// The bytes after the IP header, with a checksum of 0.
fn payload(headers: &Headers, numbers: Numbers, quoted: Option<&[u8]>) -> Vec<u8> {
    match headers.content {
        Content::Tcp { source, destination, flags } => {
            let mut bytes = vec![0; TCP_HEADER];
            if let Some(mut tcp) = MutableTcpPacket::new(&mut bytes) {
                tcp.set_data_offset(5);
                tcp.set_source(source.0);
                tcp.set_destination(destination.0);
                tcp.set_sequence(numbers.seq);
                tcp.set_acknowledgement(numbers.ack);
                tcp.set_flags(flags);
                tcp.set_window(1024);
            }
            bytes
        }
        Content::Udp { source, destination } => {
            const LENGTH: u16 = 8;
            [source.0, destination.0, LENGTH, 0].into_iter().flat_map(u16::to_be_bytes).collect()
        }
        Content::Icmp { kind, code } => icmp(headers, (kind, code), numbers.echo, quoted),
        Content::Other => vec![0; smallest_header(headers.protocol)],
    }
}

/// The minimum length of a protocol's header. A match that cannot read its header drops the packet (`hotdrop` of
/// xt_sctp, xt_dccp and ipt_ah): SCTP needs a chunk, and DCCP the longer sequence number.
fn smallest_header(protocol: u8) -> usize {
    const DCCP: u8 = 33;
    const AH: u8 = 51;
    const SCTP: u8 = 132;
    if [DCCP, AH, SCTP].contains(&protocol) { 16 } else { 8 }
}

/// Type, code, checksum; then the quoted packet, or identifier and sequence number, or enough zeros for a message of
/// NDP (an address).
fn icmp(headers: &Headers, (kind, code): (u8, u8), echo: u16, quoted: Option<&[u8]>) -> Vec<u8> {
    /// IP header and 8 bytes of its payload (RFC 792).
    const QUOTED: usize = 8;
    let mut bytes = vec![kind, code, 0, 0];
    if headers.is_icmp_error() {
        let header = if headers.family() == Family::Ipv4 { IPV4_HEADER } else { IPV6_HEADER };
        bytes.extend([0; 4]);
        bytes.extend(quoted.unwrap_or(&[0; IPV6_HEADER + QUOTED]).iter().take(header + QUOTED));
    } else {
        let [high, low] = echo.to_be_bytes();
        bytes.extend([high, low, 0, 1]);
        bytes.extend([0; 16]);
    }
    bytes
}

/// The offset of the checksum after the IP header.
fn checksum_place(headers: &Headers) -> Option<usize> {
    match headers.content {
        Content::Tcp { .. } => Some(16),
        Content::Udp { .. } => Some(6),
        Content::Icmp { .. } => Some(2),
        Content::Other => None,
    }
}

fn fill_checksum(headers: &Headers, payload: &mut [u8], checksum: impl Fn(&[u8], usize) -> u16) {
    let Some(place) = checksum_place(headers) else { return };
    // In UDP, 0 means that there is no checksum.
    let checksum = Some(checksum(payload, place / 2)).filter(|checksum| *checksum != 0).unwrap_or(u16::MAX);
    payload[place..place + 2].copy_from_slice(&checksum.to_be_bytes());
}
