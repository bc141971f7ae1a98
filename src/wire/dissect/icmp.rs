//! An ICMP message (RFC 792; RFC 1812, section 5.2.7.1, for the later codes).

use super::checksum::{self, Pseudo};
use super::header::{HeaderReader, data};
use super::{Next, Then};

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
    if header.end() >= pseudo.end && !pseudo.is_fragment {
        let note = checksum::judge(header.bytes_up_to(pseudo.end), 2);
        header.note(note);
    }
    let next = match kind {
        0 | 8 => {
            header.u16("Identifier")?;
            header.u16("Sequence Number")?;
            Next::Payload
        }
        3 | 4 | 5 | 11 | 12 => {
            header.field(error_word(kind), 4, data)?;
            Next::Ip
        }
        _ => Next::Payload,
    };
    Some(Then { next, end: header.end() })
}

fn kind_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0 => "Echo Reply",
        3 => "Destination Unreachable",
        4 => "Source Quench",
        5 => "Redirect",
        8 => "Echo",
        11 => "Time Exceeded",
        12 => "Parameter Problem",
        13 => "Timestamp",
        14 => "Timestamp Reply",
        _ => return None,
    })
}

fn code_name(kind: u8, code: u8) -> Option<&'static str> {
    Some(match (kind, code) {
        (3, 0) => "net unreachable",
        (3, 1) => "host unreachable",
        (3, 2) => "protocol unreachable",
        (3, 3) => "port unreachable",
        (3, 4) => "fragmentation needed and DF set",
        (3, 5) => "source route failed",
        (3, 9) => "communication with the network is administratively prohibited",
        (3, 10) => "communication with the host is administratively prohibited",
        (3, 13) => "communication is administratively prohibited",
        (11, 0) => "time to live exceeded in transit",
        (11, 1) => "fragment reassembly time exceeded",
        _ => return None,
    })
}

fn error_word(kind: u8) -> &'static str {
    match kind {
        5 => "Gateway Internet Address",
        12 => "Pointer and unused",
        _ => "unused",
    }
}
