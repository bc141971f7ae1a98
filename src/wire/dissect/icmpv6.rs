//! An ICMPv6 message (RFC 4443), and those of neighbour discovery (RFC 4861, section 4).

use super::checksum::{self, Pseudo};
use super::header::{HeaderReader, data, hex, mac};
use super::{Next, Then};
use crate::wire::bytes::{be32, ipv6};

/// Reads the message. After an error follows the packet that it quotes.
pub fn read(header: &mut HeaderReader<'_>, pseudo: &Pseudo) -> Option<Then> {
    let kind = header.u8("Type")?;
    if let Some(name) = kind_name(kind) {
        header.note(name);
    }
    let code = header.u8("Code")?;
    if let Some(name) = code_name(kind, code) {
        header.note(name);
    }
    header.hex16("Checksum")?;
    let message = header.bytes_up_to(pseudo.end);
    if let Some(note) = checksum::judge_transport(message, 2, 58, pseudo, header.end() >= pseudo.end) {
        header.note(note);
    }
    let next = read_body(header, kind)?;
    Some(Then { next, end: header.end() })
}

fn read_body(header: &mut HeaderReader<'_>, kind: u8) -> Option<Next> {
    match kind {
        1 | 3 => header.field("Unused", 4, data).map(|_| Next::Ip),
        2 => header.u32("MTU").map(|_| Next::Ip),
        4 => header.u32("Pointer").map(|_| Next::Ip),
        128 | 129 => {
            header.u16("Identifier")?;
            header.u16("Sequence Number")?;
            Some(Next::Payload)
        }
        133..=137 => read_discovery(header, kind),
        _ => Some(Next::Payload),
    }
}

/// RFC 4861, sections 4.1 to 4.5.
fn read_discovery(header: &mut HeaderReader<'_>, kind: u8) -> Option<Next> {
    match kind {
        134 => {
            header.u8("Cur Hop Limit")?;
            header.field("M, O and Reserved", 1, |bytes| hex(bytes[0]))?;
            header.u16("Router Lifetime")?;
            header.u32("Reachable Time")?;
            header.u32("Retrans Timer")?;
        }
        136 => read_advertisement_flags(header)?,
        _ => drop(header.field("Reserved", 4, data)?),
    }
    if matches!(kind, 135..=137) {
        header.field("Target Address", 16, show_address)?;
    }
    if kind == 137 {
        header.field("Destination Address", 16, show_address)?;
    }
    read_options(header)?;
    Some(Next::Payload)
}

fn show_address(bytes: &[u8]) -> String {
    ipv6(bytes, 0).map(|address| address.to_string()).unwrap_or_default()
}

/// RFC 4861, section 4.4.
fn read_advertisement_flags(header: &mut HeaderReader<'_>) -> Option<()> {
    let word = be32(header.peek(4)?, 0)?;
    for (name, bit, meaning) in
        [("R", 31, "Router flag"), ("S", 30, "Solicited flag: it is an answer"), ("O", 29, "Override flag")]
    {
        header.bits(name, 1, word >> bit & 1);
        header.note(meaning);
    }
    header.bits("Reserved", 4, word & 0x1fff_ffff);
    header.skip(4);
    Some(())
}

/// RFC 4861, section 4.6.
fn read_options(header: &mut HeaderReader<'_>) -> Option<()> {
    let end = header.end() - header.start();
    while !header.is_read_up_to(end) {
        let start = header.peek(2)?;
        let (kind, length) = (start[0], usize::from(start[1]) * 8);
        if length == 0 {
            header.up_to("Option: malformed", end);
            return Some(());
        }
        let option = header.peek(length)?;
        let (name, value) = match (kind, &option[2..]) {
            (1, address) if address.len() == 6 => ("Option: Source Link-Layer Address", mac(address)),
            (2, address) if address.len() == 6 => ("Option: Target Link-Layer Address", mac(address)),
            (3, value) => ("Option: Prefix Information", data(value)),
            (4, value) => ("Option: Redirected Header", data(value)),
            (5, value) if value.len() == 6 => ("Option: MTU", be32(value, 2).unwrap_or_default().to_string()),
            (14, value) => ("Option: Nonce", data(value)),
            (_, value) => ("Option", format!("type {kind}: {}", data(value))),
        };
        header.field(name, length, |_| value)?;
    }
    Some(())
}

fn kind_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        1 => "Destination Unreachable",
        2 => "Packet Too Big",
        3 => "Time Exceeded",
        4 => "Parameter Problem",
        128 => "Echo Request",
        129 => "Echo Reply",
        130 => "Multicast Listener Query",
        131 => "Multicast Listener Report",
        132 => "Multicast Listener Done",
        133 => "Router Solicitation",
        134 => "Router Advertisement",
        135 => "Neighbor Solicitation",
        136 => "Neighbor Advertisement",
        137 => "Redirect",
        143 => "Version 2 Multicast Listener Report",
        _ => return None,
    })
}

fn code_name(kind: u8, code: u8) -> Option<&'static str> {
    Some(match (kind, code) {
        (1, 0) => "no route to destination",
        (1, 1) => "communication with destination administratively prohibited",
        (1, 2) => "beyond scope of source address",
        (1, 3) => "address unreachable",
        (1, 4) => "port unreachable",
        (1, 5) => "source address failed ingress/egress policy",
        (1, 6) => "reject route to destination",
        (3, 0) => "hop limit exceeded in transit",
        (3, 1) => "fragment reassembly time exceeded",
        _ => return None,
    })
}
