//! An ARP packet (RFC 826; the words of its section "Definitions").

use super::header::{HeaderReader, data, mac};
use super::{Then, names};
use crate::wire::bytes::ipv4;

/// Reads the packet. Only padding follows it.
pub fn read(header: &mut HeaderReader<'_>) -> Option<Then> {
    let space = header.u16("Hardware Address Space")?;
    if space == 1 {
        header.note("Ethernet");
    }
    let protocol = header.hex16("Protocol Address Space")?;
    if let Some(name) = names::ether_type(protocol) {
        header.note(name);
    }
    let hardware = usize::from(header.u8("Hardware Address Length")?);
    let protocol = usize::from(header.u8("Protocol Address Length")?);
    match header.u16("Opcode")? {
        1 => header.note("request: who has the target's protocol address?"),
        2 => header.note("reply: the sender has it"),
        _ => {}
    }
    header.field("Sender Hardware Address", hardware, show_hardware)?;
    header.field("Sender Protocol Address", protocol, show_protocol)?;
    header.field("Target Hardware Address", hardware, show_hardware)?;
    header.field("Target Protocol Address", protocol, show_protocol)?;
    Some(Then { next: super::Next::Payload, end: header.start() + header.len() })
}

fn show_hardware(bytes: &[u8]) -> String {
    if bytes.len() == 6 { mac(bytes) } else { data(bytes) }
}

fn show_protocol(bytes: &[u8]) -> String {
    let address = if bytes.len() == 4 { ipv4(bytes, 0) } else { None };
    address.map_or_else(|| data(bytes), |address| address.to_string())
}
