//! Probes: the scan techniques and the port state that each reply means ([`scan`]), crafted frames that equal nmap's on the
//! wire, and the frames of the scanner's own kernel that belong to them (the RST that closes a half-open connection, the
//! rest of a full connect).
//!
//! Sources: captures of nmap 7.93 and of Linux 6.18's `connect()`, field by field. This room sends nothing; the lab does.

mod answer;
pub(crate) mod canary;
mod craft;
pub(crate) mod hidden;
pub(crate) mod left_the_world;
pub(crate) mod note;
pub mod observation;
pub mod packet;
pub(crate) mod packet_summary;
pub mod path;
pub(crate) mod probe_group;
pub mod scan;
pub mod scan_pass;
pub(crate) mod tool_run;
mod wire;

pub use craft::ProbeOverrides;

use self::wire::{Checksum, IpHeader, IpPayload, RawPacket};
use crate::net::{Family, Mac, Protocol};
use crate::probe::scan::Technique;
use crate::wire::headers::Content;
use crate::wire::reply::{Flow, TcpSegment};
use crate::wire::tcp_flags::TcpFlags;

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

/// One probe: one packet of a technique to one port.
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
    /// IPv4 identification; unused in IPv6.
    pub ip_id: u16,
    /// IPv6 flow label, 20 bits.
    pub flow_label: u32,
    /// Overrides of nmap's own values. The probe uses flags and checksum from it; the others are already in the fields
    /// above.
    pub craft: ProbeOverrides,
}

impl Probe {
    /// The number of the protocol (IANA), and the fields after the IP header that rules match.
    pub fn content(&self) -> (u8, Content) {
        let (source, destination) = (self.flow.prober_port, self.flow.port);
        match self.flow.protocol {
            Protocol::Tcp => (6, Content::Tcp { source, destination, flags: self.flags() }),
            Protocol::Udp => (17, Content::Udp { source, destination }),
            Protocol::Icmp => {
                self.family().pick((1, Content::Icmp { kind: 8, code: 0 }), (58, Content::Icmp { kind: 128, code: 0 }))
            }
        }
    }

    /// The family that it is sent in.
    pub fn family(&self) -> Family {
        Family::from_address(self.flow.host)
    }

    /// The probe as a complete Ethernet frame. Every field is nmap's own for the raw techniques: window 1024, urgent
    /// pointer 0, DF clear, MSS 1460 if and only if SYN is set (in IPv6 too); a datagram and an echo request are empty.
    /// A connect has the header values of the scanner's kernel instead, as in `nmap -sT`.
    pub fn frame(&self, ends: &Ends) -> Vec<u8> {
        let flags = self.flags();
        let (look, options, window) = match self.technique.is_full_connect() {
            true => (HeaderStyle::Kernel, connect_options(self.family()), connect_window(self.family())),
            false if flags & TcpFlags::SYN != 0 => (HeaderStyle::Nmap, vec![2, 4, 0x05, 0xb4], NMAP_WINDOW),
            false => (HeaderStyle::Nmap, Vec::new(), NMAP_WINDOW),
        };
        let content = match self.flow.protocol {
            Protocol::Tcp => {
                IpPayload::Segment { seq: self.seq, ack: self.ack, flags, window, options: &options, payload: &[] }
            }
            Protocol::Udp => IpPayload::Datagram,
            Protocol::Icmp => IpPayload::EchoRequest,
        };
        let is_bad = self.craft.badsum && look == HeaderStyle::Nmap;
        let checksum = if is_bad { Checksum::Bad } else { Checksum::Right };
        Crafted { probe: self, look, content, checksum }.frame(ends)
    }

    /// The flags octet; 0 for a packet that is not TCP.
    pub fn flags(&self) -> u8 {
        let own = self.technique.profile().flags;
        let is_segment = self.flow.protocol == Protocol::Tcp && !self.technique.is_full_connect();
        self.craft.scanflags.filter(|_| is_segment).unwrap_or(own)
    }

    /// The RST with which the scanner's kernel, which has no such connection, answers a SYN/ACK: its sequence number is
    /// the host's acknowledgment number, its window 0 (RFC 9293, section 3.5.2, group 1).
    pub fn reset_after(&self, syn_ack: &TcpSegment, ends: &Ends) -> Vec<u8> {
        self.kernel_segment(syn_ack.ack, 0, TcpFlags::RST, 0).frame(ends)
    }

    /// The third segment of a full connect.
    pub fn handshake_ack(&self, syn_ack: &TcpSegment, ends: &Ends) -> Vec<u8> {
        let (seq, ack) = (syn_ack.ack, syn_ack.seq.wrapping_add(1));
        self.kernel_segment(seq, ack, TcpFlags::ACK, connected_window(syn_ack)).frame(ends)
    }

    /// The RST of a client that closes with linger 0 after it has read `greeting` (Linux: `tcp_send_active_reset`).
    pub fn abort(&self, syn_ack: &TcpSegment, greeting_len: usize, ends: &Ends) -> Vec<u8> {
        let ack = syn_ack.seq.wrapping_add(1).wrapping_add(greeting_len as u32);
        self.kernel_segment(syn_ack.ack, ack, TcpFlags::RST | TcpFlags::ACK, connected_window(syn_ack)).frame(ends)
    }

    /// Any segment of this flow, without options, as a kernel would send it.
    pub fn segment(&self, seq: u32, ack: u32, flags: u8, ends: &Ends) -> Vec<u8> {
        self.kernel_segment(seq, ack, flags, 0).frame(ends)
    }

    fn kernel_segment(&self, seq: u32, ack: u32, flags: u8, window: u16) -> Crafted<'_> {
        let content = IpPayload::Segment { seq, ack, flags, window, options: &[], payload: &[] };
        Crafted { probe: self, look: HeaderStyle::Kernel, content, checksum: Checksum::Right }
    }
}

/// Window of every raw probe of nmap.
const NMAP_WINDOW: u16 = 1024;

/// Window of an established connection of the scanner's kernel: scaled by 10 bits if the host scales its own, too (RFC 7323,
/// section 2.2). SYNPROXY answers a client without timestamps so that neither does.
fn connected_window(syn_ack: &TcpSegment) -> u16 {
    const SCALED: u16 = 63;
    if syn_ack.scales { SCALED } else { SCALED << SCALE }
}

/// The window scale of `connect()`.
const SCALE: u8 = 10;

/// Initial window of `connect()`: 44 segments of 1460 bytes, 45 of 1440.
fn connect_window(family: Family) -> u16 {
    family.pick(64240, 64800)
}

/// MSS, SACK permitted and window scale 10. No timestamps: with them the rest of the connection would have to carry
/// them too (RFC 7323, section 3.2), and no port state depends on them.
fn connect_options(family: Family) -> Vec<u8> {
    let mss: u16 = family.pick(1460, 1440);
    let [high, low] = mss.to_be_bytes();
    vec![2, 4, high, low, 1, 1, 4, 2, 1, 3, 3, SCALE]
}

/// The style of the IP header: nmap's or the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeaderStyle {
    /// Random TTL, DF clear, flow label 0, hop limit 255.
    Nmap,
    /// TTL 64, DF set, flow label of the flow.
    Kernel,
}

/// One packet of a probe's exchange, ready to be sent.
struct Crafted<'a> {
    probe: &'a Probe,
    look: HeaderStyle,
    content: IpPayload<'a>,
    checksum: Checksum,
}

/// TTL and hop limit of Linux (`net.ipv4.ip_default_ttl`).
const KERNEL_TTL: u8 = 64;

impl Crafted<'_> {
    fn frame(self, ends: &Ends) -> Vec<u8> {
        let is_kernels = self.look == HeaderStyle::Kernel;
        let ip = IpHeader {
            ttl: self.ttl(),
            id: self.ip_id(),
            dont_fragment: is_kernels,
            flow_label: if is_kernels { self.probe.flow_label } else { 0 },
        };
        RawPacket { flow: self.probe.flow, ip, content: self.content, checksum: self.checksum }.frame(ends)
    }

    /// The IPv4 identification: Linux uses 0 for a DF packet without a socket, and a counter for those of a connection:
    /// first the SYN's number, then the next.
    fn ip_id(&self) -> u16 {
        let opens = matches!(self.content, IpPayload::Segment { flags, .. } if flags & TcpFlags::SYN != 0);
        match (self.look, self.probe.technique.is_full_connect(), opens) {
            (HeaderStyle::Kernel, true, false) => self.probe.ip_id.wrapping_add(1),
            (HeaderStyle::Kernel, true, true) | (HeaderStyle::Nmap, ..) => self.probe.ip_id,
            (HeaderStyle::Kernel, ..) => 0,
        }
    }

    /// The TTL: `nmap -sT --ttl` sets that of its sockets (`IP_TTL`), and no hop limit.
    fn ttl(&self) -> u8 {
        let of_socket = self.probe.craft.ttl.filter(|_| self.probe.technique.is_full_connect());
        match (self.look, self.probe.family()) {
            (HeaderStyle::Nmap, _) => self.probe.ttl,
            (HeaderStyle::Kernel, Family::Ipv4) => of_socket.unwrap_or(KERNEL_TTL),
            (HeaderStyle::Kernel, Family::Ipv6) => KERNEL_TTL,
        }
    }
}

#[cfg(test)]
mod tests;
