//! Dissects a frame: every byte, with the name of its field in the RFC.
//!
//! Layers follow one another and cover the whole frame; fields lie within their layer. Frames are not trusted: no
//! content makes the reader panic, and no range extends past the frame's end. The dissector draws no conclusions, and
//! values and notes contain printable ASCII only.

mod arp;
mod checksum;
mod ethernet;
mod header;
mod icmp;
mod icmpv6;
mod ipv4;
mod ipv6;
mod names;
mod tcp;
mod udp;

use std::ops::Range;

use serde::Serialize;

use self::checksum::Pseudo;
use self::header::HeaderReader;

/// The first header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkKind {
    /// An Ethernet header, as on a TAP.
    Ethernet,
    /// An IP header, as on a TUN.
    Ip,
}

/// One header, or the payload at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// The kind of layer: `Ethernet`, `IPv4`, `TCP`, `Payload`.
    pub name: &'static str,
    /// Its range in the frame.
    pub bytes: Range<usize>,
    /// True if it is part of the packet that an ICMP error quotes.
    pub is_quoted: bool,
    /// Its fields, in their order.
    pub fields: Vec<HeaderField>,
}

/// A field of a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeaderField {
    /// Its name in the RFC.
    pub name: &'static str,
    /// The bytes that contain it; fields of bits share them.
    pub bytes: Range<usize>,
    /// Its value.
    pub value: String,
    /// The meaning of the value, if the value alone says little.
    pub note: Option<String>,
}

/// Names every byte of a frame.
pub fn dissect(frame: &[u8], link: LinkKind) -> Vec<Layer> {
    let mut layers = Vec::new();
    let (mut at, mut end, mut is_quoted) = (0, frame.len(), false);
    let mut next = match link {
        LinkKind::Ethernet => Next::Ethernet,
        LinkKind::Ip => Next::Ip,
    };
    while at < end {
        let mut header = HeaderReader::open(frame, at..end);
        let (name, read) = next.read(&mut header);
        let read = read.unwrap_or(Then { next: Next::Payload, end });
        let layer = header.close(name, is_quoted);
        is_quoted |= matches!(next, Next::Icmp(_) | Next::Icmpv6(_)) && read.next == Next::Ip;
        // A header without bytes would repeat for ever.
        (at, next) = if layer.bytes.is_empty() { (at, Next::Payload) } else { (layer.bytes.end, read.next) };
        end = read.end.clamp(at, end);
        if !layer.bytes.is_empty() {
            layers.push(layer);
        }
    }
    if end < frame.len() {
        let mut padding = HeaderReader::open(frame, end..frame.len());
        padding.rest("Bytes");
        layers.push(padding.close("Padding", false));
    }
    layers
}

/// The kind of the next layer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    Ethernet,
    Arp,
    /// IPv4 or IPv6, by its version field.
    Ip,
    Ipv4,
    Ipv6,
    /// An extension header, of this number, of a packet with these addresses.
    Extension(u8, Pseudo),
    Tcp(Pseudo),
    Udp(Pseudo),
    Icmp(Pseudo),
    Icmpv6(Pseudo),
    Payload,
    /// A part of a packet that does not begin with a header.
    Fragment,
}

/// The layer after a header, and the latest end of it.
struct Then {
    next: Next,
    end: usize,
}

impl Next {
    /// Reads a header; the next layer is `None` if the header is cut short.
    fn read(&self, header: &mut HeaderReader<'_>) -> (&'static str, Option<Then>) {
        match self {
            Next::Ethernet => ("Ethernet", ethernet::read(header)),
            Next::Arp => ("ARP", arp::read(header)),
            Next::Ip if header.version() == Some(6) => ("IPv6", ipv6::read(header)),
            Next::Ip | Next::Ipv4 => ("IPv4", ipv4::read(header)),
            Next::Ipv6 => ("IPv6", ipv6::read(header)),
            Next::Extension(number, pseudo) => ipv6::read_extension(header, *number, pseudo),
            Next::Tcp(pseudo) => ("TCP", tcp::read(header, pseudo)),
            Next::Udp(pseudo) => ("UDP", udp::read(header, pseudo)),
            Next::Icmp(pseudo) => ("ICMP", icmp::read(header, pseudo)),
            Next::Icmpv6(pseudo) => ("ICMPv6", icmpv6::read(header, pseudo)),
            Next::Payload => ("Payload", header.rest("Data")),
            Next::Fragment => ("Fragment", header.rest("Data")),
        }
    }

    /// The payload of an IP packet.
    fn transport(protocol: u8, pseudo: Pseudo) -> Next {
        match protocol {
            1 => Next::Icmp(pseudo),
            4 => Next::Ipv4,
            6 => Next::Tcp(pseudo),
            17 => Next::Udp(pseudo),
            41 => Next::Ipv6,
            58 => Next::Icmpv6(pseudo),
            _ => Next::Payload,
        }
    }
}

#[cfg(test)]
mod tests;
