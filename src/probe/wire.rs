//! Writes headers: Ethernet, IP, and the payload of IP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pnet_base::MacAddr;
use pnet_packet::ethernet::{EtherType, EtherTypes, MutableEthernetPacket};
use pnet_packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet_packet::ipv4::{self, Ipv4Flags, MutableIpv4Packet};
use pnet_packet::ipv6::MutableIpv6Packet;
use pnet_packet::tcp::MutableTcpPacket;
use pnet_packet::udp::MutableUdpPacket;
use pnet_packet::util;

use super::{ETHERNET_HEADER, Ends};
use crate::net::port::Port;
use crate::net::{Family, Protocol};
use crate::wire::reply::Flow;

/// A packet, ready to be written.
pub(super) struct RawPacket<'a> {
    /// Addresses and ports.
    pub flow: Flow,
    /// The IP header.
    pub ip: IpHeader,
    /// The payload.
    pub content: IpPayload<'a>,
    /// The transport checksum, correct or wrong.
    pub checksum: Checksum,
}

/// The variable fields of an IP header.
pub(super) struct IpHeader {
    /// TTL or hop limit.
    pub ttl: u8,
    /// Identification (IPv4).
    pub id: u16,
    /// DF (IPv4).
    pub dont_fragment: bool,
    /// Flow label (IPv6), 20 bits.
    pub flow_label: u32,
}

/// The payload of an IP packet.
pub(super) enum IpPayload<'a> {
    /// A TCP segment.
    Segment {
        /// Sequence number.
        seq: u32,
        /// Acknowledgment number.
        ack: u32,
        /// Flags octet.
        flags: u8,
        /// Window.
        window: u16,
        /// Options, a multiple of four bytes.
        options: &'a [u8],
        /// The payload.
        payload: &'a [u8],
    },
    /// A UDP datagram without payload.
    Datagram,
    /// An echo request without payload; identifier and sequence number are in the place of ports.
    EchoRequest,
}

/// The correctness of a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checksum {
    /// Correct.
    Right,
    /// Wrong, as with nmap's `--badsum`.
    Bad,
}

const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const ECHO_HEADER: usize = 8;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

impl RawPacket<'_> {
    /// The packet in an Ethernet frame.
    pub fn frame(&self, ends: &Ends) -> Vec<u8> {
        let (ip_header, ethertype) =
            Family::from_address(self.flow.host).pick((IPV4_HEADER, EtherTypes::Ipv4), (IPV6_HEADER, EtherTypes::Ipv6));
        let mut frame = vec![0; ETHERNET_HEADER + ip_header + self.content.len()];
        let (ethernet, packet) = frame.split_at_mut(ETHERNET_HEADER);
        write_ethernet(ethernet, ends, ethertype);
        let (ip, content) = packet.split_at_mut(ip_header);
        self.write_content(content);
        let sum = self.checksum(content);
        let at = self.content.checksum_at();
        content[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        match (self.flow.prober, self.flow.host) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => self.write_ipv4(ip, content.len(), source, destination),
            (IpAddr::V6(source), IpAddr::V6(destination)) => self.write_ipv6(ip, content.len(), source, destination),
            _ => unreachable!("a flow has two addresses of one family"),
        }
        frame
    }

    fn write_content(&self, bytes: &mut [u8]) {
        let (Port(source), Port(destination)) = (self.flow.prober_port, self.flow.port);
        match self.content {
            IpPayload::Segment { seq, ack, flags, window, options, payload } => {
                // The data offset comes first, since pnet locates the options by it.
                let mut tcp = MutableTcpPacket::new(bytes).expect("the buffer holds a TCP header");
                tcp.set_data_offset(((TCP_HEADER + options.len()) / 4) as u8);
                tcp.set_source(source);
                tcp.set_destination(destination);
                tcp.set_sequence(seq);
                tcp.set_acknowledgement(ack);
                tcp.set_flags(flags);
                tcp.set_window(window);
                tcp.get_options_raw_mut().copy_from_slice(options);
                tcp.set_payload(payload);
            }
            IpPayload::Datagram => {
                let mut udp = MutableUdpPacket::new(bytes).expect("the buffer holds a UDP header");
                udp.set_source(source);
                udp.set_destination(destination);
                udp.set_length(UDP_HEADER as u16);
            }
            IpPayload::EchoRequest => {
                bytes[0] = echo_request(Family::from_address(self.flow.host));
                bytes[4..6].copy_from_slice(&source.to_be_bytes());
                bytes[6..8].copy_from_slice(&destination.to_be_bytes());
            }
        }
    }

    fn checksum(&self, content: &[u8]) -> u16 {
        let word = self.content.checksum_at() / 2;
        let protocol = self.next_header();
        let right = match (self.flow.prober, self.flow.host) {
            (IpAddr::V4(_), IpAddr::V4(_)) if matches!(self.content, IpPayload::EchoRequest) => {
                util::checksum(content, word)
            }
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                util::ipv4_checksum(content, word, &[], &source, &destination, protocol)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                util::ipv6_checksum(content, word, &[], &source, &destination, protocol)
            }
            _ => unreachable!("a flow has two addresses of one family"),
        };
        let right = if matches!(self.content, IpPayload::Datagram) { or_all_ones(right) } else { right };
        match self.checksum {
            Checksum::Right => right,
            Checksum::Bad => bad(right),
        }
    }

    fn write_ipv4(&self, bytes: &mut [u8], payload: usize, source: Ipv4Addr, destination: Ipv4Addr) {
        let mut ip = MutableIpv4Packet::new(bytes).expect("the buffer holds an IPv4 header");
        ip.set_version(4);
        ip.set_header_length(5);
        ip.set_total_length((IPV4_HEADER + payload) as u16);
        ip.set_identification(self.ip.id);
        ip.set_flags(if self.ip.dont_fragment { Ipv4Flags::DontFragment } else { 0 });
        ip.set_ttl(self.ip.ttl);
        ip.set_next_level_protocol(self.next_header());
        ip.set_source(source);
        ip.set_destination(destination);
        let checksum = ipv4::checksum(&ip.to_immutable());
        ip.set_checksum(checksum);
    }

    fn write_ipv6(&self, bytes: &mut [u8], payload: usize, source: Ipv6Addr, destination: Ipv6Addr) {
        let mut ip = MutableIpv6Packet::new(bytes).expect("the buffer holds an IPv6 header");
        ip.set_version(6);
        ip.set_flow_label(self.ip.flow_label);
        ip.set_payload_length(payload as u16);
        ip.set_next_header(self.next_header());
        ip.set_hop_limit(self.ip.ttl);
        ip.set_source(source);
        ip.set_destination(destination);
    }

    fn next_header(&self) -> IpNextHeaderProtocol {
        match (self.flow.protocol, Family::from_address(self.flow.host)) {
            (Protocol::Tcp, _) => IpNextHeaderProtocols::Tcp,
            (Protocol::Udp, _) => IpNextHeaderProtocols::Udp,
            (Protocol::Icmp, Family::Ipv4) => IpNextHeaderProtocols::Icmp,
            (Protocol::Icmp, Family::Ipv6) => IpNextHeaderProtocols::Icmpv6,
        }
    }
}

impl IpPayload<'_> {
    fn len(&self) -> usize {
        match self {
            IpPayload::Segment { options, payload, .. } => TCP_HEADER + options.len() + payload.len(),
            IpPayload::Datagram => UDP_HEADER,
            IpPayload::EchoRequest => ECHO_HEADER,
        }
    }

    fn checksum_at(&self) -> usize {
        match self {
            IpPayload::Segment { .. } => 16,
            IpPayload::Datagram => 6,
            IpPayload::EchoRequest => 2,
        }
    }
}

/// The type of an echo request (RFC 792; RFC 4443, section 4.1).
fn echo_request(family: Family) -> u8 {
    family.pick(8, 128)
}

/// "If the computed checksum is zero, it is transmitted as all ones" (RFC 768).
fn or_all_ones(checksum: u16) -> u16 {
    if checksum == 0 { u16::MAX } else { checksum }
}

/// nmap's `--badsum`: the correct checksum minus 1, in the byte order of a little-endian machine. If the result would
/// mean "none" (0 in UDP) or be the correct one again (0 and all ones are the same number in one's complement), it is 1
/// less.
fn bad(right: u16) -> u16 {
    match right.swap_bytes() {
        0 | 1 => 0xfffe_u16,
        stored => stored - 1,
    }
    .swap_bytes()
}

fn write_ethernet(bytes: &mut [u8], ends: &Ends, ethertype: EtherType) {
    let mut ethernet = MutableEthernetPacket::new(bytes).expect("the buffer holds an Ethernet header");
    ethernet.set_destination(MacAddr::from(ends.host.0));
    ethernet.set_source(MacAddr::from(ends.prober.0));
    ethernet.set_ethertype(ethertype);
}
