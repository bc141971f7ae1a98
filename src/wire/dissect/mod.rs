//! The bytes of a frame, each with the name that its RFC gives it: for those who want to see what was on the wire.
//!
//! Layers follow one another and together are the whole frame; fields lie within their layer. Frames are read with
//! distrust: whatever one says, reading it never panics, and no range reaches past its end. Nothing is decided here, and no
//! value or note holds a character that is not printable ASCII.

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

/// How a frame begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkKind {
    /// With an Ethernet header, as on a TAP.
    Ethernet,
    /// With the header of an IP packet, as on a TUN.
    Ip,
}

/// One header, or what is carried at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// What it is: `Ethernet`, `IPv4`, `TCP`, `Payload`.
    pub name: &'static str,
    /// Where it lies in the frame.
    pub bytes: Range<usize>,
    /// Whether it is part of the packet that an ICMP error quotes.
    pub is_quoted: bool,
    /// Its fields, in their order.
    pub fields: Vec<HeaderField>,
}

/// A field of a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeaderField {
    /// The name that the RFC gives it.
    pub name: &'static str,
    /// The bytes that it lies in; fields of some bits share them.
    pub bytes: Range<usize>,
    /// What it says.
    pub value: String,
    /// Meaning of the value, where a number alone says little.
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
        // A header of no byte would be read for ever.
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

/// What a layer is to be read as.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    Ethernet,
    Arp,
    /// Of the version that it says itself.
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

/// What follows a header, and where that ends at the latest.
struct Then {
    next: Next,
    end: usize,
}

impl Next {
    /// Reads a header; what follows is none where it is cut short.
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

    /// What an IP packet carries.
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
