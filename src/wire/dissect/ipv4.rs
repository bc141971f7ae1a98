//! The IPv4 header (RFC 791, section 3.1).

use super::checksum::{self, Pseudo};
use super::header::{HeaderReader, data, hex};
use super::{Next, Then, names};
use crate::wire::bytes::{be16, ipv4};

/// Reads the header, with its options.
pub fn read(header: &mut HeaderReader<'_>) -> Option<Then> {
    let first = header.peek(1)?[0];
    header.bits("Version", 1, first >> 4);
    let len = usize::from(first & 0xf) * 4;
    header.bits("IHL", 1, first & 0xf);
    header.note(format!("{len} bytes, in words of 4"));
    header.skip(1);
    header.field("Type of Service", 1, |bytes| hex(bytes[0]))?;
    let total = usize::from(header.u16("Total Length")?);
    header.note(length_note(total, header));
    header.field("Identification", 2, |bytes| be16(bytes, 0).unwrap_or_default().to_string())?;
    let fragment = read_fragment(header)?;
    header.u8("Time to Live")?;
    let protocol = header.u8("Protocol")?;
    if let Some(name) = names::protocol(protocol) {
        header.note(name);
    }
    header.hex16("Header Checksum")?;
    let whole = header.bytes_up_to(header.start() + len.max(20));
    header.note(checksum::judge(whole, 10));
    let source = ipv4(header.field("Source Address", 4, show_address)?, 0)?;
    let destination = ipv4(header.field("Destination Address", 4, show_address)?, 0)?;
    header.options(len, "Option: No Operation", |kind, option| (option_name(kind), data(option)))?;
    let end = header.start() + total.max(header.len());
    let pseudo = Pseudo { source, destination, end, is_fragment: fragment != Fragment::Whole };
    let next = if fragment == Fragment::Later { Next::Fragment } else { Next::transport(protocol, pseudo) };
    Some(Then { next, end: end.min(header.end()) })
}

fn show_address(bytes: &[u8]) -> String {
    ipv4(bytes, 0).map(|address| address.to_string()).unwrap_or_default()
}

fn length_note(total: usize, header: &HeaderReader<'_>) -> &'static str {
    let there = header.end() - header.start();
    if total > there { "header and data; here are fewer" } else { "header and data, in bytes" }
}

/// The part of a packet that this is.
#[derive(PartialEq, Eq)]
enum Fragment {
    Whole,
    First,
    Later,
}

fn read_fragment(header: &mut HeaderReader<'_>) -> Option<Fragment> {
    const RESERVED: u16 = 0x8000;
    const DONT_FRAGMENT: u16 = 0x4000;
    const MORE_FRAGMENTS: u16 = 0x2000;
    let word = be16(header.peek(2)?, 0)?;
    let bits = [(RESERVED, "reserved"), (DONT_FRAGMENT, "DF"), (MORE_FRAGMENTS, "MF")];
    let set: Vec<&str> = bits.into_iter().filter(|(bit, _)| word & bit != 0).map(|(_, name)| name).collect();
    header.bits("Flags", 2, format!("0x{:x}", word >> 13));
    header.note(if set.is_empty() { "none set".to_owned() } else { set.join(", ") });
    let offset = word & 0x1fff;
    header.bits("Fragment Offset", 2, offset);
    header.skip(2);
    Some(match (offset, word & MORE_FRAGMENTS) {
        (0, 0) => Fragment::Whole,
        (0, _) => Fragment::First,
        _ => Fragment::Later,
    })
}

/// The options (RFC 791, section 3.1; RFC 2113 for the router alert).
fn option_name(kind: u8) -> &'static str {
    match kind {
        7 => "Option: Record Route",
        68 => "Option: Internet Timestamp",
        130 => "Option: Security",
        131 => "Option: Loose Source Route",
        136 => "Option: Stream Identifier",
        137 => "Option: Strict Source Route",
        148 => "Option: Router Alert",
        _ => "Option",
    }
}
