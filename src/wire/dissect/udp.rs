//! The UDP header (RFC 768).

use super::checksum::{self, Pseudo};
use super::header::HeaderReader;
use super::{Next, Then};
use crate::net::Family;

/// Reads the header.
pub fn read(header: &mut HeaderReader<'_>, pseudo: &Pseudo) -> Option<Then> {
    header.u16("Source Port")?;
    header.u16("Destination Port")?;
    header.u16("Length")?;
    header.note("header and data, in bytes");
    let value = header.hex16("Checksum")?;
    let datagram = header.bytes_up_to(pseudo.end);
    if value == 0 && Family::from_address(pseudo.source) == Family::Ipv4 {
        header.note("none was made");
    } else if let Some(note) = checksum::judge_transport(datagram, 6, 17, pseudo, header.end() >= pseudo.end) {
        header.note(note);
    }
    Some(Then { next: Next::Payload, end: header.end() })
}
