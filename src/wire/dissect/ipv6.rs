//! The IPv6 header (RFC 8200, section 3) and its extension headers (section 4).

use super::checksum::Pseudo;
use super::header::{HeaderReader, data, hex};
use super::{Next, Then, names};
use crate::wire::bytes::{be16, be32, ipv6};

/// Reads the fixed header.
pub fn read(header: &mut HeaderReader<'_>) -> Option<Then> {
    let word = be32(header.peek(4)?, 0)?;
    header.bits("Version", 1, word >> 28);
    header.bits("Traffic Class", 2, hex((word >> 20) as u8));
    header.bits("Flow Label", 4, format!("{:#07x}", word & 0xf_ffff));
    header.skip(4);
    let length = usize::from(header.u16("Payload Length")?);
    header.note("what follows this header, in bytes");
    let protocol = read_next_header(header)?;
    header.u8("Hop Limit")?;
    let source = ipv6(header.field("Source Address", 16, show_address)?, 0)?;
    let destination = ipv6(header.field("Destination Address", 16, show_address)?, 0)?;
    let end = header.start() + header.len() + length;
    let pseudo = Pseudo { source, destination, end, is_fragment: false };
    Some(Then { next: what_follows(protocol, pseudo), end: end.min(header.end()) })
}

fn show_address(bytes: &[u8]) -> String {
    ipv6(bytes, 0).map(|address| address.to_string()).unwrap_or_default()
}

fn read_next_header(header: &mut HeaderReader<'_>) -> Option<u8> {
    let number = header.u8("Next Header")?;
    if let Some(name) = names::protocol(number) {
        header.note(name);
    }
    Some(number)
}

fn what_follows(number: u8, pseudo: Pseudo) -> Next {
    match number {
        0 | 43 | 44 | 51 | 60 => Next::Extension(number, pseudo),
        number => Next::transport(number, pseudo),
    }
}

/// Reads the extension header with this number.
pub fn read_extension(header: &mut HeaderReader<'_>, number: u8, pseudo: &Pseudo) -> (&'static str, Option<Then>) {
    match number {
        44 => ("IPv6 Fragment", read_fragment(header, pseudo)),
        51 => ("AH", read_authentication(header, pseudo)),
        43 => ("IPv6 Routing", read_of_eights(header, pseudo)),
        60 => ("IPv6 Destination Options", read_of_eights(header, pseudo)),
        _ => ("IPv6 Hop-by-Hop Options", read_of_eights(header, pseudo)),
    }
}

/// Section 4.5.
fn read_fragment(header: &mut HeaderReader<'_>, pseudo: &Pseudo) -> Option<Then> {
    let next = read_next_header(header)?;
    header.u8("Reserved")?;
    let word = be16(header.peek(2)?, 0)?;
    let offset = word >> 3;
    header.bits("Fragment Offset", 2, offset);
    header.note("in units of 8 bytes");
    header.bits("M flag", 2, word & 1);
    header.note(if word & 1 == 1 { "more fragments" } else { "last fragment" });
    header.skip(2);
    header.u32("Identification")?;
    let pseudo = Pseudo { is_fragment: pseudo.is_fragment || word & 1 == 1 || offset != 0, ..pseudo.clone() };
    let next = if offset == 0 { what_follows(next, pseudo) } else { Next::Fragment };
    Some(Then { next, end: header.end() })
}

/// RFC 4302, section 2.
fn read_authentication(header: &mut HeaderReader<'_>, pseudo: &Pseudo) -> Option<Then> {
    let next = read_next_header(header)?;
    let len = (usize::from(header.u8("Payload Len")?) + 2) * 4;
    header.note(format!("{len} bytes, in words of 4, less 2"));
    header.up_to("Authentication Data", len);
    Some(Then { next: what_follows(next, pseudo.clone()), end: header.end() })
}

/// Sections 4.3, 4.4 and 4.6.
fn read_of_eights(header: &mut HeaderReader<'_>, pseudo: &Pseudo) -> Option<Then> {
    let next = read_next_header(header)?;
    let len = (usize::from(header.u8("Hdr Ext Len")?) + 1) * 8;
    header.note(format!("{len} bytes, in units of 8, less the first"));
    header.field("Options", len - 2, data)?;
    Some(Then { next: what_follows(next, pseudo.clone()), end: header.end() })
}
