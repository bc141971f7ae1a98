//! Probes: crafted frames that equal nmap's on the wire, and the frames of the scanner's own kernel that belong to them
//! (the RST that closes a half-open connection, the rest of a full connect).
//!
//! Sources: captures of nmap 7.93 and of Linux 6.18's `connect()`, field by field. Pure: nothing is sent here.

mod answer;

use std::net::IpAddr;

use pnet_base::MacAddr;
use pnet_packet::ethernet::{EtherType, EtherTypes, MutableEthernetPacket};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::{self, Ipv4Flags, MutableIpv4Packet};
use pnet_packet::ipv6::MutableIpv6Packet;
use pnet_packet::tcp::{self, MutableTcpPacket, TcpFlags};

use crate::net::{Family, Mac};
use crate::reply::{Flow, Segment};
use crate::scan::Technique;

/// Bytes of an Ethernet header.
pub const ETHERNET_HEADER: usize = 14;

/// The Ethernet addresses of both ends of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The prober.
    pub prober: Mac,
    /// The host under test.
    pub host: Mac,
}

/// One probe: what a technique asks of one port, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The technique.
    pub technique: Technique,
    /// Addresses and ports.
    pub flow: Flow,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// TTL or hop limit.
    pub ttl: u8,
    /// IPv4 identification; IPv6 has none.
    pub ip_id: u16,
    /// IPv6 flow label, 20 bits.
    pub flow_label: u32,
}

impl Probe {
    /// The family that it is sent in.
    pub fn family(&self) -> Family {
        Family::of(self.flow.host)
    }

    /// The probe as a complete Ethernet frame. Every field is nmap's own for the raw techniques: window 1024, urgent
    /// pointer 0, DF clear, MSS 1460 if and only if SYN is set (in IPv6 too). A connect has the look of the scanner's
    /// kernel instead, as `nmap -sT` has.
    pub fn frame(&self, ends: &Ends) -> Vec<u8> {
        let (look, options, window) = match self.technique {
            Technique::Connect => (Look::Kernel, connect_options(self.family()), connect_window(self.family())),
            _ if self.flags() & TcpFlags::SYN != 0 => (Look::Nmap, vec![2, 4, 0x05, 0xb4], NMAP_WINDOW),
            _ => (Look::Nmap, Vec::new(), NMAP_WINDOW),
        };
        Crafted { probe: self, look, seq: self.seq, ack: self.ack, flags: self.flags(), window, options: &options }
            .frame(ends)
    }

    /// The flags octet.
    pub fn flags(&self) -> u8 {
        self.technique.profile().flags
    }

    /// The RST with which the scanner's kernel, which knows of no connection, answers a SYN/ACK: sequence number as the
    /// host acknowledged, window 0 (RFC 9293, section 3.5.2, group 1).
    pub fn reset_after(&self, syn_ack: &Segment, ends: &Ends) -> Vec<u8> {
        self.kernel_segment(syn_ack.ack, 0, TcpFlags::RST, 0).frame(ends)
    }

    /// The third segment of a full connect.
    pub fn handshake_ack(&self, syn_ack: &Segment, ends: &Ends) -> Vec<u8> {
        let (seq, ack) = (syn_ack.ack, syn_ack.seq.wrapping_add(1));
        self.kernel_segment(seq, ack, TcpFlags::ACK, CONNECTED_WINDOW).frame(ends)
    }

    /// The RST of a client that closes with linger 0 after it has read `greeting` (Linux: `tcp_send_active_reset`).
    pub fn abort(&self, syn_ack: &Segment, greeting_len: usize, ends: &Ends) -> Vec<u8> {
        let ack = syn_ack.seq.wrapping_add(1).wrapping_add(greeting_len as u32);
        self.kernel_segment(syn_ack.ack, ack, TcpFlags::RST | TcpFlags::ACK, CONNECTED_WINDOW).frame(ends)
    }

    /// Any segment of this flow, without options, as a kernel would send it.
    pub fn segment(&self, seq: u32, ack: u32, flags: u8, ends: &Ends) -> Vec<u8> {
        self.kernel_segment(seq, ack, flags, 0).frame(ends)
    }

    fn kernel_segment(&self, seq: u32, ack: u32, flags: u8, window: u16) -> Crafted<'_> {
        Crafted { probe: self, look: Look::Kernel, seq, ack, flags, window, options: &[] }
    }
}

/// Window of every raw probe of nmap.
const NMAP_WINDOW: u16 = 1024;

/// Window of an established connection of the scanner's kernel, scaled by 10 bits.
const CONNECTED_WINDOW: u16 = 63;

/// Initial window of `connect()`: 44 segments of 1460 bytes, 45 of 1440.
fn connect_window(family: Family) -> u16 {
    match family {
        Family::Ipv4 => 64240,
        Family::Ipv6 => 64800,
    }
}

/// MSS, SACK permitted and window scale 10. No timestamps: with them the rest of the connection would have to carry
/// them too (RFC 7323, section 3.2), and no port state depends on them.
fn connect_options(family: Family) -> Vec<u8> {
    let mss: u16 = match family {
        Family::Ipv4 => 1460,
        Family::Ipv6 => 1440,
    };
    let [high, low] = mss.to_be_bytes();
    vec![2, 4, high, low, 1, 1, 4, 2, 1, 3, 3, 10]
}

/// Whose habits the IP header shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Random TTL, DF clear, flow label 0, hop limit 255.
    Nmap,
    /// TTL 64, DF set, flow label of the flow.
    Kernel,
}

/// One segment of a probe's conversation, ready to be put on the wire.
struct Crafted<'a> {
    probe: &'a Probe,
    look: Look,
    seq: u32,
    ack: u32,
    flags: u8,
    window: u16,
    options: &'a [u8],
}

const TCP_HEADER: usize = 20;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// TTL and hop limit of Linux (`net.ipv4.ip_default_ttl`).
const KERNEL_TTL: u8 = 64;

impl Crafted<'_> {
    fn frame(&self, ends: &Ends) -> Vec<u8> {
        let Flow { prober, host, .. } = self.probe.flow;
        let (ip_header, ethertype) = match self.probe.family() {
            Family::Ipv4 => (IPV4_HEADER, EtherTypes::Ipv4),
            Family::Ipv6 => (IPV6_HEADER, EtherTypes::Ipv6),
        };
        let mut frame = vec![0; ETHERNET_HEADER + ip_header + TCP_HEADER + self.options.len()];
        let (ethernet, packet) = frame.split_at_mut(ETHERNET_HEADER);
        write_ethernet(ethernet, ends, ethertype);
        let (ip, segment) = packet.split_at_mut(ip_header);
        match (prober, host) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.write_segment(segment, |tcp| tcp::ipv4_checksum(tcp, &source, &destination));
                self.write_ipv4(ip, segment.len(), source, destination);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.write_segment(segment, |tcp| tcp::ipv6_checksum(tcp, &source, &destination));
                self.write_ipv6(ip, segment.len(), source, destination);
            }
            _ => unreachable!("a flow has two addresses of one family"),
        }
        frame
    }

    fn write_ipv4(
        &self,
        bytes: &mut [u8],
        payload: usize,
        source: std::net::Ipv4Addr,
        destination: std::net::Ipv4Addr,
    ) {
        let mut ip = MutableIpv4Packet::new(bytes).expect("the buffer holds an IPv4 header");
        ip.set_version(4);
        ip.set_header_length(5);
        ip.set_total_length((IPV4_HEADER + payload) as u16);
        ip.set_identification(self.ip_id());
        ip.set_flags(if self.look == Look::Kernel { Ipv4Flags::DontFragment } else { 0 });
        ip.set_ttl(self.ttl());
        ip.set_next_level_protocol(IpNextHeaderProtocols::Tcp);
        ip.set_source(source);
        ip.set_destination(destination);
        let checksum = ipv4::checksum(&ip.to_immutable());
        ip.set_checksum(checksum);
    }

    fn write_ipv6(
        &self,
        bytes: &mut [u8],
        payload: usize,
        source: std::net::Ipv6Addr,
        destination: std::net::Ipv6Addr,
    ) {
        let mut ip = MutableIpv6Packet::new(bytes).expect("the buffer holds an IPv6 header");
        ip.set_version(6);
        ip.set_flow_label(if self.look == Look::Kernel { self.probe.flow_label } else { 0 });
        ip.set_payload_length(payload as u16);
        ip.set_next_header(IpNextHeaderProtocols::Tcp);
        ip.set_hop_limit(self.ttl());
        ip.set_source(source);
        ip.set_destination(destination);
    }

    fn write_segment(&self, bytes: &mut [u8], checksum: impl Fn(&tcp::TcpPacket) -> u16) {
        // The data offset comes first: pnet finds the options by it.
        let mut tcp = MutableTcpPacket::new(bytes).expect("the buffer holds a TCP header");
        tcp.set_data_offset(((TCP_HEADER + self.options.len()) / 4) as u8);
        tcp.set_source(self.probe.flow.prober_port.0);
        tcp.set_destination(self.probe.flow.port.0);
        tcp.set_sequence(self.seq);
        tcp.set_acknowledgement(self.ack);
        tcp.set_flags(self.flags);
        tcp.set_window(self.window);
        tcp.get_options_raw_mut().copy_from_slice(self.options);
        let checksum = checksum(&tcp.to_immutable());
        tcp.set_checksum(checksum);
    }

    /// Linux numbers a DF packet without a socket 0, and those of a connection from a counter of its own: the SYN's
    /// number, then the next.
    fn ip_id(&self) -> u16 {
        match (self.look, self.probe.technique, self.flags & TcpFlags::SYN != 0) {
            (Look::Kernel, Technique::Connect, false) => self.probe.ip_id.wrapping_add(1),
            (Look::Kernel, Technique::Connect, true) | (Look::Nmap, ..) => self.probe.ip_id,
            (Look::Kernel, ..) => 0,
        }
    }

    fn ttl(&self) -> u8 {
        match self.look {
            Look::Nmap => self.probe.ttl,
            Look::Kernel => KERNEL_TTL,
        }
    }
}

fn write_ethernet(bytes: &mut [u8], ends: &Ends, ethertype: EtherType) {
    let mut ethernet = MutableEthernetPacket::new(bytes).expect("the buffer holds an Ethernet header");
    ethernet.set_destination(MacAddr::from(ends.host.0));
    ethernet.set_source(MacAddr::from(ends.prober.0));
    ethernet.set_ethertype(ethertype);
}

#[cfg(test)]
mod tests;
