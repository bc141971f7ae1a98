//! The Ethernet header (IEEE 802.3; RFC 894 for its payload).

use super::header::{HeaderReader, mac};
use super::{Next, Then, names};

/// Reads the header.
pub fn read(header: &mut HeaderReader<'_>) -> Option<Then> {
    header.field("Destination Address", 6, mac)?;
    header.field("Source Address", 6, mac)?;
    let ether_type = header.hex16("EtherType")?;
    if let Some(name) = names::ether_type(ether_type) {
        header.note(name);
    }
    let next = match ether_type {
        0x0800 => Next::Ipv4,
        0x0806 => Next::Arp,
        0x86dd => Next::Ipv6,
        _ => Next::Payload,
    };
    Some(Then { next, end: header.end() })
}
